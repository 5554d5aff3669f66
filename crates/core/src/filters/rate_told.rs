//! What a response tells of a limit over several nodes, kept in the two words of its request's slot.

use super::rate_field::SECOND;
use super::rate_store::Stored;

/// What a response tells. Seconds.
#[derive(Clone, Copy)]
pub(super) struct Told {
    pub(super) left: u64,
    pub(super) more: u64,
    pub(super) reset: u64,
}

impl Told {
    pub(super) fn of(stored: &Stored) -> Self {
        Self {
            left: stored.left,
            more: stored.more.div_ceil(SECOND),
            reset: stored.reset.div_ceil(SECOND),
        }
    }

    /// Into two words, of which the first is never 0.
    pub(super) fn pack(self) -> [u64; 2] {
        let half = |n: u64| n.min(u64::from(u32::MAX));
        [
            self.left.saturating_add(1),
            half(self.more) << 32 | half(self.reset),
        ]
    }

    pub(super) fn unpack([left, seconds]: [u64; 2]) -> Option<Self> {
        Some(Self {
            left: left.checked_sub(1)?,
            more: seconds >> 32,
            reset: seconds & u64::from(u32::MAX),
        })
    }
}
