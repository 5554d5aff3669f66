use super::*;
use crate::filters::trial::Trial;
use serde_json::{json, Value};

#[test]
fn a_plugin_is_told_each_byte_as_one_character() {
    let mut req = Head::new();
    req.start_request(b"GET", b"/a%20b?x=\"1\"&y", b"example.com");
    for (name, value) in [
        (&b"X-A"[..], &b"one \"two\" \\"[..]),
        (b"x-bytes", b"\xe9\xff\tz"),
        (b"x-a", b"again"),
    ] {
        req.add(name, value).expect("a field");
    }
    let client = Client::new(std::net::SocketAddr::from(([192, 0, 2, 7], 1)));
    let text = told(&req, &client, "items");
    let value: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        value,
        json!({
            "method": "GET", "host": "example.com", "path": "/a%20b", "query": "x=\"1\"&y",
            "headers": ["X-A", "one \"two\" \\", "x-bytes", "\u{e9}\u{ff}\tz", "x-a", "again"],
            "client": "192.0.2.7", "route": "items",
        })
    );
    req.set_query(None).expect("no query");
    let value: Value = serde_json::from_str(&told(&req, &client, "")).expect("JSON");
    assert_eq!(value.get("query"), None);
}

#[test]
fn a_verdict_removes_then_sets_then_adds() {
    let text = json!({ "request": {
        "add": { "x-more": ["2", "3"], "x-gone": "again" },
        "set": { "x-set": "\u{e9}" },
        "remove": ["X-Gone"],
    } });
    let verdict = PluginVerdict::parse(&text.to_string(), Vec::new()).expect("a verdict");
    assert!(verdict.response.is_empty() && verdict.reply.is_none());
    let mut head = Head::new();
    head.start_request(b"GET", b"/", b"a");
    for (name, value) in [
        ("x-gone", "1"),
        ("x-set", "a"),
        ("x-set", "b"),
        ("x-more", "1"),
    ] {
        head.add(name.as_bytes(), value.as_bytes())
            .expect("a field");
    }
    verdict.request.apply(&mut head).expect("room");
    assert_eq!(head.find(b"x-set"), Some(&b"\xe9"[..]), "one byte");
    head.remove(b"x-set");
    assert_eq!(
        Trial::fields(&head),
        ["x-more: 1", "x-gone: again", "x-more: 2", "x-more: 3"]
    );
}

#[test]
fn a_reply_is_taken_apart() {
    for (said, body, kind, fields) in [
        (
            json!({ "status": 403, "headers": { "X-Why": "no" }, "kind": "text/plain" }),
            &b"no"[..],
            Some("text/plain"),
            1,
        ),
        (
            json!({ "status": 200, "headers": { "Content-Type": "a/b" }, "kind": "text/plain" }),
            b"x",
            Some("a/b"),
            0,
        ),
        (json!({ "status": 204 }), b"", None, 0),
    ] {
        let text = json!({ "reply": said }).to_string();
        let reply = PluginVerdict::parse(&text, body.to_vec())
            .expect("a verdict")
            .reply
            .expect("a reply");
        assert_eq!(reply.fields.len(), fields, "{text}");
        let want = match kind {
            Some(kind) => Body::Plain(kind.into(), body.to_vec()),
            None => Body::Empty,
        };
        assert_eq!(reply.body, want, "{text}");
    }
}

#[test]
fn what_is_no_verdict_is_refused_with_a_reason() {
    let many: Vec<String> = (0..=MAX_FIELDS).map(|i| format!("x-{i}")).collect();
    for (said, body, why) in [
        (json!(1), 0, "invalid type"),
        (json!({ "requests": {} }), 0, "unknown field `requests`"),
        (
            json!({ "request": { "put": {} } }),
            0,
            "unknown field `put`",
        ),
        (
            json!({ "request": { "set": { "x": 1 } } }),
            0,
            "invalid type: integer `1`",
        ),
        (
            json!({ "request": { "set": { "a b": "" } } }),
            0,
            "request.set: \"a b\" is no field name",
        ),
        (
            json!({ "request": { "set": { "Host": "b" } } }),
            0,
            "Host is not changed",
        ),
        (
            json!({ "request": { "set": { "x-real-ip": "b" } } }),
            0,
            "written by the gateway",
        ),
        (
            json!({ "response": { "remove": ["Content-Length"] } }),
            0,
            "response.remove: Content-Length",
        ),
        (
            json!({ "response": { "set": { "x": "a\r\nb: c" } } }),
            0,
            "control character",
        ),
        (
            json!({ "response": { "add": { "x": ["a", "\u{20ac}"] } } }),
            0,
            "beyond U+00FF",
        ),
        (
            json!({ "response": { "remove": many } }),
            0,
            "more than 100 fields",
        ),
        (
            json!({ "reply": { "status": 101 } }),
            0,
            "reply.status is 101",
        ),
        (
            json!({ "reply": { "status": 204 } }),
            1,
            "which has no body",
        ),
        (json!({ "reply": {} }), 0, "missing field `status`"),
        (
            json!({ "reply": { "status": 200, "headers": { "te": "x" } } }),
            0,
            "reply.headers",
        ),
        (
            json!({ "reply": { "status": 200, "kind": "a\nb" } }),
            1,
            "no media type",
        ),
        (
            json!({ "reply": { "status": 200 } }),
            MAX_BODY + 1,
            "reply.body has more than",
        ),
        (
            json!({ "reply": { "status": 200 }, "request": { "remove": ["a"] } }),
            0,
            "ends the request",
        ),
        (json!({}), 1, "a body and no reply"),
        (
            json!({ "request": { "set": { "x": "y".repeat(MAX_TEXT) } } }),
            0,
            "bytes of text",
        ),
    ] {
        let text = said.to_string();
        let got =
            PluginVerdict::parse(&text, vec![b'x'; body]).expect_err(&text[..text.len().min(80)]);
        assert!(got.contains(why), "{why}: {got}");
        assert!(!got.contains("at line"), "{got}");
    }
}
