use crate::filters::trial::{faults, Trial};
use serde_json::{json, Value};

/// Names and values.
type Fields<'a> = Vec<(&'a str, &'a str)>;

fn asked(trial: &mut Trial, method: &str, fields: &[(&str, &str)]) {
    trial.slot = Default::default();
    trial
        .request
        .start_request(method.as_bytes(), b"/", b"api.example.com");
    for (name, value) in fields {
        trial
            .request
            .add(name.as_bytes(), value.as_bytes())
            .expect("room");
    }
}

/// What the client gets of CORS, or Vary, and the status.
fn answer(trial: &mut Trial) -> Vec<String> {
    let verdict = trial.request();
    let head = trial.answered(verdict);
    let mut all = vec![head.status().to_string()];
    let told = Trial::fields(&head).into_iter().map(|f| f.to_lowercase());
    let wanted = |f: &String| f.starts_with("access-control-") || f.starts_with("vary");
    all.extend(
        told.filter(wanted)
            .map(|f| f.replace("access-control-", "")),
    );
    all.sort();
    all
}

const VARY: &str = "vary: origin, request-method, request-headers";

#[test]
fn preflights() {
    let listed = json!({ "origins": ["https://App.example.com", "https://*.example.org"], "methods": ["PUT"],
                         "headers": ["Content-Type", "X-A"], "credentials": true, "max_age": "10m" });
    let any = json!({ "origins": "*", "headers": "*" });
    let full = [
        "204",
        "allow-credentials: true",
        "allow-headers: content-type, x-a",
        "allow-methods: put",
        "allow-origin: https://app.example.com",
        "max-age: 600",
        VARY,
    ];
    let refused = |origin: &'static str| vec!["403", "allow-credentials: true", origin, VARY];
    let cases: Vec<(&Value, Fields<'_>, Vec<&str>)> = vec![
        (
            &listed,
            vec![
                ("origin", "https://app.example.com"),
                ("access-control-request-method", "PUT"),
            ],
            full.into(),
        ),
        (
            &listed,
            vec![
                ("origin", "https://app.example.com"),
                ("access-control-request-method", "PUT"),
                ("access-control-request-headers", "x-a,content-type"),
            ],
            full.into(),
        ),
        (
            &listed,
            vec![
                ("origin", "https://app.example.com"),
                ("access-control-request-method", "PUT"),
                ("access-control-request-headers", "x-a, x-b"),
            ],
            refused("allow-origin: https://app.example.com"),
        ),
        (
            &listed,
            vec![
                ("origin", "https://x.example.org"),
                ("access-control-request-method", "DELETE"),
            ],
            refused("allow-origin: https://x.example.org"),
        ),
        (
            &listed,
            vec![
                ("origin", "https://example.org"),
                ("access-control-request-method", "PUT"),
            ],
            vec!["403", VARY],
        ),
        (
            &listed,
            vec![("origin", "null"), ("access-control-request-method", "PUT")],
            vec!["403", VARY],
        ),
        (
            &any,
            vec![
                ("origin", "null"),
                ("access-control-request-method", "HEAD"),
                ("access-control-request-headers", "authorization,x-b"),
            ],
            vec![
                "204",
                "allow-headers: authorization,x-b",
                "allow-methods: get, post",
                "allow-origin: *",
                VARY,
            ],
        ),
    ];
    for (config, fields, want) in cases {
        let mut trial = Trial::of("cors", config.clone());
        asked(&mut trial, "OPTIONS", &fields);
        assert_eq!(answer(&mut trial), want, "{config} {fields:?}");
    }
}

#[test]
fn responses() {
    let listed = json!({ "origins": ["https://app.example.com", "https://*.example.org"], "expose": ["X-A", "etag"] });
    let any = json!({ "origins": "*" });
    let same = json!({ "origins": "same" });
    let cases: Vec<(&Value, &str, Fields<'_>, Vec<&str>)> = vec![
        (
            &listed,
            "GET",
            vec![("origin", "https://app.example.com")],
            vec![
                "200",
                "allow-origin: https://app.example.com",
                "expose-headers: x-a, etag",
                "vary: accept",
                "vary: origin",
            ],
        ),
        (
            &listed,
            "DELETE",
            vec![("origin", "https://a.b.example.org")],
            vec![
                "200",
                "allow-origin: https://a.b.example.org",
                "expose-headers: x-a, etag",
                "vary: accept",
                "vary: origin",
            ],
        ),
        (
            &listed,
            "GET",
            vec![("origin", "https://evil.example")],
            vec!["200", "vary: accept", "vary: origin"],
        ),
        (
            &listed,
            "GET",
            vec![],
            vec!["200", "vary: accept", "vary: origin"],
        ),
        (
            &listed,
            "GET",
            vec![
                ("origin", "https://app.example.com"),
                ("origin", "https://evil.example"),
            ],
            vec!["200", "vary: accept", "vary: origin"],
        ),
        // An OPTIONS that is no preflight is the upstream's.
        (
            &listed,
            "OPTIONS",
            vec![("origin", "https://evil.example")],
            vec!["200", "vary: accept", "vary: origin"],
        ),
        (
            &any,
            "GET",
            vec![],
            vec!["200", "allow-origin: *", "vary: accept"],
        ),
        (
            &any,
            "GET",
            vec![("origin", "null")],
            vec!["200", "allow-origin: *", "vary: accept"],
        ),
        (
            &same,
            "POST",
            vec![("origin", "http://api.example.com")],
            vec![
                "200",
                "allow-origin: http://api.example.com",
                "vary: accept",
                "vary: origin",
            ],
        ),
    ];
    for (config, method, fields, want) in cases {
        let mut trial = Trial::of("cors", config.clone());
        // What the upstream says in the same matter is replaced.
        for (name, value) in [
            ("access-control-allow-origin", "https://evil.example"),
            ("access-control-allow-credentials", "true"),
            ("vary", "accept"),
        ] {
            let put = trial.response.add(name.as_bytes(), value.as_bytes());
            put.expect("room");
        }
        asked(&mut trial, method, &fields);
        assert_eq!(answer(&mut trial), want, "{config} {fields:?}");
    }
}

#[test]
fn an_origin_that_was_taken_away_is_answered_and_vary_is_said_once() {
    for origin in ["https://app.example.com", "https://x.example.org"] {
        let config = json!({ "origins": ["https://app.example.com", "https://*.example.org"] });
        let mut trial = Trial::of("cors", config);
        asked(&mut trial, "GET", &[("origin", origin)]);
        assert!(Trial::status_of(trial.request()).is_none());
        trial.request.remove(b"origin");
        trial
            .response
            .add(b"vary", b"accept, ORIGIN")
            .expect("room");
        trial.respond();
        let want = [format!("Access-Control-Allow-Origin: {origin}")];
        assert_eq!(Trial::fields(&trial.response)[1..], want);
    }
}

#[test]
fn what_no_browser_does_is_a_fault() {
    for (config, at) in [
        (
            json!({ "origins": "*", "credentials": true }),
            "credentials",
        ),
        (json!({ "origins": [] }), "origins"),
        (json!({ "origins": ["*"] }), "origins[0]"),
        (json!({ "origins": ["null"] }), "origins[0]"),
        (
            json!({ "origins": ["https://a.example/path"] }),
            "origins[0]",
        ),
        (json!({ "origins": vec!["same"; 257] }), "origins"),
        (json!({ "origins": "same", "methods": [] }), "methods"),
        (
            json!({ "origins": "same", "methods": ["get"] }),
            "methods[0]",
        ),
        (
            json!({ "origins": "same", "headers": ["a b"] }),
            "headers[0]",
        ),
        (json!({ "origins": "same", "headers": ["*"] }), "headers[0]"),
        (json!({ "origins": "same", "expose": ["*"] }), "expose[0]"),
    ] {
        assert_eq!(faults("cors", config.clone()), [at], "{config}");
    }
}
