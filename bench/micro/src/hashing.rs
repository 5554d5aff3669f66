//! The other consistent hashes beside the crates for them.
//!
//! Each row finds the node of a 16-byte key, hash included. `ring_pick` stands beside `ketama`, which has
//! the same points by the same MD5, and beside `hashring` with its own hash; `ring_build` beside both. A
//! `jump` has its default hash on each side. `rendezvous` is weighted: `hrw-hash` can only sort all
//! nodes, so there is a row beside the plain scan too, with the same hash and logarithms of floats.

use std::hint::black_box;

use algo::{jump, mix64, stable_hash, KetamaRing, Rendezvous};

use crate::balance::{keys, names};
use crate::ratio::{alone, Pair};

/// All rows.
pub fn pairs() -> Vec<Pair<'static>> {
    let nodes = names(100);
    let ring = ring(&nodes);
    let theirs = ketama_ring(&nodes);
    let mut virtual_nodes = hashring::HashRing::new();
    virtual_nodes.batch_add(nodes.clone());
    let jumper = jumphash::JumpHasher::new_with_keys(1, 2);
    let mut rows = vec![
        row(
            "ring_pick_100",
            "ketama",
            {
                let ring = ring.clone();
                move |key| ring.pick(KetamaRing::hash(key))
            },
            move |key| theirs.route(key),
        ),
        row(
            "ring_pick_100",
            "hashring",
            move |key| ring.pick(KetamaRing::hash(key)),
            move |key| virtual_nodes.get(key).map_or(0, String::len),
        ),
        row(
            "jump_pick_100",
            "jumphash",
            |key| jump(stable_hash(key), 100).map_or(0, |bucket| bucket as usize),
            move |key| jumper.slot(key, 100) as usize,
        ),
    ];
    for (name, n) in [("rendezvous_pick_10", 10), ("rendezvous_pick_100", 100)] {
        let hrw = hrw_hash::HrwNodes::new(weighted(n).map(Named));
        let bids = rendezvous(n);
        rows.push(row(
            name,
            "hrw-hash",
            move |key| bids.pick(stable_hash(key)),
            move |key| hrw.sorted(key).next().map_or(0, |node| node.0 .1 as usize),
        ));
        let (bids, nodes) = (rendezvous(n), salted(n));
        rows.push(row(
            name,
            "float scan",
            move |key| bids.pick(stable_hash(key)),
            move |key| scan(&nodes, stable_hash(key)),
        ));
    }
    let (a, b) = (nodes.clone(), nodes.clone());
    rows.push(Pair {
        name: "ring_build_100",
        rival: "ketama",
        batch: 10,
        ours: alone(move |_| drop(black_box(self::ring(&a)))),
        theirs: alone(move |_| drop(black_box(ketama_ring(&b)))),
    });
    rows
}

fn row(
    name: &'static str,
    rival: &'static str,
    ours: impl Fn(&[u8; 16]) -> usize + 'static,
    theirs: impl Fn(&[u8; 16]) -> usize + 'static,
) -> Pair<'static> {
    let (a, b) = (keys(), keys());
    Pair {
        name,
        rival,
        batch: 100_000,
        ours: alone(move |i| {
            black_box(ours(&a[i as usize % a.len()]));
        }),
        theirs: alone(move |i| {
            black_box(theirs(&b[i as usize % b.len()]));
        }),
    }
}

fn ring(names: &[String]) -> KetamaRing {
    let nodes: Vec<_> = names.iter().map(|name| (name, 1)).collect();
    KetamaRing::new(&nodes).expect("good nodes")
}

fn ketama_ring(names: &[String]) -> ketama::Ring {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    ketama::Ring::build(&names)
}

/// Weights 1 to 4 in turn.
fn weighted(n: usize) -> impl Iterator<Item = (String, u32)> {
    names(n).into_iter().zip([1, 2, 3, 4].into_iter().cycle())
}

fn rendezvous(n: usize) -> Rendezvous {
    let id = |(name, weight): (String, u32)| (stable_hash(name.as_bytes()), weight);
    let nodes: Vec<_> = weighted(n).map(id).collect();
    Rendezvous::new(&nodes).expect("good nodes")
}

fn salted(n: usize) -> Vec<(u64, f64)> {
    let salt = |(name, weight): (String, u32)| {
        let id = stable_hash(name.as_bytes());
        (mix64(id), f64::from(weight))
    };
    weighted(n).map(salt).collect()
}

/// The least `-ln(u) / weight`, as it is written down in a few lines.
fn scan(nodes: &[(u64, f64)], key: u64) -> usize {
    let cost = |&(salt, weight): &(u64, f64)| {
        let u = (mix64(key ^ salt) as f64 + 1.0) / 2f64.powi(64);
        -u.ln() / weight
    };
    let costs = nodes.iter().map(cost).enumerate();
    costs
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map_or(0, |(node, _)| node)
}

/// A node with a capacity, for `hrw-hash`.
#[derive(Hash, PartialEq, Eq)]
struct Named((String, u32));

impl hrw_hash::HrwNode for Named {
    fn capacity(&self) -> usize {
        self.0 .1 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_pick_the_same() {
        let nodes = names(100);
        let (ring, theirs) = (ring(&nodes), ketama_ring(&nodes));
        let (bids, scanned) = (rendezvous(100), salted(100));
        for key in keys() {
            assert_eq!(ring.pick(KetamaRing::hash(&key)), theirs.route(&key));
            let key = stable_hash(&key);
            assert_eq!(bids.pick(key), scan(&scanned, key));
        }
    }
}
