//! Finds the end of a head, however its bytes arrive.
//!
//! Source: RFC 9112 sections 2.1, 2.2 and 5.2. Lines end with CR LF and nothing else; a line that
//! begins with whitespace (obs-fold) is refused; one empty line before a request is skipped.
//! Errors: as early as the bytes seen so far allow no other verdict. The verdict is a function of
//! the bytes alone: no cut into reads changes it.
//! Bounds: [`Limits`]. Each byte is looked at once, however often `advance` is called.

use super::refusal::{self, Refusal};
use crate::syntax::is_token_byte;
use memchr::{memchr, memchr2};

/// How large a head may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, line ends included. Default 32 KiB.
    pub head: usize,
    /// Field lines. Default 100, at most [`Limits::MOST_FIELDS`].
    pub fields: usize,
    /// Bytes of the request target. Default 8 KiB.
    pub uri: usize,
}

impl Limits {
    /// The parser's room is on the stack, so `fields` above this count as this.
    pub const MOST_FIELDS: usize = 256;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 32 << 10,
            fields: 100,
            uri: 8 << 10,
        }
    }
}

/// Where in a head the scan stands. One for each message, from `default()`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Bytes of the buffer that were looked at, without a CR whose next byte is missing.
    at: usize,
    /// Where the current line begins.
    line: usize,
    /// Lines that have ended, the empty one before a request not counted.
    lines: usize,
    /// Bytes of empty line before the first line: 0 or 2.
    skipped: usize,
}

impl Scan {
    /// Looks at what is new in `buf`, which begins with the head's first byte and only ever grows
    /// from call to call. `Some(n)`: the head is `buf[..n]`, its last empty line included.
    pub fn advance(&mut self, buf: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        let window = &buf[..buf.len().min(limits.head)];
        while self.at < window.len() {
            if self.at == self.line {
                self.begin_line(window[self.at], limits)?;
            }
            let found = memchr2(b'\r', b'\n', &window[self.at..]).map(|n| self.at + n);
            let end = found.unwrap_or(window.len());
            if self.lines == 0 {
                self.check_first_line(&window[self.line..end], limits)?;
            }
            self.at = end;
            if end + 1 >= window.len() && window.get(end) != Some(&b'\n') {
                break; // no line end, or a CR whose next byte is missing
            }
            if window[end] == b'\n' || window[end + 1] != b'\n' {
                return Err(refusal::BAD_LINE_END);
            }
            let empty = end == self.line;
            self.at = end + 2;
            self.line = self.at;
            if !empty {
                self.lines += 1;
            } else if self.lines > 0 {
                return Ok(Some(self.at));
            } else if self.skipped > 0 {
                return Err(refusal::EMPTY_LINES);
            } else {
                self.skipped = 2;
            }
        }
        if window.len() == limits.head {
            return Err(refusal::HEAD_TOO_LARGE);
        }
        Ok(None)
    }

    /// Bytes of the empty line that was skipped before the first line: 0 or 2. A connection on
    /// which nothing else came is idle, not in a request.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    fn begin_line(&self, first: u8, limits: &Limits) -> Result<(), Refusal> {
        if first == b'\r' || first == b'\n' {
            return Ok(());
        }
        if self.lines == 0 {
            return if is_token_byte(first) {
                Ok(())
            } else {
                Err(refusal::NOT_HTTP)
            };
        }
        if first == b' ' || first == b'\t' {
            return Err(refusal::OBSOLETE_FOLD);
        }
        if self.lines > limits.fields.min(Limits::MOST_FIELDS) {
            return Err(refusal::TOO_MANY_FIELDS);
        }
        Ok(())
    }

    /// Refuses a first line, perhaps not complete, in which method or target must be too long.
    fn check_first_line(&self, line: &[u8], limits: &Limits) -> Result<(), Refusal> {
        if line.len() <= LONGEST_METHOD + 1 + limits.uri + AFTER_TARGET {
            return Ok(());
        }
        match memchr(b' ', &line[..=LONGEST_METHOD]) {
            Some(_) => Err(refusal::URI_TOO_LONG),
            None => Err(refusal::METHOD_TOO_LONG),
        }
    }
}

/// The longest registered method has 17 bytes (UPDATEREDIRECTREF).
pub(super) const LONGEST_METHOD: usize = 32;
/// ` HTTP/1.1`
const AFTER_TARGET: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Limits = Limits {
        head: 200,
        fields: 3,
        uri: 20,
    };

    /// The verdict on `bytes` as a whole, and after each single byte.
    fn verdicts(bytes: &[u8], limits: &Limits) -> [Result<Option<usize>, Refusal>; 2] {
        let whole = Scan::default().advance(bytes, limits);
        let mut scan = Scan::default();
        let mut single = Ok(None);
        for end in 1..=bytes.len() {
            single = scan.advance(&bytes[..end], limits);
            if single != Ok(None) {
                break;
            }
        }
        [whole, single]
    }

    #[test]
    fn heads_end_where_the_empty_line_ends() {
        let cases: [(&[u8], usize); 5] = [
            (b"GET / HTTP/1.1\r\n\r\n", 18),
            (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest", 27),
            (b"\r\nGET / HTTP/1.1\r\n\r\n", 20),
            (b"GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\n\r\n", 30),
            (b"HTTP/1.1 200 OK\r\n\r\n\r\n\n", 19),
        ];
        for (bytes, end) in cases {
            for verdict in verdicts(bytes, &SMALL) {
                assert_eq!(verdict, Ok(Some(end)), "{}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn refusals_do_not_depend_on_the_cut() {
        let long = [b"GET /".as_slice(), &[b'a'; 80]].concat();
        let method = [b'M'; 120];
        let large = [b"GET / HTTP/1.1\r\nA: ".as_slice(), &[b'a'; 300]].concat();
        let exact = [
            b"GET / HTTP/1.1\r\nA: ".as_slice(),
            &[b'a'; 179],
            b"\r\n\r\n",
        ]
        .concat();
        let cases: [(&[u8], Refusal); 17] = [
            (b"GET / HTTP/1.1\n\n", refusal::BAD_LINE_END),
            (b"GET / HTTP/1.1\r\nA: b\n\r\n", refusal::BAD_LINE_END),
            (b"GET / HTTP/1.1\r\nA: b\r\n\n", refusal::BAD_LINE_END),
            (b"GET / HTTP/1.1\r\n\rX", refusal::BAD_LINE_END),
            (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", refusal::BAD_LINE_END),
            (b"GET / HTTP/1.1\r\r\n\r\n", refusal::BAD_LINE_END),
            (b"GET / HTTP/1.1\r\n A: b\r\n\r\n", refusal::OBSOLETE_FOLD),
            (
                b"GET / HTTP/1.1\r\nA: b\r\n\tc\r\n\r\n",
                refusal::OBSOLETE_FOLD,
            ),
            (b"\r\n\r\nGET / HTTP/1.1\r\n\r\n", refusal::EMPTY_LINES),
            (b"\nGET / HTTP/1.1\r\n\r\n", refusal::BAD_LINE_END),
            (b" GET / HTTP/1.1\r\n\r\n", refusal::NOT_HTTP),
            (b"\x16\x03\x01", refusal::NOT_HTTP),
            (
                b"GET / HTTP/1.1\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n",
                refusal::TOO_MANY_FIELDS,
            ),
            (&long, refusal::URI_TOO_LONG),
            (&method, refusal::METHOD_TOO_LONG),
            (&large, refusal::HEAD_TOO_LARGE),
            (&exact[..200], refusal::HEAD_TOO_LARGE),
        ];
        for (bytes, why) in cases {
            for verdict in verdicts(bytes, &SMALL) {
                assert_eq!(verdict, Err(why), "{}", bytes.escape_ascii());
            }
        }
    }

    #[test]
    fn a_head_may_be_exactly_as_large_as_the_limit() {
        let head = [
            b"GET / HTTP/1.1\r\nA: ".as_slice(),
            &[b'a'; 177],
            b"\r\n\r\n",
        ]
        .concat();
        assert_eq!(head.len(), SMALL.head);
        for verdict in verdicts(&head, &SMALL) {
            assert_eq!(verdict, Ok(Some(200)));
        }
    }

    #[test]
    fn what_may_still_become_a_head_is_not_refused() {
        let head = b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for end in 0..head.len() {
            assert_eq!(Scan::default().advance(&head[..end], &SMALL), Ok(None));
        }
    }
}
