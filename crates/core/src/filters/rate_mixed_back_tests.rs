//! What is given back, or set aside, while the store is asked.

use serde_json::json;

use super::super::trial::Trial;
use super::tests::{asked, status, told, trial, HOUR};
use super::*;

/// Three an hour here, five an hour by the store.
fn mixed(scope: &str) -> Trial {
    trial(
        json!([
            { "rate": "3/h", "algorithm": "fixed_window", "scope": scope, "name": "here" },
            { "rate": "5/h", "burst": 5, "mode": "strict", "name": "all" },
        ]),
        json!({}),
    )
}

#[test]
fn what_the_store_refuses_is_given_back_here() {
    for scope in ["process", "thread"] {
        let mut t = mixed(scope);
        let answers = [
            ([1, HOUR / 5, 0], 200, 2),
            ([0, HOUR, HOUR / 5], 429, 2),
            ([0, HOUR, HOUR / 5], 429, 2),
            ([0, HOUR, HOUR / 5], 429, 2),
            ([1, HOUR / 5, 0], 200, 1),
            ([1, HOUR / 5, 0], 200, 0),
        ];
        for (answer, want, left) in answers {
            asked(t.request());
            let verdict = t.answer(Answer::Store(&answer));
            let (status, fields) = told(&mut t, verdict, &["ratelimit"]);
            assert_eq!(status, want);
            let here = format!(r#""here";r={left};"#);
            assert!(fields[0].starts_with(&here), "{fields:?} {here}");
        }
        // Nothing is left here: the store is not asked, and not known.
        let verdict = t.request();
        let (status, fields) = told(&mut t, verdict, &["ratelimit"]);
        assert_eq!((status, &*fields[0]), (429, r#""here";r=0;t=3600"#));
    }
}

#[test]
fn what_waits_for_the_store_is_set_aside() {
    let mut t = mixed("process");
    let mut waiting = Vec::new();
    for _ in 0..3 {
        asked(t.request());
        waiting.push(std::mem::take(&mut t.slot));
    }
    assert_eq!(status(t.request()), 429, "three wait for what there is");
    // One client goes away, one request is refused, one admitted.
    t.slot = waiting.remove(0);
    t.end();
    t.slot = waiting.remove(0);
    assert_eq!(status(t.answer(Answer::Store(&[0, HOUR, 1]))), 429);
    t.slot = waiting.remove(0);
    assert_eq!(status(t.answer(Answer::Store(&[1, HOUR / 5, 0]))), 200);
    for want in [200, 200, 429] {
        let mut verdict = t.request();
        if matches!(verdict, Verdict::Ask(_)) {
            verdict = t.answer(Answer::Store(&[1, HOUR / 5, 0]));
        }
        assert_eq!(status(verdict), want);
    }
}

#[test]
fn what_the_store_refuses_is_given_back_to_leases() {
    let mut t = trial(
        json!([
            { "rate": "6/h", "burst": 6, "name": "leased" },
            { "rate": "5/h", "burst": 5, "mode": "strict", "name": "strict" },
        ]),
        json!({}),
    );
    let mut got = Vec::new();
    for (answer, _) in [
        (0, ()),
        (0, ()),
        (0, ()),
        (0, ()),
        (1, ()),
        (1, ()),
        (1, ()),
    ] {
        let verdict = t.request();
        for call in t.leases() {
            call.settle(t.now, Some(&[call.ask.most as i64, 0, 0]));
        }
        asked(verdict);
        let values = [answer, if answer > 0 { 0 } else { HOUR }, 1 - answer];
        got.push(status(t.answer(Answer::Store(&values))));
    }
    assert_eq!(got, [429, 429, 429, 429, 200, 200, 200]);
}

#[test]
fn threads_count_by_themselves() {
    for config in [
        json!({ "rate": "2/h", "burst": 2, "scope": "thread" }),
        json!({ "rate": "2/h", "algorithm": "sliding_window", "scope": "thread" }),
        json!({ "scope": "thread", "limits": [{ "rate": "2/h", "burst": 2 }, { "rate": "9/h", "burst": 9 }] }),
        json!({ "limits": [{ "rate": "2/h", "burst": 2, "scope": "thread" }, { "rate": "9/h", "burst": 9 }] }),
    ] {
        let mut t = Trial::of("rate_limit", config.clone());
        let mut passed = |thread: usize| {
            t.thread = thread;
            (0..4).filter(|_| status(t.request()) == 200).count()
        };
        assert_eq!(
            [0, 1, 0, 7, 1].map(&mut passed),
            [2, 2, 0, 2, 0],
            "{config}"
        );
        t.rebuild("rate_limit", config.clone());
        t.thread = 1;
        assert_eq!(status(t.request()), 429, "{config}: as before the reload");
    }
}

#[test]
fn the_node_alone_does_as_it_was_told_with_all_kinds_of_limits() {
    // What becomes of 4 requests at one instant while the store is gone.
    for (on_fail, want) in [
        (json!("fair_share"), [200, 200, 429, 429]),
        (json!("open"), [200, 200, 200, 429]),
        (json!("closed"), [503; 4]),
    ] {
        for mode in ["strict", "leased"] {
            let mut t = trial(
                json!([
                    { "rate": "4/h", "burst": 4, "mode": mode, "name": "all" },
                    { "rate": "3/h", "burst": 3, "scope": "process", "name": "here" },
                ]),
                json!({ "on_fail": on_fail }),
            );
            t.store().note(false, 2, 0);
            let got = want.map(|_| status(t.request()));
            assert_eq!(got, want, "{on_fail} {mode}");
            assert_eq!(t.leases().len(), 0, "nobody would answer");
            assert_eq!(t.store().fallbacks(), 4);
        }
    }
}
