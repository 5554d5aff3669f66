use serde_json::json;

use super::super::trial::{faults, Trial};
use super::*;
use crate::filter::StoreCall;

fn trial(more: serde_json::Value) -> Trial {
    let mut config = json!({ "rate": "10/s", "burst": 4, "scope": "global", "headers": true });
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    Trial::of("rate_limit", config)
}

/// What the store is asked.
fn asked(verdict: Verdict) -> StoreCall {
    match verdict {
        Verdict::Ask(Ask::Store(call)) => *call,
        other => panic!("{other:?}"),
    }
}

fn field(trial: &mut Trial, verdict: Verdict, name: &str) -> Option<String> {
    let head = trial.answered(verdict);
    head.find(name.as_bytes())
        .map(|v| String::from_utf8_lossy(v).into_owned())
}

#[test]
fn what_cannot_be_shared_is_refused() {
    let cases: [(serde_json::Value, &[&str]); 12] = [
        (json!({ "rate": "1/s" }), &[]),
        (
            json!({ "rate": "1/s", "mode": "strict", "on_fail": "open" }),
            &[],
        ),
        (json!({}), &["rate"]),
        (json!({ "rate": "1/s", "max_wait": "1s" }), &["max_wait"]),
        (
            json!({ "rate": "1/s", "algorithm": "fixed_window" }),
            &["algorithm"],
        ),
        (
            json!({ "rate": "1/s", "algorithm": "sliding_window", "mode": "strict" }),
            &[],
        ),
        (
            json!({ "rate": "2000/s", "algorithm": "sliding_window_log", "mode": "strict" }),
            &["rate"],
        ),
        (
            json!({ "rate": "1/s", "burst": 2, "algorithm": "fixed_window", "mode": "strict" }),
            &["burst"],
        ),
        (json!({ "rate": "1/s", "cost": 2 }), &["cost"]),
        (json!({ "rate": "1/s", "max_keys": 0 }), &["max_keys"]),
        (
            json!({ "rate": "1/h", "burst": 4_000_000, "mode": "strict" }),
            &["burst"],
        ),
        (json!({ "rate": "1/s", "mode": "loose" }), &["mode"]),
    ];
    for (mut config, want) in cases {
        config["scope"] = json!("global");
        assert_eq!(faults("rate_limit", config.clone()), want, "{config}");
    }
    for key in [json!({ "mode": "strict" }), json!({ "on_fail": "open" })] {
        let mut config = key.clone();
        config["rate"] = json!("1/s");
        let name = key.as_object().and_then(|o| o.keys().next().cloned());
        assert_eq!(faults("rate_limit", config), [name.expect("a key")]);
    }
}

#[test]
fn strict_asks_about_each_request_and_tells_what_the_store_says() {
    // Algorithm, script, its arguments; an answer that admits and one that refuses; what is told.
    type Case = (
        &'static str,
        &'static str,
        &'static [i64],
        (&'static [i64], &'static str),
        (&'static [i64], &'static str),
    );
    let cases: [Case; 4] = [
        (
            "gcra",
            "gcra",
            &[100_000_000, 4, 0, 1, 1, 0, 0],
            (&[1, 250_000, 0], r#""10/s";r=1;t=1"#),
            (&[0, 390_000, 90_000], "1"),
        ),
        (
            "fixed_window",
            "fixed_window",
            &[1_000_000, 10, 1],
            (&[1, 3, 500_000, 0], r#""10/s";r=7;t=1"#),
            (&[0, 10, 1_500_000, 1_500_000], "2"),
        ),
        (
            "sliding_window",
            "sliding_window",
            &[1_000_000, 10, 1],
            (&[1, 10, 1_500_000, 0], r#""10/s";r=0;t=2"#),
            (&[0, 10, 2_000_000, 1], "1"),
        ),
        (
            "sliding_window_log",
            "sliding_window_log",
            &[1_000_000, 10, 1],
            (&[1, 1, 1_000_000, 0], r#""10/s";r=9;t=1"#),
            (&[0, 10, 1_000_000, 20], "1"),
        ),
    ];
    for (algorithm, script, args, admits, refuses) in cases {
        let mut config =
            json!({ "rate": "10/s", "scope": "global", "mode": "strict", "algorithm": algorithm });
        if algorithm == "gcra" {
            config["burst"] = json!(4);
        }
        let mut t = Trial::of("rate_limit", config);
        t.store().note(true, 2, 1);
        let call = asked(t.request());
        assert_eq!((call.script, &*call.args), (script, args));
        let verdict = t.answer(Answer::Store(admits.0));
        assert_eq!(
            field(&mut t, verdict, "ratelimit").as_deref(),
            Some(admits.1)
        );
        let again = asked(t.request());
        assert_eq!(again.key, call.key);
        let verdict = t.answer(Answer::Store(refuses.0));
        assert_eq!(
            field(&mut t, verdict, "retry-after").as_deref(),
            Some(refuses.1)
        );
        assert_eq!(t.store().fallbacks(), 0);
    }
}

#[test]
fn keys_in_the_store_are_the_limits_own_and_the_clients() {
    let key = |config: serde_json::Value, ip: [u8; 4]| {
        let mut t = trial(config);
        t.store().note(true, 1, 0);
        t.client = crate::filter::Client::new((ip, 1).into());
        asked(t.request()).key
    };
    let strict = || json!({ "mode": "strict" });
    let one = key(strict(), [192, 0, 2, 1]);
    assert_eq!(one, key(strict(), [192, 0, 2, 1]), "in every process");
    assert_ne!(one, key(strict(), [192, 0, 2, 2]));
    assert_ne!(
        one,
        key(json!({ "mode": "strict", "burst": 5 }), [192, 0, 2, 1])
    );
    let text = String::from_utf8(one).expect("text");
    assert!(text.ends_with('}') && text.contains(":{"), "{text}");
}

#[test]
fn without_the_store_a_node_does_as_it_was_told() {
    // How the store fails: gone, late, broken, nonsense.
    let failed = Answer::Failed(crate::filter::Failed {
        who: crate::filter::Who::Store,
        may_retry: false,
    });
    let fails = [
        None,
        Some(Answer::Late),
        Some(failed),
        Some(Answer::Store(&[1])),
    ];
    // What becomes of 6 requests at one instant over 2 nodes, with a burst of 4.
    let cases = [
        (json!("fair_share"), [200, 200, 429, 429, 429, 429]),
        (json!("open"), [200; 6]),
        (json!("closed"), [503; 6]),
    ];
    for (on_fail, want) in cases {
        for fail in fails {
            let mut t = trial(json!({ "mode": "strict", "on_fail": on_fail }));
            t.store().note(true, 2, 0);
            t.store().note(fail.is_some(), 2, 0);
            let got = want.map(|_| {
                let mut verdict = t.request();
                if let Some(fail) = fail {
                    asked(verdict);
                    verdict = t.answer(fail);
                }
                Trial::status_of(verdict).unwrap_or(200)
            });
            assert_eq!(got, want, "{on_fail} {fail:?}");
            assert_eq!(t.store().fallbacks(), 6);
        }
    }
    let mut t = trial(json!({ "mode": "strict", "on_fail": "closed" }));
    let verdict = t.request();
    assert!(matches!(verdict, Verdict::Reply(reply) if reply.code == "rate_limit_unavailable"));
}

#[test]
fn leased_decides_by_itself_and_takes_in_the_background() {
    let mut t = trial(json!({}));
    t.store().note(true, 2, 0);
    let verdict = t.request();
    assert!(matches!(verdict, Verdict::Next), "{verdict:?}");
    let calls = t.leases();
    assert_eq!(
        calls.len(),
        1,
        "one ask, of which the first request is charged"
    );
    let call = &calls[0];
    assert_eq!(call.call.script, "gcra");
    assert_eq!(call.ask.charge, 1);
    call.settle(t.now, Some(&[1, 200_000, 0]));
    // What was granted is used before anything is asked again.
    assert!(matches!(t.request(), Verdict::Next));
    assert_eq!(t.leases().len(), 0);
    // The store has no more, and this node nothing of its own: who comes now may ask, and waits for that.
    call.settle(t.now, Some(&[0, 400_000, 1]));
    t.now += 300_000_000;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let mut verdict = t.request();
        if matches!(verdict, Verdict::Ask(_)) {
            verdict = t.answer(Answer::Store(&[0, 400_000, 100_000]));
        }
        statuses.push(Trial::status_of(verdict));
    }
    assert!(statuses.contains(&Some(429)), "{statuses:?}");
}

#[test]
fn leased_without_the_store_keeps_to_its_share() {
    let cases = [
        (json!("fair_share"), [200, 200, 429, 429]),
        (json!("open"), [200; 4]),
        (json!("closed"), [503; 4]),
    ];
    for (on_fail, want) in cases {
        let mut t = trial(json!({ "on_fail": on_fail }));
        t.store().note(true, 2, 0);
        t.store().note(false, 0, 0);
        let got = want.map(|_| Trial::status_of(t.request()).unwrap_or(200));
        assert_eq!(got, want, "{on_fail}");
        assert_eq!(t.leases().len(), 0, "nobody would answer");
        assert_eq!(t.store().fallbacks(), 4);
    }
}

#[test]
fn closed_says_503_in_both_modes_while_single_calls_fail() {
    let failed = Answer::Failed(crate::filter::Failed {
        who: crate::filter::Who::Store,
        may_retry: false,
    });
    for mode in ["strict", "leased"] {
        for fail in [Answer::Late, failed, Answer::Store(&[1])] {
            let mut t = trial(json!({ "mode": mode, "on_fail": "closed" }));
            t.store().note(true, 4, 0);
            let mut statuses = Vec::new();
            for _ in 0..3 {
                let mut verdict = t.request();
                if matches!(verdict, Verdict::Ask(_)) {
                    verdict = t.answer(fail);
                }
                statuses.push(Trial::status_of(verdict).unwrap_or(200));
            }
            // A lease has a share of what is unused before anything was asked.
            let first = if mode == "leased" { 200 } else { 503 };
            assert_eq!(statuses, [first, 503, 503], "{mode} {fail:?}");
            let alone = statuses.iter().filter(|&&status| status == 503).count();
            assert_eq!(t.store().fallbacks(), alone as u64, "{mode} {fail:?}");
        }
    }
}
