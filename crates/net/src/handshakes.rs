//! How many TLS handshakes of clients a listener has under way in this thread, and whose.
//!
//! A handshake costs a client nothing and the gateway a signature, so it is refused before it begins: by number, by number of one client, by rate of one
//! client. A client is an address, of IPv6 a /64. What is begun has a share of each turn ([`SHARE`]); the rest waits in order, so that connections that
//! are made are served in between.
//!
//! Bounds: one entry a client with a handshake under way, and the table of rates.

use std::collections::HashMap;
use std::net::IpAddr;

use algo::{Decision, Gcra, GcraTable};
use gateway_core::config::{self, Rate};
use gateway_core::metrics::bump;

use crate::conns::NONE;
use crate::http1::Next;
use crate::poll;
use crate::shard::Shard;
use crate::tls::Shake;

/// Those of one listener.
#[derive(Default)]
pub(crate) struct Handshakes {
    most: u32,
    most_of_one: u32,
    rate: Option<Limit>,
    open: u32,
    of_one: HashMap<u64, u32>,
}

struct Limit {
    rate: Rate,
    gcra: Gcra,
    table: GcraTable,
}

impl Handshakes {
    /// Takes over what a config says. What is under way stays, and what a client has used of its rate, if that is the same.
    pub fn configure(&mut self, bounds: &config::Handshakes, seed: u64) {
        self.most = bounds.concurrent.get() as u32;
        self.most_of_one = bounds.concurrent_per_client.get() as u32;
        let kept = self.rate.take();
        self.rate = bounds.rate_per_client.and_then(|rate| match kept {
            Some(limit) if limit.rate == rate => Some(limit),
            _ => Limit::new(rate, seed),
        });
    }

    /// Begins one, or says by which bound it is refused.
    fn begin(&mut self, client: IpAddr, now: u64) -> Result<(), &'static str> {
        if self.open >= self.most {
            return Err("too_many");
        }
        let key = key(client);
        let of_one = self.of_one.get(&key).copied().unwrap_or(0);
        if of_one >= self.most_of_one {
            return Err("too_many_of_client");
        }
        if self.rate.as_ref().is_some_and(|l| !l.admits(key, now)) {
            return Err("rate_of_client");
        }
        self.of_one.insert(key, of_one + 1);
        self.open += 1;
        Ok(())
    }

    fn end(&mut self, client: IpAddr) {
        self.open = self.open.saturating_sub(1);
        let key = key(client);
        match self.of_one.get_mut(&key) {
            Some(n) if *n > 1 => *n -= 1,
            _ => {
                self.of_one.remove(&key);
            }
        }
    }
}

impl Limit {
    fn new(rate: Rate, seed: u64) -> Option<Self> {
        let second = u128::from(rate.count) * u128::from(SECOND) / u128::from(rate.period_ns);
        let burst = u64::try_from(second).unwrap_or(u64::MAX).max(1);
        Some(Self {
            rate,
            gcra: Gcra::new(rate.count, rate.period_ns, burst).ok()?,
            table: GcraTable::new(GcraTable::DEFAULT_CAPACITY, seed).ok()?,
        })
    }

    fn admits(&self, key: u64, now: u64) -> bool {
        let key = self.table.hash(&key.to_le_bytes());
        matches!(
            self.table.decide(key, &self.gcra, now, 1),
            Decision::Admit { .. }
        )
    }
}

impl Shard {
    /// Whether `i` may begin its handshake now; it is counted if not.
    pub(crate) fn may_shake(&mut self, i: u32) -> bool {
        let now = self.now;
        let Some((listener, peer)) = self.conns.client(i).map(|c| (c.listener, c.peer)) else {
            return false;
        };
        let handshakes = &mut self.listeners[usize::from(listener)].handshakes;
        match handshakes.begin(peer.ip(), now) {
            Ok(()) => {
                if let Some(client) = self.conns.client(i) {
                    client.shaking = true;
                }
                true
            }
            Err(code) => {
                bump(self.counters.failed_handshakes.of(code), 1);
                false
            }
        }
    }

    /// The handshake of `i` is over, however it ended.
    pub(crate) fn shaken(&mut self, i: u32) {
        let Some(client) = self.conns.client(i) else {
            return;
        };
        if !std::mem::take(&mut client.shaking) {
            return;
        }
        let (listener, peer) = (client.listener, client.peer);
        let handshakes = &mut self.listeners[usize::from(listener)].handshakes;
        handshakes.end(peer.ip());
    }

    /// Goes on with the handshake of `i`, if there is time left for it in this turn; else it waits for a later one.
    pub(crate) fn shake(&mut self, i: u32) -> Result<Shake, Next> {
        let first = std::mem::replace(&mut self.shakes.next, NONE) == i;
        if self.shakes.spent >= SHARE || !first && !self.shakes.waiting.is_empty() {
            let token = self.conns.token(i);
            if let Some(client) = self.conns.client(i) {
                if !std::mem::replace(&mut client.waits, true) {
                    self.shakes.waiting.push_back(token);
                }
            }
            return Err(Next::Wait);
        }
        let began = poll::monotonic();
        let shake = self.conns.handshake(i);
        self.shakes.spent += poll::monotonic().saturating_sub(began);
        Ok(shake)
    }

    /// Those that wait go on, for what is left of this turn's share.
    pub(crate) fn shake_on(&mut self) {
        while self.shakes.spent < SHARE {
            let Some(token) = self.shakes.waiting.pop_front() else {
                break;
            };
            let Some(i) = self.conns.of_token(token) else {
                continue;
            };
            if let Some(client) = self.conns.client(i) {
                client.waits = false;
            }
            self.shakes.next = i;
            self.guarded(i, Self::drive);
        }
        self.shakes.next = NONE;
        self.shakes.spent = 0;
    }
}

/// Handshakes of all listeners of a thread, and their time.
pub(crate) struct Shakes {
    /// Those for which this turn had no time, in order.
    pub waiting: std::collections::VecDeque<u64>,
    /// Whose turn it is.
    next: u32,
    /// What handshakes took in this turn, nanoseconds.
    spent: u64,
}

impl Default for Shakes {
    fn default() -> Self {
        Self {
            waiting: std::collections::VecDeque::new(),
            next: NONE,
            spent: 0,
        }
    }
}

/// An address, of IPv6 its /64: a site has that to itself at least. The first 32 bits of a /64 that anybody has are not 0.
fn key(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(ip) => u64::from(u32::from(ip)),
            None => (u128::from(ip) >> 64) as u64,
        },
    }
}

/// Handshakes take so many nanoseconds of a turn, and the one that is begun within them.
const SHARE: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_bound_holds_and_gives_back() {
        let mut all = Handshakes::default();
        let bounds = config::Handshakes {
            concurrent: config::Whole::of(3),
            concurrent_per_client: config::Whole::of(2),
            rate_per_client: None,
        };
        all.configure(&bounds, 1);
        let (a, b) = (of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!([all.begin(a, 1), all.begin(a, 1)], [Ok(()), Ok(())]);
        assert_eq!(all.begin(a, 1), Err("too_many_of_client"));
        assert_eq!(all.begin(b, 1), Ok(()));
        assert_eq!(all.begin(b, 1), Err("too_many"));
        all.end(a);
        assert_eq!(all.begin(b, 1), Ok(()));
        all.end(a);
        all.end(b);
        all.end(b);
        assert!(all.open == 0 && all.of_one.is_empty());
    }

    #[test]
    fn a_rate_is_kept_over_a_reload_that_keeps_it() {
        let mut all = Handshakes::default();
        let bounds = config::Handshakes {
            rate_per_client: Some(Rate::parse("2/s").expect("a rate")),
            ..config::Handshakes::default()
        };
        all.configure(&bounds, 1);
        // Two hosts of one /64 are one client.
        assert_eq!(all.begin(of("2001:db8::1"), 1), Ok(()));
        assert_eq!(all.begin(of("2001:db8::2"), 1), Ok(()));
        all.configure(&bounds, 2);
        let third = of("2001:db8::3");
        assert_eq!(all.begin(third, 1), Err("rate_of_client"));
        assert_eq!(all.begin(of("2001:db8:0:1::3"), 1), Ok(()));
        assert_eq!(all.begin(third, SECOND), Ok(()));
    }
}
