//! Maglev: a table that gives each key a node, evenly, and moves few keys when nodes change.
//!
//! Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI
//!         2016, section 3.4. Weights by turns, as in Envoy: in the time in which the heaviest node
//!         takes one slot a turn, a node of half its weight takes one every other turn.
//! Units:  keys and node ids are 64-bit hashes; give [`crate::stable_hash`] of their bytes, so that
//!         every gateway builds the same table.
//! Errors: only [`Maglev::new`] fails ([`BadMaglev`]).
//! Bounds: 2 bytes a slot (128 KiB at the default size); at most 65 535 nodes; a pick is one
//!         multiplication and one load.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use crate::hash::{mix64, reduce};

/// A lookup table over nodes. Immutable: a change of nodes builds a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maglev {
    /// Index into the caller's list, for each slot.
    slots: Box<[u16]>,
    /// Nodes with a weight, by id: for [`Maglev::pick_where`] when most nodes are out.
    nodes: Box<[(u64, u16)]>,
}

/// Why [`Maglev::new`] refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadMaglev {
    /// No node, or every weight 0.
    NoNodes,
    /// More nodes than 65 535, or than slots.
    TooManyNodes,
    /// The size is no prime, or above [`Maglev::MAX_SIZE`].
    BadSize,
    /// Two nodes have this id.
    SameId(u64),
}

impl Maglev {
    /// The size of the paper's evaluation and Envoy's default. Good to about 650 nodes (the paper
    /// wants 100 slots a node for shares within 1 %).
    pub const DEFAULT_SIZE: usize = 65_537;
    /// Envoy's upper limit.
    pub const MAX_SIZE: usize = 5_000_011;

    /// Builds the table of `size` slots (a prime) over nodes given as `(id, weight)`.
    ///
    /// The order of `nodes` does not matter, but for the indices that come back. Weight 0 takes a
    /// node out; any other has at least one slot. Keep `size` when nodes change.
    pub fn new(nodes: &[(u64, u32)], size: usize) -> Result<Self, BadMaglev> {
        if size > Self::MAX_SIZE || !is_prime(size) {
            return Err(BadMaglev::BadSize);
        }
        if nodes.len() > MAX_NODES {
            return Err(BadMaglev::TooManyNodes);
        }
        let mut by_id: Vec<_> = (0u16..)
            .zip(nodes)
            .filter(|(_, &(_, weight))| weight > 0)
            .map(|(index, &(id, weight))| (id, index, weight))
            .collect();
        by_id.sort_unstable();
        if by_id.is_empty() {
            return Err(BadMaglev::NoNodes);
        }
        if by_id.len() > size {
            return Err(BadMaglev::TooManyNodes);
        }
        if let Some(pair) = by_id.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(BadMaglev::SameId(pair[0].0));
        }
        let mut build = Build::new(&by_id, size);
        if by_id.windows(2).all(|pair| pair[0].2 == pair[1].2) {
            build.even();
        } else {
            build.weighted(&by_id);
        }
        Ok(Self {
            slots: build.slots.into(),
            nodes: by_id.iter().map(|&(id, index, _)| (id, index)).collect(),
        })
    }

    /// The node that owns a key.
    ///
    /// The slot is the high half of `key_hash * size`, not the paper's remainder: as even for a hash
    /// that is well spread, and without a division.
    #[inline]
    pub fn pick(&self, key_hash: u64) -> usize {
        self.slots[self.slot(key_hash)] as usize
    }

    /// The node that owns a key among those for which `ok` holds, without a rebuild: the slots after
    /// the key's own are tried. Keys whose node is well stay where they are, and those of a lost
    /// node spread over all others. `None` if no node is well.
    ///
    /// Calls `ok` at most 64 times; where so few nodes are well that this does not find one, the
    /// well node with the highest hash of id and key is taken (rendezvous hashing, Thaler and
    /// Ravishankar 1998), with one more call a node, and there weights do not count.
    #[inline]
    pub fn pick_where(&self, key_hash: u64, ok: impl Fn(usize) -> bool) -> Option<usize> {
        let mut slot = self.slot(key_hash);
        for _ in 0..MAX_PROBES {
            let node = self.slots[slot] as usize;
            if ok(node) {
                return Some(node);
            }
            slot = if slot + 1 == self.slots.len() {
                0
            } else {
                slot + 1
            };
        }
        self.rendezvous(key_hash, ok)
    }

    /// How many slots there are.
    pub fn size(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    fn slot(&self, key_hash: u64) -> usize {
        reduce(key_hash, self.slots.len() as u64) as usize
    }

    #[cold]
    fn rendezvous(&self, key_hash: u64, ok: impl Fn(usize) -> bool) -> Option<usize> {
        let well = self.nodes.iter().filter(|(_, index)| ok(*index as usize));
        let best = well.max_by_key(|(id, _)| mix64(key_hash ^ mix64(*id)));
        best.map(|&(_, index)| index as usize)
    }
}

impl fmt::Display for BadMaglev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNodes => f.write_str("no node has a weight above 0"),
            Self::TooManyNodes => f.write_str("more than 65535 nodes, or more nodes than slots"),
            Self::BadSize => write!(
                f,
                "the table size must be a prime up to {}",
                Maglev::MAX_SIZE
            ),
            Self::SameId(id) => write!(f, "two nodes have the id {id:#x}"),
        }
    }
}

impl std::error::Error for BadMaglev {}

/// The filling of a table: each node walks its own permutation of the slots and takes free ones.
struct Build {
    slots: Vec<u16>,
    /// A bit a slot: 8 KiB at the default size, where the slots themselves miss the first cache.
    taken: Vec<u64>,
    free: usize,
    walks: Vec<Walk>,
}

/// A node's permutation, `offset + k * skip` modulo the size, and how far it came.
struct Walk {
    at: u32,
    skip: u32,
    index: u16,
}

impl Build {
    fn new(by_id: &[(u64, u16, u32)], size: usize) -> Self {
        let walk = |&(id, index, _): &(u64, u16, u32)| Walk {
            at: reduce(mix64(id ^ OFFSET_SEED), size as u64) as u32,
            // 1..size, so that the prime size makes it a permutation.
            skip: 1 + reduce(mix64(id ^ SKIP_SEED), size as u64 - 1) as u32,
            index,
        };
        Self {
            slots: vec![0; size],
            taken: vec![0; size.div_ceil(64)],
            free: size,
            walks: by_id.iter().map(walk).collect(),
        }
    }

    fn even(&mut self) {
        loop {
            for node in 0..self.walks.len() {
                if self.free == 0 {
                    return;
                }
                self.take(node);
            }
        }
    }

    /// Node `i` takes its k-th slot in turn `ceil(k * heaviest / weight_i)`; in one turn, by id.
    fn weighted(&mut self, by_id: &[(u64, u16, u32)]) {
        let heaviest = by_id.iter().map(|n| u64::from(n.2)).max().unwrap_or(1);
        let mut turns: BinaryHeap<_> = (0..by_id.len())
            .map(|node| Reverse((0u64, node, 0u64)))
            .collect();
        while self.free > 0 {
            let Some(mut next) = turns.peek_mut() else {
                return;
            };
            let Reverse((_, node, k)) = *next;
            self.take(node);
            // k is below the size, so the product is below 2^55.
            let turn = ((k + 1) * heaviest).div_ceil(u64::from(by_id[node].2));
            *next = Reverse((turn, node, k + 1));
        }
    }

    /// Ends, because a slot is free and the walk visits all.
    #[inline]
    fn take(&mut self, node: usize) {
        let size = self.slots.len() as u32;
        let walk = &mut self.walks[node];
        loop {
            let slot = walk.at as usize;
            walk.at += walk.skip;
            if walk.at >= size {
                walk.at -= size;
            }
            let (word, bit) = (slot / 64, 1u64 << (slot % 64));
            if self.taken[word] & bit == 0 {
                self.taken[word] |= bit;
                self.slots[slot] = walk.index;
                self.free -= 1;
                return;
            }
        }
    }
}

fn is_prime(n: usize) -> bool {
    n >= 2
        && (2..)
            .take_while(|d| d * d <= n)
            .all(|d| !n.is_multiple_of(d))
}

/// Half of the nodes out costs 2 probes on average; 64 find a tenth of the nodes but for 1 in 850.
const MAX_PROBES: usize = 64;
const MAX_NODES: usize = u16::MAX as usize;
/// Any two unlike constants: they make two hashes of one id. Changing them moves every key.
const OFFSET_SEED: u64 = 0x6d61_676c_6576_2d6f;
const SKIP_SEED: u64 = 0x6d61_676c_6576_2d73;

#[cfg(test)]
#[path = "maglev_tests.rs"]
mod tests;
