//! What an upstream is told of the client: X-Forwarded-For, -Proto and -Host, and of its certificate
//! Client-Cert and Client-Cert-Chain (RFC 9440) where the listener asks for them.
//!
//! Nothing a client says of itself passes: from a peer that is no trusted hop, these fields and
//! their cousins are replaced. From a trusted one, X-Forwarded-For keeps its trusted part and the
//! client's own entry, and the peer is added (RFC 7239 section 5.2 describes the practice). The
//! certificate's fields are taken from nobody: a hop that does not know them passes on what clients write.
//!
//! Whose a request is, once a filter has proved it, every upstream is told in `Ironsluice-Consumer`; nobody else says that
//! field.
//!
//! An app of this process is told more: `Ironsluice-Client` (the proved address),
//! `Ironsluice-Route` (its name) and `Ironsluice-Timeout` (for the response's head, milliseconds).

use std::fmt::Write as _;
use std::net::IpAddr;

use wire::{Head, Name, Names};

use crate::filter::Exchange;
use crate::hops::{Said, Seen};
use crate::Nanos;

/// Writes the fields into the request head.
pub fn announce(ex: &mut Exchange) {
    let req = &mut ex.request;
    if !ex.client.trusted_peer && ex.client.said.seen == Seen::Nothing {
        ex.client.said = Said::by_untrusted(req.get(Name::XForwardedFor));
    }
    let client = &ex.client;
    let mut hops = Text::default();
    if client.trusted_peer {
        keep_trusted(req, client.trusted_hops, &mut hops);
        req.remove_names(CERTIFICATE);
    } else {
        req.remove_names(SPOOFED);
    }
    req.remove(CONSUMER);
    if let Some(consumer) = &client.consumer {
        let _full = req.add(CONSUMER, consumer.as_bytes());
    }
    hops.ip(client.peer.ip().to_canonical());
    let put = req.set_known(Name::XForwardedFor, hops.bytes());
    debug_assert!(put.is_ok(), "addresses and what a head held are valid");
    let told = client.tls.as_ref().map(|tls| tls.certificate.as_ref());
    if let Some(told) = told.flatten().and_then(|c| c.told.as_ref()) {
        for (name, value) in [
            (Name::ClientCert, &told.certificate),
            (Name::ClientCertChain, &told.chain),
        ] {
            if !value.is_empty() {
                // In a head that is full its client is nobody.
                let _full = req.set_known(name, value.as_bytes());
            }
        }
    }
    if !client.trusted_peer || req.get(Name::XForwardedProto).is_none() {
        let proto: &[u8] = if client.tls.is_some() {
            b"https"
        } else {
            b"http"
        };
        let _valid = req.set_known(Name::XForwardedProto, proto);
    }
    if !client.trusted_peer || req.get(Name::XForwardedHost).is_none() {
        let _valid = req.set_known_to_authority(Name::XForwardedHost);
    }
}

/// Tells an app of this process what the core knows. Only the edge says these fields: what a client
/// sent under their names is gone, also when a head is too full for ours.
pub fn introduce(ex: &mut Exchange, route: &str, timeout: Nanos) {
    let mut client = Text::default();
    client.ip(ex.client.ip);
    let ms = (timeout / 1_000_000).to_string();
    let told: [(&[u8], &[u8]); 3] = [
        (b"ironsluice-client", client.bytes()),
        (b"ironsluice-route", route.as_bytes()),
        (b"ironsluice-timeout", ms.as_bytes()),
    ];
    withdraw(ex);
    for (name, value) in told {
        let _full = ex.request.add(name, value);
    }
}

/// Takes back what only an app is told.
pub fn withdraw(ex: &mut Exchange) {
    for name in [
        b"ironsluice-client" as &[u8],
        b"ironsluice-route",
        b"ironsluice-timeout",
    ] {
        ex.request.remove(name);
    }
}

/// Copies what the trusted hops and the client's own entry say; what stands before is dropped.
fn keep_trusted(req: &Head, hops: u16, text: &mut Text) {
    let entries = || {
        let values = req.get_all(Name::XForwardedFor);
        values.flat_map(|v| v.split(|b| *b == b',').map(<[u8]>::trim_ascii))
    };
    let count = entries().count();
    for entry in entries().skip(count.saturating_sub(usize::from(hops) + 1)) {
        if !entry.is_empty() {
            entry.iter().for_each(|b| text.push(*b));
            text.push(b',');
            text.push(b' ');
        }
    }
}

/// A list of addresses on its way, without the formatting machinery and, up to [`SHORT`] bytes,
/// without an allocation: this runs for every request.
struct Text {
    short: [u8; SHORT],
    len: usize,
    long: Vec<u8>,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            short: [0; SHORT],
            len: 0,
            long: Vec::new(),
        }
    }
}

impl Text {
    fn ip(&mut self, ip: IpAddr) {
        match ip {
            IpAddr::V4(v4) => {
                for (i, octet) in v4.octets().into_iter().enumerate() {
                    if i > 0 {
                        self.push(b'.');
                    }
                    if octet >= 100 {
                        self.push(b'0' + octet / 100);
                    }
                    if octet >= 10 {
                        self.push(b'0' + octet / 10 % 10);
                    }
                    self.push(b'0' + octet % 10);
                }
            }
            IpAddr::V6(v6) => {
                let _never_fails = write!(self, "{v6}");
            }
        }
    }

    fn push(&mut self, b: u8) {
        if self.len < SHORT {
            self.short[self.len] = b;
            self.len += 1;
            return;
        }
        if self.long.is_empty() {
            self.long.extend_from_slice(&self.short);
        }
        self.long.push(b);
    }

    fn bytes(&self) -> &[u8] {
        if self.long.is_empty() {
            &self.short[..self.len]
        } else {
            &self.long
        }
    }
}

impl std::fmt::Write for Text {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        s.bytes().for_each(|b| self.push(b));
        Ok(())
    }
}

/// Whose a request is.
const CONSUMER: &[u8] = b"ironsluice-consumer";

/// Room for an IPv6 address and several hops before it.
const SHORT: usize = 128;

/// What only a trusted hop may say, and fields that some frameworks believe.
const SPOOFED: Names = Names::new(&[
    Name::ClientCert,
    Name::ClientCertChain,
    Name::Forwarded,
    Name::XForwardedFor,
    Name::XForwardedHost,
    Name::XForwardedPort,
    Name::XForwardedPrefix,
    Name::XForwardedProto,
    Name::XForwardedServer,
    Name::XOriginalUrl,
    Name::XRealIp,
    Name::XRewriteUrl,
]);

/// What nobody may say but the gateway.
const CERTIFICATE: Names = Names::new(&[Name::ClientCert, Name::ClientCertChain]);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Client;

    /// What the upstream is told: X-Forwarded-For, -Proto, -Host, and what else is left.
    fn told(peer: &str, trusted: Option<u16>, fields: &[(&str, &str)]) -> String {
        let mut ex = Exchange::default();
        ex.request.start_request(b"GET", b"/", b"a.example:81");
        for (name, value) in fields {
            ex.request
                .add(name.as_bytes(), value.as_bytes())
                .expect("a field");
        }
        ex.client = Client::new(peer.parse().expect("an address"));
        ex.client.trusted_peer = trusted.is_some();
        ex.client.trusted_hops = trusted.unwrap_or_default();
        announce(&mut ex);
        let line = |(n, v): (&[u8], &[u8])| {
            format!("{}: {}", n.escape_ascii(), v.escape_ascii()).replace("X-Forwarded-", "")
        };
        ex.request.fields().map(line).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn only_trusted_hops_are_believed() {
        const XFF: &str = "X-Forwarded-For";
        let ours = "Proto: http; Host: a.example:81";
        let long = "1.2.3.4, ".repeat(20);
        type Case = (
            &'static str,
            Option<u16>,
            &'static [(&'static str, &'static str)],
            String,
        );
        let trailing = [(XFF, long.trim_end_matches(", "))];
        let cases: [Case; 8] = [
            ("1.2.3.4:5", None, &[], format!("For: 1.2.3.4; {ours}")),
            (
                "[2001:db8::7]:5",
                None,
                &[],
                format!("For: 2001:db8::7; {ours}"),
            ),
            (
                "[::ffff:1.2.3.4]:5",
                None,
                &[],
                format!("For: 1.2.3.4; {ours}"),
            ),
            (
                "1.2.3.4:5",
                None,
                &[
                    (XFF, "6.6.6.6"),
                    ("X-Forwarded-Proto", "https"),
                    ("X-Original-URL", "/admin"),
                    ("X-Real-IP", "6.6.6.6"),
                    ("Forwarded", "for=6.6.6.6"),
                    ("X-A", "b"),
                ],
                format!("X-A: b; For: 1.2.3.4; {ours}"),
            ),
            (
                "10.0.0.1:5",
                Some(0),
                &[(XFF, "6.6.6.6, 5.5.5.5")],
                format!("For: 5.5.5.5, 10.0.0.1; {ours}"),
            ),
            (
                "10.0.0.1:5",
                Some(1),
                &[(XFF, "6.6.6.6,5.5.5.5"), (XFF, "10.0.0.2")],
                format!("For: 5.5.5.5, 10.0.0.2, 10.0.0.1; {ours}"),
            ),
            (
                "10.0.0.1:5",
                Some(0),
                &[("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "b")],
                "Proto: https; Host: b; For: 10.0.0.1".into(),
            ),
            (
                "10.0.0.1:5",
                Some(0),
                &[(XFF, "")],
                format!("For: 10.0.0.1; {ours}"),
            ),
        ];
        let want = format!("For: {long}10.0.0.1; {ours}");
        assert_eq!(
            told("10.0.0.1:5", Some(99), &trailing),
            want,
            "beyond the short room"
        );
        for (peer, trusted, fields, want) in cases {
            assert_eq!(
                told(peer, trusted, fields),
                want,
                "{peer} {trusted:?} {fields:?}"
            );
        }
    }
}
