//! What an idle connection costs: memory of the shards between 5,000 and 15,000 connections that
//! have each served a request. The clients live in a process of their own, which is this file run
//! again with [`HOLD`] set; what the kernel keeps for sockets is not counted.

mod kit;

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use kit::{config_to, Client, Edge, Origin};

#[test]
fn an_idle_connection_costs_at_most_300_bytes() {
    raise_open_files();
    // It remembers nothing: its memory is this process's, too.
    let origin = Origin::start(|mut peer| {
        while peer.head().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let config = config_to(&[origin.at], "{}", "[]").replace("\"workers\": 1", "\"workers\": 2");
    let edge = Edge::start(&config);
    let mut holders = Vec::new();
    let mut memory = Vec::new();
    for (total, more) in [(5_000, 5_000), (15_000, 10_000)] {
        holders.push(Holder::start(&edge, more));
        // One more, on the main thread: all others are idle by now.
        assert_eq!(Client::connect(edge.at()).get("/").status, 200);
        memory.push((total, resident()));
    }
    let (from, to) = (memory[0], memory[1]);
    let slope = (to.1 as f64 - from.1 as f64) / f64::from(to.0 - from.0);
    println!("{slope:.0} bytes for each connection ({memory:?})");
    assert!(
        slope <= 300.0,
        "{slope:.0} bytes for each connection: {memory:?}"
    );
    drop(holders);
}

/// A process that holds connections.
struct Holder(Child);

impl Holder {
    fn start(edge: &Edge, connections: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this file"))
            .args(["--exact", "--nocapture", "hold"])
            .env(HOLD, format!("{} {connections}", edge.at()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a second process");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let held = out
            .lines()
            .map_while(Result::ok)
            .any(|l| l.contains("held"));
        assert!(held, "the connections could not be made");
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ended = self.0.wait();
    }
}

/// Not a test of its own: the other process's part.
#[test]
fn hold() {
    let Ok(order) = std::env::var(HOLD) else {
        return;
    };
    raise_open_files();
    let (to, n) = order.split_once(' ').expect("an address and a number");
    let n: usize = n.parse().expect("a number");
    let mut held: Vec<TcpStream> = Vec::new();
    for _ in 0..n {
        let mut client = Client::connect(to.parse().expect("an address"));
        assert_eq!(client.get("/").status, 200);
        held.push(client.stream);
    }
    println!("held {}", held.len());
    std::io::stdout().flush().expect("said");
    let _ends = std::io::stdin().read_line(&mut String::new());
}

/// Bytes of this process that are in memory.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the status");
    let line = status
        .lines()
        .find(|l| l.starts_with("VmRSS:"))
        .expect("VmRSS");
    let kib: u64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number");
    kib << 10
}

fn raise_open_files() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is that of one live struct, both times.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        assert!(
            limit.rlim_max >= 16_000,
            "this test needs 16,000 open files: ulimit -n says {}",
            limit.rlim_max
        );
        limit.rlim_cur = limit.rlim_max.min(1 << 20);
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
}

const HOLD: &str = "IRONSLUICE_TEST_HOLD";
