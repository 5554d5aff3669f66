//! Who the client is behind proxies: which of them are believed, and the walk along what they wrote.
//!
//! Source: RFC 7239 sections 5.2 and 8.1.
//! Fails:  towards what is proved. The walk goes from the nearest hop and stops at the first address that
//!         is not trusted: that is the client. At an entry that is no address it stops too, and the client is the
//!         last trusted hop before it. An untrusted peer is the client itself.
//! Bounds: [`MAX_HOPS`].

use std::net::IpAddr;

use wire::forwarded::Junk;

use crate::config::Cidr;
use crate::hops::Seen;

/// Which proxies are believed.
#[derive(Clone, Debug)]
pub struct Trust {
    blocks: Box<[Cidr]>,
    hops: u16,
}

/// How far a walk came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The client.
    pub ip: IpAddr,
    /// Entries that are believed, the client's own included.
    pub entries: u16,
}

impl Trust {
    /// Believes proxies in `blocks`, or any if there are none, and of these the nearest `hops`. Without
    /// either it believes nobody.
    pub fn new(blocks: Vec<Cidr>, hops: Option<u16>) -> Self {
        let all = if blocks.is_empty() { 0 } else { MAX_HOPS };
        Self {
            blocks: blocks.into(),
            hops: hops.unwrap_or(all),
        }
    }

    /// Who the client is behind `peer`, and how many of `hops`, nearest first, led there. `None` if
    /// the peer is not trusted.
    pub fn walk(
        &self,
        peer: IpAddr,
        hops: impl Iterator<Item = Result<IpAddr, Junk>>,
    ) -> Option<Walk> {
        if !self.trusts(0, peer) {
            return None;
        }
        let mut walk = Walk {
            ip: peer,
            entries: 0,
        };
        for (hop, next) in (1..=MAX_HOPS).zip(hops) {
            let Ok(ip) = next else { break };
            walk = Walk { ip, entries: hop };
            if !self.trusts(hop, ip) {
                break;
            }
        }
        Some(walk)
    }

    /// How a walk along so many entries is to what is believed.
    pub fn seen(&self, walk: Walk, entries: u16) -> Seen {
        if entries > walk.entries {
            Seen::More
        } else if self.trusts(walk.entries, walk.ip) {
            Seen::Fewer
        } else {
            Seen::Fits
        }
    }

    /// `hop` counts from 0, the connection's peer.
    fn trusts(&self, hop: u16, ip: IpAddr) -> bool {
        hop < self.hops
            && (self.blocks.is_empty() || self.blocks.iter().any(|block| block.contains(ip)))
    }
}

/// The most hops that are walked; see [`wire::forwarded::MOST_HOPS`].
pub const MAX_HOPS: u16 = wire::forwarded::MOST_HOPS as u16;

#[cfg(test)]
mod tests {
    use super::*;
    use wire::forwarded::hops_from_right;

    #[test]
    fn nobody_is_believed_by_default() {
        let peer = "10.0.0.1".parse().expect("an address");
        let hops = || hops_from_right([&b"8.8.8.8"[..]].into_iter());
        assert_eq!(Trust::new(Vec::new(), None).walk(peer, hops()), None);
        let one = Trust::new(Vec::new(), Some(1)).walk(peer, hops());
        let ip = "8.8.8.8".parse().expect("an address");
        assert_eq!(one, Some(Walk { ip, entries: 1 }));
    }
}
