use crate::filters::trial::{faults, Trial};
use serde_json::{json, Value};

/// The status and Location, or where the request goes on to.
fn answer(trial: &mut Trial) -> String {
    let verdict = trial.request();
    if matches!(verdict, crate::filter::Verdict::Next) {
        return "passes".to_owned();
    }
    let head = trial.answered(verdict);
    let location = head.find(b"location").unwrap_or(b"-");
    format!("{} {}", head.status(), String::from_utf8_lossy(location))
}

#[test]
fn addresses() {
    let https = json!({ "scheme": "https" });
    let www = json!({ "host": "WWW.example.com", "status": 301 });
    let port = json!({ "port": 8443, "scheme": "https", "status": 308 });
    let fixed = json!({ "path": "/new", "keep_query": false, "status": 303 });
    let strip = json!({ "strip_prefix": "/api" });
    let regex = json!({ "regex": "^/u/([0-9]+)", "replace": "/users/$1", "host": "a.example" });
    for (config, tls, host, target, want) in [
        (
            &https,
            false,
            "a.example",
            "/x?q=1",
            "307 https://a.example/x?q=1",
        ),
        (
            &https,
            false,
            "a.example:8080",
            "/",
            "307 https://a.example/",
        ),
        (&https, false, "[::1]:8080", "/", "307 https://[::1]/"),
        (&https, true, "a.example", "/x", "passes"),
        (&https, true, "a.example:8443", "/x", "passes"),
        (&https, false, "", "/x", "400 -"),
        (
            &www,
            false,
            "example.com:80",
            "/x",
            "301 http://www.example.com/x",
        ),
        (
            &www,
            true,
            "example.com",
            "/x",
            "301 https://www.example.com/x",
        ),
        (&www, true, "www.EXAMPLE.com", "/x", "passes"),
        (&www, true, "www.example.com:8443", "/x", "passes"),
        (
            &port,
            false,
            "a.example",
            "/x",
            "308 https://a.example:8443/x",
        ),
        (
            &port,
            true,
            "a.example",
            "/x",
            "308 https://a.example:8443/x",
        ),
        (&port, true, "a.example:8443", "/x", "passes"),
        (&fixed, false, "a.example", "/old?q", "303 /new"),
        (&fixed, false, "a.example", "/new?q", "passes"),
        (&strip, false, "a.example", "/api/x?q", "307 /x?q"),
        // No address of another host.
        (
            &strip,
            false,
            "a.example",
            "/api//evil.example/x",
            "307 /evil.example/x",
        ),
        (&strip, false, "a.example", "/other", "passes"),
        (
            &regex,
            false,
            "b.example",
            "/u/7",
            "307 http://a.example/users/7",
        ),
        (&regex, false, "a.example", "/u/7", "307 /users/7"),
        (&regex, false, "a.example", "/v/7", "passes"),
        (
            &json!({ "regex": "x", "replace": "../.." }),
            false,
            "a",
            "/a/x",
            "400 -",
        ),
        (
            &json!({ "regex": "^/", "replace": "http://evil.example/" }),
            false,
            "a",
            "/a",
            "400 -",
        ),
        (
            &json!({ "regex": "x", "replace": "\r\nx-evil: 1" }),
            false,
            "a",
            "/x",
            "400 -",
        ),
    ] {
        let mut trial = Trial::of("redirect", config.clone());
        trial
            .request
            .start_request(b"GET", target.as_bytes(), host.as_bytes());
        trial.client.tls = tls.then(std::rc::Rc::default);
        assert_eq!(answer(&mut trial), want, "{config} {tls} {host}{target}");
    }
}

#[test]
fn tls_that_a_trusted_proxy_ended_is_no_circle() {
    let mut trial = Trial::of("redirect", json!({ "scheme": "https" }));
    let put = trial.request.set(b"x-forwarded-proto", b"https");
    put.expect("room");
    assert_eq!(answer(&mut trial), "307 https://example.com/");
    trial.client.trusted_peer = true;
    assert_eq!(answer(&mut trial), "passes");
}

#[test]
fn what_leads_nowhere_is_a_fault() {
    let cases: [(Value, &str); 11] = [
        (json!({}), "scheme"),
        (json!({ "keep_query": false }), "scheme"),
        (json!({ "scheme": "ftp" }), "scheme"),
        (json!({ "scheme": "https", "status": 300 }), "status"),
        (json!({ "scheme": "https", "status": 200 }), "status"),
        (json!({ "host": "a.example:80" }), "host"),
        (json!({ "host": "https://a.example" }), "host"),
        (json!({ "port": 0 }), "port"),
        (json!({ "path": "/a", "add_prefix": "/b" }), "path"),
        (json!({ "path": "/{nobody}" }), "path"),
        (json!({ "regex": "a" }), "replace"),
    ];
    for (config, at) in cases {
        assert_eq!(faults("redirect", config.clone()), [at], "{config}");
    }
}
