use crate::filters::trial::{faults, Trial};
use serde_json::{json, Value};

/// What the client gets, in small letters, in order of the alphabet.
fn told(config: Value, upstream: &[(&str, &str)], tls: bool) -> Vec<String> {
    let mut trial = Trial::of("security_headers", config);
    trial.client.tls = tls.then(std::rc::Rc::default);
    for (name, value) in upstream {
        let put = trial.response.add(name.as_bytes(), value.as_bytes());
        put.expect("room");
    }
    trial.request();
    trial.respond();
    let mut all: Vec<_> = Trial::fields(&trial.response)
        .into_iter()
        .map(|f| f.to_lowercase())
        .collect();
    all.sort();
    all
}

const DEFAULTS: [&str; 5] = [
    "cross-origin-opener-policy: same-origin",
    "cross-origin-resource-policy: same-origin",
    "referrer-policy: strict-origin-when-cross-origin",
    "x-content-type-options: nosniff",
    "x-frame-options: sameorigin",
];

const OFF: &str = r#"{ "content_type_options": "off", "frame_options": "off", "referrer_policy": "off", "opener_policy": "off", "resource_policy": "off" }"#;

fn only(more: Value) -> Value {
    let mut all: Value = serde_json::from_str(OFF).expect("JSON");
    let object = all.as_object_mut().expect("an object");
    object.extend(more.as_object().expect("an object").clone());
    all
}

#[test]
fn defaults_and_what_the_upstream_says_itself() {
    let upstream = [
        ("X-Powered-By", "PHP/5"),
        ("x-frame-options", "DENY"),
        ("server", "s"),
    ];
    let mut kept = DEFAULTS.map(str::to_owned);
    assert_eq!(told(json!({}), &[("x-powered-by", "a")], true), kept);
    kept[4] = "x-frame-options: deny".to_owned();
    let got = told(
        json!({ "remove": ["Server", "x-powered-by"] }),
        &upstream,
        false,
    );
    assert_eq!(got, kept);
    let got = told(
        json!({ "override": true, "remove": ["server", "x-powered-by"] }),
        &upstream,
        false,
    );
    assert_eq!(got, DEFAULTS);
}

#[test]
fn each_key_has_its_field() {
    for (config, want) in [
        (json!({}), vec![]),
        (
            json!({ "frame_options": "deny" }),
            vec!["x-frame-options: deny"],
        ),
        (
            json!({ "embedder_policy": "require-corp" }),
            vec!["cross-origin-embedder-policy: require-corp"],
        ),
        (
            json!({ "referrer_policy": "no-referrer" }),
            vec!["referrer-policy: no-referrer"],
        ),
        (
            json!({ "content_security_policy": "default-src 'self'", "content_security_policy_report_only": "default-src 'none'" }),
            vec![
                "content-security-policy-report-only: default-src 'none'",
                "content-security-policy: default-src 'self'",
            ],
        ),
        (
            json!({ "permissions_policy": "camera=()" }),
            vec!["permissions-policy: camera=()"],
        ),
        (
            json!({ "hsts": { "max_age": "365d" } }),
            vec!["strict-transport-security: max-age=31536000"],
        ),
        (
            json!({ "hsts": { "max_age": "730d", "include_subdomains": true, "preload": true } }),
            vec!["strict-transport-security: max-age=63072000; includesubdomains; preload"],
        ),
        (
            json!({ "hsts": { "max_age": "0s" } }),
            vec!["strict-transport-security: max-age=0"],
        ),
    ] {
        assert_eq!(told(only(config.clone()), &[], true), want, "{config}");
    }
    let hsts = only(json!({ "hsts": { "max_age": "1h" } }));
    assert_eq!(told(hsts, &[], false), [""; 0], "not without TLS");
}

#[test]
fn what_no_browser_reads_is_a_fault() {
    for (config, at) in [
        (json!({ "frame_options": "allowall" }), "frame_options"),
        (
            json!({ "content_security_policy": "a\nb" }),
            "content_security_policy",
        ),
        (
            json!({ "content_security_policy": "" }),
            "content_security_policy",
        ),
        (json!({ "permissions_policy": " a" }), "permissions_policy"),
        (json!({ "hsts": {} }), "hsts.max_age"),
        (json!({ "hsts": { "max_age": "1y" } }), "hsts.max_age"),
        (json!({ "hsts": { "max_age": "3651d" } }), "hsts.max_age"),
        (
            json!({ "hsts": { "max_age": "1h", "preload": true } }),
            "hsts.preload",
        ),
        (json!({ "remove": ["connection"] }), "remove[0]"),
        (json!({ "remove": vec!["a"; 65] }), "remove"),
    ] {
        assert_eq!(faults("security_headers", config.clone()), [at], "{config}");
    }
}
