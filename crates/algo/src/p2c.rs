//! Power of two choices: of two nodes drawn at random, the one with less to do.
//!
//! Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001); the load
//!         is `(active + 1) / weight`, as in Envoy's least request.
//! Bounds: two calls of `loads`; up to `n` more only when both nodes drawn have weight 0.

use crate::hash::{mix64, reduce};

/// Picks one of `n` nodes, `None` if there is none with a weight above 0.
///
/// `loads(i)` is the node's requests in flight and its weight; weight 0 takes a node out. The same
/// `rand` and loads give the same node. Between two nodes that both have nothing to do the load
/// says nothing, so weight decides by lot; equal loads go to the first drawn.
///
/// Weights steer a loaded set. For exact shares at any load, use [`crate::SmoothRoundRobin`].
#[inline]
pub fn pick(n: usize, loads: impl Fn(usize) -> (u32, u32), rand: u64) -> Option<usize> {
    if n < 2 {
        return (n == 1 && loads(0).1 > 0).then_some(0);
    }
    // Two independent halves; with at most 2^32 nodes the shares differ by less than n / 2^32.
    let first = reduce(rand, n as u64) as usize;
    let second = reduce(rand << 32, n as u64 - 1) as usize;
    let second = second + usize::from(second >= first);
    let (a, b) = (loads(first), loads(second));
    match (a.1 > 0, b.1 > 0) {
        (true, true) => Some(if first_wins(a, b, rand) {
            first
        } else {
            second
        }),
        (true, false) => Some(first),
        (false, true) => Some(second),
        (false, false) => (0..n).map(|i| (first + i) % n).find(|&i| loads(i).1 > 0),
    }
}

#[inline]
fn first_wins(a: (u32, u32), b: (u32, u32), rand: u64) -> bool {
    if a.0 == 0 && b.0 == 0 && a.1 != b.1 {
        let lot = reduce(mix64(rand), u64::from(a.1) + u64::from(b.1));
        return lot < u64::from(a.1);
    }
    // (a.0 + 1) / a.1 <= (b.0 + 1) / b.1, without the division; below 2^65.
    (u128::from(a.0) + 1) * u128::from(b.1) <= (u128::from(b.0) + 1) * u128::from(a.1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use proptest::prelude::*;

    #[test]
    fn few_nodes() {
        assert_eq!(pick(0, |_| (0, 1), 5), None);
        assert_eq!(pick(1, |_| (9, 1), 5), Some(0));
        assert_eq!(pick(1, |_| (0, 0), 5), None);
        assert_eq!(pick(9, |_| (0, 0), 5), None);
        assert_eq!(pick(9, |i| (0, u32::from(i == 7)), 5), Some(7));
    }

    #[test]
    fn of_two_nodes_the_less_loaded_for_its_weight() {
        // (a, b, index of the winner)
        let cases = [
            ((3, 1), (2, 1), 1),
            ((3, 2), (2, 1), 0),
            ((0, 1), (1, 1), 0),
            ((u32::MAX, 1), (u32::MAX, u32::MAX), 1),
            ((5, 0), (1000, 1), 1),
        ];
        let mut rng = Rng::new(1);
        for (a, b, want) in cases {
            for _ in 0..100 {
                let got = pick(2, |i| [a, b][i], rng.next_u64());
                assert_eq!(got, Some(want), "seed 1: {a:?} {b:?}");
            }
        }
    }

    #[test]
    fn idle_nodes_share_by_weight() {
        let mut rng = Rng::new(2);
        let light = (0..40_000)
            .filter(|_| pick(2, |i| (0, [3, 1][i]), rng.next_u64()) == Some(1))
            .count();
        assert!((9_500..10_500).contains(&light), "seed 2: {light} of 40000");
    }

    #[test]
    fn the_fullest_node_stays_near_the_mean() {
        let mut rng = Rng::new(3);
        let mut active = [0u32; 100];
        for _ in 0..100_000 {
            let i = pick(100, |i| (active[i], 1), rng.next_u64()).expect("nodes");
            active[i] += 1;
        }
        // One random choice would give about 1000 ± 95; two give log log n above the mean.
        let max = active.iter().max().expect("nodes");
        assert!((1_000..=1_006).contains(max), "seed 3: {max}");
    }

    proptest! {
        #[test]
        fn total_and_never_weight_zero(
            nodes in prop::collection::vec((any::<u32>(), prop_oneof![Just(0u32), any::<u32>()]), 0..20),
            rand in any::<u64>(),
        ) {
            match pick(nodes.len(), |i| nodes[i], rand) {
                Some(i) => prop_assert!(nodes[i].1 > 0),
                None => prop_assert!(nodes.iter().all(|n| n.1 == 0)),
            }
        }
    }
}
