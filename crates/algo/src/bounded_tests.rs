//! What must hold of [`super::Bounded`] over each of the orders.

use super::*;
use crate::hash::stable_hash;
use crate::{KetamaRing, Maglev, Rendezvous};
use proptest::prelude::*;

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("10.0.0.{i}:8080")).collect()
}

fn key(i: u64) -> Vec<u8> {
    format!("key {i}").into_bytes()
}

/// Picks by each order among nodes for which the last argument holds.
type Pick = Box<dyn Fn(&[u8], &dyn Fn(usize) -> bool) -> Option<usize>>;

fn orders(weights: &[u32]) -> Vec<(&'static str, Pick)> {
    let names = names(weights.len());
    let ids: Vec<_> = names.iter().map(|n| stable_hash(n.as_bytes())).collect();
    let ids: Vec<_> = ids.into_iter().zip(weights.iter().copied()).collect();
    let named: Vec<_> = names.into_iter().zip(weights.iter().copied()).collect();
    let maglev = Maglev::new(&ids, 65_537).expect("good nodes");
    let ring = KetamaRing::new(&named).expect("good nodes");
    let rendezvous = Rendezvous::new(&ids).expect("good nodes");
    vec![
        (
            "maglev",
            Box::new(move |key, ok| maglev.pick_where(stable_hash(key), ok)),
        ),
        (
            "ring",
            Box::new(move |key, ok| ring.pick_where(KetamaRing::hash(key), ok)),
        ),
        (
            "rendezvous",
            Box::new(move |key, ok| rendezvous.pick_where(stable_hash(key), ok)),
        ),
    ]
}

#[test]
fn bad_bounds_are_refused() {
    let cases: [(&[u32], f64, BadBound); 7] = [
        (&[], 0.25, BadBound::NoNodes),
        (&[0, 0], 0.25, BadBound::NoNodes),
        (&[1], 0.0, BadBound::BadEps),
        (&[1], -0.25, BadBound::BadEps),
        (&[1], f64::NAN, BadBound::BadEps),
        (&[1], f64::INFINITY, BadBound::BadEps),
        (&[1], 1_001.0, BadBound::BadEps),
    ];
    for (weights, eps, why) in cases {
        assert_eq!(Bounded::new(weights, eps).err(), Some(why), "{eps}");
    }
}

#[test]
fn capacities() {
    let b = Bounded::new(&[1, 1, 2, 0], 0.25).expect("a bound");
    for (load, want) in [
        (0, [1, 1, 1, 0]),
        (9, [4, 4, 7, 0]),
        (15, [5, 5, 10, 0]),
        (u64::MAX, [5 << 60, 5 << 60, 5 << 61, 0]),
    ] {
        let got: Vec<_> = (0..4).map(|node| b.capacity(node, load)).collect();
        assert_eq!(got, want, "{load}");
    }
    assert_eq!(b.capacity(4, 9), 0, "not there");
    let tiny = Bounded::new(&[1, 1], f64::MIN_POSITIVE).expect("a bound");
    assert_eq!(tiny.capacity(0, 1), 2, "rounded up to 2^-16");
    let huge = Bounded::new(&[u32::MAX; 2], 1_000.0).expect("a bound");
    assert_eq!(huge.capacity(0, u64::MAX), u64::MAX);
}

#[test]
fn no_node_holds_more_and_most_keys_are_at_home() {
    let weights = [1, 1, 1, 1, 2, 2, 2, 2, 0, 4];
    let total: u32 = weights.iter().sum();
    for (name, pick) in orders(&weights) {
        let bounded = Bounded::new(&weights, 0.25).expect("a bound");
        let mut loads = [0u64; 10];
        let mut home = 0;
        for i in 0..2_000 {
            let node = {
                let room = bounded.room(|node| loads[node]);
                pick(&key(i), &room).expect("there is room")
            };
            home += u32::from(pick(&key(i), &|_| true) == Some(node));
            loads[node] += 1;
        }
        for (load, weight) in loads.into_iter().zip(weights) {
            let most = (1.25 * 2_000.0 * f64::from(weight) / f64::from(total)).ceil();
            assert!(load as f64 <= most, "{name}: {load} of {most}");
        }
        assert!(home > 1_600, "{name}: {home} of 2000 keys at home");
    }
}

#[test]
fn a_node_that_goes_moves_few_keys() {
    let n = 20;
    for (name, pick) in orders(&vec![1; n]) {
        // All 2000 keys are placed anew in the same order, with and without the node.
        let place = |weights: &[u32]| -> Vec<usize> {
            let bounded = Bounded::new(weights, 1.0).expect("a bound");
            let mut loads = vec![0u64; n];
            let put = |i| {
                let node = pick(&key(i), &bounded.room(|node| loads[node])).expect("room");
                loads[node] += 1;
                node
            };
            (0..2_000).map(put).collect()
        };
        let before = place(&vec![1; n]);
        let mut weights = vec![1; n];
        weights[7] = 0;
        let after = place(&weights);
        let pairs = before.iter().zip(&after);
        let moved = pairs.filter(|(was, is)| **was != 7 && was != is).count();
        // The paper: a constant times 1/eps^2 for each ball of the node, which had some 100.
        assert!(moved < 100, "{name}: {moved} of 1900 moved needlessly");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn there_is_room_somewhere_and_home_is_first(
        nodes in prop::collection::vec((1u32..9, 0u64..1_000), 1..12), eps in 0.001f64..10.0, k in any::<u64>(),
    ) {
        let (weights, loads): (Vec<_>, Vec<_>) = nodes.into_iter().unzip();
        let bounded = Bounded::new(&weights, eps).expect("a bound");
        let all = loads.iter().sum();
        let capacity: u64 = (0..loads.len()).map(|n| bounded.capacity(n, all)).sum();
        prop_assert!(capacity > all);
        for (name, pick) in orders(&weights) {
            let room = bounded.room(|node| loads[node]);
            let node = pick(&key(k), &room).expect("room");
            prop_assert!(loads[node] < bounded.capacity(node, all), "{}", name);
            let home = pick(&key(k), &|_| true).expect("a node");
            prop_assert!(node == home || !room(home), "{}", name);
        }
    }

    #[test]
    fn more_eps_is_more_room(weights in prop::collection::vec(0u32..9, 1..12), load in any::<u64>(), a in 0.001f64..9.0, more in 0.0f64..9.0) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let (tight, wide) = (Bounded::new(&weights, a).expect("a"), Bounded::new(&weights, a + more).expect("b"));
        for node in 0..weights.len() {
            prop_assert!(tight.capacity(node, load) <= wide.capacity(node, load));
        }
    }
}
