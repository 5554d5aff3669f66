//! What is counted, under which names, and how it is shown.
//!
//! Each thread counts for itself in a [`ShardCounters`] of its own: a plain load, add and store, so
//! that no cache line is contended and nothing is locked. Whoever reads sums over the threads.
//! Units: seconds and bytes in names (Prometheus), nanoseconds inside.
//! Bounds: [`MAX_METERS`] routes, [`MAX_PARTS`] upstreams and as many listeners, [`MAX_CODES`] reply
//! codes; what goes beyond is counted together under `_other`.
//! Counters only grow: over a change of config too, since names keep their meters. A reader must
//! keep the counters of a thread that has ended among those it sums.
//! Source: OpenTelemetry HTTP conventions (the buckets of `http.server.request.duration`).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::OnceLock;

use crate::filter::Outcome;
use crate::forward::Failure;
use crate::hops::HopCounters;
use crate::snapshot::MAX_METERS;
use crate::Nanos;

mod render;

pub use render::{render, suspects, Bound, Meters, Names, StoreFigures};

/// Adds to a counter that only the calling thread writes.
#[inline]
pub fn bump(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

/// What one thread counts. Only that thread writes; any thread may read.
#[repr(align(128))]
#[derive(Debug, Default)]
pub struct ShardCounters {
    /// Requests during which a bug was caught.
    pub panics: AtomicU64,
    /// Lines of the access log that were dropped because the disk was slow.
    pub access_log_dropped: AtomicU64,
    /// Calls of plugins.
    pub plugin_calls: AtomicU64,
    /// Calls of plugins that brought no verdict, by the kind of failure.
    pub plugin_failures: Codes,
    /// Replies of the gateway's own, by their code.
    pub replies: Codes,
    /// Requests that had no meaning, by their code.
    pub bad_requests: Codes,
    /// TLS handshakes of clients, `full` or `resumed`.
    pub handshakes: Codes,
    /// TLS handshakes of clients that came to nothing, by why.
    pub failed_handshakes: Codes,
    routes: Chunks<RouteCounters, ROUTE_CHUNKS>,
    upstreams: Chunks<UpstreamCounters, PART_CHUNKS>,
    listeners: Chunks<ListenerCounters, PART_CHUNKS>,
}

impl ShardCounters {
    /// The counters of the route with this meter; see [`crate::snapshot::Shared::meter`].
    pub fn route(&self, meter: u32) -> &RouteCounters {
        self.routes.at(meter)
    }

    /// The counters of the upstream with this meter.
    pub fn upstream(&self, meter: u32) -> &UpstreamCounters {
        self.upstreams.at(meter)
    }

    /// The counters of the listener with this meter.
    pub fn listener(&self, meter: u32) -> &ListenerCounters {
        self.listeners.at(meter)
    }
}

/// What is counted for a route.
#[derive(Debug, Default)]
pub struct RouteCounters {
    /// Requests by the first digit of their status, 1 to 5.
    pub classes: [AtomicU64; 5],
    /// Body bytes received from clients.
    pub received: AtomicU64,
    /// Body bytes sent to clients.
    pub sent: AtomicU64,
    /// Requests by how long they took: one more than [`BUCKETS`], the last for all longer ones.
    pub took: [AtomicU64; BUCKETS.len() + 1],
    /// The sum of how long they took, nanoseconds.
    pub took_sum: AtomicU64,
    /// What they said of proxies.
    pub hops: HopCounters,
}

impl RouteCounters {
    /// Counts a request that has ended.
    pub fn done(&self, outcome: &Outcome) {
        let class = usize::from(outcome.status / 100).clamp(1, 5) - 1;
        bump(&self.classes[class], 1);
        bump(&self.received, outcome.received);
        bump(&self.sent, outcome.sent);
        let bucket = BUCKETS.iter().position(|(most, _)| outcome.took <= *most);
        bump(&self.took[bucket.unwrap_or(BUCKETS.len())], 1);
        bump(&self.took_sum, outcome.took);
    }
}

/// What is counted for an upstream.
#[derive(Debug, Default)]
pub struct UpstreamCounters {
    /// Connections opened.
    pub connects: AtomicU64,
    /// Requests sent on a connection that had served one before.
    pub reuses: AtomicU64,
    /// Connections refused.
    pub refused: AtomicU64,
    /// Connections not accepted in time.
    pub connect_timeouts: AtomicU64,
    /// Responses that did not come in time.
    pub response_timeouts: AtomicU64,
    /// Connections that ended before a response was whole.
    pub resets: AtomicU64,
    /// Responses without a meaning.
    pub bad_responses: AtomicU64,
    /// Requests sent again, to this or another endpoint.
    pub retries: AtomicU64,
    /// Connections that came to no TLS.
    pub tls_failures: AtomicU64,
}

impl UpstreamCounters {
    /// Counts a forward that brought no response.
    pub fn failed(&self, failure: Failure) {
        match failure {
            // Nothing was tried, so nothing of the upstream failed; the reply's code counts it.
            Failure::NoEndpoint => {}
            Failure::Refused => bump(&self.refused, 1),
            Failure::ConnectTimeout => bump(&self.connect_timeouts, 1),
            Failure::ResponseTimeout => bump(&self.response_timeouts, 1),
            Failure::Reset => bump(&self.resets, 1),
            Failure::BadResponse => bump(&self.bad_responses, 1),
            // Counted where it happened, for another endpoint may do.
            Failure::Tls | Failure::TlsCertificate => {}
        }
    }
}

/// What is counted for a listener.
#[derive(Debug, Default)]
pub struct ListenerCounters {
    /// Connections accepted.
    pub accepted: AtomicU64,
    /// Of those, connections that have ended.
    pub closed: AtomicU64,
    /// Connections closed at once because a limit was reached.
    pub refused: AtomicU64,
}

/// What is counted once for the process. Any thread writes.
#[derive(Debug, Default)]
pub struct ProcessCounters {
    /// Configs published, the first included.
    pub reloads: AtomicU64,
    /// Configs refused for their faults.
    pub reloads_refused: AtomicU64,
    /// The revision in force.
    pub revision: AtomicU64,
}

/// Counters by a word of the program's own, found by the first use of each.
#[derive(Debug)]
pub struct Codes {
    codes: [OnceLock<&'static str>; MAX_CODES],
    counts: [AtomicU64; MAX_CODES],
}

impl Default for Codes {
    fn default() -> Self {
        Self {
            codes: std::array::from_fn(|_| OnceLock::new()),
            counts: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Codes {
    /// The counter of this code. The last one is for all codes that found none of their own.
    pub fn of(&self, code: &'static str) -> &AtomicU64 {
        let last = MAX_CODES - 1;
        let own = self.codes[..last]
            .iter()
            .position(|c| *c.get_or_init(|| code) == code);
        if own.is_none() {
            self.codes[last].get_or_init(|| OTHER);
        }
        &self.counts[own.unwrap_or(last)]
    }

    fn all(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.codes
            .iter()
            .zip(&self.counts)
            .filter_map(|(c, n)| Some((*c.get()?, n.load(Relaxed))))
    }
}

/// A table that grows by a chunk at a time and never moves what it holds.
#[derive(Debug)]
struct Chunks<T, const N: usize>([OnceLock<Box<[T]>>; N]);

impl<T, const N: usize> Default for Chunks<T, N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| OnceLock::new()))
    }
}

impl<T: Default, const N: usize> Chunks<T, N> {
    /// Beyond the table: the first place, which is for all others.
    fn at(&self, i: u32) -> &T {
        let i = if (i as usize) < N * CHUNK {
            i as usize
        } else {
            0
        };
        let chunk = self.0[i / CHUNK].get_or_init(|| (0..CHUNK).map(|_| T::default()).collect());
        &chunk[i % CHUNK]
    }

    fn peek(&self, i: u32) -> Option<&T> {
        self.0
            .get(i as usize / CHUNK)?
            .get()
            .map(|chunk| &chunk[i as usize % CHUNK])
    }
}

const MS: Nanos = 1_000_000;

/// The ends of the buckets of durations: in nanoseconds, and in seconds as text.
pub const BUCKETS: [(Nanos, &str); 14] = [
    (5 * MS, "0.005"),
    (10 * MS, "0.01"),
    (25 * MS, "0.025"),
    (50 * MS, "0.05"),
    (75 * MS, "0.075"),
    (100 * MS, "0.1"),
    (250 * MS, "0.25"),
    (500 * MS, "0.5"),
    (750 * MS, "0.75"),
    (1000 * MS, "1"),
    (2500 * MS, "2.5"),
    (5000 * MS, "5"),
    (7500 * MS, "7.5"),
    (10_000 * MS, "10"),
];

const CHUNK: usize = 256;
const ROUTE_CHUNKS: usize = MAX_METERS as usize / CHUNK;
const PART_CHUNKS: usize = MAX_PARTS as usize / CHUNK;

/// The most upstreams, and the most listeners, that are counted each by itself.
pub const MAX_PARTS: u32 = 1 << 12;

/// The most codes that are counted each by itself, and one place for all others.
pub const MAX_CODES: usize = 96;

/// The label of what has no meter of its own.
const OTHER: &str = "_other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_beyond_the_table_are_counted_together() {
        let codes = Codes::default();
        for i in 0..MAX_CODES + 5 {
            bump(codes.of(Box::leak(format!("c{i}").into_boxed_str())), 1);
        }
        bump(codes.of("c0"), 1);
        let all: Vec<_> = codes.all().collect();
        assert_eq!(all[0], ("c0", 2));
        assert_eq!(all[MAX_CODES - 1], (OTHER, 6));
    }
}
