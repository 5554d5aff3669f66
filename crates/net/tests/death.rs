//! An upstream that dies under load, as by `kill -9`, and upstreams that come back. The origins are
//! processes of their own: this file run again.

mod kit;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use kit::{Client, Edge, Origin, Second, PATIENCE};

#[test]
fn at_most_the_requests_in_flight_to_a_dying_upstream_fail() {
    let (_stays, stays_at) = start(0);
    let (mut dies, dies_at) = start(0);
    let edge = Edge::to(&[stays_at, dies_at]);
    let over = Arc::new(AtomicBool::new(false));
    let at = edge.at();
    let load: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let over = over.clone();
            thread::spawn(move || {
                let (mut good, mut bad) = (0, 0);
                let mut client = Client::connect(at);
                while !over.load(SeqCst) {
                    match client.get("/").status {
                        200 => good += 1,
                        // The connection to the client stays, whatever became of the upstream's.
                        502 | 503 => bad += 1,
                        status => panic!("{status}"),
                    }
                }
                (good, bad)
            })
        })
        .collect();
    // All connections are in use by then.
    let mut probe = Client::connect(at);
    (0..200).for_each(|_| assert_eq!(probe.get("/").status, 200));
    dies.kill();
    let mut bad_probes = 0;
    for _ in 0..1000 {
        bad_probes += usize::from(probe.get("/").status != 200);
    }
    over.store(true, SeqCst);
    let counts: Vec<(usize, usize)> = load
        .into_iter()
        .map(|t| t.join().expect("each request is answered"))
        .collect();
    let good: usize = counts.iter().map(|(g, _)| g).sum();
    let bad: usize = bad_probes + counts.iter().map(|(_, b)| b).sum::<usize>();
    println!(
        "{bad} of {} requests failed, {} could be in flight",
        good + bad,
        CLIENTS + 1
    );
    assert!(bad <= CLIENTS + 1, "{bad} failed");
    assert!(good > 1000);
}

#[test]
fn both_gone_is_503_at_once_and_both_back_is_200_again() {
    let ((mut a, at_a), (mut b, at_b)) = (start(0), start(0));
    let edge = Edge::to(&[at_a, at_b]);
    let mut client = Client::connect(edge.at());
    assert_eq!(client.get("/").status, 200);
    a.kill();
    b.kill();
    let began = Instant::now();
    let codes: Vec<_> = (0..20).map(|_| client.get("/").status).collect();
    // The first may meet a connection that was idle when its origin died.
    assert!(codes[2..].iter().all(|c| *c == 503), "{codes:?}");
    assert!(began.elapsed().as_millis() < 1000, "{:?}", began.elapsed());
    let _back = (start(at_a.port()), start(at_b.port()));
    let deadline = Instant::now() + PATIENCE;
    while client.get("/").status != 200 {
        assert!(Instant::now() < deadline, "not back");
    }
    // An endpoint rests for a second after a refusal; then both carry requests.
    let mut ports = std::collections::HashSet::new();
    while ports.len() < 2 {
        assert!(Instant::now() < deadline, "only {ports:?} is asked");
        let r = client.get("/");
        assert_eq!(r.status, 200);
        ports.insert(String::from_utf8_lossy(&r.body).into_owned());
    }
}

/// An origin in a process of its own, at this port or at any.
fn start(port: u16) -> (Second, SocketAddr) {
    Second::start("serve", &port.to_string(), |l| {
        l.split("serves at ").nth(1)?.parse().ok()
    })
}

/// Not a test of its own: the other process's part.
#[test]
fn serve() {
    let Some(port) = Second::order() else {
        return;
    };
    let port: u16 = port.parse().expect("a port");
    let origin = Origin::start_at(([127, 0, 0, 1], port).into(), move |mut peer| {
        let at = peer.stream.local_addr().expect("an address");
        while peer.head().is_some() {
            let body = at.to_string();
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ));
        }
    });
    println!("serves at {}", origin.at);
    Second::stay();
}

const CLIENTS: usize = 16;
