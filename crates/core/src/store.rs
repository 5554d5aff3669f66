//! The shared store as filters see it: whether it answers, how many nodes use it, and the asks that nobody waits for.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use algo::{LeaseAsk, LeaseTable};

use crate::filter::StoreCall;
use crate::Nanos;

/// What is known of the store. One for a gateway; whoever serves the store says it at each heartbeat, all threads read it.
#[derive(Debug, Default)]
pub struct StoreState {
    up: AtomicBool,
    nodes: AtomicU64,
    clock: AtomicU64,
    /// How far the store's clock is before ours, microseconds; 0 if it never said it.
    ahead: AtomicI64,
    fallbacks: AtomicU64,
}

impl StoreState {
    /// Says whether calls are answered, how many nodes live (this one among them), and the store's clock in microseconds since
    /// 1970, 0 if nobody knows. While it is gone the number of nodes stays what it was.
    pub fn note(&self, up: bool, nodes: u64, clock: u64) {
        if up || self.nodes.load(Relaxed) == 0 {
            self.nodes.store(nodes, Relaxed);
        }
        if clock > 0 {
            self.clock.store(clock, Relaxed);
        }
        self.up.store(up, Relaxed);
    }

    /// Nobody serves it any more.
    pub fn left(&self) {
        self.up.store(false, Relaxed);
    }

    /// True if calls are answered, as far as is known.
    pub fn is_up(&self) -> bool {
        self.up.load(Relaxed)
    }

    /// How many nodes live, at least 1.
    pub fn nodes(&self) -> u64 {
        self.nodes.load(Relaxed).max(1)
    }

    /// The store's clock at the last heartbeat, microseconds since 1970; 0 if nobody knows.
    pub fn clock(&self) -> u64 {
        self.clock.load(Relaxed)
    }

    /// At the moment `now` the store's clock showed this, microseconds since 1970.
    pub fn timed(&self, clock: u64, now: Nanos) {
        if clock > 0 {
            self.ahead
                .store(clock as i64 - (now / 1000) as i64, Relaxed);
        }
    }

    /// What the store's clock shows at the moment `now`, seconds since 1970, as this node's steady clock has it; also while the store
    /// is gone. None if it was never there.
    pub fn unix(&self, now: Nanos) -> Option<u64> {
        let ahead = self.ahead.load(Relaxed);
        let clock = ahead.checked_add((now / 1000) as i64)?;
        let known = ahead != 0 && clock > 0;
        known.then_some(clock as u64 / 1_000_000)
    }

    /// Counts a request about which was decided without the store.
    pub fn fell_back(&self) {
        self.fallbacks.fetch_add(1, Relaxed);
    }

    /// Requests about which was decided without the store.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Relaxed)
    }
}

/// `PREFIX:{LIMIT-KEY}`, in hexadecimal: in a cluster the part in braces says where a key is kept. What clients choose is in it as
/// the first 128 bits of a digest: no two of them can be made to count together.
pub fn key(prefix: &str, limit: &[u8; 8], digest: &[u8]) -> Vec<u8> {
    let limit = u64::from_be_bytes(*limit);
    let mut key = format!("{prefix}:{{{limit:016x}-");
    for byte in &digest[..16] {
        key.push_str(&format!("{byte:02x}"));
    }
    key.push('}');
    key.into_bytes()
}

/// An ask whose answer goes to a table of leases, and for which no request waits.
#[derive(Clone)]
pub struct LeaseCall {
    /// What the store is asked.
    pub call: StoreCall,
    /// Whose table.
    pub table: Arc<LeaseTable>,
    /// The key in that table.
    pub key: u64,
    /// What the table asked for.
    pub ask: LeaseAsk,
    /// Says how many nodes live when the ask fails.
    pub store: Arc<StoreState>,
}

impl LeaseCall {
    /// Brings the store's answer; none if the call failed or is late.
    pub fn settle(&self, now: Nanos, values: Option<&[i64]>) {
        match values.and_then(granted) {
            Some((granted, reset_after)) => {
                self.table
                    .granted(self.key, now, &self.ask, granted, reset_after);
            }
            None => self.table.failed(self.key, now, self.store.nodes()),
        }
    }
}

/// How many tokens the script `gcra` granted, and how far ahead its TAT is in nanoseconds.
pub fn granted(values: &[i64]) -> Option<(u64, u64)> {
    let [granted, reset_us, _] = *values else {
        return None;
    };
    let whole = |n: i64| u64::try_from(n).ok();
    Some((whole(granted)?, whole(reset_us)?.saturating_mul(1000)))
}

impl PartialEq for LeaseCall {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.table, &other.table)
            && (self.key, self.ask) == (other.key, other.ask)
            && self.call == other.call
    }
}

impl fmt::Debug for LeaseCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseCall")
            .field("call", &self.call)
            .field("ask", &self.ask)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_store_goes_on_without_it() {
        const S: Nanos = 1_000_000_000;
        let store = StoreState::default();
        assert_eq!(store.unix(5 * S), None);
        store.timed(0, 5 * S);
        assert_eq!(store.unix(5 * S), None, "nobody knew it");
        // At which moment it showed what, and what it shows 60 s later; ahead, and far behind.
        for (now, clock) in [
            (5 * S, 1_795_759_200),
            (7 * S, 1_795_762_800),
            (900_000 * S, 5),
        ] {
            store.timed(clock * 1_000_000, now);
            store.note(false, 1, 0);
            assert_eq!(store.unix(now), Some(clock));
            assert_eq!(store.unix(now + 60 * S), Some(clock + 60));
        }
    }

    #[test]
    fn a_key_has_its_hash_tag() {
        let key = key("p", &[0, 0, 0, 0, 0, 0, 1, 2], &[0xab; 32]);
        let want = format!("p:{{0000000000000102-{}}}", "ab".repeat(16));
        assert_eq!(String::from_utf8_lossy(&key), want);
    }
}
