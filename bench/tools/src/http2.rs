//! The client's side of HTTP/2 (RFC 9113), by prior knowledge or in TLS, as far as a load needs it: requests without a body on
//! many streams of a connection, and a reader of what comes back.
//!
//! Resumable at any byte. Errors: [`BadFrames`]: a GOAWAY, a reset, a frame larger than the default allows, a stream that was
//! not asked for. Bounds: windows of 1 MiB, which no answer under test fills; they are opened again as data comes.

use std::time::Instant;

use crate::answer::Answer;

/// The other side does not speak as it must, or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFrames;

/// One connection, with its requests in flight.
pub struct Session {
    /// To be sent.
    out: Vec<u8>,
    /// The part of a frame that came so far.
    partial: Vec<u8>,
    /// A request's block of fields.
    block: Vec<u8>,
    next: u32,
    open: Vec<Open>,
    /// Bytes of data for which the connection's window is to be opened again.
    taken: u32,
}

struct Open {
    stream: u32,
    began: Instant,
    status: u16,
    body: u64,
}

/// An answer that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// What it was; its status is 0 if that is none that this reader knows.
    pub answer: Answer,
    /// When it was asked for.
    pub began: Instant,
}

impl Session {
    /// Greets, and asks for `path` on so many streams. The scheme is `https` where it `is_secure`.
    pub fn new(path: &str, streams: usize, is_secure: bool) -> Self {
        let mut session = Self {
            out: PREFACE.to_vec(),
            partial: Vec::new(),
            block: block(path, is_secure),
            next: 1,
            open: Vec::new(),
            taken: 0,
        };
        let window = WINDOW.to_be_bytes();
        // No table: what is said of each answer is then all in its own block. No pushes. Windows.
        let settings = [
            [0, 1, 0, 0, 0, 0],
            [0, 2, 0, 0, 0, 0],
            [0, 4, window[0], window[1], window[2], window[3]],
        ];
        session.frame(SETTINGS, 0, 0, &settings.concat());
        session.frame(WINDOW_UPDATE, 0, 0, &(WINDOW - 65_535).to_be_bytes());
        for _ in 0..streams {
            session.ask();
        }
        session
    }

    /// What is to be sent.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// When the request that waits longest was asked for.
    pub fn oldest(&self) -> Option<Instant> {
        self.open.iter().map(|o| o.began).min()
    }

    /// Asks once more.
    pub fn ask(&mut self) {
        let block = std::mem::take(&mut self.block);
        self.frame(HEADERS, END_HEADERS | END_STREAM, self.next, &block);
        self.block = block;
        self.open.push(Open {
            stream: self.next,
            began: Instant::now(),
            status: 0,
            body: 0,
        });
        self.next += 2;
    }

    /// Takes all of `bytes`, and adds to `done` what they bring to its end.
    pub fn feed(&mut self, bytes: &[u8], done: &mut Vec<Done>) -> Result<(), BadFrames> {
        let held = std::mem::take(&mut self.partial);
        let joined;
        let mut rest = if held.is_empty() {
            bytes
        } else {
            joined = [&held[..], bytes].concat();
            &joined[..]
        };
        while rest.len() >= HEAD {
            let len = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
            if len > LARGEST {
                return Err(BadFrames);
            }
            if rest.len() < HEAD + len {
                break;
            }
            let (frame, more) = rest.split_at(HEAD + len);
            rest = more;
            self.take(frame, done)?;
        }
        self.partial = rest.to_vec();
        if self.taken >= WINDOW / 2 {
            let taken = std::mem::take(&mut self.taken);
            self.frame(WINDOW_UPDATE, 0, 0, &taken.to_be_bytes());
        }
        Ok(())
    }

    fn take(&mut self, frame: &[u8], done: &mut Vec<Done>) -> Result<(), BadFrames> {
        let (head, payload) = frame.split_at(HEAD);
        let (kind, flags) = (head[3], head[4]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match kind {
            DATA | HEADERS => {
                let at = self.open.iter().position(|o| o.stream == stream);
                let at = at.ok_or(BadFrames)?;
                let open = &mut self.open[at];
                if kind == DATA {
                    open.body += payload.len() as u64;
                    self.taken += payload.len() as u32;
                } else if open.status == 0 {
                    open.status = status(payload);
                }
                if flags & END_STREAM != 0 {
                    let open = self.open.swap_remove(at);
                    let answer = Answer {
                        status: open.status,
                        body: open.body,
                        close: false,
                    };
                    done.push(Done {
                        answer,
                        began: open.began,
                    });
                }
            }
            SETTINGS if flags & ACK == 0 => self.frame(SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => self.frame(PING, ACK, 0, payload),
            RST_STREAM | GOAWAY => return Err(BadFrames),
            _ => {}
        }
        Ok(())
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let len = (payload.len() as u32).to_be_bytes();
        self.out.extend_from_slice(&len[1..]);
        self.out.extend_from_slice(&[kind, flags]);
        self.out.extend_from_slice(&stream.to_be_bytes());
        self.out.extend_from_slice(payload);
    }
}

/// `GET` of a path, in literals that no table keeps (RFC 7541 section 6.2.2), and the static table's entries.
fn block(path: &str, is_secure: bool) -> Vec<u8> {
    let mut block = vec![0x82, if is_secure { 0x87 } else { 0x86 }];
    for (name, value) in [(4, path), (1, "bench.test")] {
        block.extend_from_slice(&[name, value.len() as u8]);
        block.extend_from_slice(value.as_bytes());
    }
    block
}

/// The status of a block that begins with an entry of the static table, behind updates of the table's size.
fn status(mut block: &[u8]) -> u16 {
    while let [size, rest @ ..] = block {
        if size & 0xe0 != 0x20 {
            break;
        }
        block = rest;
    }
    match block.first() {
        Some(0x88) => 200,
        Some(0x8c) => 400,
        Some(0x8d) => 404,
        Some(0x8e) => 500,
        _ => 0,
    }
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const WINDOW: u32 = 1 << 20;
const HEAD: usize = 9;
const LARGEST: usize = 16 << 10;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let mut session = Session::new("/", 0, false);
        session.out.clear();
        session.frame(kind, flags, stream, payload);
        session.out
    }

    #[test]
    fn answers_are_found_at_any_split_and_in_any_order() {
        let bytes = [
            frame(SETTINGS, 0, 0, &[]),
            frame(HEADERS, END_HEADERS, 3, &[0x20, 0x88]),
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0x8d]),
            frame(DATA, 0, 3, b"ab"),
            frame(PING, 0, 0, &[7; 8]),
            frame(DATA, END_STREAM, 3, b"c"),
        ]
        .concat();
        for piece in 1..=bytes.len() {
            let mut session = Session::new("/", 2, false);
            session.out.clear();
            let mut done = Vec::new();
            for part in bytes.chunks(piece) {
                session.feed(part, &mut done).expect("frames");
            }
            let seen: Vec<_> = done
                .iter()
                .map(|d| (d.answer.status, d.answer.body))
                .collect();
            assert_eq!(seen, [(404, 0), (200, 3)], "pieces of {piece}");
            let acks = [frame(SETTINGS, ACK, 0, &[]), frame(PING, ACK, 0, &[7; 8])];
            assert_eq!(session.out, acks.concat());
            assert_eq!(session.oldest(), None);
        }
    }

    #[test]
    fn what_ends_a_connection_is_an_error() {
        for bytes in [
            frame(GOAWAY, 0, 0, &[0; 8]),
            frame(RST_STREAM, 0, 1, &[0; 4]),
            frame(DATA, END_STREAM, 9, b""),
            vec![0xff; 9],
        ] {
            let mut done = Vec::new();
            let fed = Session::new("/", 1, false).feed(&bytes, &mut done);
            assert_eq!(fed, Err(BadFrames), "{bytes:?}");
        }
    }
}
