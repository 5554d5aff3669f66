//! Rate limit decisions beside `governor`, the best known GCRA crate (keyed by `dashmap`).
//!
//! Both get the time for nothing: it stands still. The gateway reads the clock once a tick of its
//! reactor, so a decision of ours never reads one; `governor`'s own default does, and is not
//! charged for it here.
//!
//! `admit` rows have a burst that never ends: each decision writes. `refuse` rows have none left.
//! `state` rows also use what remains, for the response headers. `keyed` rows find one of 10 000
//! keys of 16 bytes first, each side with its default hash. `lease` is a limit that nodes share, as one of two decides.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::sync::atomic::AtomicU64;

use algo::{
    Bucket, Decision, Fallback, Gcra, GcraTable, Lease, LeaseTable, Limit, LimitTable, Said,
};
use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};

use crate::ratio::{alone, together, Pair, Run};

/// All rows.
pub fn pairs() -> Vec<Pair<'static>> {
    let one = |op: Box<dyn Fn(u64) + Sync>| -> Run<'static> { alone(op) };
    let two = |op: Box<dyn Fn(u64) + Sync>| -> Run<'static> { together(2, op) };
    let row = |name, ours, theirs| Pair {
        name,
        rival: "governor",
        batch: 1_000_000,
        ours,
        theirs,
    };
    vec![
        row(
            "gcra_admit_1_thread",
            one(direct(ENDLESS)),
            one(governor_direct(ENDLESS)),
        ),
        row(
            "gcra_admit_2_threads",
            two(direct(ENDLESS)),
            two(governor_direct(ENDLESS)),
        ),
        row(
            "gcra_refuse_1_thread",
            one(direct(1)),
            one(governor_direct(1)),
        ),
        row(
            "gcra_refuse_2_threads",
            two(direct(1)),
            two(governor_direct(1)),
        ),
        row(
            "gcra_state_1_thread",
            one(direct_state()),
            one(governor_state()),
        ),
        row(
            "gcra_keyed_admit_1_thread",
            one(keyed(ENDLESS)),
            one(governor_keyed(ENDLESS)),
        ),
        row(
            "gcra_keyed_admit_2_threads",
            two(keyed(ENDLESS)),
            two(governor_keyed(ENDLESS)),
        ),
        row(
            "lease_keyed_admit_1_thread",
            one(leased()),
            one(governor_keyed(ENDLESS)),
        ),
        row(
            "gcra_keyed_refuse_1_thread",
            one(keyed(1)),
            one(governor_keyed(1)),
        ),
        row(
            "gcra_keyed_refuse_2_threads",
            two(keyed(1)),
            two(governor_keyed(1)),
        ),
    ]
}

/// A cell in cache lines of its own, as in the gateway: beside the rate, which every decision
/// reads, each write of one thread would take the rate from the other.
#[repr(align(128))]
struct Cell(AtomicU64);

/// Our decision on one cell.
pub fn direct(burst: u32) -> Box<dyn Fn(u64) + Sync> {
    let gcra = gcra(burst);
    let cell = Cell(AtomicU64::new(0));
    Box::new(move |_| {
        let Cell(cell) = &cell;
        black_box(admitted(gcra.decide(cell, black_box(NOW), 1)));
    })
}

/// Our decision for one of many keys, hash included.
pub fn keyed(burst: u32) -> Box<dyn Fn(u64) + Sync> {
    let gcra = gcra(burst);
    let table = GcraTable::new(2 * KEYS, 0x5eed).expect("a capacity in range");
    let keys = keys();
    Box::new(move |i| {
        let hash = table.hash(&keys[spread(i)]);
        black_box(admitted(table.decide(hash, &gcra, black_box(NOW), 1)));
    })
}

/// The same by the table whose keys can be held, for several limits at once.
pub fn held(burst: u32) -> Box<dyn Fn(u64) + Sync> {
    let bucket = Bucket::new(RATE.into(), 1_000_000_000, burst.into()).expect("a rate in range");
    let table = LimitTable::new(Limit::Bucket(bucket), 2 * KEYS, 0x5eed).expect("a table");
    let keys = keys();
    Box::new(move |i| {
        let hash = table.hash(&keys[spread(i)]);
        black_box(table.decide(hash, black_box(NOW), 1).said == Said::Admit);
    })
}

/// The same by a limit that nodes share, far from it: what a request pays, not the store's calls.
pub fn leased() -> Box<dyn Fn(u64) + Sync> {
    let lease = Lease::new(
        RATE.into(),
        1_000_000_000,
        ENDLESS.into(),
        Fallback::FairShare,
    )
    .expect("a rate in range");
    let table = LeaseTable::new(lease, 2 * KEYS, 0x5eed).expect("a table");
    let keys = keys();
    Box::new(move |i| {
        let hash = table.hash(&keys[spread(i)]);
        let decision = table.decide(hash, black_box(NOW), 1, 2, true);
        if let Some(ask) = decision.ask {
            // As the store's thread does.
            table.granted(hash, NOW, &ask, ask.most, 0);
        }
        black_box(decision.answer.said == Said::Admit);
    })
}

/// Governor's decision on one cell.
pub fn governor_direct(burst: u32) -> Box<dyn Fn(u64) + Sync> {
    let limiter = RateLimiter::direct_with_clock(quota(burst), Still);
    Box::new(move |_| {
        black_box(limiter.check().is_ok());
    })
}

/// Governor's decision for one of many keys.
pub fn governor_keyed(burst: u32) -> Box<dyn Fn(u64) + Sync> {
    let limiter = RateLimiter::dashmap_with_clock(quota(burst), Still);
    let keys = keys();
    Box::new(move |i| {
        black_box(limiter.check_key(&keys[spread(i)]).is_ok());
    })
}

fn direct_state() -> Box<dyn Fn(u64) + Sync> {
    let gcra = gcra(ENDLESS);
    let cell = AtomicU64::new(0);
    Box::new(move |_| {
        if let Decision::Admit { remaining, .. } = gcra.decide(&cell, black_box(NOW), 1) {
            black_box(remaining);
        }
    })
}

fn governor_state() -> Box<dyn Fn(u64) + Sync> {
    let limiter = RateLimiter::direct_with_clock(quota(ENDLESS), Still)
        .with_middleware::<StateInformationMiddleware>();
    Box::new(move |_| {
        if let Ok(state) = limiter.check() {
            black_box(state.remaining_burst_capacity());
        }
    })
}

fn admitted(decision: Decision) -> bool {
    matches!(decision, Decision::Admit { .. })
}

fn gcra(burst: u32) -> Gcra {
    Gcra::new(RATE.into(), 1_000_000_000, burst.into()).expect("a rate in range")
}

fn quota(burst: u32) -> Quota {
    let some = |n| NonZeroU32::new(n).expect("above 0");
    Quota::per_second(some(RATE)).allow_burst(some(burst))
}

fn keys() -> Vec<[u8; 16]> {
    (0..KEYS as u128)
        .map(|i| (0x2001_0db8 << 96 | i).to_be_bytes())
        .collect()
}

/// Jumps about the keys, so that the processor cannot tell which comes next.
fn spread(i: u64) -> usize {
    (algo::mix64(i) % KEYS as u64) as usize
}

/// A clock that costs nothing.
#[derive(Clone, Debug)]
struct Still;

impl Clock for Still {
    type Instant = Nanos;

    #[inline]
    fn now(&self) -> Nanos {
        black_box(NOW).into()
    }
}

/// 10^6 a second, so that a burst of 4 * 10^9 lasts more than an hour.
const RATE: u32 = 1_000_000;
/// More than all rounds use.
const ENDLESS: u32 = 4_000_000_000;
/// Nanoseconds.
const NOW: u64 = 10_000_000_000;
const KEYS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_do_the_same_work() {
        let (g, cell) = (gcra(3), AtomicU64::new(0));
        let limiter = RateLimiter::direct_with_clock(quota(3), Still);
        for i in 0..5 {
            assert_eq!(
                admitted(g.decide(&cell, NOW, 1)),
                limiter.check().is_ok(),
                "decision {i}"
            );
        }
    }
}
