//! What outlives a config: endpoints, limiter tables and the places of counters, found again by
//! identity when the next config is compiled.
//!
//! Bounds: endpoints and tables as many as configs in use name; meters as [`MAX_METERS`] and
//! [`crate::metrics::MAX_PARTS`] say.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::quota::Usage;

use super::{Address, Live, OTHER_ROUTES};
use crate::metrics::{Bound, StoreFigures};
use crate::store::StoreState;

/// What outlives a config: found again by identity when the next one is compiled.
#[derive(Default)]
pub struct Shared {
    endpoints: Mutex<Endpoints>,
    tables: Mutex<HashMap<String, Arc<algo::GcraTable>>>,
    limits: Mutex<HashMap<String, Arc<algo::LimitTable>>>,
    /// What consumers used of quotas of the calendar.
    pub usage: Usage,
    quotas: Mutex<HashMap<Box<str>, Arc<algo::QuotaTable>>>,
    kept: Mutex<HashMap<String, Arc<dyn Any + Send + Sync>>>,
    leases: Mutex<HashMap<String, Leased>>,
    store: Arc<StoreState>,
    pub(super) routes: Meter,
    pub(super) upstreams: Meter,
    pub(super) listeners: Meter,
    seed: u64,
}

/// A limit of which this process holds leases.
struct Leased {
    route: Box<str>,
    name: Box<str>,
    table: Arc<algo::LeaseTable>,
}

/// How an endpoint's connections are secured.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Secure {
    /// [`super::Secured::identity`].
    pub identity: u64,
    /// The host that is asked for and verified.
    pub host: Box<str>,
}

/// How connections to an endpoint begin: those of one manner are never used for another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Manner {
    /// How they are secured; none for plain ones.
    pub secure: Option<Secure>,
    /// True if a PROXY header comes first.
    pub introduced: bool,
}

#[derive(Default)]
struct Endpoints {
    live: HashMap<(Address, Manner), Weak<Live>>,
    /// Which slots are taken, by whom.
    slots: Vec<Weak<Live>>,
}

impl Shared {
    /// `seed` keys the hashes of tables whose keys clients choose; it must be hard to guess.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// The secret that keys hashes of what clients choose.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What is known of the endpoint at this address. Connections that begin differently are of
    /// different endpoints.
    pub fn live(&self, address: Address, manner: Manner) -> Arc<Live> {
        let mut e = lock(&self.endpoints);
        let key = (address, manner);
        if let Some(live) = e.live.get(&key).and_then(Weak::upgrade) {
            return live;
        }
        let free = e.slots.iter().position(|w| w.strong_count() == 0);
        let slot = free.unwrap_or(e.slots.len());
        let live = Arc::new(Live {
            address: key.0.clone(),
            secure: key.1.secure.as_ref().map(|s| s.host.clone()),
            slot: slot as u32,
            active: AtomicU32::new(0),
            rests_until: AtomicU64::new(0),
        });
        match free {
            Some(i) => e.slots[i] = Arc::downgrade(&live),
            None => e.slots.push(Arc::downgrade(&live)),
        }
        if e.live.len() > 2 * e.slots.len() {
            e.live.retain(|_, w| w.strong_count() > 0);
        }
        e.live.insert(key, Arc::downgrade(&live));
        live
    }

    /// The limiter table of this identity; made at its first use, with room for `capacity` keys.
    pub fn table(&self, identity: &str, capacity: usize) -> Arc<algo::GcraTable> {
        let mut tables = lock(&self.tables);
        if let Some(t) = tables.get(identity).filter(|t| t.capacity() >= capacity) {
            return t.clone();
        }
        let within = capacity.clamp(1, algo::GcraTable::MAX_CAPACITY);
        let table = Arc::new(
            algo::GcraTable::new(within, self.seed).expect("a capacity within its bounds"),
        );
        tables.insert(identity.to_owned(), table.clone());
        table
    }

    /// The table of this identity for a limit that fits so many keys; made at its first use. None if it does not fit.
    pub fn limit(
        &self,
        identity: &str,
        limit: algo::Limit,
        capacity: usize,
    ) -> Option<Arc<algo::LimitTable>> {
        let mut limits = lock(&self.limits);
        let fits = |t: &&Arc<algo::LimitTable>| *t.limit() == limit && t.capacity() >= capacity;
        if let Some(t) = limits.get(identity).filter(fits) {
            return Some(t.clone());
        }
        let table = Arc::new(algo::LimitTable::new(limit, capacity, self.seed).ok()?);
        limits.insert(identity.to_owned(), table.clone());
        Some(table)
    }

    /// The leases of the limit `name` of `route`, of this identity, for so many keys; made at its first use. None if they do
    /// not fit.
    pub fn lease(
        &self,
        identity: &str,
        lease: algo::Lease,
        capacity: usize,
        (route, name): (&str, &str),
    ) -> Option<Arc<algo::LeaseTable>> {
        let mut leases = lock(&self.leases);
        let fits = |t: &algo::LeaseTable| *t.lease() == lease && t.capacity() >= capacity;
        if let Some(l) = leases.get_mut(identity).filter(|l| fits(&l.table)) {
            l.name = name.into();
            return Some(l.table.clone());
        }
        let table = Arc::new(algo::LeaseTable::new(lease, capacity, self.seed).ok()?);
        let leased = Leased {
            route: route.into(),
            name: name.into(),
            table: table.clone(),
        };
        leases.insert(identity.to_owned(), leased);
        Some(table)
    }

    /// What is known of the shared store.
    pub fn store(&self) -> &Arc<StoreState> {
        &self.store
    }

    /// What metrics tell of limits that nodes share.
    pub fn store_figures(&self) -> StoreFigures {
        let nodes = self.store.nodes();
        let bounds = lock(&self.leases);
        let bounds = bounds.values().map(|l| Bound {
            route: l.route.clone(),
            limit: l.name.clone(),
            tokens: l.table.lease().bound(nodes),
        });
        StoreFigures {
            fallbacks: self.store.fallbacks(),
            bounds: bounds.collect(),
        }
    }

    /// What clients of this route hold; made at its first use. Another capacity is of the next one: what is held
    /// now stays counted, so the table is kept while anything is.
    pub fn quota(&self, route: &str, capacity: usize) -> Arc<algo::QuotaTable> {
        let mut quotas = lock(&self.quotas);
        let fits = |q: &Arc<algo::QuotaTable>| q.capacity() == capacity || q.keys() > 0;
        if let Some(q) = quotas.get(route).filter(|q| fits(q)) {
            return q.clone();
        }
        let table = Arc::new(algo::QuotaTable::new(capacity));
        quotas.insert(route.into(), table.clone());
        table
    }

    /// What a filter of this identity keeps over configs, of a type that no other identity has; made at its first use.
    pub fn kept<T: Send + Sync + 'static>(
        &self,
        identity: &str,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let mut kept = lock(&self.kept);
        let old = kept.get(identity).cloned();
        if let Some(old) = old.and_then(|old| old.downcast().ok()) {
            return old;
        }
        let new = Arc::new(make());
        kept.insert(identity.to_owned(), new.clone());
        new
    }

    /// Forgets tables that no snapshot uses any more.
    pub fn sweep(&self) {
        lock(&self.tables).retain(|_, t| Arc::strong_count(t) > 1);
        lock(&self.limits).retain(|_, t| Arc::strong_count(t) > 1);
        lock(&self.quotas).retain(|_, q| Arc::strong_count(q) > 1);
        lock(&self.kept).retain(|_, k| Arc::strong_count(k) > 1);
        lock(&self.leases).retain(|_, l| Arc::strong_count(&l.table) > 1);
    }
}

/// Which name is counted where. A name keeps its place over all configs.
#[derive(Default)]
pub(super) struct Meter(Mutex<HashMap<Box<str>, u32>>);

impl Meter {
    /// The place of a name; [`OTHER_ROUTES`] once there are `most`.
    pub(super) fn of(&self, name: &str, most: u32) -> u32 {
        let mut all = lock(&self.0);
        if let Some(place) = all.get(name) {
            return *place;
        }
        let next = all.len() as u32 + 1;
        if next >= most {
            return OTHER_ROUTES;
        }
        all.insert(name.into(), next);
        next
    }
}

/// A panic while holding one of these locks left plain data behind: it is still good.
fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}
