//! client_ip: finds out who the client is behind trusted proxies.
//!
//! Config:  `{ use: client_ip, trust: [10.0.0.0/8] }`, or `hops: 1`, or both
//! Reads:   the connection's peer, and X-Forwarded-For or Forwarded if the peer is trusted.
//! Asks:    nothing.
//! Replies: nothing.
//! Fails:   towards what is proved. The walk goes from the right and stops at the first address that
//!          is not trusted: that is the client. At an entry that is no address it stops too, and
//!          the client is the last trusted hop before it. An untrusted peer is the client itself,
//!          and what it says of others is not read, nor passed on. At most 64 hops are walked.
//! Source:  RFC 7239 sections 5.2, 7.4 and 8.1; X-Forwarded-For as its first users defined it.

use schemars::JsonSchema;
use serde::Deserialize;
use wire::forwarded::{forwarded_from_right, hops_from_right};
use wire::{Head, Name};

use super::Build;
use crate::config::units::Cidr;
use crate::filter::{Client, Cx, Filter, Needs, Verdict};
use crate::hops::Said;
use crate::trust::{Trust, MAX_HOPS};

/// Finds out who the client is behind trusted proxies.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Blocks of addresses of the proxies that are believed. Default: none but those `hops` counts.
    #[serde(default)]
    pub trust: Vec<Cidr>,
    /// The most proxies that are believed, counted from the connection's peer, 1 to 64. Without
    /// `trust` they are believed whatever their address. Default: as many as `trust` covers.
    pub hops: Option<u16>,
    /// The field they write. Only this one is read; the other is not passed on. Default: `x-forwarded-for`.
    #[serde(default)]
    pub header: Header,
}

/// A field in which proxies say for whom they forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "ClientIpHeader")]
pub enum Header {
    /// X-Forwarded-For.
    #[default]
    XForwardedFor,
    /// Forwarded (RFC 7239). Upstreams are told the same as X-Forwarded-For.
    Forwarded,
}

impl Header {
    fn name(self) -> Name {
        match self {
            Self::XForwardedFor => Name::XForwardedFor,
            Self::Forwarded => Name::Forwarded,
        }
    }
}

/// The filter.
pub struct ClientIp {
    trust: Trust,
    header: Header,
}

impl ClientIp {
    /// From its config, if it trusts anybody.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        match config.hops {
            None if config.trust.is_empty() => {
                b.fault(
                    "trust",
                    "nobody is trusted",
                    "name the proxies' addresses, or count them with hops",
                );
                None
            }
            Some(n) if n == 0 || n > MAX_HOPS => {
                b.fault(
                    "hops",
                    format!("{n} is not 1 to {MAX_HOPS}"),
                    "write how many proxies are in front",
                );
                None
            }
            hops => Some(Self {
                trust: Trust::new(config.trust, hops),
                header: config.header,
            }),
        }
    }
}

impl Filter for ClientIp {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            identifies: true,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        let peer = cx.client.peer.ip().to_canonical();
        *cx.client = Client {
            tls: cx.client.tls.take(),
            proxied: cx.client.proxied.take(),
            ..Client::new(cx.client.peer)
        };
        let (walk, entries) = match self.header {
            Header::XForwardedFor => {
                let hops = || hops_from_right(req.get_all(Name::XForwardedFor));
                (self.trust.walk(peer, hops()), hops().count())
            }
            Header::Forwarded => {
                let hops = || forwarded_from_right(req.get_all(Name::Forwarded));
                (self.trust.walk(peer, hops()), hops().count())
            }
        };
        let Some(walk) = walk else {
            let value = req.get(self.header.name());
            cx.client.said = Said::by_untrusted(value);
            return Verdict::Next;
        };
        // At most MAX_HOPS are looked at.
        let entries = entries as u16;
        cx.client.said = Said {
            seen: self.trust.seen(walk, entries),
            entries,
            mark: 0,
        };
        if self.header == Header::Forwarded {
            translate(req, walk.entries);
        } else if walk.entries == 0 {
            req.remove_known(Name::XForwardedFor);
        }
        // The other field was not vetted: anybody may have written it.
        req.remove_known(Name::Forwarded);
        cx.client.ip = walk.ip;
        cx.client.trusted_peer = true;
        cx.client.trusted_hops = walk.entries.saturating_sub(1);
        Verdict::Next
    }
}

/// Writes the believed part of Forwarded as X-Forwarded-For, which is what upstreams are told.
fn translate(req: &mut Head, entries: u16) {
    let hops = forwarded_from_right(req.get_all(Name::Forwarded)).take(usize::from(entries));
    let mut believed: Vec<String> = hops.flatten().map(|ip| ip.to_string()).collect();
    believed.reverse();
    req.remove_known(Name::XForwardedFor);
    if !believed.is_empty() {
        let put = req.set_known(Name::XForwardedFor, believed.join(", ").as_bytes());
        debug_assert!(put.is_ok(), "addresses are a valid value");
    }
}

#[cfg(test)]
#[path = "client_ip_tests.rs"]
mod tests;
