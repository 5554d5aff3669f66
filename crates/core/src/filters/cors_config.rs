//! What the keys of cors hold, and what of it browsers would not do.
//!
//! Source: Fetch (WHATWG), section 3.3.5: a `*` is none for requests with credentials.

use std::borrow::Cow;
use std::fmt::Display;

use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::cors::Config;
use super::origin::Allowed;
use super::Build;
use crate::config::fault::{quote, Why};
use crate::config::text::text;

/// `*`, or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnyOr<T> {
    /// All.
    Any,
    /// These.
    List(Vec<T>),
}

/// The sites that may read.
pub type Origins = AnyOr<Allowed>;
/// The fields that may be sent.
pub type Headers = AnyOr<FieldName>;

impl<T> Default for AnyOr<T> {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for AnyOr<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct StarOrList<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for StarOrList<T> {
            type Value = AnyOr<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("* or a list")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<AnyOr<T>, E> {
                if text == "*" {
                    return Ok(AnyOr::Any);
                }
                let one = de::value::StrDeserializer::new(text);
                Ok(AnyOr::List(vec![T::deserialize(one)?]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, items: A) -> Result<AnyOr<T>, A::Error> {
                let list = Vec::deserialize(de::value::SeqAccessDeserializer::new(items))?;
                Ok(AnyOr::List(list))
            }
        }
        from.deserialize_any(StarOrList(std::marker::PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for AnyOr<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("AnyOr{}", T::schema_name()).into()
    }

    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        let one = g.subschema_for::<T>();
        json_schema!({ "anyOf": [{ "const": "*" }, one, { "type": "array", "items": one }] })
    }
}

/// The name of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldName(Box<str>);

text!(
    FieldName,
    "a field's name",
    r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$",
    "The name of a field, such as `content-type`."
);

impl FieldName {
    /// A token of at most 128 bytes.
    pub fn parse(text: &str) -> Result<Self, Why> {
        if text.len() > 128 || !wire::valid_name(text.as_bytes()) {
            let why = format!("{} is no field name", quote(text));
            return Err(Why::new(why, "use letters, digits and - only"));
        }
        Ok(Self(text.into()))
    }

    pub(super) fn is(&self, name: &[u8]) -> bool {
        self.0.as_bytes().eq_ignore_ascii_case(name)
    }
}

impl Display for FieldName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// A list as a field has it.
pub(super) fn joined(all: &[impl Display]) -> String {
    let all: Vec<_> = all.iter().map(ToString::to_string).collect();
    all.join(", ")
}

/// Reports what no browser would do, and what is beyond the bounds.
pub(super) fn check(config: &Config, b: &mut Build<'_>) {
    match &config.origins {
        Origins::Any if config.credentials => b.fault(
            "credentials",
            "browsers take no `*` for a request with credentials, and every site would read what its visitors may",
            "list the sites under origins, or remove credentials",
        ),
        Origins::List(list) if list.is_empty() => b.fault(
            "origins",
            "a list without an origin lets nobody read",
            "write a site such as https://app.example.com, or * for all",
        ),
        Origins::List(list) => most("origins", list.len(), b),
        Origins::Any => {}
    }
    if config.methods.is_empty() {
        b.fault(
            "methods",
            "without a method no request is allowed",
            "write GET, or remove the key",
        );
    }
    if let Headers::List(list) = &config.headers {
        most("headers", list.len(), b);
    }
    for (key, list) in [
        (
            "headers",
            match &config.headers {
                Headers::List(list) => &list[..],
                Headers::Any => &[],
            },
        ),
        ("expose", &config.expose[..]),
    ] {
        if let Some(at) = list.iter().position(|name| name.is(b"*")) {
            let fix = match key {
                "headers" => "write headers: \"*\", without a list",
                _ => "name the fields",
            };
            b.fault(&format!("{key}[{at}]"), "* is no field's name", fix);
        }
    }
    most("expose", config.expose.len(), b);
}

fn most(key: &str, count: usize, b: &mut Build<'_>) {
    if count > MOST {
        let why = format!("{count} are above the most, {MOST}");
        b.fault(key, why, format!("keep {MOST} of them"));
    }
}

/// The most items of a list.
const MOST: usize = 256;
