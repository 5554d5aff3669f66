//! The head of a response, from an upstream that is trusted with nothing.
//!
//! Source: RFC 9112 sections 4 and 6.3, RFC 9110 sections 6.4.1, 7.8 and 15.
//! Errors: as for requests, with status 502.
//! Bounds: [`Limits`]; no allocation once the head's memory has grown.

use super::fields;
use super::refusal::{self, Refusal};
use super::scan::Limits;
use super::Framing;
use crate::head::Head;
use crate::method::{Method, Version};
use crate::span::Span;
use httparse::Status;
use std::mem::MaybeUninit;

/// What a response says beside its [`Head`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseInfo {
    /// [`Framing::None`] for 1xx, 204, 304, the answer to HEAD and a 2xx to CONNECT.
    pub framing: Framing,
    /// May the connection carry another request once the body has ended?
    pub keep_alive: bool,
    /// Content-Length of the answer to HEAD and of a 304: the length that a GET would have had.
    pub declared_length: Option<u64>,
    /// What a 101 switches to, a span of the head.
    pub upgrade: Option<Span>,
}

/// Parses `buf`, exactly one head as found by `Scan`, the answer to a request with
/// `request_method`. On a refusal `head` is in an unspecified but safe state.
pub fn parse_response(
    buf: &[u8],
    request_method: Method,
    limits: &Limits,
    head: &mut Head,
) -> Result<ResponseInfo, Refusal> {
    match parse(buf, request_method, limits, head) {
        Ok((end, info)) if end == buf.len() => Ok(info),
        Ok(_) => Err(refusal::BAD_LINE_END.from_upstream()),
        Err(refusal) => Err(refusal.from_upstream()),
    }
}

/// Parses the head at the front of `buf` in one pass, and returns its length. `None` says nothing,
/// whether bytes are missing or wrong: then `Scan` and [`parse_response`] have the verdict. What is
/// taken here, they take too, and with the same meaning.
pub fn take_response(
    buf: &[u8],
    request_method: Method,
    limits: &Limits,
    head: &mut Head,
) -> Option<(usize, ResponseInfo)> {
    parse(buf, request_method, limits, head).ok()
}

fn parse(
    buf: &[u8],
    request_method: Method,
    limits: &Limits,
    head: &mut Head,
) -> Result<(usize, ResponseInfo), Refusal> {
    head.clear();
    if !buf.starts_with(b"HTTP/") {
        return Err(refusal::NOT_HTTP);
    }
    let mut room = [const { MaybeUninit::uninit() }; Limits::MOST_FIELDS];
    let room = &mut room[..limits.fields.min(Limits::MOST_FIELDS)];
    let mut parsed = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let end = match config.parse_response_with_uninit_headers(&mut parsed, buf, room) {
        Ok(Status::Complete(end)) if buf[..end].ends_with(b"\r\n\r\n") => end,
        Ok(Status::Complete(_)) => return Err(refusal::BAD_LINE_END),
        Ok(Status::Partial) => return Err(refusal::INCOMPLETE),
        Err(error) => return Err(refused(error)),
    };
    if end > limits.head {
        return Err(refusal::HEAD_TOO_LARGE);
    }
    let buf = &buf[..end];
    head.bytes.extend_from_slice(buf);
    head.version = if parsed.version == Some(0) {
        Version::Http10
    } else {
        Version::Http11
    };
    head.status = parsed.code.unwrap_or_default();
    if !(100..600).contains(&head.status) {
        return Err(refusal::BAD_STATUS);
    }
    match parsed.reason {
        Some(reason) if !reason.is_empty() => {
            head.reason = Span::within(buf, reason.as_bytes());
        }
        _ => {}
    }
    let aside = fields::read(head, buf, parsed.headers, false)?;
    let declares = match head.status {
        100..=199 | 204 => false,
        304 => true,
        _ => request_method == Method::Head,
    };
    let framing = match head.status {
        100..=199 | 204 | 304 => Framing::None,
        200..=299 if request_method == Method::Connect => Framing::None,
        _ if request_method == Method::Head => Framing::None,
        _ if aside.chunked => Framing::Chunked,
        _ => aside.length.map_or(Framing::UntilClose, Framing::Length),
    };
    let info = ResponseInfo {
        framing,
        keep_alive: aside.keeps_alive(head.version) && framing != Framing::UntilClose,
        declared_length: aside.length.filter(|_| declares),
        upgrade: aside.upgrade(head).filter(|_| head.status == 101),
    };
    Ok((end, info))
}

fn refused(error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::Version => refusal::UNSUPPORTED_VERSION,
        httparse::Error::Status => refusal::BAD_STATUS,
        httparse::Error::HeaderName => refusal::BAD_FIELD_NAME,
        httparse::Error::HeaderValue => refusal::BAD_FIELD_VALUE,
        httparse::Error::NewLine => refusal::BAD_LINE_END,
        httparse::Error::TooManyHeaders => refusal::TOO_MANY_FIELDS,
        _ => refusal::BAD_START_LINE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_also_without_the_scan() {
        let cases = [
            ("HTTP/1.1 200 OK\nA: b\r\n\r\n", refusal::BAD_LINE_END),
            ("HTTP/1.1 200 OK\n\r\n", refusal::BAD_LINE_END),
            (
                "HTTP/1.1 200 OK\r\nA: b\nB: c\r\n\r\n",
                refusal::BAD_LINE_END,
            ),
            ("HTTP/1.1 200 OK\r\nA: b\r\n\n", refusal::BAD_LINE_END),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
                refusal::BAD_FIELD_NAME,
            ),
            ("\r\nHTTP/1.1 200 OK\r\n\r\n", refusal::NOT_HTTP),
            ("HTTP/1.1 200 OK\r\n", refusal::INCOMPLETE),
        ];
        for (text, why) in cases {
            let limits = Limits::default();
            let verdict = parse_response(text.as_bytes(), Method::Get, &limits, &mut Head::new());
            assert_eq!(verdict, Err(why.from_upstream()), "{text:?}");
        }
    }
}
