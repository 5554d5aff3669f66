//! Round robin: nodes in turn, evenly or by weight.
//!
//! Source: the smooth weighted round robin of NGINX (`ngx_http_upstream_round_robin.c`): each
//!         node gains its weight a turn, the richest is taken and pays the total, so that weights
//!         5, 1, 1 give `a a b a c a a` and not five in a row.
//! Bounds: equal weights O(1) a turn, unequal O(n). State belongs to one thread.

use std::fmt;

/// Turns among nodes of equal weight. The number of nodes may change from turn to turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundRobin {
    next: usize,
}

/// Turns among nodes of unequal weight: in any run of `sum of weights` turns with the same nodes
/// taking part, each node has exactly its weight.
#[derive(Clone, Debug)]
pub struct SmoothRoundRobin {
    nodes: Box<[Node]>,
}

/// Why [`SmoothRoundRobin::new`] refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadWeights {
    /// No node, or every weight 0.
    NoNodes,
    /// More than 65 536 nodes.
    TooManyNodes,
}

impl RoundRobin {
    /// Starts at node `first`. Give threads different ones, so that they do not march in step.
    pub const fn new(first: usize) -> Self {
        Self { next: first }
    }

    /// The next of `n` nodes, `None` for `n` = 0.
    #[inline]
    pub fn pick(&mut self, n: usize) -> Option<usize> {
        self.pick_where(n, |_| true)
    }

    /// The next of `n` nodes for which `ok` holds, after at most `n` calls of it.
    #[inline]
    pub fn pick_where(&mut self, n: usize, ok: impl Fn(usize) -> bool) -> Option<usize> {
        let mut at = if self.next < n {
            self.next
        } else {
            self.next.checked_rem(n)?
        };
        for _ in 0..n {
            let i = at;
            at = if at + 1 == n { 0 } else { at + 1 };
            if ok(i) {
                self.next = at;
                return Some(i);
            }
        }
        None
    }
}

impl SmoothRoundRobin {
    /// Nodes by weight; weight 0 takes a node out.
    pub fn new(weights: &[u32]) -> Result<Self, BadWeights> {
        if weights.iter().all(|&w| w == 0) {
            return Err(BadWeights::NoNodes);
        }
        if weights.len() > MAX_NODES {
            return Err(BadWeights::TooManyNodes);
        }
        let nodes = weights
            .iter()
            .map(|&weight| Node { weight, credit: 0 })
            .collect();
        Ok(Self { nodes })
    }

    /// The node whose turn it is.
    #[inline]
    pub fn pick(&mut self) -> Option<usize> {
        self.pick_where(|_| true)
    }

    /// The node whose turn it is among those for which `ok` holds. The others neither gain nor pay:
    /// they come back where they left. `None` if none is left.
    #[inline]
    pub fn pick_where(&mut self, ok: impl Fn(usize) -> bool) -> Option<usize> {
        let mut total = 0;
        let mut best: Option<(usize, i64)> = None;
        for (i, node) in self.nodes.iter_mut().enumerate() {
            if node.weight == 0 || !ok(i) {
                continue;
            }
            let weight = i64::from(node.weight);
            total += weight;
            node.credit = (node.credit + weight).min(CREDIT_MAX);
            if best.is_none_or(|(_, credit)| node.credit > credit) {
                best = Some((i, node.credit));
            }
        }
        let (i, credit) = best?;
        self.nodes[i].credit = (credit - total).max(-CREDIT_MAX);
        Some(i)
    }
}

impl fmt::Display for BadWeights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoNodes => "no node has a weight above 0",
            Self::TooManyNodes => "more than 65536 nodes",
        })
    }
}

impl std::error::Error for BadWeights {}

#[derive(Clone, Copy, Debug)]
struct Node {
    weight: u32,
    credit: i64,
}

const MAX_NODES: usize = 1 << 16;
/// Credits stay within a few totals (2^48) while the nodes taking part are the same. When they
/// change often, the leftovers of many sets add up; this bound keeps the sums from overflowing.
const CREDIT_MAX: i64 = 1 << 56;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn turns(weights: &[u32], n: usize) -> Vec<usize> {
        let mut rr = SmoothRoundRobin::new(weights).expect("weights");
        (0..n).map(|_| rr.pick().expect("a node")).collect()
    }

    #[test]
    fn smooth_orders() {
        let cases: [(&[u32], &[usize]); 4] = [
            (&[5, 1, 1], &[0, 0, 1, 0, 2, 0, 0]),
            (&[1, 1, 1], &[0, 1, 2, 0, 1, 2]),
            (&[0, 2, 1], &[1, 2, 1, 1, 2, 1]),
            (&[4], &[0, 0, 0]),
        ];
        for (weights, want) in cases {
            assert_eq!(turns(weights, want.len()), want, "{weights:?}");
        }
    }

    #[test]
    fn bad_weights_are_refused() {
        assert_eq!(SmoothRoundRobin::new(&[]).err(), Some(BadWeights::NoNodes));
        assert_eq!(
            SmoothRoundRobin::new(&[0, 0]).err(),
            Some(BadWeights::NoNodes)
        );
        assert_eq!(
            SmoothRoundRobin::new(&[1; 65_537]).err(),
            Some(BadWeights::TooManyNodes)
        );
    }

    #[test]
    fn even_turns_and_changing_numbers() {
        let mut rr = RoundRobin::new(5);
        let got: Vec<_> = (0..5).map(|_| rr.pick(3)).collect();
        assert_eq!(got, [Some(2), Some(0), Some(1), Some(2), Some(0)]);
        assert_eq!(rr.pick(0), None);
        assert_eq!(rr.pick_where(3, |i| i == 0), Some(0), "goes round");
        assert_eq!(rr.pick_where(3, |_| false), None);
        assert_eq!(RoundRobin::new(usize::MAX).pick(1), Some(0));
    }

    #[test]
    fn nodes_out_of_turn_take_no_share() {
        let mut rr = SmoothRoundRobin::new(&[5, 3, 2]).expect("weights");
        let mut seen = [0; 3];
        for _ in 0..80 {
            seen[rr.pick_where(|i| i != 2).expect("a node")] += 1;
        }
        assert_eq!(seen, [50, 30, 0]);
        assert_eq!(rr.pick_where(|_| false), None);
    }

    proptest! {
        #[test]
        fn every_window_of_the_total_is_exact(weights in prop::collection::vec(0u32..12, 1..12), lead in 0usize..50) {
            prop_assume!(weights.iter().any(|&w| w > 0));
            let total = weights.iter().sum::<u32>() as usize;
            let all = turns(&weights, lead + total);
            let mut seen = vec![0; weights.len()];
            for &i in &all[lead..] {
                seen[i] += 1;
            }
            prop_assert_eq!(seen, weights);
        }

        #[test]
        fn changing_sets_never_overflow(weights in prop::collection::vec(any::<u32>(), 1..8), sets in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assume!(weights.iter().any(|&w| w > 0));
            let mut rr = SmoothRoundRobin::new(&weights).expect("weights");
            for set in sets {
                if let Some(i) = rr.pick_where(|i| set >> i & 1 == 1) {
                    prop_assert!(weights[i] > 0 && set >> i & 1 == 1);
                }
            }
        }
    }
}
