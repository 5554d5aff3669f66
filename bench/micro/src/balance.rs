//! Consistent hashing and least request beside the crates for it.
//!
//! `maglev_pick` finds the node of a 16-byte key, hash included, each side with its default hash;
//! `maglev_build` makes the table. Our tables and those of `maglev-hash` have 65 537 slots; `hashring`
//! is a ring with its default virtual nodes. The older crate `maglev` picks as fast as
//! `maglev-hash` and builds more than ten times slower, so it is left out.
//! No crate offers two choices alone, so that row stands beside the full scan it replaces.

use std::hint::black_box;

use algo::{p2c, stable_hash, Maglev, Rng};

use crate::ratio::{alone, Pair};

/// All rows.
pub fn pairs() -> Vec<Pair<'static>> {
    let (keys, nodes) = (keys(), names(100));
    let mut rows = Vec::new();

    let rival = maglev_hash::MaglevTable::with_capacity(nodes.clone(), SIZE);
    rows.push(pick_row(
        "maglev-hash",
        move |key| rival.get(key).map(String::len),
        &keys,
    ));
    let mut rival = hashring::HashRing::new();
    rival.batch_add(nodes);
    rows.push(pick_row(
        "hashring",
        move |key| rival.get(key).map(String::len),
        &keys,
    ));

    for (name, n) in [("maglev_build_100", 100), ("maglev_build_1000", 1_000)] {
        let (a, b) = (names(n), names(n));
        rows.push(Pair {
            name,
            rival: "maglev-hash",
            batch: 10,
            ours: alone(move |_| drop(black_box(ours(&a)))),
            theirs: alone(move |_| {
                drop(black_box(maglev_hash::MaglevTable::with_capacity(
                    b.clone(),
                    SIZE,
                )));
            }),
        });
    }

    for (name, n, batch) in [("p2c_10", 10, 1_000_000), ("p2c_1000", 1_000, 10_000)] {
        let active: Vec<u32> = (0..n).map(|i| i * 7 % 13).collect();
        let (a, b, mut rng) = (active.clone(), active, Rng::new(1));
        rows.push(Pair {
            name,
            rival: "full scan",
            batch,
            ours: alone(move |_| {
                black_box(p2c::pick(a.len(), |i| (a[i], 1), rng.next_u64()));
            }),
            theirs: alone(move |_| {
                black_box(
                    black_box(&b)
                        .iter()
                        .enumerate()
                        .min_by_key(|(_, active)| **active),
                );
            }),
        });
    }
    rows
}

/// Our table, from the names on.
pub fn ours(names: &[String]) -> Maglev {
    let nodes: Vec<_> = names
        .iter()
        .map(|name| (stable_hash(name.as_bytes()), 1))
        .collect();
    Maglev::new(&nodes, SIZE).expect("good nodes")
}

/// `n` addresses.
pub fn names(n: usize) -> Vec<String> {
    (0..n)
        .map(|i| format!("10.0.{}.{}:8080", i / 256, i % 256))
        .collect()
}

/// Enough keys that they do not stay in the first cache.
pub fn keys() -> Vec<[u8; 16]> {
    let mut rng = Rng::new(2);
    let mut half = || rng.next_u64().to_le_bytes();
    (0..4_096)
        .map(|_| {
            [half(), half()]
                .concat()
                .try_into()
                .expect("two halves of 8")
        })
        .collect()
}

fn pick_row(
    rival: &'static str,
    theirs: impl Fn(&[u8; 16]) -> Option<usize> + 'static,
    keys: &[[u8; 16]],
) -> Pair<'static> {
    let (a, b, nodes) = (keys.to_vec(), keys.to_vec(), names(100));
    let table = ours(&nodes);
    Pair {
        name: "maglev_pick_100",
        rival,
        batch: 1_000_000,
        // Both end with the node itself in hand, not its number.
        ours: alone(move |i| {
            let node = table.pick(stable_hash(&a[i as usize % a.len()]));
            black_box(nodes[node].len());
        }),
        theirs: alone(move |i| {
            black_box(theirs(&b[i as usize % b.len()]));
        }),
    }
}

const SIZE: usize = Maglev::DEFAULT_SIZE;
