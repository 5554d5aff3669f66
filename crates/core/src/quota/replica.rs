//! What a node knows of a quota that all nodes count in the store, and what it has not given to the store yet.
//!
//! Of each consumer: the window that the store showed last and what was used of it then, and what was used here and the store
//! does not know. While the store does not answer, a node admits by these alone: its share of what it last knew to be left. Where
//! nothing is known of a window, `own` says what this node counted of it, which a ledger may have kept.
//!
//! **What was used here** is taken for one call at a time and consumer, and comes back if that call fails. A call whose answer
//! was lost may have counted: then it counts twice, and nothing is ever free. What is left of a window when the next one is given is dropped.
//!
//! **When it is full** consumers whose window is over leave; without any, a new one is not known, and is refused without the store.
//!
//! Bounds: [`MAX_CONSUMERS`], about 130 bytes and a name each. One of 64 locks is held for one look-up in its share.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use super::counts::MAX_CONSUMERS;
use super::stripes::{Stripes, STRIPES};
use super::{Admission, Standing, Window};

/// One node's view of a quota of all nodes.
#[derive(Default)]
pub struct Replica {
    stripes: Stripes<HashMap<Arc<str>, Record>>,
    /// All that is not given yet, on its way or not.
    owed: AtomicU64,
}

/// Units of the window that began then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// Seconds since 1970.
    pub window: u64,
    /// How much.
    pub units: u64,
}

#[derive(Clone, Copy, Default)]
struct Record {
    window: Window,
    /// At least so much was used of it, beside what is owed.
    used: u64,
    /// The epoch of the store's key that said so; 0 if this node itself did.
    epoch: u64,
    owed: Owed,
    /// On its way to the store.
    sent: Owed,
}

impl Replica {
    /// What is known to be used of the window of this second, without what is owed, and in which epoch of the store's key; none if
    /// there is no room for the consumer.
    pub fn known(
        &self,
        consumer: &Arc<str>,
        unix: u64,
        own: impl FnOnce() -> Standing,
    ) -> Option<(Standing, u64)> {
        let mut stripe = self.stripes.of(consumer);
        let record = record(&mut stripe, consumer, unix)?;
        record.turn(unix, own);
        let at = Standing {
            window: record.window,
            used: record.used,
        };
        Some((at, record.epoch))
    }

    /// Where a consumer stands at this second, with what the store does not know yet; none if nothing is known of its window.
    pub fn standing(&self, consumer: &str, unix: u64) -> Option<Standing> {
        let stripe = self.stripes.of(consumer);
        let record = stripe.get(consumer).filter(|r| r.window.holds(unix))?;
        Some(Standing {
            window: record.window,
            used: record.used.saturating_add(record.own()),
        })
    }

    /// The store says where a consumer stands, by its key of this epoch.
    pub fn heard(&self, consumer: &Arc<str>, at: Standing, epoch: u64) {
        let mut stripe = self.stripes.of(consumer);
        if let Some(record) = record(&mut stripe, consumer, at.window.start) {
            let same = (record.window.start, record.epoch) == (at.window.start, epoch);
            // Answers of one window may come in another order.
            record.used = if same {
                record.used.max(at.used)
            } else {
                at.used
            };
            (record.window, record.epoch) = (at.window, epoch);
        }
    }

    /// Without the store: takes `cost` if it is within this node's share of what was left, which is all of it if `open`. A cost of
    /// 0 is measured later: it is admitted if anything is left.
    pub fn admit(
        &self,
        consumer: &Arc<str>,
        unix: u64,
        (limit, cost, nodes, open): (u64, u64, u64, bool),
        own: impl FnOnce() -> Standing,
    ) -> Admission {
        let mut stripe = self.stripes.of(consumer);
        let Some(record) = record(&mut stripe, consumer, unix) else {
            return Admission::Full;
        };
        record.turn(unix, own);
        let share = limit.saturating_sub(record.used) / nodes.max(1);
        let admitted = open || record.own().saturating_add(cost.max(1)) <= share;
        if admitted {
            self.owed.fetch_add(record.owe(cost), Relaxed);
        }
        let left = share.saturating_sub(record.own());
        let standing = Standing {
            window: record.window,
            used: limit.saturating_sub(left),
        };
        match admitted {
            true => Admission::Admitted(standing),
            false => Admission::Refused(standing),
        }
    }

    /// Takes what an admitted request turned out to cost; the window in which it counts. None if there was no room to keep it.
    pub fn charge(
        &self,
        consumer: &Arc<str>,
        unix: u64,
        units: u64,
        own: impl FnOnce() -> Standing,
    ) -> Option<Window> {
        let mut stripe = self.stripes.of(consumer);
        let record = record(&mut stripe, consumer, unix)?;
        record.turn(unix, own);
        self.owed.fetch_add(record.owe(units), Relaxed);
        Some(record.window)
    }

    /// Takes what a consumer used and the store does not know, to be given; none if there is nothing, or some is on its way.
    pub fn take(&self, consumer: &str) -> Option<Owed> {
        let mut stripe = self.stripes.of(consumer);
        let record = stripe.get_mut(consumer)?;
        if record.sent.units > 0 || record.owed.units == 0 {
            return None;
        }
        record.sent = std::mem::take(&mut record.owed);
        Some(record.sent)
    }

    /// What was taken is given, or was not.
    pub fn settle(&self, consumer: &str, given: bool) {
        let mut stripe = self.stripes.of(consumer);
        let Some(record) = stripe.get_mut(consumer) else {
            return;
        };
        let sent = std::mem::take(&mut record.sent);
        if given {
            self.owed.fetch_sub(sent.units, Relaxed);
        } else if record.owed.units == 0 || record.owed.window == sent.window {
            record.owed.window = sent.window;
            record.owed.units = record.owed.units.saturating_add(sent.units);
        } else {
            // Of a window that is over.
            self.owed.fetch_sub(sent.units, Relaxed);
        }
    }

    /// At most so many consumers of whom something is to be given and nothing is on its way.
    pub fn due(&self, most: usize) -> Vec<Arc<str>> {
        if self.owed() == 0 {
            return Vec::new();
        }
        let due = |(_, r): &(&Arc<str>, &Record)| r.owed.units > 0 && r.sent.units == 0;
        let mut all = Vec::new();
        for stripe in self.stripes.all() {
            let room = most - all.len();
            all.extend(stripe.iter().filter(due).take(room).map(|(c, _)| c.clone()));
        }
        all
    }

    /// Of whom something is known to be used, each once, in no order.
    pub fn consumers(&self) -> Vec<Arc<str>> {
        let mut all = Vec::new();
        for stripe in self.stripes.all() {
            let used = |(_, r): &(&Arc<str>, &Record)| r.used > 0 || r.own() > 0;
            all.extend(stripe.iter().filter(used).map(|(c, _)| c.clone()));
        }
        all
    }

    /// All that the store does not know yet.
    pub fn owed(&self) -> u64 {
        self.owed.load(Relaxed)
    }
}

fn record<'a>(
    stripe: &'a mut HashMap<Arc<str>, Record>,
    consumer: &Arc<str>,
    unix: u64,
) -> Option<&'a mut Record> {
    if !stripe.contains_key(&**consumer) {
        if stripe.len() >= MAX_CONSUMERS / STRIPES {
            stripe.retain(|_, r| r.window.end > unix || r.owed.units > 0 || r.sent.units > 0);
        }
        if stripe.len() >= MAX_CONSUMERS / STRIPES {
            return None;
        }
        stripe.insert(consumer.clone(), Record::default());
    }
    stripe.get_mut(&**consumer)
}

impl Record {
    /// Enters the window of this second, of which the store said nothing yet.
    fn turn(&mut self, unix: u64, own: impl FnOnce() -> Standing) {
        if !self.window.holds(unix) {
            let own = own();
            (self.window, self.used, self.epoch) = (own.window, own.used.min(MOST), 0);
        }
    }

    /// What was used here of the open window, and the store does not know.
    fn own(&self) -> u64 {
        let of = |o: Owed| {
            if o.window == self.window.start {
                o.units
            } else {
                0
            }
        };
        of(self.owed).saturating_add(of(self.sent))
    }

    /// By how much more is owed in all.
    fn owe(&mut self, units: u64) -> u64 {
        let before = self.owed.units;
        if units > 0 && self.owed.window != self.window.start {
            self.owed = Owed {
                window: self.window.start,
                units: 0,
            };
        }
        self.owed.units = self.owed.units.saturating_add(units).min(MOST);
        self.owed.units.wrapping_sub(before)
    }
}

/// The most that is counted, as `ts/store/quota.lua` has it: numbers of scripts and of their clients are exact up to it.
pub const MOST: u64 = 9_000_000_000_000_000;

#[cfg(test)]
#[path = "replica_tests.rs"]
mod tests;
