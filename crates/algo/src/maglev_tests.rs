//! What must hold of [`super::Maglev`].

use super::*;
use crate::hash::stable_hash;
use proptest::prelude::*;

fn ids(n: usize) -> Vec<(u64, u32)> {
    (0..n)
        .map(|i| {
            (
                stable_hash(format!("10.0.{}.{}:8080", i / 256, i % 256).as_bytes()),
                1,
            )
        })
        .collect()
}

fn table(nodes: &[(u64, u32)], size: usize) -> Maglev {
    Maglev::new(nodes, size).expect("good nodes")
}

/// Slots by node.
fn shares(m: &Maglev, nodes: usize) -> Vec<usize> {
    let mut count = vec![0; nodes];
    for &node in &m.slots {
        count[node as usize] += 1;
    }
    count
}

fn key(i: u64) -> u64 {
    stable_hash(&i.to_le_bytes())
}

#[test]
fn bad_tables_are_refused() {
    let two = [(1, 1), (2, 1)];
    type Nodes<'a> = &'a [(u64, u32)];
    let cases: [(Nodes, usize, BadMaglev); 9] = [
        (&[], 7, BadMaglev::NoNodes),
        (&[(1, 0)], 7, BadMaglev::NoNodes),
        (&two, 0, BadMaglev::BadSize),
        (&two, 1, BadMaglev::BadSize),
        (&two, 65_536, BadMaglev::BadSize),
        (&two, 5_000_077, BadMaglev::BadSize),
        (&[(1, 1), (2, 1), (3, 1)], 2, BadMaglev::TooManyNodes),
        (&[(4, 1); 65_536], 65_537, BadMaglev::TooManyNodes),
        (&[(9, 1), (5, 1), (9, 2)], 7, BadMaglev::SameId(9)),
    ];
    for (nodes, size, why) in cases {
        assert_eq!(
            Maglev::new(nodes, size).err(),
            Some(why),
            "{} nodes, size {size}",
            nodes.len()
        );
    }
    assert!(Maglev::new(&two, 2).is_ok());
    assert!(Maglev::new(&two, Maglev::MAX_SIZE).is_ok());
}

#[test]
fn the_table_never_changes_between_releases() {
    let m = table(&[(11, 1), (22, 1), (33, 2)], 13);
    assert_eq!(
        &m.slots[..],
        GOLDEN_SLOTS,
        "every key of every user would move"
    );
}

#[test]
fn equal_nodes_differ_by_one_slot() {
    for n in [1, 2, 3, 10, 100, 1_000] {
        let count = shares(&table(&ids(n), Maglev::DEFAULT_SIZE), n);
        let (min, max) = (count.iter().min().unwrap(), count.iter().max().unwrap());
        assert!(max - min <= 1, "{n} nodes: {min} to {max}");
    }
}

#[test]
fn removing_a_node_moves_little_more_than_its_keys() {
    for n in [10, 100] {
        let all = ids(n);
        let before = table(&all, Maglev::DEFAULT_SIZE);
        let after = table(&all[..n - 1], Maglev::DEFAULT_SIZE);
        let kept = before
            .slots
            .iter()
            .zip(&after.slots)
            .filter(|(b, _)| (**b as usize) < n - 1);
        let moved = kept.filter(|(b, a)| b != a).count();
        // The paper's figure 12: a few percent of the slots at 100 slots a node, less above.
        let share = moved as f64 / Maglev::DEFAULT_SIZE as f64;
        assert!(
            share < 0.04,
            "{n} nodes: {share} of all slots moved needlessly"
        );
    }
}

#[test]
fn keys_land_evenly() {
    let m = table(&ids(10), Maglev::DEFAULT_SIZE);
    let mut count = [0; 10];
    for i in 0..100_000 {
        count[m.pick(key(i))] += 1;
    }
    assert!(
        count.iter().all(|c| (9_500..10_500).contains(c)),
        "{count:?}"
    );
}

#[test]
fn only_keys_of_lost_nodes_move_and_they_spread() {
    let m = table(&ids(10), Maglev::DEFAULT_SIZE);
    let mut heirs = [0; 10];
    for i in 0..100_000 {
        let (owner, now) = (
            m.pick(key(i)),
            m.pick_where(key(i), |n| n != 3).expect("nine nodes"),
        );
        if owner == 3 {
            heirs[now] += 1;
        } else {
            assert_eq!(owner, now, "key {i}");
        }
    }
    assert_eq!(heirs[3], 0);
    let heirs: Vec<_> = heirs.into_iter().filter(|&h| h > 0).collect();
    assert_eq!(heirs.len(), 9);
    assert!(heirs.iter().all(|h| (800..1_500).contains(h)), "{heirs:?}");
}

#[test]
fn when_nearly_all_are_lost_the_rest_share() {
    let mut nodes = ids(1_000);
    nodes[7].1 = 0;
    let m = table(&nodes, Maglev::DEFAULT_SIZE);
    let well = [7, 500, 900, 999];
    let mut count = [0; 1_000];
    for i in 0..30_000 {
        let picked = m
            .pick_where(key(i), |n| well.contains(&n))
            .expect("three nodes");
        count[picked] += 1;
    }
    assert_eq!(count[7], 0, "weight 0 is out");
    for node in &well[1..] {
        assert!(
            (9_000..11_000).contains(&count[*node]),
            "node {node}: {}",
            count[*node]
        );
    }
    assert_eq!(m.pick_where(1, |_| false), None);
}

#[test]
fn extreme_weights_keep_every_node() {
    let mut nodes = ids(1_000);
    nodes[0].1 = u32::MAX;
    let count = shares(&table(&nodes, Maglev::DEFAULT_SIZE), 1_000);
    assert_eq!(count[0], 65_537 - 999);
    assert!(count[1..].iter().all(|&c| c == 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn slots_follow_weights(weights in prop::collection::vec(1u32..100, 1..40)) {
        let nodes: Vec<_> = ids(weights.len()).iter().zip(&weights).map(|(n, &w)| (n.0, w)).collect();
        let count = shares(&table(&nodes, 4_099), nodes.len());
        let total: u32 = weights.iter().sum();
        let heaviest = *weights.iter().max().unwrap();
        for (c, w) in count.iter().zip(&weights) {
            let want = 4_099.0 * f64::from(*w) / f64::from(total);
            // A turn gives each at most one slot, the first turn gives one to all, and the last
            // is cut short: each node is off by less than 2, in which the number of turns shares.
            let turns = f64::from(*w) / f64::from(heaviest);
            let slack = 1.0 + turns * (1.0 + nodes.len() as f64 * f64::from(heaviest) / f64::from(total));
            prop_assert!((*c as f64 - want).abs() <= slack, "weight {w}: {c} slots, {want} wanted, slack {slack}");
        }
    }

    #[test]
    fn the_order_of_nodes_is_nothing(
        weights in prop::collection::vec(0u32..5, 2..20), turn in 1usize..20, reverse in any::<bool>(),
    ) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        let nodes: Vec<_> = ids(weights.len()).iter().zip(&weights).map(|(n, &w)| (n.0, w)).collect();
        let mut other = nodes.clone();
        other.rotate_left(turn % nodes.len());
        if reverse {
            other.reverse();
        }
        let (a, b) = (table(&nodes, 251), table(&other, 251));
        for i in 0..500 {
            prop_assert_eq!(nodes[a.pick(key(i))].0, other[b.pick(key(i))].0);
            let few = |list: &[(u64, u32)], n: usize| list[n].0.is_multiple_of(3);
            let (x, y) = (a.pick_where(key(i), |n| few(&nodes, n)), b.pick_where(key(i), |n| few(&other, n)));
            prop_assert_eq!(x.map(|n| nodes[n].0), y.map(|n| other[n].0));
        }
    }
}

/// What this code built first: the contract with every gateway already running.
const GOLDEN_SLOTS: &[u16] = &[2, 0, 1, 1, 1, 0, 2, 2, 0, 2, 2, 0, 2];
