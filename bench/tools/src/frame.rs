//! The client's side of a WebSocket (RFC 6455), as far as an echo needs it: the handshake, one masked text
//! message, and a reader of what comes back.
//!
//! Resumable at any byte. Errors: [`BadFrame`]: a handshake that is not accepted, an answer that is no
//! single unmasked text frame, bytes that are not those that were sent. Bounds: a head of [`MAX_HEAD`].

/// Bytes of every message.
pub const FILL: u8 = b'x';

/// The other side does not speak as it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFrame;

/// A request for a WebSocket, with the key of RFC 6455 section 1.3.
pub fn handshake(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: bench.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// A text message of `length` bytes in one frame.
pub fn message(length: usize) -> Vec<u8> {
    let mut frame = vec![FIN_TEXT];
    match length {
        0..=125 => frame.push(MASKED | length as u8),
        126..=0xffff => {
            frame.push(MASKED | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            frame.push(MASKED | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&MASK);
    frame.extend((0..length).map(|at| FILL ^ MASK[at % 4]));
    frame
}

/// A reader of what the server says.
#[derive(Default)]
pub struct Frames {
    is_open: bool,
    /// The part of a head that came so far.
    head: Vec<u8>,
    /// Bytes of the message, and how many are still to come.
    current: Option<(u64, u64)>,
}

/// What was complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The handshake: messages may be sent.
    Open,
    /// A message of so many bytes.
    Message(u64),
}

impl Frames {
    /// Takes bytes up to the end of the handshake or of a message. Returns how many it took, and what
    /// was complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Heard>), BadFrame> {
        let mut used = 0;
        while used < bytes.len() {
            if let Some((length, left)) = self.current {
                let n = left.min((bytes.len() - used) as u64) as usize;
                if bytes[used..used + n].iter().any(|byte| *byte != FILL) {
                    return Err(BadFrame);
                }
                used += n;
                if n as u64 == left {
                    self.current = None;
                    return Ok((used, Some(Heard::Message(length))));
                }
                self.current = Some((length, left - n as u64));
                continue;
            }
            self.head.push(bytes[used]);
            used += 1;
            if !self.is_open {
                if self.head.ends_with(b"\r\n\r\n") {
                    accepted(&self.head)?;
                    self.is_open = true;
                    self.head.clear();
                    return Ok((used, Some(Heard::Open)));
                }
                if self.head.len() == MAX_HEAD {
                    return Err(BadFrame);
                }
                continue;
            }
            if let Some(length) = length(&self.head)? {
                self.head.clear();
                if length == 0 {
                    return Ok((used, Some(Heard::Message(0))));
                }
                self.current = Some((length, length));
            }
        }
        Ok((used, None))
    }
}

fn accepted(head: &[u8]) -> Result<(), BadFrame> {
    let is_switch = head.starts_with(b"HTTP/1.1 101 ");
    let answer = memchr::memmem::find(head, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    (is_switch && answer.is_some())
        .then_some(())
        .ok_or(BadFrame)
}

/// The length that a whole head says; nothing while it is not whole.
fn length(head: &[u8]) -> Result<Option<u64>, BadFrame> {
    let (FIN_TEXT, rest) = (head[0], &head[1..]) else {
        return Err(BadFrame);
    };
    let Some((&short, more)) = rest.split_first() else {
        return Ok(None);
    };
    match (short, more.len()) {
        (0..=125, _) => Ok(Some(u64::from(short))),
        (126, 2) | (127, 8) => Ok(Some(
            more.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )),
        (126 | 127, _) => Ok(None),
        _ => Err(BadFrame),
    }
}

const FIN_TEXT: u8 = 0x81;
const MASKED: u8 = 0x80;
/// Any will do: it keeps bytes from looking like something else, which they do not here.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// More than any server under test sends.
pub const MAX_HEAD: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: &[u8] =
        b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    fn heard(bytes: &[u8], piece: usize) -> Result<Vec<Heard>, BadFrame> {
        let mut frames = Frames::default();
        let mut all = Vec::new();
        for mut part in bytes.chunks(piece) {
            while !part.is_empty() {
                let (used, one) = frames.feed(part)?;
                all.extend(one);
                part = &part[used..];
            }
        }
        Ok(all)
    }

    #[test]
    fn messages_are_found_at_any_split() {
        let mut bytes = ACCEPTED.to_vec();
        bytes.extend_from_slice(b"\x81\x03xxx\x81\x00\x81\x7e\x00\xc8");
        bytes.resize(bytes.len() + 200, FILL);
        bytes.extend_from_slice(b"\x81\x7f\0\0\0\0\0\0\0\x01x");
        let want = [3, 0, 200, 1].map(Heard::Message);
        let want = [&[Heard::Open][..], &want].concat();
        for piece in 1..=bytes.len() {
            assert_eq!(
                heard(&bytes, piece).as_ref(),
                Ok(&want),
                "pieces of {piece}"
            );
        }
    }

    #[test]
    fn what_is_no_echo_is_refused() {
        let cases: [&[u8]; 5] = [
            b"\x81\x03abc",         // not what was sent
            b"\x82\x03xxx",         // binary
            b"\x01\x03xxx",         // a part of a message
            b"\x81\x83\0\0\0\0xxx", // masked
            b"\x88\x02\x03\xe8",    // a close
        ];
        for case in cases {
            let bytes = [ACCEPTED, case].concat();
            assert_eq!(heard(&bytes, bytes.len()), Err(BadFrame), "{case:?}");
        }
        let other = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n";
        assert_eq!(heard(other, 1), Err(BadFrame));
        assert_eq!(heard(b"HTTP/1.1 200 OK\r\n\r\n", 1), Err(BadFrame));
    }

    #[test]
    fn a_message_is_masked() {
        for (length, head) in [(64, 6), (126, 8), (70_000, 14)] {
            let frame = message(length);
            assert_eq!(frame.len(), head + length);
            let (mask, body) = frame[head - 4..].split_at(4);
            let mut pairs = body.iter().zip(mask.iter().cycle());
            assert!(pairs.all(|(byte, mask)| byte ^ mask == FILL));
        }
    }
}
