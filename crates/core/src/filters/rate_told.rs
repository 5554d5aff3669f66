//! What a response tells of a limit: how much is left, and when there is more.

use wire::Head;

use super::rate_field::{Field, SECOND};
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
        Field::of(name, self.left, (self.more > 0).then_some(self.more))
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
