//! The filter websocket among others: once on a route, and where it can count.

use super::{Fault, Item, Listener, Route};
use crate::config::listener::Door;

/// Adds a fault for a second one, and for a quota where the edge does not hold the WebSockets.
pub(super) fn route(
    item: &Item<'_, Route>,
    listeners: &[Item<'_, Listener>],
    faults: &mut Vec<Fault>,
) {
    let Some(route) = &item.value else { return };
    let all = route.filters.iter().enumerate();
    let mut mine = all.filter(|(_, f)| f.name == "websocket");
    let Some((place, filter)) = mine.next() else {
        return;
    };
    if let Some((second, _)) = mine.next() {
        faults.push(Fault::new(
            format!("{}.filters[{second}]", item.at),
            "the route has a filter websocket already",
            "write both into one",
        ));
    }
    let here = |l: &Listener| {
        let named = |n: &super::super::text::Name| n.as_str() == l.name.as_str();
        l.door == Door::App && (route.listeners.is_empty() || route.listeners.iter().any(named))
    };
    let door = listeners
        .iter()
        .find(|l| l.value.as_ref().is_some_and(here));
    if let (Some(door), Some(_)) = (door, filter.object.get("connections_per_client")) {
        let at = format!("{}.filters[{place}].connections_per_client", item.at);
        let why = format!(
            "{} is a door: app, whose WebSockets the core does not see end",
            door.at
        );
        let fix = "name the other listeners in the route's listeners, or remove it";
        faults.push(Fault::on_key(at, why, fix));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use serde_json::json;

    #[test]
    fn faults() {
        let quota = json!({ "use": "websocket", "connections_per_client": 3 });
        let origins = json!({ "use": "websocket", "origins": ["same"] });
        for (filters, listeners, want) in [
            (json!([quota]), json!(["web"]), None),
            (json!([origins]), json!([]), None),
            (
                json!([quota]),
                json!([]),
                Some("routes[0].filters[0].connections_per_client"),
            ),
            (
                json!([origins, origins]),
                json!([]),
                Some("routes[0].filters[1]"),
            ),
        ] {
            let config = json!({
                "apps": [{ "name": "a", "module": "./a.ts" }],
                "listeners": [
                    { "name": "web", "bind": "127.0.0.1:1" },
                    { "name": "door", "bind": "127.0.0.1:2", "door": "app", "app": "a" },
                ],
                "routes": [{ "name": "r", "listeners": listeners, "filters": filters, "to": { "app": "a" } }],
            });
            let faults = parse(&config.to_string()).err().unwrap_or_default();
            let at: Vec<_> = faults.iter().map(|f| &*f.path).collect();
            assert_eq!(at, want.into_iter().collect::<Vec<_>>(), "{config}");
        }
    }
}
