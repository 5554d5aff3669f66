//! What a response tells of a limit: how much is left, and when there is more.

use wire::{Head, Line};

use super::rate_field::{policy, Field, SECOND};
use crate::config::units::Rate;
use crate::reply::Reply;

/// What a response tells of one limit. Times are in seconds.
#[derive(Clone, Copy, Default)]
pub(super) struct Told {
    pub(super) left: u64,
    pub(super) more: u64,
    pub(super) reset: u64,
}

impl Told {
    /// Nanoseconds become seconds, rounded up.
    pub(super) fn of(left: u64, more: u64, reset: u64) -> Self {
        Self {
            left,
            more: more.div_ceil(SECOND),
            reset: reset.div_ceil(SECOND),
        }
    }

    /// The value of RateLimit.
    pub(super) fn field(&self, name: &str) -> Field {
        Field::of(name, self.left, self.after())
    }

    /// In how many seconds there is more; none if no wait brings any.
    pub(super) fn after(&self) -> Option<u64> {
        (self.more > 0).then_some(self.more)
    }

    /// Into the two words of a slot, of which the first is never 0.
    pub(super) fn pack(self) -> [u64; 2] {
        let half = |n: u64| n.min(u64::from(u32::MAX));
        [
            self.left.saturating_add(1),
            half(self.more) << 32 | half(self.reset),
        ]
    }

    /// Out of them; none if nothing was kept.
    pub(super) fn unpack([left, seconds]: [u64; 2]) -> Option<Self> {
        Some(Self {
            left: left.checked_sub(1)?,
            more: seconds >> 32,
            reset: seconds & u64::from(u32::MAX),
        })
    }
}

/// RateLimit-Policy and RateLimit of one limit. What is the same for all requests is checked once.
pub(super) struct Fields {
    policy: Line,
    /// RateLimit, up to what is left.
    limit: Line,
}

impl Fields {
    /// None for a name that cannot stand in them.
    pub(super) fn of(name: &str, rate: Rate) -> Option<Self> {
        let policy = policy(name, rate.count, rate.period_ns);
        Some(Self {
            policy: Line::new(b"ratelimit-policy", policy.as_bytes()).ok()?,
            limit: Line::new(b"ratelimit", Field::begin(name).bytes()).ok()?,
        })
    }

    /// On a response that passes, beside those of other policies, this gateway's or an upstream's: both fields are lists. A head that
    /// is full goes without.
    pub(super) fn add(&self, rsp: &mut Head, left: u64, more: Option<u64>) {
        let _full = rsp.add_line(&self.policy, b"");
        let _full = rsp.add_line(&self.limit, Field::end(left, more).bytes());
    }

    /// On a reply of the gateway's own.
    pub(super) fn reply(&self, reply: Reply, left: u64, more: u64) -> Reply {
        let end = Field::end(left, Some(more));
        reply
            .with("ratelimit-policy", self.policy.value())
            .with("ratelimit", [self.limit.value(), end.bytes()].concat())
    }
}

/// The value of RateLimit for several limits, by their names.
pub(super) fn list<'a>(all: impl Iterator<Item = (&'a str, Told)>) -> Vec<u8> {
    let mut list = Vec::new();
    for (name, told) in all {
        if !list.is_empty() {
            list.extend_from_slice(b", ");
        }
        list.extend_from_slice(told.field(name).bytes());
    }
    list
}

/// The older trio of fields, of a limit that admits `quota` at once.
pub(super) struct Trio([(&'static str, u64); 3]);

impl Trio {
    pub(super) fn of(quota: u64, told: Told) -> Self {
        Self([
            ("x-ratelimit-limit", quota),
            ("x-ratelimit-remaining", told.left),
            ("x-ratelimit-reset", told.reset),
        ])
    }

    /// Of the limit that has the least left; each with what it admits at once.
    pub(super) fn least(all: impl Iterator<Item = (u64, Told)>) -> Self {
        let least = all.min_by_key(|(_, told)| (told.left, u64::MAX - told.more));
        let (quota, told) = least.unwrap_or_default();
        Self::of(quota, told)
    }

    /// On a reply of the gateway's own.
    pub(super) fn reply(self, reply: Reply) -> Reply {
        let with = |reply: Reply, (name, value): (_, u64)| reply.with(name, value.to_string());
        self.0.into_iter().fold(reply, with)
    }

    /// On a response that passes. A head that is full goes without.
    pub(super) fn set(self, rsp: &mut Head) {
        for (name, value) in self.0 {
            let mut field = Field::default();
            field.number(value);
            let _full = rsp.set(name.as_bytes(), field.bytes());
        }
    }
}
