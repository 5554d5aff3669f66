//! Exchanges as every proxy must carry them.

mod kit;

use kit::{Client, Edge, Origin};

#[test]
fn two_requests_share_both_connections() {
    let origin = Origin::echo();
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    for path in ["/a", "/b?c=d"] {
        let r = client.get(path);
        assert_eq!(
            (r.status, r.body),
            (200, format!("GET {path}").into_bytes())
        );
    }
    assert_eq!(origin.connections(), 1);
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn a_body_goes_up_and_a_head_comes_alone() {
    let origin = Origin::echo();
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    client.send("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.response().status, 200);
    client.send("HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.try_response("HEAD").expect("a head").status, 200);
    client.send(
        "PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    assert_eq!(client.response().status, 200);
    let bodies: Vec<_> = origin.requests().into_iter().map(|r| r.body).collect();
    assert_eq!(bodies, [&b"hello"[..], b"", b"abc"]);
}
