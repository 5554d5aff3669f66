use crate::filters::trial::{faults, Trial};
use serde_json::json;

#[test]
fn who_made_the_request() {
    let bare = json!({});
    let more = json!({ "origins": ["https://login.example.com", "https://*.example.org"] });
    let strict = json!({ "absent": "refuse" });
    let own = "https://example.com";
    let other = "https://evil.example";
    for (config, method, site, origin, passes) in [
        (&bare, "GET", Some("cross-site"), Some(other), true),
        (&bare, "HEAD", Some("cross-site"), Some(other), true),
        (&bare, "OPTIONS", Some("cross-site"), Some(other), true),
        (&bare, "POST", Some("same-origin"), Some(other), true),
        (&bare, "POST", Some("none"), None, true),
        (&bare, "POST", Some("same-site"), Some(own), false),
        (&bare, "POST", Some("cross-site"), Some(other), false),
        (&bare, "POST", Some("cross-site"), None, false),
        (&bare, "POST", Some("SAME-ORIGIN"), None, false),
        (&bare, "POST", Some(""), None, false),
        (&bare, "DELETE", Some("cross-site"), Some(other), false),
        (&bare, "PROPFIND", Some("cross-site"), Some(other), false),
        // Browsers without the field.
        (&bare, "POST", None, Some(own), true),
        (&bare, "POST", None, Some("https://EXAMPLE.com:443"), true),
        (&bare, "POST", None, Some(other), false),
        (&bare, "POST", None, Some("null"), false),
        (
            &bare,
            "POST",
            None,
            Some("https://example.com.evil.example"),
            false,
        ),
        (&bare, "POST", None, Some("https://example.com:8443"), false),
        // Programs.
        (&bare, "POST", None, None, true),
        (&strict, "POST", None, None, false),
        (&strict, "GET", None, None, true),
        (&strict, "POST", Some("none"), None, true),
        (
            &more,
            "POST",
            Some("cross-site"),
            Some("https://login.example.com"),
            true,
        ),
        (&more, "POST", None, Some("https://x.example.org"), true),
        (&more, "POST", None, Some(own), true),
        (&more, "POST", Some("cross-site"), Some(other), false),
        (
            &more,
            "POST",
            Some("cross-site"),
            Some("http://login.example.com"),
            false,
        ),
    ] {
        let mut trial = Trial::of("csrf", config.clone());
        // The port is the scheme's own.
        let host = b"example.com";
        trial.request.start_request(method.as_bytes(), b"/", host);
        for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
            if let Some(value) = value {
                let put = trial.request.add(name.as_bytes(), value.as_bytes());
                put.expect("room");
            }
        }
        let want = (!passes).then_some(403);
        let verdict = trial.request();
        assert_eq!(
            Trial::status_of(verdict),
            want,
            "{config} {method} {site:?} {origin:?}"
        );
    }
}

#[test]
fn two_words_are_as_bad_as_the_worse() {
    let mut trial = Trial::of("csrf", json!({}));
    trial.request.start_request(b"POST", b"/", b"example.com");
    for site in ["same-origin", "cross-site"] {
        let put = trial.request.add(b"sec-fetch-site", site.as_bytes());
        put.expect("room");
    }
    let verdict = trial.request();
    assert_eq!(Trial::status_of(verdict), Some(403));
}

#[test]
fn over_tls_the_site_without_is_another() {
    let mut trial = Trial::of("csrf", json!({}));
    trial.client.tls = Some(std::rc::Rc::default());
    trial.request.start_request(b"POST", b"/", b"example.com");
    let put = trial.request.add(b"origin", b"http://example.com");
    put.expect("room");
    let verdict = trial.request();
    assert_eq!(Trial::status_of(verdict), Some(403));
}

#[test]
fn what_is_no_origin_is_a_fault() {
    for (config, at) in [
        (json!({ "origins": ["example.com"] }), "origins[0]"),
        (json!({ "origins": vec!["same"; 257] }), "origins"),
        (json!({ "absent": "allow" }), "absent"),
    ] {
        assert_eq!(faults("csrf", config.clone()), [at], "{config}");
    }
}
