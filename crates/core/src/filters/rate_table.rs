//! Where a limit of this process counts: one table of all threads, or one of each.
//!
//! Bounds: [`THREADS`] tables, each made when its thread first needs it. A thread with a higher number shares one; there are none
//!         unless an app has hundreds of workers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use algo::{GcraTable, Limit, LimitTable};

use super::Build;
use crate::snapshot::Shared;

/// The tables of a limit.
pub(super) enum Tables<T> {
    /// One, of all threads.
    Process(Arc<T>),
    /// One of each thread.
    Thread(Arc<Own<T>>),
}

/// One for each thread.
pub(super) struct Own<T> {
    tables: Box<[OnceLock<Box<T>>]>,
    make: Box<dyn Fn() -> T + Send + Sync>,
}

impl<T> Tables<T> {
    /// That of this thread.
    #[inline]
    pub(super) fn of(&self, thread: usize) -> &T {
        match self {
            Self::Process(table) => table,
            Self::Thread(own) => own.of(thread),
        }
    }

    /// Which of them that is.
    pub(super) fn which(&self, thread: usize) -> usize {
        match self {
            Self::Process(_) => 0,
            Self::Thread(_) => thread % THREADS,
        }
    }
}

impl<T> Own<T> {
    fn new(make: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Self {
            tables: (0..THREADS).map(|_| OnceLock::new()).collect(),
            make: Box::new(make),
        }
    }

    /// That of this thread.
    #[inline]
    pub(super) fn of(&self, thread: usize) -> &T {
        self.tables[thread % THREADS].get_or_init(|| (self.make)().into())
    }
}

impl<T: Default + 'static> Default for Own<T> {
    fn default() -> Self {
        Self::new(T::default)
    }
}

impl<T: Send + Sync + 'static> Tables<T> {
    fn own(
        shared: &Shared,
        identity: &str,
        make: impl Fn() -> T + Send + Sync + 'static,
    ) -> Arc<Own<T>> {
        shared.kept(&format!("rate_limit of threads:{identity}"), || {
            Own::new(make)
        })
    }
}

impl Tables<GcraTable> {
    /// For so many keys, which are in bounds.
    pub(super) fn gcra(own: bool, identity: &str, max_keys: usize, b: &Build<'_>) -> Option<Self> {
        let Some(shared) = b.shared else {
            return GcraTable::new(1, 0).ok().map(|t| Self::Process(t.into()));
        };
        if !own {
            return Some(Self::Process(shared.table(identity, max_keys)));
        }
        let (seed, identity) = (shared.seed(), format!("{identity}:{max_keys}"));
        let make = move || GcraTable::new(max_keys, seed).expect("a capacity within its bounds");
        Some(Self::Thread(Self::own(shared, &identity, make)))
    }
}

impl Tables<LimitTable> {
    /// For so many keys, which fit.
    pub(super) fn limit(
        own: bool,
        identity: &str,
        (limit, max_keys): (Limit, usize),
        b: &Build<'_>,
    ) -> Option<Self> {
        let Some(shared) = b.shared else {
            return LimitTable::new(limit, 1, 0)
                .ok()
                .map(|t| Self::Process(t.into()));
        };
        if !own {
            let table = shared.limit(identity, limit, max_keys)?;
            return Some(Self::Process(table));
        }
        let (seed, identity) = (shared.seed(), format!("{identity}:{max_keys}"));
        let make = move || LimitTable::new(limit, max_keys, seed).expect("a capacity that fits");
        Some(Self::Thread(Self::own(shared, &identity, make)))
    }
}

/// What requests that wait for the store will use of a limit, if that admits them: nobody else gets it meanwhile.
#[derive(Default)]
pub(super) struct Reserved(Mutex<HashMap<(usize, u64), u64>>);

impl Reserved {
    /// Of this key in this table.
    pub(super) fn of(&self, key: (usize, u64)) -> u64 {
        self.all().get(&key).copied().unwrap_or_default()
    }

    pub(super) fn add(&self, key: (usize, u64), cost: u64) {
        *self.all().entry(key).or_default() += cost;
    }

    pub(super) fn remove(&self, key: (usize, u64), cost: u64) {
        let mut all = self.all();
        if let Some(reserved) = all.get_mut(&key) {
            *reserved = reserved.saturating_sub(cost);
            if *reserved == 0 {
                all.remove(&key);
            }
        }
    }

    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<(usize, u64), u64>> {
        // Each step is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const THREADS: usize = 512;
