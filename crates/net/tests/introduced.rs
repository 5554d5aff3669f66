//! PROXY headers to upstreams: the first bytes of a connection say whose it is, and no other client's
//! request comes by it.

mod kit;

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{channel, Receiver};
use std::sync::Arc;
use std::thread;

use kit::http2::{self, config2, fetch, get, run};
use kit::tls::{client_config, connect, one, server_config, Authority, Folder};
use kit::{wait_until, Client, Edge, Origin, Peer, PATIENCE};
use wire::proxy::{self, Command, Parsed, ProxyHeader, Ssl, Tlv, Transport};

/// A header, its bytes, and the number of the connection that it began.
struct Came {
    header: ProxyHeader,
    bytes: Vec<u8>,
    connection: usize,
}

impl Came {
    fn ends(&self) -> (String, String) {
        let text = |a: Option<SocketAddr>| a.map_or("none".to_owned(), |a| a.to_string());
        (text(self.header.source), text(self.header.destination))
    }

    fn tlvs(&self) -> Vec<(u8, Vec<u8>)> {
        let tlvs = self.header.tlvs(&self.bytes);
        tlvs.map(|t| (t.kind, t.value.to_vec())).collect()
    }
}

/// Reads the header with which a connection begins; panics if there is none.
fn read_header(mut byte: impl FnMut() -> Option<u8>) -> Option<(ProxyHeader, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        bytes.push(byte()?);
        if let Parsed::Done { header, len } = proxy::parse(&bytes).expect("a PROXY header") {
            assert_eq!(len, bytes.len());
            return Some((header, bytes));
        }
    }
}

/// An origin that wants a header on each connection, and then `talk`s.
fn origin_with(talk: impl Fn(&mut Peer) + Send + Sync + 'static) -> (Origin, Receiver<Came>) {
    let (tell, told) = channel();
    let origin = Origin::start(move |mut peer| {
        let Some((header, bytes)) = read_header(|| Some(peer.exactly(1)?[0])) else {
            return;
        };
        let connection = peer.number();
        let came = Came {
            header,
            bytes,
            connection,
        };
        if tell.send(came).is_ok() {
            talk(&mut peer);
        }
    });
    (origin, told)
}

/// One that answers each request with the number of its connection.
fn origin() -> (Origin, Receiver<Came>) {
    origin_with(|peer| {
        while peer.request().is_some() {
            let number = peer.number().to_string();
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{number}",
                number.len()
            ));
        }
    })
}

fn edge(at: &[SocketAddr], proxy: &str, filters: &str) -> Edge {
    edge_with(at, &format!("\"proxy_protocol\": {proxy}"), filters)
}

fn edge_with(at: &[SocketAddr], upstream: &str, filters: &str) -> Edge {
    let config = kit::config_to(at, &format!("{{ {upstream} }}"), filters);
    let web = r#"{ "name": "web", "bind": "127.0.0.1:0" }"#;
    let behind = r#"{ "name": "behind", "bind": "127.0.0.1:0", "proxy_protocol": { "trust": ["127.0.0.1"] } }"#;
    Edge::start(&config.replacen(web, &format!("{web}, {behind}"), 1))
}

fn body(client: &mut Client<TcpStream>) -> String {
    let response = client.get("/");
    assert_eq!(response.status, 200);
    String::from_utf8(response.body).expect("text")
}

fn next(told: &Receiver<Came>) -> Came {
    told.recv_timeout(PATIENCE).expect("a connection")
}

#[test]
fn a_connection_begins_with_its_client() {
    for version in [
        "\"v1\"",
        "\"v2\"",
        r#"{ "version": "v2", "tlvs": ["crc32c"] }"#,
    ] {
        let (origin, told) = origin();
        let edge = edge(&[origin.at], version, "[]");
        let mut client = Client::connect(edge.at());
        let own = client.stream.local_addr().expect("an address");
        assert_eq!(body(&mut client), "0");
        let came = next(&told);
        let want = (own.to_string(), edge.at().to_string());
        assert_eq!(came.ends(), want, "{version}");
        assert_eq!(came.header.command, Command::Proxy);
        assert_eq!(came.header.transport, Transport::Stream);
        assert_eq!(came.bytes[0] == b'P', version == "\"v1\"");
        let kinds: Vec<u8> = came.tlvs().iter().map(|t| t.0).collect();
        let sum = version.contains("crc32c").then_some(Tlv::CRC32C);
        assert_eq!(kinds, Vec::from_iter(sum), "{version}");
    }
}

#[test]
fn a_connection_serves_its_client_only_and_ends_with_it() {
    let (origin, told) = origin();
    let edge = edge(&[origin.at], "\"v2\"", "[]");
    let mut first = Client::connect(edge.at());
    let mut second = Client::connect(edge.at());
    for _ in 0..3 {
        assert_eq!(body(&mut first), "0", "used again for the same client");
        assert_eq!(body(&mut second), "1");
    }
    let (one, two) = (next(&told), next(&told));
    assert_eq!((one.connection, two.connection), (0, 1));
    assert_ne!(one.ends().0, two.ends().0);
    drop(first);
    origin.wait_for_ends(1);
    assert_eq!(body(&mut second), "1");
    let mut third = Client::connect(edge.at());
    assert_eq!(body(&mut third), "2", "what the first left is nobody's");
    drop((second, third));
    origin.wait_for_ends(3);
    assert_eq!(origin.connections(), 3);
}

#[test]
fn a_client_that_turns_out_to_be_another_gets_another_connection() {
    let (origin, told) = origin();
    let filters = r#"[{ "use": "client_ip", "trust": ["127.0.0.0/8"] }]"#;
    let edge = edge(&[origin.at], "\"v1\"", filters);
    let mut client = Client::connect(edge.at());
    let mut send = |ip: &str| {
        let fields = format!("Host: a\r\nX-Forwarded-For: {ip}");
        client.send(format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n"));
        String::from_utf8(client.response().body).expect("text")
    };
    let got: Vec<String> = [
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.1",
        "2001:db8::1",
        "192.0.2.2",
    ]
    .iter()
    .map(|ip| send(ip))
    .collect();
    assert_eq!(got, ["0", "1", "0", "2", "1"]);
    let sources: Vec<String> = (0..3).map(|_| next(&told).ends().0).collect();
    assert_eq!(sources, ["192.0.2.1:0", "192.0.2.2:0", "[2001:db8::1]:0"]);
}

#[test]
fn what_is_kept_for_a_client_is_bounded() {
    let (origin, _told) = origin();
    let filters = r#"[{ "use": "client_ip", "trust": ["127.0.0.0/8"] }]"#;
    for (keepalive, kept) in [("", 16), (", \"keepalive\": { \"connections\": 3 }", 3)] {
        let edge = edge_with(
            &[origin.at],
            &format!("\"proxy_protocol\": \"v1\"{keepalive}"),
            filters,
        );
        let before = origin.connections();
        let mut client = Client::connect(edge.at());
        let mut send = |n: usize| {
            let fields = format!("Host: a\r\nX-Forwarded-For: 192.0.2.{n}");
            client.send(format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n"));
            assert_eq!(client.response().status, 200);
        };
        (0..40).for_each(&mut send);
        assert_eq!(origin.connections(), before + 40);
        // The newest are still there, newest first.
        (40 - kept..40).for_each(&mut send);
        assert_eq!(origin.connections(), before + 40, "{keepalive}");
        send(40 - kept - 1);
        assert_eq!(origin.connections(), before + 41, "{keepalive}");
    }
}

#[test]
fn no_connection_is_kept_if_none_shall_be() {
    let (origin, told) = origin();
    let edge = edge_with(
        &[origin.at],
        "\"proxy_protocol\": \"v2\", \"keepalive\": { \"connections\": 0 }",
        "[]",
    );
    let mut client = Client::connect(edge.at());
    assert_eq!(
        (body(&mut client), body(&mut client)),
        ("0".into(), "1".into())
    );
    assert_eq!(next(&told).ends(), next(&told).ends());
}

#[test]
fn upstreams_with_and_without_a_header_share_no_connection() {
    let (introduced, told) = origin();
    let at = introduced.at;
    let config = format!(
        r#"{{ "workers": 1, "listeners": [{{ "name": "web", "bind": "127.0.0.1:0" }}],
  "upstreams": [{{ "name": "a", "endpoints": ["{at}"], "proxy_protocol": "v1" }}, {{ "name": "b", "endpoints": ["{at}"] }}],
  "routes": [{{ "name": "a", "match": {{ "path": "/" }}, "to": "a" }}, {{ "name": "b", "match": {{ "path": "/b" }}, "to": "b" }}] }}"#
    );
    let edge = Edge::start(&config);
    let mut client = Client::connect(edge.at());
    assert_eq!(client.get("/").status, 200);
    next(&told);
    // The origin gives up a connection without a header.
    assert_eq!(client.get("/b").status, 502);
    assert_eq!(client.get("/").body, b"0");
}

#[test]
fn a_request_that_is_sent_again_is_introduced_again() {
    // Each connection serves one request, and ends when the second has come.
    let (origin, told) = origin_with(|peer| {
        if peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            let _second = peer.head();
        }
    });
    let edge = edge(&[origin.at], "\"v2\"", "[]");
    let mut client = Client::connect(edge.at());
    for _ in 0..3 {
        assert_eq!(client.get("/").status, 200);
    }
    let first = next(&told).ends();
    assert_eq!(
        (next(&told).ends(), next(&told).ends()),
        (first.clone(), first)
    );
}

#[test]
fn an_endpoint_that_refuses_leaves_the_header_to_the_next() {
    let (origin, told) = origin();
    let closed = kit::Port::refusing();
    let edge = edge(&[closed.at, origin.at], "\"v1\"", "[]");
    let mut client = Client::connect(edge.at());
    for _ in 0..4 {
        assert_eq!(body(&mut client), "0");
    }
    assert_eq!(next(&told).ends().1, edge.at().to_string());
}

#[test]
fn a_header_that_came_in_is_told_on() {
    let (origin, told) = origin();
    let wanted =
        r#"{ "version": "v2", "tlvs": ["authority", "unique_id", "ssl", "tlv_ea", "crc32c"] }"#;
    let edge = edge(&[origin.at], wanted, "[]");
    let ssl: &[u8] = &[
        1, 0, 0, 0, 1, 0x21, 0, 7, b'T', b'L', b'S', b'v', b'1', b'.', b'3',
    ];
    let sent = [
        (Tlv::AUTHORITY, &b"b.example"[..]),
        (Tlv::NOOP, &[0; 9]),
        (Tlv::AWS, b"\x01vpce-1"),
        (Tlv::SSL, ssl),
        (Tlv::UNIQUE_ID, b"theirs"),
    ];
    let tlvs = sent.map(|(kind, value)| Tlv { kind, value });
    let ends = proxy::Ends {
        source: "[2001:db8::7]:40000".parse().expect("an address"),
        destination: "[2001:db8::1]:443".parse().expect("an address"),
    };
    let mut header = Vec::new();
    proxy::write_v2(&proxy::Origin::Stream(ends), &tlvs, true, &mut header).expect("written");
    let mut client = Client::connect(edge.gateway.addresses()[1].1);
    client.send(&header);
    assert_eq!(body(&mut client), "0");
    let came = next(&told);
    let (source, destination) = came.ends();
    assert_eq!(
        (&*source, &*destination),
        ("[2001:db8::7]:40000", "[2001:db8::1]:443")
    );
    let tlvs = came.tlvs();
    assert_eq!(tlvs[0], (Tlv::AUTHORITY, b"b.example".to_vec()));
    assert_eq!(tlvs[1], (Tlv::UNIQUE_ID, b"theirs".to_vec()));
    assert_eq!(tlvs[2], (Tlv::SSL, ssl.to_vec()));
    assert_eq!(tlvs[3], (Tlv::AWS, b"\x01vpce-1".to_vec()));
    assert_eq!((tlvs[4].0, tlvs.len()), (Tlv::CRC32C, 5));
    // Of a client that said nothing only a name is known, which no other has.
    let mut plain = [Client::connect(edge.at()), Client::connect(edge.at())];
    let names = plain.each_mut().map(|client| {
        body(client);
        let tlvs = next(&told).tlvs();
        assert_eq!((tlvs[0].0, tlvs.len()), (Tlv::UNIQUE_ID, 2));
        tlvs[0].1.clone()
    });
    assert!(names.iter().all(|n| n.len() == 32 && n.is_ascii()));
    assert_ne!(names[0], names[1]);
}

#[test]
fn tls_comes_after_the_header_and_what_it_proved_before_is_told() {
    let (servers, clients) = (Authority::new("of servers"), Authority::new("of clients"));
    let folder = Folder::new();
    let leaf = servers.server(&["a.example", "127.0.0.1"]);
    folder.pair("a", &leaf);
    folder.put("ca.pem", &clients.pem);
    folder.put("servers.pem", &servers.pem);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    let (tell, told) = channel();
    let server = Arc::new(server_config(&leaf, None));
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
            let byte = || {
                let mut byte = [0];
                stream.read_exact(&mut byte).ok()?;
                Some(byte[0])
            };
            let Some((header, bytes)) = read_header(byte) else {
                continue;
            };
            let connection = rustls::ServerConnection::new(server.clone()).expect("a server");
            let mut secure = rustls::StreamOwned::new(connection, stream);
            let came = Came {
                header,
                bytes,
                connection: 0,
            };
            if kit::tls::head(&mut secure).is_none() || tell.send(came).is_err() {
                return;
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            std::io::Write::write_all(&mut secure, answer).expect("sent");
        }
    });
    let tls = one(r#", "client": { "mode": "optional", "ca": "ca.pem" }"#);
    let upstream = r#"{ "tls": { "ca": "servers.pem" },
        "proxy_protocol": { "version": "v2", "tlvs": ["alpn", "authority", "ssl", "crc32c"] } }"#;
    let edge = Edge::start_in(&folder.0, &kit::tls::config(at, &tls, upstream));
    for (shows, cn) in [
        (Some(clients.client(&["alice"], &[])), Some("alice")),
        (None, None),
    ] {
        let mut config = client_config(&servers.roots(), shows.as_ref());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut client = connect(edge.at(), "a.example", &Arc::new(config)).expect("secure");
        assert_eq!(client.get("/").status, 200, "{cn:?}");
        let came: Came = told.recv_timeout(PATIENCE).expect("a connection");
        assert_eq!(came.ends().1, edge.at().to_string());
        let tlvs = came.tlvs();
        assert_eq!(tlvs[0], (Tlv::ALPN, b"http/1.1".to_vec()));
        assert_eq!(tlvs[1], (Tlv::AUTHORITY, b"a.example".to_vec()));
        assert_eq!((tlvs[2].0, tlvs[3].0), (Tlv::SSL, Tlv::CRC32C));
        let mut ssl = Ssl::parse(&tlvs[2].1).expect("well-formed");
        assert_eq!(
            (ssl.client, ssl.verified),
            if cn.is_some() { (7, true) } else { (1, false) }
        );
        let parts: Vec<(u8, String)> = ssl
            .parts
            .by_ref()
            .map(|t| (t.kind, String::from_utf8_lossy(t.value).into_owned()))
            .collect();
        let value = |kind| parts.iter().find(|p| p.0 == kind).map(|p| p.1.as_str());
        assert_eq!(value(Ssl::VERSION), Some("TLSv1.3"));
        assert_eq!(value(Ssl::CN), cn);
        assert!(
            value(Ssl::CIPHER).is_some_and(|c| c.starts_with("TLS_AES_")),
            "{parts:?}"
        );
    }
}

#[test]
fn a_reload_closes_what_was_introduced_otherwise() {
    let (origin, told) = origin();
    let edge = edge(&[origin.at], "\"v1\"", "[]");
    let mut client = Client::connect(edge.at());
    assert_eq!(body(&mut client), "0");
    assert_eq!(next(&told).bytes[0], b'P');
    let config = kit::config_to(&[origin.at], r#"{ "proxy_protocol": "v2" }"#, "[]");
    edge.reload(&config);
    let mut again = || body(&mut client) == "1";
    wait_until("the new config is in force", &mut again);
    assert_eq!(next(&told).bytes[0], b'\r');
}

#[test]
fn streams_of_one_connection_are_one_client() {
    let (origin, told) = origin();
    let behind = "\"proxy_protocol\": { \"trust\": [\"127.0.0.9\"] }";
    let upstream = r#""proxy_protocol": { "version": "v2", "tlvs": ["unique_id"] }"#;
    let edge = Edge::start(&config2(&[origin.at], "", behind, upstream, "[]"));
    let mut names = Vec::new();
    for first in [0, 1] {
        run(async {
            let (send, _) = http2::connect(edge.at()).await;
            for _ in 0..3 {
                let answer = fetch(&send, get("/")).await.expect("an answer");
                assert_eq!((answer.status, answer.text()), (200, first.to_string()));
            }
        });
        let came = next(&told);
        assert_eq!(came.ends().1, edge.at().to_string());
        names.push(came.tlvs()[0].1.clone());
        // With the client's connection ends what was kept for it.
        origin.wait_for_ends(first + 1);
    }
    assert_ne!(names[0], names[1]);
}
