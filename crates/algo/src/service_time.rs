//! How long requests take, as a limiter that lets them wait must guess it: their mean, and what the fastest take.
//!
//! The mean is exponentially weighted, one part in sixteen for each request. The low end is a stochastic estimate of the
//! tenth percentile: each request moves it by a fiftieth, nine times further down than up.
//!
//! A guess that says "too late" to every request would never be corrected, for nothing is served that could do it. So it
//! holds for [`HOLDS`] after the last request and not before [`LEAST`] were seen.
//!
//! Errors: none. Bounds: 32 bytes; no allocation.

/// How long requests take. See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceTime {
    mean: u64,
    low: u64,
    seen: u64,
    last: u64,
}

impl ServiceTime {
    /// One request took so many nanoseconds.
    pub fn observe(&mut self, now: u64, took: u64) {
        let took = took.max(1);
        if self.seen == 0 || !self.is_fresh(now) {
            *self = Self {
                mean: took,
                low: took,
                seen: 0,
                last: now,
            };
        } else {
            self.mean = self.mean - self.mean / 16 + took / 16;
            if took < self.low {
                self.low = (self.low - self.low / 50).max(took);
            } else {
                let up = (self.low / 450).max(1);
                self.low = self.low.saturating_add(up).min(took);
            }
        }
        self.seen = self.seen.saturating_add(1);
        self.last = self.last.max(now);
    }

    /// The mean, nanoseconds; 0 if nothing is known.
    pub fn mean(&self) -> u64 {
        self.mean
    }

    /// What a request takes at the least, and how long one waits for its turn behind `ahead` others of which `limit` are served
    /// at a time; none if too little is known.
    pub fn expected(&self, now: u64, ahead: usize, limit: u32) -> Option<Expected> {
        if self.seen < LEAST || !self.is_fresh(now) {
            return None;
        }
        let turns = u128::from(self.mean) * (ahead as u128 + 1) / u128::from(limit.max(1));
        Some(Expected {
            wait: u64::try_from(turns).unwrap_or(u64::MAX),
            service: self.low,
        })
    }

    fn is_fresh(&self, now: u64) -> bool {
        now.saturating_sub(self.last) < HOLDS
    }
}

/// What a request has before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Until its turn, nanoseconds.
    pub wait: u64,
    /// From its turn to its end, at the least.
    pub service: u64,
}

/// Requests that must be seen before anything is guessed.
pub const LEAST: u64 = 16;
/// How long a guess holds after the last request, nanoseconds.
pub const HOLDS: u64 = 5_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    const MS: u64 = 1_000_000;

    #[test]
    fn it_says_nothing_before_it_knows_and_when_that_is_old() {
        let mut s = ServiceTime::default();
        for i in 0..LEAST {
            assert_eq!(s.expected(i, 0, 1), None);
            s.observe(i, 10 * MS);
        }
        for (now, ahead, limit, want) in [
            (LEAST, 0, 1, Some(10 * MS)),
            (LEAST, 9, 1, Some(100 * MS)),
            (LEAST, 9, 10, Some(10 * MS)),
            (LEAST, 9, 0, Some(100 * MS)),
            (LEAST + HOLDS, 0, 1, None),
        ] {
            let got = s.expected(now, ahead, limit).map(|e| e.wait);
            // Sixteenths are cut.
            let near = |w: u64| got.is_some_and(|g| g <= w && g > w - w / 100);
            assert!(want.map_or(got.is_none(), near), "{now} {ahead} {got:?}");
        }
        s.observe(2 * HOLDS, MS);
        assert_eq!((s.mean(), s.low), (MS, MS));
    }

    #[test]
    fn the_low_end_is_near_the_tenth_percentile() {
        let (mut s, mut rng) = (ServiceTime::default(), Rng::new(3));
        for i in 0..20_000 {
            s.observe(i, MS + rng.next_u64() % (100 * MS));
        }
        assert!((4 * MS..22 * MS).contains(&s.low), "{}", s.low);
        assert!((35 * MS..65 * MS).contains(&s.mean), "{}", s.mean);
    }

    #[test]
    fn it_follows_what_becomes_slower_or_faster() {
        let mut s = ServiceTime::default();
        for (took, n) in [(MS, 100), (50 * MS, 3000), (2 * MS, 400)] {
            (0..n).for_each(|i| s.observe(i, took));
            for got in [s.mean, s.low] {
                assert!(got.abs_diff(took) <= took / 5, "{got} of {took}");
            }
        }
        s.observe(u64::MAX, u64::MAX);
        assert!(s.expected(u64::MAX, usize::MAX, 1).is_none());
    }
}
