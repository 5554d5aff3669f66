use std::rc::Rc;

use serde_json::json;

use crate::filter::Verdict;
use crate::filters::trial::{faults, Trial};
use crate::secure::{ClientCertificate, Secure};

fn limited(config: serde_json::Value) -> Trial {
    Trial::of("rate_limit", config)
}

/// Of one request: its status and the fields named.
fn told(trial: &mut Trial, names: &[&str]) -> (bool, Vec<String>) {
    let verdict = trial.request();
    let passed = matches!(verdict, Verdict::Next);
    let head = trial.answered(verdict);
    let text = |name: &&str| {
        let all = head.find_all(name.as_bytes());
        let all: Vec<_> = all
            .map(|v| String::from_utf8_lossy(v).into_owned())
            .collect();
        all.join(", ")
    };
    (passed, names.iter().map(text).collect())
}

#[test]
fn each_algorithm_admits_what_it_states() {
    // (algorithm, burst, how many of 20 at once at 0 ms, 500 ms, 999 ms, 1000 ms, 2000 ms)
    for (algorithm, burst, admitted) in [
        ("gcra", json!(10), [10, 5, 4, 1, 10]),
        ("token_bucket", json!(null), [10, 5, 4, 1, 10]),
        ("fixed_window", json!(null), [10, 0, 0, 10, 10]),
        ("sliding_window", json!(null), [10, 0, 0, 0, 10]),
        ("sliding_window_log", json!(null), [10, 0, 0, 10, 10]),
    ] {
        let config = json!({ "rate": "10/s", "algorithm": algorithm, "burst": burst });
        // The last but one of all algorithms takes its own path with a cost that is given.
        for config in [config.clone(), json!({ "limits": [config] })] {
            let mut trial = limited(config.clone());
            for (ms, want) in [0, 500, 999, 1000, 2000].into_iter().zip(admitted) {
                trial.now = ms * 1_000_000;
                let got = (0..20).filter(|_| matches!(trial.request(), Verdict::Next));
                assert_eq!(got.count(), want, "{config} at {ms} ms");
            }
        }
    }
}

#[test]
fn the_strictest_limit_answers_and_nothing_is_used_up_of_any() {
    let mut trial = limited(json!({ "limits": [
        { "rate": "10/m", "algorithm": "fixed_window", "key": "route", "name": "all" },
        { "rate": "2/s", "algorithm": "sliding_window_log", "key": "header:a", "name": "each" },
        { "rate": "2/h", "algorithm": "fixed_window", "key": "header:a", "name": "hourly" },
    ] }));
    let names = ["ratelimit", "retry-after", "ratelimit-policy"];
    let policy = "\"all\";q=10;w=60, \"each\";q=2;w=1, \"hourly\";q=2;w=3600";
    let left = |all, each, hourly| {
        format!("\"all\";r={all};t=60, \"each\";r={each};t=1, \"hourly\";r={hourly};t=3600")
    };
    for (passes, fields, retry) in [
        (true, left(9, 1, 1), ""),
        (true, left(8, 0, 0), ""),
        (false, left(8, 0, 0), "3600"),
        (false, left(8, 0, 0), "3600"),
    ] {
        let want = vec![fields, retry.to_owned(), policy.to_owned()];
        assert_eq!(told(&mut trial, &names), (passes, want));
    }
    let Verdict::Reply(reply) = trial.request() else {
        panic!("a reply")
    };
    let mut body = Vec::new();
    reply.write(&mut wire::Head::new(), &mut body);
    let body: serde_json::Value = serde_json::from_slice(&body).expect("a problem");
    assert_eq!(body["violated-policies"], json!(["each", "hourly"]));
    // Another key has its own, and finds of the common one what the refused left alone.
    trial.request.add(b"a", b"x").expect("a valid field");
    assert_eq!(told(&mut trial, &names[..1]), (true, vec![left(7, 1, 1)]));
}

#[test]
fn a_cost_is_what_the_field_says_and_a_bad_one_the_most() {
    for (fields, left) in [
        (vec![], 98),
        (vec!["1"], 99),
        (vec!["007"], 93),
        (vec!["10"], 90),
        (vec!["11"], 90),
        (vec!["0"], 90),
        (vec!["-1"], 90),
        (vec!["1.5"], 90),
        (vec![""], 90),
        (vec!["99999999999999999999"], 90),
        (vec!["1", "1"], 90),
    ] {
        let mut trial = limited(json!({
            "rate": "100/h", "algorithm": "fixed_window", "name": "p",
            "cost": 2, "cost_header": "X-Cost", "max_cost": 10,
        }));
        for value in &fields {
            let added = trial.request.add(b"x-cost", value.as_bytes());
            added.expect("a valid field");
        }
        let want = vec![format!("\"p\";r={left};t=3600")];
        assert_eq!(told(&mut trial, &["ratelimit"]), (true, want), "{fields:?}");
    }
}

#[test]
fn the_older_fields_are_those_of_the_limit_with_the_least_left() {
    let mut trial = limited(
        json!({ "headers": false, "legacy_headers": true, "limits": [
        { "rate": "5/h", "algorithm": "fixed_window" },
        { "rate": "2/m", "algorithm": "fixed_window" },
    ] }),
    );
    let names = [
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "retry-after",
        "ratelimit",
    ];
    for (passes, want) in [
        (true, ["2", "1", "60", "", ""]),
        (true, ["2", "0", "60", "", ""]),
        (false, ["2", "0", "60", "60", ""]),
    ] {
        assert_eq!(
            told(&mut trial, &names),
            (passes, want.map(String::from).to_vec())
        );
    }
    let mut one = limited(json!({ "rate": "6/m", "burst": 3, "legacy_headers": true }));
    let want = ["3", "2", "10", "", "\"6/m\";r=2;t=10"].map(String::from);
    assert_eq!(told(&mut one, &names), (true, want.to_vec()));
}

/// Do two requests with these cookies or certificates count together?
#[test]
fn cookies_and_names_of_certificates_are_keys() {
    let certificate = |dns: &[&str], uri: &str| {
        let shown = ClientCertificate {
            dns: dns.iter().map(|&n| n.into()).collect(),
            uris: vec![uri.into()],
            ..ClientCertificate::default()
        };
        let tls = Secure {
            certificate: Some(shown),
            ..Secure::default()
        };
        Some(Rc::new(tls))
    };
    let (ab, a) = (certificate(&["a", "b"], "u"), certificate(&["a"], "u"));
    for (key, first, second, together) in [
        ("san:dns", &ab, &ab, true),
        ("san:dns", &ab, &a, false),
        ("san:uri", &ab, &a, true),
        ("san:email", &ab, &a, true),
        ("san:dns", &a, &None, false),
        ("san:ip", &None, &None, true),
    ] {
        let mut trial = limited(json!({ "rate": "1/h", "key": key }));
        trial.client.tls.clone_from(first);
        assert!(matches!(trial.request(), Verdict::Next), "{key}");
        trial.client.tls.clone_from(second);
        assert_eq!(!matches!(trial.request(), Verdict::Next), together, "{key}");
    }
    for (first, second, together) in [
        ("s=1; t=2", "t=3; s=1", true),
        ("s=1", "s=2", false),
        ("s=1", "S=1", false),
        ("t=1", "t=2", true),
    ] {
        let mut trial = limited(json!({ "rate": "1/h", "key": "cookie:s" }));
        trial
            .request
            .set(b"cookie", first.as_bytes())
            .expect("a valid field");
        assert!(matches!(trial.request(), Verdict::Next));
        trial
            .request
            .set(b"cookie", second.as_bytes())
            .expect("a valid field");
        assert_eq!(
            !matches!(trial.request(), Verdict::Next),
            together,
            "{first} {second}"
        );
    }
}

#[test]
fn the_counts_survive_a_reload_that_keeps_the_limits() {
    let window = |count: u32| {
        let rate = format!("{count}/h");
        json!({ "limits": [{ "rate": rate, "algorithm": "fixed_window" }, { "rate": "9/h", "burst": 9 }] })
    };
    let mut trial = limited(window(1));
    assert!(matches!(trial.request(), Verdict::Next));
    trial.rebuild("rate_limit", window(1));
    assert!(matches!(trial.request(), Verdict::Reply(_)));
    trial.rebuild("rate_limit", window(2));
    assert!(matches!(trial.request(), Verdict::Next));
}

#[test]
fn threads_together_admit_what_one_would() {
    let trial = limited(json!({ "limits": [
        { "rate": "1000/h", "algorithm": "sliding_window", "key": "route" },
        { "rate": "700/h", "algorithm": "sliding_window_log", "max_keys": 64 },
    ] }));
    let filter = &*trial.filter;
    let admitted: usize = std::thread::scope(|s| {
        let threads: Vec<_> = (0..4)
            .map(|_| s.spawn(|| Trial::admitted_by(filter, 500)))
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("no panic"))
            .sum()
    });
    assert_eq!(admitted, 700);
}

#[test]
fn what_cannot_be_counted_is_a_fault() {
    let log = |rate: &str| json!({ "rate": rate, "algorithm": "sliding_window_log" });
    let one = json!({ "rate": "1/s" });
    for (config, at) in [
        (json!({ "limits": [] }), "rate"),
        (json!({ "rate": "1/s", "limits": [one] }), "rate"),
        (json!({ "key": "route", "limits": [one] }), "key"),
        (json!({ "limits": vec![&one; 9] }), "limits"),
        (json!({ "limits": [one, one] }), "limits[1].name"),
        (
            json!({ "limits": [{ "rate": "1/s", "name": "" }] }),
            "limits[0].name",
        ),
        (
            json!({ "limits": [{ "rate": "1/s", "burst": 0 }] }),
            "limits[0].burst",
        ),
        (
            json!({ "limits": [{ "rate": "1/s", "max_keys": 0 }] }),
            "limits[0].max_keys",
        ),
        (log("1025/s"), "rate"),
        (log("1000/s"), "max_keys"),
        (
            json!({ "rate": "5/s", "algorithm": "fixed_window", "burst": 2 }),
            "burst",
        ),
        (json!({ "rate": "5/s", "algorithm": "bucket" }), "algorithm"),
        (json!({ "rate": "5/s", "cost": 0 }), "cost"),
        (json!({ "rate": "5/s", "cost": 6 }), "cost"),
        (
            json!({ "rate": "5/s", "cost_header": "x-cost" }),
            "max_cost",
        ),
        (json!({ "rate": "5/s", "max_cost": 2 }), "max_cost"),
        (
            json!({ "rate": "5/s", "cost_header": "x cost", "max_cost": 2 }),
            "cost_header",
        ),
        (
            json!({ "rate": "5/s", "cost": 3, "cost_header": "x-cost", "max_cost": 2 }),
            "max_cost",
        ),
        (
            json!({ "cost_header": "c", "max_cost": 6, "limits": [{ "rate": "5/s" }] }),
            "max_cost",
        ),
        (json!({ "rate": "5/s", "key": "san:cn" }), "key"),
        (json!({ "rate": "5/s", "key": "cookie:" }), "key"),
    ] {
        assert_eq!(faults("rate_limit", config.clone()), [at], "{config}");
    }
}
