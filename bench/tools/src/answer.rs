//! Finds where an HTTP/1.1 answer ends, and what it was.
//!
//! Resumable at any byte. Only answers framed by Content-Length are understood, because that is all
//! the origin sends and no proxy under test has a reason to reframe it; anything else is an error.
//! Informational answers are skipped. Bounds: a head of at most [`MAX_HEAD`].

use memchr::memmem;

/// A reader of one connection's answers.
#[derive(Default)]
pub struct Answers {
    /// The part of a head that came so far; empty when heads come whole.
    partial: Vec<u8>,
    current: Option<Head>,
    left: u64,
}

/// A complete answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Bytes of the body.
    pub body: u64,
    /// The server closes after this one.
    pub close: bool,
}

/// The bytes are not an answer that this reader understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl Answers {
    /// Takes bytes up to the end of the current answer. Returns how many it took, and the answer
    /// when it is complete; what it did not take belongs to the next answer.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Answer>), Malformed> {
        let mut used = 0;
        let head = loop {
            if let Some(head) = self.current {
                break head;
            }
            let (taken, head) = self.head(&bytes[used..])?;
            used += taken;
            match head {
                None => return Ok((used, None)),
                Some(head) if head.status < 200 => {}
                Some(head) => {
                    self.left = head.length;
                    self.current = Some(head);
                }
            }
        };
        let body = self.left.min((bytes.len() - used) as u64);
        self.left -= body;
        used += body as usize;
        if self.left > 0 {
            return Ok((used, None));
        }
        self.current = None;
        let answer = Answer {
            status: head.status,
            body: head.length,
            close: head.close,
        };
        Ok((used, Some(answer)))
    }

    /// Whether the next byte begins a new answer.
    pub fn at_start(&self) -> bool {
        self.current.is_none() && self.partial.is_empty()
    }

    fn head(&mut self, bytes: &[u8]) -> Result<(usize, Option<Head>), Malformed> {
        if self.partial.is_empty() {
            if let Some(end) = memmem::find(bytes, END) {
                return Ok((end + END.len(), Some(Head::parse(&bytes[..end])?)));
            }
        }
        let before = self.partial.len();
        let room = MAX_HEAD - before;
        self.partial
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        // The end may have begun in the bytes that came before.
        let from = before.saturating_sub(END.len() - 1);
        match memmem::find(&self.partial[from..], END) {
            Some(end) => {
                let head = Head::parse(&self.partial[..from + end])?;
                self.partial.clear();
                Ok((from + end + END.len() - before, Some(head)))
            }
            None if self.partial.len() == MAX_HEAD => Err(Malformed),
            None => Ok((bytes.len(), None)),
        }
    }
}

#[derive(Clone, Copy)]
struct Head {
    status: u16,
    length: u64,
    close: bool,
}

impl Head {
    /// `text` is the head without its last CRLF CRLF.
    fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let first = memchr::memchr(b'\r', text).unwrap_or(text.len());
        let digits = text.get(9..12).filter(|_| text.starts_with(b"HTTP/1."));
        let status = digits.and_then(decimal).ok_or(Malformed)? as u16;
        let mut length = None;
        let mut close = text[7] == b'0';
        let mut at = first + 2;
        while at < text.len() {
            let end = memchr::memchr(b'\r', &text[at..]).map_or(text.len(), |n| at + n);
            let line = &text[at..end];
            // The two names that matter begin with the same letter.
            if line[0] | 0x20 == b'c' {
                if let Some(value) = field(line, b"content-length:") {
                    length = Some(decimal(value).ok_or(Malformed)?);
                } else if let Some(value) = field(line, b"connection:") {
                    close = value.eq_ignore_ascii_case(b"close");
                }
            }
            at = end + 2;
        }
        let bodiless = status < 200 || status == 204 || status == 304;
        let length = if bodiless { Some(0) } else { length };
        Ok(Self {
            status,
            length: length.ok_or(Malformed)?,
            close,
        })
    }
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len())?;
    start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

fn decimal(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

const END: &[u8] = b"\r\n\r\n";
/// More than any server under test sends.
const MAX_HEAD: usize = 32 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<(u16, u64, bool)>, Malformed> {
        let mut answers = Answers::default();
        let mut seen = Vec::new();
        for mut part in bytes.chunks(piece) {
            while !part.is_empty() {
                let (used, answer) = answers.feed(part)?;
                seen.extend(answer.map(|a| (a.status, a.body, a.close)));
                part = &part[used..];
            }
        }
        assert!(answers.at_start(), "an answer is left unfinished");
        Ok(seen)
    }

    #[test]
    fn answers_are_found_at_any_split() {
        let bytes = b"HTTP/1.1 200 OK\r\nServer: x\r\ncontent-Length: 5\r\n\r\nhello\
            HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n\r\n\
            HTTP/1.1 429 Slow\r\nConnection: Close\r\nContent-Length:0\r\n\r\n";
        let want = vec![(200, 5, false), (204, 0, false), (429, 0, true)];
        for piece in 1..=bytes.len() {
            assert_eq!(read(bytes, piece).as_ref(), Ok(&want), "pieces of {piece}");
        }
    }

    #[test]
    fn what_has_no_length_is_refused() {
        let cases: [&[u8]; 4] = [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            b"SSH-2.0-x\r\n\r\n",
        ];
        for case in cases {
            let got = read(case, case.len());
            assert_eq!(got, Err(Malformed), "{}", String::from_utf8_lossy(case));
        }
        let endless = vec![b'a'; MAX_HEAD + 1];
        assert_eq!(read(&endless, 1000), Err(Malformed));
    }
}
