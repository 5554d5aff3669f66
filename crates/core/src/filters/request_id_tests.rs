use super::*;
use crate::filters::trial::{faults, Trial};
use serde_json::json;

fn find(head: &Head, name: &str) -> String {
    String::from_utf8_lossy(head.find(name.as_bytes()).unwrap_or_default()).into_owned()
}

#[test]
fn an_identifier_is_kept_only_if_it_is_trusted_valid_and_alone() {
    let long = "a".repeat(129);
    for (trust, brought, kept) in [
        (false, &["abc"][..], false),
        (true, &["abc"], true),
        (true, &["A-z.0_9~:+/="], true),
        (true, &[&long[1..]], true),
        (true, &[&long], false),
        (true, &[""], false),
        (true, &["a b"], false),
        (true, &["a\"b"], false),
        (true, &["abc", "def"], false),
        (true, &[], false),
    ] {
        let mut trial = Trial::of("request_id", json!({ "trust": trust }));
        for value in brought {
            trial
                .request
                .add(b"X-Request-ID", value.as_bytes())
                .expect("a valid field");
        }
        assert!(matches!(trial.request(), Verdict::Next));
        let id = find(&trial.request, "x-request-id");
        assert_eq!(trial.request.find_all(b"x-request-id").count(), 1);
        assert_eq!(
            brought.first() == Some(&id.as_str()),
            kept,
            "{trust} {brought:?}"
        );
        assert!(
            kept || (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())),
            "{id}"
        );
        assert!(matches!(trial.respond(), Verdict::Next));
        assert_eq!(find(&trial.response, "x-request-id"), id);
    }
}

#[test]
fn identifiers_differ_and_have_a_field_of_the_user_s_choice() {
    let mut trial = Trial::of(
        "request_id",
        json!({ "header": "x-trace", "response": false }),
    );
    assert!(!trial.filter.needs().response);
    assert!(matches!(trial.request(), Verdict::Next));
    let first = find(&trial.request, "x-trace");
    assert!(matches!(trial.request(), Verdict::Next));
    assert_ne!(find(&trial.request, "x-trace"), first);
    assert_eq!(find(&trial.request, "x-request-id"), "");
}

#[test]
fn a_valid_trace_passes_and_any_other_begins_anew() {
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let zeros = "0".repeat(32);
    for (value, passes) in [
        (format!("00-{trace}-{parent}-01"), true),
        (format!("00-{trace}-{parent}-ff"), true),
        (format!("cc-{trace}-{parent}-01"), true),
        (format!("cc-{trace}-{parent}-01-more"), true),
        (format!("cc-{trace}-{parent}-01more"), false),
        (format!("00-{trace}-{parent}-01-more"), false),
        (format!("ff-{trace}-{parent}-01"), false),
        (format!("00-{zeros}-{parent}-01"), false),
        (format!("00-{trace}-{}-01", &zeros[..16]), false),
        (format!("00-{}-{parent}-01", trace.to_uppercase()), false),
        (format!("00-{trace}-{parent}-0"), false),
        (format!("00_{trace}-{parent}-01"), false),
        (String::new(), false),
    ] {
        let mut trial = Trial::of("request_id", json!({}));
        trial
            .request
            .add(b"traceparent", value.as_bytes())
            .expect("a valid field");
        trial
            .request
            .add(b"tracestate", b"a=b")
            .expect("a valid field");
        assert!(matches!(trial.request(), Verdict::Next));
        let after = find(&trial.request, "traceparent");
        assert_eq!(after == value, passes, "{value}");
        assert_eq!(
            trial.request.find(b"tracestate").is_some(),
            passes,
            "{value}"
        );
        assert!(is_traceparent(after.as_bytes()), "{after}");
        let id = find(&trial.request, "x-request-id");
        assert!(
            passes || (after[3..35] == id && after.ends_with("-00")),
            "{after}"
        );
    }
}

#[test]
fn two_traces_are_none() {
    let mut trial = Trial::of("request_id", json!({}));
    for id in ["1", "2"] {
        let value = format!("00-{}-{}-01", id.repeat(32), id.repeat(16));
        trial
            .request
            .add(b"traceparent", value.as_bytes())
            .expect("a valid field");
    }
    assert!(matches!(trial.request(), Verdict::Next));
    assert_eq!(trial.request.find_all(b"traceparent").count(), 1);
    assert!(find(&trial.request, "traceparent").ends_with("-00"));
}

#[test]
fn a_field_that_cannot_carry_it_is_a_fault() {
    for header in ["", "a b", "host", "Content-Length", "authorization"] {
        assert_eq!(
            faults("request_id", json!({ "header": header })),
            ["header"],
            "{header}"
        );
    }
}
