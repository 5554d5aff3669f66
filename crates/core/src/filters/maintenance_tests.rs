use crate::filters::trial::{faults, Trial};
use crate::reply::Reply;
use serde_json::json;

fn hash() -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(b"open")
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

#[test]
fn who_is_let_in() {
    let bare = json!({});
    let off = json!({ "enabled": false });
    let office = json!({ "allow": ["10.0.0.0/8", "2001:db8::/32"] });
    let word = json!({ "bypass": { "header": "X-Open", "hash": hash() } });
    let hashed = hash();
    for (config, ip, sent, passes) in [
        (&bare, "10.0.0.1", None, false),
        (&off, "10.0.0.1", None, true),
        (&office, "10.0.0.1", None, true),
        (&office, "::ffff:10.0.0.1", None, true),
        (&office, "11.0.0.1", None, false),
        (&word, "11.0.0.1", Some("open"), true),
        (&word, "11.0.0.1", Some("Open"), false),
        (&word, "11.0.0.1", Some(""), false),
        (&word, "11.0.0.1", None, false),
        // The hash is no word.
        (&word, "11.0.0.1", Some(&hashed[..]), false),
    ] {
        let mut trial = Trial::of("maintenance", config.clone());
        trial.client.ip = ip.parse().expect("an address");
        if let Some(word) = sent {
            let put = trial.request.add(b"x-open", word.as_bytes());
            put.expect("room");
        }
        let verdict = trial.request();
        let want = (!passes).then_some(503);
        assert_eq!(Trial::status_of(verdict), want, "{config} {ip} {sent:?}");
        if passes {
            assert_eq!(trial.request.find(b"x-open"), None, "it goes no further");
        }
    }
}

#[test]
fn what_is_told() {
    let told = |config| {
        let mut trial = Trial::of("maintenance", config);
        let crate::filter::Verdict::Reply(reply) = trial.request() else {
            panic!("it passes");
        };
        let (mut head, mut body) = (wire::Head::new(), Vec::new());
        Reply::write(&reply, &mut head, &mut body);
        (Trial::fields(&head), String::from_utf8(body).expect("text"))
    };
    let (fields, body) = told(json!({ "retry_after": "1500ms", "detail": "Soon." }));
    let want = [
        "content-type: application/problem+json",
        "retry-after: 2",
        "cache-control: no-store",
    ];
    assert_eq!(fields, want);
    assert!(
        body.contains("\"code\":\"maintenance\"") && body.contains("\"detail\":\"Soon.\""),
        "{body}"
    );
    let (fields, body) = told(json!({ "body": "<p>Soon." }));
    let want = [
        "content-type: text/html; charset=utf-8",
        "retry-after: 300",
        "cache-control: no-store",
    ];
    assert_eq!(fields, want);
    assert_eq!(body, "<p>Soon.");
}

#[test]
fn what_cannot_be_is_a_fault() {
    for (config, at) in [
        (json!({ "allow": vec!["::1"; 65] }), "allow"),
        (json!({ "bypass": { "hash": "open" } }), "bypass.hash"),
        (
            json!({ "bypass": { "header": "host", "hash": hash() } }),
            "bypass.header",
        ),
        (json!({ "body": "a", "detail": "b" }), "detail"),
        (json!({ "body": "a".repeat((64 << 10) + 1) }), "body"),
        (json!({ "content_type": "text/html" }), "content_type"),
        (
            json!({ "body": "a", "content_type": "a\nb" }),
            "content_type",
        ),
        (json!({ "retry_after": 300 }), "retry_after"),
    ] {
        assert_eq!(faults("maintenance", config.clone()), [at]);
    }
}
