//! A client that sends bytes as they are, and reads answers with a parser of its own.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::{Pieces, PATIENCE};

/// A connection to a gateway.
pub struct Client<S = TcpStream> {
    pub stream: S,
    pending: Vec<u8>,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    /// The head as it came, without its last empty line.
    pub head: String,
    pub body: Vec<u8>,
    /// Trailers as they came.
    pub trailers: String,
}

impl Client {
    pub fn connect(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("the gateway accepts");
        stream.set_nodelay(true).expect("nodelay");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        Self {
            stream,
            pending: Vec::new(),
        }
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) -> &mut Self {
        let _closed = self.stream.shutdown(Shutdown::Write);
        self
    }
}

impl<S: Read + Write> Client<S> {
    /// A client that speaks through this.
    pub fn over(stream: S) -> Self {
        Self {
            stream,
            pending: Vec::new(),
        }
    }

    /// Sends all. A peer that has closed is no fault: the answer tells.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _closed = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Sends in the given pieces, each in a call of its own.
    pub fn send_in(&mut self, pieces: Pieces, bytes: impl AsRef<[u8]>) -> &mut Self {
        for piece in pieces.of(bytes.as_ref()) {
            if self.stream.write_all(piece).is_err() {
                break;
            }
        }
        self
    }

    /// Sends a GET and reads its answer.
    pub fn get(&mut self, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.response()
    }

    /// Reads the answer to a request other than HEAD.
    pub fn response(&mut self) -> Response {
        self.try_response("GET").expect("an answer")
    }

    /// Reads the answer to a request of this method; an error says how it was cut.
    pub fn try_response(&mut self, method: &str) -> Result<Response, String> {
        let head = self.head()?;
        let status: u16 = head
            .get(9..12)
            .and_then(|s| s.parse().ok())
            .ok_or_else(|| format!("no status line: {head:?}"))?;
        let mut response = Response {
            status,
            head,
            body: Vec::new(),
            trailers: String::new(),
        };
        let bodiless = method == "HEAD" || status < 200 || status == 204 || status == 304;
        if bodiless {
            return Ok(response);
        }
        if response.field("transfer-encoding") == Some("chunked") {
            self.chunks(&mut response)?;
        } else if let Some(n) = response.field("content-length") {
            let n = n.parse().map_err(|e| format!("{e}: {}", response.head))?;
            response.body = self.exactly(n)?;
        } else {
            response.body = self.rest()?;
        }
        Ok(response)
    }

    fn head(&mut self) -> Result<String, String> {
        let mut head = self.until(b"\r\n\r\n")?;
        head.truncate(head.len() - 4);
        Ok(String::from_utf8_lossy(&head).into_owned())
    }

    fn chunks(&mut self, response: &mut Response) -> Result<(), String> {
        loop {
            let line = self.until(b"\r\n")?;
            let line = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
            let n = usize::from_str_radix(&line, 16).map_err(|e| format!("{e}: {line:?}"))?;
            if n == 0 {
                break;
            }
            response.body.extend(self.exactly(n)?);
            let end = self.exactly(2)?;
            if end != b"\r\n" {
                return Err(format!("{end:?} behind a chunk"));
            }
        }
        loop {
            let line = self.until(b"\r\n")?;
            if line == b"\r\n" {
                return Ok(());
            }
            response.trailers += &String::from_utf8_lossy(&line);
        }
    }

    /// Forgets what was received and not yet read; how much that was.
    pub fn pending(&mut self) -> u64 {
        std::mem::take(&mut self.pending).len() as u64
    }

    /// Reads exactly so many bytes.
    pub fn exactly(&mut self, n: usize) -> Result<Vec<u8>, String> {
        while self.pending.len() < n {
            self.more()?;
        }
        Ok(self.pending.drain(..n).collect())
    }

    /// Reads up to and with `end`.
    pub fn until(&mut self, end: &[u8]) -> Result<Vec<u8>, String> {
        let mut from = 0;
        loop {
            let found = self.pending[from..]
                .windows(end.len())
                .position(|w| w == end);
            if let Some(at) = found {
                return Ok(self.pending.drain(..from + at + end.len()).collect());
            }
            from = self.pending.len().saturating_sub(end.len() - 1);
            self.more()?;
        }
    }

    /// Reads until the other side closes in good order.
    pub fn rest(&mut self) -> Result<Vec<u8>, String> {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(e) if e == "closed" => return Ok(std::mem::take(&mut self.pending)),
                Err(e) => return Err(e),
            }
        }
    }

    /// True if the other side closes, or resets, without another byte.
    pub fn is_closed(&mut self) -> bool {
        self.pending.is_empty() && matches!(self.more().unwrap_err_or_empty(), "closed" | "reset")
    }

    /// Waits for the end of the connection; an error says what came instead of a close in good order.
    pub fn ends(&mut self) -> Result<(), String> {
        if !self.pending.is_empty() {
            return Err(format!("{:?} came", String::from_utf8_lossy(&self.pending)));
        }
        match self.more() {
            Ok(()) => self.ends(),
            Err(e) if e == "closed" => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn more(&mut self) -> Result<(), String> {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => Err("closed".into()),
            Ok(n) => {
                self.pending.extend_from_slice(&piece[..n]);
                Ok(())
            }
            Err(e) if e.kind() == ErrorKind::ConnectionReset => Err("reset".into()),
            Err(e) => Err(e.to_string()),
        }
    }
}

trait Outcome {
    fn unwrap_err_or_empty(&self) -> &str;
}

impl Outcome for Result<(), String> {
    fn unwrap_err_or_empty(&self) -> &str {
        match self {
            Ok(()) => "",
            Err(e) => e,
        }
    }
}

impl Response {
    /// The first field of this name, in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    /// The code of a problem body.
    pub fn code(&self) -> String {
        let body = String::from_utf8_lossy(&self.body);
        let at = body.find("\"code\":\"").map(|i| &body[i + 8..]);
        at.and_then(|s| s.split('"').next())
            .unwrap_or("")
            .to_owned()
    }
}

/// The first field of a head by its name, in lower case.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (n, v) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| v.trim())
    })
}
