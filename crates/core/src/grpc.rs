//! What gRPC clients understand: the gateway's own refusals as a status in trailers, and how long a call may take.
//!
//! Source: gRPC over HTTP/2 (`PROTOCOL-HTTP2.md`) and HTTP to gRPC status code mapping
//! (`http-grpc-status-mapping.md`).

use wire::{Head, Name};

use crate::reply::{Body, Reply};
use crate::Nanos;

/// The form of a body of gRPC-Web.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Web {
    /// Frames as they are.
    Binary,
    /// Frames as base64.
    Text,
}

impl Web {
    /// Its media type, without a format.
    pub fn kind(self) -> &'static [u8] {
        match self {
            Self::Binary => GRPC_WEB,
            Self::Text => GRPC_WEB_TEXT,
        }
    }
}

/// What `kind` says of the messages, if it is gRPC's media type: nothing, or `+` and the name of a format.
pub fn format(kind: &[u8]) -> Option<&[u8]> {
    format_of(GRPC, kind)
}

/// The same of gRPC-Web's media types.
pub fn web(kind: &[u8]) -> Option<(Web, &[u8])> {
    let binary = format_of(GRPC_WEB, kind).map(|format| (Web::Binary, format));
    binary.or_else(|| format_of(GRPC_WEB_TEXT, kind).map(|format| (Web::Text, format)))
}

fn format_of<'a>(kind: &[u8], of: &'a [u8]) -> Option<&'a [u8]> {
    let (start, rest) = of.split_at_checked(kind.len())?;
    let end = rest.iter().position(|b| matches!(b, b';' | b' ' | b'\t'));
    let format = &rest[..end.unwrap_or(rest.len())];
    let fits = format.is_empty() || format.starts_with(b"+");
    (fits && start.eq_ignore_ascii_case(kind)).then_some(format)
}

/// The media type in which a refusal is told: gRPC's or gRPC-Web's. None if the request is no call.
pub fn of_call(request: &Head) -> Option<&'static [u8]> {
    let kind = request.get(Name::ContentType)?;
    if format(kind).is_some() {
        return Some(GRPC);
    }
    web(kind).map(|(form, _)| form.kind())
}

/// Turns a refusal into what a client of gRPC or gRPC-Web (its media type is `kind`) reads: a head that is its own trailers.
pub fn refuse(request: &Head, kind: &[u8], reply: &Reply, response: &mut Head, body: &mut Vec<u8>) {
    let told = request.find(b"grpc-timeout").is_some();
    let late = reply.code == "timeout" || (reply.code == "response_timeout" && told);
    let status = if late {
        DEADLINE_EXCEEDED
    } else {
        status_of(reply.status)
    };
    let why: &str = match &reply.body {
        Body::Problem(why) | Body::Quota { why, .. } => why,
        Body::Plain(..) | Body::File(_) | Body::Empty => wire::status::reason(reply.status),
    };
    body.clear();
    response.set_status(200);
    let put: [(&[u8], &[u8]); 3] = [
        (b"content-type", kind),
        (b"grpc-status", status.as_bytes()),
        (b"grpc-message", &escaped(why)),
    ];
    for (name, value) in put {
        let put = response.set(name, value);
        debug_assert!(put.is_ok(), "words of our own");
    }
}

/// How long the client waits for the whole call; none if it does not say.
pub fn timeout(request: &Head) -> Option<Nanos> {
    let text = request.find(b"grpc-timeout")?;
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let unit = match unit {
        b'H' => 3_600_000_000_000,
        b'M' => 60_000_000_000,
        b'S' => 1_000_000_000,
        b'm' => 1_000_000,
        b'u' => 1_000,
        b'n' => 1,
        _ => return None,
    };
    Some(number.saturating_mul(unit))
}

/// How a call went, from the trailers or the head of its answer. None if they do not say it, or say no number.
pub fn status(fields: &Head) -> Option<u32> {
    let text = fields.find(b"grpc-status")?;
    let is_number = text.iter().all(u8::is_ascii_digit);
    // A field has any bytes, and `parse` takes a sign.
    std::str::from_utf8(text)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()
}

fn status_of(status: u16) -> &'static str {
    match status {
        400 => "13",                   // INTERNAL
        401 => "16",                   // UNAUTHENTICATED
        403 => "7",                    // PERMISSION_DENIED
        404 => "12",                   // UNIMPLEMENTED
        429 | 502 | 503 | 504 => "14", // UNAVAILABLE
        _ => "2",                      // UNKNOWN
    }
}

/// Percent-encoded, as the protocol wants it: all but visible ASCII, and `%` itself.
fn escaped(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for b in text.bytes() {
        if (b' '..=b'~').contains(&b) && b != b'%' {
            out.push(b);
        } else {
            out.extend_from_slice(format!("%{b:02X}").as_bytes());
        }
    }
    out
}

/// The media type of gRPC, without a format.
pub const GRPC: &[u8] = b"application/grpc";
const GRPC_WEB: &[u8] = b"application/grpc-web";
const GRPC_WEB_TEXT: &[u8] = b"application/grpc-web-text";
const DEADLINE_EXCEEDED: &str = "4";

#[cfg(test)]
mod tests {
    use super::*;

    fn call(kind: &str, timeout: &str) -> Head {
        let mut head = Head::new();
        head.start_request(b"POST", b"/a.B/C", b"a");
        head.set(b"content-type", kind.as_bytes()).expect("a field");
        if !timeout.is_empty() {
            let put = head.set(b"grpc-timeout", timeout.as_bytes());
            put.expect("a field");
        }
        head
    }

    #[test]
    fn calls_are_known_by_their_media_type() {
        for (kind, is) in [
            ("application/grpc", Some("application/grpc")),
            ("Application/gRPC+proto", Some("application/grpc")),
            ("application/grpc; a=b", Some("application/grpc")),
            ("application/grpc-web", Some("application/grpc-web")),
            ("application/grpc-web+json", Some("application/grpc-web")),
            (
                "application/grpc-Web-Text;a",
                Some("application/grpc-web-text"),
            ),
            ("application/grpc-webtext", None),
            ("application/grpc-web-texts", None),
            ("application/grpcx", None),
            ("application/json", None),
        ] {
            let of = of_call(&call(kind, ""));
            assert_eq!(of, is.map(str::as_bytes), "{kind}");
        }
    }

    #[test]
    fn timeouts() {
        for (text, nanos) in [
            ("1H", Some(3_600_000_000_000)),
            ("2M", Some(120_000_000_000)),
            ("10S", Some(10_000_000_000)),
            ("250m", Some(250_000_000)),
            ("5u", Some(5_000)),
            ("99999999n", Some(99_999_999)),
            ("123456789n", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("1s", None),
        ] {
            assert_eq!(timeout(&call("application/grpc", text)), nanos, "{text}");
        }
    }

    #[test]
    fn statuses() {
        for (text, number) in [
            ("0", Some(0)),
            ("16", Some(16)),
            ("007", Some(7)),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
            ("", None),
            ("+1", None),
            ("-1", None),
            ("OK", None),
            ("1, 2", None),
        ] {
            let mut head = Head::new();
            head.set(b"Grpc-Status", text.as_bytes()).expect("a field");
            assert_eq!(status(&head), number, "{text}");
        }
        assert_eq!(status(&Head::new()), None);
    }

    #[test]
    fn refusals() {
        let cases = [
            (400, "bad", "", "13"),
            (401, "x", "", "16"),
            (403, "x", "", "7"),
            (404, "no_route", "", "12"),
            (405, "x", "", "2"),
            (429, "rate_limited", "", "14"),
            (503, "x", "", "14"),
            (504, "response_timeout", "", "14"),
            (504, "response_timeout", "1S", "4"),
            (504, "timeout", "", "4"),
            (504, "connect_timeout", "1S", "14"),
        ];
        for (status, code, timeout, want) in cases {
            let request = call("application/grpc", timeout);
            let reply = Reply::problem(status, code, "50% é").with("retry-after", "1");
            let (mut head, mut body) = (Head::new(), Vec::new());
            reply.write(&mut head, &mut body);
            refuse(&request, GRPC, &reply, &mut head, &mut body);
            let said = |name: &str| {
                head.find(name.as_bytes())
                    .map(|v| v.escape_ascii().to_string())
            };
            assert_eq!((head.status(), body.len()), (200, 0), "{status}");
            assert_eq!(
                said("grpc-status").as_deref(),
                Some(want),
                "{status} {code}"
            );
            assert_eq!(said("grpc-message").as_deref(), Some("50%25 %C3%A9"));
            assert_eq!(said("content-type").as_deref(), Some("application/grpc"));
            assert_eq!(said("retry-after").as_deref(), Some("1"));
        }
    }
}
