//! What a trusted PROXY header said of a connection, and what is told of it to an upstream.
//!
//! Source: HAProxy's `proxy-protocol.txt` section 2.2; the providers' own pages for their types.
//! Bounds: [`wire::proxy::LONGEST`] bytes kept for a connection; a lookup walks them once.

use std::borrow::Cow;
use std::net::SocketAddr;

use wire::proxy::{Ssl, Tlv, Tlvs};

use crate::config::proxy_protocol::{ProxyValue, SentValue, UpstreamProxy};
use crate::secure::Secure;

/// What a header said, made once a connection and shared by its requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxied {
    /// The address that the client connected to.
    pub destination: Option<SocketAddr>,
    /// Its type-length-values, whole and in order.
    values: Box<[u8]>,
}

impl Proxied {
    /// Keeps a copy of the values that say something: not padding, nor a checksum that was compared.
    pub fn new(destination: Option<SocketAddr>, tlvs: Tlvs<'_>) -> Self {
        let mut values = Vec::new();
        for tlv in tlvs.filter(|t| !matches!(t.kind, Tlv::NOOP | Tlv::CRC32C)) {
            values.push(tlv.kind);
            // It fits: it was cut from a header with a length of 16 bits.
            values.extend_from_slice(&(tlv.value.len() as u16).to_be_bytes());
            values.extend_from_slice(tlv.value);
        }
        Self {
            destination,
            values: values.into(),
        }
    }

    /// The first value of a type.
    pub fn tlv(&self, kind: u8) -> Option<&[u8]> {
        let mut tlvs = Tlvs::new(&self.values);
        tlvs.find(|t| t.kind == kind).map(|t| t.value)
    }

    /// What it said; none if it did not, or in a form that is not known.
    pub fn get(&self, value: ProxyValue) -> Option<Cow<'_, [u8]>> {
        if let Some(kind) = value.kind() {
            return self.tlv(kind).map(Cow::Borrowed);
        }
        let part = match value {
            ProxyValue::SslVersion => Ssl::VERSION,
            ProxyValue::SslCn => Ssl::CN,
            ProxyValue::SslCipher => Ssl::CIPHER,
            ProxyValue::SslSigAlg => Ssl::SIG_ALG,
            ProxyValue::SslKeyAlg => Ssl::KEY_ALG,
            ProxyValue::SslVerify => {
                let ssl = self.ssl()?;
                let word: &[u8] = match (ssl.has_certificate(), ssl.verified) {
                    (false, _) => b"none",
                    (true, true) => b"success",
                    (true, false) => b"failed",
                };
                return Some(word.into());
            }
            ProxyValue::AwsVpceId => {
                let [1, id @ ..] = self.tlv(Tlv::AWS)? else {
                    return None;
                };
                return Some(id.into());
            }
            ProxyValue::AzurePelId => {
                let [1, id @ ..] = self.tlv(Tlv::AZURE)? else {
                    return None;
                };
                let id = u32::from_le_bytes(id.try_into().ok()?);
                return Some(id.to_string().into_bytes().into());
            }
            ProxyValue::GcpConnId => {
                let id = u64::from_be_bytes(self.tlv(Tlv::GCP)?.try_into().ok()?);
                return Some(id.to_string().into_bytes().into());
            }
            _ => return None,
        };
        let found = self.ssl()?.parts.find(|t| t.kind == part)?;
        Some(found.value.into())
    }

    fn ssl(&self) -> Option<Ssl<'_>> {
        Ssl::parse(self.tlv(Tlv::SSL)?).ok()
    }
}

/// What is known of a client's connection, for a header to an upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// What TLS proves of it.
    pub tls: Option<&'a Secure>,
    /// The protocol that was agreed on in its handshake.
    pub alpn: Option<&'a [u8]>,
    /// What its own PROXY header said.
    pub proxied: Option<&'a Proxied>,
    /// What it is called if nobody named it before.
    pub id: &'a [u8],
}

/// What a header to an upstream tells beside the addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told<'a> {
    /// Types and their values.
    pub values: Vec<(u8, Cow<'a, [u8]>)>,
    /// True if a checksum follows.
    pub checksum: bool,
}

impl<'a> Known<'a> {
    /// What `wanted` asks for as far as it is known, in its order. What TLS here proves counts before
    /// what the header of the connection said.
    pub fn told(&self, wanted: &UpstreamProxy) -> Told<'a> {
        let mut values = Vec::new();
        let mut checksum = false;
        for value in &wanted.tlvs {
            let (kind, own): (u8, Option<Cow<'a, [u8]>>) = match value {
                SentValue::Crc32c => {
                    checksum = true;
                    continue;
                }
                SentValue::Alpn => (Tlv::ALPN, self.alpn.map(Into::into)),
                SentValue::Authority => {
                    let sni = self.tls.and_then(|t| t.sni.as_deref());
                    (Tlv::AUTHORITY, sni.map(|s| s.as_bytes().into()))
                }
                SentValue::Ssl => (Tlv::SSL, self.tls.map(|t| ssl(t).into())),
                SentValue::UniqueId => (Tlv::UNIQUE_ID, None),
                SentValue::Tlv(kind) => (*kind, None),
            };
            let before = || self.proxied.and_then(|p| p.tlv(kind)).map(Cow::Borrowed);
            let named = || (kind == Tlv::UNIQUE_ID).then_some(Cow::Borrowed(self.id));
            if let Some(told) = own.or_else(before).or_else(named) {
                values.push((kind, told));
            }
        }
        Told { values, checksum }
    }
}

/// The value of [`Tlv::SSL`]. A client's certificate that is here was found good.
fn ssl(tls: &Secure) -> Vec<u8> {
    let certificate = tls.certificate.as_ref();
    let client = match (certificate, tls.resumed) {
        (None, _) => Ssl::TLS,
        (Some(_), false) => Ssl::TLS | Ssl::CERTIFICATE | Ssl::SESSION_CERTIFICATE,
        (Some(_), true) => Ssl::TLS | Ssl::SESSION_CERTIFICATE,
    };
    let mut value = vec![client, 0, 0, 0, u8::from(certificate.is_none())];
    // By its name at IANA.
    let cipher = match tls.cipher.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => tls.cipher.to_owned(),
    };
    let name = certificate.and_then(|c| c.common_name.as_deref());
    let parts = [
        (Ssl::VERSION, Some(tls.version)),
        (Ssl::CN, name.filter(|n| n.len() <= MAX_CN)),
        (Ssl::CIPHER, Some(&*cipher)),
    ];
    for (kind, part) in parts {
        let Some(part) = part.filter(|p| !p.is_empty()) else {
            continue;
        };
        value.push(kind);
        value.extend_from_slice(&(part.len() as u16).to_be_bytes());
        value.extend_from_slice(part.as_bytes());
    }
    value
}

/// Bytes of a common name that is told: four for each of the 64 characters of RFC 5280. A longer one is left out.
const MAX_CN: usize = 256;

#[cfg(test)]
#[path = "proxied_tests.rs"]
mod tests;
