use super::*;
use crate::filter::Outcome;
use crate::forward::Failure;
use crate::metrics::MS;
use crate::snapshot::MAX_METERS;
use crate::Nanos;

fn outcome(status: u16, took: Nanos) -> Outcome {
    Outcome {
        status,
        received: 10,
        sent: 20,
        took,
        complete: true,
    }
}

fn names(of: &[&str]) -> Names {
    of.iter().zip(1..).map(|(n, m)| ((*n).into(), m)).collect()
}

fn rendered(shards: &[Arc<ShardCounters>], meters: &Meters) -> serde_json::Value {
    let text = render(shards, &ProcessCounters::default(), meters);
    serde_json::from_str(&text).expect("JSON")
}

fn metric<'a>(all: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    all.as_array()
        .and_then(|a| a.iter().find(|m| m["name"] == name))
        .expect(name)
}

#[test]
fn threads_are_summed_by_name() {
    let shards = [
        Arc::new(ShardCounters::default()),
        Arc::new(ShardCounters::default()),
    ];
    shards[0].route(1).done(&outcome(200, 1));
    shards[1].route(1).done(&outcome(204, 1));
    shards[1].route(2).done(&outcome(499, 1));
    shards[1].route(MAX_METERS + 7).done(&outcome(404, 1));
    shards[0].listener(1).accepted.store(5, Relaxed);
    shards[0].listener(1).closed.store(2, Relaxed);
    shards[1].upstream(1).failed(Failure::Refused);
    let meters = Meters {
        routes: names(&["a", "b"]),
        upstreams: names(&["u"]),
        listeners: names(&["web"]),
        occupied: Vec::new(),
        store: StoreFigures {
            fallbacks: 3,
            bounds: vec![Bound {
                route: "a".into(),
                limit: "10/s".into(),
                tokens: 7,
            }],
        },
    };
    let all = rendered(&shards, &meters);
    let seen: Vec<String> = metric(&all, "ironsluice_requests_total")["values"]
        .as_array()
        .expect("values")
        .iter()
        .filter(|v| v["value"] != 0)
        .map(|v| format!("{}", v))
        .collect();
    assert_eq!(
        seen,
        [
            r#"{"labels":{"class":"4xx","route":"_other"},"value":1}"#,
            r#"{"labels":{"class":"2xx","route":"a"},"value":2}"#,
            r#"{"labels":{"class":"4xx","route":"b"},"value":1}"#,
        ]
    );
    assert_eq!(
        metric(&all, "ironsluice_request_body_bytes_total")["values"][1]["value"],
        20
    );
    assert_eq!(
        metric(&all, "ironsluice_connections_active")["values"][0]["value"],
        3
    );
    assert_eq!(
        metric(&all, "ironsluice_upstream_refused_total")["values"][0]["value"],
        1
    );
    assert_eq!(
        metric(&all, "ironsluice_rate_limit_fallback_total")["values"][0]["value"],
        3
    );
    assert_eq!(
        metric(&all, "ironsluice_rate_limit_overshoot_bound")["values"][0],
        serde_json::json!({ "labels": { "limit": "10/s", "route": "a" }, "value": 7 })
    );
}

#[test]
fn a_duration_falls_into_the_bucket_that_holds_it_and_all_above() {
    for (took, from) in [
        (0, 0),
        (5 * MS, 0),
        (5 * MS + 1, 1),
        (MS * 1000, 9),
        (MS * 10_001, 14),
    ] {
        let shards = [Arc::new(ShardCounters::default())];
        shards[0].route(1).done(&outcome(200, took));
        let meters = Meters {
            routes: names(&["a"]),
            ..Meters::default()
        };
        let all = rendered(&shards, &meters);
        let value = &metric(&all, "ironsluice_request_duration_seconds")["values"][0];
        let buckets = value["buckets"].as_array().expect("buckets");
        assert_eq!(buckets.len(), 15);
        assert_eq!(buckets.iter().position(|b| b[1] == 1), Some(from), "{took}");
        assert_eq!(buckets[14], serde_json::json!(["+Inf", 1]));
        assert_eq!(value["count"], 1);
        assert_eq!(value["sum"], took as f64 / 1e9);
    }
}

#[test]
fn names_are_unique_and_in_the_manner_of_prometheus() {
    let all = rendered(&[], &Meters::default());
    let mut seen = std::collections::BTreeSet::new();
    for m in all.as_array().expect("a list") {
        let name = m["name"].as_str().expect("a name");
        assert!(seen.insert(name.to_owned()), "{name} twice");
        assert!(name.starts_with("ironsluice_"), "{name}");
        assert_eq!(m["type"] == "counter", name.ends_with("_total"), "{name}");
        assert!(
            m["help"].as_str().is_some_and(|h| h.ends_with('.')),
            "{name}"
        );
    }
}

#[test]
fn what_is_said_of_proxies_is_shown_where_anything_is() {
    use crate::filter::Client;
    use crate::hops::{Said, Seen};
    let shards = [
        Arc::new(ShardCounters::default()),
        Arc::new(ShardCounters::default()),
    ];
    let meters = Meters {
        routes: names(&["a", "b"]),
        ..Meters::default()
    };
    let mut client = Client::new("192.0.2.1:5".parse().expect("an address"));
    client.said = Said {
        seen: Seen::More,
        entries: 2,
        mark: 0,
    };
    shards.iter().for_each(|s| s.route(1).hops.count(&client));
    for n in 0..100u32 {
        client.said = Said::by_untrusted(Some(&n.to_le_bytes()));
        shards[1].route(1).hops.count(&client);
    }
    let all = rendered(&shards, &meters);
    let seen = &metric(&all, "ironsluice_client_ip_requests_total")["values"];
    let want = |seen: &str, value: u64| serde_json::json!({ "labels": { "route": "a", "seen": seen }, "value": value });
    assert_eq!(
        *seen,
        serde_json::json!([
            want("fits", 0),
            want("more", 2),
            want("fewer", 0),
            want("untrusted", 100)
        ])
    );
    let entries = &metric(&all, "ironsluice_client_ip_entries_total")["values"];
    assert_eq!(entries[2]["value"], 2);
    assert_eq!(
        suspects(&shards, &meters),
        r#"[{"peer":"192.0.2.1","route":"a"}]"#
    );
}
