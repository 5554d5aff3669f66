//! The access log: each thread formats its lines into a buffer of its own and hands full ones to
//! one writing thread a file. When that is slow, whole buffers are dropped and their lines counted:
//! a slow disk never slows a request.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use gateway_core::access_log::{Entry, MAX_LINE};
use gateway_core::config::{Format, Sink};
use gateway_core::filter::Outcome;
use gateway_core::metrics::{bump, ShardCounters};
use gateway_core::snapshot::Snapshot;
use wire::Version;

use crate::http1::Txn;

/// One thread's lines on their way to the log.
pub(crate) struct Lines {
    files: Arc<Files>,
    format: Option<Arc<Format>>,
    to: Option<Arc<Writer>>,
    buffer: Vec<u8>,
    /// Room for the values of a line.
    scratch: Vec<u8>,
    lines: u64,
    /// By when the buffer must be handed over.
    flush_by: u64,
}

impl Lines {
    pub fn new(files: Arc<Files>) -> Self {
        Self {
            files,
            format: None,
            to: None,
            buffer: Vec::new(),
            scratch: Vec::new(),
            lines: 0,
            flush_by: 0,
        }
    }

    /// Takes over what a config says of the log.
    pub fn configure(&mut self, snapshot: &Snapshot) {
        self.flush();
        match &snapshot.access_log {
            Some((sink, format)) => {
                self.format = Some(format.clone());
                self.to = self.files.writer(sink);
            }
            None => (self.format, self.to) = (None, None),
        }
    }

    pub fn on(&self) -> bool {
        self.to.is_some()
    }

    pub fn write(&mut self, unix_ms: u64, listener: &str, t: &Txn, outcome: &Outcome) {
        let Some(format) = &self.format else { return };
        let ex = &t.run.exchange;
        let snapshot = t.run.snapshot();
        let upstream = snapshot
            .zip(t.run.upstream(t.forward))
            .map(|(s, u)| &s.upstreams[u as usize]);
        let endpoint = upstream
            .zip(t.run.endpoint(t.forward))
            .and_then(|(u, e)| u.endpoints.get(e as usize));
        let entry = Entry {
            unix_ms,
            client: &ex.client,
            method: ex.request.method_bytes(),
            path: ex.request.path(),
            query: ex.request.query(),
            host: ex.request.host(),
            protocol: if ex.request.version() == Version::Http10 {
                "HTTP/1.0"
            } else {
                "HTTP/1.1"
            },
            request: &ex.request,
            listener,
            outcome,
            route: t.run.route().map(|r| &*r.name),
            upstream: upstream.map(|u| &*u.name),
            endpoint: endpoint.map(|e| &e.live.address),
            code: t.run.code(),
            request_id: ex.request.find(b"x-request-id"),
        };
        format.write(&entry, &mut self.scratch, &mut self.buffer);
        self.lines += 1;
    }

    /// Hands the buffer over when it is full or has waited long enough.
    pub fn tick(&mut self, now: u64, counters: &ShardCounters) {
        if self.buffer.is_empty() {
            return;
        }
        if self.flush_by == 0 {
            self.flush_by = now + WAIT;
        }
        if self.buffer.len() < FULL && now < self.flush_by {
            return;
        }
        let dropped = self.flush();
        bump(&counters.access_log_dropped, dropped);
    }

    /// Milliseconds until the buffer must be handed over; -1 if there is nothing in it.
    pub fn sleep(&self, now: u64) -> i32 {
        if self.buffer.is_empty() {
            return -1;
        }
        (self.flush_by.saturating_sub(now) / 1_000_000 + 1) as i32
    }

    /// Hands the buffer over now. Returns how many lines were dropped.
    pub fn flush(&mut self) -> u64 {
        self.flush_by = 0;
        let lines = std::mem::take(&mut self.lines);
        if self.buffer.is_empty() {
            return 0;
        }
        let Some(writer) = &self.to else {
            self.buffer.clear();
            return lines;
        };
        let full = std::mem::replace(&mut self.buffer, writer.spare());
        match writer.send(full) {
            Ok(()) => 0,
            Err(mut dropped) => {
                dropped.clear();
                self.buffer = dropped;
                lines
            }
        }
    }

    pub fn reopen(&mut self) {
        self.files.reopen();
    }
}

/// The writing threads of a gateway, one a file.
#[derive(Default)]
pub(crate) struct Files {
    open: Mutex<HashMap<Option<PathBuf>, Arc<Writer>>>,
}

impl Files {
    /// The writer for a sink. None if its file cannot be opened, which `check_sink` has told.
    fn writer(&self, sink: &Sink) -> Option<Arc<Writer>> {
        let path = match sink {
            Sink::Stdout => None,
            Sink::File(path) => Some(path.clone()),
        };
        let mut open = lock(&self.open);
        if let Some(w) = open.get(&path) {
            return Some(w.clone());
        }
        let writer = Arc::new(Writer::start(path.clone()).ok()?);
        open.insert(path, writer.clone());
        Some(writer)
    }

    fn reopen(&self) {
        for w in lock(&self.open).values() {
            let _full = w.mail.as_ref().map(|m| m.try_send(Job::Reopen));
        }
    }
}

/// Whether a log file can be written.
///
/// # Errors
/// The system's, when it cannot be opened.
pub(crate) fn check_sink(sink: &Sink) -> std::io::Result<()> {
    match sink {
        Sink::Stdout => Ok(()),
        Sink::File(path) => append(path).map(drop),
    }
}

struct Writer {
    mail: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Ends with the thread.
    ended: Mutex<Receiver<()>>,
    /// Buffers that were written, to be filled again.
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

enum Job {
    Write(Vec<u8>),
    Reopen,
}

impl Writer {
    fn start(path: Option<PathBuf>) -> std::io::Result<Self> {
        let mut file = path.as_ref().map(append).transpose()?;
        let (mail, jobs) = sync_channel::<Job>(BUFFERS);
        let (running, ended) = sync_channel(0);
        let spare = Arc::new(Mutex::new(Vec::with_capacity(SPARE)));
        let give_back = spare.clone();
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || {
                for job in jobs {
                    let mut bytes = match job {
                        Job::Write(bytes) => bytes,
                        Job::Reopen => {
                            if let (Some(f), Some(Ok(new))) = (&mut file, path.as_ref().map(append))
                            {
                                *f = new;
                            }
                            continue;
                        }
                    };
                    // A line that cannot be written now is lost; the next may fit again.
                    match &mut file {
                        Some(f) => drop(f.write_all(&bytes)),
                        None => drop(std::io::stdout().write_all(&bytes)),
                    }
                    bytes.clear();
                    let mut spare = lock(&give_back);
                    if spare.len() < SPARE {
                        spare.push(bytes);
                    }
                }
                drop(std::io::stdout().flush());
                drop::<SyncSender<()>>(running);
            })?;
        Ok(Self {
            mail: Some(mail),
            thread: Some(thread),
            ended: Mutex::new(ended),
            spare,
        })
    }

    /// An empty buffer, used before if there is one.
    fn spare(&self) -> Vec<u8> {
        let used = lock(&self.spare).pop();
        used.unwrap_or_else(|| Vec::with_capacity(FULL + MAX_LINE))
    }

    /// Hands a buffer to the writing thread, or back if that is too far behind.
    fn send(&self, bytes: Vec<u8>) -> Result<(), Vec<u8>> {
        let Some(mail) = &self.mail else {
            return Err(bytes);
        };
        mail.try_send(Job::Write(bytes)).map_err(|e| match e {
            TrySendError::Full(Job::Write(bytes))
            | TrySendError::Disconnected(Job::Write(bytes)) => bytes,
            _ => Vec::new(),
        })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.mail = None;
        // What is written gets its time; a sink that takes nothing does not hold up the end.
        let ended = lock(&self.ended).recv_timeout(LAST_WORDS);
        let late = ended == Err(RecvTimeoutError::Timeout);
        if let Some(thread) = self.thread.take().filter(|_| !late) {
            let _panicked = thread.join();
        }
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

fn append(path: &PathBuf) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// A buffer is handed over at so many bytes,
const FULL: usize = 32 << 10;
/// or after so long (100 ms).
const WAIT: u64 = 100_000_000;
/// Buffers that wait for a slow disk; more are dropped.
const BUFFERS: usize = 64;
/// Written buffers that are kept.
const SPARE: usize = 8;
/// How long the end waits for a slow sink.
const LAST_WORDS: Duration = Duration::from_secs(1);
