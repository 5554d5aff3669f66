//! What each consumer used of one quota in its window, shared by all threads of a process.
//!
//! A window is told by the wall clock, which people and machines set. So windows go forward only:
//!
//! - A clock that is set back by up to a day, or by the length of a window if that is less, stays in the window that is open.
//! - One that is set back by more had been wrong before: its time is believed. What was used of the window that it comes back
//!   to, and of the one that it leaves, count together: nobody gets anything twice.
//!
//! **When it is full** a consumer that is new takes the place of one that used nothing of the window; without any it is not counted
//! and has to be refused ([`Counts::admit`] says so).
//!
//! Bounds: [`MAX_CONSUMERS`], about 100 bytes and a name each. One of 64 locks is held for one look-up in its share; once a
//! window it reads the calendar.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard};

use super::stripes::{Stripes, STRIPES};
use super::{Calendar, Window};

/// What consumers used of one quota.
#[derive(Default)]
pub struct Counts {
    stripes: Stripes<Stripe>,
}

/// Where a consumer stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The window that is open.
    pub window: Window,
    /// What was used of it.
    pub used: u64,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It is within its quota; what it costs is in what was used.
    Admitted(Standing),
    /// It is not, and used nothing.
    Refused(Standing),
    /// There is no room to count this consumer.
    Full,
}

#[derive(Default)]
struct Stripe {
    /// The window that is open; empty before the first.
    window: Window,
    consumers: HashMap<Arc<str>, Record>,
}

/// Of the newest window and of the one before it: where each begins, and what was used.
#[derive(Clone, Copy, Default)]
struct Record {
    window: u64,
    used: u64,
    before: (u64, u64),
}

impl Counts {
    /// Takes `cost` if that is within `limit`; for a cost of 0, which is measured later, if anything is left.
    pub fn admit(
        &self,
        consumer: &Arc<str>,
        calendar: &Calendar,
        unix: u64,
        (limit, cost): (u64, u64),
    ) -> Admission {
        let mut stripe = self.stripes.of(consumer);
        let window = stripe.turn(calendar, unix);
        let Some(record) = stripe.record(consumer, window) else {
            return Admission::Full;
        };
        let wanted = record.used.saturating_add(cost.max(1));
        let admitted = wanted <= limit;
        if admitted {
            record.used += cost;
        }
        let standing = Standing {
            window,
            used: record.used,
        };
        match admitted {
            true => Admission::Admitted(standing),
            false => Admission::Refused(standing),
        }
    }

    /// Takes what an admitted request turned out to cost, also above its limit.
    pub fn charge(
        &self,
        consumer: &Arc<str>,
        calendar: &Calendar,
        unix: u64,
        units: u64,
    ) -> Standing {
        let mut stripe = self.stripes.of(consumer);
        let window = stripe.turn(calendar, unix);
        let used = stripe.record(consumer, window).map(|record| {
            record.used = record.used.saturating_add(units);
            record.used
        });
        Standing {
            window,
            used: used.unwrap_or(units),
        }
    }

    /// Where a consumer stands, who may be one that used nothing.
    pub fn standing(&self, consumer: &str, calendar: &Calendar, unix: u64) -> Standing {
        let mut stripe = self.stripes.of(consumer);
        let window = stripe.turn(calendar, unix);
        let used = stripe.consumers.get_mut(consumer).map(|record| {
            record.enter(window.start);
            record.used
        });
        Standing {
            window,
            used: used.unwrap_or(0),
        }
    }

    /// Takes over what was used of a window.
    pub fn restore(&self, consumer: &str, window: u64, units: u64) {
        let mut stripe = self.stripes.of(consumer);
        if let Some(record) = stripe.consumers.get_mut(consumer) {
            record.restore(window, units);
        } else if stripe.consumers.len() < MAX_CONSUMERS / STRIPES {
            let mut record = Record::default();
            record.restore(window, units);
            stripe.consumers.insert(consumer.into(), record);
        }
    }

    /// Who used something, each once, in no order.
    pub fn consumers(&self) -> Vec<Arc<str>> {
        let names =
            |stripe: MutexGuard<'_, Stripe>| stripe.consumers.keys().cloned().collect::<Vec<_>>();
        self.stripes.all().flat_map(names).collect()
    }
}

impl Stripe {
    /// The window that is open at this second.
    fn turn(&mut self, calendar: &Calendar, unix: u64) -> Window {
        if !self.window.holds(unix) {
            self.window = calendar.window(unix);
        }
        self.window
    }

    fn record(&mut self, consumer: &Arc<str>, window: Window) -> Option<&mut Record> {
        if !self.consumers.contains_key(&**consumer) {
            if self.consumers.len() >= MAX_CONSUMERS / STRIPES {
                self.consumers.retain(|_, r| r.window >= window.start);
            }
            if self.consumers.len() >= MAX_CONSUMERS / STRIPES {
                return None;
            }
            let fresh = Record {
                window: window.start,
                ..Record::default()
            };
            self.consumers.insert(consumer.clone(), fresh);
        }
        let record = self.consumers.get_mut(&**consumer)?;
        record.enter(window.start);
        Some(record)
    }
}

impl Record {
    fn enter(&mut self, window: u64) {
        if window > self.window {
            self.before = (self.window, self.used);
            (self.window, self.used) = (window, 0);
        } else if window < self.window {
            let (start, used) = std::mem::take(&mut self.before);
            if start == window {
                self.used = self.used.saturating_add(used);
            }
            self.window = window;
        }
    }

    fn restore(&mut self, window: u64, units: u64) {
        if window > self.window {
            self.before = (self.window, self.used);
            (self.window, self.used) = (window, units);
        } else if window == self.window {
            self.used = self.used.saturating_add(units);
        } else if window == self.before.0 {
            self.before.1 = self.before.1.saturating_add(units);
        } else if window > self.before.0 {
            self.before = (window, units);
        }
    }
}

/// The most consumers of one quota.
pub const MAX_CONSUMERS: usize = 1 << 18;

#[cfg(test)]
#[path = "counts_tests.rs"]
mod tests;
