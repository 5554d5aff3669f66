//! The filter websocket among others: once on a route.

use super::{Fault, Item, Route};

/// Adds a fault for a second one.
pub(super) fn route(item: &Item<'_, Route>, faults: &mut Vec<Fault>) {
    let Some(route) = &item.value else { return };
    let all = route.filters.iter().enumerate();
    let mut mine = all.filter(|(_, f)| f.name == "websocket");
    if let Some((second, _)) = mine.nth(1) {
        faults.push(Fault::new(
            format!("{}.filters[{second}]", item.at),
            "the route has a filter websocket already",
            "write both into one",
        ));
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
        for (filters, want) in [
            (json!([quota]), None),
            (json!([origins]), None),
            (json!([origins, quota]), Some("routes[0].filters[1]")),
        ] {
            let config = json!({
                "apps": [{ "name": "a", "module": "./a.ts" }],
                "listeners": [
                    { "name": "web", "bind": "127.0.0.1:1" },
                    { "name": "door", "bind": "127.0.0.1:2", "door": "app", "app": "a" },
                ],
                "routes": [{ "name": "r", "filters": filters, "to": { "app": "a" } }],
            });
            let faults = parse(&config.to_string()).err().unwrap_or_default();
            let at: Vec<_> = faults.iter().map(|f| &*f.path).collect();
            assert_eq!(at, want.into_iter().collect::<Vec<_>>(), "{config}");
        }
    }
}
