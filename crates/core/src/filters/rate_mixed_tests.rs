use serde_json::{json, Value};

use super::super::trial::{faults, Trial};
use super::*;
use crate::filter::{Ask, Failed, StoreCall, Who};

/// Limits of 4, 3 and 5 an hour, of this many nodes with a store.
pub(super) fn trial(limits: Value, more: Value) -> Trial {
    let mut config = json!({ "limits": limits, "scope": "global" });
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    let t = Trial::of("rate_limit", config);
    t.store().note(true, 2, 0);
    t
}

fn strict(more: Value) -> Trial {
    let limits = json!([
        { "rate": "4/h", "burst": 4, "name": "a" },
        { "rate": "3/h", "algorithm": "fixed_window", "name": "b", "key": ["route", "client_ip"] },
        { "rate": "5/h", "algorithm": "sliding_window_log", "name": "c" },
    ]);
    let mut all = json!({ "mode": "strict" });
    for (key, value) in more.as_object().expect("an object") {
        all[key] = value.clone();
    }
    trial(limits, all)
}

pub(super) fn asked(verdict: Verdict) -> StoreCall {
    match verdict {
        Verdict::Ask(Ask::Store(call)) => *call,
        other => panic!("{other:?}"),
    }
}

/// Status 200 if it passes, and these fields of the answer.
pub(super) fn told(t: &mut Trial, verdict: Verdict, names: &[&str]) -> (u16, Vec<String>) {
    let status = match &verdict {
        Verdict::Reply(reply) => reply.status,
        _ => 200,
    };
    let head = t.answered(verdict);
    let text = |name: &&str| {
        let all = head.find_all(name.as_bytes());
        let all = all.map(|v| String::from_utf8_lossy(v).into_owned());
        all.collect::<Vec<_>>().join(", ")
    };
    (status, names.iter().map(text).collect())
}

pub(super) fn status(verdict: Verdict) -> u16 {
    Trial::status_of(verdict).unwrap_or(200)
}

const FAILED: Answer<'static> = Answer::Failed(Failed {
    who: Who::Store,
    may_retry: false,
});
pub(super) const HOUR: i64 = 3_600_000_000;

#[test]
fn what_cannot_be_shared_is_refused() {
    let cases: [(Value, &[&str]); 14] = [
        (json!([{ "rate": "1/s" }, { "rate": "1/m" }]), &[]),
        (
            json!([{ "rate": "1/s", "scope": "process" }, { "rate": "1/m", "scope": "thread" }, { "rate": "1/h", "mode": "strict" }]),
            &[],
        ),
        (
            json!([{ "rate": "1/s" }, { "rate": "1/s" }]),
            &["limits[1].name"],
        ),
        (
            json!([{ "rate": "1/s" }, { "rate": "1/m", "algorithm": "fixed_window" }]),
            &["limits[1].algorithm"],
        ),
        (
            json!([{ "rate": "1/s" }, { "rate": "1/m", "algorithm": "fixed_window", "mode": "strict", "burst": 1 }]),
            &["limits[1].burst"],
        ),
        (
            json!([{ "rate": "1/s" }, { "rate": "2000/s", "algorithm": "sliding_window_log", "mode": "strict" }]),
            &["limits[1].rate"],
        ),
        (
            json!([{ "rate": "1/s" }, { "rate": "1/m", "scope": "process", "mode": "strict" }]),
            &["limits[1].mode"],
        ),
        (
            json!([{ "rate": "1/s" }, { "rate": "1/m", "algorithm": "leaky_bucket" }]),
            &["limits[1].algorithm"],
        ),
        (
            json!([{ "rate": "1/s" }, { "rate": "1/m", "scope": "thread", "algorithm": "leaky_bucket" }]),
            &["limits[1].algorithm"],
        ),
        (
            json!([{ "rate": "9999991/h", "burst": 9_999_991, "mode": "strict" }]),
            &["limits[0].burst"],
        ),
        (
            json!([{ "rate": "1/s", "max_keys": 1 << 24, "mode": "strict" }]),
            &["limits[0].max_keys"],
        ),
        (
            json!([{ "rate": "1/s", "max_keys": 0 }]),
            &["limits[0].max_keys"],
        ),
        (
            json!([{ "rate": "1/s", "scope": "everywhere" }]),
            &["limits[0].scope"],
        ),
        (json!(vec![json!({ "rate": "1/s" }); 9]), &["limits"]),
    ];
    for (limits, want) in cases {
        let config = json!({ "scope": "global", "limits": limits });
        assert_eq!(faults("rate_limit", config.clone()), want, "{config}");
    }
    let two = json!([{ "rate": "9/s" }, { "rate": "1/s", "burst": 2 }]);
    for (more, want) in [
        (json!({ "rate": "1/s" }), "rate"),
        (json!({ "max_wait": "1s" }), "max_wait"),
        (
            json!({ "cost_response": "bytes", "max_cost": 2 }),
            "cost_response",
        ),
        (json!({ "cost": 3 }), "cost"),
    ] {
        let mut config = json!({ "scope": "global", "limits": two });
        for (key, value) in more.as_object().expect("an object") {
            config[key] = value.clone();
        }
        assert_eq!(faults("rate_limit", config.clone()), [want], "{config}");
    }
    // None of them is over nodes: how these share it means nothing.
    let config = json!({ "limits": [{ "rate": "1/s", "mode": "strict" }] });
    assert_eq!(faults("rate_limit", config), ["limits[0].mode"]);
}

#[test]
fn one_call_decides_all_that_are_strict_and_the_strictest_is_told() {
    let mut t = strict(json!({ "legacy_headers": true }));
    let call = asked(t.request());
    assert_eq!((call.script, call.more.len()), ("several", 2));
    let token = HOUR * 1000 / 4;
    assert_eq!(
        call.args,
        [1, 1, token, 4, 2, HOUR, 3, 4, HOUR, 5],
        "the cost, and three of each"
    );
    let names = [
        "ratelimit-policy",
        "ratelimit",
        "retry-after",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
    ];
    let policy = r#""a";q=4;w=3600, "b";q=3;w=3600, "c";q=5;w=3600"#;
    let admits = [1, HOUR / 4, 0, 1, 1, HOUR, 0, 1, 1, HOUR, 0];
    let verdict = t.answer(Answer::Store(&admits));
    let want = [
        policy,
        r#""a";r=3;t=900, "b";r=2;t=3600, "c";r=4;t=3600"#,
        "",
        "3",
        "2",
    ];
    assert_eq!(
        told(&mut t, verdict, &names),
        (200, want.map(String::from).to_vec())
    );

    asked(t.request());
    let refuses = [
        0,
        HOUR,
        HOUR / 4,
        0,
        3,
        HOUR / 2,
        HOUR / 2,
        1,
        3,
        HOUR / 2,
        0,
    ];
    let verdict = t.answer(Answer::Store(&refuses));
    let Verdict::Reply(reply) = &verdict else {
        panic!("{verdict:?}");
    };
    let mut body = Vec::new();
    reply.write(&mut Head::new(), &mut body);
    let body: Value = serde_json::from_slice(&body).expect("a problem");
    assert_eq!(body["violated-policies"], json!(["a", "b"]));
    let want = [
        policy,
        r#""a";r=0;t=900, "b";r=0;t=1800, "c";r=2;t=1800"#,
        "1800",
        "3",
        "0",
    ];
    assert_eq!(
        told(&mut t, verdict, &names),
        (429, want.map(String::from).to_vec())
    );
    assert_eq!(t.store().fallbacks(), 0);
}

#[test]
fn keys_of_one_call_are_in_one_place() {
    let tag = |key: &[u8]| {
        let text = String::from_utf8_lossy(key).into_owned();
        let (from, to) = (text.find('{'), text.find('}'));
        text[from.expect("a brace")..to.expect("a brace")].to_owned()
    };
    // Keys of two limits, and whether two clients are in two places.
    for (one, other, spreads) in [
        (json!("client_ip"), json!("client_ip"), true),
        (json!("client_ip"), json!(["route", "client_ip"]), true),
        (json!("client_ip"), json!("header:x"), false),
        (json!("route"), json!("route"), false),
    ] {
        let mut t = trial(
            json!([{ "rate": "1/s", "key": one }, { "rate": "1/m", "key": other }]),
            json!({ "mode": "strict" }),
        );
        let mut call = |ip: [u8; 4]| {
            t.client = crate::filter::Client::new((ip, 1).into());
            asked(t.request())
        };
        let (a, b, again) = (
            call([192, 0, 2, 1]),
            call([192, 0, 2, 2]),
            call([192, 0, 2, 1]),
        );
        for call in [&a, &b] {
            assert_eq!(tag(&call.key), tag(&call.more[0]), "{one} {other}");
            assert_ne!(call.key, call.more[0]);
        }
        assert_eq!((&a.key, &a.more), (&again.key, &again.more));
        assert_eq!(tag(&a.key) != tag(&b.key), spreads, "{one} {other}");
    }
}

#[test]
fn without_the_store_all_shares_admit_or_none() {
    // How the store fails: gone, late, broken, too short an answer, too long.
    let long = [1; 12];
    let fails = [
        None,
        Some(Answer::Late),
        Some(FAILED),
        Some(Answer::Store(&[1, 2, 3])),
        Some(Answer::Store(&long)),
    ];
    // Of 4, 3 and 5 an hour two nodes have 2, 1 and 2 each.
    for (on_fail, want) in [
        (json!("fair_share"), [200, 429, 429]),
        (json!("open"), [200; 3]),
        (json!("closed"), [503; 3]),
    ] {
        for fail in fails {
            let mut t = strict(json!({ "on_fail": on_fail }));
            t.store().note(fail.is_some(), 2, 0);
            let got = want.map(|_| {
                let mut verdict = t.request();
                if let Some(fail) = fail {
                    asked(verdict);
                    verdict = t.answer(fail);
                }
                status(verdict)
            });
            assert_eq!(got, want, "{on_fail} {fail:?}");
            assert_eq!(t.store().fallbacks(), 3);
        }
    }
    // What one share refuses uses up nothing of another: a has two, of which b let one pass.
    let mut t = strict(json!({}));
    t.store().note(false, 2, 0);
    let (names, all) = (["ratelimit"], 5);
    let fields: Vec<_> = (0..all)
        .map(|_| {
            let verdict = t.request();
            told(&mut t, verdict, &names).1.remove(0)
        })
        .collect();
    let left = r#""a";r=1;t=1800, "b";r=0;t=2400, "c";r=1;t=1440"#;
    assert_eq!(fields, vec![left; all]);
}

#[test]
fn a_share_that_is_too_small_for_a_cost_admits_it_when_it_is_whole() {
    let mut t = trial(
        json!([{ "rate": "4/h", "burst": 4 }, { "rate": "9/h", "burst": 9 }]),
        json!({ "mode": "strict", "cost": 3 }),
    );
    t.store().note(false, 2, 0);
    assert_eq!(status(t.request()), 200);
    // It is 3 of 2 an hour.
    t.now = 5_399_000_000_000;
    assert_eq!(status(t.request()), 429);
    t.now = 5_400_000_000_000;
    assert_eq!(status(t.request()), 200);
}

#[test]
fn leased_limits_take_of_all_or_none() {
    let mut t = trial(
        json!([{ "rate": "40/h", "burst": 40, "name": "a" }, { "rate": "4/h", "burst": 4, "name": "b" }]),
        json!({}),
    );
    // A node has the half of each until it hears from the store.
    let got: Vec<_> = (0..6)
        .map(|_| {
            let mut verdict = t.request();
            if matches!(verdict, Verdict::Ask(_)) {
                verdict = t.answer(Answer::Store(&[0, HOUR, HOUR / 4]));
            }
            let (status, fields) = told(&mut t, verdict, &["ratelimit"]);
            let left = fields[0].split(';').nth(1).map(str::to_owned);
            (status, left.unwrap_or_default())
        })
        .collect();
    let want = [
        (200, 39),
        (200, 38),
        (429, 38),
        (429, 38),
        (429, 38),
        (429, 38),
    ];
    assert_eq!(
        got,
        want.map(|(status, left)| (status, format!("r={left}")))
    );
    // The store is told of two of each, and of no request that was refused.
    let mut charged = [0; 2];
    for call in t.leases() {
        charged[usize::from(call.table.lease().burst() == 4)] += call.ask.charge;
    }
    assert!(charged[0] <= 2 && charged[1] <= 2, "{charged:?}");
    assert_eq!(t.store().fallbacks(), 0);
}

#[test]
fn a_request_waits_for_leases_that_have_nothing_and_for_each_once() {
    let mut t = trial(
        json!([{ "rate": "1/s", "burst": 1, "name": "a" }, { "rate": "1/m", "burst": 1, "name": "b" }]),
        json!({}),
    );
    t.store().note(true, 8, 0);
    assert_eq!(status(t.request()), 200);
    for call in t.leases() {
        call.settle(t.now, Some(&[0, 0, 0]));
    }
    t.now += 2_000_000_000;
    let mut waits = 0;
    let mut verdict = t.request();
    while let Verdict::Ask(_) = verdict {
        waits += 1;
        assert!(waits <= 2, "each limit once");
        for call in t.leases() {
            call.settle(t.now, Some(&[1, 1_000_000, 0]));
        }
        verdict = t.answer(Answer::Store(&[1, 1_000_000, 0]));
    }
    assert_eq!((waits > 0, status(verdict)), (true, 200));
}
