//! Client certificates of which the authorities vouch, and which are of those that may come.

use std::net::IpAddr;
use std::sync::Arc;

use gateway_core::secure::ClientCertificate;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::facts;

/// A verifier that also looks at alternative names.
#[derive(Debug)]
pub(super) struct Allowed {
    inner: Arc<dyn ClientCertVerifier>,
    names: Vec<Name>,
}

/// A name that is allowed. Each kind is compared with its own kind only: a DNS name that stands where
/// a URI should does not count.
#[derive(Debug, PartialEq, Eq)]
enum Name {
    Dns(String),
    /// One label before this.
    DnsBelow(String),
    Uri(String),
    UriBelow(String),
    Email(String),
    Ip(IpAddr),
}

impl Allowed {
    /// `inner`, and of the names in `san` at least one; any if there are none.
    pub fn of(inner: Arc<dyn ClientCertVerifier>, san: &[String]) -> Arc<dyn ClientCertVerifier> {
        if san.is_empty() {
            return inner;
        }
        let names = san.iter().map(|n| Name::parse(n)).collect();
        Arc::new(Self { inner, names })
    }
}

impl Name {
    fn parse(text: &str) -> Self {
        if text.contains("://") {
            return match text.strip_suffix('*') {
                Some(below) => Self::UriBelow(below.into()),
                None => Self::Uri(text.into()),
            };
        }
        if text.contains('@') {
            return Self::Email(text.into());
        }
        if let Ok(ip) = text.parse() {
            return Self::Ip(ip);
        }
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(below) => Self::DnsBelow(below.into()),
            None => Self::Dns(lower),
        }
    }

    fn fits(&self, c: &ClientCertificate) -> bool {
        match self {
            Self::Dns(name) => c.dns.iter().any(|d| **d == **name),
            Self::DnsBelow(parent) => c.dns.iter().any(|d| {
                let label = d
                    .strip_suffix(parent.as_str())
                    .and_then(|l| l.strip_suffix('.'));
                label.is_some_and(|l| !l.is_empty() && !l.contains('.'))
            }),
            Self::Uri(uri) => c.uris.iter().any(|u| **u == **uri),
            Self::UriBelow(start) => c.uris.iter().any(|u| u.starts_with(start.as_str())),
            // What stands before the @ may know upper case (RFC 5321 section 2.4).
            Self::Email(mail) => c.emails.iter().any(|e| **e == **mail),
            Self::Ip(ip) => c.ips.contains(ip),
        }
    }
}

impl ClientCertVerifier for Allowed {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        cert: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.inner.verify_client_cert(cert, chain, now)?;
        let known = facts::certificate(cert);
        if known.is_some_and(|c| self.names.iter().any(|n| n.fits(&c))) {
            return Ok(verified);
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_only_as_what_it_is() {
        let c = ClientCertificate {
            dns: vec![
                "a.svc.example".into(),
                "spiffe://x/y".into(),
                "b.example\0.evil".into(),
            ],
            uris: vec!["spiffe://td/ns/one".into(), "a.example".into()],
            emails: vec!["Me@example".into()],
            ips: vec!["10.0.0.1".parse().expect("an address")],
            ..ClientCertificate::default()
        };
        for (allowed, fits) in [
            ("a.svc.example", true),
            ("A.SVC.example", true),
            ("*.svc.example", true),
            ("*.example", false),
            ("svc.example", false),
            ("b.example", false),
            ("a.example", false),
            ("spiffe://x/y", false),
            ("spiffe://td/ns/*", true),
            ("spiffe://td/ns/one", true),
            ("spiffe://td/ns/on", false),
            ("Me@example", true),
            ("me@example", false),
            ("10.0.0.1", true),
            ("10.0.0.2", false),
        ] {
            assert_eq!(Name::parse(allowed).fits(&c), fits, "{allowed}");
        }
    }
}
