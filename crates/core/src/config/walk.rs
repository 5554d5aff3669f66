//! A `serde` deserializer over a JSON value whose errors know where they happened.
//!
//! Source: the data model of `serde`; `serde_json`'s own deserializer says no path.
//! Errors: the first one of a value; [`super::object`] repeats the walk to find them all.
//! Bounds: the depth of the value, which `serde_json` limits to 128 when it reads it.

use std::fmt;

use serde::de::value::{StrDeserializer, StringDeserializer};
use serde::de::{self, DeserializeSeed, Expected, IntoDeserializer, Unexpected, Visitor};
use serde_json::{Map, Value};

use super::fault::{quote, suggest, Why};

/// Reads `value`, remembering the way to an error.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a>(pub(super) &'a Value);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// What went wrong, and the way to it, innermost step first.
#[derive(Debug)]
pub(super) struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: Kind,
    path: Vec<Step>,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// No such key; the fix names the ones there are.
    Unknown { fix: String },
    /// The object at the path lacks this key.
    Missing(&'static str),
    /// The value is wrong.
    Value(Why),
}

impl Error {
    /// The cause, and the path from the outside in.
    pub(super) fn parts(self) -> (Kind, Vec<Step>) {
        let Inner { kind, mut path } = *self.0;
        path.reverse();
        (kind, path)
    }

    fn of(kind: Kind) -> Self {
        Self(Box::new(Inner {
            kind,
            path: Vec::new(),
        }))
    }

    fn value(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::of(Kind::Value(Why::new(why, fix)))
    }

    fn below(mut self, step: Step) -> Self {
        self.0.path.push(step);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::of(Kind::Value(Why::split(&text.to_string())))
    }

    fn invalid_type(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        let wanted = plain(&wanted.to_string());
        Self::value(
            format!("{} is not {wanted}", name(found)),
            format!("write {wanted}"),
        )
    }

    fn invalid_value(found: Unexpected<'_>, wanted: &dyn Expected) -> Self {
        Self::invalid_type(found, wanted)
    }

    fn invalid_length(length: usize, wanted: &dyn Expected) -> Self {
        let wanted = plain(&wanted.to_string());
        Self::value(
            format!("a list of {length} is not {wanted}"),
            format!("write {wanted}"),
        )
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self::of(Kind::Unknown {
            fix: suggest(key, known.iter().copied()),
        })
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::value(
            format!("{} is not a choice here", quote(word)),
            suggest(word, known.iter().copied()),
        )
    }

    fn missing_field(key: &'static str) -> Self {
        Self::of(Kind::Missing(key))
    }
}

impl<'de> de::Deserializer<'de> for Walk<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(is) => visitor.visit_bool(*is),
            Value::Number(n) => match (n.as_u64(), n.as_i64(), n.as_f64()) {
                (Some(n), ..) => visitor.visit_u64(n),
                (_, Some(n), _) => visitor.visit_i64(n),
                (.., n) => visitor.visit_f64(n.unwrap_or(f64::INFINITY)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items { items, next: 0 }),
            Value::Object(map) => visitor.visit_map(Entries {
                entries: map.iter(),
                open: None,
            }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.0 {
            Value::String(word) => {
                let word: StringDeserializer<Error> = word.clone().into_deserializer();
                visitor.visit_enum(word)
            }
            other => Err(Error::value(
                format!("{} is not one of {}", kind(other), known.join(", ")),
                format!("write one of {}", known.join(", ")),
            )),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'a> {
    items: &'a [Value],
    next: usize,
}

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        while let Some(item) = self.items.get(self.next) {
            let at = self.next;
            self.next += 1;
            if item == PRUNED {
                continue;
            }
            return seed
                .deserialize(Walk(item))
                .map(Some)
                .map_err(|e| e.below(Step::Index(at)));
        }
        Ok(None)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len() - self.next)
    }
}

struct Entries<'a> {
    entries: serde_json::map::Iter<'a>,
    open: Option<(&'a String, &'a Value)>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        self.open = self.entries.next();
        let Some((key, _)) = self.open else {
            return Ok(None);
        };
        let text: StrDeserializer<'de, Error> = key.as_str().into_deserializer();
        seed.deserialize(text)
            .map(Some)
            .map_err(|e| e.below(Step::Key(key.clone())))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        // Only a visitor that asks for a value before its key gets here without one.
        let Some((key, value)) = self.open.take() else {
            return Err(Error::value("a value without a key", ""));
        };
        seed.deserialize(Walk(value))
            .map_err(|e| e.below(Step::Key(key.clone())))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.entries.len())
    }
}

/// `a.b[3]` below `at`.
pub(super) fn join(at: &str, steps: &[Step]) -> String {
    let mut path = at.to_owned();
    for step in steps {
        match step {
            Step::Index(i) => path.push_str(&format!("[{i}]")),
            Step::Key(key) => push_key(&mut path, key),
        }
    }
    path
}

/// The path of `key` in the object at `at`. A key with other signs than names have is quoted.
pub(super) fn child(at: &str, key: &str) -> String {
    let mut path = at.to_owned();
    push_key(&mut path, key);
    path
}

fn push_key(path: &mut String, key: &str) {
    let plain = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if !plain {
        path.push_str(&format!("[{}]", Value::from(key)));
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(key);
}

/// Takes the value at `steps` out, so that the next walk passes it by.
pub(super) fn prune(value: &mut Value, steps: &[Step]) {
    let Some((last, way)) = steps.split_last() else {
        return;
    };
    let mut here = Some(value);
    for step in way {
        here = match (here, step) {
            (Some(Value::Object(map)), Step::Key(key)) => map.get_mut(key),
            (Some(Value::Array(items)), Step::Index(i)) => items.get_mut(*i),
            _ => None,
        };
    }
    match (here, last) {
        (Some(Value::Object(map)), Step::Key(key)) => {
            map.remove(key);
        }
        (Some(Value::Array(items)), Step::Index(i)) => items[*i] = Value::from(PRUNED),
        _ => {}
    }
}

/// The object at `steps`.
pub(super) fn find<'a>(value: &'a Value, steps: &[Step]) -> Option<&'a Map<String, Value>> {
    let mut here = value;
    for step in steps {
        here = match step {
            Step::Key(key) => here.get(key)?,
            Step::Index(i) => here.get(i)?,
        };
    }
    here.as_object()
}

/// `serde`'s words for what was wanted, in words for people.
fn plain(wanted: &str) -> String {
    match wanted {
        "a sequence" => "a list".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a map" => "an object".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number".to_owned(),
        other if other.starts_with("struct ") => "an object".to_owned(),
        other => other.to_owned(),
    }
}

fn name(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(is) => is.to_string(),
        Unexpected::Unsigned(n) => n.to_string(),
        Unexpected::Signed(n) => n.to_string(),
        Unexpected::Float(n) => n.to_string(),
        Unexpected::Str(text) => quote(text),
        Unexpected::Unit | Unexpected::Option => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        other => other.to_string(),
    }
}

/// What a JSON value is, in words for people.
pub(super) fn kind(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(is) => is.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(text) => quote(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// Stands for a list item that was reported already: taking it out would renumber those behind it.
const PRUNED: &str = "\0pruned";
