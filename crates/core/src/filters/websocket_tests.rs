use std::net::SocketAddr;
use std::rc::Rc;

use serde_json::json;

use super::*;
use crate::filters::trial::{faults, Trial};
use crate::secure::Secure;

fn asks(config: serde_json::Value) -> Trial {
    let mut trial = Trial::of("websocket", config);
    trial.websocket = true;
    trial
}

#[test]
fn origins() {
    let listed = json!({ "origins": ["https://app.example.com", "https://*.b.test:8443", "http://[::1]:80", "tauri://localhost"] });
    let same = json!({ "origins": ["same"] });
    for (config, origin, allowed) in [
        (&listed, "https://app.example.com", true),
        (&listed, "https://app.example.com:443", true),
        (&listed, "HTTPS://APP.EXAMPLE.COM", true),
        (&listed, "http://app.example.com", false),
        (&listed, "https://app.example.com:444", false),
        (&listed, "https://app.example.com.evil.test", false),
        (&listed, "https://evil-app.example.com", false),
        (&listed, "https://app.example.com/", false),
        (&listed, "https://app.example.com evil", false),
        (&listed, "https://x.b.test:8443", true),
        (&listed, "https://x.y.B.test:8443", true),
        (&listed, "https://b.test:8443", false),
        (&listed, "https://.b.test:8443", false),
        (&listed, "https://xb.test:8443", false),
        (&listed, "https://x.b.test", false),
        (&listed, "http://[::1]", true),
        (&listed, "tauri://localhost", true),
        (&listed, "null", false),
        (&listed, "", false),
        (&listed, "*", false),
        (&listed, "same", false),
        (&listed, "app.example.com", false),
        (&same, "https://example.com", true),
        (&same, "http://example.com:80", true),
        (&same, "https://Example.com", true),
        (&same, "https://example.com:8443", false),
        (&same, "https://sub.example.com", false),
        (&same, "null", false),
    ] {
        let mut trial = asks(config.clone());
        trial
            .request
            .add(b"origin", origin.as_bytes())
            .expect("room");
        let status = Trial::status_of(trial.request());
        assert_eq!(status, (!allowed).then_some(403), "{origin} {config}");
        trial.websocket = false;
        assert!(matches!(trial.request(), Verdict::Next), "no upgrade");
    }
}

#[test]
fn a_missing_or_repeated_origin_is_none_of_the_list() {
    let mut trial = asks(json!({ "origins": ["same"] }));
    assert_eq!(Trial::status_of(trial.request()), Some(403));
    for status in [None, Some(403)] {
        let added = trial.request.add(b"origin", b"https://example.com");
        added.expect("room");
        assert_eq!(Trial::status_of(trial.request()), status);
    }
}

#[test]
fn over_tls_the_same_site_is_one_with_tls() {
    for (secure, origin, status) in [
        (true, "https://example.com", None),
        (true, "http://example.com", Some(403)),
        (false, "http://example.com", None),
    ] {
        let mut trial = asks(json!({ "origins": ["same"] }));
        trial.client.tls = secure.then(|| Rc::new(Secure::default()));
        trial
            .request
            .add(b"origin", origin.as_bytes())
            .expect("room");
        assert_eq!(Trial::status_of(trial.request()), status, "{origin}");
    }
}

#[test]
fn a_client_is_an_address_or_a_64() {
    let from = |trial: &mut Trial, ip: &str| {
        let peer = SocketAddr::new(ip.parse().expect("an address"), 1);
        trial.client = crate::filter::Client::new(peer);
        let verdict = trial.request();
        // Another request: what this one holds stays held.
        std::mem::forget(trial.slot.any.take());
        Trial::status_of(verdict)
    };
    let config = json!({ "connections_per_client": 1, "max_clients": 3 });
    let mut trial = asks(config.clone());
    assert_eq!(from(&mut trial, "2001:db8::1"), None);
    assert_eq!(from(&mut trial, "2001:db8::2"), Some(429));
    assert_eq!(from(&mut trial, "2001:db8:0:1::1"), None);
    assert_eq!(from(&mut trial, "192.0.2.1"), None);
    assert_eq!(from(&mut trial, "::ffff:192.0.2.1"), Some(429));
    assert_eq!(from(&mut trial, "192.0.2.2"), Some(503), "no room");
    trial.rebuild("websocket", config);
    assert_eq!(from(&mut trial, "192.0.2.1"), Some(429), "after a reload");
}

#[test]
fn what_is_held_is_given_back_once() {
    let mut trial = asks(json!({ "connections_per_client": 1 }));
    // By an answer that is no 101, at once.
    assert!(matches!(trial.request(), Verdict::Next));
    let held = trial.slot.any.is_some();
    trial.response.start_response(401);
    assert!(held && matches!(trial.respond(), Verdict::Next));
    assert!(trial.slot.any.is_none());
    // Not by a 101; but by the request's end, or the loss of its memory.
    for lost in [false, true] {
        assert!(matches!(trial.request(), Verdict::Next));
        trial.response.start_response(101);
        assert!(matches!(trial.respond(), Verdict::Next));
        assert!(trial.slot.any.is_some());
        if lost {
            trial.slot = crate::filter::Slot::default();
        } else {
            trial.end();
        }
    }
    assert!(matches!(trial.request(), Verdict::Next));
}

#[test]
fn a_config_that_says_nothing_or_nonsense_is_at_fault() {
    for (config, want) in [
        (json!({}), "origins"),
        (json!({ "origins": [] }), "origins"),
        (json!({ "origins": ["*"] }), "origins[0]"),
        (json!({ "origins": ["https://a/"] }), "origins[0]"),
        (json!({ "origins": ["https://*.1.2.3.4"] }), "origins[0]"),
        (json!({ "origins": ["https://a.*.b"] }), "origins[0]"),
        (json!({ "origins": ["null"] }), "origins[0]"),
        (
            json!({ "connections_per_client": 0 }),
            "connections_per_client",
        ),
        (
            json!({ "origins": ["same"], "max_clients": 0 }),
            "max_clients",
        ),
        (json!({ "origins": vec!["same"; 65] }), "origins"),
    ] {
        assert_eq!(faults("websocket", config.clone()), [want], "{config}");
    }
    assert!(faults("websocket", json!({ "origins": ["same"] })).is_empty());
}
