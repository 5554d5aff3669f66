//! rate_limit: refuses what comes faster than a rate, or than any of several, counted for each key.
//!
//! Config:  `{ use: rate_limit, rate: 100/s, burst: 20, key: client_ip }`; or `limits`, a list of up to 8 such
//!          limits, each with its own `algorithm` and `key`: a request must be within all of them
//! Reads:   what `key` names, the field `cost_header`, of responses `cost_response_header` or the length; for `client_ip` behind proxies, put the filter client_ip first.
//! Asks:    nothing: the count is this process's own, exact over all its threads. With `leaky_bucket` a sleep, until it is the
//!          request's turn; it ends with the request. With `scope: global` the store: `strict` about each request (once about all that
//!          are), `leased` in the background, and about a request only if this node has nothing for it.
//! Replies: 429 `rate_limited` with Retry-After (whole seconds, rounded up; the longest of all limits that refuse).
//!          RateLimit and RateLimit-Policy are on this and on every other response, unless `headers: false`.
//!          503 `rate_limit_unavailable` if the store does not answer and `on_fail` is `closed`.
//! Fails:   never; without the store `on_fail` decides. A refused request uses nothing up, of no limit. When the table is full, the idlest key leaves
//!          and the newcomer inherits its debt, so a flood of keys frees nobody. The count
//!          survives a reload that keeps this filter's place and what it limits.
//! Source:  GCRA (ITU-T I.371); RFC 6585 section 4 (429), RFC 9110 section 10.2.3 (Retry-After),
//!          draft-ietf-httpapi-ratelimit-headers-11 (RateLimit: `r` left now, `t` seconds to one more).

use algo::GcraTable;
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::rate_field::{is_name_byte, MAX_NAME, SECOND};
use super::rate_global::{Global, Mode, OnFail};
use super::rate_key::LimitKeys;
use super::rate_limits::Limits;
use super::rate_mixed::Mixed;
use super::rate_one::One;
use super::rate_queue;
use super::Build;
use crate::config::units::{Duration, Rate};
use crate::filter::{Answer, AskId, Cx, Exchange, Filter, Needs, Outcome, Verdict};
use crate::reply::{Body, Reply};

/// Refuses what comes faster than a rate, counted for each key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// So many requests in such a time: `100/s`, `5/m`. Default: required, unless there are `limits`.
    pub rate: Option<Rate>,
    /// How many requests are admitted at one instant from idle, at least 1; of `gcra`, `token_bucket` and `leaky_bucket`. Default:
    /// of `gcra` as many as `rate` allows in one second, at least 1; of `token_bucket` as many as in its whole time; of
    /// `leaky_bucket` as many as `max_wait` lets wait.
    pub burst: Option<u32>,
    /// How long `leaky_bucket` lets a request wait at most, up to 1m. Default: with a `burst` as long as its last one waits; else 1s.
    pub max_wait: Option<Duration>,
    /// How requests are counted. Default: `gcra`.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// What is counted apart: `client_ip` (IPv6 by its /64), `consumer` (whose a request is; a filter before
    /// must prove it, as `api_key` does), `header:NAME` (requests without it count together), `cookie:NAME`, `san:KIND`,
    /// `proxy:VALUE`, `sni`, `route`, or a list of these. Default: `client_ip`.
    #[serde(default)]
    pub key: LimitKeys,
    /// Several limits in place of one, 1 to 8: a request that is not within all of them is refused, and then uses nothing up
    /// of any. In place of `rate`, `burst`, `algorithm`, `key`, `max_keys` and `name`. Default: none.
    #[serde(default)]
    pub limits: Vec<LimitConfig>,
    /// Who counts together; of `limits` each may say its own. Default: `process`.
    #[serde(default)]
    pub scope: Scope,
    /// How nodes share the limit, of scope `global`. Default: `leased`.
    pub mode: Option<Mode>,
    /// What happens to requests while the store does not answer, of scope `global`. Default: `fair_share`.
    pub on_fail: Option<OnFail>,
    /// How much a request uses up, at least 1. Default: 1.
    #[serde(default = "one")]
    pub cost: u32,
    /// A field of the request that says its cost: a whole number from 1 to `max_cost`. Anything else costs `max_cost`, a
    /// request without the field `cost`. Default: none.
    pub cost_header: Option<String>,
    /// A field of the response that says what its request cost in all, as `cost_header` does; a response without it costs nothing
    /// more. What is above the cost so far is counted when the response comes, also beyond the limit. Default: none.
    pub cost_response_header: Option<String>,
    /// What of the response is its request's cost in all, up to `max_cost`, counted when it has ended, also beyond the limit.
    /// Default: nothing.
    pub cost_response: Option<CostResponse>,
    /// The most that a field or a response can cost, at least `cost`. Default: required with `cost_header`,
    /// `cost_response_header` and `cost_response`.
    pub max_cost: Option<u32>,
    /// The most keys that are remembered, 16 bytes each, of other algorithms and of several limits 28 to 38 and of
    /// `sliding_window_log` 10 for each of the rate's count too; rounded up to a multiple of 8. Default: 65536.
    #[serde(default = "max_keys")]
    pub max_keys: usize,
    /// The policy's name in the RateLimit fields, 1 to 64 printable characters. Default: the rate.
    pub name: Option<String>,
    /// Whether responses say what is left. Default: true.
    #[serde(default = "yes")]
    pub headers: bool,
    /// Whether responses also carry X-RateLimit-Limit, X-RateLimit-Remaining and X-RateLimit-Reset (seconds until nothing is
    /// used any more) of the limit that has the least left. Default: false.
    #[serde(default)]
    pub legacy_headers: bool,
}

/// What of a response is a cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RateLimitCostResponse")]
pub enum CostResponse {
    /// The bytes of its body that were sent to the client: a rate of 1000000/s is then one of bytes.
    Bytes,
}

/// One limit of several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RateLimitLimit")]
pub struct LimitConfig {
    /// So many requests in such a time: `100/s`, `5/m`. Required.
    pub rate: Rate,
    /// As the filter's own `burst`. Default: as there.
    pub burst: Option<u32>,
    /// How requests are counted. Default: `gcra`.
    #[serde(default)]
    pub algorithm: Algorithm,
    /// What is counted apart. Default: `client_ip`.
    #[serde(default)]
    pub key: LimitKeys,
    /// Who counts together. Default: the filter's `scope`.
    pub scope: Option<Scope>,
    /// How nodes share the limit, of scope `global`. Default: the filter's `mode`.
    pub mode: Option<Mode>,
    /// The most keys that are remembered. Default: 65536.
    #[serde(default = "max_keys")]
    pub max_keys: usize,
    /// The policy's name, which no other limit of the filter has. Default: the rate.
    pub name: Option<String>,
}

/// How requests are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RateLimitAlgorithm")]
pub enum Algorithm {
    /// Requests come back one by one, evenly: in any time T at most `burst` and what T brings.
    #[default]
    Gcra,
    /// The same, but for the default of `burst`: a bucket begins with a whole time's tokens.
    TokenBucket,
    /// Requests go on one by one, at the rate: those that come faster wait, for `max_wait` at most, and more are refused.
    LeakyBucket,
    /// A window opens with a key's first request: the rate's count in each, at most twice that in any such time.
    FixedWindow,
    /// Two counters, the older weighted: about the rate's count in any such time, at most twice that.
    SlidingWindow,
    /// The time of each admission is kept: exactly the rate's count, at most 1024, in any such time.
    SlidingWindowLog,
}

impl Algorithm {
    /// True if requests come back one by one, and none waits.
    pub(super) fn is_bucket(self) -> bool {
        matches!(self, Self::Gcra | Self::TokenBucket)
    }
}

/// Who counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RateLimitScope")]
pub enum Scope {
    /// Each thread by itself: over all of them it is the limit so many times.
    Thread,
    /// All threads of this process.
    #[default]
    Process,
    /// All gateways that share the `store`.
    Global,
}

fn max_keys() -> usize {
    GcraTable::DEFAULT_CAPACITY
}

fn one() -> u32 {
    1
}

fn yes() -> bool {
    true
}

/// The filter.
pub enum RateLimit {
    /// One rate and a cost of 1: no lock, no allocation.
    One(One),
    /// All else.
    Several(Limits),
    /// One over all nodes.
    Global(Box<Global>),
    /// Several, of which some are over all nodes.
    Mixed(Box<Mixed>),
}

impl Config {
    /// The limit that the filter itself says.
    pub(super) fn one(self, rate: Rate) -> LimitConfig {
        LimitConfig {
            rate,
            burst: self.burst,
            algorithm: self.algorithm,
            key: self.key,
            scope: None,
            mode: None,
            max_keys: self.max_keys,
            name: self.name,
        }
    }
}

impl RateLimit {
    /// From its config, if its limits can be counted.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let mut scopes = config
            .limits
            .iter()
            .map(|l| l.scope.unwrap_or(config.scope));
        if scopes.any(|scope| scope == Scope::Global) {
            return Mixed::build(config, b).map(|mixed| Self::Mixed(Box::new(mixed)));
        }
        if config.scope == Scope::Global && config.limits.is_empty() {
            return Global::build(config, b).map(|global| Self::Global(Box::new(global)));
        }
        for (key, given) in [
            ("mode", config.mode.is_some()),
            ("on_fail", config.on_fail.is_some()),
        ] {
            if given {
                let why = "is of a limit over several nodes";
                b.fault(key, why, "remove it, or write scope: global");
                return None;
            }
        }
        if !rate_queue::stands(&config, b) {
            return None;
        }
        if config.limits.is_empty() {
            let Some(rate) = config.rate else {
                b.fault(
                    "rate",
                    "is required",
                    "write a rate such as 100/s, or limits",
                );
                return None;
            };
            let bucket = config.algorithm.is_bucket();
            let plain = config.cost == 1
                && config.cost_header.is_none()
                && config.max_cost.is_none()
                && config.cost_response_header.is_none()
                && config.cost_response.is_none();
            if (bucket || config.algorithm == Algorithm::LeakyBucket)
                && plain
                && !config.legacy_headers
            {
                return One::build(config, rate, b).map(Self::One);
            }
        }
        Limits::build(config, b).map(Self::Several)
    }
}

impl Filter for RateLimit {
    fn needs(&self) -> Needs {
        match self {
            Self::One(filter) => filter.needs(),
            Self::Several(filter) => filter.needs(),
            Self::Global(filter) => filter.needs(),
            Self::Mixed(filter) => filter.needs(),
        }
    }

    fn consumer_keys(&self) -> Vec<String> {
        match self {
            Self::One(filter) if filter.key.reads_consumer() => vec!["key".to_owned()],
            Self::One(_) => Vec::new(),
            Self::Several(filter) => filter.consumer_keys(),
            Self::Global(filter) => filter.consumer_keys(),
            Self::Mixed(filter) => filter.consumer_keys(),
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        match self {
            Self::One(filter) => filter.on_request(cx, req),
            Self::Several(filter) => filter.on_request(cx, req),
            Self::Global(filter) => filter.on_request(cx, req),
            Self::Mixed(filter) => filter.on_request(cx, req),
        }
    }

    fn on_answer(&self, cx: &mut Cx<'_>, ex: &mut Exchange, id: AskId, a: Answer<'_>) -> Verdict {
        match self {
            Self::One(filter) => filter.on_answer(cx, ex, id, a),
            Self::Several(_) => Verdict::Next,
            Self::Global(filter) => filter.on_answer(cx, ex, id, a),
            Self::Mixed(filter) => filter.on_answer(cx, ex, id, a),
        }
    }

    fn on_response(&self, cx: &mut Cx<'_>, req: &Head, rsp: &mut Head) -> Verdict {
        match self {
            Self::One(filter) => filter.on_response(cx, req, rsp),
            Self::Several(filter) => filter.on_response(cx, req, rsp),
            Self::Global(filter) => filter.on_response(cx, req, rsp),
            Self::Mixed(filter) => filter.on_response(cx, req, rsp),
        }
    }

    fn on_done(&self, cx: &mut Cx<'_>, outcome: &Outcome) {
        match self {
            Self::Several(filter) => filter.on_done(cx, outcome),
            Self::Mixed(filter) => filter.on_done(cx, outcome),
            Self::One(_) | Self::Global(_) => {}
        }
    }
}

/// How many a bucket holds unless the config says.
pub(super) fn default_burst(rate: Rate, algorithm: Algorithm) -> u64 {
    let Rate { count, period_ns } = rate;
    let second = u128::from(count) * u128::from(SECOND) / u128::from(period_ns);
    match algorithm {
        Algorithm::Gcra => second.max(1) as u64,
        _ => count,
    }
}

/// A policy's name, if it is one.
pub(super) fn named(name: Option<String>, rate: Rate, at: &str, b: &mut Build<'_>) -> String {
    let name = name.unwrap_or_else(|| rate.to_string());
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_name_byte) {
        let why = format!("{name:?} is not 1 to {MAX_NAME} printable characters without quotes");
        b.fault(at, why, "write a short word such as burst");
    }
    name
}

/// Reports a burst that cannot be counted.
pub(super) fn bad_rate(why: algo::BadRate, at: &str, b: &mut Build<'_>) {
    match why {
        algo::BadRate::ZeroBurst => b.fault(at, "a burst of 0 admits nothing", "write 1 or more"),
        why => b.fault(at, why.to_string(), "write a smaller burst"),
    }
}

/// A 429 that names the violated policies, and says after how many seconds to come again.
pub(super) fn refusal(policies: Vec<Box<str>>, seconds: u64) -> Reply {
    Reply {
        status: 429,
        code: "rate_limited",
        fields: Vec::with_capacity(3),
        body: Body::Quota {
            why: "Too many requests.".into(),
            policies,
        },
    }
    .with("retry-after", seconds.to_string())
}

/// A refusal where nobody knows what is used.
pub(super) fn unavailable() -> Verdict {
    Verdict::Reply(Box::new(Reply::problem(
        503,
        "rate_limit_unavailable",
        "Whether this request is within its limit could not be told.",
    )))
}

#[cfg(test)]
#[path = "rate_limit_tests.rs"]
mod tests;
