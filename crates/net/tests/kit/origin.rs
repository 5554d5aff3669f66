//! An origin that does what a test says, and remembers what reached it: the oracle for whatever
//! must not.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use super::client::field;
use super::{Pieces, PATIENCE};

/// A listening origin. Dropping it stops it.
pub struct Origin {
    pub at: SocketAddr,
    state: Arc<State>,
}

struct State {
    requests: Mutex<Vec<Request>>,
    arrived: Condvar,
    connections: AtomicUsize,
    stopping: AtomicBool,
    open: Mutex<Vec<(usize, TcpStream)>>,
    ended: Mutex<usize>,
    an_end: Condvar,
}

/// A request as it reached the origin.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// Without its last empty line.
    pub head: String,
    pub body: Vec<u8>,
    pub trailers: String,
    /// Which of the origin's connections it came by, from 0.
    pub connection: usize,
}

/// One connection, in the hands of a test.
pub struct Peer {
    pub stream: TcpStream,
    /// How it sends.
    pub pieces: Pieces,
    pending: Vec<u8>,
    number: usize,
    state: Arc<State>,
}

impl Origin {
    /// Answers every request with 200 and `METHOD target` as its body, keeping connections.
    pub fn echo() -> Self {
        Self::serve(|r| {
            let line = r.head.lines().next().unwrap_or_default();
            let body = line.trim_end_matches(" HTTP/1.1").to_owned();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            if line.starts_with("HEAD ") {
                head.into_bytes()
            } else {
                (head + &body).into_bytes()
            }
        })
    }

    /// Answers every request with what `answer` makes of it, keeping connections.
    pub fn serve(answer: impl Fn(&Request) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(move |mut peer| {
            while let Some(request) = peer.request() {
                let bytes = answer(&request);
                if peer.stream.write_all(&bytes).is_err() {
                    break;
                }
            }
        })
    }

    /// Gives every connection to `talk`, on a thread of its own.
    pub fn start(talk: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), talk)
    }

    /// Like [`Origin::start`], at a given address: for an origin that comes back.
    pub fn start_at(at: SocketAddr, talk: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        Self::behind(TcpListener::bind(at).expect("a port"), talk)
    }

    /// Like [`Origin::start`], behind a socket that listens already.
    pub fn behind(listener: TcpListener, talk: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let at = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            requests: Mutex::default(),
            arrived: Condvar::new(),
            connections: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            open: Mutex::default(),
            ended: Mutex::default(),
            an_end: Condvar::new(),
        });
        let (inner, talk) = (state.clone(), Arc::new(talk));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { continue };
                if inner.stopping.load(SeqCst) {
                    break;
                }
                let number = inner.connections.fetch_add(1, SeqCst);
                stream.set_nodelay(true).expect("nodelay");
                stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
                let second = stream.try_clone().expect("a descriptor");
                inner.open.lock().expect("the list").push((number, second));
                let peer = Peer {
                    stream,
                    pieces: Pieces::Whole,
                    pending: Vec::new(),
                    number,
                    state: inner.clone(),
                };
                let talk = talk.clone();
                thread::spawn(move || talk(peer));
            }
        });
        Self { at, state }
    }

    /// All requests that have come, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().expect("the list").clone()
    }

    /// All requests that have come since this was last called.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut *self.state.requests.lock().expect("the list"))
    }

    /// Waits until so many requests have come.
    pub fn wait_for(&self, n: usize) -> Vec<Request> {
        let all = self.state.requests.lock().expect("the list");
        let (all, late) = self
            .state
            .arrived
            .wait_timeout_while(all, PATIENCE, |all| all.len() < n)
            .expect("the list");
        assert!(!late.timed_out(), "{} of {n} requests came", all.len());
        all.clone()
    }

    /// Waits until so many connections have been let go of by whoever serves them.
    pub fn wait_for_ends(&self, n: usize) {
        let ended = self.state.ended.lock().expect("the count");
        let (ended, late) = self
            .state
            .an_end
            .wait_timeout_while(ended, PATIENCE, |ended| *ended < n)
            .expect("the count");
        assert!(!late.timed_out(), "{ended} of {n} connections ended");
    }

    /// Connections that have been made to it.
    pub fn connections(&self) -> usize {
        self.state.connections.load(SeqCst)
    }

    /// Ends it as `kill -9` would: the port is closed, its connections too.
    pub fn kill(self) {}
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.state.stopping.store(true, SeqCst);
        let _wakes_accept = TcpStream::connect(self.at);
        for (_, stream) in self.state.open.lock().expect("the list").drain(..) {
            let _closed = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The list holds a second descriptor for the connection: both must go for it to close.
        let mut open = self.state.open.lock().expect("the list");
        open.retain(|(number, _)| *number != self.number);
        *self.state.ended.lock().expect("the count") += 1;
        self.state.an_end.notify_all();
    }
}

impl Peer {
    /// Which of the origin's connections it is, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Waits for the other side to close or reset; false if it sends another byte instead.
    pub fn is_closed(&mut self) -> bool {
        self.pending.is_empty() && self.more().is_none()
    }

    /// Reads a whole request and remembers it; none if the connection ends, or is not understood.
    pub fn request(&mut self) -> Option<Request> {
        let mut request = self.head()?;
        if field(&request.head, "transfer-encoding").is_some() {
            self.chunks(&mut request)?;
        } else if let Some(n) = field(&request.head, "content-length") {
            request.body = self.exactly(n.parse().ok()?)?;
        }
        self.remember(request.clone());
        Some(request)
    }

    /// Reads a head only.
    pub fn head(&mut self) -> Option<Request> {
        let mut head = self.until(b"\r\n\r\n")?;
        head.truncate(head.len() - 4);
        Some(Request {
            head: String::from_utf8_lossy(&head).into_owned(),
            connection: self.number,
            ..Request::default()
        })
    }

    /// Puts a request on the list of those that came.
    pub fn remember(&self, request: Request) {
        self.state.requests.lock().expect("the list").push(request);
        self.state.arrived.notify_all();
    }

    /// Sends, whether or not anybody listens still.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        for piece in self.pieces.of(bytes.as_ref()) {
            if self.stream.write_all(piece).is_err() {
                break;
            }
        }
        self
    }

    /// Closes with a reset.
    pub fn reset(self) {
        use std::os::fd::AsRawFd;
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the pointer and the length are those of one live struct.
        unsafe {
            libc::setsockopt(
                self.stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            );
        }
    }

    /// Closes in good order.
    pub fn close(self) {
        let _closed = self.stream.shutdown(Shutdown::Both);
    }

    fn chunks(&mut self, request: &mut Request) -> Option<()> {
        loop {
            let line = self.until(b"\r\n")?;
            let line = std::str::from_utf8(&line[..line.len() - 2]).ok()?;
            let n = usize::from_str_radix(line, 16).ok()?;
            if n == 0 {
                break;
            }
            request.body.extend(self.exactly(n)?);
            if self.exactly(2)? != b"\r\n" {
                return None;
            }
        }
        loop {
            let line = self.until(b"\r\n")?;
            if line == b"\r\n" {
                return Some(());
            }
            request.trailers += &String::from_utf8_lossy(&line);
        }
    }

    /// Forgets what was received and not yet read; how much that was.
    pub fn pending(&mut self) -> u64 {
        std::mem::take(&mut self.pending).len() as u64
    }

    /// Reads exactly so many bytes.
    pub fn exactly(&mut self, n: usize) -> Option<Vec<u8>> {
        while self.pending.len() < n {
            self.more()?;
        }
        Some(self.pending.drain(..n).collect())
    }

    fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.pending.windows(end.len()).position(|w| w == end) {
                return Some(self.pending.drain(..at + end.len()).collect());
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> Option<()> {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(n) if n > 0 => {
                self.pending.extend_from_slice(&piece[..n]);
                Some(())
            }
            _ => None,
        }
    }
}
