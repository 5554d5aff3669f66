//! The shared store as filters see it: whether it answers, how many nodes use it, and the asks that nobody waits for.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
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

    /// Counts a request about which was decided without the store.
    pub fn fell_back(&self) {
        self.fallbacks.fetch_add(1, Relaxed);
    }

    /// Requests about which was decided without the store.
    pub fn fallbacks(&self) -> u64 {
        self.fallbacks.load(Relaxed)
    }
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
