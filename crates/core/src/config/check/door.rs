//! `door: app`: what it needs.

use std::collections::HashMap;

use super::{child, quote, suggest, Fault, Item, Listener};
use crate::config::listener::Door;

/// Adds to `faults` what is wrong with the door of a listener.
pub(super) fn check(item: &Item<'_, Listener>, apps: &HashMap<&str, u32>, faults: &mut Vec<Fault>) {
    let Some(listener) = &item.value else { return };
    if listener.door == Door::Edge {
        if listener.app.is_some() {
            faults.push(Fault::on_key(
                child(&item.at, "app"),
                "only door: app has an app",
                "write door: app, or a route that leads to: { app: NAME }",
            ));
        }
        return;
    }
    match &listener.app {
        None => faults.push(Fault::new(
            child(&item.at, "app"),
            "door: app needs an app",
            "add app: NAME",
        )),
        Some(name) if !apps.contains_key(name.as_str()) => faults.push(Fault::new(
            child(&item.at, "app"),
            format!("no app is called {}", quote(name)),
            suggest(name, apps.keys().copied()),
        )),
        Some(_) => {}
    }
}
