//! Upgrades: a tunnel only after a 101 with its proof; without, everything stays HTTP.

mod kit;

use std::net::Shutdown;

use kit::{Client, Edge, Origin, Peer};

/// The example of RFC 6455 section 1.3.
const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const TAKE: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Answers an upgrade with these bytes, then gives the connection to `then`; all else is echoed.
fn origin(answer: &'static str, then: fn(Peer)) -> Origin {
    Origin::start(move |mut peer| {
        while let Some(request) = peer.request() {
            if request.head.contains("Upgrade: websocket") {
                peer.send(answer);
                if answer.starts_with("HTTP/1.1 101") {
                    return then(peer);
                }
            } else {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
            }
        }
    })
}

fn echo(mut peer: Peer) {
    while let Some(byte) = peer.exactly(1) {
        peer.send(byte);
    }
    peer.send("bye");
}

#[test]
fn bytes_go_both_ways_with_those_that_came_with_the_heads() {
    let answer: &str = Box::leak(format!("{TAKE}early").into_boxed_str());
    let origin = origin(answer, echo);
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    client.send(format!("{ASK}coalesced"));
    let head = client.response();
    assert_eq!(head.status, 101);
    assert_eq!(head.field("upgrade"), Some("websocket"));
    assert_eq!(head.field("connection"), Some("upgrade"));
    assert_eq!(
        head.field("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    assert_eq!(client.exactly(14).expect("bytes"), b"earlycoalesced");
    let all: Vec<u8> = (0..300_000u32).map(|i| i as u8).collect();
    for piece in all.chunks(30_000) {
        client.send(piece);
        assert_eq!(client.exactly(piece.len()).expect("an echo"), piece);
    }
    // The client has finished; the other side has not.
    client.finish();
    assert_eq!(client.rest().expect("the rest"), b"bye");
    origin.wait_for_ends(1);
}

#[test]
fn the_upstream_may_finish_first() {
    let origin = origin(TAKE, |mut peer| {
        peer.send("all I have");
        peer.stream.shutdown(Shutdown::Write).expect("a half-close");
        let request = kit::Request {
            body: peer.exactly(4).expect("what the client still sends"),
            ..kit::Request::default()
        };
        peer.remember(request);
        assert!(peer.is_closed());
    });
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    client.send(ASK);
    assert_eq!(client.response().status, 101);
    assert_eq!(client.rest().expect("the end of one side"), b"all I have");
    client.send("more").finish();
    assert_eq!(origin.wait_for(2)[1].body, b"more");
    origin.wait_for_ends(1);
}

#[test]
fn another_answer_leaves_it_http() {
    for (answer, status) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200),
        (
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno",
            401,
        ),
    ] {
        let origin = origin(answer, |_| ());
        let edge = Edge::to(&[origin.at]);
        let mut client = Client::connect(edge.at());
        // What comes behind is a request, not the upstream's.
        client.send(format!("{ASK}GET /next HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.response().status, status);
        assert_eq!(client.response().body, b"next");
        let mut client = Client::connect(edge.at());
        client.send(format!("{ASK}\u{1}raw bytes"));
        assert_eq!(client.response().status, status);
        assert_eq!(client.response().status, 400);
        assert_eq!(client.ends(), Ok(()));
        let heads: Vec<_> = origin.requests().into_iter().map(|r| r.head).collect();
        assert_eq!(heads.len(), 3);
        assert!(!heads.concat().contains("raw"));
    }
}

#[test]
fn a_101_without_proof_is_502() {
    let take = |fields: &str| format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n\r\npoison");
    for fields in [
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOO=",
        "Connection: Upgrade\r\nUpgrade: websocket",
        "Connection: Upgrade\r\nUpgrade: other\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    ] {
        let origin = origin(Box::leak(take(fields).into_boxed_str()), |mut peer| {
            assert!(peer.is_closed(), "nothing is passed on");
        });
        let edge = Edge::to(&[origin.at]);
        let mut client = Client::connect(edge.at());
        client.send(ASK);
        let answer = client.response();
        assert_eq!((answer.status, &*answer.code()), (502, "upstream_protocol"), "{fields}");
        assert_eq!(client.get("/next").body, b"next", "{fields}");
        assert_eq!(origin.connections(), 2, "{fields}");
    }
}

#[test]
fn a_silent_tunnel_is_closed() {
    let origin = origin(TAKE, echo);
    let edge = Edge::start(&format!(
        r#"{{ "workers": 1,
  "listeners": [{{ "name": "web", "bind": "127.0.0.1:0", "timeouts": {{ "tunnel": "200ms" }} }}],
  "upstreams": [{{ "name": "origin", "endpoints": ["{}"], "timeouts": {{ "stall": "50ms", "response": "50ms" }} }}],
  "routes": [{{ "name": "all", "match": {{ "path": "/*" }}, "to": "origin" }}] }}"#,
        origin.at
    ));
    let mut client = Client::connect(edge.at());
    client.send(ASK);
    assert_eq!(client.response().status, 101);
    let begun = std::time::Instant::now();
    client.send("x");
    assert_eq!(client.exactly(1).expect("an echo"), b"x");
    assert!(client.is_closed());
    assert!(begun.elapsed().as_millis() >= 190, "never early");
    origin.wait_for_ends(1);
}

#[test]
fn an_upstream_that_breaks_off_ends_the_tunnel() {
    let origin = origin(TAKE, |mut peer| {
        let _go = peer.exactly(1);
        peer.reset();
    });
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    client.send(ASK);
    assert_eq!(client.response().status, 101);
    client.send("x");
    assert!(client.is_closed());
}
