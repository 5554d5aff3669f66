//! quota: refuses what a consumer sends beyond what it may use in an hour, a day, a week or a month of the calendar.
//!
//! Config:  `{ use: quota, per: month, time_zone: Europe/Berlin, limit: 1000 }`; more for some by `plans: { pro: 100000 }` and
//!          `plan_of: { acme: pro }`; behind a filter that proves a consumer, such as api_key
//! Reads:   whose the request is, and the wall clock; for `unit: header:NAME` the response's field
//! Asks:    nothing: the count is this process's own, exact over all its threads. With `scope: global` the store, about each request:
//!          then it is that of all gateways. What is used is written to the ledger in `state_dir`, and counted again from there when
//!          the process starts.
//! Replies: 429 `quota_exceeded` with Retry-After (seconds until the window ends); 503 `quota_full` if there are too many
//!          consumers to count; 503 `quota_unavailable` without the store, with `on_fail: closed`. RateLimit and RateLimit-Policy are on the first and on every other response, unless `headers: false`.
//! Fails:   never open for a consumer; requests that have none (`anonymous: true` of the filter before) have no quota. A refused request uses nothing up. Requests are charged as they come; bytes and fields when the
//!          response has ended, so those on their way may end above the limit. A clock that is set back frees nobody. Without the
//!          store each node admits its share of what it last knew to be left, or what `on_fail` says, and gives the store later what was used.
//! Source:  RFC 6585 section 4 (429), RFC 9110 section 10.2.3 (Retry-After), draft-ietf-httpapi-ratelimit-headers-11 (`qu` content-bytes),
//!          the IANA time zone database, ISO 8601 (weeks).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::quota_global;
use super::quota_unit::Unit;
use super::rate_field::{is_name_byte, Field, MAX_NAME};
use super::Build;
use crate::filter::{Answer, AskId, Cx, Exchange, Filter, Needs, Outcome, Verdict};
use crate::quota::{
    Admission, Calendar, Charge, Counts, Identity, Ledger, OnFail, Period, Quota, Standing, Window,
    Zone,
};
use crate::reply::{Body, Reply};

/// Refuses what a consumer sends beyond what it may use in a window of the calendar.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The window: `hour`, `day`, `week` (from Monday) or `month`. Required.
    pub per: Period,
    /// What a consumer without a plan may use in a window; 0 for nothing. Required.
    pub limit: u64,
    /// What is counted: `requests`; `request_bytes`, `response_bytes` or `bytes` (both) of bodies; or `header:NAME`, a whole number
    /// that the response says. Default: `requests`.
    #[serde(default)]
    pub unit: Unit,
    /// Whose calendar it is, a name of the IANA database such as `Europe/Berlin`. Default: `UTC`.
    #[serde(default)]
    pub time_zone: Zone,
    /// Plans and what each allows in a window, at most 64. Default: none.
    #[serde(default)]
    pub plans: BTreeMap<String, u64>,
    /// Consumers and their plans, at most 10000. Default: none.
    #[serde(default)]
    pub plan_of: BTreeMap<String, String>,
    /// The quota's name, 1 to 64 printable characters. Quotas of one name are one, and must agree in all but `headers`: what is
    /// used on one route is used on all. Default: the route's name, `-` and `per`.
    pub name: Option<String>,
    /// Who counts together. Default: `process`, also where there is a `store`.
    #[serde(default)]
    pub scope: Scope,
    /// What happens to requests while the store does not answer, of scope `global`. Default: `fair_share`.
    pub on_fail: Option<OnFail>,
    /// Whether responses say what is left. Default: true.
    #[serde(default = "yes")]
    pub headers: bool,
}

/// Who counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QuotaScope")]
pub enum Scope {
    /// All threads of this process.
    #[default]
    Process,
    /// All gateways that share the `store`, which is asked about each request.
    Global,
}

fn yes() -> bool {
    true
}

/// The filter.
pub struct QuotaFilter {
    pub(super) quota: Quota,
    unit: Unit,
    ledger: Arc<Ledger>,
    route: Arc<str>,
    headers: bool,
    /// RateLimit-Policy without its `q`: what stands before it and behind it.
    policy: (Box<str>, Box<str>),
}

impl QuotaFilter {
    /// From its config, if its names and plans are sound.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        quota_global::check(&config, b);
        let name = name_of(config.name.as_deref(), b.route, config.per);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_name_byte) {
            let why =
                format!("{name:?} is not 1 to {MAX_NAME} printable characters without quotes");
            b.fault("name", why, "write a short word such as monthly");
        }
        let plans = plans(&config, b);
        if b.faults.len() > before {
            return None;
        }
        let calendar = Calendar::new(config.per, config.time_zone);
        let identity = Identity {
            name: name.as_str().into(),
            unit: config.unit.to_string().into(),
            per: config.per.name().into(),
        };
        let (counts, ledger) = match b.shared {
            Some(shared) => (
                shared.usage.counts(&identity),
                shared.usage.ledger().clone(),
            ),
            None => (Arc::new(Counts::default()), Arc::default()),
        };
        let global = (config.scope == Scope::Global)
            .then(|| quota_global::of(config.on_fail.unwrap_or_default(), &identity, b.shared));
        let qu = config
            .unit
            .qu()
            .map_or(String::new(), |qu| format!(";qu=\"{qu}\""));
        let w = calendar
            .constant()
            .map_or(String::new(), |w| format!(";w={w}"));
        Some(Self {
            policy: (format!("\"{name}\";q=").into(), format!("{qu}{w}").into()),
            quota: Quota {
                identity: Arc::new(identity),
                calendar,
                limit: config.limit,
                plans,
                counts,
                global,
            },
            unit: config.unit,
            ledger,
            route: b.route.into(),
            headers: config.headers,
        })
    }

    /// Writes down what was used of this window.
    pub(super) fn note(&self, consumer: &Arc<str>, window: Window, units: u64, unix: u64) {
        let charge = Charge {
            quota: self.quota.identity.clone(),
            consumer: consumer.clone(),
            route: self.route.clone(),
            window: window.start,
        };
        self.ledger.note(charge, units, unix);
    }

    /// What a request costs when it is let pass.
    pub(super) fn cost(&self) -> u64 {
        u64::from(self.unit == Unit::Requests)
    }

    fn policy(&self, limit: u64) -> Vec<u8> {
        let (before, behind) = &self.policy;
        // The largest integer of a structured field (RFC 9651 section 3.3.1).
        format!("{before}{}{behind}", limit.min(999_999_999_999_999)).into_bytes()
    }

    fn field(&self, left: u64, seconds: u64) -> Field {
        Field::of(&self.quota.identity.name, left, Some(seconds))
    }

    /// The verdict, and what responses say. `unix` is the time by which windows are told.
    pub(super) fn tell(
        &self,
        cx: &mut Cx<'_>,
        admission: Admission,
        (limit, unix): (u64, u64),
    ) -> Verdict {
        match admission {
            Admission::Admitted(at) => {
                let left = limit.saturating_sub(at.used);
                cx.slot.words = [left, until_end(at, unix) << 2 | ADMITTED];
                Verdict::Next
            }
            Admission::Refused(at) => self.refuse(limit, at, unix),
            Admission::Full => {
                let why = "Too many consumers are counted at the moment.";
                Verdict::Reply(Box::new(Reply::problem(503, "quota_full", why)))
            }
        }
    }

    fn refuse(&self, limit: u64, at: Standing, unix: u64) -> Verdict {
        let seconds = until_end(at, unix);
        let mut reply = Reply {
            status: 429,
            code: "quota_exceeded",
            fields: Vec::with_capacity(3),
            body: Body::Quota {
                why: "The quota of this window is used up.".into(),
                policies: vec![self.quota.identity.name.clone()],
            },
        }
        .with("retry-after", seconds.to_string());
        if self.headers {
            let left = limit.saturating_sub(at.used);
            reply = reply
                .with("ratelimit-policy", self.policy(limit))
                .with("ratelimit", self.field(left, seconds).bytes());
        }
        Verdict::Reply(Box::new(reply))
    }
}

impl Filter for QuotaFilter {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            response: self.headers || self.unit.is_told(),
            done: self.unit != Unit::Requests,
            ..Needs::default()
        }
    }

    fn consumer_keys(&self) -> Vec<String> {
        vec!["use".to_owned()]
    }

    fn quota(&self) -> Option<&Quota> {
        Some(&self.quota)
    }

    fn on_request(&self, cx: &mut Cx<'_>, _: &mut Head) -> Verdict {
        // A filter before this one lets some pass without a consumer: they have no quota.
        let Some(consumer) = cx.client.consumer.as_ref() else {
            return Verdict::Next;
        };
        if let Some(global) = &self.quota.global {
            let consumer = consumer.clone();
            return self.begin(cx, global, &consumer);
        }
        let (limit, _) = self.quota.limit_of(consumer);
        let cost = self.cost();
        let Quota {
            counts, calendar, ..
        } = &self.quota;
        let admission = counts.admit(consumer, calendar, cx.unix, (limit, cost));
        if let Admission::Admitted(at) = admission {
            self.note(consumer, at.window, cost, cx.unix);
        }
        self.tell(cx, admission, (limit, cx.unix))
    }

    fn on_answer(&self, cx: &mut Cx<'_>, _: &mut Exchange, _: AskId, a: Answer<'_>) -> Verdict {
        let known = self.quota.global.as_ref().zip(cx.client.consumer.clone());
        match known {
            Some((global, consumer)) => self.answered(cx, global, &consumer, a),
            None => unavailable(),
        }
    }

    fn on_response(&self, cx: &mut Cx<'_>, _: &Head, rsp: &mut Head) -> Verdict {
        let [left, flags] = cx.slot.words;
        if let Some(units) = self.unit.told(rsp) {
            cx.slot.words = [units, flags | MEASURED];
        }
        if let (true, Some(consumer)) = (self.headers, cx.client.consumer.as_deref()) {
            let (limit, _) = self.quota.limit_of(consumer);
            // Beside those of other policies: both fields are lists. A head that is full goes without.
            let _full = rsp.add(b"ratelimit-policy", &self.policy(limit));
            let _full = rsp.add(b"ratelimit", self.field(left, flags >> 2).bytes());
        }
        Verdict::Next
    }

    fn on_done(&self, cx: &mut Cx<'_>, outcome: &Outcome) {
        let [told, flags] = cx.slot.words;
        let Some(consumer) = cx.client.consumer.as_ref().filter(|_| flags & ADMITTED > 0) else {
            return;
        };
        let told = if flags & MEASURED > 0 { told } else { 0 };
        let units = self.unit.of(outcome, told);
        if units == 0 {
            return;
        }
        if let Some(global) = &self.quota.global {
            let consumer = consumer.clone();
            return self.charge(cx, global, &consumer, units);
        }
        let Quota {
            counts, calendar, ..
        } = &self.quota;
        let at = counts.charge(consumer, calendar, cx.unix, units);
        self.note(consumer, at.window, units, cx.unix);
    }
}

/// A refusal where nobody knows what is used.
pub(super) fn unavailable() -> Verdict {
    let why = "Whether this request is within its quota could not be told.";
    Verdict::Reply(Box::new(Reply::problem(503, "quota_unavailable", why)))
}

/// The name of a quota that says none, or its own.
pub(crate) fn name_of(name: Option<&str>, route: &str, per: Period) -> String {
    name.map_or_else(|| format!("{route}-{}", per.name()), str::to_owned)
}

fn until_end(at: Standing, unix: u64) -> u64 {
    at.window.end.saturating_sub(unix).max(1)
}

fn plans(config: &Config, b: &mut Build<'_>) -> HashMap<Box<str>, (Arc<str>, u64)> {
    for (key, count, most) in [
        ("plans", config.plans.len(), MAX_PLANS),
        ("plan_of", config.plan_of.len(), MAX_PLANNED),
    ] {
        if count > most {
            let why = format!("{count} are more than {most}");
            b.fault(key, why, format!("keep {most} of them"));
        }
    }
    let names: BTreeMap<&str, Arc<str>> = config
        .plans
        .keys()
        .map(|name| (&**name, name.as_str().into()))
        .collect();
    let mut all = HashMap::with_capacity(config.plan_of.len());
    for (consumer, plan) in &config.plan_of {
        match names.get(plan.as_str()).zip(config.plans.get(plan)) {
            Some((name, limit)) => {
                all.insert(consumer.as_str().into(), (name.clone(), *limit));
            }
            None => {
                let why = format!("{consumer} has the plan {plan}, which is not in plans");
                b.fault(
                    "plan_of",
                    why,
                    format!("add {plan} to plans, or write one of them"),
                );
            }
        }
    }
    all
}

/// In the second word of a slot, whose rest is seconds: this request was admitted.
const ADMITTED: u64 = 1;
/// The first word is what the response said.
const MEASURED: u64 = 2;
const MAX_PLANS: usize = 64;
const MAX_PLANNED: usize = 10_000;

#[cfg(test)]
#[path = "quota_tests.rs"]
mod tests;
