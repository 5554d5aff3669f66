//! Bodies through TLS: both ways, whole, cut, and with as little room as the system gives.

mod kit;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;
use std::time::Duration;

use kit::tls::{self, client_config, config, one, server_config, Authority, Folder, SecureOrigin};
use kit::{Edge, Origin};

fn bytes(n: usize, seed: u64) -> Vec<u8> {
    let mut random = kit::Random(seed);
    (0..n).map(|_| random.next() as u8).collect()
}

/// Reads a request with a length and answers with its body; `/get` is answered with 3 MiB.
fn echo(mut peer: impl Read + Write) {
    while let Some(head) = tls::head(&mut peer) {
        let n: usize = kit::field(&head, "content-length").map_or(0, |n| n.parse().expect("n"));
        let mut body = vec![0; n];
        if peer.read_exact(&mut body).is_err() {
            return;
        }
        if head.starts_with("GET") {
            body = bytes(3 << 20, 5);
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        if peer
            .write_all(head.as_bytes())
            .and_then(|()| peer.write_all(&body))
            .is_err()
        {
            return;
        }
        let _sent = peer.flush();
    }
}

/// TLS on both sides, and a client of it.
fn both() -> (Authority, SecureOrigin, Folder, Edge) {
    let authority = Authority::new("the authority");
    let folder = Folder::new();
    folder.pair("a", &authority.server(&["a.example"]));
    folder.put("ca.pem", &authority.pem);
    let origin = SecureOrigin::start(server_config(&authority.server(&["127.0.0.1"]), None), echo);
    let up = r#"{ "tls": { "ca": "ca.pem" } }"#;
    let edge = Edge::start_in(&folder.0, &config(origin.at, &one(""), up));
    (authority, origin, folder, edge)
}

fn all_sizes(pause: Option<Duration>) {
    let (authority, _origin, _folder, edge) = both();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(tls::client_of(&authority.roots(), version));
        let mut client = tls::connect(edge.at(), "a.example", &config).expect("secure");
        for n in [
            0,
            1,
            100,
            16_383,
            16_384,
            16_385,
            70_000,
            1 << 20,
            3_000_001,
        ] {
            let body = bytes(n, n as u64);
            let head = format!("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: {n}\r\n\r\n");
            // An echo that is read only afterwards would need room for all of it on the way.
            client.send(head).send(&body);
            if let Some(pause) = pause {
                std::thread::sleep(pause);
            }
            let answer = client
                .try_response("POST")
                .unwrap_or_else(|e| panic!("{version:?} {n}: {e}"));
            assert!(answer.body == body, "{version:?} {n}");
        }
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        if let Some(pause) = pause {
            std::thread::sleep(pause);
        }
        assert!(client.response().body == bytes(3 << 20, 5), "{version:?}");
        // Several requests at once, answered in order.
        let four = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".repeat(4);
        client.send(four);
        for _ in 0..4 {
            assert!(client.response().body == bytes(3 << 20, 5), "{version:?}");
        }
        // The last answer is whole although the connection ends with it.
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n");
        if let Some(pause) = pause {
            std::thread::sleep(pause);
        }
        assert!(client.response().body == bytes(3 << 20, 5), "{version:?}");
        assert_eq!(client.ends(), Ok(()), "and the end is announced");
    }
}

/// One after the other: the buffers are the process's.
#[test]
fn of_all_sizes_both_ways_with_all_and_with_least_room() {
    all_sizes(None);
    net::counts::BUFFERS.store(1, Relaxed);
    all_sizes(Some(Duration::from_millis(20)));
    net::counts::BUFFERS.store(0, Relaxed);
}

#[test]
fn an_end_that_was_not_announced_is_a_cut() {
    let authority = Authority::new("the authority");
    let folder = Folder::new();
    folder.pair("a", &authority.server(&["a.example"]));
    folder.put("ca.pem", &authority.pem);
    for (what, announced) in [("with a word", true), ("without", false)] {
        // Until the end of the connection: only TLS can tell that all has come.
        let origin = SecureOrigin::start(
            server_config(&authority.server(&["127.0.0.1"]), None),
            move |mut peer| {
                let _head = tls::head(&mut peer);
                let answer = "HTTP/1.1 200 OK\r\n\r\nnot known how long";
                let _sent = peer.write_all(answer.as_bytes());
                let _sent = peer.flush();
                if announced {
                    peer.conn.send_close_notify();
                    let _sent = peer.conn.write_tls(&mut peer.sock);
                }
                let _closed = peer.sock.shutdown(Shutdown::Both);
            },
        );
        let up = r#"{ "tls": { "ca": "ca.pem" } }"#;
        let edge = Edge::start_in(&folder.0, &config(origin.at, &one(""), up));
        let client = Arc::new(client_config(&authority.roots(), None));
        let mut client = tls::connect(edge.at(), "a.example", &client).expect("secure");
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let answer = client.try_response("GET");
        match answer {
            Ok(answer) if announced => assert_eq!(answer.body, b"not known how long"),
            // Nothing of it had gone out yet.
            Ok(answer) => assert_eq!(answer.status, 502, "{what}"),
            Err(_) => assert!(!announced, "{what}: {answer:?}"),
        }
    }
}

#[test]
fn a_response_that_is_cut_upstream_is_cut_without_a_word() {
    let authority = Authority::new("the authority");
    let folder = Folder::new();
    folder.pair("a", &authority.server(&["a.example"]));
    let origin = Origin::start(|mut peer| {
        peer.head();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        std::thread::sleep(Duration::from_millis(100));
        peer.close();
    });
    let edge = Edge::start_in(&folder.0, &config(origin.at, &one(""), "{}"));
    let client = Arc::new(client_config(&authority.roots(), None));
    let mut client = tls::connect(edge.at(), "a.example", &client).expect("secure");
    client.send("GET / HTTP/1.0\r\nHost: a.example\r\n\r\n");
    let why = client.try_response("GET").expect_err("a cut");
    assert_ne!(why, "closed", "no end in good order");
}

#[test]
fn tunnels_end_half_by_half() {
    let authority = Authority::new("the authority");
    let folder = Folder::new();
    folder.pair("a", &authority.server(&["a.example"]));
    folder.put("ca.pem", &authority.pem);
    let leaf = authority.server(&["127.0.0.1"]);
    let origin = SecureOrigin::start(server_config(&leaf, None), |mut peer| {
        let _head = tls::head(&mut peer);
        let _sent = peer.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: line\r\n\r\n",
        );
        let _sent = peer.flush();
        let mut all = Vec::new();
        peer.read_to_end(&mut all)
            .expect("an end that was announced");
        // The other side has finished; this one has not.
        all.reverse();
        let _sent = peer.write_all(&all);
        let _sent = peer.flush();
        peer.conn.send_close_notify();
        let _sent = peer.conn.write_tls(&mut peer.sock);
    });
    let up = r#"{ "tls": { "ca": "ca.pem" } }"#;
    let edge = Edge::start_in(&folder.0, &config(origin.at, &one(""), up));
    let client = Arc::new(client_config(&authority.roots(), None));
    let mut client = tls::connect(edge.at(), "a.example", &client).expect("secure");
    client
        .send("GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: line\r\n\r\n");
    assert_eq!(client.response().status, 101);
    let mut all = bytes(300_000, 11);
    client.send(&all);
    client.stream.conn.send_close_notify();
    let _sent = client.stream.flush();
    all.reverse();
    assert!(client.rest().expect("the rest") == all);
}
