//! What workers of apps share: counters by name, and how each worker does, for all threads to read.
//!
//! Bounds: [`MAX_COUNTERS`] names in the process; a worker has one entry, removed with it.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use napi_derive::napi;
use serde_json::{json, Value};

use crate::error::{error, Result};

/// A number that all workers of an app share. It starts at 0 with the process.
#[napi]
pub struct Counter {
    value: Arc<AtomicI64>,
}

/// The counter of an app with that name. Throws `too_many_counters` when 4096 names are taken.
#[napi(catch_unwind)]
pub fn counter(app: String, name: String) -> Result<Counter> {
    let mut all = lock(&COUNTERS);
    if let Some(value) = all.get(&(app.clone(), name.clone())) {
        return Ok(Counter {
            value: value.clone(),
        });
    }
    if all.len() >= MAX_COUNTERS {
        let why = format!("there are {MAX_COUNTERS} counters already: {name:?} is one too many");
        return Err(error("too_many_counters", why));
    }
    let value = Arc::new(AtomicI64::new(0));
    all.insert((app, name), value.clone());
    Ok(Counter { value })
}

#[napi]
impl Counter {
    /// Adds `n`, which may be negative, and returns the sum.
    #[napi(catch_unwind)]
    pub fn add(&self, n: i64) -> i64 {
        self.value.fetch_add(n, Relaxed).wrapping_add(n)
    }

    /// The sum so far.
    #[napi(getter, catch_unwind)]
    pub fn value(&self) -> i64 {
        self.value.load(Relaxed)
    }
}

/// How a worker does.
#[derive(Clone, Copy)]
#[napi(object)]
pub struct WorkerStats {
    /// The longest time that its event loop was late in the last second, seconds.
    pub lag: f64,
    /// Bytes of heap in use.
    pub heap: f64,
    /// Seconds spent in garbage collection since it started.
    pub gc: f64,
    /// Requests it has answered since it started.
    pub requests: f64,
}

/// Says how worker `index` of an app of gateway `id` does; without `stats` it is gone.
#[napi(catch_unwind)]
pub fn note_worker(id: u32, app: String, index: u32, stats: Option<WorkerStats>) {
    let mut all = lock(&WORKERS);
    match stats {
        Some(stats) => all.insert((id, app, index), stats),
        None => all.remove(&(id, app, index)),
    };
}

/// What workers of gateway `id` do and what apps count, in the form of the core's metrics.
pub(crate) fn metrics(id: u32) -> Vec<Value> {
    let own: Vec<(Value, WorkerStats)> = lock(&WORKERS)
        .iter()
        .filter(|((gateway, ..), _)| *gateway == id)
        .map(|((_, app, index), s)| (json!({ "app": app, "worker": index.to_string() }), *s))
        .collect();
    if own.is_empty() {
        return Vec::new();
    }
    let counters: Vec<Value> = lock(&COUNTERS)
        .iter()
        .map(|((app, name), n)| json!({ "labels": { "app": app, "name": name }, "value": n.load(Relaxed) }))
        .collect();
    let mut all: Vec<Value> = METRICS
        .iter()
        .map(|(name, kind, help, read)| {
            let values = own.iter().map(|(labels, s)| json!({ "labels": labels, "value": read(s) }));
            json!({ "name": name, "type": kind, "help": help, "values": values.collect::<Vec<_>>() })
        })
        .collect();
    all.push(json!({
        "name": "ironsluice_app_counter",
        "type": "gauge",
        "help": "Counters that workers of an app share, by the app's own names.",
        "values": counters,
    }));
    all
}

type Metric = (
    &'static str,
    &'static str,
    &'static str,
    fn(&WorkerStats) -> f64,
);

const METRICS: [Metric; 4] = [
    (
        "ironsluice_app_event_loop_lag_seconds",
        "gauge",
        "The longest time that a worker's event loop was late in the last second.",
        |s| s.lag,
    ),
    (
        "ironsluice_app_heap_bytes",
        "gauge",
        "Heap in use by a worker.",
        |s| s.heap,
    ),
    (
        "ironsluice_app_gc_seconds_total",
        "counter",
        "Time a worker spent in garbage collection.",
        |s| s.gc,
    ),
    (
        "ironsluice_app_requests_total",
        "counter",
        "Requests that a worker has taken.",
        |s| s.requests,
    ),
];

fn lock<T>(of: &'static Mutex<T>) -> MutexGuard<'static, T> {
    // What is behind these locks is never half done.
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

type Counters = HashMap<(String, String), Arc<AtomicI64>>;
type Workers = BTreeMap<(u32, String, u32), WorkerStats>;

static COUNTERS: LazyLock<Mutex<Counters>> = LazyLock::new(Mutex::default);
static WORKERS: LazyLock<Mutex<Workers>> = LazyLock::new(Mutex::default);

/// Counters in the process.
const MAX_COUNTERS: usize = 4096;
