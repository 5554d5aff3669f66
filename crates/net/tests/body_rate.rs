//! Bodies that come too slowly, and those that do not.

mod kit;

use std::io::{ErrorKind, Write as _};
use std::sync::{mpsc, Mutex};
use std::time::{Duration, Instant};

use kit::{Client, Edge, Origin};

/// A listener with these bounds, and one whose clients are told after 400 ms that their head did not come.
fn edge(origin: &Origin, rate: u64, stall: &str) -> Edge {
    Edge::start(&format!(
        r#"{{ "workers": 1,
  "listeners": [{{ "name": "web", "bind": "127.0.0.1:0", "timeouts": {{ "stall": "{stall}" }}, "limits": {{ "min_body_rate": {rate} }} }},
                {{ "name": "clock", "bind": "127.0.0.1:0", "timeouts": {{ "head": "400ms" }} }}],
  "upstreams": [{{ "name": "origin", "endpoints": ["{}"] }}],
  "routes": [{{ "name": "all", "match": {{ "path": "/*" }}, "to": "origin" }}] }}"#,
        origin.at
    ))
}

/// Sends `piece` every 40 ms, or later, up to so many times. The status of the answer that comes meanwhile, or at the `end`.
fn drip(edge: &Edge, head: &str, piece: &[u8], times: u32, end: &[u8]) -> (u16, Duration) {
    let mut client = Client::connect(edge.at());
    client.send(head);
    let begun = Instant::now();
    client
        .stream
        .set_read_timeout(Some(Duration::from_millis(40)))
        .expect("a timeout");
    let mut first = [0; 1];
    let mut answered = false;
    for _ in 0..times {
        client.send(piece);
        let seen = client.stream.peek(&mut first);
        answered = !matches!(&seen, Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
        if answered {
            break;
        }
    }
    let took = begun.elapsed();
    let patience = Some(kit::PATIENCE);
    client.stream.set_read_timeout(patience).expect("a timeout");
    if !answered {
        client.send(end);
    }
    (client.response().status, took)
}

const LENGTH: &str = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
const CHUNKED: &str = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn a_body_that_drips_is_a_408_in_time() {
    let origin = Origin::echo();
    let edge = edge(&origin, 500, "300ms");
    // 25 bytes a second; no 300 ms are without one.
    for (head, piece) in [(LENGTH, &b"x"[..]), (CHUNKED, b"1\r\nx\r\n")] {
        let (status, took) = drip(&edge, head, piece, 900, b"");
        assert_eq!(status, 408, "{head}");
        assert!(took >= Duration::from_millis(290), "never early: {took:?}");
        assert!(took < kit::PATIENCE / 2, "{took:?}");
    }
    origin.wait_for_ends(2);
}

#[test]
fn a_body_that_is_fast_enough_or_need_not_be_goes_through() {
    let origin = Origin::echo();
    let slow = edge(&origin, 0, "2s");
    let (status, took) = drip(&slow, CHUNKED, b"1\r\nx\r\n", 60, b"0\r\n\r\n");
    assert_eq!(status, 200);
    assert!(took > Duration::from_secs(2), "{took:?}");
    let quick = edge(&origin, 20, "1s");
    let (status, took) = drip(
        &quick,
        CHUNKED,
        b"10\r\n0123456789abcdef\r\n",
        60,
        b"0\r\n\r\n",
    );
    assert_eq!(status, 200);
    assert!(took > Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_call_of_grpc_may_be_silent() {
    let origin = Origin::echo();
    let edge = edge(&origin, 1_000_000, "400ms");
    let head = CHUNKED.replace("Host: a", "Host: a\r\nContent-Type: application/grpc");
    let (status, took) = drip(&edge, &head, b"1\r\nx\r\n", 20, b"0\r\n\r\n");
    assert_eq!(status, 200);
    assert!(took > Duration::from_millis(600), "{took:?}");
}

#[test]
fn time_in_which_the_upstream_takes_nothing_is_not_the_clients() {
    let length = 32 << 20;
    let (open, gate) = mpsc::channel::<()>();
    let gate = Mutex::new(gate);
    let origin = Origin::start(move |mut peer| {
        if gate.lock().expect("nobody panicked").recv().is_err() {
            return;
        }
        if let Some(request) = peer.request() {
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Length: {}\r\n\r\n",
                request.body.len()
            ));
        }
    });
    let edge = edge(&origin, 1_000_000_000, "1s");
    let mut client = Client::connect(edge.at());
    let mut sender = client.stream.try_clone().expect("another handle");
    let sending = std::thread::spawn(move || {
        let head = format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        sender.write_all(head.as_bytes()).expect("sent");
        sender.write_all(&vec![b'x'; length]).expect("sent");
    });
    for _ in 0..4 {
        let mut clock = Client::connect(edge.gateway.addresses()[1].1);
        clock.send("GET");
        assert_eq!(clock.response().status, 408);
    }
    open.send(()).expect("the origin waits");
    let response = client.response();
    assert_eq!(response.status, 200);
    assert_eq!(
        response.field("x-length"),
        Some(length.to_string().as_str())
    );
    sending.join().expect("all was sent");
}
