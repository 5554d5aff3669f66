//! Connections to upstreams that are not made, or were dead: what is tried next, and what is not.

mod kit;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::{full, Client, Edge, Origin, Peer, Port};

/// An origin's part: answers every request with its own name.
fn named(name: &'static str) -> impl Fn(Peer) + Send + Sync + 'static {
    move |mut peer| {
        while peer.request().is_some() {
            let len = name.len();
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{name}"
            ));
        }
    }
}

fn resting(edge: &Edge) -> usize {
    edge.gateway
        .upstreams_json()
        .matches("\"resting\":true")
        .count()
}

#[test]
fn a_refused_connection_goes_to_the_next_endpoint_whatever_the_method() {
    let dead = [Port::refusing(), Port::refusing()];
    let origin = Origin::echo();
    let endpoints = [dead[0].at, dead[1].at, origin.at];
    let edge = Edge::with(&endpoints, r#"{ "rest": "60s" }"#, "[]");
    let mut client = Client::connect(edge.at());
    for (i, method) in ["POST", "GET", "DELETE", "PATCH"].iter().enumerate() {
        client.send(format!(
            "{method} /{i} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
        ));
        assert_eq!(client.response().status, 200, "{method}");
    }
    let bodies: Vec<_> = origin.requests().into_iter().map(|r| r.body).collect();
    assert_eq!(bodies, [b"hello"; 4], "each once");
    assert_eq!(resting(&edge), 2);
    // While they rest nobody knocks.
    assert_eq!(edge.counter("upstream_refused"), 2);
}

#[test]
fn a_rest_ends() {
    let dead = Port::refusing();
    let alive = Origin::start(named("alive"));
    let edge = Edge::with(&[dead.at, alive.at], r#"{ "rest": "100ms" }"#, "[]");
    let mut client = Client::connect(edge.at());
    for _ in 0..2 {
        assert_eq!(client.get("/").body, b"alive");
    }
    assert_eq!(resting(&edge), 1);
    let _back = Origin::behind(dead.open(), named("back"));
    let begun = Instant::now();
    while client.get("/").body != b"back" {
        assert!(
            begun.elapsed() < kit::PATIENCE,
            "it never got a request again"
        );
    }
    assert_eq!(resting(&edge), 0);
}

#[test]
fn all_refused_is_503_at_once() {
    let dead = [Port::refusing(), Port::refusing()];
    let edge = Edge::with(&[dead[0].at, dead[1].at], r#"{ "rest": "60s" }"#, "[]");
    let mut client = Client::connect(edge.at());
    let begun = Instant::now();
    for _ in 0..20 {
        let answer = client.get("/");
        assert_eq!((answer.status, &*answer.code()), (503, "upstream_refused"));
        assert!(answer
            .field("proxy-status")
            .is_some_and(|s| s.contains("connection_refused")));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "nothing is waited for"
    );
    // One comes back while all rest: it is found, by the first request or the second.
    let [back, _still_dead] = dead;
    let _origin = Origin::behind(back.open(), named("back"));
    assert_eq!(client.get("/").body, b"back");
}

#[test]
fn if_all_rest_the_longest_rested_is_tried_first() {
    let a = Port::refusing();
    let b = Origin::start(named("b"));
    let at_b = b.at;
    let edge = Edge::with(
        &[a.at, b.at],
        r#"{ "rest": "60s", "keepalive": { "connections": 0 } }"#,
        "[]",
    );
    let mut client = Client::connect(edge.at());
    for _ in 0..2 {
        assert_eq!(client.get("/").body, b"b");
    }
    b.kill();
    // B refuses and rests, then A is tried again, in vain, and rests anew: B has rested longest.
    let deadline = Instant::now() + kit::PATIENCE;
    while client.get("/").status != 503 {
        assert!(Instant::now() < deadline, "the port stays open");
    }
    assert_eq!(resting(&edge), 2);
    let _a = Origin::behind(a.open(), named("a"));
    let _b = Origin::start_at(at_b, named("b again"));
    assert_eq!(client.get("/").body, b"b again");
}

#[test]
fn no_connection_in_time_is_504() {
    let (listener, _queue) = full();
    let at = listener.local_addr().expect("an address");
    let settings = r#"{ "timeouts": { "connect": "300ms" } }"#;
    let edge = Edge::with(&[at], settings, "[]");
    let mut client = Client::connect(edge.at());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok");
    let begun = Instant::now();
    let answer = client.response();
    assert_eq!((answer.status, &*answer.code()), (504, "connect_timeout"));
    assert!(begun.elapsed() >= Duration::from_millis(290), "never early");
    assert_eq!(resting(&edge), 1);
}

#[test]
fn unix_sockets() {
    let path = std::env::temp_dir().join(format!("edge-{}.sock", std::process::id()));
    let _gone = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let n = count.fetch_add(1, SeqCst);
            let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
            let mut stream = stream;
            let mut requests = 0;
            while let Some(Ok(line)) = lines.next() {
                if !line.is_empty() {
                    continue;
                }
                requests += 1;
                if n == 0 && requests == 3 {
                    break; // dead when it is used again
                }
                let _closed = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix");
            }
            if n == 1 {
                return; // nobody listens any more
            }
        }
    });
    let other = Origin::start(named("tcp"));
    let config = format!(
        r#"{{ "workers": 1, "listeners": [{{ "name": "web", "bind": "127.0.0.1:0" }}],
  "upstreams": [{{ "name": "origin", "rest": "60s", "endpoints": ["unix:{0}.none", {{ "address": "unix:{0}", "weight": 1000 }}] }},
                {{ "name": "both", "rest": "60s", "endpoints": ["unix:{0}.none", "{1}"] }}],
  "routes": [{{ "name": "both", "match": {{ "path": "/both" }}, "to": "both" }},
             {{ "name": "all", "match": {{ "path": "/*" }}, "to": "origin" }}] }}"#,
        path.display(),
        other.at
    );
    let edge = Edge::start(&config);
    let mut client = Client::connect(edge.at());
    // The third finds its connection dead, and is sent again on another.
    for _ in 0..4 {
        assert_eq!(client.get("/").body, b"unix");
    }
    assert_eq!(accepted.load(SeqCst), 2);
    for _ in 0..3 {
        assert_eq!(client.get("/both").body, b"tcp");
    }
    std::fs::remove_file(&path).expect("it was there");
}

#[test]
fn a_request_sent_again_goes_on_when_its_unix_socket_has_gone() {
    let path = std::env::temp_dir().join(format!("edge-gone-{}.sock", std::process::id()));
    let _gone = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        drop(listener);
        let lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
        for (i, _) in lines
            .map_while(Result::ok)
            .filter(String::is_empty)
            .enumerate()
        {
            if i == 1 {
                return;
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix")
                .expect("the gateway listens");
        }
    });
    let other = Origin::start(named("tcp"));
    let config = format!(
        r#"{{ "workers": 1, "listeners": [{{ "name": "web", "bind": "127.0.0.1:0" }}],
  "upstreams": [{{ "name": "origin", "endpoints": [{{ "address": "unix:{}", "weight": 1000 }}, "{}"] }}],
  "routes": [{{ "name": "all", "match": {{ "path": "/*" }}, "to": "origin" }}] }}"#,
        path.display(),
        other.at
    );
    let edge = Edge::start(&config);
    let mut client = Client::connect(edge.at());
    assert_eq!(client.get("/").body, b"unix");
    assert_eq!(client.get("/").body, b"tcp");
    std::fs::remove_file(&path).expect("it was there");
}

/// What an origin does with the second request of a connection, which finds it "dead".
fn stale(deed: fn(Peer)) -> Origin {
    Origin::start(move |mut peer| {
        let mut served = 0;
        while peer.request().is_some() {
            if served == 1 && peer.number() == 0 {
                return deed(peer);
            }
            served += 1;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    })
}

#[test]
fn a_connection_that_died_while_idle() {
    type End = fn(Peer);
    let no_byte: &[(&str, End)] = &[("closed", Peer::close), ("reset", Peer::reset)];
    let a_byte: &[(&str, End)] = &[
        ("closed behind a byte", |mut peer| {
            peer.send("H");
            peer.close();
        }),
        ("reset behind an interim response", |mut peer| {
            peer.send("HTTP/1.1 103 Early Hints\r\n\r\n");
            peer.reset();
        }),
    ];
    let head =
        |method: &str, more: &str| format!("{method} /second HTTP/1.1\r\nHost: a\r\n{more}\r\n");
    let plain = ["GET", "HEAD", "OPTIONS"].map(|m| (head(m, ""), true));
    let unsafe_ones = ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"].map(|m| (head(m, ""), false));
    let bodies = [
        (head("POST", "Content-Length: 2\r\n") + "ok", false),
        (head("GET", "Content-Length: 2\r\n") + "ok", false),
        (
            head("GET", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
            false,
        ),
    ];
    let requests = plain.iter().chain(&unsafe_ones).chain(&bodies);
    for (request, safe) in requests {
        for (what, deed, again) in no_byte
            .iter()
            .map(|(w, d)| (w, d, *safe))
            .chain(a_byte.iter().map(|(w, d)| (w, d, false)))
        {
            let name = format!("{request:?}, {what}");
            let origin = stale(*deed);
            let edge = Edge::to(&[origin.at]);
            let mut client = Client::connect(edge.at());
            assert_eq!(client.get("/first").status, 200, "{name}");
            client.send(request);
            let method = request.split(' ').next().expect("a method");
            let mut answer = client.try_response(method).expect(&name);
            while answer.status == 103 {
                answer = client.try_response(method).expect(&name);
            }
            let (status, sent) = if again { (200, 3) } else { (502, 2) };
            assert_eq!(answer.status, status, "{name}");
            assert_eq!(client.get("/third").status, 200, "{name}");
            assert_eq!(origin.requests().len(), sent + 1, "{name}: sent too often");
        }
    }
}

#[test]
fn it_is_sent_again_once_and_only_on_a_new_connection() {
    // Every connection serves one request, and drops the next; new ones drop the request `/never`.
    let origin = Origin::start(|mut peer| {
        let mut served = 0;
        while let Some(request) = peer.request() {
            if served == 1 || request.head.starts_with("GET /never") {
                return peer.reset();
            }
            served += 1;
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    let never = |client: &mut Client| {
        let answer = client.get("/never");
        assert_eq!((answer.status, &*answer.code()), (502, "upstream_reset"));
        let all = origin.take();
        all.iter()
            .filter(|r| r.head.starts_with("GET /never"))
            .count()
    };
    assert_eq!(never(&mut client), 1, "a new connection is not stale");
    assert_eq!(client.get("/").status, 200);
    assert_eq!(never(&mut client), 2, "once more, and no third time");
    assert_eq!(client.get("/").status, 200);
}
