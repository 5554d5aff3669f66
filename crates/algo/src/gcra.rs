//! GCRA: one timestamp per key decides whether a request is within its rate.
//!
//! Source: ITU-T I.371 and ATM Forum TM 4.1 (virtual scheduling). The stored value is the
//!         theoretical arrival time (TAT): when a key that used up its allowance is idle again.
//! Units:  arguments and results are nanoseconds since any fixed start (process start is best).
//!         A TAT is opaque: ticks of 1/63 ns, modulo 2^64. Periods are written in seconds, so
//!         2 and 5 already divide them; 63 = 3·3·7 makes the interval of 3/s, 7/s, 90/min exact too.
//!         Any other is rounded up by less than a tick: a limit is never exceeded, and at
//!         10^6/s it falls short by less than 2 in 10^5.
//! Errors: only [`Gcra::new`] fails ([`BadRate`]). [`Gcra::check`] and [`Gcra::decide`] are total.
//! Bounds: rate at most one per nanosecond; `burst` whole intervals last at most 2^62 ticks (2.3
//!         years). Ticks wrap after 9.3 years: a key untouched for 4.6 to 9.3 years of one process
//!         may be refused once for at most its whole burst.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A rate with a burst: `count` a `period`, of which `burst` may come at one instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gcra {
    /// Emission interval T, in ticks.
    interval: u64,
    /// `burst` intervals, in ticks: how far a TAT may lie ahead of now.
    span: u64,
    burst: u64,
    /// floor(2^64 / interval), so that `remaining` needs no division.
    reciprocal: u64,
    /// Differs between rates, to keep one key's cells under several apart.
    salt: u64,
}

/// What [`Gcra::check`] says. Times are nanoseconds from the `now` it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Within the rate.
    Admit {
        /// The TAT to store. Equal to the old one only if the cost was 0.
        tat: u64,
        /// How many more of cost 1 would be admitted at this instant.
        remaining: u64,
        /// Until the key is idle again, rounded up.
        reset_after: u64,
    },
    /// Above the rate. Nothing is to be stored: a refusal never moves the TAT.
    Refuse {
        /// Until this cost would be admitted if nothing else comes, rounded up, at least 1.
        retry_after: u64,
        /// How many of cost 1 would be admitted at this instant.
        remaining: u64,
        /// Until the key is idle again, rounded up.
        reset_after: u64,
    },
    /// The cost is above the burst: no wait helps.
    Never,
}

/// Why [`Gcra::new`] refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRate {
    /// `count` is 0.
    ZeroCount,
    /// `period_ns` is 0.
    ZeroPeriod,
    /// `burst` is 0: nothing would ever be admitted.
    ZeroBurst,
    /// More than one a nanosecond.
    TooFast,
    /// `burst` intervals last longer than 2^62 ticks (2.3 years).
    TooLong,
    /// More times to remember than [`crate::SlidingLog::MAX_ENTRIES`].
    TooManyEntries,
}

impl BadRate {
    /// What is wrong with a rate and a burst, whatever counts them.
    pub(crate) const fn of(count: u64, period_ns: u64, burst: u64) -> Option<Self> {
        if count == 0 {
            return Some(Self::ZeroCount);
        }
        if period_ns == 0 {
            return Some(Self::ZeroPeriod);
        }
        if burst == 0 {
            return Some(Self::ZeroBurst);
        }
        if count > period_ns {
            return Some(Self::TooFast);
        }
        None
    }
}

impl Gcra {
    /// A rate of `count` in every `period_ns`, of which `burst` (at least 1) are admitted at one
    /// instant from idle.
    pub const fn new(count: u64, period_ns: u64, burst: u64) -> Result<Self, BadRate> {
        if let Some(fault) = BadRate::of(count, period_ns, burst) {
            return Err(fault);
        }
        let interval = (period_ns as u128 * TICKS_PER_NS as u128).div_ceil(count as u128);
        if interval > MAX_SPAN || burst as u128 * interval > MAX_SPAN {
            return Err(BadRate::TooLong);
        }
        Ok(Self {
            interval: interval as u64,
            span: (burst as u128 * interval) as u64,
            burst,
            reciprocal: ((1u128 << 64) / interval) as u64,
            salt: crate::hash::mix64(interval as u64 ^ burst.rotate_left(32)),
        })
    }

    /// A queue that lets requests go on at the rate, one by one: of those that come at one instant `burst` find a place, and
    /// none waits longer than `max_wait_ns`. What [`check`](Self::check) admits goes on after [`wait`](Self::wait).
    pub const fn queue(
        count: u64,
        period_ns: u64,
        burst: u64,
        max_wait_ns: u64,
    ) -> Result<Self, BadRate> {
        let one = match Self::new(count, period_ns, 1) {
            Ok(one) => one,
            Err(fault) => return Err(fault),
        };
        if burst == 0 {
            return Err(BadRate::ZeroBurst);
        }
        let longest = max_wait_ns as u128 * TICKS_PER_NS as u128 + one.interval as u128;
        let all = burst as u128 * one.interval as u128;
        let span = if all < longest { all } else { longest };
        if span > MAX_SPAN {
            return Err(BadRate::TooLong);
        }
        let span = span as u64;
        Ok(Self {
            span,
            burst: span / one.interval,
            salt: crate::hash::mix64(one.salt ^ span),
            ..one
        })
    }

    /// Of a [`queue`](Self::queue): how long who was admitted at `now` with this TAT and a cost of 1 waits for its turn,
    /// nanoseconds, rounded up.
    pub const fn wait(&self, tat: u64, now: u64) -> u64 {
        let turn = tat.wrapping_sub(self.interval);
        let now = ticks(now);
        if is_ahead(turn, now) {
            turn.wrapping_sub(now).div_ceil(TICKS_PER_NS)
        } else {
            0
        }
    }

    /// The number admitted at one instant from idle: what `CL.THROTTLE` calls the limit.
    pub const fn burst(&self) -> u64 {
        self.burst
    }

    /// Nanoseconds in which a key that used its whole burst becomes idle, rounded up: the window
    /// that `RateLimit-Policy` calls `w`, and the time for which a store must keep a key.
    pub const fn window(&self) -> u64 {
        self.span.div_ceil(TICKS_PER_NS)
    }

    /// Decides for a request of `cost` (usually 1) at `now`.
    ///
    /// `tat` is what was stored for the key; 0 for a key never seen. A cost of 0 asks without
    /// using anything and is always admitted.
    // Always: what a caller does not use of the answer is then not computed.
    #[inline(always)]
    pub const fn check(&self, tat: u64, now: u64, cost: u64) -> Decision {
        if cost > self.burst {
            return Decision::Never;
        }
        let now = ticks(now);
        let seen = if tat == UNSEEN { idle_at(now) } else { tat };
        let start = if is_ahead(seen, now) { seen } else { now };
        let debt = start.wrapping_sub(now);
        if cost == 0 {
            let debt = self.at_most_span(debt);
            return Decision::Admit {
                tat,
                remaining: self.intervals(self.span - debt),
                reset_after: debt.div_ceil(TICKS_PER_NS),
            };
        }
        // `debt + charge` is below 2^63 + 2^62: cannot overflow.
        let charge = cost * self.interval;
        let next = start.wrapping_add(charge);
        let charged = next.wrapping_sub(now);
        if charged > self.span {
            let debt = self.at_most_span(debt);
            return Decision::Refuse {
                retry_after: (debt + charge - self.span).div_ceil(TICKS_PER_NS),
                remaining: self.intervals(self.span - debt),
                reset_after: debt.div_ceil(TICKS_PER_NS),
            };
        }
        Decision::Admit {
            tat: if next.wrapping_add(1) < 2 {
                after_reserved()
            } else {
                next
            },
            remaining: self.intervals(self.span - charged),
            reset_after: charged.div_ceil(TICKS_PER_NS),
        }
    }

    /// [`check`](Self::check) on a cell that threads share, storing the new TAT.
    ///
    /// Exact over threads, lock-free. A lost race means that another request was admitted and the
    /// TAT is a whole interval later, so there are at most `burst` rounds before an answer.
    #[inline(always)] // As `check`.
    pub fn decide(&self, cell: &AtomicU64, now: u64, cost: u64) -> Decision {
        // Relaxed: the cell is the whole state; no other memory is published through it.
        let mut tat = cell.load(Ordering::Relaxed);
        loop {
            let decision = self.check(tat, now, cost);
            let Decision::Admit { tat: next, .. } = decision else {
                return decision;
            };
            if cost == 0 {
                return decision;
            }
            match cell.compare_exchange(tat, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return decision,
                Err(seen) => tat = seen,
            }
        }
    }

    #[inline]
    pub(crate) const fn salt(&self) -> u64 {
        self.salt
    }

    /// A debt of more is seen when another thread read a later clock: then nothing is left, and the
    /// answer is a refusal.
    #[inline]
    const fn at_most_span(&self, debt: u64) -> u64 {
        if debt < self.span {
            debt
        } else {
            self.span
        }
    }

    /// floor(x / interval). The product falls short of the quotient by less than x / 2^64 < 1, so
    /// one correction makes it exact.
    #[inline]
    const fn intervals(&self, x: u64) -> u64 {
        let q = ((x as u128 * self.reciprocal as u128) >> 64) as u64;
        q + (x - q * self.interval >= self.interval) as u64
    }
}

impl fmt::Display for BadRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZeroCount => "a rate of 0 admits nothing",
            Self::ZeroPeriod => "a period of 0 is no rate",
            Self::ZeroBurst => "a burst of 0 admits nothing",
            Self::TooFast => "the rate is above one per nanosecond",
            Self::TooLong => "the burst would last longer than 2.3 years",
            Self::TooManyEntries => "a log has at most 1024 entries",
        })
    }
}

impl std::error::Error for BadRate {}

/// Nanoseconds to ticks, modulo 2^64.
#[inline]
pub(crate) const fn ticks(ns: u64) -> u64 {
    ns.wrapping_mul(TICKS_PER_NS)
}

/// True if tick `a` is later than tick `b`, in the half circle of 4.6 years.
#[inline]
pub(crate) const fn is_ahead(a: u64, b: u64) -> bool {
    (a.wrapping_sub(b) as i64) > 0
}

/// Where a key never seen starts. Out of line, and cold, to keep it off the path from the load of a
/// cell to its swap, which is what limits a cell that is hot.
#[cold]
#[inline(never)]
const fn idle_at(now: u64) -> u64 {
    now
}

/// Stored in place of `BUSY` and `UNSEEN`: at most two ticks later. Cold, as `idle_at`.
#[cold]
#[inline(never)]
const fn after_reserved() -> u64 {
    UNSEEN + 1
}

/// The TAT of a key never seen.
pub(crate) const UNSEEN: u64 = 0;
/// Never a TAT: marks a cell that changes its key (see [`crate::table`]).
pub(crate) const BUSY: u64 = u64::MAX;
/// 2^64 ticks are 9.3 years.
const TICKS_PER_NS: u64 = 63;
/// Ticks; a debt and a charge of this size still add up below 2^63 + 1.
const MAX_SPAN: u128 = 1 << 62;

#[cfg(test)]
#[path = "gcra_tests.rs"]
mod tests;
