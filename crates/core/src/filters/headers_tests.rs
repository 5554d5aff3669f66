use super::*;
use crate::filters::trial::{faults, Trial};
use serde_json::json;

#[test]
fn remove_then_set_then_add() {
    let changes = json!({
        "remove": ["X-Gone"], "set": { "x-set": "new" }, "add": { "X-More": "2", "x-gone": "again" },
    });
    let before: &[(&str, &str)] = &[
        ("x-gone", "1"),
        ("x-set", "a"),
        ("x-set", "b"),
        ("x-more", "1"),
        ("x-keep", "k"),
    ];
    let after = [
        "x-more: 1",
        "x-keep: k",
        "x-set: new",
        "X-More: 2",
        "x-gone: again",
    ];
    for side in ["request", "response"] {
        let mut trial = Trial::of("headers", json!({ side: changes }));
        for (name, value) in before {
            trial
                .request
                .add(name.as_bytes(), value.as_bytes())
                .expect("a valid field");
            trial
                .response
                .add(name.as_bytes(), value.as_bytes())
                .expect("a valid field");
        }
        let untouched: Vec<String> = before.iter().map(|(n, v)| format!("{n}: {v}")).collect();
        assert!(matches!(trial.request(), Verdict::Next));
        assert!(matches!(trial.respond(), Verdict::Next));
        let (changed, other) = if side == "request" {
            (&trial.request, &trial.response)
        } else {
            (&trial.response, &trial.request)
        };
        assert_eq!(Trial::fields(changed), after, "{side}");
        assert_eq!(Trial::fields(other), untouched, "{side}");
    }
}

#[test]
fn only_the_sides_that_change_are_asked_for() {
    let needs = |config| Trial::of("headers", config).filter.needs();
    assert!(!needs(json!({ "request": { "remove": ["a"] } })).response);
    assert!(!needs(json!({ "response": { "remove": ["a"] } })).request);
}

#[test]
fn a_field_that_cannot_be_changed_is_a_fault() {
    for (config, at) in [
        (json!({}), "request"),
        (
            json!({ "request": { "set": { "host": "x" } } }),
            "request.set.host",
        ),
        (
            json!({ "request": { "remove": ["Content-Length"] } }),
            "request.remove[0]",
        ),
        (
            json!({ "response": { "add": { "transfer-encoding": "chunked" } } }),
            "response.add.transfer-encoding",
        ),
        (
            json!({ "response": { "set": { "a b": "x" } } }),
            "response.set[\"a b\"]",
        ),
        (
            json!({ "response": { "set": { "a": "x\r\ny: z" } } }),
            "response.set.a",
        ),
        (
            json!({ "response": { "add": { "a": " x" } } }),
            "response.add.a",
        ),
        (
            json!({ "request": { "set": { "X-Forwarded-For": "1.2.3.4" } } }),
            "request.set.X-Forwarded-For",
        ),
        (
            json!({ "response": { "set": { "a": "x" }, "remove": ["A"] } }),
            "response.remove",
        ),
    ] {
        assert_eq!(faults("headers", config.clone()), [at], "{config}");
    }
    assert!(faults(
        "headers",
        json!({ "response": { "set": { "X-Forwarded-For": "x" } } })
    )
    .is_empty());
}
