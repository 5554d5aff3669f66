//! The fixed window: so many in each window of a key, which opens with its first request.
//!
//! Windows of different keys open at different times, so not all clients come back at the same moment.
//!
//! State:  when the window opened, and how much is used of it.
//! Bounds: two windows that touch admit the quota each, at worst back to back: twice the quota in one period.

use crate::gcra::BadRate;
use crate::limit::{clock, later, window, Algorithm, Answer, Clock, Said};

/// `quota` in each window of `period_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedWindow {
    quota: u64,
    period: u64,
}

impl FixedWindow {
    /// At least one in at least a nanosecond.
    pub fn new(quota: u64, period_ns: u64) -> Result<Self, BadRate> {
        window(quota, period_ns)?;
        Ok(Self {
            quota,
            period: period_ns,
        })
    }
}

impl Algorithm for FixedWindow {
    fn words(&self) -> usize {
        2
    }

    fn quota(&self) -> u64 {
        self.quota
    }

    fn settle(&self, state: &mut [u64], now: u64) -> u64 {
        let [opened, used] = state else { return now };
        let time = match clock(*opened, now) {
            Clock::At(time) => time,
            Clock::SetBack => {
                *opened = now;
                now
            }
        };
        if time.wrapping_sub(*opened) >= self.period {
            *used = 0;
        }
        if *used == 0 {
            *opened = time;
        }
        time
    }

    fn look(&self, state: &[u64], now: u64, cost: u64) -> Answer {
        let &[opened, used] = state else {
            return Answer::unused(self.quota);
        };
        let closes = self.period.saturating_sub(now.wrapping_sub(opened)).max(1);
        let next = used.min(self.quota) + cost;
        let (said, used) = match next <= self.quota {
            true => (Said::Admit, next),
            false => (
                Said::Refuse {
                    retry_after: closes,
                },
                used,
            ),
        };
        let closes = if used > 0 { closes } else { 0 };
        Answer {
            said,
            remaining: self.quota.saturating_sub(used),
            more_after: closes,
            reset_after: closes,
        }
    }

    fn charge(&self, state: &mut [u64], _: u64, cost: u64) {
        let [_, used] = state else { return };
        *used = used.saturating_add(cost).min(self.quota);
    }

    fn join(&self, floor: &mut [u64], other: &[u64]) {
        let ([opened, used], &[their_opened, theirs]) = (floor, other) else {
            return;
        };
        if theirs > 0 {
            *opened = match *used {
                0 => their_opened,
                _ => later(*opened, their_opened),
            };
            *used = theirs.max(*used);
        }
    }
}
