//! A limit by any of the algorithms: what a request of some cost is told, and what it leaves behind.
//!
//! A key's state is a few words that [`crate::limit_table`] keeps; all zero is a key never seen. Three steps:
//! `settle` brings it to a time, `look` asks, `charge` counts. What only looks counts nothing, so several limits
//! can be asked before one is charged.
//!
//! | algorithm | in any time T, of a quota L a period P, is admitted at most | words a key |
//! |---|---|---|
//! | [`Bucket`] (`gcra`, `token_bucket`) | the burst and what T brings: B + L·T/P | 2 |
//! | [`FixedWindow`] | 2·L in any P; L in each window of the key | 2 |
//! | [`SlidingWindow`] | 2·L in any P; L in each window of the key, and rarely more than L in any P | 3 |
//! | [`SlidingLog`] | L in any P | L + 2 |
//!
//! Units:  nanoseconds since any fixed start.
//! Errors: only constructors fail ([`BadRate`]). All else is total.
//! Bounds: a quota of at most [`MAX_QUOTA`]; a log of at most [`SlidingLog::MAX_ENTRIES`].
//! Limits: a clock that is up to [`MAX_BACK`] behind what a key has seen is another thread's: the key stays
//!         at the later time. One that is further behind was set back, or wrapped: the key goes on from the
//!         new time with all that it has used. So no clock lets anybody free or locks anybody out.

use crate::bucket::Bucket;
use crate::fixed_window::FixedWindow;
use crate::gcra::BadRate;
use crate::sliding_log::SlidingLog;
use crate::sliding_window::SlidingWindow;

/// A limit by one of the algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Tokens that come one by one: `gcra` and `token_bucket`.
    Bucket(Bucket),
    /// A window that opens with a key's first request.
    FixedWindow(FixedWindow),
    /// Two counters, the older one weighted.
    SlidingWindow(SlidingWindow),
    /// The time of each admission.
    SlidingLog(SlidingLog),
}

/// What [`crate::Held::look`] says. Times are nanoseconds from the time it was given, rounded up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whether the request is within the limit.
    pub said: Said,
    /// How many of cost 1 would be admitted now: after this request if it is admitted.
    pub remaining: u64,
    /// Until `remaining` is higher by one or more if nothing else comes; 0 if it cannot be.
    pub more_after: u64,
    /// Until nothing is used any more.
    pub reset_after: u64,
}

impl Answer {
    /// Of a key that has used nothing.
    pub(crate) const fn unused(quota: u64) -> Self {
        Self {
            said: Said::Admit,
            remaining: quota,
            more_after: 0,
            reset_after: 0,
        }
    }
}

/// Whether a request is within a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is. Nothing is counted before [`crate::Held::charge`].
    Admit,
    /// It is not, and nothing is to be counted.
    Refuse {
        /// Until this cost would be admitted if nothing else comes, at least 1.
        retry_after: u64,
    },
    /// Its cost is above the quota: no wait helps.
    Never,
}

/// What an algorithm does. States given to `look`, `charge` and `join` are settled at the time given.
pub(crate) trait Algorithm {
    /// How many words a key's state has.
    fn words(&self) -> usize;
    /// The largest cost that is ever admitted.
    fn quota(&self) -> u64;
    /// Brings a state to `now`, and says which time counts for it: `now`, or a later one it has seen.
    fn settle(&self, state: &mut [u64], now: u64) -> u64;
    /// As `Limit::look`, for a cost within the quota.
    fn look(&self, state: &[u64], now: u64, cost: u64) -> Answer;
    /// Counts a cost that `look` admitted.
    fn charge(&self, state: &mut [u64], now: u64, cost: u64);
    /// Counts a cost that has already been spent, whether or not it is within the limit.
    fn owe(&self, state: &mut [u64], now: u64, cost: u64) {
        self.charge(state, now, cost);
    }
    /// Makes `floor` a state under which no more is admitted than under either.
    fn join(&self, floor: &mut [u64], other: &[u64]);
}

impl Limit {
    /// How many words a key's state has.
    pub(crate) fn words(&self) -> usize {
        self.algorithm().words()
    }

    /// The largest cost that is ever admitted: what is admitted at one instant from idle.
    pub fn quota(&self) -> u64 {
        self.algorithm().quota()
    }

    /// Brings a state of [`words`](Self::words) words to `now`. Returns the time that counts for it from here on.
    pub(crate) fn settle(&self, state: &mut [u64], now: u64) -> u64 {
        self.algorithm().settle(state, now)
    }

    /// Decides for a request of `cost`. A cost of 0 asks only, and is always admitted.
    pub(crate) fn look(&self, state: &[u64], now: u64, cost: u64) -> Answer {
        let algorithm = self.algorithm();
        if cost > algorithm.quota() {
            let said = Said::Never;
            return Answer {
                said,
                ..algorithm.look(state, now, 0)
            };
        }
        algorithm.look(state, now, cost)
    }

    /// Counts a cost that [`look`](Self::look) admitted for this state at this time.
    pub(crate) fn charge(&self, state: &mut [u64], now: u64, cost: u64) {
        if cost > 0 {
            self.algorithm().charge(state, now, cost);
        }
    }

    /// Counts a cost that has already been spent. What is beyond the limit is a debt of a bucket, and later requests wait
    /// until it is paid; a window or a log is then full, and no more than that.
    pub(crate) fn owe(&self, state: &mut [u64], now: u64, cost: u64) {
        if cost > 0 {
            self.algorithm().owe(state, now, cost);
        }
    }

    /// Makes `floor` a state under which the stated bound holds for a key of either state. Both are settled.
    pub(crate) fn join(&self, floor: &mut [u64], other: &[u64]) {
        self.algorithm().join(floor, other);
    }

    fn algorithm(&self) -> &dyn Algorithm {
        match self {
            Self::Bucket(a) => a,
            Self::FixedWindow(a) => a,
            Self::SlidingWindow(a) => a,
            Self::SlidingLog(a) => a,
        }
    }
}

/// Where the clock stands to the latest time that a key has seen.
pub(crate) enum Clock {
    /// This is the time that counts.
    At(u64),
    /// It was set back.
    SetBack,
}

/// Compares in the half circle of 292 years, so that a clock may wrap.
pub(crate) fn clock(seen: u64, now: u64) -> Clock {
    let ahead = seen.wrapping_sub(now);
    match ahead as i64 {
        ..=0 => Clock::At(now),
        _ if ahead <= MAX_BACK => Clock::At(seen),
        _ => Clock::SetBack,
    }
}

/// The later of two times.
pub(crate) fn later(a: u64, b: u64) -> u64 {
    if (a.wrapping_sub(b) as i64) > 0 {
        a
    } else {
        b
    }
}

/// Checks what all windows have in common.
pub(crate) fn window(quota: u64, period_ns: u64) -> Result<(), BadRate> {
    match (quota, period_ns) {
        (0, _) => Err(BadRate::ZeroCount),
        (_, 0) => Err(BadRate::ZeroPeriod),
        _ if quota > MAX_QUOTA => Err(BadRate::TooFast),
        _ if period_ns > MAX_PERIOD => Err(BadRate::TooLong),
        _ => Ok(()),
    }
}

/// One hour, in nanoseconds: how far a thread's clock may be behind another's.
pub const MAX_BACK: u64 = 3_600_000_000_000;
/// 2^53: the largest quota of a window.
pub const MAX_QUOTA: u64 = 1 << 53;
/// 2^61 nanoseconds (73 years): a few of them fit the half circle of a clock.
const MAX_PERIOD: u64 = 1 << 61;

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
