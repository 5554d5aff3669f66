use serde_json::{json, Value};

use super::*;
use crate::filter::{Failed, Outcome, StoreCall, Who};
use crate::filters::trial::{faults, Trial};

/// 2026-11-27T06:00:00Z.
const T: u64 = 1_795_759_200;
const H: u64 = 3600;

fn config(more: Value) -> Value {
    let mut all = json!({ "per": "hour", "limit": 4, "name": "q", "scope": "global" });
    let more = more.as_object().cloned().unwrap_or_default();
    if let Some(all) = all.as_object_mut() {
        all.extend(more);
    }
    all
}

/// Of two nodes, with a store that is there and whose clock shows `T`; the wall clock of this one is an hour ahead.
fn trial(more: Value) -> Trial {
    let mut trial = Trial::of("quota", config(more));
    (trial.unix, trial.client.consumer) = (T + H, Some("ali".into()));
    trial.store().note(true, 2, T * 1_000_000);
    trial.store().timed(T * 1_000_000, 0);
    trial
}

fn asked(verdict: Verdict) -> StoreCall {
    match verdict {
        Verdict::Ask(Ask::Store(call)) => *call,
        other => panic!("{other:?}"),
    }
}

/// What the script says: whether it admits, what was used of the hour that began at `start`, its time.
fn says(said: i64, used: i64, start: u64, now: u64) -> Vec<i64> {
    vec![said, used, start as i64, (start + H) as i64, now as i64, 77]
}

fn told(trial: &mut Trial, verdict: Verdict) -> (u16, Vec<String>) {
    let head = trial.answered(verdict);
    let fields = Trial::fields(&head).into_iter();
    let told = fields.filter(|f| f.starts_with("ratelimit:") || f.starts_with("retry"));
    (head.status(), told.collect())
}

#[test]
fn each_request_asks_with_windows_around_the_time_of_the_store() {
    let mut t = trial(json!({}));
    let call = asked(t.request());
    let around = [T - H, T, T + H, T + 2 * H].map(|n| n as i64);
    assert_eq!(call.script, "quota");
    assert_eq!(call.args[..8], [4, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(call.args[8..], around);
    let verdict = t.answer(Answer::Store(&says(1, 3, T, T + 60)));
    assert_eq!(
        told(&mut t, verdict),
        (200, vec!["ratelimit: \"q\";r=1;t=3540".to_owned()])
    );

    // The next one says what the store showed: a store that lost it takes it from there.
    let again = asked(t.request());
    assert_eq!(again.key, call.key);
    let known = [T as i64, (T + H) as i64, 3, 77];
    assert_eq!(again.args[4..8], known);
    let verdict = t.answer(Answer::Store(&says(0, 4, T, T + 90)));
    let want = ["retry-after: 3510", "ratelimit: \"q\";r=0;t=3510"].map(str::to_owned);
    assert_eq!(told(&mut t, verdict), (429, want.to_vec()));
    assert_eq!(
        t.filter
            .quota()
            .map(|q| q.global.as_ref().map(|g| g.replica.owed())),
        Some(Some(0))
    );
}

#[test]
fn keys_are_the_quotas_own_and_the_consumers() {
    let key = |more: Value, consumer: &str| {
        let mut t = trial(more);
        t.client.consumer = Some(consumer.into());
        String::from_utf8(asked(t.request()).key).expect("text")
    };
    let one = key(json!({}), "ali");
    assert!(one.contains(":{") && one.ends_with('}'), "{one}");
    // In every process, also when the limit changes.
    assert_eq!(
        one,
        key(json!({ "limit": 9, "plans": { "pro": 1 } }), "ali")
    );
    for (more, consumer) in [
        (json!({}), "bo"),
        (json!({ "name": "p" }), "ali"),
        (json!({ "per": "day" }), "ali"),
        (json!({ "unit": "bytes" }), "ali"),
    ] {
        assert_ne!(one, key(more, consumer), "{consumer}");
    }
}

#[test]
fn a_store_in_another_hour_is_asked_once_more() {
    let mut t = trial(json!({}));
    asked(t.request());
    let verdict = t.answer(Answer::Store(&[-1, 0, 0, 0, (T + 9 * H + 5) as i64, 0]));
    let call = asked(verdict);
    let around = [8, 9, 10, 11].map(|n| (T + n * H) as i64);
    assert_eq!(call.args[8..], around);
    let verdict = t.answer(Answer::Store(&says(1, 1, T + 9 * H, T + 9 * H + 5)));
    assert_eq!(told(&mut t, verdict).0, 200);
    // One that is nowhere is no answer.
    asked(t.request());
    asked(t.answer(Answer::Store(&[-1, 0, 0, 0, (T + 20 * H) as i64, 0])));
    let verdict = t.answer(Answer::Store(&[-1, 0, 0, 0, (T + 40 * H) as i64, 0]));
    assert!(matches!(verdict, Verdict::Next));
    assert_eq!(
        t.filter
            .quota()
            .map(|q| q.global.as_ref().map(|g| g.replica.owed())),
        Some(Some(1))
    );
}

/// How the store fails: gone, late, broken, nonsense.
fn failures() -> [Option<Answer<'static>>; 6] {
    let failed = Answer::Failed(Failed {
        who: Who::Store,
        may_retry: false,
    });
    [
        None,
        Some(Answer::Late),
        Some(failed),
        Some(Answer::Store(&[1])),
        Some(Answer::Store(&[7, 0, 0, 10, 5, 1])),
        Some(Answer::Store(&[1, -1, 0, 10, 5, 1])),
    ]
}

fn without(t: &mut Trial, fail: Option<Answer<'static>>) -> Verdict {
    t.store().note(fail.is_some(), 2, 0);
    let mut verdict = t.request();
    if let Some(fail) = fail {
        asked(verdict);
        verdict = t.answer(fail);
    }
    verdict
}

#[test]
fn without_the_store_a_node_does_as_it_was_told() {
    // What becomes of 4 requests over 2 nodes, when 0 of 4 were used, and when 2 were.
    for (on_fail, fresh, known) in [
        (
            json!("fair_share"),
            [200, 200, 429, 429],
            [200, 429, 429, 429],
        ),
        (json!("open"), [200; 4], [200; 4]),
        (json!("closed"), [503; 4], [503; 4]),
    ] {
        for (fail, (used, want)) in failures()
            .into_iter()
            .flat_map(|f| [(f, (0, fresh)), (f, (2, known))])
        {
            let mut t = trial(json!({ "on_fail": on_fail }));
            if used > 0 {
                asked(t.request());
                t.answer(Answer::Store(&says(1, used, T, T)));
            }
            let got = want.map(|_| {
                let verdict = without(&mut t, fail);
                Trial::status_of(verdict).unwrap_or(200)
            });
            assert_eq!(got, want, "{on_fail} {fail:?} {used}");
            let admitted = want.iter().filter(|s| **s == 200).count() as u64;
            let quota = t.filter.quota().expect("a quota");
            let global = quota.global.as_ref().expect("global");
            assert_eq!(global.replica.owed(), admitted, "{on_fail} {fail:?}");
            assert_eq!(
                global.fallbacks.load(std::sync::atomic::Ordering::Relaxed),
                4
            );
            // This node's own, by the hour of the store.
            let own = quota.counts.standing("ali", &quota.calendar, T);
            assert_eq!(own.used, admitted + u64::from(used > 0));
        }
    }
}

#[test]
fn what_was_used_without_the_store_is_given_before_the_next_question() {
    let mut t = trial(json!({ "on_fail": "open" }));
    for _ in 0..3 {
        assert!(matches!(without(&mut t, None), Verdict::Next));
    }
    t.store().note(true, 2, 0);
    let call = asked(t.request());
    assert_eq!(call.args[..4], [4, 1, 0, 0]);
    let charges = t.charges();
    assert_eq!(charges.len(), 1);
    assert_eq!(charges[0].call.args[..4], [0, -1, 3, T as i64]);
    assert_eq!(charges[0].call.key, call.key);
    // While it is on its way nothing more is given; it comes back when it fails.
    asked(t.request());
    assert!(t.charges().is_empty());
    charges[0].settle(None);
    asked(t.request());
    let again = t.charges();
    assert_eq!(again[0].call.args[2], 3);
    again[0].settle(Some(&says(1, 3, T, T)));
    asked(t.request());
    assert!(t.charges().is_empty());
    // A call that is dropped is one that failed.
    t.store().note(false, 2, 0);
    assert!(matches!(t.request(), Verdict::Next));
    t.store().note(true, 2, 0);
    asked(t.request());
    drop(t.charges());
    asked(t.request());
    assert_eq!(t.charges().len(), 1);
}

#[test]
fn what_is_measured_is_given_when_the_response_has_ended() {
    let outcome = Outcome {
        status: 200,
        received: 7,
        sent: 30,
        took: 0,
        complete: true,
    };
    let mut t = trial(json!({ "unit": "bytes", "limit": 100 }));
    let call = asked(t.request());
    assert_eq!(call.args[..2], [100, 0]);
    let verdict = t.answer(Answer::Store(&says(1, 0, T, T)));
    assert_eq!(
        told(&mut t, verdict),
        (200, vec!["ratelimit: \"q\";r=100;t=3600".to_owned()])
    );
    t.end_with(&outcome);
    let charges = t.charges();
    assert_eq!(charges[0].call.args[..4], [0, -1, 37, T as i64]);
    // What comes meanwhile waits, and goes with the next.
    t.end_with(&outcome);
    t.end_with(&outcome);
    assert!(t.charges().is_empty());
    charges[0].settle(Some(&says(1, 37, T, T)));
    t.end_with(&outcome);
    let rest = t.charges();
    assert_eq!(rest[0].call.args[2], 3 * 37);
    // A refusal is charged nothing.
    t.slot = Default::default();
    asked(t.request());
    let verdict = t.answer(Answer::Store(&says(0, 200, T, T)));
    assert_eq!(told(&mut t, verdict).0, 429);
    t.end_with(&outcome);
    assert!(t.charges().is_empty());
}

#[test]
fn what_a_ledger_kept_counts_for_a_store_that_knows_nothing() {
    let mut t = trial(json!({}));
    let quota = t.filter.quota().expect("a quota");
    quota.counts.restore("ali", T, 3);
    let call = asked(t.request());
    assert_eq!(call.args[4..8], [T as i64, (T + H) as i64, 3, 0]);
    assert_eq!(
        Trial::status_of(t.answer(Answer::Late)),
        Some(429),
        "1 of 4, over 2 nodes"
    );
}

#[test]
fn what_such_a_quota_cannot_be_is_named() {
    for (more, want) in [
        (json!({}), &[][..]),
        (json!({ "on_fail": "open" }), &[]),
        (json!({ "limit": MOST + 1 }), &["limit"]),
        (
            json!({ "plans": { "pro": 1u64 << 60 }, "plan_of": { "ali": "pro" } }),
            &["plans.pro"],
        ),
        (json!({ "on_fail": "never" }), &["on_fail"]),
        (
            json!({ "scope": "process", "on_fail": "open" }),
            &["on_fail"],
        ),
        (json!({ "mode": "leased" }), &["mode"]),
    ] {
        assert_eq!(faults("quota", config(more.clone())), want, "{more}");
    }
}
