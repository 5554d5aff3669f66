//! The exact sliding window: the time of each admission of the last period is remembered.
//!
//! State:  a ring of as many times as the quota, from the oldest on: where it begins, how many there are, and
//!         they. A cost of n is n entries.
//! Bounds: in any time of one period at most the quota, exactly. Memory is 8 bytes for each of the quota and key,
//!         so the quota is at most [`SlidingLog::MAX_ENTRIES`].

use crate::gcra::BadRate;
use crate::limit::{clock, later, window, Algorithm, Answer, Clock, Said};

/// `quota` in any time of `period_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingLog {
    quota: u64,
    period: u64,
}

impl SlidingLog {
    /// The largest quota.
    pub const MAX_ENTRIES: u64 = 1024;

    /// At least one in at least a nanosecond, and at most [`Self::MAX_ENTRIES`].
    pub fn new(quota: u64, period_ns: u64) -> Result<Self, BadRate> {
        window(quota, period_ns)?;
        if quota > Self::MAX_ENTRIES {
            return Err(BadRate::TooManyEntries);
        }
        Ok(Self {
            quota,
            period: period_ns,
        })
    }
}

impl Algorithm for SlidingLog {
    fn words(&self) -> usize {
        2 + self.quota as usize
    }

    fn quota(&self) -> u64 {
        self.quota
    }

    fn settle(&self, state: &mut [u64], now: u64) -> u64 {
        let [first, len, ring @ ..] = state else {
            return now;
        };
        let Some(newest) = len.checked_sub(1).map(|last| nth(*first, ring, last)) else {
            return now;
        };
        let time = match clock(newest, now) {
            Clock::At(time) => time,
            Clock::SetBack => {
                let by = newest.wrapping_sub(now);
                ring.iter_mut().for_each(|t| *t = t.wrapping_sub(by));
                now
            }
        };
        // They are in order: what is over is at the front.
        let (mut over, mut live) = (0, *len);
        while over < live {
            let middle = over + (live - over) / 2;
            match time.wrapping_sub(nth(*first, ring, middle)) >= self.period {
                true => over = middle + 1,
                false => live = middle,
            }
        }
        *first = (*first + over) % ring.len() as u64;
        *len -= over;
        time
    }

    fn look(&self, state: &[u64], now: u64, cost: u64) -> Answer {
        let [first, len, ring @ ..] = state else {
            return Answer::unused(self.quota);
        };
        let (len, next) = (*len, len + cost);
        // When the nth of what will be there is over; what is admitted now is over in one period.
        let over = |n: u64| match n < len {
            true => (self.period).saturating_sub(now.wrapping_sub(nth(*first, ring, n))),
            false => self.period,
        };
        let (said, len) = match next.checked_sub(self.quota + 1) {
            None => (Said::Admit, next),
            Some(n) => {
                let retry_after = over(n).max(1);
                (Said::Refuse { retry_after }, len)
            }
        };
        Answer {
            said,
            remaining: self.quota.saturating_sub(len),
            more_after: if len > 0 { over(0) } else { 0 },
            reset_after: if len > 0 { over(len - 1) } else { 0 },
        }
    }

    fn charge(&self, state: &mut [u64], now: u64, cost: u64) {
        let [first, len, ring @ ..] = state else {
            return;
        };
        for _ in 0..cost.min(self.quota.saturating_sub(*len)) {
            let at = (*first + *len) % ring.len() as u64;
            ring[at as usize] = now;
            *len += 1;
        }
    }

    /// The nth newest of both is the later of their nth newest: so no time holds fewer than either has in it.
    fn join(&self, floor: &mut [u64], other: &[u64]) {
        let ([first, len, ring @ ..], [their_first, theirs, their_ring @ ..]) = (floor, other)
        else {
            return;
        };
        let size = ring.len() as u64;
        for n in 0..*theirs {
            let time = nth(*their_first, their_ring, theirs - 1 - n);
            if n < *len {
                let at = (*first + *len - 1 - n) % size;
                ring[at as usize] = later(ring[at as usize], time);
            } else {
                *first = (*first + size - 1) % size;
                *len += 1;
                ring[*first as usize] = time;
            }
        }
    }
}

/// The nth oldest of a ring that begins at `first`.
fn nth(first: u64, ring: &[u64], n: u64) -> u64 {
    ring[((first + n) % ring.len() as u64) as usize]
}
