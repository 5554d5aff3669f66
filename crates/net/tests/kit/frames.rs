//! Frames of HTTP/2 as bytes: a client that may send what no codec would.

use std::net::SocketAddr;

use super::Client;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Names of error codes, as RFC 9113 section 7 has them.
pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const REFUSED_STREAM: u32 = 7;
pub const CANCEL: u32 = 8;
pub const ENHANCE_YOUR_CALM: u32 = 11;

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A literal field, neither indexed nor compressed.
pub fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        let len = text.len();
        if len < 127 {
            bytes.push(len as u8);
        } else {
            bytes.push(127);
            let mut rest = len - 127;
            while rest >= 128 {
                bytes.push((rest % 128) as u8 | 128);
                rest /= 128;
            }
            bytes.push(rest as u8);
        }
        bytes.extend(text.as_bytes());
    }
    bytes
}

/// `GET http://a/` and these fields, as a block.
pub fn block(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", path),
    ];
    let all = pseudo.iter().chain(fields);
    all.flat_map(|(n, v)| literal(n, v)).collect()
}

/// A whole request without a body.
pub fn get(stream: u32, path: &str) -> Vec<u8> {
    frame(
        HEADERS,
        END_HEADERS | END_STREAM,
        stream,
        &block("GET", path, &[]),
    )
}

/// A client that has greeted.
pub fn greet(to: SocketAddr) -> Client {
    let mut client = Client::connect(to);
    client.send(PREFACE).send(frame(SETTINGS, 0, 0, &[]));
    client
}

impl<S: std::io::Read + std::io::Write> Client<S> {
    /// The next frame; an error says how the connection ended.
    pub fn frame(&mut self) -> Result<Frame, String> {
        let head = self.exactly(9)?;
        let len = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Ok(Frame {
            kind: head[3],
            flags: head[4],
            stream,
            payload: self.exactly(len)?,
        })
    }

    /// Frames up to the first of this kind.
    pub fn frames_until(&mut self, is: impl Fn(&Frame) -> bool) -> Result<Frame, String> {
        loop {
            let frame = self.frame()?;
            if is(&frame) {
                return Ok(frame);
            }
        }
    }

    /// The code of the last GOAWAY before the connection ends; none if there is none.
    pub fn goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Ok(frame) = self.frame() {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }
}

impl Frame {
    /// The error code of a RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let code = self.payload.get(at..at + 4).expect("an error code");
        u32::from_be_bytes(code.try_into().expect("four bytes"))
    }

    /// True for the end of a stream.
    pub fn ends(&self, stream: u32) -> bool {
        self.stream == stream
            && (self.kind == RST_STREAM
                || matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0)
    }
}
