//! Ketama: a ring of points, of which the next one clockwise owns a key.
//!
//! Source: libketama (R. Jones, Last.fm 2007), `ketama_create_continuum` and `ketama_get_server`:
//!         the MD5 of `NAME-0`, `NAME-1` … gives four points each, little-endian, 40 of them and so
//!         160 points for a node of average weight. Clients of memcached that speak ketama agree.
//! Units:  names and keys are bytes; a key's place is 32 bits, [`KetamaRing::hash`].
//! Errors: only [`KetamaRing::new`] fails ([`BadRing`]).
//! Bounds: 160 points a node at 10 to 14 bytes each (about 2 KiB a node); at most
//!         [`KetamaRing::MAX_NODES`]. A pick is one load of the index and about one step.
//! Limits: a node that comes or goes takes or gives only its own keys as long as the others keep their
//!         points: unlike weights are rounded anew, and so are equal ones for some numbers of nodes,
//!         61 the least, for which libketama's floats say 156 points and not 160.
//!         MD5 is how ketama spreads points, and no defence: keys that meet are easy to find. Shares
//!         of equal nodes differ by some 8 % (a standard deviation of 1/sqrt(160)); [`crate::maglev`]
//!         is even.

use std::fmt;

use md5::{Digest, Md5};

/// A ring over named nodes. Immutable: a change of nodes builds a new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KetamaRing {
    /// Rising.
    points: Box<[u32]>,
    /// Index into the caller's list, for each point.
    owners: Box<[u16]>,
    /// By the high bits of a place: the first point at or behind their least.
    index: Box<[u32]>,
    shift: u32,
}

/// Why [`KetamaRing::new`] refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRing {
    /// No node, or every weight 0.
    NoNodes,
    /// More nodes than [`KetamaRing::MAX_NODES`].
    TooManyNodes,
    /// Two nodes have the name of the node at this index.
    SameName(usize),
}

impl KetamaRing {
    /// 2 600 000 points, 32 MiB, built in half a second.
    pub const MAX_NODES: usize = 1 << 14;

    /// Builds the ring over nodes given as `(name, weight)`; libketama's names are `IP:port`.
    ///
    /// The order of `nodes` does not matter, but for the indices that come back. Weight 0 takes a
    /// node out. A weight below 1/40 of the average has no point, as in libketama: weights are of
    /// like size, or the ring is not what is wanted.
    pub fn new<N: AsRef<[u8]>>(nodes: &[(N, u32)]) -> Result<Self, BadRing> {
        if nodes.len() > Self::MAX_NODES {
            return Err(BadRing::TooManyNodes);
        }
        let mut by_name: Vec<_> = (0u16..)
            .zip(nodes)
            .filter(|(_, (_, weight))| *weight > 0)
            .map(|(index, (name, weight))| (name.as_ref(), index, *weight))
            .collect();
        by_name.sort_unstable();
        if by_name.is_empty() {
            return Err(BadRing::NoNodes);
        }
        if let Some(pair) = by_name.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(BadRing::SameName(pair[1].1.into()));
        }
        let total: u64 = by_name.iter().map(|node| u64::from(node.2)).sum();
        let mut points = Vec::with_capacity(by_name.len() * POINTS);
        for (rank, &(name, index, weight)) in (0u16..).zip(&by_name) {
            let node = Md5::new_with_prefix(name);
            for round in 0..rounds(weight, total, by_name.len()) {
                let digest = node.clone().chain_update(format!("-{round}")).finalize();
                for point in digest.chunks_exact(4) {
                    points.push((little_endian(point), rank, index));
                }
            }
        }
        // Where two points fall together the lesser name has it, whatever the order given;
        // libketama leaves that to its sort.
        points.sort_unstable();
        Ok(Self::index(&points))
    }

    /// The place of a key on the ring: the first four bytes of its MD5, little-endian.
    #[inline]
    pub fn hash(key: &[u8]) -> u32 {
        little_endian(&Md5::digest(key)[..4])
    }

    /// The node that owns the key at this place: that of the first point at or behind it.
    #[inline]
    pub fn pick(&self, place: u32) -> usize {
        self.owners[self.first(place)] as usize
    }

    /// The node that owns the key at this place among those for which `ok` holds: keys whose node is
    /// well stay where they are, and a lost node's go to the next ones on the ring, as if the ring
    /// were built without it. `None` if no node is well.
    ///
    /// Calls `ok` at most once a point, and twice on average if half of the nodes are well.
    #[inline]
    pub fn pick_where(&self, place: u32, ok: impl Fn(usize) -> bool) -> Option<usize> {
        let (before, from) = self.owners.split_at(self.first(place));
        let mut owners = from.iter().chain(before).map(|&owner| owner as usize);
        owners.find(|&owner| ok(owner))
    }

    /// Who owns each point, clockwise: how large the shares are.
    pub fn owners(&self) -> impl Iterator<Item = usize> + '_ {
        self.owners.iter().map(|&owner| owner.into())
    }

    /// How many points there are.
    pub fn points(&self) -> usize {
        self.points.len()
    }

    /// The first point at or behind `place`; behind the last comes the first.
    #[inline]
    fn first(&self, place: u32) -> usize {
        let mut at = self.index[(place >> self.shift) as usize] as usize;
        while let Some(&point) = self.points.get(at) {
            if point >= place {
                return at;
            }
            at += 1;
        }
        0
    }

    /// At least 4 points: the heaviest node is hashed 39 times or more.
    fn index(sorted: &[(u32, u16, u16)]) -> Self {
        let bits = sorted.len().next_power_of_two().ilog2();
        let shift = u32::BITS - bits;
        let mut index = Vec::with_capacity(1 << bits);
        let mut at = 0;
        for bucket in 0..1u32 << bits {
            while at < sorted.len() && sorted[at].0 < bucket << shift {
                at += 1;
            }
            index.push(at as u32);
        }
        Self {
            points: sorted.iter().map(|point| point.0).collect(),
            owners: sorted.iter().map(|point| point.2).collect(),
            index: index.into(),
            shift,
        }
    }
}

impl fmt::Display for BadRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNodes => f.write_str("no node has a weight above 0"),
            Self::TooManyNodes => write!(f, "more than {} nodes", KetamaRing::MAX_NODES),
            Self::SameName(index) => write!(f, "node {index} has the name of another"),
        }
    }
}

impl std::error::Error for BadRing {}

/// How often a node is hashed, by libketama's own arithmetic: a quotient of floats, products of
/// doubles, rounded to a float. These are single operations of IEEE 754, alike on every machine.
fn rounds(weight: u32, total: u64, nodes: usize) -> u32 {
    let share = weight as f32 / total as f32;
    let rounds = f64::from(share) * ROUNDS * f64::from(nodes as f32);
    (rounds as f32).floor() as u32
}

fn little_endian(four: &[u8]) -> u32 {
    four.iter()
        .rev()
        .fold(0, |word, &byte| word << 8 | u32::from(byte))
}

/// Hashes of a node of average weight.
const ROUNDS: f64 = 40.0;
/// Points of a node of average weight.
const POINTS: usize = 160;

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
