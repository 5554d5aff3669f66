//! What no single value shows: names, references, bounds of lists, and how keys go together.
//!
//! Bounds: the constants at the end; each is a fault here and nowhere else.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use serde_json::Value;

use super::fault::{quote, suggest, Fault, MAX_FAULTS};
use super::route::{Route, Share};
use super::twins::twins;
use super::units::Size;
use super::upstream::{Balance, Upstream};
use super::walk::child;
use super::{Admin, App, Config, Duration, Listener};
use crate::route::pattern::Path;
use crate::route::MAX_LISTENERS;

mod acme;
mod door;
mod filters;
mod http2;
mod proxy_protocol;
mod quota;
mod store;
mod tls;
mod websocket;

/// The lists of a config as far as they could be read.
pub(super) struct Read<'a> {
    pub(super) listeners: Vec<Item<'a, Listener>>,
    pub(super) apps: Vec<Item<'a, App>>,
    pub(super) upstreams: Vec<Item<'a, Upstream>>,
    pub(super) routes: Vec<Item<'a, Route>>,
}

/// An item of a list.
pub(super) struct Item<'a, T> {
    /// `routes[3]`.
    pub(super) at: String,
    /// As it was written.
    pub(super) raw: &'a Value,
    /// As it was read, without what was at fault; none if too little was left.
    pub(super) value: Option<T>,
}

impl<T> Item<'_, T> {
    /// The name that was written, even if all else is wrong, so that references to it are no faults.
    fn name(&self) -> Option<&str> {
        self.raw.get("name")?.as_str()
    }
}

/// Adds to `faults` what is wrong between the parts of a config.
pub(super) fn check(config: Option<&Config>, read: &Read<'_>, faults: &mut Vec<Fault>) {
    if read.listeners.is_empty() && config.is_some() {
        faults.push(Fault::new(
            "listeners",
            "there is no listener",
            "add one such as { name: web, bind: 0.0.0.0:8080 }",
        ));
    }
    if let Some(config) = config {
        files(config, faults);
    }
    most("listeners", read.listeners.len(), MAX_LISTENERS, faults);
    most("apps", read.apps.len(), MAX_APPS, faults);
    most("upstreams", read.upstreams.len(), MAX_UPSTREAMS, faults);
    most("routes", read.routes.len(), MAX_ROUTES, faults);
    let listeners = names(&read.listeners, faults);
    let upstreams = names(&read.upstreams, faults);
    let apps = names(&read.apps, faults);
    names(&read.routes, faults);
    binds(config, &read.listeners, faults);
    for item in &read.listeners {
        listener(item, faults);
        http2::listener(item, faults);
    }
    for item in &read.upstreams {
        upstream(item, faults);
        tls::upstream(item, faults);
        proxy_protocol::upstream(item, faults);
        http2::upstream(item, faults);
    }
    for item in &read.apps {
        app(item, faults);
    }
    for item in &read.listeners {
        door::check(item, &apps, faults);
        tls::listener(item, faults);
    }
    acme::check(config, &read.listeners, faults);
    store::check(config, &read.apps, &read.routes, faults);
    let goals = Goals { upstreams, apps };
    for item in &read.routes {
        if faults.len() > MAX_FAULTS {
            return;
        }
        route(item, &listeners, &goals, faults);
        proxy_protocol::route(item, &read.listeners, faults);
        websocket::route(item, faults);
    }
    let regexes = |r: &Route| {
        r.what
            .path
            .iter()
            .filter(|p| matches!(p, Path::Regex(_)))
            .count()
    };
    let count = read
        .routes
        .iter()
        .filter_map(|item| item.value.as_ref())
        .map(regexes)
        .sum();
    most("routes", count, MAX_REGEXES, faults);
    quota::check(&read.routes, faults);
    twins(&read.routes, &listeners, faults);
}

/// What is about the files of a config, and not about what it says.
fn files(config: &Config, faults: &mut Vec<Fault>) {
    if !config.include.is_empty() {
        // Whoever reads files puts them together and takes the key away.
        faults.push(Fault::on_key(
            "include",
            "only a config that is read from a file can include others",
            "put the parts together in the program, or read the config from its file",
        ));
    }
    let (least, most) = (super::history::LEAST_SIZE, Size::bytes_of(1 << 40));
    within("history.size", config.history.size, least, most, faults);
}

/// Names by place; a name that is there already is a fault.
fn names<'a, T>(items: &'a [Item<'_, T>], faults: &mut Vec<Fault>) -> HashMap<&'a str, u32> {
    let mut names = HashMap::with_capacity(items.len());
    for (item, place) in items.iter().zip(0..) {
        let Some(name) = item.name() else { continue };
        match names.get(name) {
            None => {
                names.insert(name, place);
            }
            Some(first) => {
                let why = format!(
                    "{} is already the name of {}",
                    quote(name),
                    items[*first as usize].at
                );
                faults.push(Fault::new(
                    child(&item.at, "name"),
                    why,
                    "give each a name of its own",
                ));
            }
        }
    }
    names
}

fn binds(config: Option<&Config>, listeners: &[Item<'_, Listener>], faults: &mut Vec<Fault>) {
    let mut taken: HashMap<SocketAddr, &str> = HashMap::new();
    for item in listeners {
        let Some(bind) = item
            .value
            .as_ref()
            .map(|l| l.bind.address())
            .filter(|a| a.port() != 0)
        else {
            continue;
        };
        if let Some(first) = taken.insert(bind, &item.at) {
            let why = format!("{bind} is already the address of {first}");
            faults.push(Fault::new(
                child(&item.at, "bind"),
                why,
                "bind each listener to a port of its own",
            ));
        }
    }
    let Some(Admin::On(admin)) = config.map(|c| &c.admin) else {
        return;
    };
    if let Some(first) = taken.get(&admin.bind.address()) {
        let why = format!("{} is already the address of {first}", admin.bind);
        faults.push(Fault::new(
            "admin.bind",
            why,
            "bind the admin listener to a port of its own, or write admin: off",
        ));
    }
    for (place, host) in admin.allow_hosts.iter().enumerate() {
        if wire::authority::host_len(host.as_bytes()).is_none() {
            let why = format!("{} is not a host", quote(host));
            faults.push(Fault::new(
                format!("admin.allow_hosts[{place}]"),
                why,
                "write a name or an address, and maybe a port",
            ));
        }
    }
    most(
        "admin.allow_hosts",
        admin.allow_hosts.len(),
        MAX_CHOICES,
        faults,
    );
}

fn listener(item: &Item<'_, Listener>, faults: &mut Vec<Fault>) {
    let Some(listener) = &item.value else { return };
    let limits = &listener.limits;
    let at = child(&item.at, "limits");
    within(
        &child(&at, "head"),
        limits.head,
        Size::kib(1),
        Size::kib(1024),
        faults,
    );
    within(
        &child(&at, "uri"),
        limits.uri,
        Size::bytes_of(64),
        Size::kib(1024),
        faults,
    );
    if limits.uri > limits.head {
        let why = format!(
            "{} is more than the whole head, {}",
            limits.uri, limits.head
        );
        faults.push(Fault::new(
            child(&at, "uri"),
            why,
            "make it smaller, or limits.head larger",
        ));
    }
    if let Some(proxy) = &listener.proxy_protocol {
        let at = format!("{}.proxy_protocol.trust", item.at);
        if proxy.trust.is_empty()
            && item.raw.pointer("/proxy_protocol/trust") == Some(&Value::Array(Vec::new()))
        {
            faults.push(Fault::new(
                &at,
                "no peer is trusted",
                "list the peers, or remove proxy_protocol",
            ));
        }
        most(&at, proxy.trust.len(), MAX_BLOCKS, faults);
    }
}

fn upstream(item: &Item<'_, Upstream>, faults: &mut Vec<Fault>) {
    let Some(upstream) = &item.value else { return };
    let at = child(&item.at, "endpoints");
    if item
        .raw
        .get("endpoints")
        .and_then(Value::as_array)
        .is_some_and(Vec::is_empty)
    {
        faults.push(Fault::new(
            &at,
            "there is no endpoint",
            "add an address such as 127.0.0.1:9001",
        ));
    }
    most(&at, upstream.endpoints.len(), MAX_ENDPOINTS, faults);
    let mut seen = HashSet::new();
    for endpoint in &upstream.endpoints {
        if !seen.insert(&endpoint.address) {
            let why = format!("{} is there twice", endpoint.address);
            faults.push(Fault::new(&at, why, "write it once, with a weight"));
        }
    }
    let written = item.raw.get("hash_key").is_some();
    match upstream.balance {
        Balance::Maglev if !written => {
            let why = "balance: maglev needs a key to hash";
            faults.push(Fault::on_key(
                child(&item.at, "hash_key"),
                why,
                "add hash_key: client_ip",
            ));
        }
        Balance::Maglev => {}
        _ if written && item.raw.get("balance").is_none_or(|b| b.is_string()) => {
            let why = "only balance: maglev hashes a key";
            faults.push(Fault::on_key(
                child(&item.at, "hash_key"),
                why,
                "write balance: maglev, or remove it",
            ));
        }
        _ => {}
    }
}

/// What a route may lead to, by name.
struct Goals<'a> {
    upstreams: HashMap<&'a str, u32>,
    apps: HashMap<&'a str, u32>,
}

fn app(item: &Item<'_, App>, faults: &mut Vec<Fault>) {
    let Some(app) = &item.value else { return };
    let (least, most) = (Size::kib(16 << 10), Size::kib(64 << 20));
    within(&child(&item.at, "memory"), app.memory, least, most, faults);
    let (least, most) = (Duration::ms(100), Duration::secs(3600));
    if app.stuck_timeout < least || app.stuck_timeout > most {
        let why = format!("{} is not {least} to {most}", app.stuck_timeout);
        let fix = "write a time such as 5s";
        faults.push(Fault::new(child(&item.at, "stuck_timeout"), why, fix));
    }
}

fn route(
    item: &Item<'_, Route>,
    listeners: &HashMap<&str, u32>,
    goals: &Goals<'_>,
    faults: &mut Vec<Fault>,
) {
    let Some(route) = &item.value else { return };
    let at = &item.at;
    for name in &route.listeners {
        if !listeners.contains_key(name.as_str()) {
            let why = format!("no listener is called {}", quote(name));
            let place = place_of(item.raw.get("listeners"), |v| v.as_str() == Some(name));
            faults.push(Fault::new(
                format!("{at}.listeners[{place}]"),
                why,
                suggest(name, listeners.keys().copied()),
            ));
        }
    }
    for share in route.to.iter() {
        goal(item, share, goals, faults);
    }
    let choices = [
        ("listeners", route.listeners.len(), MAX_LISTENERS),
        ("filters", route.filters.len(), MAX_FILTERS),
        ("to", route.to.len(), MAX_CHOICES),
        ("match.host", route.what.host.len(), MAX_CHOICES),
        ("match.path", route.what.path.len(), MAX_CHOICES),
        ("match.method", route.what.method.len(), MAX_CHOICES),
        ("match.headers", route.what.headers.len(), MAX_CHOICES),
        ("match.query", route.what.query.len(), MAX_CHOICES),
        ("match.proxy", route.what.proxy.len(), MAX_CHOICES),
    ];
    for (key, count, bound) in choices {
        if count > bound {
            most(&format!("{at}.{key}"), count, bound, faults);
        }
    }
    let replies = filters::route(item, route, faults);
    destination(item, route, replies, faults);
}

/// Reports a share that names nothing, two things at once, or what is not there.
fn goal(item: &Item<'_, Route>, share: &Share, goals: &Goals<'_>, faults: &mut Vec<Fault>) {
    let to = item.raw.get("to");
    let at = child(&item.at, "to");
    let (kind, name, known) = match (&share.upstream, &share.app) {
        (Some(name), None) => ("upstream", name, &goals.upstreams),
        (None, Some(name)) => ("app", name, &goals.apps),
        _ => {
            let why = "a destination is either an upstream or an app";
            faults.push(Fault::new(at, why, "write one of upstream and app"));
            return;
        }
    };
    if known.contains_key(name.as_str()) {
        return;
    }
    let why = format!("no {kind} is called {}", quote(name));
    let path = match to {
        Some(Value::Array(_)) => {
            let is = |v: &Value| v.get(kind).and_then(Value::as_str) == Some(name);
            format!("{at}[{}].{kind}", place_of(to, is))
        }
        Some(Value::Object(_)) => child(&at, kind),
        _ => at,
    };
    faults.push(Fault::new(path, why, suggest(name, known.keys().copied())));
}

fn destination(item: &Item<'_, Route>, route: &Route, replies: bool, faults: &mut Vec<Fault>) {
    let at = child(&item.at, "to");
    match item.raw.get("to") {
        None if !replies => {
            let why = "the route leads nowhere";
            faults.push(Fault::on_key(
                at,
                why,
                "add to: with an upstream's name, or a filter that replies, such as respond",
            ));
        }
        Some(Value::Array(shares)) if shares.is_empty() => {
            faults.push(Fault::new(
                at,
                "there is no upstream in the list",
                "name one",
            ));
        }
        Some(Value::Array(_))
            if !route.to.is_empty() && route.to.iter().all(|share| share.weight == 0) =>
        {
            faults.push(Fault::new(
                at,
                "every weight is 0",
                "give one upstream a weight of 1 or more",
            ));
        }
        _ => {}
    }
}

fn place_of(list: Option<&Value>, is: impl Fn(&Value) -> bool) -> usize {
    list.and_then(Value::as_array)
        .and_then(|all| all.iter().position(is))
        .unwrap_or(0)
}

fn most(at: &str, count: usize, bound: usize, faults: &mut Vec<Fault>) {
    if count > bound {
        let what = at.rsplit('.').next().unwrap_or(at);
        faults.push(Fault::new(
            at,
            format!("{count} {what} are above the most, {bound}"),
            format!("keep {bound} of them"),
        ));
    }
}

fn within(at: &str, size: Size, least: Size, most: Size, faults: &mut Vec<Fault>) {
    if size < least || size > most {
        let (side, bound) = if size < least {
            ("below the least", least)
        } else {
            ("above the most", most)
        };
        let why = format!("\"{size}\" is {side}, {bound}");
        faults.push(Fault::new(at, why, format!("write {least} to {most}")));
    }
}

/// Routes of a config.
pub const MAX_ROUTES: usize = 100_000;
/// Apps of a config.
pub const MAX_APPS: usize = 64;
/// Upstreams of a config.
pub const MAX_UPSTREAMS: usize = 10_000;
/// Endpoints of an upstream.
pub const MAX_ENDPOINTS: usize = 10_000;
/// Filters of a route.
pub const MAX_FILTERS: usize = 64;
/// Regular expressions in all paths of a config.
pub const MAX_REGEXES: usize = 1000;
/// Blocks of addresses in one list.
pub const MAX_BLOCKS: usize = 10_000;
/// Hosts, paths, methods, fields, parameters or upstreams of one route.
pub const MAX_CHOICES: usize = 64;
