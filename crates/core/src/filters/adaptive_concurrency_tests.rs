//! adaptive_concurrency, before one filter; how its limit moves is tested where it is computed.

use super::super::trial::{faults, Trial};
use crate::filter::{Slot, Verdict};
use serde_json::json;

const MS: u64 = 1_000_000;

fn ask(trial: &mut Trial) -> Option<Slot> {
    trial.slot = Slot::default();
    match trial.request() {
        Verdict::Next => Some(std::mem::take(&mut trial.slot)),
        Verdict::Reply(reply) => {
            assert_eq!((reply.status, reply.code), (503, "adaptive_concurrency"));
            let again = reply
                .fields
                .iter()
                .any(|(n, v)| n == "retry-after" && v == b"1");
            assert!(again);
            None
        }
        Verdict::Ask(ask) => panic!("{ask:?}"),
    }
}

fn end(trial: &mut Trial, slot: Slot, status: u16) {
    trial.slot = slot;
    trial.response.clear();
    trial.response.start_response(status);
    assert!(matches!(trial.respond(), Verdict::Next));
    trial.end();
}

fn occupied(trial: &Trial) -> (u64, u64, u64) {
    let o = trial.filter.occupancy().expect("it limits");
    (o.in_flight, o.limit, o.refused[0].1)
}

#[test]
fn as_many_as_the_limit_and_each_given_back_once() {
    let mut trial = Trial::of("adaptive_concurrency", json!({ "initial": 5 }));
    trial.now = MS;
    let mut held: Vec<Slot> = (0..5).filter_map(|_| ask(&mut trial)).collect();
    assert_eq!(held.len(), 5);
    assert!(ask(&mut trial).is_none());
    trial.end();
    assert_eq!(occupied(&trial), (5, 5, 1));
    let one = held.pop().expect("one");
    end(&mut trial, one, 200);
    assert_eq!(occupied(&trial).0, 4);
    // A slot whose request met a fault of ours.
    drop(held);
    assert_eq!(occupied(&trial), (0, 5, 1));
}

#[test]
fn it_learns_from_what_is_served_and_not_from_what_fails() {
    for (status, moves) in [
        (200, true),
        (404, true),
        (504, true),
        (500, false),
        (503, false),
    ] {
        let mut trial = Trial::of("adaptive_concurrency", json!({ "initial": 10 }));
        for _ in 0..200 {
            trial.now += 50 * MS;
            let held: Vec<Slot> = (0..10).filter_map(|_| ask(&mut trial)).collect();
            trial.now += 10 * MS;
            held.into_iter()
                .for_each(|slot| end(&mut trial, slot, status));
        }
        assert_eq!(occupied(&trial).1 > 10, moves, "{status}");
    }
}

#[test]
fn what_was_learned_survives_a_reload_within_its_bounds() {
    let mut trial = Trial::of("adaptive_concurrency", json!({ "initial": 50 }));
    let _first = ask(&mut trial);
    trial.rebuild("adaptive_concurrency", json!({ "initial": 7, "max": 60 }));
    assert_eq!(occupied(&trial), (1, 50, 0));
    trial.rebuild("adaptive_concurrency", json!({ "max": 5 }));
    let _second = ask(&mut trial);
    assert_eq!(occupied(&trial), (2, 5, 0));
}

#[test]
fn faults_say_where() {
    for (config, want) in [
        (json!({}), &[][..]),
        (json!({ "min": 10, "max": 5 }), &["max"]),
        (json!({ "min": 0 }), &["min"]),
        (json!({ "jitter_percent": 101 }), &["jitter_percent"]),
        (json!({ "window": "0s" }), &["window"]),
    ] {
        assert_eq!(
            faults("adaptive_concurrency", config.clone()),
            want,
            "{config}"
        );
    }
}
