//! The client: a closed loop of requests over a fixed number of connections, and the measurement itself.
//!
//! Each connection has one request in flight and sends the next when the answer is complete. With `--close`
//! each request has a new connection, closed by the client after the answer (from 32 source addresses in
//! turn, so that ports in TIME_WAIT do not run out); no `Connection: close` is sent, so what a proxy does
//! upstream is the same as with keep-alive. With `--post N` each request is a POST with a body of N bytes, written as the socket takes it.
//! With `--tls CERTIFICATE` each connection is TLS 1.3 and the server shows this certificate (a PEM file); see [`bench_tools::channel`].
//! With `--close` every request then has a whole handshake of its own, and `close_notify` comes before the close.
//! With `--http2 N` each connection speaks HTTP/2, agreed on by ALPN where there is TLS, and has N requests in flight on N streams.
//! With `--websocket N` each connection becomes a WebSocket first, and a request is a text message of N bytes, its answer the echo.
//!
//! At the beginning and the end of the window it reads the CPU time of the process trees in `--watch`, its own, and how
//! long the CPUs in `--cpus` were busy, so that CPU time, requests and disturbance are of the same span. CPU time is told by
//! the names of threads too. `busy_ns` has what a CPU spends on going to sleep and waking up, tens of thousands of times a second where
//! it waits for a slow server; `processes_ns` is what all processes of the machine used, and has it not.
//! Output: one line of JSON. An answer is bad when its status is not in `--expect`, its length is not `--body` (status
//! 200 only), it is cut off, or it is more than 2 s late at the end.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench_tools::answer::{Answer, Answers};
use bench_tools::args::Args;
use bench_tools::channel::{self, would_block, Agreed, Channel, Received, Scratch};
use bench_tools::frame::{self, Frames, Heard};
use bench_tools::http2::{Done, Session};
use bench_tools::procfs;
use bench_tools::sample::Sample;
use bench_tools::sys::{self, Events, Poll};
use hdrhistogram::Histogram;
use rustls::ClientConfig;

fn main() -> io::Result<()> {
    let mut args = Args::new(
        "load --to ADDRESS:PORT [--path /128] [--body BYTES] [--post BYTES] [--close] [--websocket BYTES] \
         [--http2 STREAMS] [--tls CERTIFICATE] [--expect 200,429] [--connections 64] [--secs 3] [--warmup 0.5] [--watch PID,PID] [--cpus 0,1]",
    );
    let to: SocketAddrV4 = args.required("--to");
    let path: String = args.value("--path").unwrap_or_else(|| "/128".into());
    let post: Option<usize> = args.value("--post");
    let connections: usize = args.value("--connections").unwrap_or(64);
    let secs = seconds(args.value("--secs").unwrap_or(3.0))?;
    let warmup = seconds(args.value("--warmup").unwrap_or(0.5))?;
    let watched: Vec<u32> = args.list("--watch");
    let cpus: Vec<usize> = args.list("--cpus");
    let mut expect: Vec<u16> = args.list("--expect");
    if expect.is_empty() {
        expect.push(200);
    }
    let tls: Option<PathBuf> = args.value("--tls");
    let http2 = args.value("--http2").map(|streams| (path.clone(), streams));
    let secure = match &http2 {
        Some(_) => channel::secure_http2,
        None => channel::secure,
    };
    let mut plan = Plan {
        to,
        tls: tls.as_deref().map(secure).transpose()?,
        opening: None,
        request: request(&path, post),
        close: args.flag("--close"),
        http2,
        body: args.value("--body"),
        expect,
    };
    if let Some(length) = args.value("--websocket") {
        plan.opening = Some(frame::handshake(&path));
        plan.request = frame::message(length);
        plan.body = Some(length as u64);
    }
    args.finish();
    sys::raise_open_files()?;
    let mut client = Client::new(plan, connections)?;
    client.run_until(Instant::now() + warmup)?;
    let before = Sample::take(&watched, &cpus)?;
    client.tally = Tally::new();
    client.run_until(before.at + secs)?;
    let after = Sample::take(&watched, &cpus)?;
    client.count_late(after.at);
    println!("{}", report(&client, &before, &after));
    Ok(())
}

/// What to send and what to take for a good answer.
struct Plan {
    to: SocketAddrV4,
    tls: Option<Arc<ClientConfig>>,
    /// Comes first on each connection.
    opening: Option<Vec<u8>>,
    request: Vec<u8>,
    close: bool,
    /// Path and streams.
    http2: Option<(String, usize)>,
    body: Option<u64>,
    expect: Vec<u16>,
}

impl Plan {
    fn is_good(&self, answer: Answer) -> bool {
        let length = answer.status != 200 || self.body.is_none_or(|body| body == answer.body);
        length && self.expect.contains(&answer.status)
    }
}

struct Client {
    plan: Plan,
    poll: Poll,
    connections: Vec<Connection>,
    opened: usize,
    scratch: Scratch,
    tally: Tally,
    /// Each thing that a handshake came to, once.
    agreed: Vec<Agreed>,
    /// Failures since the last answer: a server that is gone must not be asked for ever.
    failed_in_a_row: u64,
}

struct Connection {
    channel: Channel,
    http2: Option<Session>,
    sent: usize,
    began: Instant,
    reader: Reader,
}

/// What tells one answer from the next.
enum Reader {
    Http(Answers),
    /// The opening is under way, or was not answered yet.
    Opening(Frames),
    Messages(Frames),
}

/// What a read brought to its end.
enum Ended {
    Opening,
    Request(Answer),
}

impl Client {
    fn new(plan: Plan, connections: usize) -> io::Result<Self> {
        let mut client = Self {
            plan,
            poll: Poll::new()?,
            connections: Vec::new(),
            opened: 0,
            scratch: Scratch::new(),
            tally: Tally::new(),
            agreed: Vec::new(),
            failed_in_a_row: 0,
        };
        for at in 0..connections {
            let connection = client.open(at)?;
            client.connections.push(connection);
        }
        Ok(client)
    }

    fn open(&mut self, at: usize) -> io::Result<Connection> {
        let source = Ipv4Addr::new(127, 0, 0, 2 + (self.opened % SOURCES) as u8);
        self.opened += 1;
        let stream = sys::connect(self.plan.to, Some(source))?;
        self.poll.add(&stream, at as u64)?;
        let http2 = self.plan.http2.as_ref();
        Ok(Connection {
            channel: Channel::new(stream, self.plan.tls.as_ref())?,
            http2: http2
                .map(|(path, streams)| Session::new(path, *streams, self.plan.tls.is_some())),
            sent: 0,
            began: Instant::now(),
            reader: match self.plan.opening {
                Some(_) => Reader::Opening(Frames::default()),
                None => Reader::Http(Answers::default()),
            },
        })
    }

    fn run_until(&mut self, end: Instant) -> io::Result<()> {
        let mut events = Events::new();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let timeout = i32::try_from(left.as_millis() + 1).unwrap_or(i32::MAX);
            self.poll.wait(&mut events, timeout)?;
            for at in 0..events.len() {
                self.turn(events.at(at).token as usize)?;
            }
        }
    }

    /// Writes and reads one connection as far as it goes. An event of a connection that was replaced since
    /// finds nothing to do.
    fn turn(&mut self, at: usize) -> io::Result<()> {
        let connection = &mut self.connections[at];
        if connection.http2.is_some() {
            return match self.turn_http2(at) {
                Ok(()) => Ok(()),
                Err(_) => self.failed(at),
            };
        }
        if connection.send(&self.plan).is_err() {
            return self.failed(at);
        }
        loop {
            let connection = &mut self.connections[at];
            let received = connection.channel.receive(&mut self.scratch);
            let Received { bytes, dry, shaken } = match received {
                Ok(received) => received,
                Err(error) if would_block(&error) => return Ok(()),
                Err(_) => return self.failed(at),
            };
            let ended = match connection.reader.feed(bytes) {
                Some((used, ended)) if used == bytes.len() => ended,
                // Bytes after the answer to the only request in flight were not asked for.
                Some(_) | None => return self.failed(at),
            };
            if shaken {
                self.tally.handshakes += 1;
                note_agreed(&mut self.agreed, &connection.channel);
                if connection.send(&self.plan).is_err() {
                    return self.failed(at);
                }
            }
            match ended {
                Some(Ended::Request(answer)) => self.answered(at, answer)?,
                Some(Ended::Opening) => self.next(at)?,
                None => {}
            }
            if dry {
                return Ok(());
            }
        }
    }

    /// The same of a connection that has many requests in flight: each answer makes room for the next request.
    fn turn_http2(&mut self, at: usize) -> io::Result<()> {
        let connection = &mut self.connections[at];
        let Some(session) = &mut connection.http2 else {
            return Ok(());
        };
        let mut done: Vec<Done> = Vec::new();
        connection.channel.flush()?;
        loop {
            let out = session.out();
            while !out.is_empty() {
                match connection.channel.send(out) {
                    Ok(n) => drop(out.drain(..n)),
                    Err(error) if would_block(&error) => break,
                    Err(error) => return Err(error),
                }
            }
            let received = match connection.channel.receive(&mut self.scratch) {
                Ok(received) => received,
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(error),
            };
            let Received { bytes, shaken, .. } = received;
            let fed = session.feed(bytes, &mut done);
            fed.map_err(|_| io::ErrorKind::InvalidData)?;
            if shaken {
                self.tally.handshakes += 1;
                note_agreed(&mut self.agreed, &connection.channel);
            }
            let now = Instant::now();
            for one in done.drain(..) {
                let good = self.plan.is_good(one.answer);
                self.tally
                    .answered(one.answer.status, good, now - one.began);
                self.failed_in_a_row = 0;
                session.ask();
            }
        }
    }

    fn answered(&mut self, at: usize, answer: Answer) -> io::Result<()> {
        let now = Instant::now();
        let connection = &mut self.connections[at];
        let good = self.plan.is_good(answer);
        self.tally
            .answered(answer.status, good, now - connection.began);
        self.failed_in_a_row = 0;
        if self.plan.close || answer.close {
            self.tally.reopened += u64::from(!self.plan.close);
            // It counts for nothing whether the server is there to hear it.
            let _ = connection.channel.say_goodbye();
            self.connections[at] = self.open(at)?;
            return Ok(());
        }
        self.next(at)
    }

    /// Sends the next request of a connection whose last one was answered.
    fn next(&mut self, at: usize) -> io::Result<()> {
        let connection = &mut self.connections[at];
        connection.sent = 0;
        connection.began = Instant::now();
        match connection.send(&self.plan) {
            Ok(()) => Ok(()),
            Err(_) => self.failed(at),
        }
    }

    fn failed(&mut self, at: usize) -> io::Result<()> {
        self.tally.cut += 1;
        self.failed_in_a_row += 1;
        if self.failed_in_a_row > GIVE_UP {
            return Err(io::Error::other("the server does not answer"));
        }
        self.connections[at] = self.open(at)?;
        Ok(())
    }

    fn count_late(&mut self, now: Instant) {
        let late = |connection: &&Connection| {
            let began = match &connection.http2 {
                Some(session) => session.oldest().unwrap_or(now),
                None => connection.began,
            };
            now - began > LATE
        };
        self.tally.late = self.connections.iter().filter(late).count() as u64;
    }
}

/// Adds what a handshake came to, unless it is known.
fn note_agreed(known: &mut Vec<Agreed>, channel: &Channel) {
    let agreed = channel.agreed();
    let new = agreed.filter(|agreed| !known.contains(agreed));
    known.extend(new);
}

impl Connection {
    fn send(&mut self, plan: &Plan) -> io::Result<()> {
        let request = match (&self.reader, &plan.opening) {
            (Reader::Opening(_), Some(opening)) => opening,
            _ => &plan.request,
        };
        while self.sent < request.len() {
            match self.channel.send(&request[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.channel.flush()
    }
}

impl Reader {
    /// Takes bytes up to the end of an answer; nothing when they are none.
    fn feed(&mut self, bytes: &[u8]) -> Option<(usize, Option<Ended>)> {
        let (used, heard) = match self {
            Self::Http(answers) => {
                let (used, answer) = answers.feed(bytes).ok()?;
                return Some((used, answer.map(Ended::Request)));
            }
            Self::Opening(frames) | Self::Messages(frames) => frames.feed(bytes).ok()?,
        };
        let ended = match heard {
            Some(Heard::Open) => {
                if let Self::Opening(frames) = self {
                    *self = Self::Messages(std::mem::take(frames));
                }
                Some(Ended::Opening)
            }
            Some(Heard::Message(body)) => Some(Ended::Request(Answer {
                status: 200,
                body,
                close: false,
            })),
            None => None,
        };
        Some((used, ended))
    }
}

/// What happened within the window.
struct Tally {
    requests: u64,
    wrong: u64,
    cut: u64,
    late: u64,
    reopened: u64,
    handshakes: u64,
    statuses: Vec<(u16, u64)>,
    latency_us: Histogram<u64>,
}

impl Tally {
    fn new() -> Self {
        Self {
            requests: 0,
            wrong: 0,
            cut: 0,
            late: 0,
            reopened: 0,
            handshakes: 0,
            statuses: Vec::new(),
            // One minute is far above every timeout under test; what is above counts as one minute.
            latency_us: Histogram::new_with_bounds(1, 60_000_000, 3).expect("the bounds are right"),
        }
    }

    fn answered(&mut self, status: u16, good: bool, took: Duration) {
        self.requests += 1;
        self.wrong += u64::from(!good);
        match self.statuses.iter_mut().find(|(seen, _)| *seen == status) {
            Some((_, count)) => *count += 1,
            None => self.statuses.push((status, 1)),
        }
        self.latency_us.saturating_record(took.as_micros() as u64);
    }
}

fn report(client: &Client, before: &Sample, after: &Sample) -> String {
    let tally = &client.tally;
    let window = after.at - before.at;
    let capacity = window.as_nanos() as u64 * after.cpus as u64;
    let busy = capacity.saturating_sub(after.unused.idle.saturating_sub(before.unused.idle));
    let steal = after.unused.steal.saturating_sub(before.unused.steal);
    let watched: Vec<String> = after
        .watched
        .iter()
        .zip(&before.watched)
        .map(|((pid, now), (_, then))| {
            let cpu = now.since(then);
            let memory = procfs::memory_kib(*pid).unwrap_or(0);
            let threads: Vec<String> = now
                .by_name(then)
                .iter()
                .map(|(name, cpu)| format!("{name:?}:{cpu}"))
                .collect();
            let threads = threads.join(",");
            format!("{{\"pid\":{pid},\"cpu_ns\":{cpu},\"memory_kib\":{memory},\"threads\":{{{threads}}}}}")
        })
        .collect();
    let statuses: Vec<String> = tally
        .statuses
        .iter()
        .map(|(status, count)| format!("\"{status}\":{count}"))
        .collect();
    let agreed: Vec<String> = client
        .agreed
        .iter()
        .map(|agreed| format!("\"{agreed}\""))
        .collect();
    let latency = &tally.latency_us;
    format!(
        "{{\"secs\":{:.3},\"requests\":{},\"wrong\":{},\"cut\":{},\"late\":{},\"reopened\":{},\
         \"handshakes\":{},\"tls\":[{}],\"statuses\":{{{}}},\"p50_us\":{},\"p99_us\":{},\"max_us\":{},\
         \"own_cpu_ns\":{},\"busy_ns\":{busy},\"processes_ns\":{},\"steal_ns\":{steal},\"capacity_ns\":{capacity},\"watched\":[{}]}}",
        window.as_secs_f64(),
        tally.requests,
        tally.wrong,
        tally.cut,
        tally.late,
        tally.reopened,
        tally.handshakes,
        agreed.join(","),
        statuses.join(","),
        latency.value_at_quantile(0.5),
        latency.value_at_quantile(0.99),
        latency.max(),
        after.own.since(&before.own),
        after.all.since(&before.all),
        watched.join(","),
    )
}

fn request(path: &str, post: Option<usize>) -> Vec<u8> {
    let method = if post.is_some() { "POST" } else { "GET" };
    let mut bytes = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: load\r\nAccept: */*\r\n",
        channel::HOST
    );
    if let Some(length) = post {
        bytes += &format!("Content-Type: application/octet-stream\r\nContent-Length: {length}\r\n");
    }
    bytes += "\r\n";
    let mut bytes = bytes.into_bytes();
    bytes.resize(bytes.len() + post.unwrap_or(0), b'x');
    bytes
}

fn seconds(value: f64) -> io::Result<Duration> {
    Duration::try_from_secs_f64(value).map_err(io::Error::other)
}

const LATE: Duration = Duration::from_secs(2);
const GIVE_UP: u64 = 10_000;
const SOURCES: usize = 32;
