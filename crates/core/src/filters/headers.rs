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
    let known = Name::of(name.as_bytes());
    if !wire::valid_name(name.as_bytes()) {
        b.fault(
            at,
            format!("{name:?} is no field name"),
            "use letters, digits and - only",
        );
    } else if known == Name::Host {
        b.fault(
            at,
            "Host is not changed as a field",
            "use rewrite with host",
        );
    } else if known.is_hop_by_hop() {
        let why = format!("{name} belongs to one connection and is written by the gateway");
        b.fault(at, why, "remove this line");
    } else if request && WRITTEN.contains(&known) {
        let why = format!("{name} is written by the gateway, after all filters");
        b.fault(at, why, "remove this line; client_ip says whom to believe");
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
const WRITTEN: [Name; 5] = [
    Name::Forwarded,
    Name::XForwardedFor,
    Name::XForwardedHost,
    Name::XForwardedProto,
    Name::XRealIp,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::trial::{faults, Trial};
    use serde_json::json;

    #[test]
    fn remove_then_set_then_add() {
        let changes = json!({
            "remove": ["X-Gone"], "set": { "x-set": "new" }, "add": { "X-More": "2", "x-gone": "again" },
        });
        let before: &[(&str, &str)] = &[
            ("x-gone", "1"),
            ("x-set", "a"),
            ("x-set", "b"),
            ("x-more", "1"),
            ("x-keep", "k"),
        ];
        let after = [
            "x-more: 1",
            "x-keep: k",
            "x-set: new",
            "X-More: 2",
            "x-gone: again",
        ];
        for side in ["request", "response"] {
            let mut trial = Trial::of("headers", json!({ side: changes }));
            for (name, value) in before {
                trial
                    .request
                    .add(name.as_bytes(), value.as_bytes())
                    .expect("a valid field");
                trial
                    .response
                    .add(name.as_bytes(), value.as_bytes())
                    .expect("a valid field");
            }
            let untouched: Vec<String> = before.iter().map(|(n, v)| format!("{n}: {v}")).collect();
            assert!(matches!(trial.request(), Verdict::Next));
            assert!(matches!(trial.respond(), Verdict::Next));
            let (changed, other) = if side == "request" {
                (&trial.request, &trial.response)
            } else {
                (&trial.response, &trial.request)
            };
            assert_eq!(Trial::fields(changed), after, "{side}");
            assert_eq!(Trial::fields(other), untouched, "{side}");
        }
    }

    #[test]
    fn only_the_sides_that_change_are_asked_for() {
        let needs = |config| Trial::of("headers", config).filter.needs();
        assert!(!needs(json!({ "request": { "remove": ["a"] } })).response);
        assert!(!needs(json!({ "response": { "remove": ["a"] } })).request);
    }

    #[test]
    fn a_field_that_cannot_be_changed_is_a_fault() {
        for (config, at) in [
            (json!({}), "request"),
            (
                json!({ "request": { "set": { "host": "x" } } }),
                "request.set.host",
            ),
            (
                json!({ "request": { "remove": ["Content-Length"] } }),
                "request.remove[0]",
            ),
            (
                json!({ "response": { "add": { "transfer-encoding": "chunked" } } }),
                "response.add.transfer-encoding",
            ),
            (
                json!({ "response": { "set": { "a b": "x" } } }),
                "response.set[\"a b\"]",
            ),
            (
                json!({ "response": { "set": { "a": "x\r\ny: z" } } }),
                "response.set.a",
            ),
            (
                json!({ "response": { "add": { "a": " x" } } }),
                "response.add.a",
            ),
            (
                json!({ "request": { "set": { "X-Forwarded-For": "1.2.3.4" } } }),
                "request.set.X-Forwarded-For",
            ),
            (
                json!({ "response": { "set": { "a": "x" }, "remove": ["A"] } }),
                "response.remove",
            ),
        ] {
            assert_eq!(faults("headers", config.clone()), [at], "{config}");
        }
        assert!(faults(
            "headers",
            json!({ "response": { "set": { "X-Forwarded-For": "x" } } })
        )
        .is_empty());
    }
}
