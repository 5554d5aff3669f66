//! consumer: says whose a request is, by what its connection or a plugin has proved.
//!
//! Config:  `{ use: consumer, from: san:uri }`
//! Reads:   the client's certificate, a trusted PROXY header, or a field that a plugin before it vouches for.
//! Asks:    nothing.
//! Replies: 401 `consumer_missing` if nothing is proved, unless `anonymous` is true; 401 `consumer_ambiguous` for two different names;
//!          401 `consumer_invalid` for what is no name: not 1 to 128 printable ASCII characters without spaces.
//! Fails:   never open. A common name in a PROXY header counts only if its certificate was good. The consumer is told to the
//!          upstream in Ironsluice-Consumer, which no client can say itself, and to filters behind this one.
//! Source:  RFC 5280 section 4.2.1.6 (alternative names); SPIFFE X.509-SVID section 2 (one URI); HAProxy's `proxy-protocol.txt`
//!          section 2.2.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::api_key_ring;
use super::rate_key::San;
use super::{name_fault, Build};
use crate::config::fault::{quote, Why};
use crate::config::proxy_protocol::ProxyValue;
use crate::config::text::text;
use crate::filter::{Client, Cx, Filter, Needs, Verdict};
use crate::reply::Reply;

/// Says whose a request is, by what its connection or a plugin has proved.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// What proves it: `san:uri`, `san:dns`, `san:email` or `san:ip` (the one name of this kind in the client's certificate),
    /// `proxy:VALUE` (of the PROXY header), or `header:NAME`, a field in the `claims` of a plugin before. Required.
    pub from: ConsumerFrom,
    /// Whether a request of which nothing is proved passes, as nobody's. Default: false.
    #[serde(default)]
    pub anonymous: bool,
}

/// What proves whose a request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerFrom {
    /// The name of this kind in the client's certificate.
    San(San),
    /// A value of the connection's PROXY header.
    Proxy(ProxyValue),
    /// A field that a plugin vouches for, in small letters.
    Header(Box<str>),
}

text!(
    ConsumerFrom,
    "a proof such as san:uri",
    r"^(san:(dns|uri|email|ip)|proxy:[a-z0-9_]+|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$",
    "`san:uri`, `san:dns`, `san:email` or `san:ip` (the name in the client's certificate), `proxy:VALUE` (a value of the PROXY header) or `header:NAME` (a field in the `claims` of a plugin before)."
);

impl ConsumerFrom {
    /// One of those.
    pub fn parse(text: &str) -> Result<Self, Why> {
        if let Some(kind) = text.strip_prefix("san:") {
            return San::parse(kind).map(Self::San);
        }
        if let Some(value) = text.strip_prefix("proxy:") {
            let value = ProxyValue::parse(value)?;
            let proves = matches!(
                value,
                ProxyValue::SslCn
                    | ProxyValue::AwsVpceId
                    | ProxyValue::AzurePelId
                    | ProxyValue::GcpConnId
                    | ProxyValue::Tlv(_)
            );
            return proves.then_some(Self::Proxy(value)).ok_or_else(|| {
                let why = format!("{value} is nobody's own: any client may have it");
                Why::new(why, "write proxy:ssl_cn, proxy:aws_vpce_id, proxy:azure_pel_id, proxy:gcp_conn_id or proxy:tlv_XX")
            });
        }
        let Some(name) = text.strip_prefix("header:") else {
            let why = format!("{} proves nothing", quote(text));
            return Err(Why::new(why, "write san:uri, proxy:VALUE or header:NAME"));
        };
        match name_fault(name, true) {
            Some((why, fix)) => Err(Why::new(why, fix)),
            None if name.to_ascii_lowercase().starts_with("ironsluice-") => {
                let why = format!("{name} is written by the gateway, after all filters");
                Err(Why::new(why, "use another field"))
            }
            None => Ok(Self::Header(name.to_ascii_lowercase().into())),
        }
    }
}

impl fmt::Display for ConsumerFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::San(kind) => write!(f, "san:{}", kind.name()),
            Self::Proxy(value) => write!(f, "proxy:{value}"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

/// The filter.
pub struct Consumer {
    from: ConsumerFrom,
    anonymous: bool,
}

/// What is proved of a request.
enum Proof<'r> {
    None,
    One(Cow<'r, [u8]>),
    /// Two names that are not the same.
    Several,
}

impl Consumer {
    /// From its config.
    pub fn build(config: Config, _: &mut Build<'_>) -> Option<Self> {
        Some(Self {
            from: config.from,
            anonymous: config.anonymous,
        })
    }

    fn proof<'r>(&'r self, client: &'r Client, req: &'r Head) -> Proof<'r> {
        match &self.from {
            ConsumerFrom::San(kind) => san(*kind, client),
            ConsumerFrom::Proxy(value) => {
                let Some(told) = client.proxied.as_deref() else {
                    return Proof::None;
                };
                let verified = || told.get(ProxyValue::SslVerify).as_deref() == Some(b"success");
                if *value == ProxyValue::SslCn && !verified() {
                    return Proof::None;
                }
                told.get(*value).map_or(Proof::None, Proof::One)
            }
            ConsumerFrom::Header(name) => one(req.find_all(name.as_bytes()).map(Cow::Borrowed)),
        }
    }
}

/// The name of this kind in the client's certificate.
fn san(kind: San, client: &Client) -> Proof<'_> {
    let tls = client.tls.as_deref();
    let Some(shown) = tls.and_then(|tls| tls.certificate.as_ref()) else {
        return Proof::None;
    };
    let names = match kind {
        San::Dns => &shown.dns,
        San::Uri => &shown.uris,
        San::Email => &shown.emails,
        San::Ip => {
            let ips = shown.ips.iter().map(|ip| ip.to_string().into_bytes());
            return one(ips.map(Cow::Owned));
        }
    };
    one(names.iter().map(|name| Cow::Borrowed(name.as_bytes())))
}

fn one<'r>(mut all: impl Iterator<Item = Cow<'r, [u8]>>) -> Proof<'r> {
    match all.next() {
        None => Proof::None,
        Some(first) if all.all(|other| other == first) => Proof::One(first),
        Some(_) => Proof::Several,
    }
}

fn refuse(code: &'static str, why: &'static str) -> Verdict {
    Verdict::Reply(Box::new(Reply::problem(401, code, why)))
}

impl Filter for Consumer {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            proves_consumer: true,
            ..Needs::default()
        }
    }

    fn believes(&self) -> Option<&str> {
        match &self.from {
            ConsumerFrom::Header(name) => Some(name),
            _ => None,
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        let consumer = match self.proof(cx.client, req) {
            Proof::None if self.anonymous => return Verdict::Next,
            Proof::None => {
                return refuse("consumer_missing", "Nothing proves whose this request is.")
            }
            Proof::Several => return refuse("consumer_ambiguous", "Two names are proved."),
            Proof::One(name) => {
                match api_key_ring::ConsumerName::parse(&String::from_utf8_lossy(&name)) {
                    Ok(consumer) => consumer.to_string(),
                    Err(_) => return refuse("consumer_invalid", "What is proved is no name."),
                }
            }
        };
        cx.client.consumer = Some(consumer.into());
        Verdict::Next
    }
}

#[cfg(test)]
#[path = "consumer_tests.rs"]
mod tests;
