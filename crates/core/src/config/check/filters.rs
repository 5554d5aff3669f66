//! The filters of a route: each by itself, and what they need of each other.

use serde_json::Value;

use super::{Item, Route, MAX_FILTERS};
use crate::config::fault::{quote, suggest, Fault};
use crate::filter::Filter;
use crate::filters::{self, Build};

/// Builds every filter, only to hear its faults. True if the route needs no `to`: a filter always
/// replies, forwards by itself, or could not be built.
pub(super) fn route(item: &Item<'_, Route>, route: &Route, faults: &mut Vec<Fault>) -> bool {
    let Some(Value::Array(raws)) = item.raw.get("filters") else {
        return false;
    };
    // Places as they were written: what was at fault as it was read is not in `route.filters`.
    let read = raws
        .iter()
        .enumerate()
        .filter(|(_, raw)| raw.get("use").is_some_and(Value::is_string));
    let mut replies = read.clone().count() < raws.len();
    let last = route.filters.len().saturating_sub(1);
    let mut prover: Option<usize> = None;
    let mut proved = Proved::default();
    for (ordinal, ((place, _), filter)) in read.zip(&route.filters).enumerate().take(MAX_FILTERS) {
        let at = format!("{}.filters[{place}]", item.at);
        if !filters::NAMES.contains(&filter.name.as_str()) {
            let why = format!("no filter is called {}", quote(&filter.name));
            faults.push(Fault::new(
                format!("{at}.use"),
                why,
                suggest(&filter.name, filters::NAMES.iter().copied()),
            ));
            replies = true;
            continue;
        }
        let mut build = Build {
            at: &at,
            route: &route.name,
            paths: &route.what.path,
            ordinal,
            shared: None,
            resolved: None,
            faults,
        };
        let Some(built) = filters::build(&filter.name, &filter.object, &mut build) else {
            replies = true;
            // What it would prove is not missing.
            prover = prover.or(PROVERS.contains(&&*filter.name).then_some(place));
            proved.unknown = true;
            continue;
        };
        let needs = built.needs();
        consumer(&at, &filter.name, &*built, prover, faults);
        proved.check(&at, &*built, faults);
        prover = prover.or(needs.proves_consumer.then_some(place));
        replies |= needs.replies || needs.forwards;
        if needs.forwards && ordinal < last {
            let why = format!(
                "{} forwards by itself: nothing behind it is reached",
                filter.name
            );
            faults.push(Fault::new(
                format!("{at}.use"),
                why,
                "make it the last filter",
            ));
        }
    }
    replies
}

/// Reports what reads a consumer that nothing before it proves, and a second filter that proves one: behind it nobody could say
/// whose proof counts.
fn consumer(
    at: &str,
    name: &str,
    built: &dyn Filter,
    prover: Option<usize>,
    faults: &mut Vec<Fault>,
) {
    if prover.is_none() {
        for key in built.consumer_keys() {
            let mut fix = format!("put {} before it", PROVERS.join(" or "));
            if key.ends_with("key") {
                fix.push_str(", or use another key");
            }
            let why = "no filter before it in the route proves a consumer";
            faults.push(Fault::new(format!("{at}.{key}"), why, fix));
        }
    }
    if let (true, Some(first)) = (built.needs().proves_consumer, prover) {
        faults.push(Fault::new(
            format!("{at}.use"),
            format!("{name} proves a consumer, and so does filters[{first}] of this route"),
            "keep one of them; a filter api_key may have the keys of both",
        ));
    }
}

/// Which fields of a request the filters so far vouch for.
#[derive(Default)]
struct Proved {
    fields: Vec<Box<str>>,
    /// A filter could not be built: what it would vouch for is not missing.
    unknown: bool,
}

impl Proved {
    /// Reports a proof by what a client may have written.
    fn check(&mut self, at: &str, built: &dyn Filter, faults: &mut Vec<Fault>) {
        if let Some(field) = built.believes() {
            if !self.unknown && !self.fields.iter().any(|name| **name == *field) {
                faults.push(Fault::new(
                    format!("{at}.from"),
                    format!("{field} is what the client says: no filter before it vouches for it"),
                    format!("put a plugin before it that has claims: [{field}]"),
                ));
            }
        }
        self.fields.extend_from_slice(built.vouches());
    }
}

/// The filters that prove a consumer.
const PROVERS: [&str; 3] = ["api_key", "basic_auth", "consumer"];

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use serde_json::json;

    #[test]
    fn a_consumer_is_proved_before_it_is_read_and_once() {
        let key = json!({ "prefix": "a", "hash": "0".repeat(64), "consumer": "ali" });
        let keys = json!({ "use": "api_key", "keys": [key] });
        let bad = json!({ "use": "api_key", "keys": [] });
        let limit =
            |key: serde_json::Value| json!({ "use": "rate_limit", "rate": "1/s", "key": key });
        let by = limit(json!("consumer"));
        let by_two = limit(json!(["route", "consumer"]));
        let limits = json!({ "use": "rate_limit", "limits": [
            { "rate": "1/s" }, { "rate": "1/m", "key": ["route", "consumer"] },
        ] });
        let plugin = |claims: serde_json::Value| json!({ "use": "plugin", "module": "./p.ts", "claims": claims });
        let from = |from: &str| json!({ "use": "consumer", "from": from });
        let bad_plugin = json!({ "use": "plugin", "module": "./p.ts", "claims": ["x user"] });
        let cases: [(_, &[&str]); 18] = [
            (json!([limits]), &["routes[0].filters[0].limits[1].key"]),
            (json!([keys, limits]), &[]),
            (json!([from("san:uri"), limits, by]), &[]),
            (
                json!([from("header:x-user"), by]),
                &["routes[0].filters[0].from"],
            ),
            (
                json!([plugin(json!(["X-User"])), from("header:x-user"), by]),
                &[],
            ),
            (
                json!([plugin(json!(["x-name"])), from("header:x-user")]),
                &["routes[0].filters[1].from"],
            ),
            (
                json!([from("header:x-user"), plugin(json!(["x-user"]))]),
                &["routes[0].filters[0].from"],
            ),
            (
                json!([bad_plugin, from("header:x-user")]),
                &["routes[0].filters[0].claims[0]"],
            ),
            (
                json!([keys, from("san:uri")]),
                &["routes[0].filters[1].use"],
            ),
            (json!([keys, by]), &[]),
            (json!([keys, limit(json!("route")), by_two]), &[]),
            (json!([limit(json!("client_ip")), keys]), &[]),
            // What a client says of itself.
            (
                json!([limit(json!("header:Ironsluice-Consumer"))]),
                &["routes[0].filters[0].key"],
            ),
            (json!([by]), &["routes[0].filters[0].key"]),
            (json!([by_two]), &["routes[0].filters[0].key"]),
            (json!([by, keys]), &["routes[0].filters[0].key"]),
            (json!([bad, by]), &["routes[0].filters[0].keys"]),
            (json!([keys, keys]), &["routes[0].filters[1].use"]),
        ];
        for (filters, want) in cases {
            let config = json!({
                "listeners": [{ "name": "web", "bind": "127.0.0.1:1" }],
                "upstreams": [{ "name": "up", "endpoints": ["127.0.0.1:2"] }],
                "routes": [{ "name": "r", "filters": filters, "to": "up" }],
            });
            let faults = parse(&config.to_string()).err().unwrap_or_default();
            let at: Vec<_> = faults.iter().map(|f| &*f.path).collect();
            assert_eq!(at, want, "{config}");
        }
    }
}
