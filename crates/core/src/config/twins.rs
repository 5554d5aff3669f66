//! Routes that want exactly the same requests.
//!
//! Bounds: linear in the routes; of routes with one form, at most [`MAX_LISTENERS`] are compared.

use std::collections::HashMap;
use std::fmt::Write as _;

use super::check::Item;
use super::fault::Fault;
use super::route::Route;
use super::walk::child;
use crate::route::pattern::{Path, Segment};
use crate::route::{Listeners, MAX_LISTENERS};

/// Two routes for exactly the same requests: the second would never be taken.
pub(super) fn twins(
    routes: &[Item<'_, Route>],
    listeners: &HashMap<&str, u32>,
    faults: &mut Vec<Fault>,
) {
    let mut first: HashMap<String, Vec<(Listeners, &str)>> = HashMap::with_capacity(routes.len());
    for item in routes {
        let Some(route) = &item.value else { continue };
        let set = route.matcher(listeners).listeners;
        let same = first.entry(form(route)).or_default();
        if let Some((_, other)) = same.iter().find(|(there, _)| there.meets(&set)) {
            let why = format!("the same requests are taken by {other}");
            faults.push(Fault::new(
                child(&item.at, "match"),
                why,
                "remove one of the two, or add a condition",
            ));
        } else if same.len() < MAX_LISTENERS {
            same.push((set, &item.at));
        }
    }
}

/// What a route wants, in one text for all the ways to write it.
fn form(route: &Route) -> String {
    let what = &route.what;
    let mut form = String::with_capacity(64);
    sorted(&mut form, what.host.iter().map(ToString::to_string), "*");
    sorted(&mut form, what.path.iter().map(path_form), "/*");
    sorted(&mut form, what.method.iter().map(ToString::to_string), "");
    for (name, want) in &what.headers {
        // Writing to a text does not fail.
        let _ = write!(form, "{:?}{want:?}", name.to_string());
    }
    form.push('\n');
    for (name, want) in &what.query {
        let _ = write!(form, "{name:?}{want:?}");
    }
    form.push('\n');
    for (value, want) in &what.proxy {
        let _ = write!(form, "{value}{want:?}");
    }
    form
}

/// Names of captures make no difference to what is matched.
fn path_form(path: &Path) -> String {
    let Path::Template(template) = path else {
        return path.to_string();
    };
    let plain = |segment: &Segment| match segment {
        Segment::Literal(text) => format!("/{text}"),
        Segment::One(_) => "/{}".to_owned(),
        Segment::Rest(_) => "/{*}".to_owned(),
    };
    template.segments.iter().map(plain).collect()
}

fn sorted(form: &mut String, values: impl Iterator<Item = String>, all: &str) {
    let mut values: Vec<String> = values.collect();
    values.sort_unstable();
    values.dedup();
    if values.is_empty() {
        values.push(all.to_owned());
    }
    form.push_str(&values.join(" "));
    form.push('\n');
}
