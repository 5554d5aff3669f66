//! What gRPC-Web adds to the frames of gRPC: trailers inside of the body, and the whole as base64 text.
//!
//! Source: gRPC-Web (`PROTOCOL-WEB.md` of the gRPC repository), RFC 4648 section 4.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;

use crate::Head;

/// Appends `trailers` as the frame that ends a body of gRPC-Web: 0x80, the length, and lines as of HTTP/1.1 with
/// names in lower case.
pub fn write_trailers(trailers: &Head, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&[TRAILERS, 0, 0, 0, 0]);
    for (name, value) in trailers.fields() {
        out.extend(name.iter().map(u8::to_ascii_lowercase));
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    // A head is bounded far below what 32 bits count.
    let length = u32::try_from(out.len() - at - FRAME_HEAD).unwrap_or(u32::MAX);
    out[at + 1..at + FRAME_HEAD].copy_from_slice(&length.to_be_bytes());
}

/// Frames into text. The text of each frame decodes by itself, and is whole as soon as its frame is.
#[derive(Debug, Default)]
pub struct TextWriter {
    /// Bytes that are no three yet.
    held: [u8; 2],
    holds: usize,
    /// Of the frame's head, so far.
    head: [u8; FRAME_HEAD],
    headed: usize,
    /// What is to come of the frame's message.
    left: u32,
}

impl TextWriter {
    /// Appends the text of `input`, all but up to two bytes of a frame that goes on.
    pub fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while !input.is_empty() {
            let (piece, rest) = input.split_at(self.within(input));
            self.encode(piece, out);
            if self.headed == FRAME_HEAD && self.left == 0 {
                self.headed = 0;
                self.finish(out);
            }
            input = rest;
        }
    }

    /// Appends what is held back of a frame that is cut short.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let held = self.held;
        encode(&held[..std::mem::take(&mut self.holds)], out);
    }

    /// How much of `input` belongs to the same frame, at least one byte.
    fn within(&mut self, input: &[u8]) -> usize {
        let of_head = input.len().min(FRAME_HEAD - self.headed);
        self.head[self.headed..][..of_head].copy_from_slice(&input[..of_head]);
        self.headed += of_head;
        if of_head > 0 && self.headed == FRAME_HEAD {
            let [_, length @ ..] = self.head;
            self.left = u32::from_be_bytes(length);
        }
        if self.headed < FRAME_HEAD {
            return of_head;
        }
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        let of_message = left.min(input.len() - of_head);
        self.left -= u32::try_from(of_message).unwrap_or(self.left);
        of_head + of_message
    }

    fn encode(&mut self, mut piece: &[u8], out: &mut Vec<u8>) {
        if self.holds > 0 {
            let missing = (3 - self.holds).min(piece.len());
            let mut three = [self.held[0], self.held[1], 0];
            three[self.holds..][..missing].copy_from_slice(&piece[..missing]);
            piece = &piece[missing..];
            if self.holds + missing < 3 {
                self.held = [three[0], three[1]];
                self.holds += missing;
                return;
            }
            self.holds = 0;
            encode(&three, out);
        }
        let (whole, rest) = piece.split_at(piece.len() - piece.len() % 3);
        encode(whole, out);
        self.held[..rest.len()].copy_from_slice(rest);
        self.holds = rest.len();
    }
}

/// The text is not base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Text into frames: base64 in any pieces, whose padding may stand wherever a sender ended one of its own.
#[derive(Debug, Default)]
pub struct TextReader {
    held: [u8; 4],
    holds: usize,
}

impl TextReader {
    /// Appends the bytes of `input`, all but those of a last group of four that is not whole yet.
    ///
    /// # Errors
    /// [`Malformed`] if it is no base64.
    pub fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
        if self.holds > 0 {
            let missing = (4 - self.holds).min(input.len());
            self.held[self.holds..][..missing].copy_from_slice(&input[..missing]);
            self.holds += missing;
            input = &input[missing..];
            if self.holds < 4 {
                return Ok(());
            }
            self.holds = 0;
            decode(&self.held, out)?;
        }
        let (mut whole, rest) = input.split_at(input.len() - input.len() % 4);
        while let Some(pad) = memchr::memchr(b'=', whole) {
            let (padded, after) = whole.split_at(pad - pad % 4 + 4);
            decode(padded, out)?;
            whole = after;
        }
        decode(whole, out)?;
        self.held[..rest.len()].copy_from_slice(rest);
        self.holds = rest.len();
        Ok(())
    }

    /// The text has ended.
    ///
    /// # Errors
    /// [`Malformed`] if it ended within a group of four.
    pub fn finish(&self) -> Result<(), Malformed> {
        if self.holds == 0 {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(bytes, &mut out[at..]);
    debug_assert_eq!(written, Ok(out.len() - at));
}

fn decode(text: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let at = out.len();
    out.resize(at + text.len() / 4 * 3, 0);
    let decoded = STANDARD.decode_slice(text, &mut out[at..]).ok();
    out.truncate(at + decoded.unwrap_or_default());
    decoded.map(|_| ()).ok_or(Malformed)
}

/// The flag of a frame of trailers.
const TRAILERS: u8 = 0x80;

/// Bytes of a frame before its message: flags and length.
const FRAME_HEAD: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_a_frame() {
        let mut trailers = Head::new();
        for (name, value) in [("Grpc-Status", "0"), ("x", ""), ("grpc-message", "a b")] {
            let put = trailers.add(name.as_bytes(), value.as_bytes());
            put.expect("a field");
        }
        let mut out = b"before".to_vec();
        write_trailers(&trailers, &mut out);
        let lines = b"grpc-status: 0\r\nx: \r\ngrpc-message: a b\r\n";
        let frame = [&[0x80, 0, 0, 0, 40][..], lines].concat();
        assert_eq!(lines.len(), 40);
        assert_eq!(out, [b"before", &frame[..]].concat());
    }

    #[test]
    fn the_text_of_a_frame_is_whole_with_its_frame() {
        let mut writer = TextWriter::default();
        let mut said = |bytes: &[u8]| {
            let mut out = Vec::new();
            writer.push(bytes, &mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(said(b"\0\0\0\0\x02h"), "AAAAAAJo");
        assert_eq!(said(b"i"), "aQ==");
        assert_eq!(said(b"\0\0\0\0\0"), "AAAAAAA=");
        assert_eq!(said(b"\0\0\0\0\x01a\0\0"), "AAAAAAFh");
        assert_eq!(said(b"\0"), "AAAA");
        assert_eq!(said(b"\0\0"), "AAA=");
    }

    #[test]
    fn text_that_is_none() {
        let cases: [(&[u8], bool); 12] = [
            (b"", true),
            (b"YWI=", true),
            (b"YWI=YQ==YWJj", true),
            (b"YWI", false),
            (b"YWJj=", false),
            (b"Y=Jj", false),
            (b"Y===", false),
            (b"====", false),
            (b"YW\r\n", false),
            (b"YWJ-", false),
            (b"YWJ=", false),
            (b"Y Q=", false),
        ];
        for (text, fine) in cases {
            for cut in 0..=text.len() {
                let (mut reader, mut out) = (TextReader::default(), Vec::new());
                let read = reader
                    .push(&text[..cut], &mut out)
                    .and_then(|()| reader.push(&text[cut..], &mut out))
                    .and_then(|()| reader.finish());
                assert_eq!(read.is_ok(), fine, "{} {cut}", text.escape_ascii());
            }
        }
    }
}
