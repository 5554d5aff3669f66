//! An upstream that dies under load, as by `kill -9`, and upstreams that come back. The origins are
//! processes of their own: this file run again with [`SERVE`] set.

mod kit;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use kit::{Client, Edge, Origin, PATIENCE};

#[test]
fn at_most_the_requests_in_flight_to_a_dying_upstream_fail() {
    let (stays, mut dies) = (Process::start(0), Process::start(0));
    let edge = Edge::to(&[stays.at, dies.at]);
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
    let (mut a, mut b) = (Process::start(0), Process::start(0));
    let (at_a, at_b) = (a.at, b.at);
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
    let _back = (Process::start(at_a.port()), Process::start(at_b.port()));
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

/// An origin in a process of its own.
struct Process {
    child: Child,
    at: SocketAddr,
}

impl Process {
    fn start(port: u16) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this file"))
            .args(["--exact", "--nocapture", "serve"])
            .env(SERVE, port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a second process");
        let out = BufReader::new(child.stdout.take().expect("its output"));
        let at = out
            .lines()
            .map_while(Result::ok)
            .find_map(|l| l.split("serves at ").nth(1)?.parse().ok())
            .expect("it serves");
        Self { child, at }
    }

    fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Not a test of its own: the other process's part.
#[test]
fn serve() {
    let Ok(port) = std::env::var(SERVE) else {
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
    let _ends = std::io::stdin().read_line(&mut String::new());
}

const CLIENTS: usize = 16;
const SERVE: &str = "IRONSLUICE_TEST_SERVE";
