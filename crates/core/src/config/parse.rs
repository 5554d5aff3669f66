//! One JSON text to a [`Config`], or to all that is wrong with it.
//!
//! The lists are read item by item, each by itself: what is wrong with one hides nothing of
//! another, and a large config is read in one pass.

use serde_json::{Map, Value};

use super::check::{check, Item, Read};
use super::fault::{Fault, MAX_FAULTS};
use super::object::salvage;
use super::walk::kind;
use super::Config;

/// Reads and checks a config: every reference, every bound, every filter.
///
/// # Errors
/// Every fault that was found, at most [`MAX_FAULTS`], in no order that matters.
pub fn parse(json: &str) -> Result<Config, Vec<Fault>> {
    if json.len() > MAX_TEXT {
        let why = format!(
            "a config of {} bytes is above the most, {MAX_TEXT}",
            json.len()
        );
        return Err(vec![Fault::new("", why, "split the gateway in two")]);
    }
    let document = match serde_json::from_str(json) {
        Ok(Value::Object(document)) => document,
        Ok(other) => {
            let why = format!("{} is not a config", kind(&other));
            return Err(vec![Fault::new(
                "",
                why,
                "write an object with listeners, upstreams and routes",
            )]);
        }
        Err(error) => {
            return Err(vec![Fault::new(
                "",
                format!("this is not JSON: {error}"),
                "mend the syntax",
            )])
        }
    };
    let mut faults = Vec::new();
    let config = read(document, &mut faults);
    if faults.is_empty() {
        if let Some(config) = config {
            return Ok(config);
        }
    }
    if faults.len() > MAX_FAULTS {
        let more = faults.len() - MAX_FAULTS;
        faults.truncate(MAX_FAULTS);
        faults.push(Fault::new(
            "",
            format!("and {more} more faults"),
            "mend these first",
        ));
    }
    Err(faults)
}

fn read(mut document: Map<String, Value>, faults: &mut Vec<Fault>) -> Option<Config> {
    let listeners = take(&mut document, "listeners");
    let apps = take(&mut document, "apps");
    let upstreams = take(&mut document, "upstreams");
    let routes = take(&mut document, "routes");
    // What is left of the lists is empty, so this reads the rest and the shape of the lists.
    let config: Option<Config> = salvage(&Value::Object(document), "", faults);
    let read = Read {
        listeners: items("listeners", &listeners, faults),
        apps: items("apps", &apps, faults),
        upstreams: items("upstreams", &upstreams, faults),
        routes: items("routes", &routes, faults),
    };
    check(config.as_ref(), &read, faults);
    let mut config = config?;
    config.listeners = read
        .listeners
        .into_iter()
        .filter_map(|item| item.value)
        .collect();
    config.apps = read
        .apps
        .into_iter()
        .filter_map(|item| item.value)
        .collect();
    config.upstreams = read
        .upstreams
        .into_iter()
        .filter_map(|item| item.value)
        .collect();
    config.routes = read
        .routes
        .into_iter()
        .filter_map(|item| item.value)
        .collect();
    Some(config)
}

fn take(document: &mut Map<String, Value>, key: &str) -> Vec<Value> {
    match document.get_mut(key) {
        Some(Value::Array(items)) => std::mem::take(items),
        _ => Vec::new(),
    }
}

fn items<'a, T>(key: &str, values: &'a [Value], faults: &mut Vec<Fault>) -> Vec<Item<'a, T>>
where
    T: serde::de::DeserializeOwned + schemars::JsonSchema,
{
    let mut items = Vec::with_capacity(values.len());
    for (place, raw) in values.iter().enumerate() {
        let at = format!("{key}[{place}]");
        // Beyond the bound nothing is reported any more, so nothing need be searched for.
        let value = if faults.len() > MAX_FAULTS {
            None
        } else {
            salvage(raw, &at, faults)
        };
        items.push(Item { at, raw, value });
    }
    items
}

/// The most bytes of a config's text.
pub const MAX_TEXT: usize = 64 << 20;
