//! One connection's weight on the others: a body of 1 GiB beside small requests, a reader that
//! pauses, and connections on which nothing can move. Memory and waits are the process's, so all
//! of it is one test.

mod kit;

use std::io::{Read, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use kit::{resident, Client, Edge, Origin};
use net::counts;

#[test]
fn a_connection_takes_its_share_and_no_more() {
    let origin = Origin::start(|mut peer| {
        while let Some(request) = peer.head() {
            if request.head.starts_with("GET /large") {
                peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIB}\r\n\r\n"));
                pour(&mut peer.stream);
            } else if request.head.starts_with("POST") {
                swallow(&mut peer);
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            } else {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    });
    let edge = Edge::to(&[origin.at]);
    Client::connect(edge.at()).get("/");
    downloads(&edge);
    uploads(&edge);
    paused_reader(&edge);
    nothing_moves(&edge);
}

fn downloads(edge: &Edge) {
    let mut large = Client::connect(edge.at());
    large.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    let reader = thread::spawn(move || {
        let head = large.until(b"\r\n\r\n").expect("a head");
        assert!(head.starts_with(b"HTTP/1.1 200 "));
        let mut left = GIB - large.pending();
        let mut piece = vec![0; 256 << 10];
        while left > 0 {
            let n = large.stream.read(&mut piece).expect("more of the body");
            assert!(n > 0, "the body was cut with {left} bytes to come");
            left -= n as u64;
        }
    });
    beside(edge, "a download", reader);
}

fn uploads(edge: &Edge) {
    let mut large = Client::connect(edge.at());
    large.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {GIB}\r\n\r\n"
    ));
    let writer = thread::spawn(move || {
        pour(&mut large.stream);
        assert_eq!(large.response().status, 200);
    });
    beside(edge, "an upload", writer);
}

/// A thousand small requests on a connection of their own, while a large body is on its way.
fn beside(edge: &Edge, what: &str, large: thread::JoinHandle<()>) {
    let before = resident();
    let mut small = Client::connect(edge.at());
    let (mut slowest, mut most, mut during) = (Duration::ZERO, 0, 0);
    for _ in 0..SMALL {
        during += usize::from(!large.is_finished());
        let began = Instant::now();
        assert_eq!(small.get("/small").body, b"ok");
        slowest = slowest.max(began.elapsed());
        most = most.max(resident());
    }
    large.join().expect("the large body arrives whole");
    let grown = most.saturating_sub(before);
    println!("beside {what}: {during} of {SMALL} small requests, slowest {slowest:?}, {grown} bytes more");
    assert!(
        during > SMALL / 20,
        "{what}: over after {during} small requests"
    );
    assert!(
        slowest < Duration::from_secs(1),
        "{what}: one took {slowest:?}"
    );
    assert!(grown < 8 << 20, "{what}: memory grew by {grown} bytes");
}

/// A client that stops reading: its upstream is not read from, and nothing piles up.
fn paused_reader(edge: &Edge) {
    let before = resident();
    let mut large = Client::connect(edge.at());
    large.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    large.until(b"\r\n\r\n").expect("a head");
    let waits = until_quiet();
    let grown = resident().saturating_sub(before);
    println!("a paused reader: {waits} waits in {QUIET:?}, {grown} bytes more");
    assert!(grown < 8 << 20, "memory grew by {grown} bytes");
    // It goes on where it stopped.
    let mut left: u64 = 64 << 20;
    let mut piece = vec![0; 256 << 10];
    while left > 0 {
        let n = large.stream.read(&mut piece).expect("more of the body");
        left = left.saturating_sub(n as u64);
    }
}

/// Half a head, half a body, a half-closed idle connection: nothing can happen, so nothing does.
fn nothing_moves(edge: &Edge) {
    let mut head = Client::connect(edge.at());
    head.send("GET / HTTP/1.1\r\nHost: a\r\nA: ");
    let mut body = Client::connect(edge.at());
    body.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf");
    let mut closed = Client::connect(edge.at());
    closed.get("/");
    closed.finish();
    let waits = until_quiet();
    println!("connections on which nothing moves: {waits} waits in {QUIET:?}");
}

/// Waits until the shard rests, and counts how often it wakes in [`QUIET`]: a loop that turns for
/// nothing would wake thousands of times. At most 1 % of the time, at 20 µs a turn, would be 500.
fn until_quiet() -> u64 {
    let deadline = Instant::now() + kit::PATIENCE;
    loop {
        let before = counts::WAIT.load(Relaxed);
        thread::sleep(QUIET);
        let waits = counts::WAIT.load(Relaxed) - before;
        if waits < 100 {
            return waits;
        }
        assert!(
            Instant::now() < deadline,
            "{waits} waits in {QUIET:?}: it turns for nothing"
        );
    }
}

fn pour(stream: &mut std::net::TcpStream) {
    let piece = vec![b'x'; 256 << 10];
    for _ in 0..GIB / piece.len() as u64 {
        if stream.write_all(&piece).is_err() {
            return;
        }
    }
}

fn swallow(peer: &mut kit::Peer) {
    let mut left = GIB - peer.pending();
    let mut piece = vec![0; 256 << 10];
    while left > 0 {
        match peer.stream.read(&mut piece) {
            Ok(n @ 1..) => left -= n as u64,
            _ => return,
        }
    }
}

const GIB: u64 = 1 << 30;
const SMALL: usize = 1000;
const QUIET: Duration = Duration::from_secs(1);
