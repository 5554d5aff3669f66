//! Shows the counters of all threads, summed, as JSON.
//!
//! Labels are names of the config and words of the program's own: never what a client sent.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use serde::Serialize;

use crate::filter::Occupancy;

use super::{
    Codes, ListenerCounters, ProcessCounters, RouteCounters, ShardCounters, UpstreamCounters,
    BUCKETS, OTHER,
};

mod hops;
mod occupancy;

pub use hops::suspects;

/// Names and their meters; meter 0 is for all others and need not be named.
pub type Names = Vec<(Box<str>, u32)>;

/// Which name has which meter.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    /// Of routes; see [`crate::snapshot::Snapshot::meters`].
    pub routes: Names,
    /// Of upstreams.
    pub upstreams: Names,
    /// Of listeners.
    pub listeners: Names,
    /// What filters hold now, and of which route they are.
    pub occupied: Vec<(Box<str>, Occupancy)>,
    /// Of limits that nodes share.
    pub store: StoreFigures,
}

/// What is told of limits that nodes share.
#[derive(Clone, Debug, Default)]
pub struct StoreFigures {
    /// Requests about which was decided without the store.
    pub fallbacks: u64,
    /// Of each limit of which this process holds leases.
    pub bounds: Vec<Bound>,
}

/// By how much all nodes together may exceed a limit.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Whose limit it is.
    pub route: Box<str>,
    /// Its name in the RateLimit fields.
    pub limit: Box<str>,
    /// Requests of cost 1 beyond what one process would admit, in any time.
    pub tokens: u64,
}

/// All metrics as JSON: `[{name, type, help, values: [{labels, value}]}]`, and for a histogram
/// `values: [{labels, buckets: [[le, count]], sum, count}]` with buckets that add up (`le` is a text).
pub fn render(shards: &[Arc<ShardCounters>], process: &ProcessCounters, meters: &Meters) -> String {
    let mut all: Vec<Metric> = Vec::new();
    for (name, help, read) in ROUTE_METRICS {
        all.push(per_name(
            name,
            help,
            "route",
            &meters.routes,
            shards,
            |s, m| s.routes.peek(m).map(read),
        ));
    }
    all.push(requests(shards, &meters.routes));
    all.push(durations(shards, &meters.routes));
    all.extend(hops::metrics(shards, &meters.routes));
    for (name, help, read) in UPSTREAM_METRICS {
        all.push(per_name(
            name,
            help,
            "upstream",
            &meters.upstreams,
            shards,
            |s, m| s.upstreams.peek(m).map(read),
        ));
    }
    for (name, help, read) in LISTENER_METRICS {
        all.push(per_name(
            name,
            help,
            "listener",
            &meters.listeners,
            shards,
            |s, m| s.listeners.peek(m).map(read),
        ));
    }
    all.push(active(shards, &meters.listeners));
    all.extend(occupancy::metrics(&meters.occupied));
    all.push(codes(
        "ironsluice_replies_total",
        "Replies of the gateway's own, by code.",
        ("code", |s| &s.replies),
        shards,
    ));
    all.push(codes(
        "ironsluice_bad_requests_total",
        "Requests refused because they had no single meaning, by code.",
        ("code", |s| &s.bad_requests),
        shards,
    ));
    all.push(codes(
        "ironsluice_plugin_failures_total",
        "Calls of plugins that brought no verdict, by what failed.",
        ("kind", |s| &s.plugin_failures),
        shards,
    ));
    all.push(codes(
        "ironsluice_tls_handshakes_total",
        "TLS handshakes of clients, by kind.",
        ("code", |s| &s.handshakes),
        shards,
    ));
    all.push(codes(
        "ironsluice_tls_handshake_failures_total",
        "TLS handshakes of clients that came to nothing, by why.",
        ("code", |s| &s.failed_handshakes),
        shards,
    ));
    let sum =
        |read: fn(&ShardCounters) -> &AtomicU64| shards.iter().map(|s| read(s).load(Relaxed)).sum();
    all.push(single(
        "ironsluice_panics_total",
        "counter",
        "Faults of the gateway that were caught.",
        sum(|s| &s.panics),
    ));
    all.push(single(
        "ironsluice_plugin_calls_total",
        "counter",
        "Calls of plugins.",
        sum(|s| &s.plugin_calls),
    ));
    let help = "Access log lines dropped because the disk was slow.";
    all.push(single(
        "ironsluice_access_log_dropped_total",
        "counter",
        help,
        sum(|s| &s.access_log_dropped),
    ));
    all.push(single(
        "ironsluice_rate_limit_fallback_total",
        "counter",
        "Requests to limits of several nodes that were decided without the store.",
        meters.store.fallbacks,
    ));
    all.push(overshoot(&meters.store.bounds));
    all.push(reloads(process));
    let help = "The revision of the config in force.";
    all.push(single(
        "ironsluice_config_revision",
        "gauge",
        help,
        process.revision.load(Relaxed),
    ));
    // Numbers and text always serialise.
    serde_json::to_string(&all).unwrap_or_default()
}

#[derive(Serialize)]
struct Metric {
    name: &'static str,
    r#type: &'static str,
    help: &'static str,
    values: Vec<Sample>,
}

#[derive(Serialize)]
struct Sample {
    labels: Labels,
    #[serde(flatten)]
    value: Value,
}

type Labels = BTreeMap<&'static str, String>;

#[derive(Serialize)]
#[serde(untagged)]
enum Value {
    Number {
        value: u64,
    },
    Histogram {
        buckets: Vec<(&'static str, u64)>,
        sum: f64,
        count: u64,
    },
}

type Read<T> = fn(&T) -> &AtomicU64;

const ROUTE_METRICS: [(&str, &str, Read<RouteCounters>); 2] = [
    (
        "ironsluice_request_body_bytes_total",
        "Body bytes received from clients.",
        |r| &r.received,
    ),
    (
        "ironsluice_response_body_bytes_total",
        "Body bytes sent to clients.",
        |r| &r.sent,
    ),
];

const UPSTREAM_METRICS: [(&str, &str, Read<UpstreamCounters>); 9] = [
    (
        "ironsluice_upstream_connects_total",
        "Connections opened to endpoints.",
        |u| &u.connects,
    ),
    (
        "ironsluice_upstream_reuses_total",
        "Requests sent on a kept connection.",
        |u| &u.reuses,
    ),
    (
        "ironsluice_upstream_refused_total",
        "Connections that endpoints refused.",
        |u| &u.refused,
    ),
    (
        "ironsluice_upstream_connect_timeouts_total",
        "Connections not accepted in time.",
        |u| &u.connect_timeouts,
    ),
    (
        "ironsluice_upstream_response_timeouts_total",
        "Responses that did not come in time.",
        |u| &u.response_timeouts,
    ),
    (
        "ironsluice_upstream_resets_total",
        "Connections that ended before a response was whole.",
        |u| &u.resets,
    ),
    (
        "ironsluice_upstream_bad_responses_total",
        "Responses without a meaning.",
        |u| &u.bad_responses,
    ),
    (
        "ironsluice_upstream_retries_total",
        "Requests sent again.",
        |u| &u.retries,
    ),
    (
        "ironsluice_upstream_tls_failures_total",
        "Connections to endpoints that came to no TLS.",
        |u| &u.tls_failures,
    ),
];

const LISTENER_METRICS: [(&str, &str, Read<ListenerCounters>); 2] = [
    (
        "ironsluice_connections_accepted_total",
        "Connections accepted.",
        |l| &l.accepted,
    ),
    (
        "ironsluice_connections_refused_total",
        "Connections closed at once because a limit was reached.",
        |l| &l.refused,
    ),
];

/// The meters to show, the one for all others first if anything was counted there.
fn named<'a, T>(
    names: &'a Names,
    shards: &[Arc<ShardCounters>],
    peek: impl Fn(&ShardCounters) -> Option<&T> + 'a,
    used: impl Fn(&T) -> bool + 'a,
) -> Vec<(&'a str, u32)> {
    let other = shards.iter().filter_map(|s| peek(s)).any(used);
    let mut shown: Vec<(&str, u32)> = names
        .iter()
        .map(|(n, m)| (&**n, *m))
        .filter(|(_, m)| *m != 0)
        .collect();
    shown.sort_unstable();
    if other {
        shown.insert(0, (OTHER, 0));
    }
    shown
}

fn per_name(
    name: &'static str,
    help: &'static str,
    label: &'static str,
    names: &Names,
    shards: &[Arc<ShardCounters>],
    read: impl Fn(&ShardCounters, u32) -> Option<&AtomicU64>,
) -> Metric {
    let used = |n: &AtomicU64| n.load(Relaxed) > 0;
    let values = named(names, shards, |s| read(s, 0), used)
        .into_iter()
        .map(|(text, meter)| {
            let value = shards
                .iter()
                .filter_map(|s| read(s, meter))
                .map(|n| n.load(Relaxed))
                .sum();
            Sample {
                labels: Labels::from([(label, text.to_owned())]),
                value: Value::Number { value },
            }
        })
        .collect();
    Metric {
        name,
        r#type: "counter",
        help,
        values,
    }
}

fn requests(shards: &[Arc<ShardCounters>], routes: &Names) -> Metric {
    let mut values = Vec::new();
    for (text, meter) in named(routes, shards, |s| s.routes.peek(0), RouteCounters::used) {
        for (class, label) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().enumerate() {
            let of = |s: &Arc<ShardCounters>| {
                s.routes.peek(meter).map(|r| r.classes[class].load(Relaxed))
            };
            let value = shards.iter().filter_map(of).sum();
            let labels = Labels::from([("route", text.to_owned()), ("class", label.to_owned())]);
            values.push(Sample {
                labels,
                value: Value::Number { value },
            });
        }
    }
    Metric {
        name: "ironsluice_requests_total",
        r#type: "counter",
        help: "Requests that have ended.",
        values,
    }
}

fn durations(shards: &[Arc<ShardCounters>], routes: &Names) -> Metric {
    let mut values = Vec::new();
    for (text, meter) in named(routes, shards, |s| s.routes.peek(0), RouteCounters::used) {
        let mut counts = [0u64; BUCKETS.len() + 1];
        let mut sum = 0u64;
        for route in shards.iter().filter_map(|s| s.routes.peek(meter)) {
            counts
                .iter_mut()
                .zip(&route.took)
                .for_each(|(c, n)| *c += n.load(Relaxed));
            sum = sum.wrapping_add(route.took_sum.load(Relaxed));
        }
        let mut count = 0;
        let ends = BUCKETS.iter().map(|(_, le)| *le).chain(["+Inf"]);
        let buckets = ends
            .zip(counts)
            .map(|(le, n)| {
                count += n;
                (le, count)
            })
            .collect();
        let value = Value::Histogram {
            buckets,
            sum: sum as f64 / 1e9,
            count,
        };
        values.push(Sample {
            labels: Labels::from([("route", text.to_owned())]),
            value,
        });
    }
    let help = "From a request's first byte to its response's last.";
    Metric {
        name: "ironsluice_request_duration_seconds",
        r#type: "histogram",
        help,
        values,
    }
}

impl RouteCounters {
    fn used(&self) -> bool {
        self.classes.iter().any(|c| c.load(Relaxed) > 0)
    }
}

/// A connection may be counted as closed on another look than it was accepted: never below zero.
fn active(shards: &[Arc<ShardCounters>], listeners: &Names) -> Metric {
    let used = |l: &ListenerCounters| l.accepted.load(Relaxed) > 0;
    let values = named(listeners, shards, |s| s.listeners.peek(0), used)
        .into_iter()
        .map(|(text, meter)| {
            let of = |s: &Arc<ShardCounters>| {
                let l = s.listeners.peek(meter)?;
                let closed = l.closed.load(Relaxed);
                Some(l.accepted.load(Relaxed).saturating_sub(closed))
            };
            let value = shards.iter().filter_map(of).sum();
            Sample {
                labels: Labels::from([("listener", text.to_owned())]),
                value: Value::Number { value },
            }
        })
        .collect();
    Metric {
        name: "ironsluice_connections_active",
        r#type: "gauge",
        help: "Connections open now.",
        values,
    }
}

fn codes(
    name: &'static str,
    help: &'static str,
    (label, read): (&'static str, fn(&ShardCounters) -> &Codes),
    shards: &[Arc<ShardCounters>],
) -> Metric {
    let mut sums = BTreeMap::<&str, u64>::new();
    for (code, n) in shards.iter().flat_map(|s| read(s).all()) {
        *sums.entry(code).or_default() += n;
    }
    let sample = |(code, value): (&str, u64)| Sample {
        labels: Labels::from([(label, code.to_owned())]),
        value: Value::Number { value },
    };
    Metric {
        name,
        r#type: "counter",
        help,
        values: sums.into_iter().map(sample).collect(),
    }
}

fn reloads(process: &ProcessCounters) -> Metric {
    let sample = |result: &str, n: &AtomicU64| Sample {
        labels: Labels::from([("result", result.to_owned())]),
        value: Value::Number {
            value: n.load(Relaxed),
        },
    };
    let values = vec![
        sample("ok", &process.reloads),
        sample("refused", &process.reloads_refused),
    ];
    Metric {
        name: "ironsluice_config_reloads_total",
        r#type: "counter",
        help: "Configs given, by what became of them.",
        values,
    }
}

fn overshoot(bounds: &[Bound]) -> Metric {
    let values = bounds.iter().map(|bound| Sample {
        labels: Labels::from([
            ("route", bound.route.to_string()),
            ("limit", bound.limit.to_string()),
        ]),
        value: Value::Number {
            value: bound.tokens,
        },
    });
    Metric {
        name: "ironsluice_rate_limit_overshoot_bound",
        r#type: "gauge",
        help: "The most requests that all nodes together may admit beyond a leased limit.",
        values: values.collect(),
    }
}

fn single(name: &'static str, r#type: &'static str, help: &'static str, value: u64) -> Metric {
    Metric {
        name,
        r#type,
        help,
        values: vec![Sample {
            labels: Labels::new(),
            value: Value::Number { value },
        }],
    }
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
