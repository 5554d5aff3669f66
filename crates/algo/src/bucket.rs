//! The token bucket: it begins full, each request takes its cost, and tokens come back one by one.
//!
//! Source: ITU-T I.371, the continuous-state form of the GCRA, which admits what [`crate::gcra`] (the form of
//!         virtual scheduling) admits. Exact for every rate: what is owed is counted in fractions of a token.
//! State:  the time, and how much is owed.
//! Bounds: `burst` tokens times the period in nanoseconds, both without the factor that the period shares with
//!         the count, are at most 2^62.

use crate::gcra::BadRate;
use crate::limit::{clock, later, Algorithm, Answer, Clock, Said};

/// A bucket of `burst` tokens, into which `count` come in every period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Fractions in a token.
    token: u64,
    /// Fractions that come in a nanosecond.
    refill: u64,
    burst: u64,
}

impl Bucket {
    /// A rate of `count` in every `period_ns`, of which `burst` are admitted at one instant from idle.
    pub const fn new(count: u64, period_ns: u64, burst: u64) -> Result<Self, BadRate> {
        if let Some(fault) = BadRate::of(count, period_ns, burst) {
            return Err(fault);
        }
        let shared = common(count, period_ns);
        let (token, refill) = (period_ns / shared, count / shared);
        if token as u128 * burst as u128 > MOST_OWED {
            return Err(BadRate::TooLong);
        }
        Ok(Self {
            token,
            refill,
            burst,
        })
    }

    fn full(&self) -> u64 {
        self.token * self.burst
    }
}

impl Algorithm for Bucket {
    fn words(&self) -> usize {
        2
    }

    fn quota(&self) -> u64 {
        self.burst
    }

    fn settle(&self, state: &mut [u64], now: u64) -> u64 {
        let [at, owed] = state else { return now };
        match clock(*at, now) {
            Clock::At(time) => {
                let back = u128::from(time.wrapping_sub(*at)) * u128::from(self.refill);
                *owed = u128::from(*owed).saturating_sub(back) as u64;
                *at = time;
            }
            Clock::SetBack => *at = now,
        }
        *at
    }

    fn look(&self, state: &[u64], _: u64, cost: u64) -> Answer {
        let owed = state.get(1).copied().unwrap_or_default();
        let owed = owed.min(MOST_OWED as u64);
        // Both are at most 2^62.
        let next = owed + cost * self.token;
        let said = if next <= self.full() {
            Said::Admit
        } else {
            let retry_after = (next - self.full()).div_ceil(self.refill);
            Said::Refuse { retry_after }
        };
        let owed = if said == Said::Admit { next } else { owed };
        let remaining = self.full().saturating_sub(owed) / self.token;
        let short = |owed: u64| owed.div_ceil(self.refill);
        Answer {
            said,
            remaining,
            more_after: match remaining < self.burst {
                true => short(owed - (self.burst - remaining - 1) * self.token),
                false => 0,
            },
            reset_after: short(owed),
        }
    }

    fn charge(&self, state: &mut [u64], _: u64, cost: u64) {
        let [_, owed] = state else { return };
        *owed = (*owed).min(self.full()) + cost.min(self.burst) * self.token;
    }

    fn owe(&self, state: &mut [u64], _: u64, cost: u64) {
        let [_, owed] = state else { return };
        let all = u128::from(*owed) + u128::from(cost) * u128::from(self.token);
        *owed = all.min(MOST_OWED) as u64;
    }

    fn join(&self, floor: &mut [u64], other: &[u64]) {
        let ([at, owed], &[their_at, theirs]) = (floor, other) else {
            return;
        };
        *at = later(*at, their_at);
        *owed = theirs.max(*owed);
    }
}

/// The greatest common divisor.
const fn common(a: u64, b: u64) -> u64 {
    let (mut a, mut b) = (a, b);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Two of them fit 64 bits.
const MOST_OWED: u128 = 1 << 62;
