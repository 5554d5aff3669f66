//! What was charged and is not yet written down.
//!
//! Each thread has a lane of its own, whose entries are numbered from 1 without a gap: a reader of what was written sees what is
//! missing. Charges of the same consumer, route, quota and window are one entry until it is taken, so an entry is what was used
//! between two takes.
//!
//! **When a lane is full** what is charged is still counted, but not by whom: the next entry of that quota says how many charges
//! and how much were lost.
//!
//! Bounds: [`LANES`], [`MAX_ENTRIES`] of each, about 150 bytes an entry. A lane's lock is its thread's own, but for a take.
//! Nothing is collected before [`Ledger::open`]: without a writer it would only fill.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::json;

use super::Identity;

/// What is to be written down.
pub struct Ledger {
    open: AtomicBool,
    lost: AtomicU64,
    lanes: [Mutex<Lane>; LANES],
}

/// What was used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Charge {
    /// Of which quota.
    pub quota: Arc<Identity>,
    /// By whom.
    pub consumer: Arc<str>,
    /// On which route.
    pub route: Arc<str>,
    /// Where the window begins that it counts in, seconds since 1970.
    pub window: u64,
}

#[derive(Default)]
struct Lane {
    /// Of the last entry that was taken.
    sequence: u64,
    entries: HashMap<Charge, Sum>,
    lost: HashMap<Arc<Identity>, Sum>,
}

#[derive(Default)]
struct Sum {
    /// Seconds since 1970, of the first.
    time: u64,
    charges: u64,
    units: u64,
}

impl Sum {
    fn add(&mut self, units: u64) {
        self.charges += 1;
        self.units = self.units.saturating_add(units);
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            open: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            lanes: std::array::from_fn(|_| Mutex::default()),
        }
    }
}

impl Ledger {
    /// There is a writer from now on.
    pub fn open(&self) {
        self.open.store(true, Relaxed);
    }

    /// Notes what was used at this second.
    pub fn note(&self, charge: Charge, units: u64, unix: u64) {
        if units == 0 || !self.open.load(Relaxed) {
            return;
        }
        let at = LANE.with(|lane| *lane);
        let mut lane = self.lanes[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let fresh = || Sum {
            time: unix,
            ..Sum::default()
        };
        let room = lane.entries.len() < MAX_ENTRIES || lane.entries.contains_key(&charge);
        if room {
            let entry = lane.entries.entry(charge).or_insert_with(fresh);
            entry.add(units);
        } else {
            self.lost.fetch_add(1, Relaxed);
            let lost = lane.lost.entry(charge.quota).or_insert_with(fresh);
            lost.add(units);
        }
    }

    /// How many charges were lost to full lanes.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Takes all that was noted, as lines of JSON.
    pub fn take(&self) -> String {
        let mut lines = String::new();
        for (i, lane) in self.lanes.iter().enumerate() {
            let mut lane = lane.lock().unwrap_or_else(PoisonError::into_inner);
            let from = lane.sequence;
            let entries = std::mem::take(&mut lane.entries);
            let lost = std::mem::take(&mut lane.lost);
            lane.sequence += (entries.len() + lost.len()) as u64;
            // What is written down is made without the lock.
            drop(lane);
            let mut all: Vec<_> = entries.into_iter().collect();
            all.sort_by_key(|(_, sum)| sum.time);
            let mut sequence = from;
            let mut line = |quota: &Identity, sum: &Sum, rest: serde_json::Value| {
                sequence += 1;
                let mut entry = json!({
                    "lane": i, "sequence": sequence, "time": sum.time,
                    "quota": quota.name, "unit": quota.unit, "per": quota.per,
                });
                if let (Some(entry), serde_json::Value::Object(rest)) =
                    (entry.as_object_mut(), rest)
                {
                    entry.extend(rest);
                }
                lines.push_str(&entry.to_string());
                lines.push('\n');
            };
            for (charge, sum) in &all {
                let rest = json!({
                    "consumer": *charge.consumer, "route": *charge.route, "window": charge.window,
                    "charges": sum.charges, "units": sum.units,
                });
                line(&charge.quota, sum, rest);
            }
            for (quota, sum) in &lost {
                let rest = json!({ "lost": { "charges": sum.charges, "units": sum.units } });
                line(quota, sum, rest);
            }
        }
        lines
    }
}

static NEXT: AtomicUsize = AtomicUsize::new(0);
std::thread_local! {
    /// This thread's lane.
    static LANE: usize = NEXT.fetch_add(1, Relaxed) % LANES;
}

/// Threads that have a lane of their own; more share them.
pub const LANES: usize = 64;
/// Entries of a lane between two takes.
pub const MAX_ENTRIES: usize = 16_384;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn charge(consumer: &str) -> Charge {
        let identity = Identity {
            name: "q".into(),
            unit: "requests".into(),
            per: "day".into(),
        };
        Charge {
            quota: Arc::new(identity),
            consumer: consumer.into(),
            route: "r".into(),
            window: 86_400,
        }
    }

    fn lines(text: &str) -> Vec<Value> {
        let line = |l: &str| serde_json::from_str(l).unwrap_or_else(|e| panic!("{l}: {e}"));
        text.lines().map(line).collect()
    }

    #[test]
    fn equal_charges_are_one_entry_and_entries_are_numbered() {
        let ledger = Ledger::default();
        ledger.note(charge("ali"), 1, 7);
        assert_eq!(ledger.take(), "", "nobody writes");
        ledger.open();
        ledger.note(charge("ali"), 1, 100_000);
        ledger.note(charge("bo"), 5, 100_001);
        ledger.note(charge("ali"), 2, 100_002);
        ledger.note(charge("cy"), 0, 100_002);
        let got = lines(&ledger.take());
        let lane = &got[0]["lane"];
        let entry = |sequence: u64, time: u64, consumer: &str, charges: u64, units: u64| {
            json!({
                "lane": lane, "sequence": sequence, "time": time, "quota": "q", "unit": "requests", "per": "day",
                "consumer": consumer, "route": "r", "window": 86_400, "charges": charges, "units": units,
            })
        };
        let want = [
            entry(1, 100_000, "ali", 2, 3),
            entry(2, 100_001, "bo", 1, 5),
        ];
        assert_eq!(got, want);
        ledger.note(charge("ali"), 1, 100_003);
        assert_eq!(lines(&ledger.take()), [entry(3, 100_003, "ali", 1, 1)]);
        assert_eq!(ledger.take(), "");
    }

    #[test]
    fn threads_have_lanes_of_their_own() {
        let ledger = Ledger::default();
        ledger.open();
        std::thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| ledger.note(charge("ali"), 1, 1));
            }
        });
        let got = lines(&ledger.take());
        let mut lanes: Vec<_> = got.iter().map(|l| l["lane"].as_u64()).collect();
        lanes.sort_unstable();
        lanes.dedup();
        assert_eq!(lanes.len(), 3);
        assert!(got.iter().all(|l| l["sequence"] == 1), "{got:?}");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_said() {
        let ledger = Ledger::default();
        ledger.open();
        for n in 0..MAX_ENTRIES {
            ledger.note(charge(&format!("c{n}")), 1, 1);
        }
        ledger.note(charge("c0"), 9, 2);
        ledger.note(charge("late"), 3, 2);
        ledger.note(charge("later"), 4, 3);
        assert_eq!(ledger.lost(), 2);
        let got = lines(&ledger.take());
        assert_eq!(got.len(), MAX_ENTRIES + 1);
        let last = &got[MAX_ENTRIES];
        assert_eq!(last["lost"], json!({ "charges": 2, "units": 7 }));
        assert_eq!(
            (&last["sequence"], &last["quota"]),
            (&json!(MAX_ENTRIES + 1), &json!("q"))
        );
        let units: u64 = got.iter().filter_map(|l| l["units"].as_u64()).sum();
        assert_eq!(units, MAX_ENTRIES as u64 + 9);
        ledger.note(charge("late"), 3, 4);
        assert_eq!(lines(&ledger.take()).len(), 1, "there is room again");
    }
}
