//! The head of a request: one meaning, or a [`Refusal`].
//!
//! Source: RFC 9112 sections 3, 6 and 7.4, RFC 9110 sections 7.2, 7.8, 9.3 and 10.1.1, RFC 6455
//! section 4.2.1. Beyond them: no leading empty lines but one, no underscore in names, no request
//! that two servers could frame or route in two ways.
//! Bounds: [`Limits`]; no allocation once the head's memory has grown.

use super::fields::{self, Aside};
use super::refusal::{self, Refusal};
use super::scan::{Limits, LONGEST_METHOD};
use super::Framing;
use crate::authority::host_len;
use crate::head::{split_target, Head};
use crate::method::{Method, Version};
use crate::name::Name;
use crate::path::{normalise, valid_query, BadPath};
use crate::span::Span;
use httparse::Status;
use std::mem::MaybeUninit;

/// What a request says beside its [`Head`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Never [`Framing::UntilClose`].
    pub framing: Framing,
    /// May the connection carry another request?
    pub keep_alive: bool,
    /// The client waits for a 100 before it sends the body. The field stays in the list only then.
    pub expect_continue: bool,
    /// The one protocol asked for, a span of the head. Never HTTP/2, never with a body.
    pub upgrade: Option<Span>,
    /// `TE: trailers`: the client can take trailers.
    pub te_trailers: bool,
}

/// Parses `buf`, exactly one head as found by `Scan`, into `head`. On a refusal `head` is in an
/// unspecified but safe state.
pub fn parse_request(buf: &[u8], limits: &Limits, head: &mut Head) -> Result<RequestInfo, Refusal> {
    let buf = buf.strip_prefix(b"\r\n").unwrap_or(buf);
    match parse(buf, limits, head)? {
        (end, info) if end == buf.len() => Ok(info),
        _ => Err(refusal::BAD_LINE_END),
    }
}

/// Parses the head at the front of `buf` in one pass, and returns its length. `None` says nothing,
/// whether bytes are missing or wrong: then `Scan` and [`parse_request`] have the verdict. What is
/// taken here, they take too, and with the same meaning.
pub fn take_request(buf: &[u8], limits: &Limits, head: &mut Head) -> Option<(usize, RequestInfo)> {
    parse(buf, limits, head).ok()
}

fn parse(buf: &[u8], limits: &Limits, head: &mut Head) -> Result<(usize, RequestInfo), Refusal> {
    head.clear();
    if matches!(buf.first(), Some(b'\r' | b'\n')) {
        return Err(refusal::EMPTY_LINES);
    }
    let mut room = [const { MaybeUninit::uninit() }; Limits::MOST_FIELDS];
    let room = &mut room[..limits.fields.min(Limits::MOST_FIELDS)];
    let mut parsed = httparse::Request::new(&mut []);
    let end = match parsed.parse_with_uninit_headers(buf, room) {
        Ok(Status::Complete(end)) if buf[..end].ends_with(b"\r\n\r\n") => end,
        Ok(Status::Complete(_)) => return Err(refusal::BAD_LINE_END),
        Ok(Status::Partial) => return Err(refusal::INCOMPLETE),
        Err(error) => return Err(refused(error, buf)),
    };
    if end > limits.head {
        return Err(refusal::HEAD_TOO_LARGE);
    }
    let buf = &buf[..end];
    let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
        return Err(refusal::BAD_START_LINE);
    };
    head.bytes.extend_from_slice(buf);
    head.version = if parsed.version == Some(0) {
        Version::Http10
    } else {
        Version::Http11
    };
    head.method = Method::of(method.as_bytes());
    head.method_text = Span::within(buf, method.as_bytes());
    let target = target.as_bytes();
    if method.len() > LONGEST_METHOD {
        return Err(refusal::METHOD_TOO_LONG);
    }
    if target.len() > limits.uri {
        return Err(refusal::URI_TOO_LONG);
    }
    let aside = fields::read(head, buf, parsed.headers, true)?;
    read_target(head, buf, target, &aside)?;
    Ok((end, info(head, &aside)?))
}

fn info(head: &mut Head, aside: &Aside) -> Result<RequestInfo, Refusal> {
    let framing = match (aside.chunked, aside.length) {
        (true, _) => Framing::Chunked,
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::None,
    };
    if !framing.is_empty() && matches!(head.method, Method::Connect | Method::Trace) {
        return Err(refusal::UNEXPECTED_BODY);
    }
    let upgrade = aside.upgrade(head);
    if let Some(protocol) = upgrade {
        if !framing.is_empty() {
            return Err(refusal::UPGRADE_WITH_BODY);
        }
        if head.slice(protocol).eq_ignore_ascii_case(b"websocket") {
            check_websocket(head)?;
        }
    }
    Ok(RequestInfo {
        framing,
        keep_alive: aside.keeps_alive(head.version),
        expect_continue: read_expect(head, framing)?,
        upgrade,
        te_trailers: aside.te_trailers,
    })
}

/// Fills target, path and authority, from the four forms of RFC 9112 section 3.2.
fn read_target(head: &mut Head, buf: &[u8], target: &[u8], aside: &Aside) -> Result<(), Refusal> {
    let form = if head.method == Method::Connect {
        let host = host_len(target).ok_or(refusal::BAD_TARGET)?;
        if host == target.len() {
            return Err(refusal::BAD_TARGET); // a port is required
        }
        Some(target)
    } else if target == b"*" && head.method == Method::Options {
        head.target = Span::within(buf, target);
        head.path_len = 1;
        None
    } else if target.first() == Some(&b'/') {
        place(head, buf, target)?;
        None
    } else {
        let (authority, rest) = split_absolute(target).ok_or(refusal::BAD_TARGET)?;
        if rest.is_empty() && head.method == Method::Options {
            head.target = head.append(b"*");
            head.path_len = 1;
        } else if rest.first() == Some(&b'/') {
            place(head, buf, rest)?;
        } else {
            // "http://a" and "http://a?q": the empty path is "/".
            let (_, query) = split_target(rest);
            head.target = head.append(b"/");
            head.path_len = 1;
            if let Some(query) = query {
                head.set_query(Some(query))
                    .map_err(|_| refusal::BAD_QUERY)?;
            }
        }
        Some(authority)
    };
    read_authority(head, buf, form, aside.host)?;
    if head.method == Method::Connect {
        head.target = head.authority;
    }
    Ok(())
}

/// An origin-form target: checked and normalised, in place if it is normal already.
fn place(head: &mut Head, buf: &[u8], target: &[u8]) -> Result<(), Refusal> {
    let (path, query) = split_target(target);
    if !query.is_none_or(valid_query) {
        return Err(refusal::BAD_QUERY);
    }
    let start = head.bytes.len();
    let flags = normalise(path, &mut head.bytes).map_err(bad_path)?;
    head.escaped_slash = flags.escaped_slash;
    if !flags.changed {
        head.target = Span::within(buf, target);
        head.path_len = path.len() as u32;
        return Ok(());
    }
    head.path_len = (head.bytes.len() - start) as u32;
    if let Some(query) = query {
        head.bytes.push(b'?');
        head.bytes.extend_from_slice(query);
    }
    head.target = Span::new(start, head.bytes.len());
    Ok(())
}

/// Authority and what follows it, of `http://…` or `https://…`.
fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    let scheme = [b"http://".as_slice(), b"https://"]
        .into_iter()
        .find(|s| target.len() > s.len() && target[..s.len()].eq_ignore_ascii_case(s))?;
    let rest = &target[scheme.len()..];
    let end = rest.iter().position(|&b| b == b'/' || b == b'?');
    Some(rest.split_at(end.unwrap_or(rest.len())))
}

/// Host, which an authority in the target may only repeat.
fn read_authority(
    head: &mut Head,
    buf: &[u8],
    in_target: Option<&[u8]>,
    host: Option<Span>,
) -> Result<(), Refusal> {
    let span = match (host, in_target) {
        (Some(host), Some(authority)) => {
            if !host.of(buf).eq_ignore_ascii_case(authority) {
                return Err(refusal::HOST_MISMATCH);
            }
            host
        }
        (Some(host), None) => host,
        (None, _) if head.version == Version::Http11 => return Err(refusal::MISSING_HOST),
        (None, Some(authority)) => Span::within(buf, authority),
        (None, None) => return Ok(()),
    };
    let len = host_len(span.of(buf)).ok_or(refusal::BAD_HOST)?;
    head.authority = span;
    head.host_len = len as u32;
    head.lower_authority();
    Ok(())
}

/// RFC 9110 section 10.1.1: nothing but 100-continue is defined; it says nothing in HTTP/1.0 and
/// without a body.
fn read_expect(head: &mut Head, framing: Framing) -> Result<bool, Refusal> {
    let mut values = head.get_all(Name::Expect);
    match (values.next(), values.next()) {
        (None, _) => return Ok(false),
        (Some(one), None) if one.eq_ignore_ascii_case(b"100-continue") => {}
        _ => return Err(refusal::BAD_EXPECT),
    }
    drop(values);
    if head.version == Version::Http11 && !framing.is_empty() {
        return Ok(true);
    }
    head.remove_known(Name::Expect);
    Ok(false)
}

fn check_websocket(head: &Head) -> Result<(), Refusal> {
    let mut keys = head.get_all(Name::SecWebSocketKey);
    let key = keys.next().unwrap_or_default();
    if head.method != Method::Get || keys.next().is_some() || !crate::websocket::valid_key(key) {
        return Err(refusal::BAD_WEBSOCKET);
    }
    let mut versions = head.get_all(Name::SecWebSocketVersion);
    if versions.next() != Some(b"13") || versions.next().is_some() {
        return Err(refusal::WEBSOCKET_VERSION);
    }
    Ok(())
}

fn bad_path(why: BadPath) -> Refusal {
    match why {
        BadPath::Relative => refusal::BAD_TARGET,
        BadPath::Byte => refusal::BAD_PATH_BYTE,
        BadPath::Escape | BadPath::Escaped | BadPath::Utf8 => refusal::BAD_PATH_ESCAPE,
        BadPath::DotParameter | BadPath::DotsBehindSlash => refusal::BAD_PATH_DOTS,
        BadPath::AboveRoot => refusal::PATH_ABOVE_ROOT,
    }
}

fn refused(error: httparse::Error, buf: &[u8]) -> Refusal {
    match error {
        httparse::Error::Version => bad_version(buf),
        httparse::Error::HeaderName => refusal::BAD_FIELD_NAME,
        httparse::Error::HeaderValue => refusal::BAD_FIELD_VALUE,
        httparse::Error::NewLine => refusal::BAD_LINE_END,
        httparse::Error::TooManyHeaders => refusal::TOO_MANY_FIELDS,
        _ => refusal::BAD_START_LINE,
    }
}

/// A version that is written as it should be is only not supported; others are malformed.
fn bad_version(buf: &[u8]) -> Refusal {
    let line = buf.split(|&b| b == b'\r').next().unwrap_or_default();
    match line.rsplit(|&b| b == b' ').next().unwrap_or_default() {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            refusal::UNSUPPORTED_VERSION
        }
        _ => refusal::BAD_VERSION,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::write_request;

    #[test]
    fn strict_also_without_the_scan() {
        let cases = [
            ("GET / HTTP/1.1\nHost: a\r\n\r\n", refusal::BAD_LINE_END),
            (
                "GET / HTTP/1.1\r\nHost: a\nA: b\r\n\r\n",
                refusal::BAD_LINE_END,
            ),
            ("GET / HTTP/1.1\r\nHost: a\n\r\n", refusal::BAD_LINE_END),
            ("GET / HTTP/1.1\r\nHost: a\r\n\n", refusal::BAD_LINE_END),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nA: b\rc\r\n\r\n",
                refusal::BAD_FIELD_VALUE,
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
                refusal::BAD_FIELD_NAME,
            ),
            (
                "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
                refusal::EMPTY_LINES,
            ),
            ("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", refusal::EMPTY_LINES),
            ("GET / HTTP/1.1\r\nHost: a\r\n", refusal::INCOMPLETE),
            (
                "GET / HTTP/1.1\r\nHost: a\r\n\r\nmore",
                refusal::BAD_LINE_END,
            ),
        ];
        for (text, why) in cases {
            let verdict = parse_request(text.as_bytes(), &Limits::default(), &mut Head::new());
            assert_eq!(verdict, Err(why), "{text:?}");
        }
    }

    #[test]
    fn the_next_request_needs_no_memory() {
        let text = b"GET //a/%7e?q=1 HTTP/1.1\r\nHost: A.example\r\nAccept:*/*\r\nX-A: b\r\n\r\n";
        let (mut head, mut out) = (Head::new(), Vec::new());
        let mut turn = || {
            parse_request(text, &Limits::default(), &mut head).expect("a request");
            head.set(b"X-Request-Id", b"0123456789").expect("a field");
            out.clear();
            write_request(&head, Framing::None, None, false, &mut out);
            (head.bytes.as_ptr(), head.fields.as_ptr(), out.as_ptr())
        };
        turn();
        let first = turn();
        assert_eq!(turn(), first, "the buffers stay where they are");
    }
}
