//! Heads between HTTP/2 and HTTP/1.1.
//!
//! A client's request becomes the canonical bytes of an HTTP/1.1 request, which the parser of every request then
//! checks; what that parser says of a response becomes fields of HTTP/2. Towards an upstream the other way round.
//! Source: RFC 9113 sections 8.2, 8.3 and 8.8, RFC 8441.

use h2::ext::Protocol;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{request, response, Method, Request, Response, Uri};
use wire::head::MAX_BYTES;
use wire::{Framing, Head, Limits, Name, RequestInfo, ResponseInfo};

/// What a client asked for, beside the bytes of its head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Its body is framed in chunks.
    pub chunked: bool,
    /// A HEAD: its answer has no body.
    pub head: bool,
    /// A WebSocket by extended CONNECT.
    pub websocket: bool,
}

/// The head cannot be one of HTTP/2: nothing of it is passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Appends a request's head. `ended` says that no body follows; `nonce` is for the key of a WebSocket.
pub(super) fn write_request(
    parts: &request::Parts,
    ended: bool,
    nonce: [u8; 16],
    out: &mut Vec<u8>,
) -> Result<Asked, Malformed> {
    // Another protocol is refused, as a CONNECT is.
    let protocol = parts.extensions.get::<Protocol>();
    let websocket = protocol.is_some_and(|p| p.as_str().eq_ignore_ascii_case("websocket"));
    let connect = parts.method == Method::CONNECT && !websocket;
    let fields = &parts.headers;
    check(fields)?;
    let authority = parts.uri.authority().map(Authority::as_str);
    let host = fields.get("host");
    let method = if websocket {
        "GET"
    } else {
        parts.method.as_str()
    };
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    if connect {
        out.extend_from_slice(authority.unwrap_or_default().as_bytes());
    } else {
        let target = parts.uri.path_and_query().ok_or(Malformed)?;
        out.extend_from_slice(target.as_str().as_bytes());
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = authority {
        put(out, b"host", authority.as_bytes());
    }
    let same = |h: &HeaderValue| {
        authority.is_some_and(|a| h.as_bytes().eq_ignore_ascii_case(a.as_bytes()))
    };
    if let Some(host) = host.filter(|h| !same(h)) {
        // Beside another authority this is a second Host, which the parser refuses.
        put(out, b"host", host.as_bytes());
    }
    let mut length = None;
    for (name, value) in fields {
        match name.as_str() {
            "host" | "cookie" | "te" => {}
            "content-length" => {
                if length.is_some() {
                    return Err(Malformed);
                }
                length = Some(value);
            }
            "sec-websocket-key" if websocket => {}
            name => put(out, name.as_bytes(), value.as_bytes()),
        }
    }
    if fields.get_all("host").iter().count() > 1 {
        return Err(Malformed);
    }
    cookies(fields, out);
    if fields.contains_key("te") {
        out.extend_from_slice(b"te: trailers\r\n");
    }
    let chunked = !ended && !websocket && (length.is_none() || takes_trailers(fields));
    if websocket {
        let key = wire::websocket::key_of(nonce);
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
        put(out, b"sec-websocket-key", &key);
    } else if chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    } else if let Some(length) = length {
        put(out, b"content-length", length.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    Ok(Asked {
        chunked,
        head: parts.method == Method::HEAD,
        websocket,
    })
}

/// HTTP/1.1 has no trailers beside a length: a message that may have them gives up its length. The codec has compared
/// the two by then.
fn takes_trailers(fields: &HeaderMap) -> bool {
    let kind = fields.get("content-type").map(HeaderValue::as_bytes);
    fields.contains_key("trailer") || kind.is_some_and(|k| k.starts_with(b"application/grpc"))
}

/// What the codec lets through, and HTTP/2 does not (RFC 9113 section 8.2.1 and 8.2.2).
fn check(fields: &HeaderMap) -> Result<(), Malformed> {
    for (name, value) in fields {
        let blank = |b: Option<&u8>| matches!(b, Some(b' ' | b'\t'));
        let value = value.as_bytes();
        if blank(value.first()) || blank(value.last()) || CONNECTION.contains(&name.as_str()) {
            return Err(Malformed);
        }
        if name == "te" && !value.eq_ignore_ascii_case(b"trailers") {
            return Err(Malformed);
        }
    }
    Ok(())
}

/// One Cookie of all its crumbs (RFC 9113 section 8.2.3).
fn cookies(fields: &HeaderMap, out: &mut Vec<u8>) {
    for (n, crumb) in fields.get_all("cookie").iter().enumerate() {
        out.extend_from_slice(if n == 0 { b"cookie: " } else { b"; " });
        out.extend_from_slice(crumb.as_bytes());
    }
    if fields.contains_key("cookie") {
        out.extend_from_slice(b"\r\n");
    }
}

/// A response's head for a client. `tunnel` turns a 101 into the 200 of an extended CONNECT.
pub(super) fn response(head: &Head, info: &ResponseInfo, tunnel: bool) -> Option<Response<()>> {
    let status = if tunnel { 200 } else { head.status() };
    let mut fields = fields(head)?;
    if tunnel {
        fields.remove("sec-websocket-accept");
    }
    let length = match info.framing {
        Framing::Length(n) => Some(n),
        _ => info.declared_length,
    };
    if let Some(n) = length {
        fields.insert("content-length", HeaderValue::from(n));
    }
    let mut made = Response::builder().status(status).body(()).ok()?;
    *made.headers_mut() = fields;
    Some(made)
}

/// A request's head for an upstream, and whether it asks for a WebSocket by extended CONNECT.
pub(super) fn request(head: &Head, info: &RequestInfo) -> Option<(Request<()>, bool)> {
    let mut fields = fields(head)?;
    let websocket = info
        .upgrade
        .is_some_and(|p| head.slice(p).eq_ignore_ascii_case(b"websocket"));
    if info.upgrade.is_some() && !websocket {
        return None;
    }
    if let Framing::Length(n) = info.framing {
        fields.insert("content-length", HeaderValue::from(n));
    }
    if info.te_trailers {
        fields.insert("te", HeaderValue::from_static("trailers"));
    }
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(Authority::try_from(head.authority()).ok()?);
    uri.path_and_query = Some(target(head.target())?);
    let mut made = Request::builder()
        .method(head.method_bytes())
        .uri(Uri::from_parts(uri).ok()?)
        .body(())
        .ok()?;
    if websocket {
        fields.remove("sec-websocket-key");
        *made.method_mut() = Method::CONNECT;
        made.extensions_mut()
            .insert(Protocol::from_static("websocket"));
    }
    *made.headers_mut() = fields;
    Some((made, websocket))
}

/// Some bytes that may stand in a path here may not in the codec's: they are escaped.
fn target(target: &[u8]) -> Option<PathAndQuery> {
    if let Ok(plain) = PathAndQuery::try_from(target) {
        return Some(plain);
    }
    let mut escaped = Vec::with_capacity(target.len() + 16);
    for b in target {
        if b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(b) {
            escaped.push(*b);
        } else {
            escaped.extend_from_slice(format!("%{b:02X}").as_bytes());
        }
    }
    PathAndQuery::try_from(&escaped[..]).ok()
}

/// An answer, as its upstream's connection will read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its body is framed in chunks.
    pub chunked: bool,
    /// Bytes go both ways from here on.
    pub tunnel: bool,
}

/// Appends the head of an upstream's answer. `ended` says that no body follows.
pub(super) fn write_response(
    parts: &response::Parts,
    asked: &Sent,
    ended: bool,
    out: &mut Vec<u8>,
) -> Option<Answer> {
    let status = parts.status.as_u16();
    let tunnel = asked.websocket.is_some() && parts.status.is_success();
    if !tunnel && status == 101 {
        return None;
    }
    let status = if tunnel { 101 } else { status };
    out.extend_from_slice(format!("HTTP/1.1 {status} \r\n").as_bytes());
    for (name, value) in &parts.headers {
        if name == "content-length" || CONNECTION.contains(&name.as_str()) {
            continue;
        }
        put(out, name.as_str().as_bytes(), value.as_bytes());
    }
    let length = parts.headers.get("content-length");
    let bodiless = asked.head || status < 200 || matches!(status, 204 | 304);
    let chunked = !bodiless && !ended && (length.is_none() || takes_trailers(&parts.headers));
    if let (true, Some(key)) = (tunnel, &asked.websocket) {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n");
        put(
            out,
            b"sec-websocket-accept",
            &wire::websocket::accept_key(key),
        );
    } else if chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    } else if let Some(length) = length {
        put(out, b"content-length", length.as_bytes());
    } else if !bodiless {
        out.extend_from_slice(b"content-length: 0\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Some(Answer { chunked, tunnel })
}

/// What was asked of an upstream.
#[derive(Clone, Debug, Default)]
pub(super) struct Sent {
    /// A HEAD.
    pub head: bool,
    /// The key of a WebSocket.
    pub websocket: Option<Vec<u8>>,
}

/// Appends the end of a body in chunks.
pub(super) fn write_end(trailers: Option<&HeaderMap>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for (name, value) in trailers.into_iter().flatten() {
        put(out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// The list of a head. None if there is something in it that HTTP/2 cannot say.
pub(super) fn fields(head: &Head) -> Option<HeaderMap> {
    let mut fields = HeaderMap::with_capacity(16);
    for (name, value) in head.fields() {
        let name = HeaderName::from_bytes(name).ok()?;
        if !CONNECTION.contains(&name.as_str()) {
            fields.append(name, HeaderValue::from_bytes(value).ok()?);
        }
    }
    Some(fields)
}

fn put(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.trim_ascii());
    out.extend_from_slice(b"\r\n");
}

/// Fields of a connection, which HTTP/2 has none of.
const CONNECTION: [&str; 5] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
];

/// Heads that this program wrote were bounded before.
pub(super) const OURS: Limits = Limits {
    head: MAX_BYTES,
    fields: Limits::MOST_FIELDS,
    uri: MAX_BYTES,
};

/// The key with which a WebSocket was asked for.
pub(super) fn websocket_key(head: &Head) -> Vec<u8> {
    head.get(Name::SecWebSocketKey).unwrap_or_default().to_vec()
}
