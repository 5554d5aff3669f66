//! What a limiter counts apart: one key, or several that count together as one.
//!
//! Written as `client_ip`, `header:NAME`, `proxy:VALUE` or `route`, or as a list of these.
//! Bounds: [`MAX_KEYS`] in a list.

use std::borrow::Cow;
use std::fmt;

use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use crate::config::fault::{quote, Why};
use crate::config::proxy_protocol::ProxyValue;
use crate::config::text::text;

/// What is counted apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitKey {
    /// The client's address; an IPv6 address by its /64.
    ClientIp,
    /// A request field's value.
    Header(Box<str>),
    /// A value of the connection's PROXY header.
    Proxy(ProxyValue),
    /// Nothing: all requests of the route count together.
    Route,
}

text!(
    LimitKey,
    "a key such as client_ip",
    r"^(client_ip|route|proxy:[a-z0-9_]+|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$",
    "`client_ip`, `header:NAME`, `proxy:VALUE` (a value of the PROXY header) or `route`."
);

impl LimitKey {
    /// One of the four.
    pub fn parse(text: &str) -> Result<Self, Why> {
        match text {
            "client_ip" => return Ok(Self::ClientIp),
            "route" => return Ok(Self::Route),
            _ => {}
        }
        if let Some(value) = text.strip_prefix("proxy:") {
            return ProxyValue::parse(value).map(Self::Proxy);
        }
        let name = text
            .strip_prefix("header:")
            .filter(|n| wire::valid_name(n.as_bytes()));
        name.map(|n| Self::Header(n.to_ascii_lowercase().into()))
            .ok_or_else(|| {
                Why::new(
                    format!("{} is not a key", quote(text)),
                    "write client_ip, route, header:NAME or proxy:VALUE",
                )
            })
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client_ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Proxy(value) => write!(f, "proxy:{value}"),
            Self::Route => f.write_str("route"),
        }
    }
}

/// One key or several; requests that agree in all of them count together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitKeys(pub Vec<LimitKey>);

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

/// LimitKeys of one limiter.
pub const MAX_KEYS: usize = 8;
