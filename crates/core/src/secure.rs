//! What TLS proves of a connection, as filters see it.
//!
//! The owner of the sockets does the proving. Here are the facts, made once a connection and shared
//! by its requests.

use std::net::IpAddr;

/// A connection by TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secure {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite by its IANA name, such as `TLS13_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// The host that the client asked for, in lower case.
    pub sni: Option<Box<str>>,
    /// True if the client came back with a ticket.
    pub resumed: bool,
    /// The client's own certificate, which the listener's authorities vouch for.
    pub certificate: Option<ClientCertificate>,
}

/// A client's certificate that was found good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The subject, such as `CN=alice, O=Example`.
    pub subject: Box<str>,
    /// The first common name of the subject.
    pub common_name: Option<Box<str>>,
    /// Alternative names: DNS.
    pub dns: Vec<Box<str>>,
    /// Alternative names: URIs, such as SPIFFE identities.
    pub uris: Vec<Box<str>>,
    /// Alternative names: e-mail addresses.
    pub emails: Vec<Box<str>>,
    /// Alternative names: IP addresses.
    pub ips: Vec<IpAddr>,
    /// SHA-256 of the whole certificate.
    pub fingerprint: [u8; 32],
    /// When it ends, seconds since 1970.
    pub not_after: u64,
    /// The certificate itself, DER.
    pub der: Box<[u8]>,
    /// What upstreams are told of it, where the config asks for that.
    pub told: Option<ToldCertificate>,
}

/// Fields for upstreams (RFC 9440), written once a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToldCertificate {
    /// The value of Client-Cert.
    pub certificate: Box<str>,
    /// The value of Client-Cert-Chain; empty if it is not asked for, or the client showed no other certificate.
    pub chain: Box<str>,
}
