//! `tls` of listeners and of upstreams: certificates, who must show one, and what is verified.
//!
//! The files themselves are read by whoever owns the sockets: here stands what is meant, not what
//! is in them.
//! Source: RFC 8446 (TLS 1.3), RFC 5246 (TLS 1.2), RFC 6066 section 3 (server names).

use std::borrow::Cow;
use std::fmt;

use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::acme::Acme;
use super::fault::{quote, Why};
use super::text::{text, File, Whole};
use super::units::{Duration, Rate};
use super::upstream::Address;

/// TLS of a listener.
#[derive(Clone, Debug)]
pub enum ListenerTls {
    /// A certificate for localhost by this machine's development authority, made at the start if
    /// there is none.
    Dev,
    /// The certificates that the config names.
    On(Box<TlsServer>),
}

impl ListenerTls {
    /// What is served; of `dev` all but its certificate.
    pub fn server(&self) -> Cow<'_, TlsServer> {
        match self {
            Self::Dev => Cow::Owned(TlsServer::default()),
            Self::On(server) => Cow::Borrowed(server),
        }
    }
}

/// What a TLS listener serves, and whom.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsServer {
    /// 1 to 1000, or none with `acme`. A client that names a host gets one whose names fit; the first is for all others.
    pub certificates: Vec<Certificate>,
    /// Certificates that an authority issues by ACME, such as Let's Encrypt. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acme: Option<Acme>,
    /// Who must show a certificate of their own. Default: nobody is asked.
    pub client: ClientAuth,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// True to let clients come back without a whole handshake; keys change every 6 h.
    pub tickets: bool,
    /// From accepting a connection to the end of its handshake; then it is closed.
    pub handshake_timeout: Duration,
    /// How many handshakes may be under way, and how many one client may begin; one more is closed before it costs anything.
    pub handshakes: Handshakes,
}

/// Bounds of handshakes under way, each for one listener in one thread. A client is an address, of IPv6 a /64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Handshakes {
    /// Of all clients together.
    pub concurrent: Whole<1, 1_000_000>,
    /// Of one client.
    pub concurrent_per_client: Whole<1, 1_000_000>,
    /// How many one client may begin in a time, such as `200/s`; from idle as many at once as that is in a second. Default: any number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_per_client: Option<Rate>,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self {
            concurrent: Whole::of(4096),
            concurrent_per_client: Whole::of(256),
            rate_per_client: None,
        }
    }
}

impl Default for TlsServer {
    fn default() -> Self {
        Self {
            certificates: Vec::new(),
            acme: None,
            client: ClientAuth::default(),
            min_version: TlsVersion::default(),
            tickets: true,
            handshake_timeout: Duration::secs(10),
            handshakes: Handshakes::default(),
        }
    }
}

/// A certificate with its chain, and its key. Its names are those in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// A PEM file: the certificate first, then those that vouch for it. A path, relative to the config's file.
    pub cert: File,
    /// The PEM file of its private key. A path, relative to the config's file.
    pub key: File,
    /// Who must show a certificate at the names of this one. Default: as the listener says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<ClientAuth>,
}

/// Whether clients show certificates, and which are good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClientAuth {
    /// Whether clients are asked for a certificate, and whether they may come without.
    pub mode: ClientAuthMode,
    /// A PEM file of the authorities that vouch for clients. A path, relative to the config's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<File>,
    /// A PEM file of revocation lists. A path, relative to the config's file. Default: nothing is revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crl: Option<File>,
    /// Alternative names of which a certificate must have one: DNS names (`*.a.example` for one label), URIs (a `*` at the
    /// end for whatever follows), e-mail addresses or IP addresses. Default: any that `ca` vouches for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub san: Vec<String>,
    /// What upstreams and apps are told of the certificate that a client showed.
    pub forward: ClientCertForward,
}

/// What upstreams and apps are told of a client's certificate, in the fields of RFC 9440. What clients write there
/// themselves never passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertForward {
    /// Nothing.
    #[default]
    None,
    /// `Client-Cert`: the certificate.
    Certificate,
    /// Also `Client-Cert-Chain`: what the client showed beside it. Both have at most 32 KiB: a client that shows more
    /// gets no connection.
    Chain,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuthMode {
    /// None is asked for.
    #[default]
    None,
    /// A client may come without; one that is shown must be good.
    Optional,
    /// Without a good one there is no connection.
    Required,
}

/// TLS towards an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTls {
    /// A PEM file of the authorities that vouch for the upstream. A path, relative to the config's file. Default: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<File>,
    /// The name that is asked for, and that the certificate must have. Default: the endpoint's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// False takes any certificate of anybody: for trials only.
    pub verify: bool,
    /// A PEM file of the certificate, and its chain, that is shown if the upstream asks. A path, relative to the config's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<File>,
    /// The PEM file of its private key. A path, relative to the config's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key: Option<File>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self {
            ca: None,
            sni: None,
            verify: true,
            client_cert: None,
            client_key: None,
            min_version: TlsVersion::default(),
        }
    }
}

impl UpstreamTls {
    /// The host that an endpoint is asked for and whose certificate it must show; empty for a Unix
    /// socket without `sni`.
    pub fn host(&self, address: &Address) -> Box<str> {
        match (&self.sni, address) {
            (Some(sni), _) => sni.to_ascii_lowercase().into(),
            (None, Address::Host(name, _)) => name.as_str().into(),
            (None, Address::Ip(ip)) => ip.ip().to_string().into(),
            (None, Address::Unix(_)) => "".into(),
        }
    }
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V12,
    /// RFC 8446.
    V13,
}

text!(
    TlsVersion,
    "\"1.2\" or \"1.3\", in quotes",
    r"^1\.[23]$",
    "A version of TLS: `\"1.2\"` or `\"1.3\"`, in quotes."
);

impl TlsVersion {
    /// `1.2` or `1.3`.
    pub fn parse(text: &str) -> Result<Self, Why> {
        match text {
            "1.2" => Ok(Self::V12),
            "1.3" => Ok(Self::V13),
            old => Err(Why::new(
                format!("{} is no version of TLS that is spoken here", quote(old)),
                "write \"1.2\" or \"1.3\"",
            )),
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V12 => "1.2",
            Self::V13 => "1.3",
        })
    }
}

impl<'de> Deserialize<'de> for ListenerTls {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct DevOrMap;
        impl<'de> Visitor<'de> for DevOrMap {
            type Value = ListenerTls;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("dev or { certificates: [{ cert: a.pem, key: a.key }] } or { acme: { domains: [a.example], terms: accepted } }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ListenerTls, E> {
                match text {
                    "dev" => Ok(ListenerTls::Dev),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<ListenerTls, A::Error> {
                TlsServer::deserialize(de::value::MapAccessDeserializer::new(map))
                    .map(|server| ListenerTls::On(Box::new(server)))
            }
        }
        from.deserialize_any(DevOrMap)
    }
}

impl Serialize for ListenerTls {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Dev => to.serialize_str("dev"),
            Self::On(server) => server.serialize(to),
        }
    }
}

impl JsonSchema for ListenerTls {
    fn schema_name() -> Cow<'static, str> {
        "ListenerTls".into()
    }

    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "TLS with these certificates, or `dev` for one of this machine's own, for localhost.",
            "anyOf": [{ "const": "dev" }, g.subschema_for::<TlsServer>()],
        })
    }
}

/// Certificates of a listener.
pub const MAX_CERTIFICATES: usize = 1000;
