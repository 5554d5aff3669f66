//! concurrency, one request after the other before one filter.

use super::super::trial::{faults, Trial};
use super::*;
use crate::engine::Effect;
use crate::filter::Slot;
use serde_json::{json, Value};

const MS: Nanos = 1_000_000;

/// What became of a request, and its state.
fn ask(trial: &mut Trial, fields: &[(&str, &str)]) -> (String, Slot) {
    trial.slot = Slot::default();
    trial.request.clear();
    trial.request.start_request(b"GET", b"/", b"example.com");
    for (name, value) in fields {
        let put = trial.request.add(name.as_bytes(), value.as_bytes());
        put.expect("room");
    }
    let verdict = trial.request();
    (said(&verdict), std::mem::take(&mut trial.slot))
}

fn said(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Next => "next".into(),
        Verdict::Ask(Ask::Wait { until, .. }) => format!("wait {}", until / MS),
        Verdict::Ask(ask) => format!("{ask:?}"),
        Verdict::Reply(reply) => {
            let again = reply.fields.iter().find(|(n, _)| n == "retry-after");
            assert!(again.is_some());
            format!("{} {}", reply.status, reply.code)
        }
    }
}

fn end(trial: &mut Trial, slot: Slot) {
    trial.slot = slot;
    trial.end();
}

fn answer(trial: &mut Trial, slot: &mut Slot, answer: Answer<'_>) -> String {
    std::mem::swap(&mut trial.slot, slot);
    let verdict = trial.answer(answer);
    std::mem::swap(&mut trial.slot, slot);
    said(&verdict)
}

fn woken(trial: &mut Trial) -> usize {
    let mut n = 0;
    while let Some(effect) = trial.acts.next_effect() {
        n += usize::from(matches!(effect, Effect::Wake(_)));
    }
    n
}

#[test]
fn one_more_than_the_limit_is_refused() {
    for (key, status) in [
        (json!("route"), 503),
        (json!("client_ip"), 429),
        (json!(["route", "header:a"]), 429),
    ] {
        let mut trial = Trial::of("concurrency", json!({ "limit": 2, "key": key }));
        let (first, slot) = ask(&mut trial, &[]);
        let (second, _kept) = ask(&mut trial, &[]);
        assert_eq!([&*first, &*second], ["next", "next"]);
        let refused = format!("{status} concurrency_limited");
        let (third, nothing) = ask(&mut trial, &[]);
        assert_eq!(third, refused);
        // The end of what was refused gives nothing back.
        end(&mut trial, nothing);
        assert_eq!(ask(&mut trial, &[]).0, refused);
        end(&mut trial, slot);
        assert_eq!(ask(&mut trial, &[]).0, "next");
    }
    let config = json!({ "limit": 1, "status": 420 });
    let mut trial = Trial::of("concurrency", config);
    let _kept = ask(&mut trial, &[]);
    assert_eq!(ask(&mut trial, &[]).0, "420 concurrency_limited");
}

#[test]
fn who_waits_has_its_turn_or_is_told_why_not() {
    let config = json!({ "limit": 1, "queue": 2, "queue_timeout": "300ms" });
    let mut trial = Trial::of("concurrency", config);
    trial.now = 1000 * MS;
    let (_, first) = ask(&mut trial, &[]);
    let (second, mut a) = ask(&mut trial, &[]);
    let (third, mut b) = ask(&mut trial, &[("x-request-deadline", "200ms")]);
    assert_eq!([&*second, &*third], ["wait 1300", "wait 1200"]);
    assert_eq!(ask(&mut trial, &[]).0, "503 concurrency_limited");
    // Somebody else's key.
    assert_eq!(answer(&mut trial, &mut a, Answer::Woken), "wait 1300");
    trial.now = 1200 * MS;
    let got = answer(&mut trial, &mut b, Answer::Late);
    assert_eq!(got, "503 deadline_unreachable");
    end(&mut trial, b);
    let (_, mut c) = ask(&mut trial, &[]);
    end(&mut trial, first);
    assert_eq!(woken(&mut trial), 1);
    assert_eq!(answer(&mut trial, &mut a, Answer::Woken), "next");
    trial.now = 1500 * MS;
    let got = answer(&mut trial, &mut c, Answer::Late);
    assert_eq!(got, "503 concurrency_queue_timeout");
    end(&mut trial, c);
    // Its wake-up was lost.
    let (_, mut d) = ask(&mut trial, &[]);
    end(&mut trial, a);
    assert_eq!(answer(&mut trial, &mut d, Answer::Late), "next");
    end(&mut trial, d);
    let o = trial.filter.occupancy().expect("it limits");
    assert_eq!((o.in_flight, o.queued, o.limit), (0, 0, 1));
    let refused: Vec<u64> = o.refused.iter().map(|(_, n)| *n).collect();
    assert_eq!(refused, [1, 1, 1, 0]);
}

#[test]
fn priorities_by_rule_by_field_and_else() {
    let config = json!({
        "limit": 1, "queue": 9, "priority_header": "x-priority", "default_priority": "low",
        "priorities": [
            { "level": "critical", "headers": { "x-tier": "gold" } },
            { "level": "high", "method": "GET", "query": { "fast": true }, "headers": { "x-tier": false } },
            { "level": "normal", "consumers": ["acme", "bolt"] },
        ],
    });
    let faults_found = &mut Vec::new();
    let mut b = Build {
        at: "f",
        route: "r",
        paths: &[],
        ordinal: 0,
        shared: None,
        resolved: None,
        faults: faults_found,
    };
    let config: Config = serde_json::from_value(config).expect("a config");
    let filter = Concurrency::build(config, &mut b).expect("a filter");
    assert_eq!(filter.consumer_keys(), ["priorities"]);
    for (target, fields, consumer, want) in [
        ("/", &[][..], None, Priority::Low),
        ("/", &[("x-tier", "gold")], None, Priority::Critical),
        ("/", &[("x-tier", "tin")], None, Priority::Low),
        ("/?fast", &[], None, Priority::High),
        ("/?fast", &[("x-tier", "tin")], None, Priority::Low),
        ("/", &[("x-priority", "critical")], None, Priority::Critical),
        ("/", &[("x-priority", "normal")], None, Priority::Normal),
        ("/", &[("x-priority", "Critical")], None, Priority::Low),
        (
            "/",
            &[("x-priority", "high")],
            Some("bolt"),
            Priority::Normal,
        ),
        ("/", &[("x-priority", "high")], Some("corn"), Priority::High),
    ] {
        let mut head = Head::new();
        head.start_request(b"GET", target.as_bytes(), b"example.com");
        for (name, value) in fields {
            head.add(name.as_bytes(), value.as_bytes()).expect("room");
        }
        let client = crate::filter::Client {
            consumer: consumer.map(Arc::from),
            ..Default::default()
        };
        assert_eq!(
            filter.levels.of(&client, &head),
            want,
            "{target} {fields:?}"
        );
    }
}

#[test]
fn what_is_in_flight_counts_over_a_reload() {
    let mut trial = Trial::of("concurrency", json!({ "limit": 1 }));
    let (_, first) = ask(&mut trial, &[]);
    trial.rebuild("concurrency", json!({ "limit": 2 }));
    let (got, _second) = ask(&mut trial, &[]);
    assert_eq!(got, "next");
    assert_eq!(ask(&mut trial, &[]).0, "503 concurrency_limited");
    end(&mut trial, first);
    assert_eq!(ask(&mut trial, &[]).0, "next");
}

#[test]
fn a_deadline_of_the_config_counts_unless_the_client_s_is_shorter() {
    let config = json!({ "limit": 1, "queue": 9, "queue_timeout": "10s", "deadline": "2s" });
    for (told, want) in [("", "wait 2000"), ("5s", "wait 2000"), ("1s", "wait 1000")] {
        let mut trial = Trial::of("concurrency", config.clone());
        let _kept = ask(&mut trial, &[]);
        let fields = [("x-request-deadline", told)];
        let fields = if told.is_empty() { &[][..] } else { &fields };
        assert_eq!(ask(&mut trial, fields).0, want, "{told}");
    }
}

#[test]
fn faults_say_where() {
    let too_many: Vec<Value> = vec![json!({ "level": "low", "method": "GET" }); 33];
    for (config, want) in [
        (json!({}), &["limit"][..]),
        (json!({ "limit": 0 }), &["limit"]),
        (json!({ "limit": 1, "fair_by": "client_ip" }), &["fair_by"]),
        (
            json!({ "limit": 1, "priority_header": "a" }),
            &["priorities"],
        ),
        (
            json!({ "limit": 1, "queue": 1, "priorities": [{ "level": "low" }] }),
            &["priorities[0]"],
        ),
        (
            json!({ "limit": 1, "queue": 1, "priorities": too_many }),
            &["priorities"],
        ),
        (json!({ "limit": 1, "queue": 65537 }), &["queue"]),
        (json!({ "limit": 1, "status": 200 }), &["status"]),
        (
            json!({ "limit": 1, "queue": 16, "fair_by": ["client_ip", "route"] }),
            &[],
        ),
    ] {
        assert_eq!(faults("concurrency", config.clone()), want, "{config}");
    }
}
