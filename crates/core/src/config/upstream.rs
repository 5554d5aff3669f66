//! `upstreams`: where requests go, and how one of several endpoints is chosen.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::fault::{quote, Why};
use super::http2::{Protocol, UpstreamHttp2};
use super::proxy_protocol::UpstreamProxy;
use super::text::{text, Name, Whole};
use super::tls::UpstreamTls;
use super::units::Duration;

/// A service: endpoints that all give the same answers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// What routes, metrics and logs call it.
    pub name: Name,
    /// Where it listens: 1 to 10000 addresses.
    pub endpoints: Vec<Endpoint>,
    /// What its endpoints speak.
    #[serde(default)]
    pub protocol: Protocol,
    /// Bounds of its connections, for `protocol: http2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http2: Option<UpstreamHttp2>,
    /// How one of the endpoints is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// What `maglev` hashes, so that equal keys go to the same endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash_key: Option<HashKey>,
    /// TLS towards its endpoints; `{}` for the system's authorities. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<UpstreamTls>,
    /// The PROXY header that each connection begins with: `v1`, `v2`, or `v2` with values. A connection is then one client's
    /// only. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<UpstreamProxy>,
    /// How long the upstream may take.
    #[serde(default)]
    pub timeouts: UpstreamTimeouts,
    /// How connections are kept for later requests.
    #[serde(default)]
    pub keepalive: Keepalive,
    /// How long an endpoint that refused a connection is passed over.
    #[serde(default = "rest")]
    pub rest: Duration,
}

/// One address of an upstream, and its share of the requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// `IP:PORT`, `HOST:PORT` or `unix:PATH`.
    pub address: Address,
    /// Its share beside the others'; an endpoint of weight 2 gets twice what one of weight 1 gets.
    pub weight: Whole<1, 1000>,
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Endpoint;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address such as 127.0.0.1:9001, or { address, weight }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Endpoint, E> {
                Ok(Endpoint {
                    address: Address::parse(text).map_err(E::custom)?,
                    weight: weight(),
                })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Endpoint, A::Error> {
                let Weighted { address, weight } =
                    Weighted::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Endpoint { address, weight })
            }
        }
        from.deserialize_any(Either)
    }
}

impl JsonSchema for Endpoint {
    fn schema_name() -> Cow<'static, str> {
        "Endpoint".into()
    }

    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "One address of an upstream, with or without its weight.",
            "anyOf": [g.subschema_for::<Address>(), g.subschema_for::<Weighted>()],
        })
    }
}

/// An address with its share of the requests.
#[derive(Deserialize, JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WeightedEndpoint")]
struct Weighted {
    /// `IP:PORT`, `HOST:PORT` or `unix:PATH`.
    address: Address,
    /// Its share beside the others': twice the weight, twice the requests.
    #[serde(default = "weight")]
    weight: Whole<1, 1000>,
}

/// Where an endpoint listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
    /// A host name, in lower case, and a port; resolved at the start and every 30 s.
    Host(String, u16),
}

text!(
    Address,
    "an address such as 127.0.0.1:9001",
    r"^(unix:/.{1,106}|\[[0-9A-Fa-f:.]+\]:[0-9]{1,5}|[A-Za-z0-9._-]{1,253}:[0-9]{1,5})$",
    "`IP:PORT` (IPv6 in brackets), `HOST:PORT` or `unix:/PATH`."
);

impl Address {
    /// An IP literal is never taken for a name: `1.2.3:80` is refused, not looked up.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let not = |fix: &str| Why::new(format!("{} is not an address", quote(text)), fix);
        if let Some(path) = text.strip_prefix("unix:") {
            let fits = path.starts_with('/') && path.len() <= MAX_UNIX && !path.contains('\0');
            return if fits {
                Ok(Self::Unix(path.into()))
            } else {
                Err(not("write unix:/PATH, at most 107 bytes of path"))
            };
        }
        if let Some((_, rest)) = text.split_once("://") {
            return Err(not(&format!(
                "write {} without the scheme",
                quote(rest.trim_end_matches('/'))
            )));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 {
                Err(not("write a port from 1 to 65535"))
            } else {
                Ok(Self::Ip(address))
            };
        }
        let Some((name, port)) = text.rsplit_once(':') else {
            return Err(not(&format!("add the port: {text}:80")));
        };
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        let Some(port) = port.parse().ok().filter(|p| *p > 0 && digits) else {
            return Err(not("write a port from 1 to 65535"));
        };
        if !is_host(name) {
            return Err(not("write IP:PORT, [IPV6]:PORT, HOST:PORT or unix:/PATH"));
        }
        Ok(Self::Host(name.to_ascii_lowercase(), port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Host(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// RFC 1123 labels, and `_`, which names of services use. The last label must not be a number:
/// such a name would be a misspelt IPv4 address.
fn is_host(name: &str) -> bool {
    let label = |l: &str| {
        let inner = l
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&l.len()) && inner && !l.starts_with('-') && !l.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or(name);
    name.len() <= 253 && name.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

/// How one of several endpoints is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// Each in turn, by weight.
    #[default]
    RoundRobin,
    /// The one with fewer requests open, of two taken at random.
    LeastRequest,
    /// By a hash of `hash_key`: equal keys go to the same endpoint, and few move when one comes or goes.
    Maglev,
}

/// What `maglev` hashes. For a request that lacks it, the client's address is hashed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HashKey {
    /// The value of a header field; the name is in lower case.
    Header(Box<str>),
    /// The value of a cookie.
    Cookie(Box<str>),
    /// The client's address, as `client_ip` or the connection proves it.
    ClientIp,
    /// The path.
    Path,
}

text!(
    HashKey,
    "client_ip, path, header:NAME or cookie:NAME",
    r"^(client_ip|path|(header|cookie):[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128})$",
    "What `maglev` hashes: `client_ip`, `path`, `header:NAME` or `cookie:NAME`."
);

impl HashKey {
    /// A word, or `header:` or `cookie:` and a name.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let named = |name: &str| is_token(name) && name.len() <= 128;
        match text.split_once(':') {
            None if text == "client_ip" => Ok(Self::ClientIp),
            None if text == "path" => Ok(Self::Path),
            Some(("header", name)) if named(name) => {
                Ok(Self::Header(name.to_ascii_lowercase().into()))
            }
            Some(("cookie", name)) if named(name) => Ok(Self::Cookie(name.into())),
            _ => Err(Why::new(
                format!("{} is not a key to hash", quote(text)),
                "write client_ip, path, header:NAME or cookie:NAME",
            )),
        }
    }
}

impl fmt::Display for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Cookie(name) => write!(f, "cookie:{name}"),
            Self::ClientIp => f.write_str("client_ip"),
            Self::Path => f.write_str("path"),
        }
    }
}

/// True for a token of RFC 9110 section 5.6.2: what names of fields, methods and cookies are made of.
pub fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// How long an upstream may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTimeouts {
    /// To connect, over all attempts of a request; then 504.
    pub connect: Duration,
    /// From the end of the request to the response head; then 504.
    pub response: Duration,
    /// Without a byte of progress in a body, in either direction; then the exchange is aborted.
    pub stall: Duration,
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::secs(5),
            response: Duration::secs(15),
            stall: Duration::secs(30),
        }
    }
}

/// How connections to an upstream are kept for later requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Keepalive {
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// How long after it was made a connection takes a new request.
    pub lifetime: Duration,
    /// Unused connections that each shard keeps to the upstream; 0 closes each after its request.
    pub connections: Whole<0, 65_535>,
    /// Requests on one connection, after which it is closed; 0 for no limit.
    pub requests: Whole<0, 4_294_967_295>,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            idle: Duration::secs(60),
            lifetime: Duration::secs(3600),
            connections: Whole::of(1024),
            requests: Whole::of(0),
        }
    }
}

fn rest() -> Duration {
    Duration::secs(1)
}

fn weight() -> Whole<1, 1000> {
    Whole::of(1)
}

/// `sun_path` of Linux holds 108 bytes, one of them the closing zero.
const MAX_UNIX: usize = 107;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "127.0.0.1:9001",
            "[::1]:80",
            "unix:/run/a.sock",
            "api.example.com:80",
            "my_service:1",
        ] {
            assert_eq!(Address::parse(good).expect(good).to_string(), good);
        }
        assert!(
            matches!(Address::parse("API.example:80"), Ok(Address::Host(name, 80)) if name == "api.example")
        );
        for (bad, fix) in [
            ("http://a:80/", "write \"a:80\" without the scheme"),
            ("localhost", "add the port: localhost:80"),
            (
                "1.2.3:80",
                "write IP:PORT, [IPV6]:PORT, HOST:PORT or unix:/PATH",
            ),
            ("1.2.3.4:0", "write a port from 1 to 65535"),
            ("a:+80", "write a port from 1 to 65535"),
            (
                "a b:80",
                "write IP:PORT, [IPV6]:PORT, HOST:PORT or unix:/PATH",
            ),
            ("unix:a.sock", "write unix:/PATH, at most 107 bytes of path"),
        ] {
            assert_eq!(Address::parse(bad).expect_err(bad).fix, fix);
        }
    }

    #[test]
    fn hash_keys() {
        for good in ["client_ip", "path", "header:x-user", "cookie:Session"] {
            assert_eq!(HashKey::parse(good).expect(good).to_string(), good);
        }
        for bad in ["", "header", "header:", "header:a b", "ip"] {
            assert!(HashKey::parse(bad).is_err(), "{bad}");
        }
    }
}
