//! headers: removes, sets and adds fields of requests and responses.
//!
//! Config:  `{ use: headers, request: { set: { x-env: prod } }, response: { remove: [server] } }`
//! Reads:   nothing; the values are fixed.
//! Asks:    nothing.
//! Replies: nothing.
//! Fails:   a head that would grow beyond its bound keeps what it has, and the field is left out.
//! Source:  RFC 9110 sections 5.1 and 5.5 (names and values) and 7.6.1 (fields of one connection).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use wire::{Head, Name};

use super::Build;
use crate::filter::{Cx, Filter, Needs, Verdict};

/// Removes, sets and adds fields of requests and responses.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Changes to the request before it is forwarded. Default: none.
    #[serde(default)]
    pub request: Changes,
    /// Changes to the response before it is sent. Default: none.
    #[serde(default)]
    pub response: Changes,
}

/// Changes to the fields of one head: first `remove`, then `set`, then `add`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HeaderChanges")]
pub struct Changes {
    /// Fields that replace all of their name. Default: none.
    #[serde(default)]
    pub set: BTreeMap<String, String>,
    /// Fields that stand beside others of their name. Default: none.
    #[serde(default)]
    pub add: BTreeMap<String, String>,
    /// Names of fields to take out. Default: none.
    #[serde(default)]
    pub remove: Vec<String>,
}

/// The filter.
pub struct Headers {
    request: Changes,
    response: Changes,
}

impl Headers {
    /// From its config, if every name may be changed and every value be sent.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        if config.request.is_empty() && config.response.is_empty() {
            b.fault(
                "request",
                "nothing is changed",
                "add set, add or remove under request or response",
            );
        }
        config.request.check("request", b);
        config.response.check("response", b);
        (b.faults.len() == before).then_some(Self {
            request: config.request,
            response: config.response,
        })
    }
}

impl Filter for Headers {
    fn needs(&self) -> Needs {
        let (request, response) = (!self.request.is_empty(), !self.response.is_empty());
        Needs {
            request,
            response,
            ..Needs::default()
        }
    }

    fn on_request(&self, _: &mut Cx<'_>, req: &mut Head) -> Verdict {
        self.request.apply(req);
        Verdict::Next
    }

    fn on_response(&self, _: &mut Cx<'_>, _: &Head, rsp: &mut Head) -> Verdict {
        self.response.apply(rsp);
        Verdict::Next
    }
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    fn apply(&self, head: &mut Head) {
        for name in &self.remove {
            head.remove(name.as_bytes());
        }
        // Names and values were checked; what is left to fail is the head's bound.
        for (name, value) in &self.set {
            let _full = head.set(name.as_bytes(), value.as_bytes());
        }
        for (name, value) in &self.add {
            let _full = head.add(name.as_bytes(), value.as_bytes());
        }
    }

    fn check(&self, side: &str, b: &mut Build<'_>) {
        for (key, fields) in [("set", &self.set), ("add", &self.add)] {
            for (name, value) in fields {
                let at = format!("{side}.{key}{}", step(name));
                check_name(name, side == "request", &at, b);
                if !wire::valid_value(value.as_bytes()) {
                    let why = format!(
                        "the value of {name:?} has a control character, or a space at an end"
                    );
                    b.fault(&at, why, "write it on one line, without spaces around it");
                }
            }
        }
        for (i, name) in self.remove.iter().enumerate() {
            check_name(name, side == "request", &format!("{side}.remove[{i}]"), b);
        }
        let both = self
            .set
            .keys()
            .find(|s| self.remove.iter().any(|r| r.eq_ignore_ascii_case(s)));
        if let Some(name) = both {
            let why = format!("{name:?} is both removed and set");
            b.fault(
                &format!("{side}.remove"),
                why,
                "leave it out here: set replaces all of that name",
            );
        }
    }
}

fn check_name(name: &str, request: bool, at: &str, b: &mut Build<'_>) {
    if let Some((why, fix)) = name_fault(name, request) {
        b.fault(at, why, fix);
    }
}

/// Why a field of this name cannot be changed, and what to do instead.
pub(crate) fn name_fault(name: &str, request: bool) -> Option<(String, &'static str)> {
    let known = Name::of(name.as_bytes());
    if !wire::valid_name(name.as_bytes()) {
        let why = format!("{name:?} is no field name");
        Some((why, "use letters, digits and - only"))
    } else if known == Name::Host {
        let why = "Host is not changed as a field".to_owned();
        Some((why, "use rewrite with host"))
    } else if known.is_hop_by_hop() {
        let why = format!("{name} belongs to one connection and is written by the gateway");
        Some((why, "remove this line"))
    } else if request && WRITTEN.contains(&known) {
        let why = format!("{name} is written by the gateway, after all filters");
        Some((why, "remove this line; client_ip says whom to believe"))
    } else {
        None
    }
}

/// A key as a step of a path. Names that are no names are quoted.
fn step(name: &str) -> String {
    if wire::valid_name(name.as_bytes())
        && name
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
    {
        format!(".{name}")
    } else {
        format!("[{name:?}]")
    }
}

/// What an upstream is told of the client; see [`crate::forward::announce`].
const WRITTEN: [Name; 7] = [
    Name::ClientCert,
    Name::ClientCertChain,
    Name::Forwarded,
    Name::XForwardedFor,
    Name::XForwardedHost,
    Name::XForwardedProto,
    Name::XRealIp,
];

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
