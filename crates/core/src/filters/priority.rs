//! Which requests have their turn first: levels, by what a request says or by whose it is.
//!
//! Bounds: [`MAX_RULES`] rules; each is linear in the head.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::Build;
use crate::config::text::Many;
use crate::filter::Client;
use crate::route::pattern::Method;
use crate::route::want::{FieldName, Wants};
use crate::route::{Match, Want};

/// How early a request has its turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Before all others.
    Critical,
    /// Before `normal`.
    High,
    /// Before `low`.
    #[default]
    Normal,
    /// After all others.
    Low,
}

/// Which requests have a priority. All that is there must fit.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PriorityRule {
    /// Their priority. Required.
    pub level: Priority,
    /// One of these methods. Default: every method.
    #[serde(default)]
    pub method: Many<Method>,
    /// What header fields must say, as in a route's `match`. Default: nothing.
    #[serde(default)]
    pub headers: BTreeMap<FieldName, Want>,
    /// What parameters of the query must say, as in a route's `match`. Default: nothing.
    #[serde(default)]
    pub query: BTreeMap<String, Want>,
    /// One of these consumers, whom a filter before must prove, as `api_key` does. Default: everybody.
    #[serde(default)]
    pub consumers: Vec<Box<str>>,
}

/// The rules of one filter, made ready.
pub(super) struct Levels {
    field: Option<FieldName>,
    rules: Vec<(Priority, Wants, Vec<Box<str>>)>,
    others: Priority,
}

impl Levels {
    pub(super) fn build(
        field: Option<FieldName>,
        rules: Vec<PriorityRule>,
        others: Priority,
        b: &mut Build<'_>,
    ) -> Self {
        if rules.len() > MAX_RULES {
            let why = format!("{} rules are more than {MAX_RULES}", rules.len());
            b.fault(
                "priorities",
                why,
                "let requests say their priority in a field",
            );
        }
        for (i, rule) in rules.iter().enumerate() {
            let asks = rule.headers.len() + rule.query.len() + rule.method.len();
            if asks + rule.consumers.len() == 0 {
                let at = format!("priorities[{i}]");
                b.fault(
                    &at,
                    "fits every request",
                    "write default_priority in its place",
                );
            }
        }
        let made = |rule: PriorityRule| {
            let wants = Wants::of(&Match {
                method: rule.method,
                headers: rule.headers,
                query: rule.query,
                ..Match::default()
            });
            (rule.level, wants, rule.consumers)
        };
        Self {
            field,
            rules: rules.into_iter().map(made).collect(),
            others,
        }
    }

    pub(super) fn reads_consumer(&self) -> bool {
        self.rules
            .iter()
            .any(|(_, _, consumers)| !consumers.is_empty())
    }

    pub(super) fn of(&self, client: &Client, req: &Head) -> Priority {
        let whose = client.consumer.as_deref();
        let fits = |(_, wants, consumers): &&(Priority, Wants, Vec<Box<str>>)| {
            let of_them = |whose: &str| consumers.iter().any(|c| **c == *whose);
            wants.hold(req) && (consumers.is_empty() || whose.is_some_and(of_them))
        };
        if let Some((level, ..)) = self.rules.iter().find(fits) {
            return *level;
        }
        let said = self.field.as_ref().and_then(|f| req.find(f.as_bytes()));
        match said {
            Some(b"critical") => Priority::Critical,
            Some(b"high") => Priority::High,
            Some(b"normal") => Priority::Normal,
            Some(b"low") => Priority::Low,
            _ => self.others,
        }
    }
}

/// Rules of one filter.
const MAX_RULES: usize = 32;
