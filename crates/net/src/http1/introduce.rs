//! PROXY headers to upstreams: the first bytes of a connection say whose it is.
//!
//! The source is the client as far as it is proved, the destination what it connected to. Such a connection is
//! bound to its client's: it is used again for it only, under the same header, and ends with it.

use std::net::SocketAddr;

use gateway_core::config::{ProxyVersion, UpstreamProxy};
use gateway_core::filter::Client;
use gateway_core::proxied::{Known, Told};
use wire::proxy::{write_v1, write_v2, Ends, Origin, Tlv};

use super::txn::Txn;
use crate::poll::{self, Moved};
use crate::shard::Shard;

impl Shard {
    /// An idle connection to the endpoint of `slot` that this client's request may use.
    pub(super) fn idle_of_client(&mut self, i: u32, t: &mut Txn, slot: u32) -> Option<u32> {
        self.write_introduction(i, t);
        let owner = self.conns.token(self.own(i));
        let header = t.up_out.as_slice();
        self.pools
            .take_bound(&mut self.conns, (owner, slot), header)
    }

    /// Writes the header of a connection for this request into `t.up_out`, which holds nothing yet.
    pub(super) fn write_introduction(&mut self, i: u32, t: &mut Txn) {
        t.up_out.clear();
        let found = t.run.snapshot().zip(t.run.upstream(t.forward));
        let upstream = found.map(|(s, u)| &s.upstreams[u as usize]);
        let Some(wanted) = upstream.and_then(|u| u.proxy_protocol.clone()) else {
            return;
        };
        let destination = self.destination(i);
        let client = &t.run.exchange.client;
        let id = self.name_of(i);
        let known = Known {
            tls: client.tls.as_deref(),
            alpn: self.conns.alpn(self.own(i)),
            proxied: client.proxied.as_deref(),
            id: &id,
        };
        write(
            &wanted,
            &origin(client, destination),
            &known,
            t.up_out.vec(),
        );
    }

    /// A fresh connection begins with its header, in the same send as the request. A secure one has begun.
    pub(super) fn introduce_first(&mut self, t: &mut Txn) {
        if self.conns.is_secure(t.up) {
            return;
        }
        let Some(up) = self.conns.up(t.up) else {
            return;
        };
        if let (1, Some(bound)) = (up.requests, &up.bound) {
            t.up_out.append(&bound.header);
        }
    }

    /// Sends the header before TLS begins. False if the system did not take it whole, which it does on a
    /// connection that was just made.
    pub(super) fn introduce_at_once(&mut self, up: u32) -> bool {
        let fd = self.conns.fd(up);
        let bound = self.conns.up(up).and_then(|u| u.bound.as_ref());
        bound.is_none_or(|b| poll::send(fd, &b.header) == Moved::Some(b.header.len()))
    }

    /// Keeps an idle connection for its client.
    pub(super) fn bind(&mut self, up: u32) {
        if let Some(oldest) = self.pools.bind(&mut self.conns, up) {
            self.remove(oldest);
        }
    }

    /// The connection of the client itself: of a stream the one that carries it.
    pub(super) fn own(&self, i: u32) -> u32 {
        let carries = |pipe: &crate::pipe::End| self.conns.of_token(pipe.borrow().owner().0);
        self.conns.pipe(i).and_then(carries).unwrap_or(i)
    }

    /// The client's connection is about to end, and with it what is kept for it.
    pub(crate) fn leave_bound(&mut self, i: u32) {
        let owner = self.conns.token(i);
        for up in self.pools.take_all(&mut self.conns, owner) {
            self.remove(up);
        }
    }

    /// The address that the client connected to: as a trusted PROXY header says, else that of its socket,
    /// else, for a guest, that of its listener.
    fn destination(&mut self, i: u32) -> Option<SocketAddr> {
        let client = self.conns.client(i)?;
        if let Some(told) = client.proxied.as_ref().and_then(|p| p.destination) {
            return Some(told);
        }
        if let Some(known) = &client.local {
            return Some(**known);
        }
        let Some(local) = self.conns.local_address(self.own(i)) else {
            let place = self.listener_of(i).index;
            let listener = self.snapshot.config.listeners.get(place as usize)?;
            return Some(listener.bind.address());
        };
        self.conns.client(i)?.local = Some(Box::new(local));
        Some(local)
    }

    /// What the client's connection is called: 32 hexadecimal digits that no other connection of this
    /// process has, nor, but for chance, one of another.
    fn name_of(&self, i: u32) -> [u8; 32] {
        let whole = u128::from(self.nonce) << 64 | u128::from(self.conns.token(self.own(i)));
        let mut name = [0; 32];
        for (k, digit) in name.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(whole >> (124 - 4 * k)) as usize & 15];
        }
        name
    }
}

fn origin(client: &Client, destination: Option<SocketAddr>) -> Origin {
    let source = if client.ip == client.peer.ip().to_canonical() {
        client.peer
    } else {
        // Its own proxies did not say its port.
        SocketAddr::new(client.ip, 0)
    };
    match destination {
        Some(destination) if !source.ip().is_unspecified() => Origin::Stream(Ends {
            source,
            destination,
        }),
        _ => Origin::Unknown,
    }
}

fn write(wanted: &UpstreamProxy, origin: &Origin, known: &Known<'_>, out: &mut Vec<u8>) {
    let written = match wanted.version {
        ProxyVersion::V1 => write_v1(origin, out),
        ProxyVersion::V2 => {
            let Told { values, checksum } = known.told(wanted);
            let told = values
                .iter()
                .map(|(kind, value)| Tlv { kind: *kind, value });
            let tlvs: Vec<Tlv<'_>> = told.collect();
            write_v2(origin, &tlvs, checksum, out)
        }
    };
    debug_assert!(written.is_ok(), "each value is within its bounds");
}
