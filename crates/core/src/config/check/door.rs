//! `door: app`: what it needs, and what uWebSockets.js leaves no say in.

use std::collections::HashMap;

use super::{child, quote, suggest, Fault, Item, Listener, Size};
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
    for (key, path) in OURS {
        if item.raw.pointer(path).is_some() {
            faults.push(Fault::on_key(
                format!("{}.{key}", item.at),
                format!("{key} is the edge's: behind door: app it has no effect"),
                "remove it, or write door: edge",
            ));
        }
    }
    let limits = &listener.limits;
    if limits.head > HEAD {
        faults.push(Fault::new(
            child(&item.at, "limits.head"),
            format!("{} is more than door: app takes, {HEAD}", limits.head),
            "make it smaller, or write door: edge",
        ));
    }
    if limits.fields.get() > FIELDS {
        faults.push(Fault::new(
            child(&item.at, "limits.fields"),
            format!(
                "{} is more than door: app takes, {FIELDS}",
                limits.fields.get()
            ),
            "make it smaller, or write door: edge",
        ));
    }
}

/// Keys that only the edge can keep: uWebSockets.js has timeouts of its own, reads PROXY headers from anybody, does
/// not count requests, and its app here speaks neither TLS nor HTTP/2.
const OURS: [(&str, &str); 8] = [
    ("tls", "/tls"),
    ("proxy_protocol", "/proxy_protocol"),
    ("backlog", "/backlog"),
    ("http2", "/http2"),
    ("timeouts.head", "/timeouts/head"),
    ("timeouts.idle", "/timeouts/idle"),
    ("timeouts.tunnel", "/timeouts/tunnel"),
    (
        "limits.requests_per_connection",
        "/limits/requests_per_connection",
    ),
];
/// As `ts/http/load.ts` sets it.
const HEAD: Size = Size::kib(32);
/// uWebSockets.js is built for so many.
const FIELDS: u64 = 100;
