//! Exchanges as every proxy must carry them.

mod kit;

use kit::{Client, Edge, Origin, Request};

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

#[test]
fn an_interim_response_is_passed_on_before_the_final_one_comes() {
    let origin = Origin::start(|mut peer| {
        let head = peer.head().expect("a head");
        peer.send("HTTP/1.1 100 Continue\r\n\r\n");
        let body = peer.exactly(5).expect("a body");
        peer.remember(Request { body, ..head });
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("hello");
    assert_eq!(client.response().status, 200);
    assert_eq!(origin.requests()[0].body, b"hello");
}

#[test]
fn an_upload_may_take_longer_than_the_response_timeout() {
    let origin = Origin::echo();
    let edge = Edge::with(
        &[origin.at],
        r#"{ "timeouts": { "response": "150ms" } }"#,
        "[]",
    );
    for chunked in [false, true] {
        let mut client = Client::connect(edge.at());
        let framing = if chunked {
            "Transfer-Encoding: chunked"
        } else {
            "Content-Length: 4"
        };
        client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        let began = std::time::Instant::now();
        for piece in ["1\r\na\r\n", "1\r\nb\r\n", "1\r\nc\r\n", "1\r\nd\r\n"] {
            // The client's own slowness is what is tested: it pauses, nothing is waited for.
            std::thread::sleep(std::time::Duration::from_millis(100));
            client.send(if chunked { piece } else { &piece[3..4] });
        }
        if chunked {
            client.send("0\r\n\r\n");
        }
        assert_eq!(client.response().status, 200, "chunked: {chunked}");
        assert!(began.elapsed().as_millis() >= 400);
    }
}
