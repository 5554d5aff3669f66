//! What one proxied request costs, counted: receives, sends, waits, changes of what is watched, and
//! allocations of the thread that carries it. One test, because the counters are the process's.

mod kit;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gateway_core::filter::Ask;
use kit::{config_to, Client, Edge};
use net::asks::{Asked, Brought, LINGER};
use net::counts;

/// Counts what threads called `shard-…` allocate.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// Whether this thread is a shard: not asked yet, no, or yes.
    static SHARD: Cell<Option<bool>> = const { Cell::new(None) };
}

fn note() {
    let shard = SHARD.try_with(|s| {
        if s.get().is_none() {
            // Asking for the name may allocate: that must not ask again.
            s.set(Some(false));
            let named = thread::current()
                .name()
                .is_some_and(|n| n.starts_with("shard-"));
            s.set(Some(named));
        }
        s.get() == Some(true)
    });
    if shard == Ok(true) {
        ALLOCATIONS.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call is handed to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps `dealloc`'s contract.
        unsafe { System.dealloc(at, layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: the caller keeps `realloc`'s contract.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One exchange that is counted.
struct Case {
    name: &'static str,
    filters: &'static str,
    log: bool,
    /// Limits take leases of a store.
    leased: bool,
    request: &'static str,
    /// What the origin answers to each request.
    answer: String,
    /// The most receives and sends of one exchange.
    calls: u64,
}

#[derive(Clone, Copy)]
struct Counted {
    recv: u64,
    send: u64,
    wait: u64,
    ctl: u64,
    accept: u64,
    allocations: u64,
}

fn counted() -> Counted {
    Counted {
        recv: counts::RECV.load(Relaxed),
        send: counts::SEND.load(Relaxed),
        wait: counts::WAIT.load(Relaxed),
        ctl: counts::CTL.load(Relaxed),
        accept: counts::ACCEPT.load(Relaxed),
        allocations: ALLOCATIONS.load(Relaxed),
    }
}

const GET: &str =
    "GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n";
const SMALL: &str =
    "HTTP/1.1 200 OK\r\nServer: o\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nbody";
const FILTERS: &str = r#"[
  { "use": "client_ip", "trust": ["10.0.0.0/8"] },
  { "use": "rate_limit", "rate": "1000000/s", "burst": 1000000, "key": "client_ip" },
  { "use": "request_id" },
  { "use": "headers", "request": { "set": { "X-A": "b" }, "remove": ["Accept"] }, "response": { "set": { "X-C": "d" } } },
  { "use": "body_limit", "max": "1MiB" } ]"#;

const LIMITS: &str = r#"[
  { "use": "rate_limit", "rate": "1000000/s", "burst": 1000000, "scope": "thread" },
  { "use": "rate_limit", "headers": false, "limits": [
    { "rate": "1000000/s", "scope": "thread", "algorithm": "fixed_window" }, { "rate": "1000000/m" } ] } ]"#;
const LEASED: &str = r#"[
  { "use": "rate_limit", "rate": "1000000/s", "burst": 1000000, "scope": "global", "legacy_headers": true } ]"#;
const SEVERAL: &str = r#"[
  { "use": "rate_limit", "legacy_headers": true, "limits": [
    { "rate": "1000000/s", "burst": 1000000, "scope": "global" },
    { "rate": "10000000/m", "burst": 1000000, "scope": "global", "key": "route" },
    { "rate": "10000000/h", "algorithm": "fixed_window" } ] } ]"#;

fn cases() -> Vec<Case> {
    let large = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 16384\r\n\r\n{}",
        "x".repeat(16 << 10)
    );
    let case = |name, request, answer: &str| Case {
        name,
        filters: "[]",
        log: false,
        leased: false,
        request,
        answer: answer.into(),
        calls: 2,
    };
    vec![
        case("plain", GET, SMALL),
        Case {
            filters: FILTERS,
            ..case("with five filters", GET, SMALL)
        },
        Case {
            filters: LIMITS,
            ..case("with limits of each thread and of the process", GET, SMALL)
        },
        Case {
            filters: LEASED,
            leased: true,
            ..case("with a leased limit", GET, SMALL)
        },
        Case {
            filters: SEVERAL,
            leased: true,
            ..case("with leased limits, one of the process, and their fields", GET, SMALL)
        },
        Case {
            log: true,
            ..case("with an access log", GET, SMALL)
        },
        case(
            "a chunked response",
            GET,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        ),
        case(
            "a body with a length",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            SMALL,
        ),
        case(
            "a chunked body",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            SMALL,
        ),
        case("a response of 16 KiB", GET, &large),
        case(
            "a reply of HEAD",
            "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n",
        ),
    ]
}

/// Answers whatever ends like a request, without an allocation or a thread for each.
fn origin(answer: String, requests_end: &'static [u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let answer = answer.clone();
            thread::spawn(move || {
                stream.set_nodelay(true).expect("nodelay");
                let mut buf = [0; 4096];
                let mut len = 0;
                while let Ok(n @ 1..) = stream.read(&mut buf[len..]) {
                    len += n;
                    if buf[..len].ends_with(requests_end) {
                        len = 0;
                        if stream.write_all(answer.as_bytes()).is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    at
}

#[test]
fn a_request_costs_two_receives_two_sends_and_no_allocation() {
    for case in cases() {
        sequential(&case);
    }
    batched();
}

fn sequential(case: &Case) {
    let end: &[u8] = if case.request.ends_with("hello") {
        b"hello"
    } else if case.request.starts_with("POST") {
        b"0\r\n\r\n"
    } else {
        b"\r\n\r\n"
    };
    let at = origin(case.answer.clone(), end);
    let mut config = config_to(&[at], "{}", case.filters);
    let log = std::env::temp_dir().join(format!("ironsluice-counts-{}.log", std::process::id()));
    if case.log {
        let log = log.display();
        config = config.replacen(
            '{',
            &format!(r#"{{ "access_log": {{ "to": "{log}" }}, "#),
            1,
        );
    }
    if case.leased {
        config = config.replacen('{', r#"{ "store": { "redis": "redis://127.0.0.1:1" }, "#, 1);
    }
    let edge = Edge::start(&config);
    let grants = case.leased.then(|| Grants::of(&edge));
    let asked = || grants.as_ref().map_or(0, |g| g.asked.load(Relaxed));
    let mut client = Client::connect(edge.at());
    let mut scratch = vec![0; 64 << 10];
    let mut exchange = |n: usize| {
        for _ in 0..n {
            client
                .stream
                .write_all(case.request.as_bytes())
                .expect("sent");
            read_answer(&mut client, &mut scratch, case);
        }
    };
    exchange(200);
    let (before, asks) = (counted(), asked());
    exchange(N as usize);
    let (after, asks) = (counted(), asked() - asks);
    let name = case.name;
    assert_eq!(after.ctl, before.ctl, "{name}: changes of what is watched");
    assert_eq!(after.accept, before.accept, "{name}: accepts");
    assert_eq!(after.recv - before.recv, case.calls * N, "{name}: receives");
    assert_eq!(after.send - before.send, case.calls * N, "{name}: sends");
    // One batch for the client's event and one for the upstream's; timers wake it now and then.
    let waits = after.wait - before.wait;
    assert!(
        waits <= 2 * N + N / 20,
        "{name}: {waits} waits for {N} exchanges"
    );
    let allocations = after.allocations - before.allocations;
    // A log's buffer is made anew if the disk has not given the last one back yet.
    let spare = if case.log { 2 } else { ASK * asks };
    assert!(asks <= N / 20, "{name}: {asks} asks in {N} exchanges");
    assert_eq!(case.leased, asked() > 0, "{name}: asks");
    assert!(
        allocations <= spare,
        "{name}: {allocations} allocations in {N} exchanges"
    );
    drop(edge);
    if case.log {
        let lines = std::fs::read_to_string(&log)
            .expect("the log")
            .lines()
            .count();
        std::fs::remove_file(&log).expect("removed");
        assert_eq!(lines as u64, N + 200, "{name}: lines");
    }
}

/// Grants leases in the place of a store, in a thread of its own.
struct Grants {
    /// How often it was asked.
    asked: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Grants {
    fn of(edge: &Edge) -> Self {
        let (asked, over) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let (count, is_over) = (asked.clone(), over.clone());
        let asks = edge.gateway.store_asks().clone();
        edge.gateway.store_state().note(true, 2, 1);
        let thread = thread::spawn(move || {
            let own = thread::current();
            let service = asks.serve(move || own.unpark());
            let mut tats: HashMap<Vec<u8>, Option<i64>> = HashMap::new();
            let began = Instant::now();
            while !is_over.load(Relaxed) {
                for Asked { number, ask, .. } in service.take() {
                    let Ask::Store(call) = ask else {
                        panic!("{ask:?}");
                    };
                    let args = call.args.try_into().expect("those of gcra");
                    let tat = tats.entry(call.key).or_default();
                    let now = began.elapsed().as_micros() as i64;
                    let values = algo::store_gcra(tat, now, args).to_vec();
                    count.fetch_add(1, Relaxed);
                    service.answer([(number, Brought::Store(values))]);
                }
                thread::park_timeout(Duration::from_nanos(LINGER));
            }
        });
        Self {
            asked,
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Grants {
    fn drop(&mut self) {
        self.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}

/// Reads one answer: its head, and the bytes that its framing says.
fn read_answer(client: &mut Client, scratch: &mut [u8], case: &Case) {
    let mut len = 0;
    loop {
        let n = client.stream.read(&mut scratch[len..]).expect("an answer");
        assert!(n > 0, "{}: the connection ended", case.name);
        len += n;
        let got = &scratch[..len];
        let Some(head) = got.windows(4).position(|w| w == b"\r\n\r\n") else {
            continue;
        };
        assert!(got.starts_with(b"HTTP/1.1 200 "), "{}", case.name);
        let body = &got[head + 4..];
        let whole = if case.request.starts_with("HEAD") {
            true
        } else if case.answer.contains("chunked") {
            body.ends_with(b"0\r\n\r\n")
        } else {
            let sent = case.answer.split("\r\n\r\n").nth(1).map_or(0, str::len);
            body.len() == sent
        };
        if whole {
            return;
        }
    }
}

/// Sixteen connections whose requests lie ready when the shard wakes: events come in batches, so
/// that there are fewer waits than requests.
fn batched() {
    let at = origin(SMALL.into(), b"\r\n\r\n");
    let edge = Edge::to(&[at]);
    let mut clients: Vec<_> = (0..16).map(|_| Client::connect(edge.at())).collect();
    let mut round = || {
        for c in &mut clients {
            c.stream.write_all(GET.as_bytes()).expect("sent");
        }
        for c in &mut clients {
            assert_eq!(c.response().status, 200);
        }
    };
    (0..20).for_each(|_| round());
    let before = counted();
    (0..100).for_each(|_| round());
    let after = counted();
    assert_eq!(after.recv - before.recv, 2 * 1600, "receives");
    assert_eq!(after.send - before.send, 2 * 1600, "sends");
    // A round in which more requests are in flight at once than ever before needs more connections.
    let watched = after.ctl - before.ctl;
    assert!(watched <= 16, "{watched} changes of what is watched");
    let waits = after.wait - before.wait;
    assert!(
        waits < 2 * 1600,
        "{waits} waits for 1600 requests in batches"
    );
}

/// Allocations of one ask of a lease, at most: what it is, and the way to the store's thread.
const ASK: u64 = 16;
/// Exchanges that are counted for each case.
const N: u64 = 1000;
