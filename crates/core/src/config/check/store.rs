//! `store`: what its parts need of each other, and what needs a store.

use super::{most, quote, App, Config, Fault, Item, Route};
use crate::config::app::TopicScope;
use crate::config::route::RawFilter;
use crate::config::store::{RedisStore, LONGEST, MOST_NODES, MOST_PREFIX};

/// Adds to `faults` what is wrong with the store, and what goes over several nodes without one.
pub(super) fn check(
    config: Option<&Config>,
    apps: &[Item<'_, App>],
    routes: &[Item<'_, Route>],
    faults: &mut Vec<Fault>,
) {
    let Some(config) = config else { return };
    if let Some(redis) = config.store.redis() {
        return one(redis, faults);
    }
    for item in apps {
        if item.value.as_ref().map(|app| app.topics) == Some(TopicScope::Global) {
            faults.push(Fault::new(
                format!("{}.topics", item.at),
                "global needs a store that several gateways share, and store is memory",
                "write store: { redis: redis://127.0.0.1:6379 } at the top, or topics: process",
            ));
        }
    }
    for item in routes {
        let filters = item.value.iter().flat_map(|route| &route.filters);
        for (k, filter) in filters.enumerate() {
            let at = format!("{}.filters[{k}]", item.at);
            for at in global_scopes(filter, &at) {
                faults.push(Fault::new(
                    at,
                    "global counts in a store that several gateways share, and store is memory",
                    "write store: { redis: redis://127.0.0.1:6379 } at the top, or scope: process",
                ));
            }
        }
    }
}

/// Where a filter says that it counts over several nodes.
fn global_scopes(filter: &RawFilter, at: &str) -> Vec<String> {
    if !matches!(&*filter.name, "rate_limit" | "quota") {
        return Vec::new();
    }
    let is_global =
        |scope: Option<&serde_json::Value>| scope.and_then(|s| s.as_str()) == Some("global");
    let limits = filter.object.get("limits").and_then(|l| l.as_array());
    let limits = limits.into_iter().flatten().enumerate();
    let limits = limits.filter(|(_, limit)| is_global(limit.get("scope")));
    let limits = limits.map(|(i, _)| format!("{at}.limits[{i}].scope"));
    let whole = is_global(filter.object.get("scope")).then(|| format!("{at}.scope"));
    whole.into_iter().chain(limits).collect()
}

fn one(redis: &RedisStore, faults: &mut Vec<Fault>) {
    // What was wrong with it is said already.
    let bad = faults.iter().any(|f| f.path.starts_with("store.redis"));
    let mut fault = |at: &str, why: String, fix: &str| {
        faults.push(Fault::new(format!("store.{at}"), why, fix));
    };
    let urls = &*redis.redis;
    let is_cluster = redis.cluster || urls.len() > 1;
    match (&redis.sentinel, urls.len()) {
        (None, 0) if !bad => fault(
            "redis",
            "is required".to_owned(),
            "write such as redis://127.0.0.1:6379, or sentinel",
        ),
        (Some(_), 2..) => fault(
            "redis",
            "with sentinel, which says where the primary is, one URL says only its user and database".to_owned(),
            "write one URL or none, or remove sentinel",
        ),
        _ => {}
    }
    if redis.sentinel.is_some() && redis.cluster {
        let why = "a cluster has no sentinels".to_owned();
        fault("cluster", why, "remove cluster, or sentinel");
    }
    if redis.sentinel.is_none() && is_cluster {
        if urls.iter().any(|url| url.is_unix()) {
            let why = "nodes of a cluster are not at Unix sockets".to_owned();
            fault("redis", why, "write redis://HOST:PORT");
        }
        if urls.iter().any(|url| url.database() > 0) {
            let why = "a cluster has only database 0".to_owned();
            fault("redis", why, "remove the number behind the last /");
        }
    }
    if redis.timeout.nanos() < 1_000_000 || redis.timeout > LONGEST {
        let why = format!("\"{}\" is not 1ms to {LONGEST}", redis.timeout);
        fault("timeout", why, "write such as 20ms");
    }
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-:".contains(&b);
    let prefix = &redis.prefix;
    if prefix.is_empty() || prefix.len() > MOST_PREFIX || !prefix.bytes().all(plain) {
        let why = format!(
            "{} is not 1 to {MOST_PREFIX} letters, digits, '.', '_', '-' and ':'",
            quote(prefix)
        );
        fault("prefix", why, "write such as ironsluice");
    }
    if let Some(tls) = &redis.tls {
        if tls.client_cert.is_some() != tls.client_key.is_some() {
            let (at, other) = match tls.client_cert {
                Some(_) => ("tls.client_key", "client_cert"),
                None => ("tls.client_cert", "client_key"),
            };
            let why = format!("is required with {other}");
            fault(at, why, "write both, or neither");
        }
    }
    if let Some(sentinel) = &redis.sentinel {
        if sentinel.name.is_empty() {
            let why = "an empty name names no primary".to_owned();
            fault("sentinel.name", why, "write the name of `sentinel monitor`");
        }
        if sentinel.nodes.is_empty() {
            let why = "there is no sentinel".to_owned();
            fault("sentinel.nodes", why, "write such as [redis-1:26379]");
        }
        for (i, node) in sentinel.nodes.iter().enumerate() {
            let at = format!("sentinel.nodes[{i}]");
            if crate::config::RedisUrl::parse(&format!("redis://{node}")).is_err()
                || node.contains(['@', '/'])
            {
                let why = format!("{} is not HOST or HOST:PORT", quote(node));
                fault(&at, why, "write such as redis-1:26379");
            }
        }
    }
    most("store.redis", urls.len(), MOST_NODES, faults);
    let sentinels = redis.sentinel.as_ref().map_or(0, |s| s.nodes.len());
    most("store.sentinel.nodes", sentinels, MOST_NODES, faults);
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use serde_json::json;

    #[test]
    fn a_store_says_where_it_is_and_a_global_limit_needs_one() {
        let cases: [(_, &[&str]); 24] = [
            (json!("memory"), &[]),
            (json!("redis://h"), &["store"]),
            (json!({}), &["store.redis"]),
            (json!({ "redis": "redis://127.0.0.1:6379" }), &[]),
            (json!({ "redis": "rediss://u:p%40@[::1]:6380/3" }), &[]),
            (json!({ "redis": "unix:/run/redis.sock" }), &[]),
            (json!({ "redis": "unix:redis.sock" }), &["store.redis"]),
            (json!({ "redis": "http://h" }), &["store.redis"]),
            (json!({ "redis": "redis://" }), &["store.redis"]),
            (json!({ "redis": "redis://h:0" }), &["store.redis"]),
            (json!({ "redis": "redis://h/x" }), &["store.redis"]),
            (json!({ "redis": ["redis://a", "redis://b"] }), &[]),
            (
                json!({ "redis": ["redis://a", "redis://b/1"] }),
                &["store.redis"],
            ),
            (
                json!({ "redis": "unix:/a", "cluster": true }),
                &["store.redis"],
            ),
            (
                json!({ "sentinel": { "name": "m", "nodes": ["a", "b:1"] } }),
                &[],
            ),
            (
                json!({ "sentinel": { "name": "", "nodes": [] } }),
                &["store.sentinel.name", "store.sentinel.nodes"],
            ),
            (
                json!({ "sentinel": { "name": "m", "nodes": ["u@a"] } }),
                &["store.sentinel.nodes[0]"],
            ),
            (
                json!({ "cluster": true, "sentinel": { "name": "m", "nodes": ["a"] } }),
                &["store.cluster"],
            ),
            (
                json!({ "redis": ["redis://a", "redis://b"], "sentinel": { "name": "m", "nodes": ["a"] } }),
                &["store.redis"],
            ),
            (
                json!({ "redis": "redis://h", "timeout": "3s" }),
                &["store.timeout"],
            ),
            (
                json!({ "redis": "redis://h", "timeout": "0ms" }),
                &["store.timeout"],
            ),
            (
                json!({ "redis": "redis://h", "prefix": "a{b}" }),
                &["store.prefix"],
            ),
            (
                json!({ "redis": "redis://h", "tls": { "client_cert": "c.pem" } }),
                &["store.tls.client_key"],
            ),
            (json!({ "redis": "redis://h", "port": 1 }), &["store.port"]),
        ];
        for (store, want) in cases {
            let config = json!({
                "store": store,
                "listeners": [{ "name": "web", "bind": "127.0.0.1:1" }],
            });
            assert_eq!(places(&config), want, "{config}");
        }
        let key = json!({ "prefix": "a", "hash": "0".repeat(64), "consumer": "ali" });
        let keys = json!({ "use": "api_key", "keys": [key] });
        for limit in [
            json!({ "use": "rate_limit", "rate": "1/s", "scope": "global" }),
            json!({ "use": "quota", "per": "day", "limit": 1, "scope": "global" }),
        ] {
            let mut config = json!({
                "listeners": [{ "name": "web", "bind": "127.0.0.1:1" }],
                "upstreams": [{ "name": "up", "endpoints": ["127.0.0.1:2"] }],
                "routes": [{ "name": "r", "filters": [keys, limit], "to": "up" }],
            });
            assert_eq!(places(&config), ["routes[0].filters[1].scope"]);
            config["store"] = json!({ "redis": "redis://h" });
            assert!(places(&config).is_empty());
        }
        let mut config = json!({
            "listeners": [{ "name": "web", "bind": "127.0.0.1:1" }],
            "apps": [{ "name": "a", "module": "a.ts", "topics": "global" }],
            "routes": [{ "name": "r", "to": { "app": "a" } }],
        });
        assert_eq!(places(&config), ["apps[0].topics"]);
        config["store"] = json!({ "redis": "redis://h" });
        assert!(places(&config).is_empty());
        let limits = json!([{ "rate": "1/s" }, { "rate": "1/m", "scope": "global" }]);
        let mut config = json!({
            "listeners": [{ "name": "web", "bind": "127.0.0.1:1" }],
            "upstreams": [{ "name": "up", "endpoints": ["127.0.0.1:2"] }],
            "routes": [{ "name": "r", "filters": [{ "use": "rate_limit", "limits": limits }], "to": "up" }],
        });
        assert_eq!(places(&config), ["routes[0].filters[0].limits[1].scope"]);
        config["store"] = json!({ "redis": "redis://h" });
        assert!(places(&config).is_empty());
    }

    #[test]
    fn a_fault_of_a_url_repeats_no_password() {
        for store in [
            json!("redis://:hunter2@h"),
            json!({ "redis": "redis://:hunter2@h:x" }),
        ] {
            let config = json!({
                "store": store,
                "listeners": [{ "name": "web", "bind": "127.0.0.1:1" }],
            });
            let faults = parse(&config.to_string()).err().unwrap_or_default();
            assert_eq!(faults.len(), 1);
            assert!(!format!("{faults:?}").contains("hunter2"), "{faults:?}");
        }
    }

    fn places(config: &serde_json::Value) -> Vec<String> {
        let faults = parse(&config.to_string()).err().unwrap_or_default();
        faults.into_iter().map(|f| f.path).collect()
    }
}
