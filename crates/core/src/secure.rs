//! What TLS proves of a connection, as filters see it.
//!
//! The owner of the sockets does the proving. Here are the facts, made once a connection and shared
//! by its requests.

use std::net::IpAddr;

use wire::{Head, Name};

use crate::config::proxy_protocol::ProxyValue;
use crate::filter::Client;

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

/// Whether the client itself speaks TLS, as far as it is proved: with this gateway, or with a trusted proxy that says so in its PROXY header
/// or in X-Forwarded-Proto.
pub fn is_by_tls(client: &Client, req: &Head) -> bool {
    if client.tls.is_some() {
        return true;
    }
    let told = client.proxied.as_deref();
    if told.is_some_and(|told| told.get(ProxyValue::SslVersion).is_some()) {
        return true;
    }
    if !client.trusted_peer {
        return false;
    }
    let values = req.get_all(Name::XForwardedProto);
    let all = values.rev().flat_map(|v| v.rsplit(|b| *b == b','));
    // Each hop may have added an entry, or passed on what was there: then the client's is the last that can be found.
    let proto = all.take(usize::from(client.trusted_hops) + 1).last();
    proto.is_some_and(|p| p.trim_ascii().eq_ignore_ascii_case(b"https"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trusted_proxy_is_believed_and_nobody_else() {
        for (trusted, hops, values, want) in [
            (true, 0, &["https"][..], true),
            (true, 0, &["HTTPS"], true),
            (true, 0, &["http"], false),
            (true, 0, &[], false),
            (true, 0, &["http, https"], true),
            (true, 1, &["http, https"], false),
            (true, 1, &["https, http"], true),
            (true, 1, &["https", "http"], true),
            (true, 5, &["https"], true),
            (false, 0, &["https"], false),
        ] {
            let client = Client {
                trusted_peer: trusted,
                trusted_hops: hops,
                ..Client::default()
            };
            let mut req = Head::new();
            req.start_request(b"GET", b"/", b"a");
            for value in values {
                req.add_known(Name::XForwardedProto, value.as_bytes())
                    .expect("room");
            }
            assert_eq!(
                is_by_tls(&client, &req),
                want,
                "{trusted} {hops} {values:?}"
            );
            let tls = Client {
                tls: Some(std::rc::Rc::default()),
                ..client
            };
            assert!(is_by_tls(&tls, &req));
        }
    }
}
