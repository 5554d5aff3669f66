//! `tls.acme` of a listener: certificates that an authority issues while the gateway runs.
//!
//! Source: RFC 8555 (ACME), RFC 8737 (TLS-ALPN-01).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::File;

/// Certificates by an authority that speaks ACME, ordered and renewed by the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Acme {
    /// DNS names, 1 to 1000, without wildcards: each gets a certificate of its own. The first is also shown to clients that ask
    /// for no known name, if there are no `certificates`.
    pub domains: Vec<String>,
    /// That the terms of service of the authority are accepted.
    pub terms: Terms,
    /// Where the authority writes to. Default: it is given no address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The URL of the authority's directory. Default: that of Let's Encrypt.
    #[serde(default = "directory")]
    pub directory: String,
    /// How a domain is proved to lead here: `tls-alpn-01` at port 443, or `http-01` at port 80.
    #[serde(default)]
    pub challenge: Challenge,
    /// A PEM file of the authorities that vouch for the directory's own HTTPS. A path, relative to the config's file. Default: those
    /// that Node trusts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<File>,
    /// That gateways with the same `store` order one certificate between them, serve it all, and answer each other's challenges.
    /// Default: each gateway orders its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<AcmeShare>,
}

/// How certificates are shared between gateways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AcmeShare {
    /// What certificates and their private keys are encrypted with in the store, 32 to 1024 bytes, the same at all gateways; write a variable such as
    /// `${ACME_SECRET}`.
    pub secret: String,
}

/// Consent to terms of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Terms {
    /// They were read and are accepted.
    Accepted,
}

/// How an authority is shown that a domain leads here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Challenge {
    /// By a handshake at port 443 of the domain, which has to lead to a listener with TLS.
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// By a request at port 80 of the domain, which has to lead to a listener without TLS.
    #[serde(rename = "http-01")]
    Http01,
}

impl Challenge {
    /// As RFC 8555 and RFC 8737 call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TlsAlpn01 => "tls-alpn-01",
            Self::Http01 => "http-01",
        }
    }
}

fn directory() -> String {
    "https://acme-v02.api.letsencrypt.org/directory".to_owned()
}

/// Domains of a listener.
pub const MAX_DOMAINS: usize = 1000;
/// Bytes of what certificates are encrypted with.
pub const SECRET: std::ops::RangeInclusive<usize> = 32..=1024;
