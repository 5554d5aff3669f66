//! Choosing one endpoint of an upstream.
//!
//! `round_robin` is smooth and weighted (nginx), its rotation computed once with the snapshot;
//! `least_request` is power of two choices over requests in flight (Mitzenmacher 2001, Envoy);
//! `maglev` is a table of 65,537 slots (Eisenbud et al., NSDI 2016) keyed by what the config names.

use std::sync::atomic::Ordering::Relaxed;

use algo::Maglev;

use crate::config::HashKey;
use crate::engine::Env;
use crate::filter::Exchange;
use crate::snapshot::Endpoint;

/// How an upstream spreads its requests.
pub enum Balance {
    /// Each endpoint in turn, as often as its weight says.
    RoundRobin {
        /// The turns, smooth, as indices of endpoints.
        turns: Box<[u32]>,
    },
    /// The less busy of two random endpoints.
    LeastRequest,
    /// Always the same endpoint for the same key.
    Maglev {
        /// The table over the endpoints.
        table: Box<Maglev>,
        /// What the key is made of.
        key: HashKey,
    },
}

/// A thread's place in the rotation of each upstream. Threads do not share it: each keeps to the
/// rotation for itself, and no cache line is contended.
#[derive(Default)]
pub struct Turns {
    at: Vec<u32>,
}

impl Turns {
    fn next(&mut self, upstream: u32, of: usize, seed: u64) -> usize {
        let i = upstream as usize;
        if i >= self.at.len() {
            // Threads start at different places, so that few requests still spread.
            self.at.resize_with(i + 1, || (seed >> 33) as u32);
        }
        let at = self.at[i] as usize;
        let at = if at >= of { at % of } else { at };
        self.at[i] = at as u32 + 1;
        at
    }
}

impl Balance {
    /// An endpoint that is `fit`, or none.
    pub fn pick(
        &self,
        env: &mut Env<'_>,
        upstream: u32,
        endpoints: &[Endpoint],
        ex: &Exchange,
        fit: &dyn Fn(usize) -> bool,
    ) -> Option<usize> {
        match self {
            Self::RoundRobin { turns } => {
                for _ in 0..turns.len() {
                    let seed = if env.turns.at.len() <= upstream as usize {
                        env.rng.next_u64()
                    } else {
                        0
                    };
                    let i = turns[env.turns.next(upstream, turns.len(), seed)] as usize;
                    if fit(i) {
                        return Some(i);
                    }
                }
                None
            }
            Self::LeastRequest => {
                let load = |i: usize| {
                    let e = &endpoints[i];
                    (e.live.active.load(Relaxed), e.weight)
                };
                let i = algo::p2c::pick(endpoints.len(), load, env.rng.next_u64())?;
                if fit(i) {
                    return Some(i);
                }
                (0..endpoints.len()).filter(|i| fit(*i)).min_by_key(|i| {
                    let (active, weight) = load(*i);
                    (u64::from(active) + 1) * 1000 / u64::from(weight.max(1))
                })
            }
            Self::Maglev { table, key } => table.pick_where(hash(key, ex)?, fit),
        }
    }

    /// True if requests in flight must be counted.
    pub fn counts(&self) -> bool {
        matches!(self, Self::LeastRequest)
    }
}

/// A request without the header or cookie hashes its client's address instead.
fn hash(key: &HashKey, ex: &Exchange) -> Option<u64> {
    let value = match key {
        HashKey::Header(name) => ex.request.find(name.as_bytes()),
        HashKey::Cookie(name) => wire::cookie::cookie(&ex.request, name.as_bytes()),
        HashKey::Path => Some(ex.request.path()),
        HashKey::ClientIp => None,
    };
    Some(match (value, ex.client.ip) {
        (Some(v), _) => algo::stable_hash(v),
        (None, std::net::IpAddr::V4(ip)) => algo::stable_hash(&ip.octets()),
        (None, std::net::IpAddr::V6(ip)) => algo::stable_hash(&ip.octets()),
    })
}
