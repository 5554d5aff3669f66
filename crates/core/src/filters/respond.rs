//! respond: answers every request by itself.
//!
//! Config:  `{ use: respond, status: 200, json: { ok: true } }`
//! Reads:   nothing.
//! Asks:    nothing.
//! Replies: always: `status` with `body`, or `json`, or nothing.
//! Fails:   never. The route needs no `to`, and filters behind this one are never reached.
//! Source:  RFC 9110 section 15 (status codes), section 6.4.1 (responses without content).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use wire::{Head, Name};

use super::Build;
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::reply::{Body, Reply};

/// Answers every request by itself.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The status, 200 to 599. Default: 200.
    #[serde(default = "ok")]
    pub status: u16,
    /// The body as text. Default: none.
    pub body: Option<String>,
    /// The media type of `body`. Default: `text/plain; charset=utf-8`.
    pub content_type: Option<String>,
    /// The body as a value, sent as `application/json`. Default: none.
    #[serde(
        default,
        deserialize_with = "said",
        skip_serializing_if = "Option::is_none"
    )]
    pub json: Option<Value>,
    /// More fields of the response. Default: none.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

fn ok() -> u16 {
    200
}

/// `null` is a value as any other; only a key that is not there is none.
fn said<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// The filter.
pub struct Respond {
    reply: Reply,
}

impl Respond {
    /// From its config, if it makes one response.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        if !(200..=599).contains(&config.status) {
            b.fault(
                "status",
                format!("{} is no final status", config.status),
                "write 200 to 599",
            );
        }
        let has_body = config.body.is_some() || config.json.is_some();
        if has_body && matches!(config.status, 204 | 205 | 304) {
            b.fault(
                "status",
                format!("a {} has no body", config.status),
                "remove the body or choose another status",
            );
        }
        if config.body.is_some() && config.json.is_some() {
            b.fault(
                "json",
                "there is a body already",
                "keep one of body and json",
            );
        }
        if let Some(kind) = &config.content_type {
            if config.body.is_none() {
                b.fault(
                    "content_type",
                    "there is no body that it is the type of",
                    "add body or remove it",
                );
            } else if kind.is_empty() || !wire::valid_value(kind.as_bytes()) {
                b.fault(
                    "content_type",
                    format!("{kind:?} is no media type"),
                    "write one such as text/html",
                );
            }
        }
        for (name, value) in &config.headers {
            check(name, value, b);
        }
        if b.faults.len() > before {
            return None;
        }
        let body = match (config.json, config.body) {
            (Some(json), _) => {
                Body::Plain("application/json".into(), json.to_string().into_bytes())
            }
            (None, Some(text)) => {
                let kind = config
                    .content_type
                    .unwrap_or_else(|| "text/plain; charset=utf-8".into());
                Body::Plain(kind.into(), text.into_bytes())
            }
            (None, None) => Body::Empty,
        };
        let fields = config
            .headers
            .into_iter()
            .map(|(n, v)| (n.into(), v.into_bytes()))
            .collect();
        Some(Self {
            reply: Reply {
                status: config.status,
                code: "",
                fields,
                body,
            },
        })
    }
}

impl Filter for Respond {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            replies: true,
            ..Needs::default()
        }
    }

    fn on_request(&self, _: &mut Cx<'_>, _: &mut Head) -> Verdict {
        Verdict::Reply(Box::new(self.reply.clone()))
    }
}

fn check(name: &str, value: &str, b: &mut Build<'_>) {
    let at = format!("headers.{name}");
    let known = Name::of(name.as_bytes());
    if !wire::valid_name(name.as_bytes()) {
        b.fault(
            &at,
            format!("{name:?} is no field name"),
            "use letters, digits and - only",
        );
    } else if known.is_hop_by_hop() {
        b.fault(
            &at,
            format!("{name} is written by the gateway"),
            "remove this line",
        );
    } else if known == Name::ContentType {
        b.fault(
            &at,
            "the media type has a key of its own",
            "use content_type",
        );
    } else if !wire::valid_value(value.as_bytes()) {
        let why = format!("the value of {name:?} has a control character, or a space at an end");
        b.fault(&at, why, "write it on one line, without spaces around it");
    }
}

#[cfg(test)]
#[path = "respond_tests.rs"]
mod tests;
