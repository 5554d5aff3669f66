use serde_json::{json, Value};

use crate::filter::{Answer, Ask, Failed, Verdict, Who};
use crate::filters::trial::{faults, Trial};

fn queue(more: Value) -> Trial {
    let mut config = json!({ "rate": "10/s", "algorithm": "leaky_bucket" });
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    Trial::of("rate_limit", config)
}

/// How long each of 100 that come now waits, in milliseconds, and what those that find no place are told.
fn waits(trial: &mut Trial) -> (Vec<u64>, Vec<Vec<u8>>) {
    let (mut waits, mut told) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        match trial.request() {
            Verdict::Next => waits.push(0),
            Verdict::Ask(Ask::Sleep(wait)) => waits.push(wait / 1_000_000),
            Verdict::Reply(reply) => {
                assert_eq!((reply.status, reply.code), (429, "rate_limited"));
                told.extend(
                    reply
                        .fields
                        .into_iter()
                        .find(|(n, _)| &**n == "retry-after")
                        .map(|(_, v)| v),
                );
            }
            Verdict::Ask(ask) => panic!("{ask:?}"),
        }
    }
    (waits, told)
}

#[test]
fn those_that_come_faster_wait_for_their_turn_and_more_are_refused() {
    for (config, want) in [
        (json!({}), (0..=10).map(|n| n * 100).collect::<Vec<_>>()),
        (json!({ "burst": 3 }), vec![0, 100, 200]),
        (json!({ "burst": 3, "max_wait": "100ms" }), vec![0, 100]),
        (json!({ "max_wait": "250ms" }), vec![0, 100, 200]),
        (
            json!({ "rate": "1/s", "burst": 4 }),
            vec![0, 1000, 2000, 3000],
        ),
        (json!({ "rate": "1/m" }), vec![0]),
    ] {
        let mut trial = queue(config.clone());
        let (got, told) = waits(&mut trial);
        assert_eq!(got, want, "{config}");
        assert_eq!(told.len(), 100 - want.len());
        // Who was refused used nothing up: a second later there is as much room as a second makes.
        trial.now = 3_600_000_000_000;
        assert_eq!(waits(&mut trial).0, want, "{config} again");
    }
}

#[test]
fn who_waited_goes_on_and_who_cannot_wait_does_not() {
    let mut trial = queue(json!({}));
    assert!(matches!(trial.request(), Verdict::Next));
    assert!(matches!(
        trial.request(),
        Verdict::Ask(Ask::Sleep(100_000_000))
    ));
    assert!(matches!(trial.answer(Answer::Slept), Verdict::Next));
    let field = trial.answered(Verdict::Next);
    assert_eq!(field.find(b"ratelimit"), Some(&b"\"10/s\";r=9;t=1"[..]));
    let failed = Failed {
        who: Who::Gateway,
        may_retry: true,
    };
    let verdict = trial.answer(Answer::Failed(failed));
    assert_eq!(Trial::status_of(verdict), Some(429));
}

#[test]
fn a_queue_is_bounded_and_alone() {
    let with = |more: Value| {
        let mut config = json!({ "rate": "1/s", "algorithm": "leaky_bucket" });
        for (key, value) in more.as_object().expect("an object") {
            config[key] = value.clone();
        }
        faults("rate_limit", config)
    };
    for (config, want) in [
        (json!({ "max_wait": "1m", "burst": 61 }), vec![]),
        (json!({ "burst": 61 }), vec![]),
        (json!({ "burst": 62 }), vec!["burst"]),
        (json!({ "burst": 0 }), vec!["burst"]),
        (json!({ "max_wait": "61s" }), vec!["max_wait"]),
        (json!({ "cost": 2 }), vec!["algorithm"]),
        (json!({ "legacy_headers": true }), vec!["algorithm"]),
        (
            json!({ "algorithm": "gcra", "max_wait": "1s" }),
            vec!["max_wait"],
        ),
    ] {
        assert_eq!(with(config.clone()), want, "{config}");
    }
    let several =
        json!({ "limits": [{ "rate": "1/s" }, { "rate": "2/s", "algorithm": "leaky_bucket" }] });
    assert_eq!(faults("rate_limit", several), ["limits[1].algorithm"]);
    let beside = json!({ "limits": [{ "rate": "1/s" }], "max_wait": "1s" });
    assert_eq!(faults("rate_limit", beside), ["max_wait"]);
}
