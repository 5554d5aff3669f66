//! Quotas over calendar windows: what each consumer used of each, and what is written down of it.
//!
//! - [`Calendar`] says which window a second falls into.
//! - [`Counts`] holds what consumers used of one quota; [`Usage`] finds it again by identity, also after a reload.
//! - [`Ledger`] collects what is charged until somebody writes it down. Counts are derived again from what was written: [`Kept`].
//! - [`Quota`] is one quota as a config has it.

mod calendar;
mod counts;
mod ledger;
mod report;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

pub use calendar::{Calendar, Period, Window, Zone};
pub use counts::{Admission, Counts, Standing};
pub use ledger::{Charge, Ledger};

/// What a quota counts, in which windows: two that are equal in all of it are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Its name.
    pub name: Box<str>,
    /// What is counted, as the config has it: `requests`, `header:x-cost`.
    pub unit: Box<str>,
    /// `hour`, `day`, `week` or `month`.
    pub per: Box<str>,
}

/// What a consumer had used of a window, as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Of which quota.
    pub quota: Identity,
    /// Whose.
    pub consumer: Box<str>,
    /// Where the window begins, seconds since 1970.
    pub window: u64,
    /// How much.
    pub units: u64,
}

/// One quota, as a config has it.
pub struct Quota {
    /// Which one.
    pub identity: Arc<Identity>,
    /// Its windows.
    pub calendar: Calendar,
    /// What consumers without a plan may use in a window.
    pub limit: u64,
    /// Consumers with a plan: its name, and what it allows.
    pub plans: HashMap<Box<str>, (Arc<str>, u64)>,
    /// What was used.
    pub counts: Arc<Counts>,
}

impl Quota {
    /// What this consumer may use in a window, and the plan that says so.
    pub fn limit_of(&self, consumer: &str) -> (u64, Option<&Arc<str>>) {
        match self.plans.get(consumer) {
            Some((plan, limit)) => (*limit, Some(plan)),
            None => (self.limit, None),
        }
    }
}

/// All counts of a process, and its ledger.
///
/// Bounds: [`MAX_QUOTAS`] identities, beyond which those that no config uses are forgotten.
#[derive(Default)]
pub struct Usage {
    counts: Mutex<HashMap<Identity, Arc<Counts>>>,
    ledger: Arc<Ledger>,
}

impl Usage {
    /// What was used of this quota, which nobody else counts.
    pub fn counts(&self, identity: &Identity) -> Arc<Counts> {
        let mut all = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = all.get(identity) {
            return counts.clone();
        }
        if all.len() >= MAX_QUOTAS {
            all.retain(|_, counts| Arc::strong_count(counts) > 1);
        }
        let counts = Arc::new(Counts::default());
        all.insert(identity.clone(), counts.clone());
        counts
    }

    /// Where charges are collected.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Takes over what was used before this process began. What was counted since stays.
    pub fn restore(&self, kept: impl IntoIterator<Item = Kept>) {
        for one in kept {
            let counts = self.counts(&one.quota);
            counts.restore(&one.consumer, one.window, one.units);
        }
    }
}

/// Quotas whose counts are kept, used or not.
const MAX_QUOTAS: usize = 4096;
