//! What keys that left a set leave behind for those that take their places.

use super::{LeaseState, NEVER};
use crate::lease::Lease;

/// What the keys that left a set had used. What is owed is forgotten as fast as the limit forgets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Floor {
    tat: i64,
    own: i64,
    owed_until: i64,
}

impl Floor {
    /// Of a set that nobody left.
    pub(crate) const NEW: Self = Self {
        tat: NEVER,
        own: NEVER,
        owed_until: NEVER,
    };

    /// Adds what a key leaves behind.
    pub(crate) fn join(&mut self, lease: &Lease, left: &LeaseState) {
        let owed = (left.debt + left.flight).saturating_mul(lease.interval());
        self.tat = self.tat.max(left.tat);
        self.own = self.own.max(left.own);
        self.owed_until = self.owed_until.max(left.at.saturating_add(owed));
    }
}

impl LeaseState {
    /// What a key begins from that takes a place in a set with this floor.
    pub(crate) fn from_floor(floor: &Floor, lease: &Lease, now: i64) -> Self {
        let owed = floor.owed_until.saturating_sub(now).max(0);
        Self {
            at: now,
            tat: floor.tat,
            own: floor.own,
            debt: owed.saturating_add(lease.interval() - 1) / lease.interval(),
            ..Self::NEW
        }
    }
}
