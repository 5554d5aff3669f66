//! What a route says of a request beside host and path: method, header fields, query, PROXY header.
//!
//! Bounds: the number of conditions, which the config check limits; each is linear in the head.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::pattern::{Host, Method, Path};
use crate::config::fault::{quote, Why};
use crate::config::proxy_protocol::ProxyValue;
use crate::config::text::{text, Many};
use crate::proxied::Proxied;

/// Which requests a route wants. What is left out matches everything; all that is there must match.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Match {
    /// One of these hosts, whatever the port. Default: every host.
    pub host: Many<Host>,
    /// One of these paths. Default: every path.
    pub path: Many<Path>,
    /// One of these methods. Default: every method.
    pub method: Many<Method>,
    /// What header fields must say. Default: nothing.
    pub headers: BTreeMap<FieldName, Want>,
    /// What parameters of the query must say; names and values are compared unescaped. Default: nothing.
    pub query: BTreeMap<String, Want>,
    /// What the PROXY header of the connection must say, by the names of its values. Default: nothing.
    pub proxy: BTreeMap<ProxyValue, Want>,
}

/// What one field or parameter must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// There is one, whatever its value.
    Present,
    /// There is none.
    Absent,
    /// There is one with exactly this value.
    Value(Box<str>),
}

impl<'de> Deserialize<'de> for Want {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct TextOrBool;
        impl Visitor<'_> for TextOrBool {
            type Value = Want;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value in quotes, true (there is one) or false (there is none)")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Want, E> {
                Ok(Want::Value(text.into()))
            }

            fn visit_bool<E: de::Error>(self, there: bool) -> Result<Want, E> {
                Ok(if there { Want::Present } else { Want::Absent })
            }
        }
        from.deserialize_any(TextOrBool)
    }
}

impl Serialize for Want {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Present => to.serialize_bool(true),
            Self::Absent => to.serialize_bool(false),
            Self::Value(text) => to.serialize_str(text),
        }
    }
}

impl JsonSchema for Want {
    fn schema_name() -> Cow<'static, str> {
        "Want".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A value that must be there, `true` for any value, `false` for none at all.",
            "anyOf": [{ "type": "string" }, { "type": "boolean" }],
        })
    }
}

/// The name of a header field, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldName(Box<str>);

text!(
    FieldName,
    "the name of a header field",
    r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$",
    "The name of a header field."
);

impl FieldName {
    /// A token, in any case.
    pub fn parse(text: &str) -> Result<Self, Why> {
        if !wire::valid_name(text.as_bytes()) || text.len() > 128 {
            return Err(Why::new(
                format!("{} is not the name of a field", quote(text)),
                "use letters, digits and -",
            ));
        }
        if text.eq_ignore_ascii_case("host") {
            return Err(Why::new(
                "the host is not matched as a header field",
                "write match.host",
            ));
        }
        Ok(Self(text.to_ascii_lowercase().into()))
    }
}

impl FieldName {
    /// One of the program's own, in lower case.
    pub(crate) fn of(name: &'static str) -> Self {
        debug_assert!(Self::parse(name).is_ok_and(|n| *n.0 == *name));
        Self(name.into())
    }

    /// Its letters.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parts of a request that routes look at. One implementation is [`wire::Head`].
pub trait Request {
    /// The host in lower case, without its port.
    fn host(&self) -> &[u8];
    /// The normalised path.
    fn path(&self) -> &[u8];
    /// The method as it was sent.
    fn method(&self) -> &[u8];
    /// What follows the question mark.
    fn query(&self) -> Option<&[u8]>;
    /// True if one of the fields called `name` has a value that `is` takes.
    fn any_field(&self, name: &[u8], is: impl Fn(&[u8]) -> bool) -> bool;
    /// What a trusted PROXY header said of its connection.
    fn proxied(&self) -> Option<&Proxied> {
        None
    }
}

/// A request as it came in: its head, and what is known of its connection.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its head.
    pub request: &'a wire::Head,
    /// What a trusted PROXY header said of its connection.
    pub proxied: Option<&'a Proxied>,
}

impl Request for Asked<'_> {
    fn host(&self) -> &[u8] {
        self.request.host()
    }

    fn path(&self) -> &[u8] {
        self.request.path()
    }

    fn method(&self) -> &[u8] {
        self.request.method_bytes()
    }

    fn query(&self) -> Option<&[u8]> {
        self.request.query()
    }

    fn any_field(&self, name: &[u8], is: impl Fn(&[u8]) -> bool) -> bool {
        self.request.find_all(name).any(is)
    }

    fn proxied(&self) -> Option<&Proxied> {
        self.proxied
    }
}

impl Request for wire::Head {
    fn host(&self) -> &[u8] {
        self.host()
    }

    fn path(&self) -> &[u8] {
        self.path()
    }

    fn method(&self) -> &[u8] {
        self.method_bytes()
    }

    fn query(&self) -> Option<&[u8]> {
        self.query()
    }

    fn any_field(&self, name: &[u8], is: impl Fn(&[u8]) -> bool) -> bool {
        self.find_all(name).any(is)
    }
}

/// The conditions of one route, made ready.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wants {
    /// Bits of [`Method::bit`]; 0 takes every method.
    methods: u32,
    fields: Vec<(Box<[u8]>, Want)>,
    query: Vec<(Box<[u8]>, Want)>,
    proxy: Vec<(ProxyValue, Want)>,
}

impl Wants {
    pub(crate) fn of(what: &Match) -> Self {
        let mut methods = what
            .method
            .iter()
            .fold(0, |bits, method| bits | method.bit());
        if methods & Method::bit_of(b"GET") != 0 {
            methods |= Method::bit_of(b"HEAD");
        }
        let fields = what
            .headers
            .iter()
            .map(|(name, want)| (name.0.as_bytes().into(), want.clone()));
        let query = what
            .query
            .iter()
            .map(|(name, want)| (name.as_bytes().into(), want.clone()));
        Self {
            methods,
            fields: fields.collect(),
            query: query.collect(),
            proxy: what.proxy.iter().map(|(v, w)| (*v, w.clone())).collect(),
        }
    }

    /// How many conditions there are; of two routes with equal hosts and paths the one with more comes first.
    pub(super) fn count(&self) -> usize {
        usize::from(self.methods != 0) + self.fields.len() + self.query.len() + self.proxy.len()
    }

    pub(crate) fn hold(&self, request: &impl Request) -> bool {
        (self.methods == 0 || self.methods & Method::bit_of(request.method()) != 0)
            && self.fields.iter().all(|(name, want)| match want {
                Want::Present => request.any_field(name, |_| true),
                Want::Absent => !request.any_field(name, |_| true),
                Want::Value(text) => request.any_field(name, |value| value == text.as_bytes()),
            })
            && self.query.iter().all(|(name, want)| match want {
                Want::Present => parameter(request.query(), name, |_| true),
                Want::Absent => !parameter(request.query(), name, |_| true),
                Want::Value(text) => {
                    parameter(request.query(), name, |value| same(value, text.as_bytes()))
                }
            })
            && self.proxy.iter().all(|(value, want)| {
                let told = request.proxied().and_then(|p| p.get(*value));
                match want {
                    Want::Present => told.is_some(),
                    Want::Absent => told.is_none(),
                    Want::Value(text) => told.is_some_and(|t| value.same(&t, text.as_bytes())),
                }
            })
    }
}

/// True if one of the parameters called `name` has a value that `is` takes.
/// Form encoding: WHATWG URL, section 5.1.
fn parameter(query: Option<&[u8]>, name: &[u8], is: impl Fn(&[u8]) -> bool) -> bool {
    query
        .unwrap_or_default()
        .split(|&b| b == b'&')
        .filter(|pair| !pair.is_empty())
        .any(|pair| {
            let end = pair.iter().position(|&b| b == b'=');
            let (key, value) = end.map_or((pair, &b""[..]), |at| (&pair[..at], &pair[at + 1..]));
            same(key, name) && is(value)
        })
}

/// True if `escaped`, with `%XX` and `+` undone, is `plain`. An escape that is none stands for itself.
pub(crate) fn same(escaped: &[u8], plain: &[u8]) -> bool {
    let mut rest = escaped;
    let mut wanted = plain.iter();
    while let [byte, after @ ..] = rest {
        let (byte, after) = match (byte, after) {
            (b'+', _) => (b' ', after),
            (b'%', [high, low, behind @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, behind),
                _ => (b'%', after),
            },
            (byte, _) => (*byte, after),
        };
        if wanted.next() != Some(&byte) {
            return false;
        }
        rest = after;
    }
    wanted.next().is_none()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_compared_unescaped() {
        for (query, name, value, want) in [
            ("a=1", "a", "1", true),
            ("a=1&b=2", "b", "2", true),
            ("a=1&a=2", "a", "2", true),
            ("a=x+y", "a", "x y", true),
            ("a=%41%2b", "a", "A+", true),
            ("%61=1", "a", "1", true),
            ("a=%4", "a", "%4", true),
            ("a=%zz", "a", "%zz", true),
            ("a", "a", "", true),
            ("a=", "a", "", true),
            ("a=12", "a", "1", false),
            ("a=1", "a", "12", false),
            ("ab=1", "a", "1", false),
            ("a=1=2", "a", "1=2", true),
            ("", "", "", false),
        ] {
            let found = parameter(Some(query.as_bytes()), name.as_bytes(), |v| {
                same(v, value.as_bytes())
            });
            assert_eq!(found, want, "{query} {name} {value}");
        }
        assert!(!parameter(None, b"a", |_| true));
    }
}
