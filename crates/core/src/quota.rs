//! Quotas over calendar windows: what each consumer used of each, and what is written down of it.
//!
//! - [`Calendar`] says which window a second falls into.
//! - [`Counts`] holds what consumers used of one quota; [`Usage`] finds it again by identity, also after a reload.
//! - [`Ledger`] collects what is charged until somebody writes it down. Counts are derived again from what was written: [`Kept`].
//! - [`Quota`] is one quota as a config has it; [`Global`] what it has beside if all nodes count it together, and [`Replica`] what a
//!   node knows of that.

mod calendar;
mod counts;
mod global;
mod ledger;
mod replica;
mod report;
mod stripes;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

pub use calendar::{Calendar, Period, Window, Zone};
pub use counts::{Admission, Counts, Standing};
pub use global::{ChargeCall, Global, OnFail, Question, Reply, Said, Taken};
pub use ledger::{Charge, Ledger};
pub use replica::{Owed, Replica, MOST};

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
    /// What was used at this node.
    pub counts: Arc<Counts>,
    /// What it has beside, if all nodes count together.
    pub global: Option<Global>,
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
    replicas: Mutex<HashMap<Identity, Arc<Replica>>>,
    fallbacks: Arc<AtomicU64>,
    ledger: Arc<Ledger>,
}

impl Usage {
    /// What was used of this quota, which nobody else counts.
    pub fn counts(&self, identity: &Identity) -> Arc<Counts> {
        found(&self.counts, identity)
    }

    /// What this node knows of this quota, which all nodes count.
    pub fn replica(&self, identity: &Identity) -> Arc<Replica> {
        found(&self.replicas, identity)
    }

    /// Of each quota that all nodes count, what was used here and the store does not know.
    pub fn owed(&self) -> Vec<(Identity, u64)> {
        let all = self.replicas.lock();
        let all = all.unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(i, r)| (i.clone(), r.owed())).collect()
    }

    /// Counts requests about which is decided without the store.
    pub fn fallbacks(&self) -> &Arc<AtomicU64> {
        &self.fallbacks
    }

    /// How many these were.
    pub fn fell_back(&self) -> u64 {
        self.fallbacks.load(Relaxed)
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

/// What is kept of this quota; made at its first use.
fn found<T: Default>(all: &Mutex<HashMap<Identity, Arc<T>>>, identity: &Identity) -> Arc<T> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(one) = all.get(identity) {
        return one.clone();
    }
    if all.len() >= MAX_QUOTAS {
        all.retain(|_, one| Arc::strong_count(one) > 1);
    }
    let one = Arc::new(T::default());
    all.insert(identity.clone(), one.clone());
    one
}

/// Quotas whose counts are kept, used or not.
const MAX_QUOTAS: usize = 4096;
