//! A hostile client, and good ones beside it: what a flood costs those who mean no harm.
//!
//! For `--quiet` seconds only the good clients ask; then the attack `--kind` goes on beside them, until it has made `--count` steps, or
//! `--secs` are over, or (where nobody comes again) all its connections have ended.
//! One good client asks on a connection that it keeps, every 2 ms, or as soon as it has its answer. Another makes
//! a new connection for a request every 100 ms. They come from 127.0.0.99, the attack from 127.0.0.2 and the `--sources`
//! addresses after it. With `--tls CERTIFICATE` the good clients speak TLS 1.3; attacks on TLS are TLS by themselves.
//! Output: one line of JSON: how the attack's connections ended and what their streams were told, and the times of the good clients in µs,
//! before (`quiet`) and during (`flood`).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bench_tools::answer::Answers;
use bench_tools::args::Args;
use bench_tools::attack::{self, Attack, Heard, Pace};
use bench_tools::channel::{self, would_block, HOST};
use bench_tools::sys::{self, Events, Poll};
use hdrhistogram::Histogram;
use rustls::ClientConfig;

fn main() -> io::Result<()> {
    let mut args = Args::new(
        "flood --to ADDRESS:PORT --kind NAME [--tls CERTIFICATE] [--connections 8] [--count 1000000] \
         [--sources 1] [--quiet 1] [--secs 2] [--path /128]",
    );
    let to: SocketAddrV4 = args.required("--to");
    let kind: String = args.required("--kind");
    let tls: Option<PathBuf> = args.value("--tls");
    let connections: usize = args.value("--connections").unwrap_or(8);
    let count: u64 = args.value("--count").unwrap_or(1_000_000);
    let sources: u8 = args.value("--sources").unwrap_or(1);
    let quiet = Duration::from_secs_f64(args.value("--quiet").unwrap_or(1.0));
    let secs = Duration::from_secs_f64(args.value("--secs").unwrap_or(2.0));
    let path: String = args.value("--path").unwrap_or_else(|| "/128".into());
    args.finish();
    let Some(attack) = attack::find(&kind) else {
        let names: Vec<_> = attack::all().iter().map(|a| a.name).collect();
        return Err(io::Error::other(format!(
            "no attack is called {kind}; there are {}",
            names.join(", ")
        )));
    };
    sys::raise_open_files()?;
    let tls = tls.as_deref().map(channel::secure).transpose()?;
    let good = Arc::new(Good {
        to,
        tls,
        request: format!("GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"),
        phase: AtomicU32::new(QUIET),
    });
    let kept = std::thread::spawn({
        let good = good.clone();
        move || good.keep()
    });
    let fresh = std::thread::spawn({
        let good = good.clone();
        move || good.come()
    });
    std::thread::sleep(quiet);
    good.phase.store(FLOOD, SeqCst);
    let mut flood = Flood::new(attack, to, (connections, count, sources))?;
    let outcome = flood.run(Instant::now() + secs);
    good.phase.store(OVER, SeqCst);
    let panicked = |_| io::Error::other("a good client panicked");
    let kept = kept.join().map_err(panicked)??;
    let fresh = fresh.join().map_err(panicked)?;
    outcome?;
    println!(
        "{{\"kind\":\"{kind}\",\"opened\":{},\"steps\":{},\"ends\":{},\"streams\":{},\"kept\":{kept},\"fresh\":{fresh}}}",
        flood.opened,
        flood.steps,
        json(&flood.ends),
        json(&flood.streams),
    );
    Ok(())
}

struct Good {
    to: SocketAddrV4,
    tls: Option<Arc<ClientConfig>>,
    request: String,
    phase: AtomicU32,
}

impl Good {
    /// Asks again and again on one connection.
    fn keep(&self) -> io::Result<String> {
        let mut client = self.connect()?;
        let mut times = [histogram(), histogram()];
        let mut due = Instant::now();
        loop {
            // An answer that is late costs its own time, not that of those which follow.
            due = (due + EVERY).max(Instant::now());
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let phase = self.phase.load(SeqCst);
            if phase == OVER {
                break;
            }
            self.ask(&mut client)?;
            times[phase as usize].saturating_record(due.elapsed().as_micros() as u64);
        }
        let [quiet, flood] = times.map(|t| figures(&t));
        Ok(format!("{{\"quiet\":{quiet},\"flood\":{flood}}}"))
    }

    /// Comes again and again for one request.
    fn come(&self) -> String {
        let mut times = [histogram(), histogram()];
        let mut failed = 0;
        let mut why = String::new();
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let phase = self.phase.load(SeqCst);
            if phase == OVER {
                break;
            }
            let began = Instant::now();
            match self.connect().and_then(|mut client| self.ask(&mut client)) {
                Ok(()) => {
                    times[phase as usize].saturating_record(began.elapsed().as_micros() as u64)
                }
                Err(error) => {
                    failed += 1;
                    why = error.to_string();
                }
            }
        }
        let [quiet, flood] = times.map(|t| figures(&t));
        format!("{{\"quiet\":{quiet},\"flood\":{flood},\"failed\":{failed},\"why\":{why:?}}}")
    }

    fn connect(&self) -> io::Result<Box<dyn Duplex>> {
        let stream = sys::connect(self.to, Some(Ipv4Addr::new(127, 0, 0, 99)))?;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(match &self.tls {
            None => Box::new(stream),
            Some(config) => Box::new(rustls::StreamOwned::new(channel::session(config)?, stream)),
        })
    }

    fn ask(&self, client: &mut Box<dyn Duplex>) -> io::Result<()> {
        client.write_all(self.request.as_bytes())?;
        client.flush()?;
        let mut answers = Answers::default();
        let mut scratch = [0; 4096];
        loop {
            let n = client.read(&mut scratch)?;
            match answers.feed(&scratch[..n]) {
                Ok((_, Some(answer))) if answer.status == 200 => return Ok(()),
                Ok((_, None)) if n > 0 => {}
                other => return Err(io::Error::other(format!("unexpected: {other:?}"))),
            }
        }
    }
}

trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

struct Flood {
    attack: Attack,
    to: SocketAddrV4,
    poll: Poll,
    all: Vec<Option<Hostile>>,
    hello: Vec<u8>,
    scratch: Vec<u8>,
    count: u64,
    sources: u8,
    opened: u64,
    steps: u64,
    ends: BTreeMap<String, u64>,
    streams: BTreeMap<String, u64>,
}

struct Hostile {
    stream: TcpStream,
    out: Vec<u8>,
    sent: usize,
    step: u32,
    heard: Heard,
    /// The socket may take more.
    writable: bool,
}

/// What becomes of a connection.
enum Next {
    Goes,
    Ended { reset: bool },
}

impl Flood {
    fn new(
        attack: Attack,
        to: SocketAddrV4,
        (connections, count, sources): (usize, u64, u8),
    ) -> io::Result<Self> {
        let mut flood = Self {
            attack,
            to,
            poll: Poll::new()?,
            all: (0..connections).map(|_| None).collect(),
            hello: hello()?,
            scratch: vec![0; 64 << 10],
            count,
            sources: sources.max(1),
            opened: 0,
            steps: 0,
            ends: BTreeMap::new(),
            streams: BTreeMap::new(),
        };
        for at in 0..connections {
            flood.open(at)?;
        }
        Ok(flood)
    }

    fn open(&mut self, at: usize) -> io::Result<()> {
        let source = Ipv4Addr::new(127, 0, 0, 2 + (self.opened % u64::from(self.sources)) as u8);
        self.opened += 1;
        let stream = sys::connect(self.to, Some(source))?;
        if !self.attack.reads {
            sys::receive_little(&stream)?;
        }
        self.poll.add(&stream, at as u64)?;
        let out = match self.attack.name {
            "tls-hellos" => self.hello.clone(),
            _ => (self.attack.opening)(),
        };
        self.all[at] = Some(Hostile {
            stream,
            out,
            sent: 0,
            step: 0,
            heard: Heard::default(),
            writable: true,
        });
        Ok(())
    }

    fn run(&mut self, until: Instant) -> io::Result<()> {
        let mut events = Events::new();
        let mut drip = Instant::now();
        while self.all.iter().any(Option::is_some) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let timeout = match self.attack.pace {
                Pace::Flat if self.all.iter().flatten().any(|h| h.writable) => 0,
                Pace::Flat | Pace::Rest | Pace::Again => left.as_millis().min(50) as i32 + 1,
                Pace::Drip(_) => 10,
            };
            self.poll.wait(&mut events, timeout)?;
            for e in 0..events.len() {
                let ready = events.at(e);
                let at = ready.token as usize;
                if let Some(h) = &mut self.all[at] {
                    h.writable |= ready.writable;
                    self.turn(at, ready.readable, ready.hup)?;
                }
            }
            match self.attack.pace {
                Pace::Flat => {
                    for at in 0..self.all.len() {
                        if self.all[at].as_ref().is_some_and(|h| h.writable) {
                            self.turn(at, false, false)?;
                        }
                    }
                }
                Pace::Drip(ms) if drip.elapsed() >= Duration::from_millis(ms) => {
                    drip = Instant::now();
                    for at in 0..self.all.len() {
                        self.drip(at)?;
                    }
                }
                Pace::Drip(_) | Pace::Rest | Pace::Again => {}
            }
        }
        for at in 0..self.all.len() {
            if let Some(h) = self.all[at].take() {
                self.note(&h.heard);
                *self.ends.entry("open".into()).or_default() += 1;
            }
        }
        Ok(())
    }

    fn drip(&mut self, at: usize) -> io::Result<()> {
        if let Some(h) = &mut self.all[at] {
            if h.sent == h.out.len() {
                h.out = (self.attack.step)(h.step);
                h.sent = 0;
                h.step += 1;
                self.steps += 1;
            }
            return self.turn(at, false, false);
        }
        Ok(())
    }

    fn turn(&mut self, at: usize, readable: bool, hup: bool) -> io::Result<()> {
        let Some(mut h) = self.all[at].take() else {
            return Ok(());
        };
        let next = self.go(&mut h, readable, hup);
        let answered = self.attack.pace == Pace::Again && h.heard.answered();
        let reset = match next {
            Next::Goes if !answered => {
                self.all[at] = Some(h);
                return Ok(());
            }
            Next::Goes => false,
            Next::Ended { reset } => reset,
        };
        self.note(&h.heard);
        *self.ends.entry(h.heard.end(reset)).or_default() += 1;
        drop(h);
        let again = matches!(self.attack.pace, Pace::Flat | Pace::Again);
        if again && self.steps.max(self.opened) < self.count {
            self.open(at)?;
        }
        Ok(())
    }

    /// Reads and writes as far as it goes, for one turn.
    fn go(&mut self, h: &mut Hostile, readable: bool, hup: bool) -> Next {
        if !self.attack.reads && hup {
            return Next::Ended { reset: true };
        }
        let mut ended = None;
        if readable && self.attack.reads {
            ended = self.read(h);
        }
        if ended.is_none() && h.writable && self.write(h).is_err() {
            // The last words may have come before.
            ended = self.read(h).or(Some(true));
        }
        match ended {
            Some(reset) => Next::Ended { reset },
            None => Next::Goes,
        }
    }

    /// Whether it ended, and then whether by a reset.
    fn read(&mut self, h: &mut Hostile) -> Option<bool> {
        loop {
            match (&h.stream).read(&mut self.scratch) {
                Ok(0) => return Some(false),
                Ok(n) => h.heard.feed(&self.scratch[..n], self.attack.http2),
                Err(error) if would_block(&error) => return None,
                Err(_) => return Some(true),
            }
        }
    }

    fn write(&mut self, h: &mut Hostile) -> io::Result<()> {
        let mut turn = 0;
        loop {
            if h.sent == h.out.len() && self.attack.pace == Pace::Flat && self.steps < self.count {
                h.out.clear();
                h.sent = 0;
                while h.out.len() < PIECE && self.steps < self.count {
                    h.out.extend((self.attack.step)(h.step));
                    h.step += 1;
                    self.steps += 1;
                }
            }
            if h.sent == h.out.len() {
                h.writable = false;
                return Ok(());
            }
            match (&h.stream).write(&h.out[h.sent..]) {
                Ok(n) => h.sent += n,
                Err(error) if would_block(&error) => {
                    h.writable = false;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            turn += 1;
            if turn == 4 {
                return Ok(());
            }
        }
    }

    fn note(&mut self, heard: &Heard) {
        for code in &heard.resets {
            *self.streams.entry(format!("reset {code}")).or_default() += 1;
        }
        if heard.heads > 0 {
            *self.streams.entry("answered".into()).or_default() += u64::from(heard.heads);
        }
    }
}

/// What a client says first in TLS.
fn hello() -> io::Result<Vec<u8>> {
    let mut session = channel::session(&channel::trusting_nobody()?)?;
    let mut bytes = Vec::new();
    session.write_tls(&mut bytes)?;
    Ok(bytes)
}

fn histogram() -> Histogram<u64> {
    // 1 µs to a minute, three digits: within the library's bounds.
    Histogram::new_with_bounds(1, 60_000_000, 3).unwrap_or_else(|_| unreachable!())
}

fn figures(h: &Histogram<u64>) -> String {
    format!(
        "{{\"requests\":{},\"p50\":{},\"p99\":{},\"most\":{}}}",
        h.len(),
        h.value_at_quantile(0.5),
        h.value_at_quantile(0.99),
        h.max()
    )
}

fn json(map: &BTreeMap<String, u64>) -> String {
    let all: Vec<_> = map.iter().map(|(k, n)| format!("\"{k}\":{n}")).collect();
    format!("{{{}}}", all.join(","))
}

/// How often the good client asks.
const EVERY: Duration = Duration::from_millis(2);
/// How long a good client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Steps are written so many bytes at a time.
const PIECE: usize = 16 << 10;
const QUIET: u32 = 0;
const FLOOD: u32 = 1;
const OVER: u32 = 2;
