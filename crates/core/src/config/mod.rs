//! The config: what a user may write, what it means, and every fault of it at once.
//!
//! The structs here and in [`crate::filters`] are the only schema: the JSON Schema, the TypeScript
//! types and the reference are generated from them (`cargo run -p xtask -- gen`).
//! Units are in the values ([`units`]); each default stands beside its key and nowhere else.
//!
//! Errors:  [`Fault`]s: where, what and how to mend it. Unknown keys are faults.
//! Bounds:  stated in [`check`]; a text of at most [`MAX_TEXT`] bytes.

pub mod access_log;
pub mod acme;
pub mod app;
pub mod check;
pub mod cidr;
pub mod fault;
pub mod history;
pub mod http2;
pub mod listener;
pub mod object;
mod parse;
pub mod proxy_protocol;
pub mod route;
pub mod store;
pub mod text;
pub mod tls;
mod twins;
pub mod units;
pub mod upstream;
mod walk;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::text::File;

pub use self::access_log::{AccessLog, Format, Sink};
pub use self::acme::{Acme, Challenge};
pub use self::app::App;
pub use self::cidr::Cidr;
pub use self::fault::{Fault, Why};
pub use self::history::History;
pub use self::http2::{Http2, Protocol, UpstreamHttp2};
pub use self::listener::{Door, Listener, ListenerLimits, ListenerTimeouts, ProxyProtocol};
pub use self::object::object;
pub use self::parse::{parse, MAX_TEXT};
pub use self::proxy_protocol::{ProxyValue, ProxyVersion, SentValue, UpstreamProxy};
pub use self::route::{EscapedSlash, RawFilter, Route, Share, To};
pub use self::store::{RedisStore, RedisUrl, Sentinel, Store, StoreTls};
pub use self::text::{Bind, Name, Whole};
pub use self::tls::{
    ClientAuth, ClientAuthMode, ClientCertForward, Handshakes, ListenerTls, TlsServer, TlsVersion,
    UpstreamTls,
};
pub use self::units::{Duration, Rate, Size};
pub use self::upstream::{
    Address, Balance, Endpoint, HashKey, Keepalive, Upstream, UpstreamTimeouts,
};

/// A gateway's config.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The schema of this file, for editors; not read.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// More files of this config, as paths or patterns that begin beside the file that has them: `routes/*.yaml`. Their lists
    /// follow those of this file; other keys may stand in one file only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Where limits with `scope: global` are counted: `memory`, or a Redis that several gateways share. Default: `memory`.
    #[serde(default)]
    pub store: Store,
    /// The listener for operators: metrics, health, the config in force. `off` for none.
    #[serde(default)]
    pub admin: Admin,
    /// Threads that carry traffic: `auto` for one per CPU, or a number.
    #[serde(default)]
    pub workers: Workers,
    /// A directory of the gateway's own, for the last good config and for what `acme` brings. Default: nothing is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_dir: Option<File>,
    /// The published configs that are kept in `state_dir`, for `ironsluice rollback`.
    #[serde(default)]
    pub history: History,
    /// How long requests in flight may take to finish when the gateway stops.
    #[serde(default = "drain_timeout")]
    pub drain_timeout: Duration,
    /// A line about each request. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLog>,
    /// Where clients come in: 1 to 256.
    pub listeners: Vec<Listener>,
    /// Programs of this process that answer requests: at most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apps: Vec<App>,
    /// Where requests go: at most 10000.
    #[serde(default)]
    pub upstreams: Vec<Upstream>,
    /// Which requests go where: at most 100000.
    #[serde(default)]
    pub routes: Vec<Route>,
}

impl Config {
    /// The modules of plugins as they are written, and where: `routes[0].filters[1].module`.
    pub fn plugins(&self) -> Vec<(String, String)> {
        let filters = self.routes.iter().enumerate().flat_map(|(i, route)| {
            let all = route.filters.iter().enumerate();
            all.map(move |(k, filter)| (i, k, filter))
        });
        let named = filters.filter(|(.., filter)| filter.name == "plugin");
        named
            .filter_map(|(i, k, filter)| {
                let module = filter.object.get("module")?.as_str()?;
                let at = format!("routes[{i}].filters[{k}].module");
                Some((at, module.to_owned()))
            })
            .collect()
    }

    /// The host names of all endpoints, each once, in the order of the alphabet.
    pub fn hosts(&self) -> Vec<String> {
        let endpoints = self
            .upstreams
            .iter()
            .flat_map(|upstream| &upstream.endpoints);
        let names = endpoints.filter_map(|endpoint| match &endpoint.address {
            Address::Host(name, _) => Some(name.clone()),
            _ => None,
        });
        names
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect()
    }
}

/// The listener for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// There is none.
    Off,
    /// There is one.
    On(AdminListener),
}

/// Where operators come in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminListener {
    /// The address to listen on. Whoever reaches it may reload the config: keep it on loopback.
    pub bind: Bind,
    /// Values of the Host field that are answered beside those that name loopback or `bind`.
    pub allow_hosts: Vec<String>,
}

impl Default for AdminListener {
    fn default() -> Self {
        Self {
            bind: Bind(([127, 0, 0, 1], 9901).into()),
            allow_hosts: Vec::new(),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self::On(AdminListener::default())
    }
}

impl<'de> Deserialize<'de> for Admin {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OffOrMap;
        impl<'de> Visitor<'de> for OffOrMap {
            type Value = Admin;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("off or { bind: 127.0.0.1:9901 }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Admin, E> {
                match text {
                    "off" => Ok(Admin::Off),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            // What YAML 1.1 makes of `off`.
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Admin, E> {
                Ok(if on { Admin::default() } else { Admin::Off })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Admin, A::Error> {
                AdminListener::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(Admin::On)
            }
        }
        from.deserialize_any(OffOrMap)
    }
}

impl Serialize for Admin {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => to.serialize_str("off"),
            Self::On(listener) => listener.serialize(to),
        }
    }
}

impl JsonSchema for Admin {
    fn schema_name() -> Cow<'static, str> {
        "Admin".into()
    }

    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The listener for operators, or `off`.",
            "anyOf": [{ "const": "off" }, g.subschema_for::<AdminListener>(), { "type": "boolean" }],
        })
    }
}

/// How many threads carry traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// One for each CPU that the process may use.
    #[default]
    Auto,
    /// This many, 1 to 256.
    Count(u32),
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct AutoOrCount;
        impl Visitor<'_> for AutoOrCount {
            type Value = Workers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("auto or a whole number from 1 to 256")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Workers, E> {
                match text {
                    "auto" => Ok(Workers::Auto),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Workers, E> {
                let count = Whole::<1, 256>::deserialize(de::value::U64Deserializer::new(number))?;
                Ok(Workers::Count(count.get() as u32)) // at most 256
            }
        }
        from.deserialize_any(AutoOrCount)
    }
}

impl Serialize for Workers {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => to.serialize_str("auto"),
            Self::Count(count) => to.serialize_u32(*count),
        }
    }
}

impl JsonSchema for Workers {
    fn schema_name() -> Cow<'static, str> {
        "Workers".into()
    }

    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`auto` for one thread per CPU, or how many.",
            "anyOf": [{ "const": "auto" }, g.subschema_for::<Whole<1, 256>>()],
        })
    }
}

fn drain_timeout() -> Duration {
    Duration::secs(30)
}
