//! The PROXY protocol: from listed peers a header must come first, from others none is believed.

mod kit;

use std::time::{Duration, Instant};

use kit::{field, Client, Edge, Origin, Pieces};

fn edge(origin: &Origin, trust: &str) -> Edge {
    Edge::start(&format!(
        r#"{{ "workers": 1,
  "listeners": [{{ "name": "web", "bind": "127.0.0.1:0", "timeouts": {{ "head": "300ms" }}, "proxy_protocol": {{ "trust": ["{trust}"] }} }}],
  "upstreams": [{{ "name": "origin", "endpoints": ["{}"] }}],
  "routes": [{{ "name": "all", "match": {{ "path": "/*" }}, "to": "origin" }}] }}"#,
        origin.at
    ))
}

/// Version 2: version and command, family, and what follows, with its length.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(rest.len()).expect("a length").to_be_bytes());
    header.extend(rest);
    header
}

const V4: &[u8] = &[203, 0, 113, 7, 10, 0, 0, 1, 0x30, 0x39, 0, 80];
const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n";

#[test]
fn a_listed_peer_says_whose_connection_it_is() {
    let v6: Vec<u8> = [
        &[0x20, 1, 0xd, 0xb8][..],
        &[0; 11],
        &[9],
        &[0; 16],
        &[0x30, 0x39, 0, 80],
    ]
    .concat();
    let noop = [V4, &[4, 0, 3, 1, 2, 3]].concat();
    let long = [V4, &[4, 0x0e, 0x74], &[7; 3700]].concat();
    let cases: &[(&str, Vec<u8>, &str)] = &[
        (
            "v1",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 12345 80\r\n".to_vec(),
            "203.0.113.7",
        ),
        (
            "v1, IPv6",
            b"PROXY TCP6 2001:db8::9 ::1 12345 80\r\n".to_vec(),
            "2001:db8::9",
        ),
        ("v1, unknown", b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        ("v2", v2(0x21, 0x11, V4), "203.0.113.7"),
        ("v2, IPv6", v2(0x21, 0x21, &v6), "2001:db8::9"),
        ("v2, TLVs", v2(0x21, 0x11, &noop), "203.0.113.7"),
        ("v2, 3.7 KB of TLVs", v2(0x21, 0x11, &long), "203.0.113.7"),
        ("v2, local", v2(0x20, 0x11, V4), "127.0.0.1"),
        ("v2, local without addresses", v2(0x20, 0, &[]), "127.0.0.1"),
        ("v2, unspecified", v2(0x21, 0, &[]), "127.0.0.1"),
        ("v2, unix", v2(0x21, 0x31, &[b'a'; 216]), "127.0.0.1"),
    ];
    let origin = Origin::echo();
    let edge = edge(&origin, "127.0.0.0/8");
    for (name, header, want) in cases {
        for pieces in [Pieces::Whole, Pieces::Bytes, Pieces::Random(0x5eed)] {
            let name = format!("{name}, {pieces:?}");
            let mut client = Client::connect(edge.at());
            // In one piece the request comes in the same segment, and two more behind it.
            client.send_in(
                pieces,
                [header, REQUEST.as_bytes(), REQUEST.as_bytes()].concat(),
            );
            for _ in 0..2 {
                let answer = client.try_response("GET").expect(&name);
                assert_eq!(answer.status, 200, "{name}");
            }
            for request in origin.take() {
                assert_eq!(
                    field(&request.head, "x-forwarded-for"),
                    Some(*want),
                    "{name}"
                );
            }
        }
    }
}

#[test]
fn a_listed_peer_that_sends_anything_else_is_closed() {
    let cases: &[(&str, Vec<u8>)] = &[
        ("none", REQUEST.into()),
        (
            "v1, port",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 65536 80\r\n".to_vec(),
        ),
        (
            "v1, leading zero",
            b"PROXY TCP4 203.0.113.07 10.0.0.1 12345 80\r\n".to_vec(),
        ),
        (
            "v1, bare LF",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 12345 80\n".to_vec(),
        ),
        (
            "v1, too long",
            [b"PROXY UNKNOWN ", &[b'a'; 100][..]].concat(),
        ),
        ("v2, version", v2(0x11, 0x11, V4)),
        ("v2, command", v2(0x22, 0x11, V4)),
        ("v2, family", v2(0x21, 0x41, V4)),
        ("v2, short", v2(0x21, 0x11, &V4[..11])),
        (
            "v2, TLV past the end",
            v2(0x21, 0x11, &[V4, &[4, 0, 9, 1]].concat()),
        ),
        (
            "v2, checksum",
            v2(0x21, 0x11, &[V4, &[3, 0, 4, 1, 2, 3, 4]].concat()),
        ),
        ("v2, 64 KiB", v2(0x21, 0x11, &vec![0; 65535])),
    ];
    let origin = Origin::echo();
    let edge = edge(&origin, "127.0.0.1");
    for (name, header) in cases {
        for pieces in [Pieces::Whole, Pieces::Bytes] {
            let mut client = Client::connect(edge.at());
            client.send_in(pieces, [header, REQUEST.as_bytes()].concat());
            assert!(client.is_closed(), "{name}, {pieces:?}");
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_header_must_be_whole_by_the_deadline_of_a_head() {
    let origin = Origin::echo();
    let edge = edge(&origin, "127.0.0.1");
    let mut client = Client::connect(edge.at());
    client.send("PROXY TCP4 ");
    assert!(client.is_closed(), "silence");
    let mut client = Client::connect(edge.at());
    client
        .stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a timeout");
    let begun = Instant::now();
    let header = b"PROXY TCP4 203.0.113.7 10.0.0.1 12345 80\r\n";
    for byte in header {
        client.send([*byte]);
        if client.is_closed() {
            break;
        }
    }
    assert!(
        begun.elapsed() < Duration::from_millis(1500),
        "a drip extends nothing"
    );
}

#[test]
fn a_stranger_is_not_believed() {
    let origin = Origin::echo();
    let edge = edge(&origin, "10.0.0.0/8");
    for (header, code) in [
        (
            b"PROXY TCP4 203.0.113.7 10.0.0.1 12345 80\r\n".to_vec(),
            "bad_version",
        ),
        (v2(0x21, 0x11, V4), "empty_lines"),
    ] {
        let mut client = Client::connect(edge.at());
        client.send([&header, REQUEST.as_bytes()].concat());
        let answer = client.response();
        assert_eq!((answer.status, &*answer.code()), (400, code));
        assert_eq!(client.ends(), Ok(()));
    }
    assert_eq!(origin.connections(), 0);
    let mut client = Client::connect(edge.at());
    client.send(REQUEST);
    assert_eq!(client.response().status, 200);
    let requests = origin.requests();
    assert_eq!(
        field(&requests[0].head, "x-forwarded-for"),
        Some("127.0.0.1")
    );
}

/// Type, length and value.
fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(value.len()).expect("a length").to_be_bytes();
    [&[kind][..], &len, value].concat()
}

/// With a checksum behind the values.
fn summed(rest: &[u8]) -> Vec<u8> {
    let ends = wire::proxy::Ends {
        source: "203.0.113.7:12345".parse().expect("an address"),
        destination: "10.0.0.1:80".parse().expect("an address"),
    };
    let tlvs: Vec<_> = wire::proxy::Tlvs::new(rest).collect();
    let mut header = Vec::new();
    wire::proxy::write_v2(&wire::proxy::Origin::Stream(ends), &tlvs, true, &mut header)
        .expect("written");
    header
}

#[test]
fn what_a_header_says_is_read_by_routes_and_kept_for_its_connection() {
    let origin = Origin::echo();
    let edge = Edge::start(&format!(
        r#"{{ "workers": 1,
  "listeners": [{{ "name": "web", "bind": "127.0.0.1:0", "proxy_protocol": {{ "trust": ["127.0.0.1"] }} }}],
  "upstreams": [{{ "name": "origin", "endpoints": ["{}"] }}],
  "routes": [
    {{ "name": "host", "match": {{ "proxy": {{ "authority": "a.example" }} }}, "filters": [{{ "use": "respond", "body": "host" }}] }},
    {{ "name": "vpc", "match": {{ "proxy": {{ "aws_vpce_id": "vpce-1" }} }}, "filters": [{{ "use": "respond", "body": "vpc" }}] }},
    {{ "name": "cert", "match": {{ "proxy": {{ "ssl_verify": "success", "ssl_cn": true }} }}, "filters": [{{ "use": "respond", "body": "cert" }}] }},
    {{ "name": "rest", "filters": [{{ "use": "respond", "body": "rest" }}] }} ] }}"#,
        origin.at
    ));
    let ssl = [&[7, 0, 0, 0, 0][..], &tlv(0x22, b"alice")].concat();
    let host = tlv(2, b"A.Example");
    let with = |rest: &[u8]| v2(0x21, 0x11, &[V4, rest].concat());
    for (header, want) in [
        (with(&host), "host"),
        (summed(&host), "host"),
        (with(&tlv(2, b"b.example")), "rest"),
        (with(&tlv(0xea, b"\x01vpce-1")), "vpc"),
        (with(&tlv(0xea, b"\x02vpce-1")), "rest"),
        (with(&tlv(0x20, &ssl)), "cert"),
        (with(&[tlv(4, &[0; 3000]), host.clone()].concat()), "host"),
        // What is behind the addresses of a local connection says nothing.
        (v2(0x20, 0x11, &[V4, &host[..]].concat()), "rest"),
        (v2(0x21, 0, &host), "rest"),
        (b"PROXY TCP4 203.0.113.7 10.0.0.1 1 2\r\n".to_vec(), "rest"),
    ] {
        for cut in 0..=header.len().min(60) {
            let mut client = Client::connect(edge.at());
            client.send(&header[..cut]).send(&header[cut..]);
            for _ in 0..2 {
                let answer = client.get("/");
                assert_eq!((answer.status, &answer.body[..]), (200, want.as_bytes()));
            }
        }
    }
}

#[test]
fn malformed_headers_are_refused_wherever_they_are_cut() {
    let good = summed(&tlv(2, b"a.example"));
    let flipped = |at: usize| {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        bad
    };
    let with = |rest: &[u8]| v2(0x21, 0x11, &[V4, rest].concat());
    let cases = [
        ("no signature", flipped(3)),
        ("version", flipped(12)),
        ("checksum of the source", flipped(16)),
        ("checksum of a value", flipped(33)),
        ("checksum itself", flipped(good.len() - 1)),
        (
            "two checksums",
            with(&[tlv(3, &[0; 4]), tlv(3, &[0; 4])].concat()),
        ),
        ("short checksum", with(&tlv(3, &[0; 3]))),
        ("value without a length", with(&[2])),
        ("value past the end", with(&[2, 0, 5, b'a'])),
        ("long name", with(&tlv(5, &[b'x'; 129]))),
        ("ssl without its fields", with(&tlv(0x20, &[1, 0, 0, 0]))),
        (
            "ssl with a part past its end",
            with(&tlv(0x20, &[1, 0, 0, 0, 0, 0x22, 0, 9, b'a'])),
        ),
        (
            "too long",
            v2(0x21, 0x11, &[V4, &tlv(2, &[b'a'; 5000])].concat()),
        ),
        (
            "v1, no line end",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10 ".to_vec(),
        ),
        (
            "v1, values behind it",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 9 10 a\r\n".to_vec(),
        ),
    ];
    let origin = Origin::echo();
    let edge = edge(&origin, "127.0.0.1");
    let mut sent = 0;
    for (name, header) in &cases {
        for cut in 0..header.len().min(64) {
            let mut client = Client::connect(edge.at());
            client
                .send(&header[..cut])
                .send(&header[cut..])
                .send(REQUEST);
            assert!(client.is_closed(), "{name}, cut at {cut}");
            sent += 1;
        }
    }
    assert_eq!(origin.connections(), 0);
    let counted = || {
        edge.gateway
            .metrics_json()
            .contains(&format!("\"code\":\"proxy_header\"}},\"value\":{sent}"))
    };
    kit::wait_until("each is counted", counted);
}
