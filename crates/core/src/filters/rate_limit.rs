//! rate_limit: refuses what comes faster than a rate, counted for each key.
//!
//! Config:  `{ use: rate_limit, rate: 100/s, burst: 20, key: client_ip }`
//! Reads:   what `key` names; for `client_ip` behind proxies, put the filter client_ip first.
//! Asks:    nothing: the count is this process's own, exact over all its threads.
//! Replies: 429 `rate_limited` with Retry-After (whole seconds, rounded up). RateLimit and
//!          RateLimit-Policy are on this and on every other response, unless `headers: false`.
//! Fails:   never. A refused request uses nothing up. When the table is full, the idlest key leaves
//!          and the newcomer inherits its debt, so a flood of keys frees nobody. The count
//!          survives a reload that keeps this filter's place and what it limits.
//! Source:  GCRA (ITU-T I.371); RFC 6585 section 4 (429), RFC 9110 section 10.2.3 (Retry-After),
//!          draft-ietf-httpapi-ratelimit-headers-10 (RateLimit: `r` left now, `t` seconds to one more).

use std::net::IpAddr;
use std::sync::Arc;

use algo::{Decision, Gcra, GcraTable};
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::rate_field::{is_name_byte, policy, Field, MAX_NAME, SECOND};
use super::rate_key::{LimitKey, LimitKeys};
use super::Build;
use crate::config::units::Rate;
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::reply::{Body, Reply};

/// Refuses what comes faster than a rate, counted for each key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// So many requests in such a time: `100/s`, `5/m`. Required.
    pub rate: Rate,
    /// How many requests are admitted at one instant from idle, at least 1. Default: as many as
    /// `rate` allows in one second, at least 1.
    pub burst: Option<u32>,
    /// What is counted apart: `client_ip` (IPv6 by its /64), `header:NAME` (requests without it
    /// count together), `route`, or a list of these. Default: `client_ip`.
    #[serde(default)]
    pub key: LimitKeys,
    /// Who counts together. Default: `process`.
    #[serde(default)]
    pub scope: Scope,
    /// The most keys that are remembered, 16 bytes each; rounded up to a multiple of 8. Default: 65536.
    #[serde(default = "max_keys")]
    pub max_keys: usize,
    /// The policy's name in the RateLimit fields, 1 to 64 printable characters. Default: the rate.
    pub name: Option<String>,
    /// Whether responses say what is left. Default: true.
    #[serde(default = "yes")]
    pub headers: bool,
}

/// Who counts together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RateLimitScope")]
pub enum Scope {
    /// All threads of this process.
    #[default]
    Process,
}

fn max_keys() -> usize {
    GcraTable::DEFAULT_CAPACITY
}

fn yes() -> bool {
    true
}

/// The filter.
pub struct RateLimit {
    gcra: Gcra,
    table: Arc<GcraTable>,
    key: LimitKeys,
    /// Nanoseconds in which one more request is allowed.
    interval: u64,
    headers: bool,
    name: Box<str>,
    /// The value of RateLimit-Policy.
    policy: Box<[u8]>,
}

impl RateLimit {
    /// From its config, if the rate and its burst can be counted.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        let Scope::Process = config.scope;
        let Rate { count, period_ns } = config.rate;
        let second = u128::from(count) * u128::from(SECOND) / u128::from(period_ns);
        let burst = config.burst.map_or(second.max(1) as u64, u64::from);
        let gcra = match Gcra::new(count, period_ns, burst) {
            Ok(gcra) => Some(gcra),
            Err(algo::BadRate::ZeroBurst) => {
                b.fault("burst", "a burst of 0 admits nothing", "write 1 or more");
                None
            }
            Err(why) => {
                b.fault("burst", why.to_string(), "write a smaller burst");
                None
            }
        };
        let most = GcraTable::MAX_CAPACITY;
        if config.max_keys == 0 || config.max_keys > most {
            b.fault(
                "max_keys",
                format!("{} is not 1 to {most}", config.max_keys),
                "write 65536, or twice the keys you expect",
            );
        }
        let name = config.name.unwrap_or_else(|| config.rate.to_string());
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_name_byte) {
            let why =
                format!("{name:?} is not 1 to {MAX_NAME} printable characters without quotes");
            b.fault("name", why, "write a short word such as burst");
        }
        if b.faults.len() > before {
            return None;
        }
        let identity = format!(
            "{}:{}:{burst}:{}:{}",
            b.ordinal, config.rate, config.key, b.route
        );
        let table = match b.shared {
            Some(shared) => shared.table(&identity, config.max_keys),
            None => Arc::new(GcraTable::new(1, 0).ok()?),
        };
        let policy = policy(&name, count, period_ns).into_bytes().into();
        let interval = period_ns.div_ceil(count);
        Some(Self {
            gcra: gcra?,
            table,
            key: config.key,
            interval,
            headers: config.headers,
            name: name.into(),
            policy,
        })
    }

    fn hash(&self, cx: &Cx<'_>, req: &Head) -> u64 {
        let part = |key: &LimitKey| match key {
            LimitKey::Route => 0,
            LimitKey::Header(name) => self
                .table
                .hash(req.find(name.as_bytes()).unwrap_or_default()),
            LimitKey::Proxy(value) => {
                let told = cx.client.proxied.as_deref().and_then(|p| p.get(*value));
                self.table
                    .hash(&value.canonical(told.as_deref().unwrap_or_default()))
            }
            LimitKey::ClientIp => match cx.client.ip {
                IpAddr::V4(ip) => self.table.hash(&ip.octets()),
                // A site has a /64 to itself at least: single addresses cost it nothing.
                IpAddr::V6(ip) => self.table.hash(&ip.octets()[..8]),
            },
        };
        self.key
            .0
            .iter()
            .fold(0, |all, key| algo::mix64(all ^ part(key)).rotate_left(1))
    }

    fn fields(&self, left: u64, seconds: u64) -> Field {
        let mut field = Field::default();
        field.push(b"\"");
        field.push(self.name.as_bytes());
        field.push(b"\";r=");
        field.number(left);
        field.push(b";t=");
        field.number(seconds);
        field
    }

    fn refuse(&self, retry_after: u64, left: u64) -> Verdict {
        let seconds = retry_after.div_ceil(SECOND).max(1);
        let body = Body::Quota {
            why: "Too many requests.".into(),
            policy: self.name.clone(),
        };
        let mut reply = Reply {
            status: 429,
            code: "rate_limited",
            fields: Vec::with_capacity(3),
            body,
        }
        .with("retry-after", seconds.to_string());
        if self.headers {
            let field = self.fields(left, seconds);
            reply = reply
                .with("ratelimit-policy", &*self.policy)
                .with("ratelimit", field.bytes());
        }
        Verdict::Reply(Box::new(reply))
    }
}

impl Filter for RateLimit {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            response: self.headers,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        match self.table.decide(self.hash(cx, req), &self.gcra, cx.now, 1) {
            Decision::Admit {
                remaining,
                reset_after,
                ..
            } => {
                let used = self.gcra.burst() - remaining;
                let next = reset_after.saturating_sub(used.saturating_sub(1) * self.interval);
                cx.slot.words = [remaining, next.div_ceil(SECOND)];
                Verdict::Next
            }
            Decision::Refuse {
                retry_after,
                remaining,
                ..
            } => self.refuse(retry_after, remaining),
            // Only a cost above the burst is never admitted, and the burst is at least 1.
            Decision::Never => self.refuse(self.gcra.window(), 0),
        }
    }

    fn on_response(&self, cx: &mut Cx<'_>, _: &Head, rsp: &mut Head) -> Verdict {
        let [left, seconds] = cx.slot.words;
        // Beside those of other policies, this gateway's or an upstream's: both fields are lists.
        // A head that is full goes without.
        let _full = rsp.add(b"ratelimit-policy", &self.policy);
        let _full = rsp.add(b"ratelimit", self.fields(left, seconds).bytes());
        Verdict::Next
    }
}

#[cfg(test)]
#[path = "rate_limit_tests.rs"]
mod tests;
