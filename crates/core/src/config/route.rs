//! `routes`: which requests go where, and through which filters.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::text::{Name, Whole};
use crate::route::{Listeners, Match, RouteMatch};

/// Which requests go where, and through which filters.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What metrics and logs call it.
    pub name: Name,
    /// The listeners whose requests it takes. Default: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<Name>,
    /// The requests it wants. Default: all.
    #[serde(default, rename = "match")]
    pub what: Match,
    /// What happens to a path with an escaped slash, `%2F`, which servers read in two ways.
    #[serde(default, rename = "escaped_slash", with = "escaped_slash")]
    #[schemars(with = "EscapedSlash")]
    pub keep_escaped_slash: bool,
    /// What requests pass through, in this order; responses pass in reverse. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<RawFilter>,
    /// The upstream or `{ app: NAME }` that requests go to, or several with their shares. Only a
    /// route with a filter that always replies can do without.
    #[serde(default, skip_serializing_if = "To::is_empty")]
    pub to: To,
}

impl Route {
    /// What the router needs; `places` says where each listener stands in the config.
    pub fn matcher(&self, places: &HashMap<&str, u32>) -> RouteMatch<'_> {
        let listeners = if self.listeners.is_empty() {
            Listeners::ALL
        } else {
            self.listeners
                .iter()
                .filter_map(|name| places.get(name.as_str()).copied())
                .collect()
        };
        RouteMatch {
            listeners,
            what: &self.what,
        }
    }
}

/// What happens to a path with an escaped slash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EscapedSlash {
    /// 400.
    #[default]
    Reject,
    /// It is passed on as it is. It never divides segments for the router.
    Keep,
}

/// As a word in the config, as a truth in the struct.
mod escaped_slash {
    use super::{Deserialize, Deserializer, EscapedSlash, Serialize, Serializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
        Ok(EscapedSlash::deserialize(from)? == EscapedSlash::Keep)
    }

    pub(super) fn serialize<S: Serializer>(keep: &bool, to: S) -> Result<S::Ok, S::Error> {
        if *keep {
            EscapedSlash::Keep
        } else {
            EscapedSlash::Reject
        }
        .serialize(to)
    }
}

/// One filter of a route, not built yet.
#[derive(Clone, Debug, PartialEq)]
pub struct RawFilter {
    /// Its name: `use`.
    pub name: String,
    /// Its own keys, without `use`.
    pub object: Map<String, Value>,
}

impl<'de> Deserialize<'de> for RawFilter {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut object = Map::deserialize(from)?;
        match object.remove("use") {
            Some(Value::String(name)) => Ok(Self { name, object }),
            Some(other) => Err(de::Error::invalid_type(
                kind(&other),
                &"a filter's name after `use`",
            )),
            None => Err(de::Error::missing_field("use")),
        }
    }
}

fn kind(value: &Value) -> de::Unexpected<'_> {
    match value {
        Value::Null => de::Unexpected::Unit,
        Value::Bool(is) => de::Unexpected::Bool(*is),
        Value::Number(n) => n
            .as_u64()
            .map_or(de::Unexpected::Other("a number"), de::Unexpected::Unsigned),
        Value::String(text) => de::Unexpected::Str(text),
        Value::Array(_) => de::Unexpected::Seq,
        Value::Object(_) => de::Unexpected::Map,
    }
}

impl Serialize for RawFilter {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(Some(self.object.len() + 1))?;
        map.serialize_entry("use", &self.name)?;
        self.object
            .iter()
            .try_for_each(|(key, value)| map.serialize_entry(key, value))?;
        map.end()
    }
}

impl JsonSchema for RawFilter {
    fn schema_name() -> Cow<'static, str> {
        "Filter".into()
    }

    /// Each filter's own schema and its name: a union that `use` tells apart.
    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        let mut all = Vec::new();
        for (name, config) in crate::filters::schemas(g) {
            let title = title(name);
            let mut schema = resolve(g, config);
            let object = schema.ensure_object();
            object.insert("type".into(), "object".into());
            let properties = object
                .entry("properties")
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(properties) = properties {
                properties.insert("use".into(), serde_json::json!({ "const": name }));
            }
            let required = object
                .entry("required")
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(required) = required {
                required.insert(0, "use".into());
            }
            object.insert("additionalProperties".into(), false.into());
            g.definitions_mut().insert(title.clone(), schema.to_value());
            all.push(Value::from(format!("#/$defs/{title}")));
        }
        let all: Vec<Value> = all
            .into_iter()
            .map(|link| serde_json::json!({ "$ref": link }))
            .collect();
        json_schema!({ "description": "A filter; `use` names it.", "oneOf": all })
    }
}

/// `rate_limit` as `RateLimitFilter`.
fn title(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_')
        .filter(|word| !word.is_empty())
        .map(capital)
        .collect::<String>()
        + "Filter"
}

/// The schema itself where `schema` is only a link to it; the definition that it leaves is removed.
fn resolve(g: &mut SchemaGenerator, schema: Schema) -> Schema {
    let link = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|link| link.rsplit('/').next());
    let found = link.and_then(|name| g.definitions_mut().remove(name));
    found
        .and_then(|value| Schema::try_from(value).ok())
        .unwrap_or(schema)
}

/// Where requests go: nowhere, to one upstream, or to several by their shares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct To(pub Vec<Share>);

/// An upstream or an app, and its share of a route's requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The upstream's name; either this or `app`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Name>,
    /// The app's name; either this or `upstream`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<Name>,
    /// Its share beside the others'; 0 for none.
    #[serde(default = "one", deserialize_with = "weight")]
    #[schemars(with = "Whole<0, 1000>")]
    pub weight: u32,
}

impl To {
    /// True if the route names no upstream.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::ops::Deref for To {
    type Target = [Share];

    fn deref(&self) -> &[Share] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for To {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NameOrList;
        impl<'de> Visitor<'de> for NameOrList {
            type Value = To;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an upstream's name, { app: NAME }, or a list of { upstream, weight }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<To, E> {
                let upstream = Name::parse(text).map_err(E::custom)?;
                Ok(To(vec![Share {
                    upstream: Some(upstream),
                    app: None,
                    weight: 1,
                }]))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<To, A::Error> {
                let one = Share::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(To(vec![one]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, items: A) -> Result<To, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(items)).map(To)
            }
        }
        from.deserialize_any(NameOrList)
    }
}

impl Serialize for To {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [Share {
                upstream: Some(upstream),
                weight: 1,
                ..
            }] => upstream.serialize(to),
            [one] => one.serialize(to),
            shares => shares.serialize(to),
        }
    }
}

impl JsonSchema for To {
    fn schema_name() -> Cow<'static, str> {
        "To".into()
    }

    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An upstream's name, `{ app: NAME }`, or several with their shares.",
            "anyOf": [g.subschema_for::<Name>(), g.subschema_for::<Share>(), { "type": "array", "items": g.subschema_for::<Share>() }],
        })
    }
}

fn one() -> u32 {
    1
}

fn weight<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    Whole::<0, 1000>::deserialize(from).map(|weight| weight.get() as u32) // at most 1000
}
