//! What a request turns out to have cost once its response is there, and how a field says a cost.
//!
//! Fails:  towards more. A field that says no cost costs the most; nothing is given back of what was charged before.
//! Bounds: `max_cost` for one response, so a key's debt is at most that for each of its requests that are under way.

use wire::Head;

use super::rate_limit::{Config, CostResponse};
use super::Build;

/// Where the cost of a request stands after its response.
pub(super) enum Spent {
    /// In a field of it, which says so much at most.
    Header(Box<str>, u64),
    /// It is the length of its body, up to so many bytes.
    Bytes(u64),
}

impl Spent {
    /// True if the config names one.
    pub(super) fn is_named(config: &Config) -> bool {
        config.cost_response_header.is_some() || config.cost_response.is_some()
    }

    /// From the filter's config.
    pub(super) fn build(config: &Config, b: &mut Build<'_>) -> Option<Self> {
        let key = match (&config.cost_response_header, config.cost_response) {
            (None, None) => return None,
            (Some(_), Some(_)) => {
                let why = "stands beside cost_response_header: one of them says the cost";
                b.fault("cost_response", why, "remove one");
                return None;
            }
            (Some(_), None) => "cost_response_header",
            (None, Some(_)) => "cost_response",
        };
        // With a cost_header what is wrong with max_cost was said there.
        let most = match config.max_cost {
            Some(most) if most < config.cost && config.cost_header.is_none() => {
                let why = format!("{most} is below what each request costs, {}", config.cost);
                b.fault("max_cost", why, "write the most that one response may cost");
                return None;
            }
            Some(most) => u64::from(most),
            None if config.cost_header.is_some() => return None,
            None => {
                let why = format!("is required with {key}");
                b.fault("max_cost", why, "write the most that one response may cost");
                return None;
            }
        };
        match (&config.cost_response_header, config.cost_response) {
            (Some(name), _) if !wire::valid_name(name.as_bytes()) => {
                let why = format!("{name:?} is no name of a field");
                b.fault(key, why, "write a name such as x-cost");
                None
            }
            (Some(name), _) => Some(Self::Header(name.to_ascii_lowercase().into(), most)),
            (None, Some(CostResponse::Bytes)) => Some(Self::Bytes(most)),
            (None, None) => None,
        }
    }

    /// What the head of a response says of its cost.
    pub(super) fn said(&self, rsp: &Head) -> Option<u64> {
        match self {
            Self::Header(name, most) => said(rsp, name, *most),
            Self::Bytes(_) => None,
        }
    }
}

/// The cost that a field says: 1 to `most`. It is `most` if it says anything else, and none without the field.
pub(super) fn said(head: &Head, name: &str, most: u64) -> Option<u64> {
    let mut values = head.find_all(name.as_bytes());
    let first = values.next()?;
    // Two are a dispute about one.
    let one = values.next().is_none().then(|| whole(first)).flatten();
    Some(one.filter(|n| (1..=most).contains(n)).unwrap_or(most))
}

/// Digits alone, at most 10 of them.
fn whole(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 10 {
        return None;
    }
    value.iter().try_fold(0, |n, b| {
        b.is_ascii_digit().then(|| n * 10 + u64::from(b - b'0'))
    })
}

#[cfg(test)]
#[path = "rate_spent_tests.rs"]
mod tests;
