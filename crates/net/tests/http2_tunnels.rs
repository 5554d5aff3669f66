//! WebSockets over HTTP/2: an extended CONNECT becomes an upgrade of HTTP/1.1, or stays one.

mod kit;

use bytes::Bytes;
use h2::ext::Protocol;
use http::{HeaderMap, Method, Request};
use kit::http2::{config2, connect, give, run, Origin2};
use kit::{field, Edge, Origin};

fn websocket(fields: &[(&str, &str)]) -> Request<()> {
    let mut r = Request::builder()
        .method(Method::CONNECT)
        .uri("http://a/chat?x=1");
    for (name, value) in fields {
        r = r.header(*name, *value);
    }
    let mut r = r.body(()).expect("a request");
    r.extensions_mut()
        .insert(Protocol::from_static("websocket"));
    r
}

const VERSION: (&str, &str) = ("sec-websocket-version", "13");

/// Says yes with the proof that the standard wants, or with a wrong one, and sends back what comes.
fn origin(proof: fn(&str) -> String) -> Origin {
    Origin::start(move |mut peer| {
        while let Some(r) = peer.head() {
            let key = field(&r.head, "sec-websocket-key")
                .unwrap_or_default()
                .to_owned();
            peer.remember(r);
            peer.send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: chat\r\n\r\nhello",
                proof(&key)
            ));
            while let Some(bytes) = peer.exactly(4) {
                peer.send(&bytes);
            }
        }
    })
}

fn accept(key: &str) -> String {
    String::from_utf8(wire::websocket::accept_key(key.as_bytes()).to_vec()).expect("base64")
}

async fn talk(at: std::net::SocketAddr) {
    let (send, _) = connect(at).await;
    let mut send = send.ready().await.expect("room");
    while !send.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    let asked = websocket(&[VERSION, ("sec-websocket-protocol", "chat")]);
    let (response, mut to) = send.send_request(asked, false).expect("a stream");
    let response = response.await.expect("a head");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    for gone in [
        "sec-websocket-accept",
        "upgrade",
        "connection",
        "content-length",
    ] {
        assert!(!response.headers().contains_key(gone), "{gone}");
    }
    let mut body = response.into_body();
    let mut got = Vec::new();
    give(&mut to, b"pingpong", false).await.expect("sent");
    while got.len() < 13 {
        let data = body.data().await.expect("more").expect("data");
        body.flow_control()
            .release_capacity(data.len())
            .expect("a window");
        got.extend_from_slice(&data);
    }
    assert_eq!(got, b"hellopingpong");
    to.send_data(Bytes::new(), true).expect("an end");
    // The other side ends too; the frame that says so may be one of no data.
    while let Some(data) = body.data().await {
        assert_eq!(data.expect("no reset"), "");
    }
}

#[test]
fn an_extended_connect_is_an_upgrade_to_the_origin() {
    let origin = origin(accept);
    let edge = Edge::start(&config2(&[origin.at], "", "", "", "[]"));
    run(talk(edge.at()));
    let head = origin.requests().pop().expect("a request").head;
    assert!(head.starts_with("GET /chat?x=1 HTTP/1.1\r\n"), "{head}");
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    assert_eq!(field(&head, "sec-websocket-version"), Some("13"));
    origin.wait_for_ends(1);
}

/// The first word is the client's, or its end: nothing else makes the connection look at the stream again.
#[test]
fn what_a_client_says_first_in_a_tunnel_waits_for_no_word_of_the_origin() {
    let origin = Origin::start(|mut peer| {
        while let Some(r) = peer.head() {
            let key = field(&r.head, "sec-websocket-key").unwrap_or_default();
            let proof = accept(key);
            peer.send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: {proof}\r\n\r\n"
            ));
            while let Some(bytes) = peer.exactly(4) {
                peer.send(&bytes);
            }
        }
    });
    let edge = Edge::start(&config2(&[origin.at], "", "", "", "[]"));
    for first in [&b"ping"[..], b""] {
        run(async {
            let (mut send, _) = connect(edge.at()).await;
            while !send.is_extended_connect_protocol_enabled() {
                tokio::task::yield_now().await;
            }
            send = send.ready().await.expect("room");
            let (response, mut to) = send
                .send_request(websocket(&[VERSION]), false)
                .expect("a stream");
            let response = response.await.expect("a head");
            assert_eq!(response.status(), 200);
            let mut body = response.into_body();
            if !first.is_empty() {
                give(&mut to, first, false).await.expect("sent");
                assert_eq!(body.data().await.expect("more").expect("data"), first);
            }
            to.send_data(Bytes::new(), true).expect("an end");
            while let Some(data) = body.data().await {
                assert_eq!(data.expect("no reset"), "");
            }
        });
    }
    origin.wait_for_ends(2);
}

#[test]
fn to_an_upstream_of_http2_it_stays_one() {
    let mut builder = h2::server::Builder::new();
    builder.enable_connect_protocol();
    let origin = Origin2::with(builder, usize::MAX, |mut turn| async move {
        if turn.head.method != Method::CONNECT {
            return turn.answer(HeaderMap::new(), b"ok", None).await;
        }
        assert_eq!(
            turn.head.extensions.get::<Protocol>(),
            Some(&Protocol::from_static("websocket"))
        );
        assert!(!turn.head.headers.contains_key("sec-websocket-key"));
        let response = http::Response::builder().header("sec-websocket-protocol", "chat");
        let response = response.body(()).expect("a head");
        let mut send = turn.respond.send_response(response, false).expect("sent");
        give(&mut send, b"hello", false).await.expect("sent");
        while let Some(data) = turn.body.data().await {
            let data = data.expect("data");
            turn.body
                .flow_control()
                .release_capacity(data.len())
                .expect("a window");
            give(&mut send, &data, false).await.expect("sent");
        }
        send.send_data(Bytes::new(), true).expect("an end");
    });
    let edge = Edge::start(&config2(
        &[origin.at],
        "",
        "",
        r#""protocol": "http2""#,
        "[]",
    ));
    run(talk(edge.at()));
}

#[test]
fn without_proof_there_is_no_tunnel() {
    let origin = origin(|_| "wrong".into());
    let edge = Edge::start(&config2(&[origin.at], "", "", "", "[]"));
    run(async {
        let (mut send, _) = connect(edge.at()).await;
        while !send.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        for (fields, status) in [
            (&[VERSION][..], 502),
            (&[], 426),
            (&[("sec-websocket-version", "8")], 426),
        ] {
            send = send.ready().await.expect("room");
            let (response, _) = send
                .send_request(websocket(fields), false)
                .expect("a stream");
            assert_eq!(
                response.await.expect("a head").status(),
                status,
                "{fields:?}"
            );
        }
    });
}

#[test]
fn a_reset_ends_the_tunnel_at_both_ends() {
    let origin = origin(accept);
    let edge = Edge::start(&config2(&[origin.at], "", "", "", "[]"));
    run(async {
        let (mut send, _) = connect(edge.at()).await;
        while !send.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let (response, mut to) = send
            .send_request(websocket(&[VERSION]), false)
            .expect("a stream");
        assert_eq!(response.await.expect("a head").status(), 200);
        to.send_reset(h2::Reason::CANCEL);
    });
    origin.wait_for_ends(1);
}
