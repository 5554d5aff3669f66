//! `access_log`: one line for each request, as JSON or in a format of the user's own.
//!
//! Bounds: a format has at most [`MAX_FORMAT`] bytes.

use std::fmt;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fault::{quote, suggest, Why};
use super::proxy_protocol::ProxyValue;
use super::text::{text, File};

/// Where a line about each request goes, and what it says. Without this key there is no such log.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AccessLog {
    /// `stdout`, or the path of a file that lines are appended to.
    #[serde(default = "stdout")]
    pub to: Sink,
    /// `json`, or a text with `$variables`: `$client_ip "$method $path" $status $duration`.
    #[serde(default = "json")]
    pub format: Format,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sink {
    /// The standard output.
    Stdout,
    /// A file, made if it is not there.
    File(PathBuf),
}

text!(
    Sink,
    "stdout or a path",
    r"^[^\u0000]{1,4096}$",
    "`stdout`, or the path of a file that lines are appended to."
);

impl Sink {
    /// `stdout` is the standard output, `./stdout` a file.
    pub fn parse(text: &str) -> Result<Self, Why> {
        match text {
            "stdout" => Ok(Self::Stdout),
            _ => File::parse(text).map(|f| Self::File(f.path().to_owned())),
        }
    }
}

impl fmt::Display for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("stdout"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// An object with every [`Variable`] but header fields and values of PROXY headers.
    Json,
    /// Texts and variables in turn.
    Line(Vec<Part>),
}

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Text(Box<str>),
    /// What the request says; `-` where it says nothing.
    Value(Variable),
}

/// What a line can say about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// When the request ended: RFC 3339, UTC, milliseconds.
    Time,
    /// The client's address, as far as it is proved.
    ClientIp,
    /// The other end of the connection.
    Peer,
    /// Whose the request is, as a filter such as `api_key` proved it.
    Consumer,
    /// The listener's name.
    Listener,
    /// The route's name.
    Route,
    /// The upstream's name.
    Upstream,
    /// The endpoint's address.
    Endpoint,
    /// The request's method.
    Method,
    /// The request's host.
    Host,
    /// The request's path as it came in, without the query.
    Path,
    /// The query, without the question mark.
    Query,
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`: what the client spoke.
    Protocol,
    /// The status sent to the client.
    Status,
    /// The status of a call of gRPC, a number: the trailers' or the response head's, an upstream's or the gateway's own.
    GrpcStatus,
    /// The code of the gateway's own reply.
    Code,
    /// Body bytes received from the client.
    RequestBytes,
    /// Body bytes sent to the client.
    ResponseBytes,
    /// Milliseconds from the first byte of the request to the last of the response, with three decimals.
    Duration,
    /// The request's id.
    RequestId,
    /// A field of the request head, `$header_user_agent`; the name is in lower case, with hyphens.
    Header(Box<str>),
    /// A value of the connection's PROXY header, `$proxy_authority`.
    Proxy(ProxyValue),
}

text!(
    Format,
    "json or a text with $variables",
    r"^.{1,4096}$",
    "`json`, or a text with `$time`, `$client_ip`, `$peer`, `$consumer`, `$listener`, `$route`, `$upstream`, `$endpoint`, `$method`, `$host`, `$path`, `$query`, `$protocol`, `$status`, `$grpc_status`, `$code`, `$request_bytes`, `$response_bytes`, `$duration` (milliseconds), `$request_id`, `$header_NAME` (`_` for `-`) or `$proxy_VALUE` (a value of the PROXY header); `$$` is a dollar sign."
);

impl Format {
    /// `json`, or texts and `$variables`; `$$` is a dollar sign.
    pub fn parse(text: &str) -> Result<Self, Why> {
        if text == "json" {
            return Ok(Self::Json);
        }
        if text.is_empty() || text.len() > MAX_FORMAT || text.contains(['\n', '\r', '\0']) {
            return Err(Why::new(
                format!("{} is not a format", quote(text)),
                "write json, or one line of 1 to 4096 bytes",
            ));
        }
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                plain.push('$');
                rest = after;
                continue;
            }
            let end = after
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .unwrap_or(after.len());
            let variable = Variable::parse(&after[..end])?;
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain).into()));
            }
            parts.push(Part::Value(variable));
            rest = &after[end..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain.into()));
        }
        if !parts.iter().any(|p| matches!(p, Part::Value(_))) {
            return Err(Why::new(
                format!("{} names no $variable", quote(text)),
                "write json, or name variables such as $status",
            ));
        }
        Ok(Self::Line(parts))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Line(parts) = self else {
            return f.write_str("json");
        };
        for part in parts {
            match part {
                Part::Text(text) => f.write_str(&text.replace('$', "$$"))?,
                Part::Value(Variable::Header(name)) => {
                    write!(f, "$header_{}", name.replace('-', "_"))?
                }
                Part::Value(Variable::Proxy(value)) => write!(f, "$proxy_{value}")?,
                Part::Value(variable) => write!(f, "${}", variable.name())?,
            }
        }
        Ok(())
    }
}

impl Variable {
    /// The name without its dollar sign; for a header field the field's name, for a value of a PROXY header nothing.
    pub fn name(&self) -> &str {
        match self {
            Self::Header(name) => name,
            other => VARIABLES
                .iter()
                .find(|(_, v)| v == other)
                .map_or("", |(name, _)| name),
        }
    }

    fn parse(name: &str) -> Result<Self, Why> {
        if let Some(field) = name.strip_prefix("header_").filter(|f| !f.is_empty()) {
            return Ok(Self::Header(
                field.to_ascii_lowercase().replace('_', "-").into(),
            ));
        }
        if let Some(value) = name.strip_prefix("proxy_") {
            return ProxyValue::parse(value).map(Self::Proxy);
        }
        let known = VARIABLES.iter().find(|(known, _)| *known == name);
        known.map(|(_, variable)| variable.clone()).ok_or_else(|| {
            let fix = suggest(name, VARIABLES.iter().map(|(known, _)| *known));
            Why::new(format!("no variable is called \"${name}\""), fix)
        })
    }
}

fn stdout() -> Sink {
    Sink::Stdout
}

fn json() -> Format {
    Format::Json
}

/// Every variable but header fields and values of PROXY headers, in the order of a JSON line.
pub const VARIABLES: [(&str, Variable); 20] = [
    ("time", Variable::Time),
    ("client_ip", Variable::ClientIp),
    ("peer", Variable::Peer),
    ("consumer", Variable::Consumer),
    ("listener", Variable::Listener),
    ("route", Variable::Route),
    ("upstream", Variable::Upstream),
    ("endpoint", Variable::Endpoint),
    ("method", Variable::Method),
    ("host", Variable::Host),
    ("path", Variable::Path),
    ("query", Variable::Query),
    ("protocol", Variable::Protocol),
    ("status", Variable::Status),
    ("grpc_status", Variable::GrpcStatus),
    ("code", Variable::Code),
    ("request_bytes", Variable::RequestBytes),
    ("response_bytes", Variable::ResponseBytes),
    ("duration", Variable::Duration),
    ("request_id", Variable::RequestId),
];

/// Bytes of a format.
pub const MAX_FORMAT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        for good in [
            "json",
            "$status",
            "$$5 $client_ip \"$method $path\" $status$duration $header_user_agent.",
            "$proxy_authority $proxy_tlv_e0",
        ] {
            assert_eq!(Format::parse(good).expect(good).to_string(), good);
        }
        assert_eq!(
            Format::parse("a$status $header_X_Id"),
            Ok(Format::Line(vec![
                Part::Text("a".into()),
                Part::Value(Variable::Status),
                Part::Text(" ".into()),
                Part::Value(Variable::Header("x-id".into())),
            ]))
        );
        for (bad, fix) in [
            ("$stauts", "did you mean \"status\"?"),
            ("$proxy_authorty", "did you mean \"authority\"?"),
            ("plain", "write json, or name variables such as $status"),
            ("$status\n", "write json, or one line of 1 to 4096 bytes"),
        ] {
            assert_eq!(Format::parse(bad).expect_err(bad).fix, fix);
        }
    }
}
