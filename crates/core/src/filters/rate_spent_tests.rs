use serde_json::{json, Value};

use crate::filter::Verdict;
use crate::filters::trial::{faults, Trial};

const SEC: u64 = 1_000_000_000;

fn by(more: Value) -> Trial {
    let mut config = json!({ "rate": "10/s", "burst": 10, "max_cost": 100 });
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    Trial::of("rate_limit", config)
}

/// One request, whose response has this field: what is left then. None if it was refused.
fn left(trial: &mut Trial, cost: Option<&str>) -> Option<String> {
    trial.slot = Default::default();
    let verdict = trial.request();
    if !matches!(verdict, Verdict::Next) {
        return None;
    }
    let before = trial.response.clone();
    if let Some(cost) = cost {
        trial
            .response
            .set(b"x-cost", cost.as_bytes())
            .expect("a valid field");
    }
    let head = trial.answered(verdict);
    trial.response = before;
    Some(String::from_utf8_lossy(head.find(b"ratelimit").unwrap_or_default()).into_owned())
}

#[test]
fn a_response_says_what_its_request_cost_and_the_next_one_pays() {
    // (each request's cost, what the response says, what is left, seconds until another is admitted)
    for (cost, says, want, wait) in [
        (1, None, 9, 0),
        (1, Some("4"), 6, 0),
        // Nothing is given back.
        (5, Some("2"), 5, 0),
        (1, Some("10"), 0, 1),
        (1, Some("40"), 0, 4),
        // As the request's own field: what says no cost costs the most.
        (1, Some("101"), 0, 10),
        (1, Some("-5"), 0, 10),
        (1, Some("0"), 0, 10),
        (1, Some(""), 0, 10),
    ] {
        let mut trial = by(json!({ "cost": cost, "cost_response_header": "X-Cost" }));
        let told = left(&mut trial, says).expect("the first is admitted");
        assert!(
            told.starts_with(&format!("\"10/s\";r={want}")),
            "{says:?}: {told}"
        );
        let admitted = (0..20).find(|s| {
            trial.now = s * SEC;
            left(&mut trial, None).is_some()
        });
        assert_eq!(admitted, Some(wait), "{cost} {says:?}");
    }
}

#[test]
fn bytes_are_counted_when_they_were_sent_and_once() {
    let mut trial = by(json!({ "cost_response": "bytes", "headers": false }));
    assert!(!trial.filter.needs().response);
    for (sent, want) in [(0, 0), (1, 0), (10, 1), (35, 3), (1 << 40, 10)] {
        trial.now += 1000 * SEC;
        let began = trial.now;
        trial.slot = Default::default();
        assert!(matches!(trial.request(), Verdict::Next));
        trial.end_after(sent);
        trial.end_after(sent);
        let admitted = (0..20).find(|s| {
            trial.now = began + s * SEC;
            trial.slot = Default::default();
            matches!(trial.request(), Verdict::Next)
        });
        assert_eq!(admitted, Some(want), "{sent}");
    }
    // Who was refused is charged nothing afterwards.
    trial.now += 1000 * SEC;
    for _ in 0..10 {
        assert!(matches!(trial.request(), Verdict::Next));
    }
    trial.slot = Default::default();
    assert!(matches!(trial.request(), Verdict::Reply(_)));
    trial.end_after(1 << 20);
    trial.now += SEC;
    assert!(matches!(trial.request(), Verdict::Next));
}

#[test]
fn every_limit_is_charged() {
    let limits = json!([
        { "rate": "100/s", "name": "a" },
        { "rate": "50/h", "algorithm": "fixed_window", "key": "route", "name": "b" },
    ]);
    let mut trial = Trial::of(
        "rate_limit",
        json!({ "limits": limits, "cost_response_header": "x-cost", "max_cost": 1000 }),
    );
    assert!(left(&mut trial, Some("70")).is_some());
    let Verdict::Reply(reply) = trial.request() else {
        panic!("a window that is full admits nothing");
    };
    let told = reply
        .fields
        .iter()
        .find(|(n, _)| &**n == "ratelimit")
        .map(|(_, v)| v);
    assert_eq!(
        told.map(|v| v.as_ref()),
        Some(&b"\"a\";r=30;t=1, \"b\";r=0;t=3600"[..])
    );
}

#[test]
fn a_cost_that_is_known_late_is_bounded_and_said_once() {
    for (config, want) in [
        (json!({ "cost_response": "bytes" }), vec!["max_cost"]),
        (
            json!({ "cost_response_header": "x-cost" }),
            vec!["max_cost"],
        ),
        (
            json!({ "cost_response_header": "x cost", "max_cost": 5 }),
            vec!["cost_response_header"],
        ),
        (
            json!({ "cost_response": "bytes", "cost_response_header": "a", "max_cost": 5 }),
            vec!["cost_response"],
        ),
        (
            json!({ "cost_response": "bytes", "cost": 3, "max_cost": 2 }),
            vec!["max_cost"],
        ),
        (
            json!({ "cost_response": "seconds", "max_cost": 2 }),
            vec!["cost_response"],
        ),
        (
            json!({ "cost_response": "bytes", "max_cost": 4_000_000_000u32 }),
            vec![],
        ),
        (
            json!({ "cost_response": "bytes", "cost_header": "a", "max_cost": 5 }),
            vec![],
        ),
        (
            json!({ "cost_response": "bytes", "cost_header": "a" }),
            vec!["max_cost"],
        ),
        (
            json!({ "cost_response": "bytes", "max_cost": 5, "algorithm": "leaky_bucket" }),
            vec!["algorithm"],
        ),
    ] {
        let mut all = json!({ "rate": "5/s" });
        for (key, value) in config.as_object().expect("an object") {
            all[key] = value.clone();
        }
        assert_eq!(faults("rate_limit", all), want, "{config}");
    }
}
