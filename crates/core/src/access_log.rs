//! Writes one line for each request that has ended; what it says is [`config::access_log`]'s.
//!
//! Whatever a client sent is escaped: a line holds no control byte of theirs, so nobody forges a
//! line or moves a terminal's cursor. Text: `"`, `\`, control and non-ASCII bytes become `\xHH` (as
//! in nginx). JSON: RFC 8259, control characters as `\u00HH`, bytes that are no UTF-8 as U+FFFD.
//! Credentials that a filter of the config looks for are `[redacted]`, whatever became of the request.
//! Units:  durations in milliseconds with three decimals; times in UTC, RFC 3339, milliseconds.
//! Errors: none. What is missing is `-`, or `null` in JSON.
//! Bounds: [`MAX_LINE`] bytes a line. A text line that is cut ends in `...`; a JSON line stays JSON,
//!         and the values that are cut end so.
//!
//! [`config::access_log`]: crate::config::access_log

use std::borrow::Cow;
use std::io::Write as _;

use wire::Head;

pub use crate::config::access_log::Format;
use crate::config::access_log::{Part, Variable, VARIABLES};
use crate::filter::{Client, Outcome};
use crate::secret::{self, Secret, HIDDEN};
use crate::snapshot::Address;

/// What is known of a request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Milliseconds since 1970, when the response ended.
    pub unix_ms: u64,
    /// Who sent it.
    pub client: &'a Client,
    /// The listener's name.
    pub listener: &'a str,
    /// The method as it was sent.
    pub method: &'a [u8],
    /// The host it was sent to.
    pub host: &'a [u8],
    /// The path as it came in, without the query.
    pub path: &'a [u8],
    /// What follows the `?`.
    pub query: Option<&'a [u8]>,
    /// `HTTP/1.1` and the like.
    pub protocol: &'static str,
    /// The request's fields.
    pub request: &'a Head,
    /// How it ended.
    pub outcome: &'a Outcome,
    /// The status of a call of gRPC.
    pub grpc_status: Option<u32>,
    /// The route's name.
    pub route: Option<&'a str>,
    /// The upstream's name.
    pub upstream: Option<&'a str>,
    /// The endpoint's address.
    pub endpoint: Option<&'a Address>,
    /// The code of the gateway's own reply; empty for an upstream's response.
    pub code: &'a str,
    /// The request's identifier.
    pub request_id: Option<&'a [u8]>,
    /// Where requests carry credentials.
    pub secrets: &'a [Secret],
}

impl Format {
    /// Appends one line to `out`, its line feed included. `scratch` is room for values that are made,
    /// so that a line allocates nothing once both have grown.
    pub fn write(&self, entry: &Entry<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        let room = match self {
            Self::Json => MAX_LINE - RESERVED,
            Self::Line(_) => MAX_LINE - CUT.len() - 1,
        };
        let mut line = Line {
            most: out.len() + room,
            out,
        };
        match self {
            Self::Json => json(&mut line, entry, scratch),
            Self::Line(parts) => text(&mut line, parts, entry, scratch),
        }
        out.push(b'\n');
    }
}

impl Variable {
    /// What the entry says; text that has to be made is made in `scratch`.
    fn value<'s>(&self, entry: &Entry<'s>, scratch: &'s mut Vec<u8>) -> Option<&'s [u8]> {
        scratch.clear();
        let o = entry.outcome;
        let made = match self {
            Self::Time => time(entry.unix_ms, scratch),
            Self::ClientIp => write!(scratch, "{}", entry.client.ip),
            Self::Peer => write!(scratch, "{}", entry.client.peer),
            Self::Status => write!(scratch, "{}", o.status),
            Self::GrpcStatus => write!(scratch, "{}", entry.grpc_status?),
            Self::RequestBytes => write!(scratch, "{}", o.received),
            Self::ResponseBytes => write!(scratch, "{}", o.sent),
            Self::Duration => write!(
                scratch,
                "{}.{:03}",
                o.took / 1_000_000,
                o.took / 1000 % 1000
            ),
            Self::Consumer => return entry.client.consumer.as_deref().map(str::as_bytes),
            Self::Listener => return Some(entry.listener.as_bytes()),
            Self::Route => return entry.route.map(str::as_bytes),
            Self::Upstream => return entry.upstream.map(str::as_bytes),
            Self::Endpoint => write!(scratch, "{}", entry.endpoint?),
            Self::Method => return Some(entry.method),
            Self::Host => return Some(entry.host),
            Self::Path => return Some(entry.path),
            Self::Query => match entry.query {
                Some(query) if secret::redact_query(entry.secrets, query, scratch) => Ok(()),
                query => return query,
            },
            Self::Protocol => return Some(entry.protocol.as_bytes()),
            Self::Code => return Some(entry.code.as_bytes()),
            Self::RequestId => return entry.request_id,
            Self::Header(name) => {
                let value = entry.request.find(name.as_bytes())?;
                let hidden = secret::hides_header(entry.secrets, name);
                return Some(if hidden { HIDDEN } else { value });
            }
            Self::Proxy(value) => match entry.client.proxied.as_deref()?.get(*value)? {
                Cow::Borrowed(told) => return Some(told),
                Cow::Owned(told) => scratch.write_all(&told),
            },
        };
        debug_assert!(made.is_ok(), "writing into a vector does not fail");
        Some(scratch)
    }

    fn is_number(&self) -> bool {
        matches!(
            self,
            Self::Status
                | Self::GrpcStatus
                | Self::RequestBytes
                | Self::ResponseBytes
                | Self::Duration
        )
    }
}

/// A line on its way, which may grow up to `most`.
struct Line<'o> {
    most: usize,
    out: &'o mut Vec<u8>,
}

impl Line<'_> {
    fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Appends what `escape` makes of each piece until the line is full, and marks the cut.
    /// False if it was cut.
    fn pieces<'p>(
        &mut self,
        pieces: impl Iterator<Item = &'p [u8]>,
        escape: fn(&[u8], &mut Vec<u8>),
    ) -> bool {
        for piece in pieces {
            let before = self.out.len();
            escape(piece, self.out);
            if self.out.len() > self.most {
                self.out.truncate(before);
                self.raw(CUT);
                return false;
            }
        }
        true
    }

    /// A JSON string. Characters are kept whole at a cut; bytes that are no UTF-8 become U+FFFD.
    fn quoted(&mut self, value: &[u8]) {
        self.raw(b"\"");
        for chunk in value.utf8_chunks() {
            let valid = chunk.valid();
            let whole = valid
                .char_indices()
                .map(|(at, c)| &valid.as_bytes()[at..at + c.len_utf8()]);
            let bad = (!chunk.invalid().is_empty()).then_some("\u{fffd}".as_bytes());
            if !self.pieces(whole.chain(bad), escape_json) {
                break;
            }
        }
        self.raw(b"\"");
    }
}

fn text(line: &mut Line<'_>, parts: &[Part], entry: &Entry<'_>, scratch: &mut Vec<u8>) {
    let as_it_is = |piece: &[u8], out: &mut Vec<u8>| out.extend_from_slice(piece);
    for part in parts {
        let whole = match part {
            Part::Text(plain) => line.pieces(plain.as_bytes().chunks(1), as_it_is),
            Part::Value(variable) => match variable.value(entry, scratch) {
                None | Some([]) => line.pieces([&b"-"[..]].into_iter(), as_it_is),
                Some(value) => line.pieces(value.chunks(1), escape_text),
            },
        };
        if !whole {
            return;
        }
    }
}

fn escape_text(byte: &[u8], out: &mut Vec<u8>) {
    match byte {
        [b @ (b'"' | b'\\' | 0..=0x1f | 0x7f..)] => {
            out.extend_from_slice(&[
                b'\\',
                b'x',
                HEX[usize::from(b >> 4)],
                HEX[usize::from(b & 15)],
            ]);
        }
        _ => out.extend_from_slice(byte),
    }
}

fn json(line: &mut Line<'_>, entry: &Entry<'_>, scratch: &mut Vec<u8>) {
    let mut before: &[u8] = b"{\"";
    for (key, variable) in &VARIABLES {
        line.raw(before);
        line.raw(key.as_bytes());
        line.raw(b"\":");
        match variable.value(entry, scratch) {
            None | Some([]) => line.raw(b"null"),
            Some(number) if variable.is_number() => line.raw(number),
            Some(value) => line.quoted(value),
        }
        before = b",\"";
    }
    line.raw(b"}");
}

fn escape_json(character: &[u8], out: &mut Vec<u8>) {
    match character {
        [b @ (b'"' | b'\\')] => out.extend_from_slice(&[b'\\', *b]),
        // C0 and DEL, and C1, whose 0x9b begins a terminal's escape sequence as ESC [ does.
        [b @ (0..=0x1f | 0x7f)] | [0xc2, b @ 0x80..=0x9f] => {
            out.extend_from_slice(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(b >> 4)],
                HEX[usize::from(b & 15)],
            ]);
        }
        _ => out.extend_from_slice(character),
    }
}

/// `1994-11-06T08:49:37.000Z`, out of the date that HTTP writes.
fn time(unix_ms: u64, out: &mut Vec<u8>) -> std::io::Result<()> {
    let http = wire::date::imf_fixdate(unix_ms / 1000);
    let month = MONTHS
        .iter()
        .position(|m| http[8..11] == **m)
        .unwrap_or_default()
        + 1;
    out.extend_from_slice(&http[12..16]);
    write!(out, "-{month:02}-")?;
    out.extend_from_slice(&http[5..7]);
    out.push(b'T');
    out.extend_from_slice(&http[17..25]);
    write!(out, ".{:03}Z", unix_ms % 1000)
}

/// The longest line, its line feed included, in bytes.
pub const MAX_LINE: usize = 8 << 10;

/// Room behind a full JSON line for all keys, numbers and marks that may still follow.
const RESERVED: usize = 1024;

const CUT: &[u8] = b"...";
const HEX: &[u8; 16] = b"0123456789abcdef";
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

#[cfg(test)]
#[path = "access_log_tests.rs"]
mod tests;
