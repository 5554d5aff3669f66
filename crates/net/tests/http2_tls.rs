//! HTTP/2 inside of TLS, by ALPN: from clients and to upstreams, with what TLS proves.

mod kit;

use std::sync::Arc;

use kit::frames::{self, frame, PREFACE, SETTINGS};
use kit::http2::{config2, connect, fetch, get, post, request, run};
use kit::tls::{self, client_config, config, one, server_config, Authority, Ground, SecureOrigin};
use kit::{Client, Edge, Origin};

fn ground() -> Ground {
    let g = Ground::new();
    g.folder.pair("a", &g.authority.server(&["127.0.0.1", "a"]));
    g
}

/// A gateway whose upstream speaks HTTP/2 inside of TLS.
fn before(g: &Ground, at: std::net::SocketAddr) -> Edge {
    let upstream = r#""protocol": "http2", "tls": { "ca": "ca.pem" }"#;
    Edge::start_in(&g.folder.0, &config2(&[at], "", "", upstream, "[]"))
}

#[test]
fn two_gateways_speak_it_with_one_another() {
    let g = ground();
    let origin = Origin::serve(|r| {
        let size = r.body.len();
        format!("HTTP/1.1 200 OK\r\nX-Size: {size}\r\nContent-Length: {size}\r\n\r\n")
            .into_bytes()
            .into_iter()
            .chain(r.body.clone())
            .collect()
    });
    let behind = Edge::start_in(&g.folder.0, &config(origin.at, &one(""), "{}"));
    let edge = before(&g, behind.at());
    run(async {
        let (send, _) = connect(edge.at()).await;
        for size in [0, 1, 20_000, 1_000_000] {
            let body = vec![7; size];
            let asked = request("POST", "/", &[]);
            let answer = post(&send, asked, &[&body], None).await.expect("an answer");
            assert!(answer.status == 200 && answer.body == body, "{size}");
        }
        for _ in 0..20 {
            fetch(&send, get("/")).await.expect("an answer");
        }
    });
    let all = origin.requests();
    let proto = |r: &kit::Request| kit::field(&r.head, "x-forwarded-proto") == Some("https");
    assert!(
        all.iter().all(proto),
        "what TLS proves is known of each stream"
    );
    let accepted = kit::metric(&behind.gateway, "ironsluice_connections_accepted_total");
    assert_eq!(accepted, 1, "all went by one connection");
}

#[test]
fn the_client_chooses_by_alpn() {
    let g = ground();
    let origin = Origin::echo();
    let edge = Edge::start_in(&g.folder.0, &config(origin.at, &one(""), "{}"));
    let with = |protocol: &str| {
        let mut config = client_config(&g.authority.roots(), None);
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        tls::connect(edge.at(), "a", &Arc::new(config)).expect("a handshake")
    };
    let mut client = with("h2");
    client.send(PREFACE).send(frame(SETTINGS, 0, 0, &[]));
    client.send(frames::get(1, "/x"));
    let data = client
        .frames_until(|f| f.kind == frames::DATA)
        .expect("data");
    assert_eq!(data.payload, b"GET /x");
    // HTTP/2 is spoken where it was agreed on, and nowhere else.
    let mut client = with("h2");
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.rest().is_ok_and(|bytes| !bytes.starts_with(b"HTTP")));
    let mut client = with("http/1.1");
    client.send(PREFACE);
    assert_eq!(client.response().status, 505);
}

#[test]
fn a_host_that_asks_more_of_clients_is_misdirected() {
    let g = ground();
    g.folder.pair("b", &g.authority.server(&["b.example"]));
    let origin = Origin::echo();
    let tls = r#"{ "certificates": [{ "cert": "a.pem", "key": "a.key" },
        { "cert": "b.pem", "key": "b.key", "client": { "mode": "required", "ca": "ca.pem" } }] }"#;
    let edge = Edge::start_in(&g.folder.0, &config(origin.at, tls, "{}"));
    let mut offer = client_config(&g.authority.roots(), None);
    offer.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = tls::connect(edge.at(), "a", &Arc::new(offer)).expect("a handshake");
    client.send(PREFACE).send(frame(SETTINGS, 0, 0, &[]));
    // One connection, and each of its streams is judged by its own authority.
    for (id, host, answer) in [
        (1, "a", "GET /"),
        (3, "b.example", "misdirected"),
        (5, "B.Example:443", "misdirected"),
        (7, "elsewhere.example", "GET /"),
    ] {
        let pseudo = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", host),
            (":path", "/"),
        ];
        let block: Vec<u8> = pseudo
            .iter()
            .flat_map(|(n, v)| frames::literal(n, v))
            .collect();
        let flags = frames::END_HEADERS | frames::END_STREAM;
        client.send(frame(frames::HEADERS, flags, id, &block));
        let data = client
            .frames_until(|f| f.kind == frames::DATA)
            .expect("data");
        let said = String::from_utf8_lossy(&data.payload);
        assert!(data.stream == id && said.contains(answer), "{host}: {said}");
    }
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn an_upstream_that_is_not_what_it_should_be_gets_nothing() {
    let g = ground();
    let leaf = g.authority.server(&["127.0.0.1"]);
    let talk = |mut peer: tls::Peer| {
        let mut byte = [0];
        assert!(!matches!(std::io::Read::read(&mut peer, &mut byte), Ok(1)));
    };
    // One that knows no HTTP/2.
    let old = SecureOrigin::start(server_config(&leaf, None), talk);
    let answer = Client::connect(before(&g, old.at).at()).get("/");
    assert_eq!((answer.status, &*answer.code()), (502, "upstream_tls"));
    // One whose certificate is another's.
    let stranger = Authority::new("of others").server(&["127.0.0.1"]);
    let mut config = server_config(&stranger, None);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let wrong = SecureOrigin::start(config, talk);
    let answer = Client::connect(before(&g, wrong.at).at()).get("/");
    assert_eq!(
        (answer.status, &*answer.code()),
        (502, "upstream_certificate")
    );
    // One that speaks no TLS at all.
    let plain = Origin::start(|mut peer| {
        peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        assert!(!matches!(peer.head(), Some(r) if r.head.contains("HTTP")));
    });
    let answer = Client::connect(before(&g, plain.at).at()).get("/");
    assert_eq!((answer.status, &*answer.code()), (502, "upstream_tls"));
    assert!(plain.requests().is_empty());
}
