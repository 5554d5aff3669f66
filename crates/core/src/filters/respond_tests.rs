use super::*;
use crate::filters::trial::{faults, Trial};
use serde_json::json;

#[test]
fn the_response_is_what_the_config_says() {
    for (config, status, fields, body) in [
        (json!({}), 200, vec![], ""),
        (json!({ "status": 204 }), 204, vec![], ""),
        (
            json!({ "body": "hi" }),
            200,
            vec!["content-type: text/plain; charset=utf-8"],
            "hi",
        ),
        (
            json!({ "body": "" }),
            200,
            vec!["content-type: text/plain; charset=utf-8"],
            "",
        ),
        (
            json!({ "body": "<p>", "content_type": "text/html" }),
            200,
            vec!["content-type: text/html"],
            "<p>",
        ),
        (
            json!({ "status": 503, "json": { "a": [1, null] } }),
            503,
            vec!["content-type: application/json"],
            r#"{"a":[1,null]}"#,
        ),
        (
            json!({ "status": 301, "headers": { "location": "/b" } }),
            301,
            vec!["location: /b"],
            "",
        ),
    ] {
        let mut trial = Trial::of("respond", config.clone());
        let Verdict::Reply(reply) = trial.request() else {
            panic!("no reply for {config}")
        };
        let (mut head, mut bytes) = (Head::new(), Vec::new());
        reply.write(&mut head, &mut bytes);
        assert_eq!(
            (head.status(), String::from_utf8_lossy(&bytes).as_ref()),
            (status, body),
            "{config}"
        );
        assert_eq!(
            Trial::fields(&head)
                .iter()
                .map(|f| f.to_lowercase())
                .collect::<Vec<_>>(),
            fields,
            "{config}"
        );
    }
}

#[test]
fn what_makes_no_response_is_a_fault() {
    for (config, at) in [
        (json!({ "status": 101 }), "status"),
        (json!({ "status": 600 }), "status"),
        (json!({ "status": 204, "body": "x" }), "status"),
        (json!({ "body": "x", "json": 1 }), "json"),
        (json!({ "json": 1, "content_type": "a/b" }), "content_type"),
        (
            json!({ "body": "x", "content_type": "a\nb" }),
            "content_type",
        ),
        (
            json!({ "headers": { "content-length": "3" } }),
            "headers.content-length",
        ),
        (
            json!({ "headers": { "content-type": "a/b" } }),
            "headers.content-type",
        ),
        (json!({ "headers": { "x": "\u{1b}" } }), "headers.x"),
    ] {
        assert_eq!(faults("respond", config.clone()), [at], "{config}");
    }
}
