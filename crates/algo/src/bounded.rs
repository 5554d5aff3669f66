//! Bounded loads: the node that owns a key, unless it has more than its share; then the next one.
//!
//! Source: Mirrokni, Thorup, Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016): with
//!         `m` units of load, the new one included, a node holds at most `ceil((1 + eps) m / n)`;
//!         what finds its node full goes to the next in the key's own order. With weights, `1/n` is
//!         the node's part of them.
//! Units:  a load is a count, such as requests in flight. `eps` 0.25 lets a node have a quarter more
//!         than its share; it is rounded up to a multiple of 2^-16, so that all machines agree.
//! Errors: only [`Bounded::new`] fails ([`BadBound`]).
//! Bounds: 4 bytes a node; a pick reads every load once.
//!
//! The order is that of what picks: [`crate::Maglev::pick_where`], [`crate::KetamaRing::pick_where`]
//! or [`crate::Rendezvous::pick_where`], to which [`Bounded::room`] is handed:
//!
//! ```
//! use algo::{stable_hash, Bounded, Maglev};
//!
//! let nodes = [(stable_hash(b"a"), 1), (stable_hash(b"b"), 1)];
//! let (table, bounded) = (Maglev::new(&nodes, 65_537)?, Bounded::new(&[1, 1], 0.25)?);
//! let loads = [9, 1];
//! let node = table.pick_where(stable_hash(b"a key"), bounded.room(|node| loads[node]));
//! assert_eq!(node, Some(1), "7 is the most that one of two may hold of 11");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;

/// How much each of some nodes may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounded {
    weights: Box<[u32]>,
    total: u64,
    /// `1 + eps`, in 2^-16.
    factor: u64,
}

/// Why [`Bounded::new`] refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBound {
    /// No node, or every weight 0.
    NoNodes,
    /// `eps` is not above 0 and at most [`Bounded::MAX_EPS`].
    BadEps,
}

impl Bounded {
    /// Beyond this a bound bounds nothing.
    pub const MAX_EPS: f64 = 1_000.0;

    /// Nodes by weight, in the order of their indices; weight 0 has no room. The weights are those
    /// that what picks was built with.
    pub fn new(weights: &[u32], eps: f64) -> Result<Self, BadBound> {
        if !(eps > 0.0 && eps <= Self::MAX_EPS) {
            return Err(BadBound::BadEps);
        }
        let total = weights.iter().map(|&weight| u64::from(weight)).sum();
        if total == 0 {
            return Err(BadBound::NoNodes);
        }
        Ok(Self {
            weights: weights.into(),
            total,
            factor: ONE + (eps * ONE as f64).ceil() as u64,
        })
    }

    /// The most that a node may hold when all nodes together hold `load`, one more coming included:
    /// `ceil((1 + eps) (load + 1) weight / weights)`. 0 for a node that is not there.
    #[inline]
    pub fn capacity(&self, node: usize, load: u64) -> u64 {
        let weight = self.weights.get(node).copied().unwrap_or_default();
        // Below 2^26 * (2^64 + 1) * 2^32.
        let share = u128::from(self.factor) * (u128::from(load) + 1) * u128::from(weight);
        let most = share.div_ceil(u128::from(ONE) * u128::from(self.total));
        u64::try_from(most).unwrap_or(u64::MAX)
    }

    /// Has a node room for one more? `load` says what each holds, and is asked once for every node
    /// that has a weight, here, to add them up, and once for each that is looked at.
    ///
    /// For loads that stand still there is always one that has: all capacities together are more
    /// than all loads.
    pub fn room<'a>(&'a self, load: impl Fn(usize) -> u64 + 'a) -> impl Fn(usize) -> bool + 'a {
        let live = (0..self.weights.len()).filter(|&node| self.weights[node] > 0);
        let all = live.fold(0u64, |all, node| all.saturating_add(load(node)));
        move |node| load(node) < self.capacity(node, all)
    }
}

impl fmt::Display for BadBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNodes => f.write_str("no node has a weight above 0"),
            Self::BadEps => write!(f, "eps must be above 0 and at most {}", Bounded::MAX_EPS),
        }
    }
}

impl std::error::Error for BadBound {}

/// 1 as a factor. A power of two, so that the product with a float is exact.
const ONE: u64 = 1 << 16;

#[cfg(test)]
#[path = "bounded_tests.rs"]
mod tests;
