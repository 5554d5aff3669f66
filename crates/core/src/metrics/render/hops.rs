//! What requests said of proxies, of the routes where any did.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use super::{named, Labels, Meters, Metric, Names, RouteCounters, Sample, ShardCounters, Value};
use crate::hops::{ENTRIES, SEEN};

/// Requests by whether what they say fits, and by how many entries they have.
pub(super) fn metrics(shards: &[Arc<ShardCounters>], routes: &Names) -> [Metric; 2] {
    let shown = named(routes, shards, |s| s.routes.peek(0), RouteCounters::used);
    let (mut seen, mut entries) = (Vec::new(), Vec::new());
    for (route, meter) in shown {
        let of = |read: &dyn Fn(&RouteCounters) -> u64| -> u64 {
            let all = shards.iter().filter_map(|s| s.routes.peek(meter));
            all.map(read).sum()
        };
        let rows = |label: &'static str,
                    words: &[&str],
                    read: &dyn Fn(&RouteCounters, usize) -> u64| {
            let values: Vec<_> = (0..words.len()).map(|i| of(&|r| read(r, i))).collect();
            let used = values.iter().any(|n| *n > 0);
            let rows = words.iter().zip(values).map(|(word, value)| Sample {
                labels: Labels::from([("route", route.to_owned()), (label, (*word).to_owned())]),
                value: Value::Number { value },
            });
            rows.filter(|_| used).collect::<Vec<_>>()
        };
        seen.extend(rows("seen", &SEEN, &|r, i| r.hops.seen[i].load(Relaxed)));
        entries.extend(rows("entries", &ENTRIES, &|r, i| {
            r.hops.entries[i].load(Relaxed)
        }));
    }
    let metric = |name, help, values| Metric {
        name,
        r#type: "counter",
        help,
        values,
    };
    [
        metric(
            "ironsluice_client_ip_requests_total",
            "Requests that said something of proxies, by how that is to what is believed.",
            seen,
        ),
        metric(
            "ironsluice_client_ip_entries_total",
            "Requests of trusted peers, by entries of the field that says for whom they forward.",
            entries,
        ),
    ]
}

/// Untrusted peers through which many clients of a route seem to come, as JSON: `[{route, peer}]`.
pub fn suspects(shards: &[Arc<ShardCounters>], meters: &Meters) -> String {
    let routes = meters.routes.iter().filter(|(_, meter)| *meter != 0);
    let found = routes.filter_map(|(route, meter)| {
        let mut all = shards.iter().filter_map(|s| s.routes.peek(*meter));
        let peer = all.find_map(|r| r.hops.suspect())?;
        Some(serde_json::json!({ "route": route, "peer": peer.to_string() }))
    });
    serde_json::Value::from(found.collect::<Vec<_>>()).to_string()
}
