//! What operators are told of quotas.
//!
//! Bounds: [`MAX_LISTED`] consumers in a list, in the order of their names; it says if there are more.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{json, Value};

use super::Quota;
use crate::snapshot::Snapshot;
use crate::Nanos;

impl Snapshot {
    /// Each quota of the config once.
    pub(super) fn quotas(&self) -> Vec<&Quota> {
        let filters = self.routes.iter().flat_map(|route| &route.filters);
        let mut all: Vec<&Quota> = Vec::new();
        for quota in filters.filter_map(|filter| filter.quota()) {
            if !all.iter().any(|known| known.identity == quota.identity) {
                all.push(quota);
            }
        }
        all
    }

    /// Where a consumer stands with each quota at this moment, `wall` seconds since 1970 by the wall clock, as JSON. Who used nothing
    /// stands at 0. `asked` are the numbers of those quotas of which the store was asked just now.
    pub fn quotas_of(&self, consumer: &str, (now, wall): (Nanos, u64), asked: &[usize]) -> String {
        let all = self.quotas();
        let of = |(number, quota): (usize, &&Quota)| {
            standing(quota, consumer, (now, wall), asked.contains(&number))
        };
        let all: Vec<_> = all.iter().enumerate().map(of).collect();
        json!({ "consumer": consumer, "quotas": all }).to_string()
    }

    /// The quotas, and where those stand of whom this node knows that they used something, as JSON. The store is not asked.
    pub fn quotas_json(&self, (now, wall): (Nanos, u64)) -> String {
        let quotas = self.quotas();
        let known = |quota: &&Quota| {
            let here = quota.counts.consumers();
            let global = quota.global.as_ref();
            here.into_iter()
                .chain(global.map_or_else(Vec::new, |g| g.replica.consumers()))
        };
        let consumers: BTreeSet<Arc<str>> = quotas.iter().flat_map(known).collect();
        let more = consumers.len().saturating_sub(MAX_LISTED);
        let of = |consumer: &Arc<str>| {
            let all = quotas
                .iter()
                .map(|q| standing(q, consumer, (now, wall), false));
            json!({ "consumer": **consumer, "quotas": all.collect::<Vec<_>>() })
        };
        let listed: Vec<_> = consumers.iter().take(MAX_LISTED).map(of).collect();
        json!({ "consumers": listed, "not_listed": more }).to_string()
    }
}

fn standing(quota: &Quota, consumer: &str, (now, wall): (Nanos, u64), asked: bool) -> Value {
    let unix = quota.unix(now, wall);
    let here = || quota.counts.standing(consumer, &quota.calendar, unix);
    let global = quota.global.as_ref();
    let known = global.and_then(|global| global.replica.standing(consumer, unix));
    let standing = known.unwrap_or_else(here);
    let (limit, plan) = quota.limit_of(consumer);
    let mut all = json!({
        "name": quota.identity.name,
        "scope": if global.is_some() { "global" } else { "process" },
        "unit": quota.identity.unit,
        "per": quota.identity.per,
        "time_zone": quota.calendar.zone(),
        "limit": limit,
        "used": standing.used,
        "left": limit.saturating_sub(standing.used),
        "window": date(standing.window.start),
        "reset": date(standing.window.end),
        "reset_after_seconds": standing.window.end.saturating_sub(unix),
    });
    if let Some(plan) = plan {
        all["plan"] = json!(**plan);
    }
    if global.is_some() {
        all["source"] = json!(if asked { "store" } else { "node" });
    }
    all
}

/// ISO 8601.
fn date(unix: u64) -> String {
    let at = i64::try_from(unix).ok();
    let at = at.and_then(|s| Timestamp::from_second(s).ok());
    at.unwrap_or_default().to_string()
}

/// Consumers of one list.
pub const MAX_LISTED: usize = 1000;
