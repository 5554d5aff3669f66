//! What a client may rely on: order, versions, expectations, trailers, early answers, deadlines.

mod kit;

use std::io::Write;
use std::time::{Duration, Instant};

use kit::{Client, Edge, Origin};

/// One listener with these settings (a JSON object's inside), one origin, one early answer.
fn edge(origin: &Origin, listener: &str) -> Edge {
    Edge::start(&format!(
        r#"{{ "workers": 1,
  "listeners": [{{ "name": "web", "bind": "127.0.0.1:0" {listener} }},
                {{ "name": "clock", "bind": "127.0.0.1:0", "timeouts": {{ "head": "400ms" }} }}],
  "upstreams": [{{ "name": "origin", "endpoints": ["{}"] }}],
  "routes": [
    {{ "name": "small", "match": {{ "path": "/small" }}, "filters": [{{ "use": "body_limit", "max": "1KiB" }}], "to": "origin" }},
    {{ "name": "early", "match": {{ "path": "/early" }}, "filters": [{{ "use": "respond", "status": 429, "body": "{}" }}] }},
    {{ "name": "all", "match": {{ "path": "/*" }}, "to": "origin" }}] }}"#,
        origin.at,
        "early ".repeat(300)
    ))
}

/// Waits on a socket for at least 400 ms.
fn tick(edge: &Edge) {
    let mut client = Client::connect(edge.gateway.addresses()[1].1);
    client.send("GET");
    assert_eq!(client.response().status, 408);
}

#[test]
fn a_thousand_requests_at_once_are_answered_in_order() {
    let origin = Origin::echo();
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    let all: String = (0..1000)
        .map(|i| format!("GET /{i} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    client.send(all + "GET /bad HTTP/1.1\r\n\r\n");
    for i in 0..1000 {
        let body = String::from_utf8_lossy(&client.response().body).into_owned();
        assert_eq!(body, format!("GET /{i}"));
    }
    let last = client.response();
    assert_eq!((last.status, &*last.code()), (400, "missing_host"));
    assert_eq!(client.ends(), Ok(()));
    assert_eq!(origin.requests().len(), 1000);
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_old_client_says_whether_its_connection_stays() {
    let origin = Origin::serve(|r| {
        if r.head.starts_with("GET /chunks") {
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n".to_vec()
        } else {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec()
        }
    });
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let answer = client.response();
        assert_eq!(answer.field("connection"), Some("keep-alive"));
        assert_eq!(answer.body, b"ok");
    }
    client.send("GET / HTTP/1.0\r\n\r\n");
    let answer = client.response();
    assert_eq!(
        (answer.field("connection"), &answer.body[..]),
        (Some("close"), &b"ok"[..])
    );
    assert_eq!(client.ends(), Ok(()));
    // It knows no chunks: the end of such a body is the connection's.
    let mut client = Client::connect(edge.at());
    client.send("GET /chunks HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let answer = client.response();
    assert_eq!(answer.field("transfer-encoding"), None);
    assert_eq!(
        (answer.field("connection"), &answer.body[..]),
        (Some("close"), &b"ok"[..])
    );
    assert!(origin
        .requests()
        .iter()
        .all(|r| r.head.contains(" HTTP/1.1\r\n")));
}

#[test]
fn an_answer_to_head_says_a_length_and_has_no_body() {
    let origin = Origin::serve(|_| b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n".to_vec());
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    for _ in 0..3 {
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        let answer = client.try_response("HEAD").expect("a head");
        assert_eq!(answer.field("content-length"), Some("1000000"));
    }
    assert_eq!(origin.connections(), 1);
}

const EXPECT: &str =
    "POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

/// Sees the head, answers as told, then reads whatever the head announced.
fn expecting(before: &'static str, after: &'static str) -> Origin {
    Origin::start(move |mut peer| {
        while let Some(mut request) = peer.head() {
            peer.remember(request.clone());
            if !request.head.contains("Expect: 100-continue") {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnext");
                continue;
            }
            peer.send(before);
            let Some(body) = peer.exactly(5) else { return };
            request.body = body;
            peer.remember(request);
            peer.send(after);
        }
    })
}

#[test]
fn a_100_of_the_upstream_is_passed_on_and_the_body_follows() {
    let origin = expecting(
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    client.send(EXPECT);
    assert_eq!(client.response().status, 100);
    client.send("hello");
    let answer = client.response();
    assert_eq!((answer.status, answer.field("connection")), (200, None));
    assert_eq!(client.get("/next").body, b"next");
    assert_eq!(origin.requests()[1].body, b"hello");
}

#[test]
fn a_final_answer_to_an_expectation_ends_the_connection() {
    // The client may send the body or not: what follows could be either.
    let origin = expecting("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "");
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    client.send(EXPECT);
    let answer = client.response();
    assert_eq!(
        (answer.status, answer.field("connection")),
        (403, Some("close"))
    );
    client.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.ends(), Ok(()));
    origin.wait_for_ends(1);
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(Client::connect(edge.at()).get("/next").body, b"next");
}

#[test]
fn trailers_go_both_ways_to_whom_they_are_welcome() {
    let origin = Origin::serve(|_| {
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\ngrpc-status: 0\r\nSet-Cookie: a=b\r\n\r\n".to_vec()
    });
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    for (te, want) in [("TE: trailers\r\n", "grpc-status: 0\r\n"), ("", "")] {
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{te}Transfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n\r\n"));
        let answer = client.response();
        assert_eq!(
            (&answer.body[..], &*answer.trailers),
            (&b"ok"[..], want),
            "{te:?}"
        );
    }
    let sent: Vec<_> = origin.requests().into_iter().map(|r| r.trailers).collect();
    assert_eq!(sent, ["X-Sum: 1\r\n", ""]);
}

#[test]
fn a_connection_serves_as_many_requests_as_the_config_says() {
    let origin = Origin::echo();
    let edge = edge(&origin, r#", "limits": { "requests_per_connection": 3 }"#);
    let mut client = Client::connect(edge.at());
    for close in [None, None, Some("close")] {
        assert_eq!(client.get("/").field("connection"), close);
    }
    assert_eq!(client.ends(), Ok(()));
}

#[test]
fn an_early_answer_is_readable_however_much_is_being_sent() {
    let origin = Origin::echo();
    let edge = edge(&origin, "");
    for (path, status, length) in [
        ("/small", 413, 20 << 20),
        ("/early", 429, 20 << 20),
        ("/early", 429, 100 << 10),
    ] {
        for chunked in [false, true] {
            let name = format!("{path}, {length} bytes, chunked: {chunked}");
            let mut client = Client::connect(edge.at());
            let framing = if chunked {
                format!("Transfer-Encoding: chunked\r\n\r\n{length:x}")
            } else {
                format!("Content-Length: {length}\r\n")
            };
            client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{framing}\r\n"));
            // All of it, or until the gateway has had enough.
            client.send(vec![b'x'; length]);
            let answer = client.try_response("POST").expect(&name);
            assert_eq!(answer.status, status, "{name}");
        }
    }
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn a_small_body_behind_an_early_answer_is_read_away() {
    let origin = Origin::echo();
    let edge = edge(&origin, "");
    let mut client = Client::connect(edge.at());
    for _ in 0..5 {
        client.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n");
        client.send(vec![b'x'; 60000]);
        let answer = client.response();
        assert_eq!((answer.status, answer.field("connection")), (429, None));
    }
    assert_eq!(client.get("/next").body, b"GET /next");
}

/// Answers a POST as soon as its head is there.
fn hasty() -> Origin {
    Origin::start(|mut peer| {
        while let Some(request) = peer.head() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            if request.head.starts_with("POST ") {
                // No reset destroys the answer.
                while peer.exactly(1).is_some() {}
            }
        }
    })
}

#[test]
fn a_request_behind_a_large_body_that_nobody_read_is_not_lost() {
    const LENGTH: usize = 1 << 20;
    let origin = hasty();
    let edge = edge(&origin, "");
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{LENGTH:x}");
    let length = format!("Content-Length: {LENGTH}\r\n");
    for (path, status, framing, end) in [
        ("/early", 429, &chunked, "\r\n0\r\n\r\n"),
        ("/hasty", 200, &chunked, "\r\n0\r\n\r\n"),
        ("/hasty", 200, &length, ""),
    ] {
        let name = format!("{path}, {framing}");
        let mut client = Client::connect(edge.at());
        for _ in 0..3 {
            client.send(format!("POST {path} HTTP/1.1\r\nHost: a\r\n{framing}\r\n"));
            let answer = client.try_response("POST").expect(&name);
            let told = (answer.status, answer.field("connection"));
            assert_eq!(told, (status, None), "{name}");
            // All of the body has gone when the next request follows, as behind an answer that was not early.
            let mut rest = vec![b'x'; LENGTH];
            rest.extend_from_slice(end.as_bytes());
            rest.extend_from_slice(b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
            client.send(rest);
            assert_eq!(client.try_response("GET").expect(&name).body, b"ok");
        }
    }
}

#[test]
fn a_body_that_nobody_reads_is_not_read_for_ever() {
    let origin = hasty();
    let edge = edge(&origin, r#", "timeouts": { "stall": "300ms" }"#);
    let mut client = std::net::TcpStream::connect(edge.at()).expect("a connection");
    client
        .set_write_timeout(Some(kit::PATIENCE))
        .expect("timeout");
    let head = "POST /early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).expect("sent");
    let begun = Instant::now();
    while client.write_all(b"4\r\nmore\r\n").is_ok() {
        assert!(begun.elapsed() < kit::PATIENCE, "it is still read");
    }
    assert!(begun.elapsed() >= Duration::from_millis(290), "never early");
}

#[test]
fn a_silent_connection_is_closed_without_a_word() {
    let origin = Origin::echo();
    let edge = edge(
        &origin,
        r#", "timeouts": { "head": "150ms", "idle": "150ms" }"#,
    );
    let mut fresh = Client::connect(edge.at());
    assert_eq!(fresh.ends(), Ok(()));
    let mut used = Client::connect(edge.at());
    assert_eq!(used.get("/").status, 200);
    assert_eq!(used.ends(), Ok(()));
    let mut stray = Client::connect(edge.at());
    stray.send("\r\n");
    assert_eq!(stray.ends(), Ok(()), "a line end is no beginning");
}

#[test]
fn the_deadline_of_a_head_counts_from_its_own_first_byte() {
    let origin = Origin::echo();
    let edge = edge(&origin, r#", "timeouts": { "head": "1s", "idle": "30s" }"#);
    let mut client = Client::connect(edge.at());
    assert_eq!(client.get("/first").status, 200);
    client.send("\r\n");
    for _ in 0..3 {
        tick(&edge);
    }
    client.send("GET /second HT");
    tick(&edge);
    client.send("TP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().body, b"GET /second");
}

#[test]
fn a_drip_does_not_extend_the_deadline_of_a_head() {
    let origin = Origin::echo();
    let edge = edge(&origin, r#", "timeouts": { "head": "300ms" }"#);
    let mut client = Client::connect(edge.at());
    client
        .stream
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a timeout");
    client.send("GET / HTTP/1.1\r\nA: ");
    let begun = Instant::now();
    let answer = loop {
        client.send("a");
        match client.try_response("GET") {
            Ok(answer) => break answer,
            Err(e) => assert!(begun.elapsed() < kit::PATIENCE, "no answer yet: {e}"),
        }
    };
    assert_eq!((answer.status, &*answer.code()), (408, "head_timeout"));
}

#[test]
fn a_client_that_does_not_read_is_closed() {
    let origin = Origin::start(|mut peer| {
        while peer.request().is_some() {
            let length = 64 << 20;
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
            ));
            peer.send(vec![b'x'; length]);
        }
    });
    let edge = edge(&origin, r#", "timeouts": { "stall": "200ms" }"#);
    let mut client = Client::connect(edge.at());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.wait_for_ends(1);
    assert!(
        client.try_response("GET").is_err(),
        "and can tell that it was cut"
    );
}

#[test]
fn a_client_that_asks_on_and_does_not_read_is_closed() {
    let origin = Origin::echo();
    let edge = edge(&origin, r#", "timeouts": { "stall": "200ms" }"#);
    let mut client = Client::connect(edge.at());
    let mut asked = 0;
    let end = loop {
        asked += 1;
        match client
            .stream
            .write_all(b"GET /early HTTP/1.1\r\nHost: a\r\n\r\n")
        {
            Ok(()) => assert!(asked < 10_000_000, "nobody stops it"),
            Err(e) => break e.kind(),
        }
    };
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    assert!(
        matches!(end, BrokenPipe | ConnectionReset),
        "{end:?} after {asked}"
    );
}

#[test]
fn what_a_client_does_not_take_is_not_left_to_the_system() {
    let body = "x".repeat(16 << 10);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 16384\r\n\r\n{body}");
    let origin = Origin::serve(move |_| answer.clone().into());
    let edge = edge(&origin, r#", "timeouts": { "stall": "200ms" }"#);
    let mut client = Client::connect(edge.at());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(800));
    kit::wait_until("the connection is closed", || {
        kit::metric(&edge.gateway, "ironsluice_connections_active") == 0
    });
    let rest = client.rest();
    assert!(
        rest.is_err(),
        "a reset, and not an end: {:?}",
        rest.map(|r| r.len())
    );
}

#[test]
fn a_client_that_reads_slowly_is_not_the_upstreams_fault() {
    let length = 16 << 20;
    let origin = Origin::start(move |mut peer| {
        while peer.request().is_some() {
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
            ));
            peer.send(vec![b'x'; length]);
        }
    });
    let upstream = r#"{ "timeouts": { "stall": "500ms" } }"#;
    let quick = Edge::with(&[origin.at], upstream, "[]");
    let clock = edge(&origin, "");
    let mut client = Client::connect(quick.at());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..3 {
        tick(&clock);
    }
    assert_eq!(client.response().body.len(), length);
}
