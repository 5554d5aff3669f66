//! The head of a request, read as strictly as the gateway does.

use napi::bindgen_prelude::{Either, JsObjectValue, Undefined};
use napi::{Env, Status};
use napi_derive::napi;
use wire::http1::{parse_request, Framing, Limits, Refusal, Scan};
use wire::method::Version;
use wire::Head;

use crate::error::{error, Code, Result};

/// The head of a request. Bytes above 127 in values are Latin-1, as in Node.
#[napi(object, object_from_js = false)]
pub struct RequestHead {
    /// As it was sent.
    pub method: String,
    /// The normalised path and `?query`; `*` for `OPTIONS *`, `host:port` for CONNECT.
    pub target: String,
    /// The normalised path; empty for CONNECT.
    pub path: String,
    /// What follows the first `?`, as it was sent.
    pub query: Option<String>,
    /// `host[:port]` in lower case, of Host or of an absolute target; empty only in HTTP/1.0.
    pub host: String,
    /// Of HTTP.
    #[napi(ts_type = "'1.0' | '1.1'")]
    pub version: &'static str,
    /// Names as they were sent, and values, in their order. Without Host and what belongs to the
    /// connection or frames the body, such as Connection, Content-Length and Transfer-Encoding: the other
    /// properties tell these.
    #[napi(ts_type = "Array<[name: string, value: string]>")]
    pub headers: Vec<Vec<String>>,
    /// How the body's end is known.
    #[napi(ts_type = "'none' | 'length' | 'chunked'")]
    pub body_framing: &'static str,
    /// Bytes of the body, if `bodyFraming` is `length`.
    pub content_length: Option<f64>,
    /// May the connection carry another request?
    pub keep_alive: bool,
    /// Does the client wait for a 100 before it sends the body?
    pub expect_continue: bool,
    /// The protocol that the client asks to change to.
    pub upgrade: Option<String>,
    /// Bytes of the head; behind them begins the body.
    pub length: u32,
}

/// Reads the head of an HTTP/1 request (RFC 9112) that the bytes begin with: one meaning, or none.
///
/// `undefined` while it is not complete: call again with more. Throws the code of the refusal, such as
/// `bad_line_end`, with the `status` that a server would answer, such as 400, as a property. At most 32 KiB,
/// 100 fields, and 8 KiB of target.
#[napi(
    catch_unwind,
    ts_args_type = "buffer: Uint8Array",
    ts_return_type = "RequestHead | undefined"
)]
pub fn parse_request_head(env: Env, buffer: &[u8]) -> Result<Either<RequestHead, Undefined>> {
    read(buffer).map_err(|refusal| thrown(env, refusal))
}

fn read(buffer: &[u8]) -> std::result::Result<Either<RequestHead, Undefined>, Refusal> {
    let limits = Limits::default();
    let Some(length) = Scan::default().advance(buffer, &limits)? else {
        return Ok(Either::B(()));
    };
    let mut head = Head::new();
    let info = parse_request(&buffer[..length], &limits, &mut head)?;
    let (body_framing, content_length) = match info.framing {
        Framing::Length(length) => ("length", Some(length as f64)),
        Framing::Chunked => ("chunked", None),
        // A request's body never ends with its connection.
        Framing::None | Framing::UntilClose => ("none", None),
    };
    let fields = head.fields();
    Ok(Either::A(RequestHead {
        method: text(head.method_bytes()),
        target: text(head.target()),
        path: text(head.path()),
        query: head.query().map(text),
        host: text(head.authority()),
        version: match head.version() {
            Version::Http10 => "1.0",
            Version::Http11 => "1.1",
        },
        headers: fields
            .map(|(name, value)| vec![text(name), text(value)])
            .collect(),
        body_framing,
        content_length,
        keep_alive: info.keep_alive,
        expect_continue: info.expect_continue,
        upgrade: info.upgrade.map(|protocol| text(head.slice(protocol))),
        length: length as u32,
    }))
}

/// Latin-1.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

/// Throws an error with a `status`, and returns what says that this was done.
fn thrown(env: Env, refusal: Refusal) -> napi::Error<Code> {
    let throw = || -> napi::Result<()> {
        let plain = napi::Error::new(Status::GenericFailure, refusal.why.to_owned());
        let mut object = env.create_error(plain)?;
        object.set_named_property("code", refusal.code)?;
        object.set_named_property("status", u32::from(refusal.status))?;
        env.throw(object)
    };
    match throw() {
        Ok(()) => Code::pending(),
        Err(_) => error(refusal.code, refusal.why),
    }
}
