//! How a connection becomes secure, and what becomes of those that do not.

mod kit;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Instant;

use kit::tls::{self, client_config, client_of, config, one, Authority, Folder};
use kit::{wait_until, Client, Edge, Origin, Pieces};

struct Ground {
    authority: Authority,
    _origin: Origin,
    _folder: Folder,
    edge: Edge,
}

fn ground(more: &str) -> Ground {
    let authority = Authority::new("the authority");
    let origin = Origin::echo();
    let folder = Folder::new();
    folder.pair("a", &authority.server(&["a.example", "127.0.0.1"]));
    let edge = Edge::start_in(&folder.0, &config(origin.at, &one(more), "{}"));
    Ground {
        authority,
        _origin: origin,
        _folder: folder,
        edge,
    }
}

/// Moves bytes in pieces, each in a call of its own.
struct Cut(TcpStream, Pieces);

impl Read for Cut {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Cut {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for piece in self.1.of(bytes) {
            self.0.write_all(piece)?;
        }
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn both_versions_however_the_bytes_are_cut() {
    let g = ground("");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        for pieces in [Pieces::Whole, Pieces::Bytes, Pieces::Random(7)] {
            let what = format!("{version:?} {pieces:?}");
            let config = Arc::new(client_of(&g.authority.roots(), version));
            let stream = TcpStream::connect(g.edge.at()).expect("accepted");
            stream.set_nodelay(true).expect("nodelay");
            stream
                .set_read_timeout(Some(kit::PATIENCE))
                .expect("timeout");
            let client = tls::over(Cut(stream, pieces), "a.example", &config);
            let mut client = client.unwrap_or_else(|e| panic!("{what}: {e}"));
            for path in ["/1", "/2", "/3"] {
                let answer = client.get(path);
                assert_eq!(answer.status, 200, "{what}");
                assert_eq!(answer.body, format!("GET {path}").as_bytes(), "{what}");
            }
        }
    }
    let told = g.edge.gateway.metrics_json();
    assert!(told.contains("\"code\":\"full\""), "handshakes are counted");
}

#[test]
fn the_upstream_is_told_that_it_was_https() {
    let authority = Authority::new("the authority");
    let origin = Origin::echo();
    let folder = Folder::new();
    folder.pair("a", &authority.server(&["a.example"]));
    let edge = Edge::start_in(&folder.0, &config(origin.at, &one(""), "{}"));
    let client = Arc::new(client_config(&authority.roots(), None));
    let mut client = tls::connect(edge.at(), "a.example", &client).expect("secure");
    client.send("GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-Proto: http\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let request = &origin.requests()[0];
    assert_eq!(
        kit::field(&request.head, "x-forwarded-proto"),
        Some("https")
    );
}

#[test]
fn alpn() {
    let g = ground("");
    let roots = g.authority.roots();
    for (offered, agreed) in [
        (vec![], Ok(None)),
        (vec!["http/1.1"], Ok(Some("http/1.1"))),
        (vec!["h2"], Ok(Some("h2"))),
        // As the gateway likes it best, not as the client does.
        (vec!["http/1.1", "h2"], Ok(Some("h2"))),
        (vec!["spdy/3", "http/1.1"], Ok(Some("http/1.1"))),
        (vec!["http/1.0"], Ok(Some("http/1.0"))),
        (vec!["spdy/3"], Err("NoApplicationProtocol")),
    ] {
        let mut config = client_config(&roots, None);
        config.alpn_protocols = offered.iter().map(|p| p.as_bytes().to_vec()).collect();
        let client = tls::connect(g.edge.at(), "a.example", &Arc::new(config));
        match (agreed, client) {
            (Ok(agreed), Ok(client)) => assert_eq!(
                client.stream.conn.alpn_protocol(),
                agreed.map(str::as_bytes),
                "{offered:?}"
            ),
            (Err(why), Err(e)) => assert!(e.contains(why), "{offered:?}: {e}"),
            (_, client) => panic!("{offered:?}: {:?}", client.map(|_| ())),
        }
    }
}

#[test]
fn only_the_new_version_if_the_config_says_so() {
    let g = ground(r#", "min_version": "1.3""#);
    let roots = g.authority.roots();
    let old = Arc::new(client_of(&roots, &rustls::version::TLS12));
    let why = tls::connect(g.edge.at(), "a.example", &old)
        .err()
        .expect("refused");
    assert!(why.contains("ProtocolVersion"), "{why}");
    let new = Arc::new(client_of(&roots, &rustls::version::TLS13));
    assert_eq!(
        tls::get(g.edge.at(), "a.example", &new)
            .expect("an answer")
            .status,
        200
    );
}

#[test]
fn what_is_no_tls_is_closed() {
    let g = ground(r#", "handshake_timeout": "500ms""#);
    let hello_head = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    let long = [
        b"\x16\x03\x01\x40\x00\x01\xff\xff\xff".to_vec(),
        vec![0; 0x4000 - 4],
    ]
    .concat();
    for (what, bytes) in [
        ("garbage", &b"\x00\xff\x12\x34garbage that goes on"[..]),
        ("a record of no version", b"\x16\x09\x09\x00\x01\x01"),
        ("an alert first", b"\x15\x03\x01\x00\x02\x02\x28"),
        ("data first", b"\x17\x03\x03\x00\x05hello"),
        (
            "a hello of lies",
            &[&hello_head[..], &[0xff; 501]].concat()[..],
        ),
        ("a hello of 16 MiB", &long[..]),
        ("SSLv2", b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10"),
    ] {
        for pieces in [Pieces::Whole, Pieces::Bytes] {
            if pieces == Pieces::Bytes && bytes.len() > 1000 {
                continue;
            }
            let mut client = Client::connect(g.edge.at());
            client.send_in(pieces, bytes);
            let answer = client.rest().unwrap_or_else(|e| panic!("{what}: {e}"));
            let alert = answer.len() == 7 && answer.starts_with(b"\x15\x03");
            assert!(answer.is_empty() || alert, "{what}: {answer:?}");
        }
    }
    let client = Arc::new(client_config(&g.authority.roots(), None));
    let after = tls::get(g.edge.at(), "a.example", &client).expect("an answer");
    assert_eq!(after.status, 200, "nobody else was harmed");
}

#[test]
fn http_without_tls_is_told_so() {
    let g = ground("");
    for pieces in [Pieces::Whole, Pieces::Bytes] {
        let mut client = Client::connect(g.edge.at());
        client.send_in(pieces, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.response();
        assert_eq!((answer.status, &*answer.code()), (400, "plain_http"));
        assert_eq!(client.ends(), Ok(()));
    }
    assert!(g
        .edge
        .gateway
        .metrics_json()
        .contains("\"code\":\"plain_http\""));
}

#[test]
fn a_handshake_that_stalls_is_cut_and_harms_nobody() {
    let g = ground(r#", "handshake_timeout": "300ms""#);
    let began = Instant::now();
    let mut silent = Client::connect(g.edge.at());
    let mut slow = Client::connect(g.edge.at());
    slow.send(b"\x16\x03\x01\x02\x00\x01");
    let client = Arc::new(client_config(&g.authority.roots(), None));
    assert_eq!(
        tls::get(g.edge.at(), "a.example", &client)
            .expect("an answer")
            .status,
        200
    );
    assert!(silent.is_closed());
    assert!(slow.is_closed());
    assert!(began.elapsed().as_millis() >= 300, "not before its time");
    let counted = || {
        g.edge
            .gateway
            .metrics_json()
            .contains("\"code\":\"timeout\"},\"value\":2")
    };
    wait_until("both are counted", counted);
}

#[test]
fn a_proxy_header_comes_before_tls() {
    let authority = Authority::new("the authority");
    let origin = Origin::echo();
    let folder = Folder::new();
    folder.pair("a", &authority.server(&["a.example"]));
    let trusting = config(origin.at, &one(""), "{}").replacen(
        "\"tls\":",
        "\"proxy_protocol\": { \"trust\": [\"127.0.0.1/32\"] }, \"tls\":",
        1,
    );
    let edge = Edge::start_in(&folder.0, &trusting);
    for pieces in [Pieces::Whole, Pieces::Bytes] {
        let mut stream = TcpStream::connect(edge.at()).expect("accepted");
        stream.set_nodelay(true).expect("nodelay");
        for piece in pieces.of(b"PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n") {
            stream.write_all(piece).expect("sent");
        }
        let client = Arc::new(client_config(&authority.roots(), None));
        let mut client = tls::over(stream, "a.example", &client).expect("secure");
        assert_eq!(client.get("/").status, 200);
        let requests = origin.requests();
        let head = &requests.last().expect("a request").head;
        assert_eq!(kit::field(head, "x-forwarded-for"), Some("192.0.2.7"));
    }
}

#[test]
fn nobody_waits_for_silent_connections_at_the_end() {
    let g = ground("");
    let _silent: Vec<_> = (0..3).map(|_| Client::connect(g.edge.at())).collect();
    let client = Arc::new(client_config(&g.authority.roots(), None));
    assert_eq!(
        tls::get(g.edge.at(), "a.example", &client)
            .expect("an answer")
            .status,
        200
    );
    let began = Instant::now();
    assert!(g.edge.gateway.drain(std::time::Duration::from_secs(8)));
    assert!(began.elapsed().as_secs() < 4, "{:?}", began.elapsed());
}
