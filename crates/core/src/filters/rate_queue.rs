//! The queue of `leaky_bucket`: how long it may be, and what stands beside it in the config.
//!
//! It has no list: a key's one timestamp says when the next turn is, so who is admitted knows how long to wait.
//! Source: nginx's `limit_req` without `nodelay`. Its `burst=N` counts those that wait, so it is `burst: N + 1` here.

use algo::{BadRate, Gcra};

use super::rate_limit::{Algorithm, Config};
use super::Build;
use crate::config::units::{Duration, Rate};

/// True if `max_wait` is one that bounds something; else it is reported.
pub(super) fn stands(config: &Config, b: &mut Build<'_>) -> bool {
    let Some(wait) = config.max_wait else {
        return true;
    };
    if !config.limits.is_empty() || config.algorithm != Algorithm::LeakyBucket {
        let why = "only requests of leaky_bucket wait";
        b.fault(
            "max_wait",
            why,
            "remove it, or write algorithm: leaky_bucket",
        );
    } else if wait > LONGEST {
        let why = format!("\"{wait}\" is above the most, {LONGEST}");
        b.fault("max_wait", why, format!("write {LONGEST} or less"));
    } else {
        return true;
    }
    false
}

/// Reports a queue where there can be none: in the limit at `at` of several, or beside what it does not count by.
pub(super) fn refuse(at: &str, b: &mut Build<'_>) {
    let (why, fix) = match at {
        "" => (
            "leaky_bucket counts each request as 1, and has no X-RateLimit fields",
            "remove the costs and legacy_headers, or write token_bucket",
        ),
        _ => (
            "a request cannot wait for several limits at once",
            "write a filter of its own with algorithm: leaky_bucket",
        ),
    };
    b.fault(&format!("{at}algorithm"), why, fix);
}

/// The queue that this config describes.
pub(super) fn gcra(config: &Config, rate: Rate, b: &mut Build<'_>) -> Result<Gcra, BadRate> {
    let Rate { count, period_ns } = rate;
    let (burst, wait) = match (config.burst, config.max_wait) {
        (None, wait) => (u64::MAX, wait.unwrap_or(Duration::secs(1)).nanos()),
        (Some(burst), Some(wait)) => (u64::from(burst), wait.nanos()),
        (Some(burst), None) => (u64::from(burst), LONGEST.nanos()),
    };
    let last =
        u128::from(burst.saturating_sub(1)) * u128::from(period_ns) / u128::from(count.max(1));
    if config.max_wait.is_none() && config.burst.is_some() && last > u128::from(LONGEST.nanos()) {
        let why = format!("the last of {burst} would wait for more than {LONGEST} at {rate}");
        b.fault("burst", why, "write a lower burst, or a max_wait");
    }
    Gcra::queue(count, period_ns, burst, wait)
}

/// The longest that a request may wait for its turn.
const LONGEST: Duration = Duration::secs(60);

#[cfg(test)]
#[path = "rate_queue_tests.rs"]
mod tests;
