//! What a limit over several nodes is counted by, from its config: a script of the store, or leases.

use std::sync::Arc;

use algo::{Bucket, Fallback, Gcra, GcraTable, Lease, LeaseTable, Limit, LimitTable};

use super::rate_global::{Mode, OnFail};
use super::rate_key::LimitKeys;
use super::rate_limit::{bad_rate, default_burst, named, Algorithm, Config, LimitConfig};
use super::rate_limits::Cost;
use super::rate_store::Script;
use super::Build;
use crate::config::units::Rate;
use crate::snapshot::Shared;

/// A limit over several nodes.
pub(super) struct Plan {
    pub(super) by: By,
    pub(super) rate: Rate,
    /// The most that is admitted at one instant.
    pub(super) quota: u64,
    pub(super) key: LimitKeys,
    pub(super) max_keys: usize,
    pub(super) name: Box<str>,
    /// Names it in the store, and here over reloads.
    pub(super) identity: String,
}

/// By what it is counted.
#[derive(Clone, Copy)]
pub(super) enum By {
    Script(Script),
    Leases(Lease),
}

impl Plan {
    /// Of the filter's only limit, or of that which stands at `nth` in its list.
    pub(super) fn build(
        config: LimitConfig,
        (mode, on_fail): (Mode, OnFail),
        nth: Option<usize>,
        cost: &Cost,
        b: &mut Build<'_>,
    ) -> Option<Self> {
        let before = b.faults.len();
        let at = nth.map_or_else(String::new, |i| format!("limits[{i}]."));
        let (rate, algorithm) = (config.rate, config.algorithm);
        let bucket = algorithm.is_bucket();
        if config.burst.is_some() && !bucket {
            let why = "a window has no burst: the rate's count may come at once";
            b.fault(&format!("{at}burst"), why, "remove it, or write gcra");
        }
        if mode == Mode::Leased && !bucket && algorithm != Algorithm::LeakyBucket {
            let why = "of a window no leases can be taken";
            b.fault(
                &format!("{at}algorithm"),
                why,
                "write mode: strict, or gcra",
            );
        }
        let (count, period) = (rate.count, rate.period_ns);
        let burst = match (bucket, config.burst) {
            (true, Some(burst)) => u64::from(burst),
            (true, None) => default_burst(rate, algorithm),
            (false, _) => count,
        };
        let own = Gcra::new(count, period, burst);
        let script = match Script::new(algorithm, rate, burst) {
            Ok(script) => Some(script),
            Err(why) => {
                b.fault(&format!("{at}{}", why.key), why.why, why.fix);
                None
            }
        };
        // Of several, a node's shares are buckets that can be held together.
        let bucket_of = (mode == Mode::Strict && nth.is_some())
            .then(|| Bucket::new(count, period, burst))
            .transpose();
        if let (Some(_), Some(why)) = (&script, own.err().or(bucket_of.err())) {
            let key = if bucket { "burst" } else { "rate" };
            bad_rate(why, &format!("{at}{key}"), b);
        }
        let fallback = match on_fail {
            OnFail::FairShare => Fallback::FairShare,
            OnFail::Open => Fallback::Open,
            OnFail::Closed => Fallback::Closed,
        };
        let by = match mode {
            Mode::Strict => script.map(By::Script),
            Mode::Leased => match Lease::new(count, period, burst, fallback) {
                Ok(lease) => Some(By::Leases(lease)),
                Err(why) => {
                    bad_rate(why, &format!("{at}rate"), b);
                    None
                }
            },
        };
        if cost.most() > burst {
            let whose = at.strip_suffix('.').unwrap_or("the limit");
            let why = format!(
                "{} is above {burst}, the most that {whose} admits at once",
                cost.most()
            );
            b.fault(
                cost.key(),
                why,
                "write a lower cost, or a higher burst or rate",
            );
        }
        let most = match (mode, bucket_of) {
            (Mode::Strict, Ok(Some(bucket))) => {
                LimitTable::MAX_BYTES / LimitTable::bytes(&Limit::Bucket(bucket), 8) * 8
            }
            (Mode::Strict, _) => GcraTable::MAX_CAPACITY,
            (Mode::Leased, _) => LeaseTable::MAX_BYTES / LeaseTable::bytes(8) * 8,
        };
        if config.max_keys == 0 || config.max_keys > most {
            let why = format!("{} is not 1 to {most}", config.max_keys);
            b.fault(
                &format!("{at}max_keys"),
                why,
                "write 65536, or twice the keys you expect",
            );
        }
        let name = named(config.name, rate, &format!("{at}name"), b);
        if b.faults.len() > before {
            return None;
        }
        let place = nth.map_or_else(String::new, |i| format!("{i}:"));
        let identity = format!(
            "{}:{}:{place}{algorithm:?}:{rate}:{burst}:{}",
            b.route, b.ordinal, config.key
        );
        Some(Self {
            by: by?,
            rate,
            quota: burst,
            key: config.key,
            max_keys: config.max_keys,
            name: name.into(),
            identity,
        })
    }

    /// The leases that this process holds of it.
    pub(super) fn leases(
        &self,
        lease: Lease,
        shared: Option<(&Shared, &str)>,
    ) -> Option<Arc<LeaseTable>> {
        let Some((shared, route)) = shared else {
            return LeaseTable::new(lease, 1, 0).ok().map(Arc::new);
        };
        let own = format!("global:{}", self.identity);
        shared.lease(&own, lease, self.max_keys, (route, &self.name))
    }
}

/// Reports what is counted in one process only.
pub(super) fn of_one_process(config: &Config, b: &mut Build<'_>) {
    for (key, given) in [
        (
            "cost_response_header",
            config.cost_response_header.is_some(),
        ),
        ("cost_response", config.cost_response.is_some()),
        ("max_wait", config.max_wait.is_some()),
    ] {
        if given {
            let why = "is not counted over several nodes";
            b.fault(key, why, "remove it, or write scope: process");
        }
    }
}
