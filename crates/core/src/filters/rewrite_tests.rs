use crate::filters::trial::{faults, Trial};
use serde_json::json;

fn path_after(trial: &mut Trial, target: &str) -> String {
    trial
        .request
        .start_request(b"GET", target.as_bytes(), b"old.example:8080");
    let verdict = trial.request();
    match Trial::status_of(verdict) {
        Some(status) => status.to_string(),
        None => String::from_utf8_lossy(trial.request.target()).into_owned(),
    }
}

#[test]
fn paths() {
    let strip = json!({ "strip_prefix": "/api" });
    let add = json!({ "add_prefix": "/v1/" });
    let both = json!({ "strip_prefix": "/api/", "add_prefix": "/v1" });
    let regex = json!({ "regex": "^/u/([0-9]+)", "replace": "/users/$1" });
    for (config, from, to) in [
        (json!({ "path": "/fixed" }), "/any/thing?q=1", "/fixed?q=1"),
        (json!({ "path": "/a%20b" }), "/x", "/a%20b"),
        (strip.clone(), "/api/x?q", "/x?q"),
        (strip.clone(), "/api", "/"),
        (strip.clone(), "/api/", "/"),
        (strip.clone(), "/apix", "/apix"),
        (strip, "/x/api/y", "/x/api/y"),
        (add.clone(), "/x", "/v1/x"),
        (add, "/", "/v1/"),
        (both.clone(), "/api/x", "/v1/x"),
        (both.clone(), "/api", "/v1"),
        (both, "/other", "/other"),
        (regex.clone(), "/u/17/x?q", "/users/17/x?q"),
        (regex, "/v/17", "/v/17"),
        (json!({ "regex": "a", "replace": "b" }), "/aa/a", "/bb/b"),
        (json!({ "regex": "x", "replace": "../.." }), "/a/x", "400"),
        (json!({ "regex": "^/", "replace": "" }), "/a", "400"),
        (json!({ "regex": "x", "replace": "?" }), "/x", "400"),
    ] {
        let mut trial = Trial::of("rewrite", config.clone());
        assert_eq!(path_after(&mut trial, from), to, "{config} {from}");
    }
}

#[test]
fn a_host_replaces_the_authority_and_leaves_the_path() {
    let mut trial = Trial::of("rewrite", json!({ "host": "Inner.example:81" }));
    assert_eq!(path_after(&mut trial, "/a?b"), "/a?b");
    assert_eq!(trial.request.authority(), b"inner.example:81");
}

#[test]
fn a_template_is_filled_with_what_the_route_captured() {
    let what: crate::route::Match =
        serde_json::from_value(json!({ "path": "/users/{id}/{rest*}" })).expect("a match");
    let routes = [crate::route::RouteMatch {
        listeners: crate::route::Listeners::ALL,
        what: &what,
    }];
    let mut trial = Trial::of("rewrite", json!({ "path": "/p/{rest}/of/{id}" }));
    trial.snapshot.router = crate::route::Router::compile(&routes);
    for (from, to) in [
        ("/users/7/a/b?q", "/p/a/b/of/7?q"),
        ("/users/%2e%2E%2e/a", "/p/a/of/..."),
        ("/users/a%2Fb/c", "/p/c/of/a%2Fb"),
        ("/users/7/", "/p/of/7"),
        ("/elsewhere", "/elsewhere"),
    ] {
        assert_eq!(path_after(&mut trial, from), to, "{from}");
    }
}

#[test]
fn what_makes_no_path_is_a_fault() {
    for (config, at) in [
        (json!({}), "path"),
        (json!({ "path": "/a", "strip_prefix": "/b" }), "path"),
        (
            json!({ "path": "/a", "regex": "b", "replace": "c" }),
            "path",
        ),
        (json!({ "path": "a" }), "path"),
        (json!({ "path": "/a/../b" }), "path"),
        (json!({ "path": "/a?b=c" }), "path"),
        (json!({ "path": "/{id" }), "path"),
        (json!({ "path": "/{id}/{nobody}" }), "path"),
        (json!({ "add_prefix": "v1" }), "add_prefix"),
        (json!({ "strip_prefix": "/a b" }), "strip_prefix"),
        (json!({ "regex": "(" , "replace": "" }), "regex"),
        (json!({ "regex": "a" }), "replace"),
        (json!({ "replace": "a" }), "regex"),
        (json!({ "host": "a/b" }), "host"),
    ] {
        assert_eq!(faults("rewrite", config.clone()), [at], "{config}");
    }
}
