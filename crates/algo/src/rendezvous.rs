//! Rendezvous hashing: each node bids for each key, and the highest bid has it.
//!
//! Source: Thaler, Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998); weights by
//!         the logarithmic method of Schindler and Resch (SNIA SDC 2015): with `u` the hash of key
//!         and node in (0, 1], the node with the least `-ln(u) / weight` wins.
//! Units:  keys and node ids are 64-bit hashes; give [`crate::stable_hash`] of their bytes.
//! Errors: only [`Rendezvous::new`] fails ([`BadRendezvous`]).
//! Bounds: 24 bytes a node, at most [`Rendezvous::MAX_NODES`]; a pick looks at every node, some
//!         nanoseconds each: for tens of nodes. The logarithm is of integers, exact to 2^-58, so
//!         that all machines agree; it is taken only of bids that may win, about ln(n) of them.

use std::fmt;

use crate::hash::mix64;

/// Nodes that bid for keys. Shares are by weight; a node that comes or goes moves only the keys it
/// wins or had, and no other order of nodes changes anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendezvous {
    /// Mixed ids, in the order of the ids.
    salts: Box<[u64]>,
    nodes: Box<[Node]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    weight: u32,
    /// Into the caller's list.
    index: u32,
    /// The heaviest weight over this one, in 2^-32, rounded up.
    lightness: u64,
}

/// Why [`Rendezvous::new`] refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRendezvous {
    /// No node, or every weight 0.
    NoNodes,
    /// More nodes than [`Rendezvous::MAX_NODES`].
    TooManyNodes,
    /// Two nodes have this id.
    SameId(u64),
}

impl Rendezvous {
    /// A pick among so many takes some 200 µs.
    pub const MAX_NODES: usize = 65_535;

    /// Nodes given as `(id, weight)`. Their order does not matter, but for the indices that come
    /// back. Weight 0 takes a node out.
    pub fn new(nodes: &[(u64, u32)]) -> Result<Self, BadRendezvous> {
        if nodes.len() > Self::MAX_NODES {
            return Err(BadRendezvous::TooManyNodes);
        }
        let mut by_id: Vec<_> = (0u32..)
            .zip(nodes)
            .filter(|(_, &(_, weight))| weight > 0)
            .map(|(index, &(id, weight))| (id, weight, index))
            .collect();
        by_id.sort_unstable();
        if let Some(pair) = by_id.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(BadRendezvous::SameId(pair[0].0));
        }
        let heaviest = by_id.iter().map(|node| u64::from(node.1)).max();
        let heaviest = heaviest.ok_or(BadRendezvous::NoNodes)?;
        let node = |&(_, weight, index): &(u64, u32, u32)| Node {
            weight,
            index,
            lightness: (heaviest << 32).div_ceil(weight.into()),
        };
        Ok(Self {
            salts: by_id.iter().map(|node| mix64(node.0)).collect(),
            nodes: by_id.iter().map(node).collect(),
        })
    }

    /// The node that owns a key.
    #[inline]
    pub fn pick(&self, key_hash: u64) -> usize {
        // There is a node, and none is refused.
        self.pick_where(key_hash, |_| true).unwrap_or_default()
    }

    /// The node that owns a key among those for which `ok` holds: the highest bid of these, as if
    /// there were no others. `None` if no node is well.
    ///
    /// Calls `ok` only for nodes that may win: a few times if most are well, at most once each.
    #[inline]
    pub fn pick_where(&self, key_hash: u64, ok: impl Fn(usize) -> bool) -> Option<usize> {
        let mut best = Bid {
            cost: u128::MAX >> u32::BITS,
            weight: 1,
            index: None,
        };
        // Below this a bid may win: a bound of its cost by what is cheap to know.
        let mut limit = u64::MAX;
        for (at, salt) in self.salts.iter().enumerate() {
            let spare = !mix64(key_hash ^ salt);
            if spare <= limit {
                self.compare(at, spare, &mut best, &mut limit, &ok);
            }
        }
        best.index.map(|index| index as usize)
    }

    /// Out of the loop, which is then small: few nodes come here.
    #[inline(never)]
    fn compare(
        &self,
        at: usize,
        spare: u64,
        best: &mut Bid,
        limit: &mut u64,
        ok: &impl Fn(usize) -> bool,
    ) {
        let Node {
            weight,
            index,
            lightness,
        } = self.nodes[at];
        if !ok(index as usize) {
            return;
        }
        let cost = minus_ln(spare);
        // cost / weight < best.cost / best.weight; the lesser id has a tie. Below 2^102.
        if cost * u128::from(best.weight) >= best.cost * u128::from(weight) {
            return;
        }
        *best = Bid {
            cost,
            weight,
            index: Some(index),
        };
        // A cost is at least its `spare`, and a weight at most the heaviest.
        let most = u64::try_from(cost).map(|cost| (u128::from(cost) * u128::from(lightness)) >> 32);
        *limit = most.map_or(u64::MAX, |most| u64::try_from(most).unwrap_or(u64::MAX));
    }
}

impl fmt::Display for BadRendezvous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNodes => f.write_str("no node has a weight above 0"),
            Self::TooManyNodes => write!(f, "more than {} nodes", Rendezvous::MAX_NODES),
            Self::SameId(id) => write!(f, "two nodes have the id {id:#x}"),
        }
    }
}

impl std::error::Error for BadRendezvous {}

/// The best of the bids so far.
struct Bid {
    /// `-ln(u)` in 2^-64.
    cost: u128,
    weight: u32,
    index: Option<u32>,
}

/// `-ln(u)` in units of 2^-64, for `u = 1 - spare / 2^64`. At least `spare`, as the true one is;
/// off by less than 2^-58.
///
/// `u` is `2^-e * m` with `m` in [1, 2), and `m` is `1 + i/128` times `1 + d` with `d` below 1/128:
/// a table has the logarithm of the one, a series that of the other.
fn minus_ln(spare: u64) -> u128 {
    let Some(u) = (!spare).checked_add(1) else {
        return 0; // u is 1
    };
    let zeros = u.leading_zeros();
    let m = u << zeros; // in 2^-63
    let step = m >> 56; // 128 (1 + i/128)
    let d = ((m - (step << 56)) << 8) / step; // in 2^-64
    let product = |a: u64, b: u64| ((u128::from(a) * u128::from(b)) >> 64) as u64;
    // d - d^2/2 + d^3/3 …, of which the ninth term is below 2^-66.
    let tail = (2..8)
        .rev()
        .fold(u64::MAX / 8, |tail, k| u64::MAX / k - product(d, tail));
    let ln_m = LN[step as usize - 128] + d - product(d, product(d, tail));
    let ln = u128::from(zeros + 1) * LN_2 - u128::from(ln_m);
    ln.max(u128::from(spare))
}

/// ln(2) in 2^-64.
const LN_2: u128 = 0xb172_17f7_d1cf_79ab;

/// ln(1 + i/128) in 2^-64.
static LN: [u64; 128] = logarithms();

/// By ln(x) = 2 artanh((x - 1) / (x + 1)), whose argument is below 1/3: 24 terms are below 2^-78.
const fn logarithms() -> [u64; 128] {
    let mut table = [0; 128];
    let mut i = 0;
    while i < 128 {
        let z = ((i as u128) << 64) / (256 + i as u128);
        let square = (z * z) >> 64;
        let (mut term, mut sum, mut k) = (z, 0, 1);
        while k < 48 {
            sum += term / k;
            term = (term * square) >> 64;
            k += 2;
        }
        table[i] = (2 * sum) as u64;
        i += 1;
    }
    table
}

#[cfg(test)]
#[path = "rendezvous_tests.rs"]
mod tests;
