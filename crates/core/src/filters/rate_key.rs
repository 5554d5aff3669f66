//! What a limiter counts apart: one key, or several that count together as one.
//!
//! Written as `client_ip`, `consumer`, `header:NAME`, `cookie:NAME`, `san:KIND`, `proxy:VALUE` or `route`, or as a list of these.
//! Bounds: [`MAX_KEYS`] in a list.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use wire::Head;

use crate::config::fault::{quote, Why};
use crate::config::proxy_protocol::ProxyValue;
use crate::config::text::text;
use crate::filter::Client;

/// What is counted apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// The client's address; an IPv6 address by its /64.
    ClientIp,
    /// Whose the request is, as a filter before proved it.
    Consumer,
    /// A request field's value.
    Header(Box<str>),
    /// A cookie's value.
    Cookie(Box<str>),
    /// The alternative names of the client's certificate, of one kind.
    San(San),
    /// A value of the connection's PROXY header.
    Proxy(ProxyValue),
    /// The host that the client's TLS handshake asked for.
    Sni,
    /// Nothing: all requests of the route count together.
    Route,
}

/// A kind of alternative names in a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum San {
    /// DNS names.
    Dns,
    /// URIs, such as SPIFFE identities.
    Uri,
    /// E-mail addresses.
    Email,
    /// IP addresses.
    Ip,
}

text!(
    LimitKey,
    "a key such as client_ip",
    r"^(client_ip|consumer|route|sni|proxy:[a-z0-9_]+|san:(dns|uri|email|ip)|(header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]+)$",
    "`client_ip`, `consumer` (behind a filter that proves it), `header:NAME`, `cookie:NAME`, `san:dns`, `san:uri`, `san:email` or `san:ip` (all names of this kind in the client's certificate), `proxy:VALUE` (a value of the PROXY header), `sni` (the host that the TLS handshake asked for) or `route`."
);

impl LimitKey {
    /// One of those.
    pub fn parse(text: &str) -> Result<Self, Why> {
        match text {
            "client_ip" => return Ok(Self::ClientIp),
            "consumer" => return Ok(Self::Consumer),
            "route" => return Ok(Self::Route),
            "sni" => return Ok(Self::Sni),
            _ => {}
        }
        if let Some(value) = text.strip_prefix("proxy:") {
            return ProxyValue::parse(value).map(Self::Proxy);
        }
        if let Some(kind) = text.strip_prefix("san:") {
            return San::parse(kind).map(Self::San);
        }
        if let Some(name) = text.strip_prefix("cookie:") {
            if wire::valid_name(name.as_bytes()) {
                return Ok(Self::Cookie(name.into()));
            }
        }
        let name = text
            .strip_prefix("header:")
            .filter(|n| wire::valid_name(n.as_bytes()));
        let written = name.filter(|n| n.to_ascii_lowercase().starts_with("ironsluice-"));
        if let Some(name) = written {
            let why = format!("{name} is written by the gateway, after all filters");
            return Err(Why::new(why, "write consumer, or another field"));
        }
        name.map(|n| Self::Header(n.to_ascii_lowercase().into()))
            .ok_or_else(|| {
                Why::new(
                    format!("{} is not a key", quote(text)),
                    "write client_ip, consumer, route, sni, header:NAME, cookie:NAME, san:KIND or proxy:VALUE",
                )
            })
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client_ip"),
            Self::Consumer => f.write_str("consumer"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::San(kind) => write!(f, "san:{}", kind.name()),
            Self::Proxy(value) => write!(f, "proxy:{value}"),
            Self::Sni => f.write_str("sni"),
            Self::Route => f.write_str("route"),
        }
    }
}

impl LimitKey {
    /// The hash of what a request has for this key. Requests that have nothing agree.
    #[inline]
    fn hash(&self, client: &Client, req: &Head, hash: impl Fn(&[u8]) -> u64) -> u64 {
        match self {
            Self::Route => 0,
            Self::Consumer => hash(client.consumer.as_deref().unwrap_or_default().as_bytes()),
            Self::Header(name) => hash(req.find(name.as_bytes()).unwrap_or_default()),
            Self::Cookie(name) => {
                hash(wire::cookie::cookie(req, name.as_bytes()).unwrap_or_default())
            }
            Self::San(kind) => kind.hash(client, hash),
            Self::Sni => {
                let sni = client.tls.as_deref().and_then(|tls| tls.sni.as_deref());
                hash(sni.unwrap_or_default().as_bytes())
            }
            Self::Proxy(value) => {
                let told = client.proxied.as_deref().and_then(|p| p.get(*value));
                hash(&value.canonical(told.as_deref().unwrap_or_default()))
            }
            Self::ClientIp => match client.ip {
                IpAddr::V4(ip) => hash(&ip.octets()),
                // A site has a /64 to itself at least: single addresses cost it nothing.
                IpAddr::V6(ip) => hash(&ip.octets()[..8]),
            },
        }
    }
}

impl LimitKeys {
    /// True if it matters whose a request is.
    pub fn reads_consumer(&self) -> bool {
        self.0.contains(&LimitKey::Consumer)
    }
}

impl San {
    const ALL: [Self; 4] = [Self::Dns, Self::Uri, Self::Email, Self::Ip];

    pub(super) fn parse(kind: &str) -> Result<Self, Why> {
        let known = Self::ALL.into_iter().find(|k| k.name() == kind);
        known.ok_or_else(|| {
            Why::new(
                format!("{} is no kind of alternative names", quote(kind)),
                "write san:dns, san:uri, san:email or san:ip",
            )
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Uri => "uri",
            Self::Email => "email",
            Self::Ip => "ip",
        }
    }

    /// Of all names of this kind, in the order of the certificate.
    fn hash(self, client: &Client, hash: impl Fn(&[u8]) -> u64) -> u64 {
        let shown = client
            .tls
            .as_deref()
            .and_then(|tls| tls.certificate.as_ref());
        let Some(shown) = shown else { return 0 };
        let fold = |all: u64, one: u64| joined(all, one);
        let names = match self {
            Self::Dns => &shown.dns,
            Self::Uri => &shown.uris,
            Self::Email => &shown.emails,
            Self::Ip => {
                let ips = shown.ips.iter().map(|ip| match ip {
                    IpAddr::V4(ip) => hash(&ip.octets()),
                    IpAddr::V6(ip) => hash(&ip.octets()),
                });
                return ips.fold(0, fold);
            }
        };
        names.iter().map(|n| hash(n.as_bytes())).fold(0, fold)
    }
}

/// The hash of a list that goes on with what has the hash `one`.
#[inline]
fn joined(all: u64, one: u64) -> u64 {
    algo::mix64(all ^ one).rotate_left(1)
}

/// One key or several; requests that agree in all of them count together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitKeys(pub Vec<LimitKey>);

impl LimitKeys {
    /// The hash under which a request counts; `hash` is its table's.
    #[inline]
    pub(super) fn hash(&self, client: &Client, req: &Head, hash: impl Fn(&[u8]) -> u64) -> u64 {
        let parts = self.0.iter().map(|key| key.hash(client, req, &hash));
        parts.fold(0, joined)
    }
}

impl Default for LimitKeys {
    fn default() -> Self {
        Self(vec![LimitKey::ClientIp])
    }
}

impl fmt::Display for LimitKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, key) in self.0.iter().enumerate() {
            write!(f, "{}{key}", if i > 0 { "," } else { "" })?;
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for LimitKeys {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrMore;
        impl<'de> Visitor<'de> for OneOrMore {
            type Value = LimitKeys;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key such as client_ip, or a list of keys")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<LimitKeys, E> {
                LimitKey::parse(text)
                    .map(|key| LimitKeys(vec![key]))
                    .map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<LimitKeys, A::Error> {
                let mut keys = Vec::new();
                while let Some(key) = list.next_element()? {
                    keys.push(key);
                }
                if keys.is_empty() || keys.len() > MAX_KEYS {
                    let why = format!("a list of {} keys is not 1 to {MAX_KEYS} long", keys.len());
                    return Err(de::Error::custom(Why::new(
                        why,
                        "write route to count all requests together",
                    )));
                }
                Ok(LimitKeys(keys))
            }
        }
        from.deserialize_any(OneOrMore)
    }
}

impl JsonSchema for LimitKeys {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "LimitKeys".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<LimitKey>();
        json_schema!({
            "anyOf": [one, { "type": "array", "items": one, "minItems": 1, "maxItems": MAX_KEYS }],
            "description": "A key, or a list of keys that count together as one.",
        })
    }
}

/// Keys of one limit.
pub const MAX_KEYS: usize = 8;
