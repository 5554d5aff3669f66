//! The origin: an HTTP/1.1 server that costs little and answers exactly.
//!
//! `GET /128` and `GET /16k` have bodies of 128 bytes and 16 KiB; `POST /upload` reads its body (by
//! Content-Length or chunked) and answers with 2 bytes; anything else is 404. Keep-alive, and pipelined
//! requests are answered in order with one send. A broken request is 400 and the end of its connection.
//! One thread. Bounds: a head of 32 KiB; a connection that does not read its answers is not read.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};

use bench_tools::args::Args;
use bench_tools::chunk::Chunks;
use bench_tools::sys::{self, Events, Poll};

fn main() -> io::Result<()> {
    let mut args = Args::new("origin --listen ADDRESS:PORT");
    let at: SocketAddrV4 = args.required("--listen");
    args.finish();
    sys::raise_open_files()?;
    let listener = sys::listen(at)?;
    println!("ready {}", listener.local_addr()?.port());
    run(&listener)
}

fn run(listener: &TcpListener) -> io::Result<()> {
    let poll = Poll::new()?;
    poll.add_listener(listener, LISTENER)?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut vacant = Vec::new();
    let mut scratch = vec![0; SCRATCH];
    let answers = Answers::new();
    let mut events = Events::new();
    loop {
        poll.wait(&mut events, -1)?;
        for at in 0..events.len() {
            let ready = events.at(at);
            if ready.token == LISTENER {
                while let Some(stream) = accept(listener)? {
                    let place = vacant.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    poll.add(&stream, place as u64)?;
                    connections[place] = Some(Connection::new(stream));
                }
                continue;
            }
            let place = ready.token as usize;
            let Some(connection) = &mut connections[place] else {
                continue;
            };
            if connection.turn(&answers, &mut scratch).is_err() {
                connections[place] = None;
                vacant.push(place);
            }
        }
    }
}

fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    loop {
        match sys::accept(listener) {
            Ok(stream) => return Ok(Some(stream)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error),
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// The part of a head that came so far.
    partial: Vec<u8>,
    body: Body,
    out: Vec<u8>,
    closing: bool,
}

enum Body {
    None,
    Length(u64),
    Chunked(Chunks),
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            partial: Vec::new(),
            body: Body::None,
            out: Vec::new(),
            closing: false,
        }
    }

    /// Reads and answers until the socket has no more or takes no more. An error ends the connection.
    fn turn(&mut self, answers: &Answers, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            self.flush()?;
            if !self.out.is_empty() {
                return Ok(());
            }
            match (&self.stream).read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(_) if self.closing => {}
                Ok(n) => self.serve(&scratch[..n], answers),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    fn serve(&mut self, bytes: &[u8], answers: &Answers) {
        let mut joined = std::mem::take(&mut self.partial);
        let mut rest = bytes;
        if !joined.is_empty() {
            joined.extend_from_slice(bytes);
            rest = &joined;
        }
        while !rest.is_empty() && !self.closing {
            match self.step(rest, answers) {
                Ok(0) if rest.len() < MAX_HEAD => {
                    self.partial = rest.to_vec();
                    return;
                }
                Ok(used) if used > 0 => rest = &rest[used..],
                Ok(_) | Err(_) => {
                    self.out.extend_from_slice(&answers.bad);
                    self.closing = true;
                }
            }
        }
    }

    /// Takes one head or a piece of a body; nothing when a head is not whole yet.
    fn step(&mut self, bytes: &[u8], answers: &Answers) -> Result<usize, Bad> {
        let (used, ended) = match &mut self.body {
            Body::None => return self.head(bytes, answers),
            Body::Length(left) => {
                let n = (*left).min(bytes.len() as u64);
                *left -= n;
                (n as usize, *left == 0)
            }
            Body::Chunked(chunks) => chunks.feed(bytes).map_err(|_| Bad)?,
        };
        if ended {
            self.body = Body::None;
            self.out.extend_from_slice(&answers.taken);
        }
        Ok(used)
    }

    fn head(&mut self, bytes: &[u8], answers: &Answers) -> Result<usize, Bad> {
        let mut fields = [httparse::EMPTY_HEADER; 100];
        let mut request = httparse::Request::new(&mut fields);
        let httparse::Status::Complete(used) = request.parse(bytes).map_err(|_| Bad)? else {
            return Ok(0);
        };
        let (mut length, mut chunked, mut close, mut waits) = (0, false, false, false);
        for field in request.headers.iter() {
            let value = field.value.trim_ascii();
            match field.name {
                name if name.eq_ignore_ascii_case("content-length") => {
                    let text = std::str::from_utf8(value).map_err(|_| Bad)?;
                    length = text.parse().map_err(|_| Bad)?;
                }
                name if name.eq_ignore_ascii_case("transfer-encoding") => {
                    chunked = value.eq_ignore_ascii_case(b"chunked");
                }
                name if name.eq_ignore_ascii_case("connection") => {
                    close = value.eq_ignore_ascii_case(b"close");
                }
                name if name.eq_ignore_ascii_case("expect") => waits = true,
                _ => {}
            }
        }
        let answer = match (request.method, request.path) {
            (Some("GET"), Some("/128")) => &answers.small,
            (Some("GET"), Some("/16k")) => &answers.large,
            (Some("POST"), Some("/upload")) => &answers.taken,
            _ => &answers.unknown,
        };
        if close {
            // The body of a request that asks for the end is not read: no proxy under test sends one.
            self.closing = true;
        } else if chunked || length > 0 {
            if waits {
                self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            self.body = if chunked {
                Body::Chunked(Chunks::default())
            } else {
                Body::Length(length)
            };
            return Ok(used);
        }
        self.out.extend_from_slice(answer);
        Ok(used)
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.out.is_empty() {
            match (&self.stream).write(&self.out) {
                Ok(n) if n == self.out.len() => self.out.clear(),
                Ok(n) => drop(self.out.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        if self.closing {
            // The rest of the input is read away, so that the answer is not lost to a reset.
            self.stream.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }
}

/// A request that this server does not understand.
struct Bad;

/// Answers, ready to be copied.
struct Answers {
    small: Vec<u8>,
    large: Vec<u8>,
    taken: Vec<u8>,
    unknown: Vec<u8>,
    bad: Vec<u8>,
}

impl Answers {
    fn new() -> Self {
        Self {
            small: answer("200 OK", "", &[b'x'; 128]),
            large: answer("200 OK", "", &[b'x'; 16 * 1024]),
            taken: answer("200 OK", "", b"ok"),
            unknown: answer("404 Not Found", "", b"not here"),
            bad: answer("400 Bad Request", "Connection: close\r\n", b"bad"),
        }
    }
}

fn answer(status: &str, fields: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\nServer: origin\r\nContent-Type: text/plain\r\n\
         {fields}Content-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

const LISTENER: u64 = u64::MAX;
const SCRATCH: usize = 64 * 1024;
const MAX_HEAD: usize = 32 * 1024;
