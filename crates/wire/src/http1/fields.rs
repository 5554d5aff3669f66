//! Reads the fields of a head into its list, and keeps aside what frames the message or belongs to
//! the connection.
//!
//! Source: RFC 9110 sections 5, 7.6.1 and 7.8, RFC 9112 sections 5 and 6.
//! Bounds: [`MOST_OPTIONS`] elements in Connection, so that removing what it names stays cheap.

use super::refusal::{self, Refusal};
use crate::head::{Field, Head};
use crate::method::Version;
use crate::name::Name;
use crate::span::Span;
use crate::syntax::{decimal, is_token, is_token_byte, list, trim};
use httparse::Header;

/// What the fields say that are not in the list.
#[derive(Default)]
pub(super) struct Aside {
    pub(super) host: Option<Span>,
    /// Content-Length.
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) te_trailers: bool,
    /// Connection names `upgrade`.
    upgrades: bool,
    /// The one field Upgrade.
    upgrade: Option<Span>,
    upgrade_repeated: bool,
    /// Connection names something that is not known to this file.
    nominates: bool,
}

/// Fills the list of `head`, whose bytes are `buf`, from what httparse found in `buf`.
///
/// `strict_names` refuses underscores: many servers turn both `-` and `_` into `_`, so such a
/// field could stand for another one.
pub(super) fn read(
    head: &mut Head,
    buf: &[u8],
    parsed: &[Header<'_>],
    strict_names: bool,
) -> Result<Aside, Refusal> {
    let mut aside = Aside::default();
    head.fields.reserve(parsed.len() + 8);
    for header in parsed {
        let name_bytes = header.name.as_bytes();
        let name = Span::within(buf, name_bytes);
        let value = Span::within(buf, header.value);
        check_line(buf, name)?;
        let id = Name::of(name_bytes);
        if id == Name::Other {
            if strict_names && name_bytes.contains(&b'_') {
                return Err(refusal::UNDERSCORE_NAME);
            }
        } else if id.is_hop_by_hop() {
            aside.take(id, value, header.value)?;
            continue;
        }
        if is_canonical(buf, name, value) {
            head.known |= id.bit();
            let gone = false;
            head.fields.push(Field {
                name,
                value,
                id,
                gone,
            });
        } else {
            head.push_line(id, name_bytes, header.value);
        }
    }
    if aside.length.is_some() && aside.chunked {
        return Err(refusal::LENGTH_AND_ENCODING);
    }
    if aside.chunked && head.version == Version::Http10 {
        return Err(refusal::ENCODING_IN_OLD_VERSION);
    }
    if aside.nominates {
        drop_nominated(head, parsed)?;
    }
    Ok(aside)
}

impl Aside {
    /// The protocol that the message asks to upgrade to, or switches to: one single protocol,
    /// named by Upgrade and announced by Connection, and never HTTP itself.
    pub(super) fn upgrade(&self, head: &Head) -> Option<Span> {
        let span = self.upgrade?;
        if !self.upgrades || self.upgrade_repeated || head.version == Version::Http10 {
            return None;
        }
        let protocol = head.slice(span);
        let product = protocol.split(|&b| b == b'/').next().unwrap_or_default();
        let is_http = [b"h2c".as_slice(), b"h2", b"http"]
            .iter()
            .any(|http| product.eq_ignore_ascii_case(http));
        let plain = protocol.iter().all(|&b| b == b'/' || is_token_byte(b));
        (plain && !is_http && is_token(product)).then_some(span)
    }

    pub(super) fn keeps_alive(&self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }

    fn take(&mut self, id: Name, span: Span, value: &[u8]) -> Result<(), Refusal> {
        match id {
            Name::Host if self.host.is_some() => return Err(refusal::REPEATED_HOST),
            Name::Host => self.host = Some(span),
            Name::ContentLength if self.length.is_some() => {
                return Err(refusal::REPEATED_CONTENT_LENGTH)
            }
            Name::ContentLength => {
                let length = decimal(value, LONGEST_BODY).ok_or(refusal::BAD_CONTENT_LENGTH)?;
                self.length = Some(length);
            }
            Name::TransferEncoding if self.chunked => return Err(refusal::BAD_TRANSFER_ENCODING),
            Name::TransferEncoding => {
                check_transfer_encoding(value)?;
                self.chunked = true;
            }
            Name::Connection => self.take_options(value),
            Name::Upgrade => {
                self.upgrade_repeated |= self.upgrade.is_some();
                self.upgrade = Some(span);
            }
            Name::Te => {
                self.te_trailers |= list(value).any(|c| c.eq_ignore_ascii_case(b"trailers"));
            }
            _ => {}
        }
        Ok(())
    }

    fn take_options(&mut self, value: &[u8]) {
        for option in list(value) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.upgrades = true;
            } else {
                self.nominates = true;
            }
        }
    }
}

/// httparse takes a bare LF for the end of the line before; a head with one meaning does not. Line ends inside of values it does refuse.
fn check_line(buf: &[u8], name: Span) -> Result<(), Refusal> {
    if !buf[..name.start as usize].ends_with(b"\r\n") {
        return Err(refusal::BAD_LINE_END);
    }
    if buf.get(name.end()) != Some(&b':') {
        return Err(refusal::BAD_FIELD_NAME);
    }
    Ok(())
}

/// Does the line read `name: value\r\n`, so that it can be written from where it stands?
fn is_canonical(buf: &[u8], name: Span, value: Span) -> bool {
    value.start as usize == name.end() + 2
        && buf[name.end() + 1] == b' '
        && buf[value.end()..].starts_with(b"\r\n")
}

/// Exactly one `chunked`. Codings that exist but are not supported are told apart.
fn check_transfer_encoding(value: &[u8]) -> Result<(), Refusal> {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Ok(());
    }
    let mut codings = value.split(|&b| b == b',').map(trim).rev();
    let last = codings.next().unwrap_or_default();
    let known = |coding: &[u8]| {
        let names = ["gzip", "x-gzip", "deflate", "compress", "x-compress"];
        names
            .iter()
            .any(|n| coding.eq_ignore_ascii_case(n.as_bytes()))
    };
    if last.eq_ignore_ascii_case(b"chunked") && codings.all(known) {
        return Err(refusal::UNSUPPORTED_TRANSFER_ENCODING);
    }
    Err(refusal::BAD_TRANSFER_ENCODING)
}

/// Removes the fields that Connection names.
fn drop_nominated(head: &mut Head, parsed: &[Header<'_>]) -> Result<(), Refusal> {
    let mut options = 0;
    let connections = parsed
        .iter()
        .filter(|h| h.name.eq_ignore_ascii_case("connection"));
    for option in connections.flat_map(|h| list(h.value)) {
        options += 1;
        if options > MOST_OPTIONS || !is_token(option) {
            return Err(refusal::BAD_CONNECTION);
        }
        match Name::of(option) {
            Name::Host | Name::ContentLength => return Err(refusal::NOMINATED_FIELD),
            _ => head.remove(option),
        };
    }
    Ok(())
}

/// RFC 9110 leaves room for any number; real ones have up to four.
const MOST_OPTIONS: usize = 32;
/// 2^63 - 1: what a signed 64-bit counter in a server behind can hold.
const LONGEST_BODY: u64 = i64::MAX as u64;
