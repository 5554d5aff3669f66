//! Finds the end of a chunked body (RFC 9112 section 7.1); the content itself is not kept.
//!
//! Resumable at any byte. Errors: [`BadChunk`]. Bounds: a line of at most [`MAX_LINE`].

/// A reader of one chunked body.
#[derive(Default)]
pub struct Chunks {
    state: State,
    line: Vec<u8>,
}

/// The framing is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk;

impl Chunks {
    /// Takes bytes up to the end of the body. Returns how many it took and whether the body ended.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(usize, bool), BadChunk> {
        let mut used = 0;
        while used < bytes.len() {
            if let State::Data(left) = self.state {
                let n = left.min((bytes.len() - used) as u64);
                used += n as usize;
                self.state = if n == left {
                    State::DataEnd
                } else {
                    State::Data(left - n)
                };
                continue;
            }
            let byte = bytes[used];
            used += 1;
            if byte != b'\n' {
                if self.line.len() == MAX_LINE {
                    return Err(BadChunk);
                }
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\r").ok_or(BadChunk)?;
            self.state = match self.state {
                State::Size => match size(line)? {
                    0 => State::Trailer,
                    n => State::Data(n),
                },
                State::DataEnd if line.is_empty() => State::Size,
                State::Trailer if line.is_empty() => return Ok((used, true)),
                State::Trailer => State::Trailer,
                State::DataEnd | State::Data(_) => return Err(BadChunk),
            };
        }
        Ok((used, false))
    }
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailer,
}

fn size(line: &[u8]) -> Result<u64, BadChunk> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let text = std::str::from_utf8(digits).map_err(|_| BadChunk)?;
    u64::from_str_radix(text.trim_end(), 16).map_err(|_| BadChunk)
}

const MAX_LINE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_at_any_split() {
        let body = b"5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
        for piece in 1..=body.len() {
            let mut chunks = Chunks::default();
            let parts: Vec<&[u8]> = body.chunks(piece).collect();
            for (at, part) in parts.iter().enumerate() {
                let last = at + 1 == parts.len();
                assert_eq!(
                    chunks.feed(part),
                    Ok((part.len(), last)),
                    "pieces of {piece}"
                );
            }
        }
        let mut chunks = Chunks::default();
        assert_eq!(chunks.feed(b"0\r\n\r\nGET /"), Ok((5, true)));
    }

    #[test]
    fn broken_framing_is_refused() {
        for case in [&b"x\r\n"[..], b"5\nhello", b"1\r\nab\r\n", b"\r\n"] {
            let got = Chunks::default().feed(case);
            assert_eq!(got, Err(BadChunk), "{}", String::from_utf8_lossy(case));
        }
    }
}
