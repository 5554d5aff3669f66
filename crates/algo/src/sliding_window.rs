//! The approximate sliding window: this window's count, and the one before by the part of it that is still
//! within one period. It takes requests of the window before as spread evenly over it.
//!
//! Source: the counter that Cloudflare describes for its rate limiting.
//! State:  when the window opened, how much is used of it, and how much was of the one before.
//! Bounds: a window never admits more than the quota, so any period, which touches two, at most twice that:
//!         when all of one window came at its end and all of the next at its end too. Under an even load it is
//!         the quota. Where that is not enough, see [`crate::sliding_log`].

use crate::gcra::BadRate;
use crate::limit::{clock, later, window, Algorithm, Answer, Clock, Said};

/// About `quota` in any time of `period_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlidingWindow {
    quota: u64,
    period: u64,
}

impl SlidingWindow {
    /// At least one in at least a nanosecond.
    pub fn new(quota: u64, period_ns: u64) -> Result<Self, BadRate> {
        window(quota, period_ns)?;
        Ok(Self {
            quota,
            period: period_ns,
        })
    }

    /// What counts of the window before when `elapsed` of this one is over, rounded up.
    fn weighed(&self, before: u64, elapsed: u64) -> u64 {
        let left = self.period.saturating_sub(elapsed);
        (u128::from(before) * u128::from(left)).div_ceil(u128::from(self.period)) as u64
    }

    /// How much of a window must be over before its predecessor's `before` weigh at most `room`.
    fn fades(&self, before: u64, room: u64) -> u64 {
        if before <= room {
            return 0;
        }
        let within = u128::from(room) * u128::from(self.period) / u128::from(before);
        self.period - within as u64
    }
}

impl Algorithm for SlidingWindow {
    fn words(&self) -> usize {
        3
    }

    fn quota(&self) -> u64 {
        self.quota
    }

    fn settle(&self, state: &mut [u64], now: u64) -> u64 {
        let [opened, used, before] = state else {
            return now;
        };
        let time = match clock(*opened, now) {
            Clock::At(time) => time,
            Clock::SetBack => {
                *opened = now;
                now
            }
        };
        let elapsed = time.wrapping_sub(*opened);
        if elapsed / self.period >= 2 {
            (*used, *before) = (0, 0);
        } else if elapsed >= self.period {
            (*used, *before) = (0, *used);
            *opened = opened.wrapping_add(self.period);
        }
        if (*used, *before) == (0, 0) {
            *opened = time;
        }
        time
    }

    fn look(&self, state: &[u64], now: u64, cost: u64) -> Answer {
        let &[opened, used, before] = state else {
            return Answer::unused(self.quota);
        };
        let elapsed = now.wrapping_sub(opened).min(self.period - 1);
        let closes = self.period - elapsed;
        // Each is at most 2^53.
        let next = used + cost;
        let admit = next + self.weighed(before, elapsed) <= self.quota;
        // When a cost would be within the quota, if nothing else comes.
        let fits = |used: u64, cost: u64| match self.quota.checked_sub(used + cost) {
            Some(room) => self.fades(before, room).saturating_sub(elapsed),
            None => closes + self.fades(used, self.quota.saturating_sub(cost)),
        };
        let said = match admit {
            true => Said::Admit,
            false => Said::Refuse {
                retry_after: fits(used, cost).max(1),
            },
        };
        let used = if admit { next } else { used };
        let remaining = self
            .quota
            .saturating_sub(used + self.weighed(before, elapsed));
        Answer {
            said,
            remaining,
            more_after: match remaining < self.quota {
                true => fits(used, remaining + 1).max(1),
                false => 0,
            },
            reset_after: match (used, before) {
                (0, 0) => 0,
                (0, _) => closes,
                _ => closes + self.period,
            },
        }
    }

    fn charge(&self, state: &mut [u64], _: u64, cost: u64) {
        let [_, used, _] = state else { return };
        *used = used.saturating_add(cost).min(self.quota);
    }

    fn join(&self, floor: &mut [u64], other: &[u64]) {
        let ([opened, used, before], &[their_opened, theirs, theirs_before]) = (floor, other)
        else {
            return;
        };
        if (theirs, theirs_before) != (0, 0) {
            *opened = match (*used, *before) {
                (0, 0) => their_opened,
                _ => later(*opened, their_opened),
            };
            *used = theirs.max(*used);
            *before = theirs_before.max(*before);
        }
    }
}
