//! The access log: each thread formats its lines into a buffer of its own and hands full ones to
//! one writing thread a file. When that is slow, whole buffers are dropped and their lines counted:
//! a slow disk never slows a request.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{sync_channel, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use gateway_core::access_log::{Entry, MAX_LINE};
use gateway_core::config::{Format, Sink};
use gateway_core::filter::Outcome;
use gateway_core::grpc;
use gateway_core::metrics::{bump, ShardCounters};
use gateway_core::secret::Secret;
use gateway_core::snapshot::Snapshot;
use wire::Version;

use crate::http1::Txn;
use crate::poll;

/// One thread's lines on their way to the log.
pub(crate) struct Lines {
    files: Arc<Files>,
    format: Option<Arc<Format>>,
    to: Option<Arc<Writer>>,
    /// What the lines of requests without a config of their own do not show.
    secrets: Arc<[Secret]>,
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
            secrets: Arc::default(),
            buffer: Vec::new(),
            scratch: Vec::new(),
            lines: 0,
            flush_by: 0,
        }
    }

    /// Takes over what a config says of the log. Returns how many lines were dropped.
    pub fn configure(&mut self, snapshot: &Snapshot) -> u64 {
        let dropped = self.flush();
        self.secrets = snapshot.secrets.clone();
        match &snapshot.access_log {
            Some((sink, format)) => {
                self.format = Some(format.clone());
                self.to = self.files.writer(sink);
            }
            None => (self.format, self.to) = (None, None),
        }
        dropped
    }

    pub fn on(&self) -> bool {
        self.to.is_some()
    }

    /// Writes a line about a request; `http2` says that it came by a stream.
    pub fn write(&mut self, unix_ms: u64, listener: &str, http2: bool, t: &Txn, outcome: &Outcome) {
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
            protocol: match ex.request.version() {
                _ if http2 => "HTTP/2",
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
            },
            request: &ex.request,
            listener,
            outcome,
            grpc_status: t.grpc_status.or_else(|| grpc::status(&ex.response)),
            route: t.run.route().map(|r| &*r.name),
            upstream: upstream.map(|u| &*u.name),
            endpoint: endpoint.map(|e| &e.live.address),
            code: t.run.code(),
            request_id: ex.request.find(b"x-request-id"),
            secrets: snapshot.map_or(&self.secrets, |s| &s.secrets),
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
        let lost = writer.lost.swap(0, Relaxed);
        let full = std::mem::replace(&mut self.buffer, writer.spare());
        match writer.send(full, lines) {
            Ok(()) => lost,
            Err(mut dropped) => {
                dropped.clear();
                self.buffer = dropped;
                lost + lines
            }
        }
    }

    pub fn reopen(&mut self) {
        self.files.reopen();
    }
}

/// The writing threads of a gateway, one a file that a config in force names.
#[derive(Default)]
pub(crate) struct Files {
    open: Mutex<HashMap<Option<PathBuf>, Arc<Writer>>>,
}

impl Files {
    /// The writer for a sink. None if its file cannot be opened, which `check_sink` has told.
    fn writer(&self, sink: &Sink) -> Option<Arc<Writer>> {
        let path = path_of(sink);
        let mut open = lock(&self.open);
        if let Some(w) = open.get(&path) {
            return Some(w.clone());
        }
        let writer = Arc::new(Writer::start(path.clone()).ok()?);
        open.insert(path, writer.clone());
        Some(writer)
    }

    /// Opens a sink ahead of the threads that will write to it, so that none of them waits for a
    /// slow disk, and closes those that none of them uses any more.
    ///
    /// # Errors
    /// The system's, when the file cannot be opened or no thread is left.
    pub fn prepare(&self, sink: Option<&Sink>) -> std::io::Result<()> {
        let path = sink.map(path_of);
        let mut unused = Vec::new();
        let mut open = lock(&self.open);
        open.retain(|at, w| {
            let keep = Arc::strong_count(w) > 1 || path.as_ref() == Some(at);
            if !keep {
                unused.push(w.clone());
            }
            keep
        });
        if let Some(path) = path {
            match path.as_ref().filter(|_| open.contains_key(&path)) {
                // It may be gone, or no longer ours to write.
                Some(there) => drop(poll::append(there)?),
                None if open.contains_key(&path) => {}
                None => {
                    open.insert(path.clone(), Arc::new(Writer::start(path)?));
                }
            }
        }
        // Their last lines are written without the lock.
        drop(open);
        drop(unused);
        Ok(())
    }

    fn reopen(&self) {
        for w in lock(&self.open).values() {
            w.reopen.store(true, Relaxed);
            // Only a nudge: a writer that is behind sees the flag when it gets on.
            let _full = w.mail.as_ref().map(|m| m.try_send(Job::Nudge));
        }
    }
}

/// The file of a sink; none is the standard output.
fn path_of(sink: &Sink) -> Option<PathBuf> {
    match sink {
        Sink::Stdout => None,
        Sink::File(path) => Some(path.clone()),
    }
}

struct Writer {
    mail: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    /// Ends with the thread.
    ended: Mutex<Receiver<()>>,
    /// Buffers that were written, to be filled again.
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
    /// Before the next write the file is opened again under its name.
    reopen: Arc<AtomicBool>,
    /// Lines that could not be written and are not counted yet.
    lost: Arc<AtomicU64>,
}

enum Job {
    /// So many lines.
    Write(Vec<u8>, u64),
    /// Look at the flags.
    Nudge,
}

impl Writer {
    fn start(path: Option<PathBuf>) -> std::io::Result<Self> {
        let mut file = path.as_deref().map(poll::append).transpose()?;
        let (mail, jobs) = sync_channel::<Job>(BUFFERS);
        let (running, ended) = sync_channel(0);
        let spare = Arc::new(Mutex::new(Vec::with_capacity(SPARE)));
        let (reopen, lost) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (give_back, again, losses) = (spare.clone(), reopen.clone(), lost.clone());
        let thread = std::thread::Builder::new()
            .name("access-log".into())
            .spawn(move || {
                for job in jobs {
                    if again.swap(false, Relaxed) {
                        if let Some(Ok(new)) = path.as_deref().map(poll::append) {
                            file = Some(new);
                        }
                    }
                    let Job::Write(mut bytes, lines) = job else {
                        continue;
                    };
                    // What cannot be written now is lost; the next may fit again.
                    let written = match &mut file {
                        Some(f) => f.write_all(&bytes),
                        None => std::io::stdout().write_all(&bytes),
                    };
                    if written.is_err() {
                        losses.fetch_add(lines, Relaxed);
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
            reopen,
            lost,
        })
    }

    /// An empty buffer, used before if there is one.
    fn spare(&self) -> Vec<u8> {
        let used = lock(&self.spare).pop();
        used.unwrap_or_else(|| Vec::with_capacity(FULL + MAX_LINE))
    }

    /// Hands a buffer to the writing thread, or back if that is too far behind.
    fn send(&self, bytes: Vec<u8>, lines: u64) -> Result<(), Vec<u8>> {
        let Some(mail) = &self.mail else {
            return Err(bytes);
        };
        mail.try_send(Job::Write(bytes, lines))
            .map_err(|e| match e {
                TrySendError::Full(Job::Write(bytes, _))
                | TrySendError::Disconnected(Job::Write(bytes, _)) => bytes,
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
