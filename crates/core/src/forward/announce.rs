//! What an upstream is told of the client: X-Forwarded-For, -Proto and -Host.
//!
//! Nothing a client says of itself passes: from a peer that is no trusted hop, these fields and
//! their cousins are replaced. From a trusted one, X-Forwarded-For keeps its trusted part and the
//! client's own entry, and the peer is added (RFC 7239 section 5.2 describes the practice).

use std::net::IpAddr;

use wire::{Head, Name, Names};

use crate::filter::Exchange;

/// Writes the fields into the request head.
pub fn announce(ex: &mut Exchange) {
    let mut text = Text {
        bytes: [0; 40],
        len: 0,
    };
    let client = ex.client;
    let req = &mut ex.request;
    if client.trusted_peer {
        keep_trusted(req, client.trusted_hops);
    } else {
        req.remove_names(SPOOFED);
    }
    text.ip(client.peer.ip().to_canonical());
    let put = match req.get(Name::XForwardedFor) {
        None => req.add_known(Name::XForwardedFor, text.bytes()),
        Some(had) => {
            let list = [had, b", ", text.bytes()].concat();
            req.set_known(Name::XForwardedFor, &list)
        }
    };
    debug_assert!(put.is_ok(), "an address is a valid value");
    if !client.trusted_peer || req.get(Name::XForwardedProto).is_none() {
        let _valid = req.set_known(Name::XForwardedProto, b"http");
    }
    if !client.trusted_peer || req.get(Name::XForwardedHost).is_none() {
        let _valid = req.set_known_to_authority(Name::XForwardedHost);
    }
}

/// Joins what the trusted hops and the client's own entry say; what is left of it is dropped.
fn keep_trusted(req: &mut Head, hops: u16) {
    let mut kept: Vec<u8> = Vec::new();
    let all: Vec<u8> = req
        .get_all(Name::XForwardedFor)
        .collect::<Vec<_>>()
        .join(&b", "[..]);
    if all.is_empty() {
        return;
    }
    let entries: Vec<&[u8]> = all.split(|b| *b == b',').map(|e| e.trim_ascii()).collect();
    let from = entries.len().saturating_sub(usize::from(hops) + 1);
    for (i, e) in entries[from..].iter().enumerate() {
        if i > 0 {
            kept.extend_from_slice(b", ");
        }
        kept.extend_from_slice(e);
    }
    let _valid = req.set_known(Name::XForwardedFor, &kept);
}

/// An address as text, without the formatting machinery: this runs for every request.
struct Text {
    bytes: [u8; 40],
    len: usize,
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
            IpAddr::V6(v6) => v6.to_string().bytes().for_each(|b| self.push(b)),
        }
    }

    fn push(&mut self, b: u8) {
        if self.len < self.bytes.len() {
            self.bytes[self.len] = b;
            self.len += 1;
        }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// What only a trusted hop may say, and fields that some frameworks believe.
const SPOOFED: Names = Names::new(&[
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
