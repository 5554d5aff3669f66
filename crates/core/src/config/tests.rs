//! Whole configs: what is good, and every fault that can be named.

use serde_json::{json, Value};

use super::*;

fn faults(config: &Value) -> Vec<(String, String)> {
    let mut faults = parse(&config.to_string()).expect_err("a config with faults");
    faults.sort_by(|a, b| (&a.path, &a.why).cmp(&(&b.path, &b.why)));
    for fault in &faults {
        assert!(!fault.why.is_empty() && !fault.fix.is_empty(), "{fault}");
    }
    faults.into_iter().map(|f| (f.path, f.why)).collect()
}

/// A good config with `part` laid over its parts.
fn with(part: Value) -> Value {
    let mut config = json!({
        "listeners": [{ "name": "web", "bind": "0.0.0.0:8080" }],
        "upstreams": [{ "name": "api", "endpoints": ["127.0.0.1:9001"] }],
        "routes": [{ "name": "all", "to": "api" }],
    });
    for (key, value) in part.as_object().expect("an object") {
        config[key] = value.clone();
    }
    config
}

fn route(part: Value) -> Value {
    let mut route = json!({ "name": "all", "to": "api" });
    for (key, value) in part.as_object().expect("an object") {
        match value {
            Value::Null => route.as_object_mut().expect("an object").remove(key),
            value => route
                .as_object_mut()
                .expect("an object")
                .insert(key.clone(), value.clone()),
        };
    }
    with(json!({ "routes": [route] }))
}

#[test]
fn every_key_is_read() {
    let config = parse(
        &json!({
            "store": "memory",
            "admin": { "bind": "127.0.0.1:9999", "allow_hosts": ["gate.internal"] },
            "workers": 3,
            "state_dir": "/var/lib/gate",
            "history": { "revisions": 5, "size": "2MiB" },
            "drain_timeout": "5s",
            "access_log": { "to": "/var/log/gate", "format": "$status" },
            "listeners": [{
                "name": "web", "bind": "[::]:8080", "health": true, "proxy_protocol": { "trust": ["10.0.0.0/8"] }, "backlog": 1,
                "timeouts": { "head": "1s", "idle": "2s", "stall": "3s" },
                "limits": { "head": "16KiB", "fields": 50, "uri": "4KiB", "connections": 7, "requests_per_connection": 9 },
            }],
            "upstreams": [{
                "name": "api", "endpoints": ["127.0.0.1:9001", "unix:/run/a", { "address": "B.example:80", "weight": 5 }],
                "balance": "maglev", "hash_key": "header:X-User",
                "timeouts": { "connect": "1s", "response": "2s", "stall": "3s" },
                "keepalive": { "idle": "1s", "lifetime": "1m", "connections": 2, "requests": 3 },
                "rest": "2s", "proxy_protocol": { "version": "v2", "tlvs": ["authority", "tlv_ea", "crc32c"] },
            }, { "name": "old", "endpoints": ["127.0.0.1:9002"], "proxy_protocol": "v1" }],
            "routes": [{
                "name": "r", "listeners": ["web"], "escaped_slash": "keep",
                "match": {
                    "host": ["a.example", "*.b.example"], "path": "/a/*", "method": ["GET", "POST"],
                    "headers": { "X-A": true, "X-B": "1" }, "query": { "q": false },
                    "proxy": { "authority": "c.example", "aws_vpce_id": true, "tlv_e1": false },
                },
                "filters": [{ "use": "rate_limit", "rate": "1/s" }],
                "to": [{ "upstream": "api", "weight": 3 }, { "upstream": "api" }],
            }],
        })
        .to_string(),
    )
    .expect("a good config");
    assert_eq!(config.workers, Workers::Count(3));
    assert_eq!(config.hosts(), ["b.example"]);
    assert_eq!(config.drain_timeout, Duration::secs(5));
    let (listener, upstream, route) = (
        &config.listeners[0],
        &config.upstreams[0],
        &config.routes[0],
    );
    assert_eq!(
        (listener.limits.connections.get(), listener.timeouts.stall),
        (7, Duration::secs(3))
    );
    assert_eq!(
        (upstream.balance, upstream.endpoints[2].weight.get()),
        (Balance::Maglev, 5)
    );
    assert_eq!(upstream.hash_key, Some(HashKey::Header("x-user".into())));
    assert_eq!(
        (
            route.to[0].weight,
            route.to[1].weight,
            route.keep_escaped_slash
        ),
        (3, 1, true)
    );
    assert_eq!(
        (
            route.filters[0].name.as_str(),
            route.filters[0].object.len()
        ),
        ("rate_limit", 1)
    );
    let text = serde_json::to_string(&config).expect("JSON");
    let again = parse(&text).expect("what was written is read");
    assert_eq!(serde_json::to_string(&again).expect("JSON"), text);
}

#[test]
fn defaults_are_filled_in() {
    let config = parse(&with(json!({})).to_string()).expect("a good config");
    assert_eq!(
        config.admin,
        Admin::On(AdminListener {
            bind: Bind::parse("127.0.0.1:9901").expect("good"),
            allow_hosts: vec![]
        })
    );
    assert_eq!(config.drain_timeout, Duration::secs(30));
    let (listener, upstream) = (&config.listeners[0], &config.upstreams[0]);
    assert_eq!(
        (
            listener.limits.head,
            listener.limits.uri,
            listener.limits.fields.get()
        ),
        (Size::kib(32), Size::kib(8), 100)
    );
    assert_eq!(
        (upstream.timeouts.connect, upstream.timeouts.response),
        (Duration::secs(5), Duration::secs(15))
    );
    assert_eq!(
        (upstream.rest, upstream.balance),
        (Duration::secs(1), Balance::RoundRobin)
    );
    for off in [json!("off"), json!(false)] {
        let config = parse(&with(json!({ "admin": off })).to_string()).expect("a good config");
        assert_eq!(config.admin, Admin::Off);
    }
}

#[test]
fn a_config_with_ten_faults_names_all_ten() {
    let config = json!({
        "workers": 0,
        "tls": {},
        "listeners": [
            { "name": "web", "bind": "localhost:8080", "timeouts": { "head": "10" } },
            { "name": "web", "bind": "0.0.0.0:8080", "helth": true },
        ],
        "upstreams": [{ "name": "api", "endpoints": ["127.0.0.1:9001", "http://x/"], "balance": "fastest" }],
        "routes": [
            { "name": "a", "match": { "path": "api" }, "filters": [{ "use": "rate_limit", "rate": "0/s" }], "to": "api" },
            { "name": "b", "match": { "path": "/b" }, "filters": [{ "use": "ratelimit" }], "to": "apy" },
        ],
    });
    let found = faults(&config);
    let places: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(
        places,
        [
            "listeners[0].bind",
            "listeners[0].timeouts.head",
            "listeners[1].helth",
            "listeners[1].name",
            "routes[0].filters[0].rate",
            "routes[0].match.path",
            "routes[1].filters[0].use",
            "routes[1].to",
            "tls",
            "upstreams[0].balance",
            "upstreams[0].endpoints[1]",
            "workers",
        ],
        "{found:#?}"
    );
}

#[test]
fn the_words_are_those_that_the_design_promises() {
    let config = route(json!({ "filters": [
        { "use": "request_id" },
        { "use": "rate_limit", "rate": "0/s" },
        { "use": "ratelimit" },
    ] }));
    let mut lines: Vec<String> = parse(&config.to_string())
        .expect_err("faults")
        .iter()
        .map(Fault::to_string)
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            "routes[0].filters[1].rate   \"0/s\" is below the least rate, 1/h   (remove the filter to lift the limit)",
            "routes[0].filters[2].use   no filter is called \"ratelimit\"   (did you mean \"rate_limit\"?)",
        ]
    );
}

#[test]
fn each_fault_is_named_where_it_is() {
    let long = "x".repeat(65);
    for (config, want) in [
        (
            with(json!({ "listeners": [] })),
            vec![("listeners", "there is no listener")],
        ),
        (
            with(json!({ "listeners": {} })),
            vec![("listeners", "an object is not a list")],
        ),
        (json!({}), vec![("listeners", "listeners is missing")]),
        (
            with(json!({ "store": 6379 })),
            vec![(
                "store",
                "6379 is not memory or { redis: redis://127.0.0.1:6379 }",
            )],
        ),
        (
            with(json!({ "store": "redis" })),
            vec![("store", "a text other than memory is no store")],
        ),
        (
            with(json!({ "appz": [], "drain_timeout": 30 })),
            vec![
                ("appz", "no key is called \"appz\" here"),
                ("drain_timeout", "30 is not a duration such as 30s"),
            ],
        ),
        (
            with(json!({ "admin": { "bind": "0.0.0.0:8080" } })),
            vec![(
                "admin.bind",
                "0.0.0.0:8080 is already the address of listeners[0]",
            )],
        ),
        (
            with(json!({ "admin": { "bnd": "1" } })),
            vec![("admin.bnd", "no key is called \"bnd\" here")],
        ),
        (
            with(
                json!({ "listeners": [{ "name": "a", "bind": "1.1.1.1:1" }, { "name": "b", "bind": "1.1.1.1:1" }] }),
            ),
            vec![(
                "listeners[1].bind",
                "1.1.1.1:1 is already the address of listeners[0]",
            )],
        ),
        (
            with(
                json!({ "listeners": [{ "name": "a", "bind": "1.1.1.1:1", "limits": { "head": "512B", "uri": "2KiB" } }] }),
            ),
            vec![
                (
                    "listeners[0].limits.head",
                    "\"512B\" is below the least, 1KiB",
                ),
                (
                    "listeners[0].limits.uri",
                    "2KiB is more than the whole head, 512B",
                ),
            ],
        ),
        (
            with(
                json!({ "listeners": [{ "name": "a", "bind": "1.1.1.1:1", "proxy_protocol": { "trust": [] } }] }),
            ),
            vec![("listeners[0].proxy_protocol.trust", "no peer is trusted")],
        ),
        (
            with(json!({ "upstreams": [{ "name": "api", "endpoints": [] }] })),
            vec![("upstreams[0].endpoints", "there is no endpoint")],
        ),
        (
            with(json!({ "upstreams": [{ "name": "api" }] })),
            vec![("upstreams[0].endpoints", "endpoints is missing")],
        ),
        (
            with(
                json!({ "upstreams": [{ "name": "api", "endpoints": ["a:1"], "balance": "maglev" }] }),
            ),
            vec![(
                "upstreams[0].hash_key",
                "balance: maglev needs a key to hash",
            )],
        ),
        (
            with(
                json!({ "upstreams": [{ "name": "api", "endpoints": ["a:1"], "hash_key": "path" }] }),
            ),
            vec![("upstreams[0].hash_key", "only balance: maglev hashes a key")],
        ),
        (
            with(json!({ "upstreams": [{ "name": "api", "endpoints": ["a:1", "A:1"] }] })),
            vec![("upstreams[0].endpoints", "a:1 is there twice")],
        ),
        (
            with(
                json!({ "upstreams": [{ "name": "api", "endpoints": [{ "address": "a:1", "weight": 0 }, {}] }] }),
            ),
            vec![
                (
                    "upstreams[0].endpoints[0].weight",
                    "0 is below the least, 1",
                ),
                ("upstreams[0].endpoints[1].address", "address is missing"),
            ],
        ),
        (
            route(json!({ "to": null })),
            vec![("routes[0].to", "the route leads nowhere")],
        ),
        (
            route(json!({ "to": null, "filters": [{ "use": "respond" }] })),
            vec![],
        ),
        (
            route(json!({ "to": [] })),
            vec![("routes[0].to", "there is no upstream in the list")],
        ),
        (
            route(json!({ "to": [{ "upstream": "api", "weight": 0 }] })),
            vec![("routes[0].to", "every weight is 0")],
        ),
        (
            route(json!({ "to": [{ "upstream": "api" }, { "upstream": "ap" }] })),
            vec![("routes[0].to[1].upstream", "no upstream is called \"ap\"")],
        ),
        (
            route(json!({ "to": { "app": "x" } })),
            vec![("routes[0].to.app", "no app is called \"x\"")],
        ),
        (
            route(json!({ "to": [{ "app": "x", "upstream": "api" }] })),
            vec![(
                "routes[0].to",
                "a destination is either an upstream or an app",
            )],
        ),
        (
            route(json!({ "to": [{ "weight": 1 }] })),
            vec![(
                "routes[0].to",
                "a destination is either an upstream or an app",
            )],
        ),
        (
            with(json!({ "apps": [
                { "name": "a", "module": "a.ts", "memory": "1MiB", "stuck_timeout": "1ms" },
                { "name": "a", "module": "b.ts" }
            ] })),
            vec![
                ("apps[0].memory", "\"1MiB\" is below the least, 16MiB"),
                ("apps[0].stuck_timeout", "1ms is not 100ms to 1h"),
                ("apps[1].name", "\"a\" is already the name of apps[0]"),
            ],
        ),
        (
            with(
                json!({ "include": ["a.yaml"], "history": { "revisions": 1001, "size": "1KiB" } }),
            ),
            vec![
                ("history.revisions", "1001 is above the most, 1000"),
                ("history.size", "\"1KiB\" is below the least, 1MiB"),
                (
                    "include",
                    "only a config that is read from a file can include others",
                ),
            ],
        ),
        (
            route(json!({ "listeners": ["web", "wbe"] })),
            vec![("routes[0].listeners[1]", "no listener is called \"wbe\"")],
        ),
        (
            route(json!({ "name": long.clone() })),
            vec![("routes[0].name", "\"…\" is not a name")],
        ),
        (
            route(
                json!({ "match": { "method": ["GET", "get"], "headers": { "a b": "1", "x": 1 } } }),
            ),
            vec![
                (
                    "routes[0].match.headers.x",
                    "1 is not a value in quotes, true (there is one) or false (there is none)",
                ),
                (
                    "routes[0].match.headers[\"a b\"]",
                    "\"a b\" is not the name of a field",
                ),
                ("routes[0].match.method[1]", "no method is called \"get\""),
            ],
        ),
        (
            route(json!({ "filters": [{ "rate": "1/s" }, 5, { "use": 5 }] })),
            vec![
                ("routes[0].filters[0].use", "use is missing"),
                ("routes[0].filters[1]", "5 is not an object"),
                (
                    "routes[0].filters[2]",
                    "5 is not a filter's name after `use`",
                ),
            ],
        ),
        (
            with(json!({ "routes": [
                { "name": "a", "match": { "host": ["x", "y"], "path": "/{a}" }, "to": "api" },
                { "name": "b", "match": { "host": ["Y", "X"], "path": ["/{b}"] }, "to": "api" },
            ] })),
            vec![(
                "routes[1].match",
                "the same requests are taken by routes[0]",
            )],
        ),
    ] {
        let want: Vec<(String, String)> = want
            .into_iter()
            .map(|(path, why)| (path.to_owned(), why.replace('…', &long)))
            .collect();
        match parse(&config.to_string()) {
            Ok(_) => assert_eq!(want, vec![], "{config}"),
            Err(_) => assert_eq!(faults(&config), want, "{config}"),
        }
    }
}

#[test]
fn what_is_no_config_at_all_is_one_fault() {
    for (text, why) in [
        (
            "",
            "this is not JSON: EOF while parsing a value at line 1 column 0",
        ),
        ("[]", "a list is not a config"),
        ("null", "nothing is not a config"),
    ] {
        let faults = parse(text).expect_err(text);
        assert_eq!((faults.len(), faults[0].why.as_str()), (1, why));
    }
}

#[test]
fn faults_are_bounded() {
    let routes: Vec<Value> = (0..5000)
        .map(|i| json!({ "name": format!("r{i}"), "x": 1 }))
        .collect();
    let faults = parse(&with(json!({ "routes": routes })).to_string()).expect_err("faults");
    assert_eq!(faults.len(), fault::MAX_FAULTS + 1);
    assert!(
        faults[fault::MAX_FAULTS].why.ends_with("more faults"),
        "{}",
        faults[fault::MAX_FAULTS]
    );
}

#[test]
fn routes_for_different_listeners_are_no_twins() {
    let listeners =
        json!([{ "name": "a", "bind": "1.1.1.1:1" }, { "name": "b", "bind": "1.1.1.1:2" }]);
    let routes = json!([
        { "name": "x", "listeners": ["a"], "to": "api" },
        { "name": "y", "listeners": ["b"], "to": "api" },
    ]);
    assert!(parse(&with(json!({ "listeners": listeners, "routes": routes })).to_string()).is_ok());
}
