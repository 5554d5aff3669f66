//! What a finished handshake proves, in the core's words.

use std::net::IpAddr;

use gateway_core::config::ClientCertForward;
use gateway_core::secure::{ClientCertificate, Secure, ToldCertificate};
use rustls::pki_types::CertificateDer;
use rustls::{CommonState, HandshakeKind, ProtocolVersion};
use wire::structured::byte_sequences;
use x509_parser::der_parser::{oid, Oid};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Adds to `before` what the handshake proved. An error is a word for metrics.
pub(super) fn of(
    connection: &CommonState,
    before: Secure,
    forward: ClientCertForward,
) -> Result<Secure, &'static str> {
    let resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    let shown = connection.peer_certificates().unwrap_or_default();
    let mut certificate = match shown.first() {
        Some(der) => Some(certificate(der).ok_or("certificate_bad")?),
        None => None,
    };
    // A ticket may outlive the certificate that it was given for.
    let ended = certificate.as_ref().is_some_and(|c| c.not_after < now());
    if resumed && ended {
        return Err("certificate_expired");
    }
    if let Some(certificate) = &mut certificate {
        certificate.told = told(shown, forward)?;
    }
    let suite = connection.negotiated_cipher_suite();
    Ok(Secure {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "TLSv1.2",
        },
        cipher: suite.and_then(|s| s.suite().as_str()).unwrap_or_default(),
        resumed,
        certificate,
        ..before
    })
}

/// What upstreams are told of the certificates that a client showed.
fn told(
    shown: &[CertificateDer<'_>],
    forward: ClientCertForward,
) -> Result<Option<ToldCertificate>, &'static str> {
    let some = match forward {
        ClientCertForward::None => return Ok(None),
        ClientCertForward::Certificate => &shown[..1],
        ClientCertForward::Chain => shown,
    };
    // Looked at first: base64 makes four of three.
    if some.iter().map(|c| c.len()).sum::<usize>() > MAX_TOLD / 4 * 3 {
        return Err("certificate_too_long");
    }
    let list = |all: &[CertificateDer<'_>]| byte_sequences(all.iter().map(AsRef::as_ref)).into();
    Ok(Some(ToldCertificate {
        certificate: list(&some[..1]),
        chain: list(&some[1..]),
    }))
}

/// What a certificate says of its holder; none if it cannot be read.
pub(super) fn certificate(der: &[u8]) -> Option<ClientCertificate> {
    let (_, x509) = X509Certificate::from_der(der).ok()?;
    let mut read = ClientCertificate {
        subject: x509.subject().to_string().into(),
        common_name: common_name(&x509),
        not_after: u64::try_from(x509.validity().not_after.timestamp()).unwrap_or(0),
        der: der.into(),
        ..ClientCertificate::default()
    };
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    read.fingerprint.copy_from_slice(digest.as_ref());
    let names = x509.subject_alternative_name().ok()?;
    for name in names.iter().flat_map(|n| &n.value.general_names) {
        match name {
            GeneralName::DNSName(dns) => read.dns.push(dns.to_ascii_lowercase().into()),
            GeneralName::URI(uri) => read.uris.push((*uri).into()),
            GeneralName::RFC822Name(mail) => read.emails.push((*mail).into()),
            GeneralName::IPAddress(bytes) => read.ips.extend(ip(bytes)),
            _ => {}
        }
    }
    Some(read)
}

fn common_name(x509: &X509Certificate<'_>) -> Option<Box<str>> {
    let first = x509.subject().iter_common_name().next()?;
    first.as_str().ok().map(Into::into)
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// Seconds since 1970.
pub(super) fn now() -> u64 {
    crate::poll::wall() / 1_000_000_000
}

/// When a certificate begins, seconds since 1970.
pub(super) fn not_before(der: &[u8]) -> u64 {
    let read = X509Certificate::from_der(der).ok();
    read.and_then(|(_, c)| u64::try_from(c.validity().not_before.timestamp()).ok())
        .unwrap_or(0)
}

/// True for a certificate that proves a name to an ACME authority: its critical extension keeps it from
/// being taken for anything else (RFC 8737 section 3).
pub(super) fn is_proof(der: &[u8]) -> bool {
    let read = X509Certificate::from_der(der).ok();
    read.is_some_and(|(_, c)| c.extensions().iter().any(|e| e.oid == ACME_IDENTIFIER))
}

/// True if this is the key of the certificate, as its SubjectPublicKeyInfo.
pub(super) fn has_key(der: &[u8], spki: &[u8]) -> bool {
    let read = X509Certificate::from_der(der).ok();
    read.is_some_and(|(_, c)| c.public_key().raw == spki)
}

/// Bytes of the fields that tell of a client's certificates, but for their colons and commas.
const MAX_TOLD: usize = 32 << 10;
const ACME_IDENTIFIER: Oid<'static> = oid!(1.3.6 .1 .5 .5 .7 .1 .31);
