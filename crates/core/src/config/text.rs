//! Values that are written as one text or one number, and the macro that makes `serde` and the
//! schema read them.
//!
//! Errors: a [`Why`] with what to write instead.
//! Bounds: a name has 1 to [`MAX_NAME`] bytes, a path of the file system [`MAX_FILE`].

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fault::{quote, Why};

/// Makes a type with `parse(&str) -> Result<Self, Why>` and `Display` a text of the config:
/// `text!(Duration, "a duration such as 30s", r"^[0-9]+(ms|s|m|h|d)$", "What it is.")`.
macro_rules! text {
    ($type:ident, $expecting:literal, $pattern:literal, $description:literal) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $crate::config::text::read(from, $expecting, $type::parse)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": $pattern,
                    "description": $description,
                })
            }
        }
    };
}
pub(crate) use text;

/// Reads a text and parses it; anything but a text is "not {expecting}".
pub(crate) fn read<'de, D: Deserializer<'de>, T>(
    from: D,
    expecting: &'static str,
    parse: fn(&str) -> Result<T, Why>,
) -> Result<T, D::Error> {
    struct Text<T>(&'static str, fn(&str) -> Result<T, Why>);
    impl<T> Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            (self.1)(text).map_err(E::custom)
        }
    }
    from.deserialize_any(Text(expecting, parse))
}

/// The name of a listener, upstream or route: letters, digits, `_`, `-` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

text!(
    Name,
    "a name",
    r"^[A-Za-z0-9_.-]{1,64}$",
    "A name: 1 to 64 letters, digits, `_`, `-` or `.`."
);

impl Name {
    /// Refuses what would need quoting in a log, a metric label or a path of a fault.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
        if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(fits) {
            let why = format!("{} is not a name", quote(text));
            return Err(Why::new(why, "use 1 to 64 letters, digits, _, - or ."));
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a listener listens: an IP address and a port. Port 0 lets the system choose one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bind(pub SocketAddr);

text!(
    Bind,
    "an address such as 0.0.0.0:8080",
    r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$",
    "`IP:PORT`, an IPv6 address in brackets; port 0 lets the system choose."
);

impl Bind {
    /// The address.
    pub fn address(self) -> SocketAddr {
        self.0
    }

    /// Takes IP literals only: a name would need a resolver, and could come to mean another host.
    pub fn parse(text: &str) -> Result<Self, Why> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        let port = text.rsplit(':').next().and_then(|p| p.parse::<u16>().ok());
        let fix = match (port, text.starts_with("localhost:")) {
            (Some(port), true) => format!("write 127.0.0.1:{port}"),
            (Some(port), false) => format!("write 0.0.0.0:{port}, 127.0.0.1:{port} or [::]:{port}"),
            (None, _) => "write IP:PORT, such as 0.0.0.0:8080 or [::]:8080".to_owned(),
        };
        Err(Why::new(
            format!("{} is not an address to listen on", quote(text)),
            fix,
        ))
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A path of the file system; relative ones are relative to the working directory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct File(PathBuf);

text!(
    File,
    "a path of a file or directory",
    r"^[^\u0000]{1,4096}$",
    "A path of the file system."
);

impl File {
    /// Refuses what no file can be called.
    pub fn parse(text: &str) -> Result<Self, Why> {
        if text.is_empty() || text.len() > MAX_FILE || text.contains('\0') {
            return Err(Why::new(
                format!("{} is not a path", quote(text)),
                "write a path of 1 to 4096 bytes",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// A whole number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whole<const LEAST: u64, const MOST: u64>(u64);

impl<const LEAST: u64, const MOST: u64> Whole<LEAST, MOST> {
    /// A default; one that is out of bounds does not compile where the result is a constant.
    pub const fn of(number: u64) -> Self {
        assert!(LEAST <= number && number <= MOST);
        Self(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Whole<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Number<const LEAST: u64, const MOST: u64>;
        impl<const LEAST: u64, const MOST: u64> Visitor<'_> for Number<LEAST, MOST> {
            type Value = u64;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {LEAST} to {MOST}")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
                let (side, bound) = match number {
                    n if n < LEAST => ("below the least", LEAST),
                    n if n > MOST => ("above the most", MOST),
                    n => return Ok(n),
                };
                Err(E::custom(Why::new(
                    format!("{number} is {side}, {bound}"),
                    format!("write a whole number from {LEAST} to {MOST}"),
                )))
            }
        }
        from.deserialize_any(Number::<LEAST, MOST>).map(Self)
    }
}

impl<const LEAST: u64, const MOST: u64> Serialize for Whole<LEAST, MOST> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(self.0)
    }
}

impl<const LEAST: u64, const MOST: u64> JsonSchema for Whole<LEAST, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Whole{LEAST}To{MOST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }
}

/// One value, or a list of them: `host: a.example` or `host: [a.example, b.example]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Many<T>(pub Vec<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Many<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrMore<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMore<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
                let one = de::value::StrDeserializer::new(text);
                Ok(vec![T::deserialize(one)?])
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, items: A) -> Result<Vec<T>, A::Error> {
                Vec::deserialize(de::value::SeqAccessDeserializer::new(items))
            }
        }
        from.deserialize_any(OneOrMore(std::marker::PhantomData))
            .map(Self)
    }
}

impl<T: Serialize> Serialize for Many<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0[..] {
            [one] => one.serialize(to),
            all => all.serialize(to),
        }
    }
}

impl<T: JsonSchema> JsonSchema for Many<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Many{}", T::schema_name()).into()
    }

    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        let one = g.subschema_for::<T>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

/// Bytes of a name.
pub const MAX_NAME: usize = 64;
/// Bytes of a path: PATH_MAX of Linux.
pub const MAX_FILE: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "web-1", "api.v2", "A_b"] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "ä", "a/b", &"x".repeat(65)] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_to_listen_on() {
        for good in ["127.0.0.1:0", "0.0.0.0:8080", "[::]:443", "[::1]:1"] {
            assert_eq!(Bind::parse(good).expect(good).to_string(), good);
        }
        for (bad, fix) in [
            ("localhost:80", "write 127.0.0.1:80"),
            (":8080", "write 0.0.0.0:8080, 127.0.0.1:8080 or [::]:8080"),
            (
                "0.0.0.0",
                "write IP:PORT, such as 0.0.0.0:8080 or [::]:8080",
            ),
            (
                "0.0.0.0:65536",
                "write IP:PORT, such as 0.0.0.0:8080 or [::]:8080",
            ),
        ] {
            assert_eq!(Bind::parse(bad).expect_err(bad).fix, fix, "{bad}");
        }
    }

    #[test]
    fn whole_numbers_say_their_bounds() {
        for (given, want) in [
            ("7", Ok(7)),
            ("0", Err("0 is below the least, 1")),
            ("11", Err("11 is above the most, 10")),
            ("-1", Err("-1 is not a whole number from 1 to 10")),
            ("1.5", Err("1.5 is not a whole number from 1 to 10")),
            ("\"7\"", Err("\"7\" is not a whole number from 1 to 10")),
        ] {
            let value: serde_json::Value = serde_json::from_str(given).expect("JSON");
            let mut faults = Vec::new();
            let read = super::super::object::salvage::<Whole<1, 10>>(&value, "n", &mut faults);
            match want {
                Ok(n) => assert_eq!(read, Some(Whole::of(n))),
                Err(why) => assert_eq!(faults[0].why, why, "{given}"),
            }
        }
    }
}
