use super::*;
use crate::filter::{Failed, Who};
use crate::filters::trial::{faults, Trial};
use serde_json::{json, Value};

const FAILED: Answer<'static> = Answer::Failed(Failed {
    who: Who::Plugin,
    may_retry: false,
});

fn plugin(more: Value) -> Trial {
    let mut config = json!({ "module": "./p.ts" });
    let all = config.as_object_mut().expect("an object");
    all.extend(more.as_object().expect("an object").clone());
    Trial::of("plugin", config)
}

fn call(verdict: Verdict) -> PluginCall {
    match verdict {
        Verdict::Ask(Ask::Plugin(call)) => *call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_body_the_plugin_is_asked_at_once() {
    for framing in [Framing::None, Framing::Length(1 << 40), Framing::Chunked] {
        let mut trial = plugin(json!({ "timeout": "20ms" }));
        trial.framing = framing;
        let call = call(trial.request());
        assert_eq!((&*call.module, call.timeout), ("p", 20_000_000));
        assert!(
            call.told.contains("\"client\":\"192.0.2.1\""),
            "{}",
            call.told
        );
        assert_eq!(call.body, None);
    }
}

#[test]
fn with_a_body_the_body_comes_first_and_a_longer_one_is_refused_even_if_open() {
    for on_fail in ["open", "closed"] {
        let config = json!({ "body": "1KiB", "on_fail": on_fail });
        for (framing, first) in [
            (Framing::None, "plugin"),
            (Framing::Length(0), "body"),
            (Framing::Length(1024), "body"),
            (Framing::Length(1025), "413"),
            (Framing::Chunked, "body"),
        ] {
            let mut trial = plugin(config.clone());
            trial.framing = framing;
            let got = match trial.request() {
                Verdict::Ask(Ask::Body { max: 1024, .. }) => "body".to_owned(),
                Verdict::Ask(Ask::Plugin(call)) => {
                    assert_eq!(call.body.as_deref(), Some(&b""[..]));
                    "plugin".into()
                }
                Verdict::Reply(reply) => reply.status.to_string(),
                other => format!("{other:?}"),
            };
            assert_eq!(got, first, "{framing:?}");
            if first == "body" {
                let call = call(trial.answer(Answer::Body(b"hello")));
                assert_eq!(call.body.as_deref(), Some(&b"hello"[..]));
                assert_eq!(Trial::status_of(trial.answer(Answer::TooLarge)), Some(413));
            }
        }
    }
}

#[test]
fn a_failure_is_what_on_fail_says() {
    for (on_fail, status) in [("closed", Some(503)), ("open", None)] {
        for answer in [FAILED, Answer::Aborted] {
            let mut trial = plugin(json!({ "on_fail": on_fail }));
            call(trial.request());
            assert_eq!(
                Trial::status_of(trial.answer(answer)),
                status,
                "{on_fail} {answer:?}"
            );
        }
        // No JavaScript knows this one.
        let mut trial = Trial::of("plugin", json!({ "module": "./q.ts", "on_fail": on_fail }));
        assert_eq!(Trial::status_of(trial.request()), status, "{on_fail}");
    }
    assert_eq!(
        Trial::status_of(plugin(json!({})).answer(FAILED)),
        Some(503),
        "closed by default"
    );
}

#[test]
fn a_verdict_changes_both_heads_or_replies() {
    let text = json!({
        "request": { "set": { "x-user": "ann" } },
        "response": { "add": { "x-seen": "1" } },
    });
    let verdict = PluginVerdict::parse(&text.to_string(), Vec::new()).expect("a verdict");
    let mut trial = plugin(json!({}));
    call(trial.request());
    assert!(matches!(
        trial.answer(Answer::Plugin(&verdict)),
        Verdict::Next
    ));
    assert!(matches!(trial.respond(), Verdict::Next));
    assert_eq!(Trial::fields(&trial.request), ["x-user: ann"]);
    assert_eq!(Trial::fields(&trial.response), ["x-seen: 1"]);

    let text = json!({ "reply": { "status": 401 } }).to_string();
    let verdict = PluginVerdict::parse(&text, b"who?".to_vec()).expect("a verdict");
    let mut trial = plugin(json!({ "on_fail": "open" }));
    assert_eq!(
        Trial::status_of(trial.answer(Answer::Plugin(&verdict))),
        Some(401)
    );
}

#[test]
fn changes_that_do_not_fit_are_a_failure() {
    let text = json!({ "request": { "set": { "x-user": "x".repeat(60_000) } } });
    let verdict = PluginVerdict::parse(&text.to_string(), Vec::new()).expect("a verdict");
    let mut trial = plugin(json!({}));
    let large = vec![b'y'; 1_000_000];
    trial.request.add(b"x-large", &large).expect("just room");
    assert_eq!(
        Trial::status_of(trial.answer(Answer::Plugin(&verdict))),
        Some(503)
    );
}

#[test]
fn bounds_are_checked() {
    for (config, at) in [
        (json!({}), "module"),
        (json!({ "module": "" }), "module"),
        (json!({ "module": "a", "timeout": "2m" }), "timeout"),
        (json!({ "module": "a", "body": "0B" }), "body"),
        (json!({ "module": "a", "body": "2MiB" }), "body"),
        (json!({ "module": "a", "on_fail": "maybe" }), "on_fail"),
    ] {
        let found = faults("plugin", config.clone());
        assert_eq!(found, [at], "{config}");
    }
}
