//! Reloads under load: a hundred in ten seconds, while requests run without pause on connections
//! that stay, and a WebSocket passes through; routes, upstreams and listeners come and go beside
//! them. No request fails, no connection is closed, and old configs leave no memory behind.

mod kit;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use kit::{resident, Client, Edge, Origin, PATIENCE};

#[test]
fn a_hundred_reloads_in_ten_seconds_harm_nobody() {
    let origin = Origin::start(|mut peer| {
        while let Some(request) = peer.head() {
            if request.head.contains("Upgrade") {
                peer.send(SWITCHED);
                while let Some(bytes) = peer.exactly(FRAME.len()) {
                    peer.send(bytes);
                }
                return;
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let edge = Edge::start(&config(origin.at, 0));
    let at = edge.at();
    let mut tunnel = Client::connect(at);
    tunnel.send(UPGRADE);
    assert_eq!(tunnel.try_response("HEAD").expect("a 101").status, 101);

    let (over, requests) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let load: Vec<_> = (0..8)
        .map(|_| {
            let (over, requests) = (over.clone(), requests.clone());
            thread::spawn(move || {
                // One connection for all: a closed one fails the test.
                let mut client = Client::connect(at);
                while !over.load(SeqCst) {
                    let r = client.get("/stays");
                    assert_eq!((r.status, &r.body[..]), (200, &b"ok"[..]));
                    assert_eq!(r.field("connection"), None);
                    requests.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();

    let began = Instant::now();
    for n in 1..=RELOADS {
        edge.reload(&config(origin.at, n));
        tunnel.send(FRAME);
        assert_eq!(tunnel.exactly(FRAME.len()).expect("an echo"), FRAME);
        // The pace is the test's subject; nothing is waited for.
        let next = began + Duration::from_millis(100) * n;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    over.store(true, SeqCst);
    for thread in load {
        thread.join().expect("no request fails");
    }
    let requests = requests.load(SeqCst);
    println!(
        "{RELOADS} reloads in {:?} beside {requests} requests",
        began.elapsed()
    );
    assert!(requests > u64::from(RELOADS) * 8, "{requests} requests");
    assert_eq!(edge.gateway.revision(), u64::from(RELOADS) + 1);
}

#[test]
fn old_configs_leave_no_memory_behind() {
    let origin = Origin::echo();
    let edge = Edge::start(&config(origin.at, 0));
    let mut client = Client::connect(edge.at());
    let mut reload = |from: u32, to: u32| {
        for n in from..to {
            edge.reload(&config(origin.at, n));
            if n % 16 == 0 {
                assert_eq!(client.get("/stays").status, 200);
            }
        }
        resident()
    };
    let first = reload(1, 600);
    let last = reload(600, 1800);
    let grown = last.saturating_sub(first);
    println!("{grown} bytes more after 1,200 reloads");
    // Each config brings three tables, three routes and an upstream on average; what stays is the
    // 3,600 names, so that one that comes back counts on.
    assert!(grown < 4 << 20, "memory grew by {grown} bytes");
}

#[test]
fn routes_that_left_are_not_shown_and_one_that_comes_back_counts_on() {
    let origin = Origin::echo();
    let edge = Edge::start(&config(origin.at, 1));
    assert_eq!(Client::connect(edge.at()).get("/1/0/a").status, 200);
    let shown = |route: &str| {
        edge.gateway
            .metrics_json()
            .contains(&format!(r#""route":"{route}""#))
    };
    assert!(shown("r1-0") && shown("stays"));
    for n in 2..=50 {
        edge.reload(&config(origin.at, n));
    }
    assert!(!shown("r1-0") && !shown("r48-0") && shown("r50-0"));
    edge.reload(&config(origin.at, 1));
    let counted = kit::metric_where(
        &edge.gateway,
        "ironsluice_requests_total",
        r#""route":"r1-0""#,
    );
    assert_eq!(counted, 1);
}

#[test]
fn a_listener_that_goes_takes_no_more_and_one_that_comes_does() {
    let origin = Origin::echo();
    let edge = Edge::start(&config(origin.at, 1));
    let old = address(&edge, "second");
    let mut kept = Client::connect(old);
    assert_eq!(kept.get("/a").status, 200);
    edge.reload(&config(origin.at, 2));
    // It answers what is asked on connections that it has, and says that it is the last.
    let deadline = Instant::now() + PATIENCE;
    while std::net::TcpStream::connect(old).is_ok() {
        assert!(Instant::now() < deadline, "the old listener still accepts");
    }
    assert!(
        kept.is_closed(),
        "an idle connection of a listener that went"
    );
    edge.reload(&config(origin.at, 3));
    let new = address(&edge, "second");
    assert_eq!(Client::connect(new).get("/b").status, 200);
}

fn address(edge: &Edge, name: &str) -> std::net::SocketAddr {
    let all = edge.gateway.addresses();
    let found = all.iter().find(|(n, _)| n == name);
    found.unwrap_or_else(|| panic!("{name} of {all:?}")).1
}

/// The n-th config: what the load uses stays, the rest comes and goes.
fn config(origin: std::net::SocketAddr, n: u32) -> String {
    let routes: String = (0..n % 7)
        .map(|k| {
            format!(
                r#"{{ "name": "r{n}-{k}", "match": {{ "path": "/{n}/{k}/*" }},
                "filters": [{{ "use": "rate_limit", "rate": "{}/s" }}], "to": "u{n}" }},"#,
                k + 1
            )
        })
        .collect();
    let second = if n % 2 == 1 {
        r#", { "name": "second", "bind": "127.0.0.1:0" }"#
    } else {
        ""
    };
    format!(
        r#"{{ "workers": 2,
  "listeners": [{{ "name": "web", "bind": "127.0.0.1:0" }}{second}],
  "upstreams": [{{ "name": "stays", "endpoints": ["{origin}"] }}, {{ "name": "u{n}", "endpoints": ["{origin}", "127.0.0.1:{}"] }}],
  "routes": [{routes} {{ "name": "stays", "match": {{ "path": "/*" }}, "to": "stays" }}] }}"#,
        1 + n % 60_000
    )
}

const RELOADS: u32 = 100;
const FRAME: &[u8] = b"\x82\x84abcdABCD";
const UPGRADE: &str =
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
