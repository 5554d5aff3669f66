//! The chunked transfer coding, decoded strictly and from any cut of the input.
//!
//! Source: RFC 9112 section 7.1. No whitespace anywhere in a chunk's line, CR LF only, one form for
//! an extension (`;name`, `;name=token`, `;name="quoted"`); extensions are dropped.
//! Errors: at the first byte that cannot be right; the verdict does not depend on the cut.
//! Bounds: 16 digits of size, [`EXTENSIONS`] bytes of extensions in all, trailers within the
//! [`Limits`] of a head. Small while there are no trailers, and no allocation without them.

use super::refusal::{self, Refusal};
use super::scan::Limits;
use crate::head::Head;
use crate::name::Name;
use crate::syntax::{hex, is_token_byte, is_value_byte};
use memchr::memchr2;

/// Decodes one body. Data is never copied: each step says where it lies in the input.
#[derive(Clone, Debug)]
pub struct ChunkReader {
    state: State,
    digits: u8,
    /// Bytes of this chunk that are still to come.
    left: u64,
    extensions: u32,
    most_fields: u32,
    most_bytes: u32,
    trailers: Option<Box<Trailers>>,
}

/// What the next bytes of the input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `input[skip..skip + len]` is data, `len` is at least 1. Go on behind it.
    Data {
        /// Bytes of framing before the data.
        skip: usize,
        /// Bytes of data.
        len: usize,
    },
    /// All of the input was framing; more is needed.
    More {
        /// Always the input's length.
        consumed: usize,
    },
    /// The body has ended; `input[consumed..]` is the next message.
    End {
        /// Bytes of framing up to the end.
        consumed: usize,
    },
}

impl ChunkReader {
    /// A reader for one body, whose trailers keep to `limits`.
    pub fn new(limits: &Limits) -> Self {
        Self {
            state: State::Size,
            digits: 0,
            left: 0,
            extensions: 0,
            most_fields: limits.fields.min(Limits::MOST_FIELDS) as u32,
            most_bytes: limits.head.min(crate::head::MAX_BYTES / 4) as u32,
            trailers: None,
        }
    }

    /// Decodes up to the next data, the end of the body, or the end of the input.
    pub fn next(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        let mut at = 0;
        while at < input.len() {
            match self.state {
                State::Data => {
                    let here = input.len() - at;
                    let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(here);
                    self.left -= len as u64;
                    if self.left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Step::Data { skip: at, len });
                }
                State::Trailer => at += self.take_trailer(&input[at..])?,
                State::End => return Ok(Step::End { consumed: at }),
                _ => {
                    self.take_byte(input[at])?;
                    at += 1;
                }
            }
        }
        Ok(if self.state == State::End {
            Step::End { consumed: at }
        } else {
            Step::More { consumed: at }
        })
    }

    /// The trailer fields that may be passed on; `None` before the end and if there are none.
    pub fn trailers(&mut self) -> Option<&mut Head> {
        let trailers = self.trailers.as_mut()?;
        let any = self.state == State::End && trailers.head.fields().next().is_some();
        any.then_some(&mut trailers.head)
    }

    fn take_byte(&mut self, byte: u8) -> Result<(), Refusal> {
        self.state = match self.state {
            State::Size => return self.take_size(byte),
            State::SizeLf if byte == b'\n' && self.left == 0 => State::TrailerStart,
            State::SizeLf if byte == b'\n' => State::Data,
            State::DataCr if byte == b'\r' => State::DataLf,
            State::DataLf if byte == b'\n' => {
                self.digits = 0;
                State::Size
            }
            State::DataCr | State::DataLf => return Err(refusal::BAD_CHUNK_END),
            State::TrailerStart => return self.begin_trailer(byte),
            State::TrailerLf if byte == b'\n' => State::TrailerStart,
            State::EndLf if byte == b'\n' => {
                self.read_trailers()?;
                State::End
            }
            State::SizeLf | State::TrailerLf | State::EndLf => return Err(refusal::BAD_LINE_END),
            // `next` does not hand these over.
            State::Data | State::Trailer | State::End => self.state,
            _ => return self.take_extension(byte),
        };
        Ok(())
    }

    fn take_size(&mut self, byte: u8) -> Result<(), Refusal> {
        if let Some(digit) = hex(byte) {
            self.digits += 1;
            if self.digits > 16 {
                return Err(refusal::BAD_CHUNK_SIZE);
            }
            self.left = self.left << 4 | u64::from(digit);
            return Ok(());
        }
        if self.digits == 0 || self.left > LONGEST_CHUNK {
            return Err(refusal::BAD_CHUNK_SIZE);
        }
        self.state = match byte {
            b'\r' => State::SizeLf,
            b';' => State::ExtensionName,
            _ => return Err(refusal::BAD_CHUNK_SIZE),
        };
        Ok(())
    }

    fn take_extension(&mut self, byte: u8) -> Result<(), Refusal> {
        self.extensions += 1;
        if self.extensions > EXTENSIONS {
            return Err(refusal::CHUNK_EXTENSIONS_TOO_LARGE);
        }
        self.state = match (self.state, byte) {
            (State::ExtensionName | State::InName, b) if is_token_byte(b) => State::InName,
            (State::InName, b'=') => State::ExtensionValue,
            (State::ExtensionValue | State::InValue, b) if is_token_byte(b) => State::InValue,
            (State::ExtensionValue, b'"') => State::InQuotes,
            (State::InQuotes, b'\\') => State::Escaped,
            (State::InQuotes, b'"') => State::BehindQuotes,
            (State::InQuotes | State::Escaped, b) if is_value_byte(b) => State::InQuotes,
            (State::InName | State::InValue | State::BehindQuotes, b';') => State::ExtensionName,
            (State::InName | State::InValue | State::BehindQuotes, b'\r') => State::SizeLf,
            _ => return Err(refusal::BAD_CHUNK_EXTENSION),
        };
        Ok(())
    }

    fn begin_trailer(&mut self, byte: u8) -> Result<(), Refusal> {
        self.state = match byte {
            b'\r' => State::EndLf,
            b'\n' => return Err(refusal::BAD_LINE_END),
            b' ' | b'\t' => return Err(refusal::OBSOLETE_FOLD),
            _ => {
                let trailers = self.trailers.get_or_insert_default();
                trailers.lines += 1;
                if trailers.lines > self.most_fields {
                    return Err(refusal::TRAILERS_TOO_LARGE);
                }
                self.keep(&[byte])?;
                State::Trailer
            }
        };
        Ok(())
    }

    /// Keeps the rest of a trailer line, as far as it is there; says how much of `input` it took.
    fn take_trailer(&mut self, input: &[u8]) -> Result<usize, Refusal> {
        let Some(end) = memchr2(b'\r', b'\n', input) else {
            self.keep(input)?;
            return Ok(input.len());
        };
        self.keep(&input[..end])?;
        if input[end] == b'\n' {
            return Err(refusal::BAD_LINE_END);
        }
        self.keep(b"\r\n")?;
        self.state = State::TrailerLf;
        Ok(end + 1)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let raw = &mut self.trailers.get_or_insert_default().raw;
        if raw.len() + bytes.len() > self.most_bytes as usize {
            return Err(refusal::TRAILERS_TOO_LARGE);
        }
        raw.extend_from_slice(bytes);
        Ok(())
    }

    fn read_trailers(&mut self) -> Result<(), Refusal> {
        let Some(trailers) = &mut self.trailers else {
            return Ok(());
        };
        let mut raw = std::mem::take(&mut trailers.raw);
        raw.extend_from_slice(b"\r\n");
        let mut room = [httparse::EMPTY_HEADER; Limits::MOST_FIELDS];
        let parsed = httparse::parse_headers(&raw, &mut room);
        let Ok(httparse::Status::Complete((_, fields))) = parsed else {
            return Err(refusal::BAD_TRAILER);
        };
        for field in fields {
            let name = field.name.as_bytes();
            if !is_forbidden(name) {
                let head = &mut trailers.head;
                let added = head.add(name, field.value);
                added.map_err(|_| refusal::BAD_TRAILER)?;
            }
        }
        Ok(())
    }
}

/// Fields that frame, route, authenticate or describe a message mean nothing behind its body; to
/// merge them into the head would let them pass unchecked (RFC 9110 section 6.5.1). Underscores as
/// in a head: such a name could stand for another one.
fn is_forbidden(name: &[u8]) -> bool {
    let id = Name::of(name);
    if id == Name::Other {
        let prefixed = |p: &&[u8]| name.len() > p.len() && name[..p.len()].eq_ignore_ascii_case(p);
        return name.contains(&b'_')
            || FORBIDDEN_PREFIXES.iter().any(prefixed)
            || FORBIDDEN.iter().any(|f| name.eq_ignore_ascii_case(f));
    }
    !matches!(
        id,
        Name::ETag | Name::LastModified | Name::Server | Name::Via | Name::XRequestId
    )
}

#[derive(Clone, Debug, Default)]
struct Trailers {
    /// The lines as they came, until the last one is there.
    raw: Vec<u8>,
    lines: u32,
    head: Head,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size,
    ExtensionName,
    InName,
    ExtensionValue,
    InValue,
    InQuotes,
    Escaped,
    BehindQuotes,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
    End,
}

/// Most bytes of extensions in one body.
pub const EXTENSIONS: u32 = 16 << 10;
/// As for Content-Length: what a signed 64-bit counter holds.
const LONGEST_CHUNK: u64 = i64::MAX as u64;

const FORBIDDEN_PREFIXES: [&[u8]; 9] = [
    b"client-cert",
    b"content-",
    b"if-",
    b"proxy-",
    b"sec-",
    b"x-forwarded-",
    b"x-original-",
    b"x-rewrite-",
    b"access-control-",
];
const FORBIDDEN: [&[u8]; 4] = [b"max-forwards", b"pragma", b"warning", b"clear-site-data"];
