//! What must hold of [`super::Rendezvous`].

use super::*;
use crate::hash::stable_hash;
use proptest::prelude::*;

fn ids(weights: &[u32]) -> Vec<(u64, u32)> {
    let id = |i: usize| stable_hash(format!("10.0.{}.{}:8080", i / 256, i % 256).as_bytes());
    (0..).map(id).zip(weights.iter().copied()).collect()
}

fn among(nodes: &[(u64, u32)]) -> Rendezvous {
    Rendezvous::new(nodes).expect("good nodes")
}

fn key(i: u64) -> u64 {
    stable_hash(&i.to_le_bytes())
}

#[test]
fn bad_nodes_are_refused() {
    type Nodes<'a> = &'a [(u64, u32)];
    let cases: [(Nodes, BadRendezvous); 4] = [
        (&[], BadRendezvous::NoNodes),
        (&[(1, 0)], BadRendezvous::NoNodes),
        (&[(4, 1); 65_536], BadRendezvous::TooManyNodes),
        (&[(9, 1), (5, 1), (9, 2)], BadRendezvous::SameId(9)),
    ];
    for (nodes, why) in cases {
        assert_eq!(Rendezvous::new(nodes).err(), Some(why), "{why}");
    }
}

#[test]
fn logarithms_are_exact() {
    // Computed with 60 digits by Python's decimal.
    let cases: [(u64, u128); 16] = [
        (0x1, 0x1),
        (0x2, 0x2),
        (0x100000, 0x100000),
        (0x100000005, 0x100000005),
        (0x100000000000000, 0x10080559588b357),
        (0x1ffffffffffffff, 0x20202aeb11bce24),
        (0x4000000000003039, 0x49a58844d36e8a2c),
        (0x7fffffffffffffff, 0xb17217f7d1cf79a9),
        (0x8000000000000000, 0xb17217f7d1cf79ab),
        (0x8000000000000001, 0xb17217f7d1cf79ad),
        (0xffffffff00000000, 0x162e42fefa39ef3579),
        (0xfffffffffffffffd, 0x2b43475649a3adc17b),
        (0xfffffffffffffffe, 0x2bab13e5fca20ef146),
        (0xffffffffffffffff, 0x2c5c85fdf473de6af2),
        (0x123456789abcdef, 0x123eb991354eaaa),
        (0xfedcba9876543210, 0x56a858e535207c05d),
    ];
    for (spare, want) in cases {
        let got = minus_ln(spare);
        assert!(got.abs_diff(want) < 64, "{spare:#x}: {got:#x}");
    }
    assert_eq!(minus_ln(0), 0);
}

#[test]
fn a_pick_never_changes_between_releases() {
    let r = among(&ids(&[1, 2, 3, 4, 5]));
    let picks: Vec<_> = (0..24).map(|i| r.pick(key(i))).collect();
    assert_eq!(picks, GOLDEN, "every key of every user would move");
}

#[test]
fn keys_land_by_weight() {
    for weights in [
        &[1; 10][..],
        &[1, 2, 3, 4],
        &[1, 1000],
        &[u32::MAX, u32::MAX / 2],
    ] {
        let r = among(&ids(weights));
        let total: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        let mut count = vec![0u32; weights.len()];
        for i in 0..200_000 {
            count[r.pick(key(i))] += 1;
        }
        for (&count, &weight) in count.iter().zip(weights) {
            let want = 200_000.0 * f64::from(weight) / total as f64;
            let off = (f64::from(count) - want).abs();
            assert!(off < 5.0 * want.sqrt(), "{weights:?}: {count} of {want}");
        }
    }
}

#[test]
fn a_lost_nodes_keys_spread_by_weight() {
    let r = among(&ids(&[1, 2, 3, 4]));
    let mut heirs = [0; 4];
    for i in (0..100_000).filter(|&i| r.pick(key(i)) == 3) {
        heirs[r.pick_where(key(i), |n| n != 3).expect("three nodes")] += 1;
    }
    // 40 000 keys in sixths.
    for (heirs, want) in heirs.into_iter().zip([6_667i32, 13_333, 20_000, 0]) {
        assert!((heirs - want).abs() < 600, "{heirs} of {want}");
    }
    assert_eq!(r.pick_where(1, |_| false), None);
}

#[test]
fn few_nodes_are_asked() {
    let r = among(&ids(&[7; 1_000]));
    let asked = std::cell::Cell::new(0);
    for i in 0..1_000 {
        r.pick_where(key(i), |_| {
            asked.set(asked.get() + 1);
            true
        });
    }
    assert!(asked.get() < 10_000, "{} calls", asked.get());
}

proptest! {
    #[test]
    fn costs_fall_with_the_hash(spare in any::<u64>(), more in 1u64..u64::MAX) {
        let (a, b) = (spare, spare.saturating_add(more));
        // Off by less than 2^-58 each.
        prop_assert!(minus_ln(a) <= minus_ln(b) + 64);
        prop_assert!(minus_ln(a) >= u128::from(a));
        let want = -(1.0 - a as f64 / 2f64.powi(64)).ln();
        let got = minus_ln(a) as f64 / 2f64.powi(64);
        prop_assert!((got - want).abs() <= 1e-12 + want * 1e-12, "{} {}", got, want);
    }

    #[test]
    fn the_least_cost_by_weight_wins(weights in prop::collection::vec(0u32..=9, 1..30), key in any::<u64>()) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let nodes = ids(&weights);
        let cost = |&(id, _): &(u64, u32)| minus_ln(!mix64(key ^ mix64(id)));
        let wins = |a: usize, b: usize| {
            cost(&nodes[a]) * u128::from(weights[b]) < cost(&nodes[b]) * u128::from(weights[a])
        };
        let live: Vec<_> = (0..weights.len()).filter(|&n| weights[n] > 0).collect();
        let plain = live.iter().copied().reduce(|a, b| if wins(b, a) { b } else { a });
        prop_assert_eq!(Some(among(&nodes).pick(key)), plain);
    }

    #[test]
    fn a_change_moves_only_its_own_keys(
        weights in prop::collection::vec(1u32..9, 2..20), at in any::<prop::sample::Index>(), weight in 0u32..20,
    ) {
        let at = at.index(weights.len());
        let (all, mut other) = (ids(&weights), ids(&weights));
        other[at].1 = weight;
        let (before, after) = (among(&all), among(&other));
        for i in 0..300 {
            let (was, is) = (before.pick(key(i)), after.pick(key(i)));
            // A heavier node takes keys, a lighter one gives some, and nobody else trades.
            if was != is {
                prop_assert_eq!(if weight > weights[at] { is } else { was }, at);
            }
            let without = before.pick_where(key(i), |node| node != at);
            if weight == 0 {
                prop_assert_eq!(without, Some(is));
            }
        }
    }

    #[test]
    fn the_order_of_nodes_is_nothing(weights in prop::collection::vec(0u32..5, 2..20), turn in 1usize..20) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let nodes = ids(&weights);
        let mut other = nodes.clone();
        other.rotate_left(turn % nodes.len());
        let (a, b) = (among(&nodes), among(&other));
        for i in 0..300 {
            prop_assert_eq!(nodes[a.pick(key(i))].0, other[b.pick(key(i))].0);
        }
    }
}

/// What this code picked first: the contract with every gateway already running.
const GOLDEN: [usize; 24] = [
    1, 2, 4, 4, 4, 2, 1, 4, 4, 4, 3, 2, 4, 3, 3, 3, 4, 2, 4, 4, 3, 4, 4, 3,
];
