//! Quotas of one name are one quota: they agree, and stand once on a route.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Item, Route};
use crate::config::fault::{quote, Fault};

/// Reports those that do not.
pub(super) fn check(routes: &[Item<'_, Route>], faults: &mut Vec<Fault>) {
    let mut known: HashMap<String, (usize, String, Map<String, Value>)> = HashMap::new();
    for (i, item) in routes.iter().enumerate() {
        let filters = item.raw.get("filters").and_then(Value::as_array);
        let all = filters.into_iter().flatten().enumerate();
        for (place, object) in all.filter_map(|(at, f)| Some((at, f.as_object()?))) {
            if object.get("use").and_then(Value::as_str) != Some("quota") {
                continue;
            }
            let at = format!("{}.filters[{place}]", item.at);
            let text = |key: &str| object.get(key).and_then(Value::as_str);
            let Some(name) = text("name")
                .map(str::to_owned)
                .or_else(|| Some(format!("{}-{}", item.name()?, text("per")?)))
            else {
                continue; // a fault of its own
            };
            let said = said(object);
            let Some((first, first_at, first_said)) = known.get(&name) else {
                known.insert(name, (i, at, said));
                continue;
            };
            if *first == i {
                let why = format!(
                    "{first_at} is the quota {} of this route already",
                    quote(&name)
                );
                let fix = "remove one of them, or give it a name";
                faults.push(Fault::new(format!("{at}.name"), why, fix));
            } else if let Some(key) = KEYS.iter().find(|k| said.get(**k) != first_said.get(**k)) {
                let why = format!("the quota {} says otherwise at {first_at}", quote(&name));
                let fix = format!("write the same {key} in both, or give one another name");
                faults.push(Fault::new(format!("{at}.{key}"), why, fix));
            }
        }
    }
}

/// What a quota says, with what it says by saying nothing.
fn said(object: &Map<String, Value>) -> Map<String, Value> {
    let mut all = object.clone();
    for (key, default) in [
        ("unit", "requests"),
        ("time_zone", "UTC"),
        ("scope", "process"),
        ("on_fail", "fair_share"),
    ] {
        all.entry(key).or_insert_with(|| default.into());
    }
    for key in ["plans", "plan_of"] {
        all.entry(key).or_insert_with(|| Value::Object(Map::new()));
    }
    all
}

/// In what they agree.
const KEYS: [&str; 8] = [
    "per",
    "unit",
    "time_zone",
    "limit",
    "plans",
    "plan_of",
    "scope",
    "on_fail",
];

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use serde_json::{json, Value};

    #[test]
    fn quotas_of_one_name_agree() {
        let key = json!({ "prefix": "a", "hash": "0".repeat(64), "consumer": "ali" });
        let keys = json!({ "use": "api_key", "keys": [key] });
        let quota = |more: Value| {
            let mut all = json!({ "use": "quota", "per": "day", "limit": 1 });
            if let (Some(all), Value::Object(more)) = (all.as_object_mut(), more) {
                all.extend(more);
            }
            all
        };
        let q = |more: Value| {
            let mut named = json!({ "name": "q" });
            if let (Some(named), Value::Object(more)) = (named.as_object_mut(), more) {
                named.extend(more);
            }
            quota(named)
        };
        let cases: [(Value, Value, &[&str]); 10] = [
            (
                json!([keys, q(json!({}))]),
                json!([keys, q(json!({ "headers": false }))]),
                &[],
            ),
            (
                json!([keys, q(json!({}))]),
                json!([keys, q(json!({ "unit": "requests", "plans": {} }))]),
                &[],
            ),
            (
                json!([keys, quota(json!({}))]),
                json!([keys, quota(json!({ "limit": 2 }))]),
                &[],
            ),
            (
                json!([keys, q(json!({}))]),
                json!([keys, q(json!({ "limit": 2 }))]),
                &["routes[1].filters[1].limit"],
            ),
            (
                json!([keys, q(json!({}))]),
                json!([keys, q(json!({ "time_zone": "Asia/Tokyo" }))]),
                &["routes[1].filters[1].time_zone"],
            ),
            (
                json!([keys, q(json!({ "scope": "process" }))]),
                json!([keys, q(json!({ "scope": "global" }))]),
                &["routes[1].filters[1].scope"],
            ),
            (
                json!([keys, q(json!({ "scope": "global" }))]),
                json!([keys, q(json!({ "scope": "global", "on_fail": "open" }))]),
                &["routes[1].filters[1].on_fail"],
            ),
            (
                json!([keys, q(json!({})), q(json!({}))]),
                json!([]),
                &["routes[0].filters[2].name"],
            ),
            (
                json!([keys, quota(json!({})), quota(json!({}))]),
                json!([]),
                &["routes[0].filters[2].name"],
            ),
            (
                json!([q(json!({}))]),
                json!([]),
                &["routes[0].filters[0].use"],
            ),
        ];
        for (a, b, want) in cases {
            let config = json!({
                "store": { "redis": "redis://h" },
                "listeners": [{ "name": "web", "bind": "127.0.0.1:1" }],
                "upstreams": [{ "name": "up", "endpoints": ["127.0.0.1:2"] }],
                "routes": [
                    { "name": "a", "match": { "path": "/a" }, "filters": a, "to": "up" },
                    { "name": "b", "match": { "path": "/b" }, "filters": b, "to": "up" },
                ],
            });
            let faults = parse(&config.to_string()).err().unwrap_or_default();
            let at: Vec<_> = faults.iter().map(|f| &*f.path).collect();
            assert_eq!(at, want, "{config}");
        }
    }
}
