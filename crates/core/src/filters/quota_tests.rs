use serde_json::{json, Value};

use super::*;
use crate::filters::trial::{faults, Trial};

/// 2026-11-27T06:00:00Z.
const T: u64 = 1_795_759_200;

fn quota(more: Value) -> Value {
    let mut all = json!({ "per": "hour", "limit": 3 });
    let more = more.as_object().cloned().unwrap_or_default();
    if let Some(all) = all.as_object_mut() {
        all.extend(more);
    }
    all
}

fn trial(more: Value) -> Trial {
    let mut trial = Trial::of("quota", quota(more));
    (trial.unix, trial.client.consumer) = (T, Some("ali".into()));
    trial
}

fn outcome(received: u64, sent: u64) -> Outcome {
    Outcome {
        status: 200,
        received,
        sent,
        took: 0,
        complete: true,
    }
}

/// One request that ends so: its status, and what it was told of the quota.
fn ask(trial: &mut Trial, how: Outcome) -> (u16, Vec<String>) {
    trial.slot = Default::default();
    let verdict = trial.request();
    let head = trial.answered(verdict);
    if trial.filter.needs().done {
        trial.end_with(&how);
    }
    let fields = Trial::fields(&head);
    let told = fields
        .into_iter()
        .filter(|f| f.starts_with("ratelimit") || f.starts_with("retry"));
    (head.status(), told.collect())
}

#[test]
fn a_limit_is_a_windows_and_what_is_left_is_told() {
    let mut t = trial(json!({ "name": "q" }));
    for (at, status, want) in [
        (
            T,
            200,
            vec![
                "ratelimit-policy: \"q\";q=3;w=3600",
                "ratelimit: \"q\";r=2;t=3600",
            ],
        ),
        (
            T + 1,
            200,
            vec![
                "ratelimit-policy: \"q\";q=3;w=3600",
                "ratelimit: \"q\";r=1;t=3599",
            ],
        ),
        (
            T + 2,
            200,
            vec![
                "ratelimit-policy: \"q\";q=3;w=3600",
                "ratelimit: \"q\";r=0;t=3598",
            ],
        ),
        (
            T + 10,
            429,
            vec![
                "retry-after: 3590",
                "ratelimit-policy: \"q\";q=3;w=3600",
                "ratelimit: \"q\";r=0;t=3590",
            ],
        ),
        // Back, within what is open.
        (
            T - 60,
            429,
            vec![
                "retry-after: 3660",
                "ratelimit-policy: \"q\";q=3;w=3600",
                "ratelimit: \"q\";r=0;t=3660",
            ],
        ),
        (
            T + 3600,
            200,
            vec![
                "ratelimit-policy: \"q\";q=3;w=3600",
                "ratelimit: \"q\";r=2;t=3600",
            ],
        ),
    ] {
        t.unix = at;
        let (got, told) = ask(&mut t, outcome(0, 0));
        assert_eq!(
            (got, told),
            (status, want.iter().map(|s| (*s).to_owned()).collect()),
            "{at}"
        );
    }
}

#[test]
fn policies_say_their_unit_and_a_length_only_if_it_is_constant() {
    for (more, want) in [
        (json!({}), "\"r-hour\";q=3;w=3600"),
        (json!({ "per": "day" }), "\"r-day\";q=3;w=86400"),
        (
            json!({ "per": "day", "time_zone": "Europe/Berlin" }),
            "\"r-day\";q=3",
        ),
        (json!({ "per": "week" }), "\"r-week\";q=3;w=604800"),
        (
            json!({ "per": "month", "unit": "bytes" }),
            "\"r-month\";q=3;qu=\"content-bytes\"",
        ),
        (
            json!({ "unit": "request_bytes" }),
            "\"r-hour\";q=3;qu=\"content-bytes\";w=3600",
        ),
        (
            json!({ "unit": "header:X-Cost" }),
            "\"r-hour\";q=3;qu=\"x-cost\";w=3600",
        ),
    ] {
        let mut t = trial(more.clone());
        let (_, told) = ask(&mut t, outcome(0, 0));
        assert_eq!(told[0], format!("ratelimit-policy: {want}"), "{more}");
    }
    let mut silent = trial(json!({ "headers": false, "limit": 1 }));
    assert_eq!(ask(&mut silent, outcome(0, 0)), (200, vec![]));
    assert_eq!(
        ask(&mut silent, outcome(0, 0)),
        (429, vec!["retry-after: 3600".to_owned()])
    );
}

#[test]
fn each_unit_is_measured_when_the_response_has_ended() {
    // What is used of 100 by a request of 7 bytes, whose response has 30 and says 11 and 2.
    for (unit, want) in [
        ("request_bytes", 93),
        ("response_bytes", 70),
        ("bytes", 63),
        ("header:x-cost", 87),
        ("header:x-none", 100),
        ("header:x-bad", 100),
    ] {
        let mut t = trial(json!({ "unit": unit, "limit": 100 }));
        t.response.add(b"x-cost", b"11").expect("room");
        t.response.add(b"x-cost", b"2").expect("room");
        t.response.add(b"x-bad", b"-1").expect("room");
        assert!(
            ask(&mut t, outcome(7, 30)).1[1].contains("r=100;"),
            "{unit}"
        );
        let (_, told) = ask(&mut t, outcome(0, 0));
        assert!(told[1].contains(&format!("r={want};")), "{unit}: {told:?}");
    }
}

#[test]
fn bytes_may_end_above_and_what_is_refused_uses_nothing() {
    let mut t = trial(json!({ "unit": "bytes", "limit": 10, "name": "q" }));
    assert_eq!(ask(&mut t, outcome(0, 9)).0, 200);
    assert_eq!(ask(&mut t, outcome(0, 500)).0, 200);
    for _ in 0..3 {
        let (status, told) = ask(&mut t, outcome(0, 100));
        assert_eq!(
            (status, told[2].as_str()),
            (429, "ratelimit: \"q\";r=0;t=3600")
        );
    }
    let used = t
        .filter
        .quota()
        .map(|q| q.counts.standing("ali", &q.calendar, T).used);
    assert_eq!(used, Some(509));
    // What ends in the next window counts there.
    t.unix = T + 3600;
    t.slot = Default::default();
    assert!(matches!(t.request(), Verdict::Next));
    t.unix = T + 7200;
    t.end_with(&outcome(1, 2));
    let used = t
        .filter
        .quota()
        .map(|q| q.counts.standing("ali", &q.calendar, T + 7200).used);
    assert_eq!(used, Some(3));
}

#[test]
fn consumers_count_apart_and_have_their_plans() {
    let mut t = trial(json!({
        "limit": 0, "plans": { "free": 1, "pro": 3 }, "plan_of": { "ali": "pro", "bo": "free" },
    }));
    for (consumer, want) in [("ali", 3), ("bo", 1), ("cy", 0)] {
        t.client.consumer = Some(consumer.into());
        let admitted = (0..9)
            .filter(|_| ask(&mut t, outcome(0, 0)).0 == 200)
            .count();
        assert_eq!(admitted, want, "{consumer}");
    }
}

#[test]
fn the_count_survives_a_reload_that_keeps_what_is_counted() {
    for (more, kept) in [
        (json!({ "limit": 4 }), true),
        (json!({ "headers": false }), true),
        (json!({ "time_zone": "Europe/Berlin" }), true),
        (json!({ "name": "other" }), false),
        (json!({ "unit": "bytes" }), false),
    ] {
        let mut t = trial(json!({}));
        ask(&mut t, outcome(0, 0));
        t.rebuild("quota", quota(more.clone()));
        let used = t
            .filter
            .quota()
            .map(|q| q.counts.standing("ali", &q.calendar, T).used);
        assert_eq!(used, Some(u64::from(kept)), "{more}");
    }
}

#[test]
fn faults_are_named() {
    for (more, want) in [
        (json!({ "per": "year" }), "per"),
        (json!({ "limit": -1 }), "limit"),
        (json!({ "time_zone": "Berlin" }), "time_zone"),
        (json!({ "unit": "tokens" }), "unit"),
        (json!({ "unit": "header:" }), "unit"),
        (json!({ "name": "" }), "name"),
        (json!({ "name": "a\"b" }), "name"),
        (json!({ "scope": "thread" }), "scope"),
        (json!({ "plan_of": { "ali": "pro" } }), "plan_of"),
        (json!({ "key": "consumer" }), "key"),
    ] {
        assert_eq!(faults("quota", quota(more.clone())), [want], "{more}");
    }
    assert_eq!(faults("quota", json!({})).len(), 2, "per and limit");
}
