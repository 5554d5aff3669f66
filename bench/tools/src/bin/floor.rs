//! The floor: the least that a proxy of HTTP/1.1 can do.
//!
//! Four calls a request (client recv, upstream send, upstream recv, client send) and one wait a batch of
//! events. One thread, descriptors registered once and edge-triggered, upstream connections kept and
//! reused last in, first out. Nothing is decided, rewritten, timed, counted or logged: bytes are copied and only the end of an
//! answer is looked for, by Content-Length. What a gateway costs above this is what its features cost.
//!
//! Bounds: while one side cannot be written, the other is not read, so a connection holds at most one
//! read of 64 KiB; the number of connections is the limit of open files. A client must not send a request before the last answer ended.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream};

use bench_tools::answer::Answers;
use bench_tools::args::Args;
use bench_tools::sys::{self, Events, Poll, Ready};

fn main() -> io::Result<()> {
    let mut args = Args::new("floor --listen ADDRESS:PORT --upstream ADDRESS:PORT");
    let at: SocketAddrV4 = args.required("--listen");
    let upstream = args.required("--upstream");
    args.finish();
    sys::raise_open_files()?;
    let listener = sys::listen(at)?;
    println!("ready {}", listener.local_addr()?.port());
    Floor::new(listener, upstream)?.run()
}

struct Floor {
    poll: Poll,
    listener: TcpListener,
    upstream: SocketAddrV4,
    connections: Vec<Option<Connection>>,
    vacant: Vec<usize>,
    idle: Vec<usize>,
    scratch: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    side: Side,
    /// The connection that gets what this one reads; none between two exchanges.
    peer: Option<usize>,
    /// What the socket did not take yet.
    out: Vec<u8>,
    readable: bool,
    hup: bool,
    answers: Answers,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Upstream,
}

impl Floor {
    fn new(listener: TcpListener, upstream: SocketAddrV4) -> io::Result<Self> {
        let poll = Poll::new()?;
        poll.add_listener(&listener, LISTENER)?;
        Ok(Self {
            poll,
            listener,
            upstream,
            connections: Vec::new(),
            vacant: Vec::new(),
            idle: Vec::new(),
            scratch: vec![0; SCRATCH],
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::new();
        loop {
            self.poll.wait(&mut events, -1)?;
            for at in 0..events.len() {
                let ready = events.at(at);
                if ready.token == LISTENER {
                    self.accept()?;
                } else {
                    self.turn(ready);
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match sys::accept(&self.listener) {
                Ok(stream) => self.keep(stream, Side::Client).map(drop)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn keep(&mut self, stream: TcpStream, side: Side) -> io::Result<usize> {
        let at = self.vacant.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.poll.add(&stream, at as u64)?;
        self.connections[at] = Some(Connection {
            stream,
            side,
            peer: None,
            out: Vec::new(),
            readable: false,
            hup: false,
            answers: Answers::default(),
        });
        Ok(at)
    }

    /// An event may be meant for an earlier owner of the place: then it costs a read that finds nothing.
    fn turn(&mut self, ready: Ready) {
        let at = ready.token as usize;
        let Some(connection) = &mut self.connections[at] else {
            return;
        };
        connection.readable |= ready.readable;
        connection.hup |= ready.hup;
        if ready.writable && !connection.out.is_empty() {
            if connection.flush().is_err() {
                return self.close(at);
            }
            if let (true, Some(peer)) = (connection.out.is_empty(), connection.peer) {
                self.pump(peer);
            }
        }
        self.pump(at);
    }

    /// Copies what is there to read, as long as the other side takes it.
    fn pump(&mut self, at: usize) {
        let mut scratch = std::mem::take(&mut self.scratch);
        while self.copy_once(at, &mut scratch).is_continue() {}
        self.scratch = scratch;
    }

    fn copy_once(&mut self, at: usize, scratch: &mut [u8]) -> std::ops::ControlFlow<()> {
        use std::ops::ControlFlow::{Break, Continue};
        let Some(connection) = &self.connections[at] else {
            return Break(());
        };
        let blocked = connection.peer.is_some_and(|peer| self.is_blocked(peer));
        let connection = self.connections[at].as_mut().expect("seen above");
        if !connection.readable || blocked {
            return Break(());
        }
        let n = match (&connection.stream).read(scratch) {
            Ok(n) if n > 0 => n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                connection.readable = false;
                connection.hup = false;
                return Break(());
            }
            Ok(_) | Err(_) => {
                self.close(at);
                return Break(());
            }
        };
        // A short read emptied the socket, unless an end is behind the bytes.
        connection.readable = n == scratch.len() || connection.hup;
        let forwarded = match connection.side {
            Side::Client => self.forward(at, &scratch[..n]),
            Side::Upstream => self.answer(at, &scratch[..n]),
        };
        match forwarded {
            Ok(()) => Continue(()),
            Err(_) => {
                self.close(at);
                Break(())
            }
        }
    }

    fn forward(&mut self, client: usize, bytes: &[u8]) -> io::Result<()> {
        let peer = self.connections[client].as_ref().and_then(|c| c.peer);
        let upstream = match peer.or_else(|| self.idle.pop()) {
            Some(upstream) => upstream,
            None => self.keep(sys::connect(self.upstream, None)?, Side::Upstream)?,
        };
        if peer.is_none() {
            self.pair(client, Some(upstream));
            self.pair(upstream, Some(client));
        }
        self.send(upstream, bytes)
    }

    fn answer(&mut self, upstream: usize, bytes: &[u8]) -> io::Result<()> {
        let connection = self.connections[upstream].as_mut().expect("it was read");
        let Some(client) = connection.peer else {
            return Err(ErrorKind::InvalidData.into()); // bytes that nobody asked for
        };
        let (used, answer) = connection
            .answers
            .feed(bytes)
            .map_err(|_| ErrorKind::InvalidData)?;
        if used < bytes.len() {
            return Err(ErrorKind::InvalidData.into());
        }
        self.send(client, bytes)?;
        let Some(answer) = answer else { return Ok(()) };
        if answer.close || self.is_blocked(upstream) {
            return Err(ErrorKind::ConnectionAborted.into());
        }
        self.pair(client, None);
        self.pair(upstream, None);
        self.idle.push(upstream);
        Ok(())
    }

    fn send(&mut self, at: usize, bytes: &[u8]) -> io::Result<()> {
        let connection = self.connections[at].as_mut().expect("a peer is open");
        match (&connection.stream).write(bytes) {
            Ok(n) => connection.out.extend_from_slice(&bytes[n..]),
            Err(error) if would_block(&error) => connection.out.extend_from_slice(bytes),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn pair(&mut self, at: usize, peer: Option<usize>) {
        self.connections[at].as_mut().expect("it is open").peer = peer;
    }

    fn is_blocked(&self, at: usize) -> bool {
        self.connections[at]
            .as_ref()
            .is_some_and(|c| !c.out.is_empty())
    }

    /// Closes a connection and, within an exchange, its peer.
    fn close(&mut self, at: usize) {
        for at in [Some(at), self.connections[at].as_ref().and_then(|c| c.peer)]
            .into_iter()
            .flatten()
        {
            if self.connections[at].take().is_some() {
                self.vacant.push(at);
                self.idle.retain(|idle| *idle != at);
            }
        }
    }
}

impl Connection {
    fn flush(&mut self) -> io::Result<()> {
        match (&self.stream).write(&self.out) {
            Ok(n) => drop(self.out.drain(..n)),
            Err(error) if would_block(&error) => {}
            Err(error) => return Err(error),
        }
        if self.out.is_empty() {
            self.out = Vec::new();
        }
        Ok(())
    }
}

/// A socket that is still connecting says `NotConnected` or `WouldBlock`, as its kind is.
fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::NotConnected
    )
}

const LISTENER: u64 = u64::MAX;
const SCRATCH: usize = 64 * 1024;
