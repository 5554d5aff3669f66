//! `proxy_protocol` of upstreams, and the names of what PROXY headers say of a connection.
//!
//! Source: HAProxy's `proxy-protocol.txt`; the names are those of nginx (`$proxy_protocol_tlv_...`).
//! Bounds: [`MAX_VALUES`] sent.

use std::borrow::Cow;
use std::fmt;

use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use wire::proxy::Tlv;

use super::fault::{quote, suggest, Why};
use super::text::text;

/// What each connection to an upstream begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamProxy {
    /// Text or binary.
    pub version: ProxyVersion,
    /// What is told beside the addresses, in this order; a checksum comes last.
    pub tlvs: Vec<SentValue>,
}

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProxyVersion {
    /// One line of text.
    V1,
    /// Binary.
    V2,
}

/// The long form.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ProxyHeader")]
struct Long {
    /// `v1` is a line of text, `v2` binary.
    version: ProxyVersion,
    /// What is told beside the addresses, for `v2`: at most 32. What is not known of a connection is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    tlvs: Vec<SentValue>,
}

impl<'de> Deserialize<'de> for UpstreamProxy {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = UpstreamProxy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("v1, v2 or { version: v2, tlvs: [authority, crc32c] }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<UpstreamProxy, E> {
                let version = match text {
                    "v1" => ProxyVersion::V1,
                    "v2" => ProxyVersion::V2,
                    other => return Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                };
                let tlvs = Vec::new();
                Ok(UpstreamProxy { version, tlvs })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<UpstreamProxy, A::Error> {
                let long = Long::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(UpstreamProxy {
                    version: long.version,
                    tlvs: long.tlvs,
                })
            }
        }
        from.deserialize_any(Either)
    }
}

impl Serialize for UpstreamProxy {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if self.tlvs.is_empty() {
            return self.version.serialize(to);
        }
        Long {
            version: self.version,
            tlvs: self.tlvs.clone(),
        }
        .serialize(to)
    }
}

impl JsonSchema for UpstreamProxy {
    fn schema_name() -> Cow<'static, str> {
        "UpstreamProxy".into()
    }

    fn json_schema(g: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The version of the PROXY protocol, or the version and what is told beside the addresses.",
            "anyOf": [{ "enum": ["v1", "v2"] }, g.subschema_for::<Long>()],
        })
    }
}

/// What can be told of a connection in a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SentValue {
    /// The protocol agreed on in the client's handshake.
    Alpn,
    /// The host that the client's handshake asked for.
    Authority,
    /// A name of the client's connection.
    UniqueId,
    /// What the client's TLS is: version, cipher, and its certificate's common name.
    Ssl,
    /// A checksum of the header.
    Crc32c,
    /// The value of this type, as it came in the header of the client's connection.
    Tlv(u8),
}

text!(
    SentValue,
    "a value such as authority",
    r"^(alpn|authority|unique_id|ssl|crc32c|tlv_[0-9a-f]{2})$",
    "What a PROXY header can tell: `alpn`, `authority` (the host of the client's handshake), `unique_id`, `ssl` (version, cipher and client certificate), each of the client's TLS here, else as the header of the client's connection had it; `tlv_XX`, any other type of that header, in hexadecimal; `crc32c`, a checksum."
);

impl SentValue {
    /// A word, or `tlv_` and two hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, Why> {
        if let Some((_, known)) = SENT.iter().find(|(name, _)| *name == text) {
            return Ok(*known);
        }
        let named = |kind| NAMED.iter().find(|(k, _)| *k == kind).map(|(_, n)| *n);
        match tlv(text).map(|kind| (kind, named(kind))) {
            Some((kind, None)) => Ok(Self::Tlv(kind)),
            Some((_, Some(""))) => {
                Err(Why::new(format!("{} is padding", quote(text)), "remove it"))
            }
            Some((_, Some(name))) => Err(Why::new(
                format!("{} has a name", quote(text)),
                format!("write {name}"),
            )),
            None => Err(Why::new(
                format!("no value of a PROXY header is called {}", quote(text)),
                suggest(text, SENT.iter().map(|(name, _)| *name)),
            )),
        }
    }
}

impl fmt::Display for SentValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (SENT.iter().find(|(_, v)| v == self), self) {
            (None, Self::Tlv(kind)) => write!(f, "tlv_{kind:02x}"),
            (known, _) => f.write_str(known.map_or("", |(name, _)| name)),
        }
    }
}

const SENT: [(&str, SentValue); 5] = [
    ("alpn", SentValue::Alpn),
    ("authority", SentValue::Authority),
    ("unique_id", SentValue::UniqueId),
    ("ssl", SentValue::Ssl),
    ("crc32c", SentValue::Crc32c),
];

/// Types that are not passed on by number, and what they are called.
const NAMED: [(u8, &str); 6] = [
    (Tlv::ALPN, "alpn"),
    (Tlv::AUTHORITY, "authority"),
    (Tlv::CRC32C, "crc32c"),
    (Tlv::NOOP, ""),
    (Tlv::UNIQUE_ID, "unique_id"),
    (Tlv::SSL, "ssl"),
];

/// What a PROXY header can say of a connection; [`crate::proxied::Proxied::get`] looks it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProxyValue {
    /// The protocol that the client and the proxy speak, such as `h2`.
    Alpn,
    /// The host that the client asked for.
    Authority,
    /// A name of the connection.
    UniqueId,
    /// Network namespace.
    Netns,
    /// The version of the client's TLS, such as `TLSv1.3`.
    SslVersion,
    /// The common name of the client's certificate.
    SslCn,
    /// The cipher of the client's TLS.
    SslCipher,
    /// The algorithm of the signature on the client's certificate.
    SslSigAlg,
    /// The algorithm of the client's key.
    SslKeyAlg,
    /// `success`, `failed`, or `none` for a client without a certificate.
    SslVerify,
    /// Amazon Web Services: the id of the VPC endpoint.
    AwsVpceId,
    /// Microsoft Azure: the id of the private endpoint's link, in decimal.
    AzurePelId,
    /// Google Cloud: the id of the Private Service Connect connection, in decimal.
    GcpConnId,
    /// The value of this type, as it came.
    Tlv(u8),
}

text!(
    ProxyValue,
    "a value such as authority",
    r"^(alpn|authority|unique_id|netns|ssl_(version|cn|cipher|sig_alg|key_alg|verify)|aws_vpce_id|azure_pel_id|gcp_conn_id|tlv_[0-9a-f]{2})$",
    "What a PROXY header says: `alpn`, `authority`, `unique_id`, `netns`, `ssl_version`, `ssl_cn`, `ssl_cipher`, `ssl_sig_alg`, `ssl_key_alg`, `ssl_verify` (`success`, `failed` or `none`), `aws_vpce_id`, `azure_pel_id`, `gcp_conn_id`, or `tlv_XX` for any other type, in hexadecimal."
);

impl ProxyValue {
    /// A word, or `tlv_` and two hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let known = SAID.iter().find(|(name, _)| *name == text);
        let value = known
            .map(|(_, v)| *v)
            .or_else(|| tlv(text).map(Self::Tlv))
            .ok_or_else(|| {
                Why::new(
                    format!("no value of a PROXY header is called {}", quote(text)),
                    suggest(text, SAID.iter().map(|(name, _)| *name)),
                )
            })?;
        // One name for one value: otherwise two routes could want the same and look different.
        let named = SAID
            .iter()
            .find(|(_, v)| matches!((v.kind(), value), (Some(k), Self::Tlv(t)) if k == t));
        match named {
            Some((name, _)) => Err(Why::new(
                format!("{} has a name", quote(text)),
                format!("write {name}"),
            )),
            None => Ok(value),
        }
    }

    /// The type whose whole value it is; none for a part of one.
    pub fn kind(self) -> Option<u8> {
        match self {
            Self::Alpn => Some(Tlv::ALPN),
            Self::Authority => Some(Tlv::AUTHORITY),
            Self::UniqueId => Some(Tlv::UNIQUE_ID),
            Self::Netns => Some(Tlv::NETNS),
            Self::Tlv(kind) => Some(kind),
            _ => None,
        }
    }

    /// `told` in the form in which equal values are equal bytes: hosts in lower case.
    pub fn canonical(self, told: &[u8]) -> Cow<'_, [u8]> {
        if self == Self::Authority && told.iter().any(u8::is_ascii_uppercase) {
            return told.to_ascii_lowercase().into();
        }
        told.into()
    }

    /// True if `told` is the value that `wanted` means: hosts whatever their case.
    pub fn same(self, told: &[u8], wanted: &[u8]) -> bool {
        if self == Self::Authority {
            return told.eq_ignore_ascii_case(wanted);
        }
        told == wanted
    }
}

impl fmt::Display for ProxyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (SAID.iter().find(|(_, v)| v == self), self) {
            (None, Self::Tlv(kind)) => write!(f, "tlv_{kind:02x}"),
            (known, _) => f.write_str(known.map_or("", |(name, _)| name)),
        }
    }
}

const SAID: [(&str, ProxyValue); 13] = [
    ("alpn", ProxyValue::Alpn),
    ("authority", ProxyValue::Authority),
    ("unique_id", ProxyValue::UniqueId),
    ("netns", ProxyValue::Netns),
    ("ssl_version", ProxyValue::SslVersion),
    ("ssl_cn", ProxyValue::SslCn),
    ("ssl_cipher", ProxyValue::SslCipher),
    ("ssl_sig_alg", ProxyValue::SslSigAlg),
    ("ssl_key_alg", ProxyValue::SslKeyAlg),
    ("ssl_verify", ProxyValue::SslVerify),
    ("aws_vpce_id", ProxyValue::AwsVpceId),
    ("azure_pel_id", ProxyValue::AzurePelId),
    ("gcp_conn_id", ProxyValue::GcpConnId),
];

/// `tlv_e0`: two digits, in lower case.
fn tlv(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("tlv_").filter(|d| d.len() == 2)?;
    let plain = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    digits
        .bytes()
        .all(plain)
        .then(|| u8::from_str_radix(digits, 16).ok())
        .flatten()
}

/// Values in a header that is sent.
pub const MAX_VALUES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_values() {
        for good in SAID
            .map(|(name, _)| name)
            .iter()
            .chain(&["tlv_e0", "tlv_00"])
        {
            assert_eq!(ProxyValue::parse(good).expect(good).to_string(), *good);
        }
        for good in SENT
            .map(|(name, _)| name)
            .iter()
            .chain(&["tlv_30", "tlv_ea"])
        {
            assert_eq!(SentValue::parse(good).expect(good).to_string(), *good);
        }
        for (bad, fix) in [
            ("authorty", "did you mean \"authority\"?"),
            ("tlv_02", "write authority"),
            ("tlv_30", "write netns"),
        ] {
            assert_eq!(ProxyValue::parse(bad).expect_err(bad).fix, fix);
        }
        for (bad, fix) in [
            ("crc32", "did you mean \"crc32c\"?"),
            ("tlv_20", "write ssl"),
            ("tlv_04", "remove it"),
        ] {
            assert_eq!(SentValue::parse(bad).expect_err(bad).fix, fix);
        }
        for bad in ["", "tlv_", "tlv_0", "tlv_E0", "tlv_+1", "tlv_100"] {
            assert!(ProxyValue::parse(bad).is_err(), "{bad}");
            assert!(SentValue::parse(bad).is_err(), "{bad}");
        }
    }
}
