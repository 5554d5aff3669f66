//! A bug in one request: it gets a 500 if nothing of an answer has begun, else a visible cut. It is
//! counted; the thread, its other connections and the counts of requests in flight go on.

mod kit;

use kit::{metric, Client, Edge, Origin};

#[test]
fn a_bug_ends_one_request_and_nothing_else() {
    let origin = Origin::serve(|r| {
        // A body that does not fit into one receive, where the bug meets it.
        let body = if r.head.starts_with("GET / ") {
            "x".repeat(1 << 20)
        } else {
            r.head.lines().next().unwrap_or_default().to_owned()
        };
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    });
    let edge = Edge::with(&[origin.at], r#"{ "balance": "least_request" }"#, "[]");
    let mut other = Client::connect(edge.at());
    for (place, answered) in [("head", true), ("response", false), ("body", false)] {
        assert_eq!(other.get("/before").status, 200, "{place}");
        let mut client = Client::connect(edge.at());
        // An earlier request of the same packet has its answer.
        client.send(format!(
            "GET /first HTTP/1.1\r\nHost: a\r\n\r\n\
             GET / HTTP/1.1\r\nHost: a\r\nX-Test-Panic: {place}\r\n\r\n"
        ));
        assert_eq!(client.response().body, b"GET /first HTTP/1.1", "{place}");
        match client.try_response("GET") {
            Ok(r) if answered => {
                assert_eq!(
                    (r.status, r.code()),
                    (500, "internal".to_owned()),
                    "{place}"
                );
                assert_eq!(r.field("connection"), Some("close"));
                assert!(client.is_closed(), "{place}");
            }
            Err(e) if !answered => assert!(e == "reset" || e == "closed", "{place}: {e}"),
            other => panic!("{place}: {other:?}"),
        }
        assert_eq!(other.get("/after").status, 200, "{place}");
    }
    assert_eq!(metric(&edge.gateway, "ironsluice_panics_total"), 3);
    let upstreams = edge.gateway.upstreams_json();
    assert!(upstreams.contains("\"in_flight\":0"), "{upstreams}");
}
