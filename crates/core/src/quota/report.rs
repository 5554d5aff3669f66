//! What operators are told of quotas.
//!
//! Bounds: [`MAX_LISTED`] consumers in a list, in the order of their names; it says if there are more.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{json, Value};

use super::Quota;
use crate::snapshot::Snapshot;

impl Snapshot {
    /// Each quota of the config once.
    fn quotas(&self) -> Vec<&Quota> {
        let filters = self.routes.iter().flat_map(|route| &route.filters);
        let mut all: Vec<&Quota> = Vec::new();
        for quota in filters.filter_map(|filter| filter.quota()) {
            if !all.iter().any(|known| known.identity == quota.identity) {
                all.push(quota);
            }
        }
        all
    }

    /// Where a consumer stands with each quota at this second of the wall clock, as JSON. Who used nothing stands at 0.
    pub fn quotas_of(&self, consumer: &str, unix: u64) -> String {
        let all = self.quotas();
        let all: Vec<_> = all.iter().map(|q| standing(q, consumer, unix)).collect();
        json!({ "consumer": consumer, "quotas": all }).to_string()
    }

    /// The quotas, and where those who used something stand, as JSON.
    pub fn quotas_json(&self, unix: u64) -> String {
        let quotas = self.quotas();
        let consumers = quotas.iter().flat_map(|quota| quota.counts.consumers());
        let consumers: BTreeSet<Arc<str>> = consumers.collect();
        let more = consumers.len().saturating_sub(MAX_LISTED);
        let of = |consumer: &Arc<str>| {
            let all = quotas.iter().map(|q| standing(q, consumer, unix));
            json!({ "consumer": **consumer, "quotas": all.collect::<Vec<_>>() })
        };
        let listed: Vec<_> = consumers.iter().take(MAX_LISTED).map(of).collect();
        json!({ "consumers": listed, "not_listed": more }).to_string()
    }
}

fn standing(quota: &Quota, consumer: &str, unix: u64) -> Value {
    let standing = quota.counts.standing(consumer, &quota.calendar, unix);
    let (limit, plan) = quota.limit_of(consumer);
    let mut all = json!({
        "name": quota.identity.name,
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
