//! `store`: where state is kept that several processes share.
//!
//! Source: RFC 3986 (URLs), the `redis` and `rediss` schemes of the IANA registry.

use std::borrow::Cow;
use std::fmt;

use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::fault::Why;
use super::text::{text, File, Many};
use super::units::Duration;

/// Where shared state is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Store {
    /// In this process.
    #[default]
    Memory,
    /// In a Redis or Valkey that several processes share.
    Redis(Box<RedisStore>),
}

/// A Redis or Valkey, alone, behind sentinels, or a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisStore {
    /// Where it is: `redis://HOST:PORT/DATABASE`, `rediss://` for TLS, `unix:/PATH`; or a list of up to 64, nodes of one cluster.
    /// Default: required, unless there is `sentinel`.
    #[serde(default, skip_serializing_if = "<[RedisUrl]>::is_empty")]
    pub redis: Many<RedisUrl>,
    /// That it is a cluster. A list of several nodes is one anyway. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cluster: bool,
    /// Sentinels that know the primary. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sentinel: Option<Sentinel>,
    /// The ACL user. Default: that of the URL, or `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password; write a variable such as `${REDIS_PASSWORD}`. Default: that of the URL, or none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// TLS to all nodes and sentinels; `rediss://` alone trusts the authorities of Node. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<StoreTls>,
    /// How long a call may take, 1ms to 2s: no request waits longer for the store.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// What all keys begin with, 1 to 64 letters, digits, `.`, `_`, `-` and `:`. Gateways that count together have the same.
    #[serde(default = "prefix")]
    pub prefix: String,
}

/// Sentinels that know which Redis is the primary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "StoreSentinel")]
pub struct Sentinel {
    /// What the sentinels call the primary. Required.
    pub name: String,
    /// The sentinels, 1 to 64: `HOST` or `HOST:PORT`, the port 26379 unless written. Required.
    pub nodes: Vec<String>,
    /// The ACL user of the sentinels themselves. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The password of the sentinels themselves. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// How connections to the store are secured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreTls {
    /// A PEM file of the authorities that vouch for the store. A path, relative to the config's file. Default: those of Node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<File>,
    /// The name that is asked for, and that the certificate must have. Default: the host of the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// A PEM file of the certificate that is shown. A path, relative to the config's file. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<File>,
    /// The PEM file of its private key. A path, relative to the config's file. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<File>,
}

/// Where a Redis is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisUrl(Box<str>);

text!(
    RedisUrl,
    "a URL such as redis://127.0.0.1:6379",
    r"^(rediss?://[^/]+(/[0-9]*)?|unix:(//)?/.+)$",
    "`redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`, the same with `rediss` for TLS, or `unix:/PATH`."
);

impl RedisUrl {
    /// One of those. What is said of another text repeats nothing of it: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, Why> {
        if let Some(path) = text.strip_prefix("unix:") {
            if path.trim_start_matches('/').is_empty() || !path.starts_with('/') {
                return Err(Why::new(
                    "a socket has an absolute path",
                    "write unix:/run/redis.sock",
                ));
            }
            return Ok(Self(text.into()));
        }
        let rest = text
            .strip_prefix("redis://")
            .or_else(|| text.strip_prefix("rediss://"));
        let Some(rest) = rest else {
            return Err(Why::new("is not the URL of a Redis", FIX));
        };
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((inner, after)) => after
                .strip_prefix(':')
                .map_or((inner, None), |p| (inner, Some(p))),
            None => host
                .split_once(':')
                .map_or((host, None), |(name, port)| (name, Some(port))),
        };
        let port = name.1.is_none_or(|p| p.parse::<u16>().is_ok_and(|p| p > 0));
        let plain = |b: u8| b.is_ascii_graphic() && !b"?#@[]/\\".contains(&b);
        if name.0.is_empty() || !port || !name.0.bytes().all(plain) {
            return Err(Why::new("has no host and port that can be", FIX));
        }
        if !database.bytes().all(|b| b.is_ascii_digit()) || database.len() > 5 {
            return Err(Why::new("the database of a Redis is a number", FIX));
        }
        Ok(Self(text.into()))
    }

    /// Its database.
    pub fn database(&self) -> u32 {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        let database = rest.split_once('/').map_or("", |(_, database)| database);
        database.parse().unwrap_or(0)
    }

    /// True for a Unix socket.
    pub fn is_unix(&self) -> bool {
        self.0.starts_with("unix:")
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Store {
    /// The Redis, if it is one.
    pub fn redis(&self) -> Option<&RedisStore> {
        match self {
            Self::Memory => None,
            Self::Redis(redis) => Some(redis),
        }
    }
}

impl<'de> Deserialize<'de> for Store {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct MemoryOrMap;
        impl<'de> Visitor<'de> for MemoryOrMap {
            type Value = Store;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("memory or { redis: redis://127.0.0.1:6379 }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Store, E> {
                match text {
                    "memory" => Ok(Store::Memory),
                    // It may be a URL with a password.
                    _ => Err(E::custom(Why::new(
                        "a text other than memory is no store",
                        "write memory, or { redis: redis://127.0.0.1:6379 }",
                    ))),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Store, A::Error> {
                RedisStore::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(|redis| Store::Redis(Box::new(redis)))
            }
        }
        from.deserialize_any(MemoryOrMap)
    }
}

impl Serialize for Store {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Memory => to.serialize_str("memory"),
            Self::Redis(redis) => redis.serialize(to),
        }
    }
}

impl JsonSchema for Store {
    fn schema_name() -> Cow<'static, str> {
        "Store".into()
    }

    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`memory` for state of this process alone, or a Redis.",
            "anyOf": [{ "const": "memory" }, g.subschema_for::<RedisStore>()],
        })
    }
}

fn timeout() -> Duration {
    Duration::ms(20)
}

fn prefix() -> String {
    "ironsluice".to_owned()
}

/// The longest that a call may take.
pub const LONGEST: Duration = Duration::secs(2);
/// Nodes of a cluster, and sentinels.
pub const MOST_NODES: usize = 64;
/// Bytes of a prefix.
pub const MOST_PREFIX: usize = 64;
const FIX: &str = "write such as redis://127.0.0.1:6379 or rediss://redis.internal:6380/0";
