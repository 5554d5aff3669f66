//! What must hold of [`super::FairQueue`].

use super::*;
use crate::mix64;
use proptest::prelude::*;

fn push(q: &mut FairQueue<u64>, level: usize, flow: u64, most: usize, item: u64) -> Pushed<u64> {
    let place = q.place(level, mix64(flow));
    q.push(place, most, item)
}

fn drained(q: &mut FairQueue<u64>) -> Vec<u64> {
    std::iter::from_fn(|| q.pop(10)).collect()
}

#[test]
fn higher_levels_go_first_and_equals_in_their_order() {
    let mut q = FairQueue::new(1, 1);
    for (level, item) in [(2, 1), (3, 2), (0, 3), (2, 4), (1, 5), (0, 6), (9, 7)] {
        assert!(matches!(push(&mut q, level, 0, 10, item), Pushed::Waits(_)));
    }
    assert_eq!(q.len(), 7);
    assert_eq!(drained(&mut q), [3, 6, 5, 1, 4, 2, 7]);
    assert!(q.is_empty());
    assert_eq!(q.pop(1), None);
}

#[test]
fn who_leaves_when_the_line_is_full() {
    // Two that wait at these levels of flow 1, then one of this level and flow: who leaves, or is refused.
    let cases = [
        ([1, 1], 1, 1, 1, Pushed::Full(9)),
        ([1, 1], 0, 1, 1, Pushed::InPlaceOf(3, 1)),
        ([1, 1], 2, 1, 1, Pushed::Full(9)),
        ([2, 3], 1, 1, 1, Pushed::InPlaceOf(3, 1)),
        ([3, 2], 1, 1, 1, Pushed::InPlaceOf(3, 0)),
        // Another flow of the same level: the longer queue pays.
        ([1, 1], 1, 2, 64, Pushed::InPlaceOf(3, 1)),
    ];
    for (levels, level, flow, queues, want) in cases {
        let mut q = FairQueue::new(queues, 1);
        for (item, l) in levels.into_iter().enumerate() {
            push(&mut q, l, 1, 2, item as u64);
        }
        assert_eq!(push(&mut q, level, flow, 2, 9), want, "{levels:?} {level}");
        assert_eq!(q.len(), 2);
    }
    let mut none = FairQueue::new(4, 2);
    assert_eq!(push(&mut none, 0, 1, 0, 9), Pushed::Full(9));
}

#[test]
fn one_that_leaves_is_not_served() {
    let mut q = FairQueue::new(1, 1);
    let place = q.place(2, 0);
    let ids: Vec<u64> = (0..3)
        .map(|item| match q.push(place, 9, item) {
            Pushed::Waits(id) => id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(q.ahead(place), 3);
    assert_eq!(q.remove(place, ids[1]), Some(1));
    assert_eq!(q.remove(place, ids[1]), None);
    assert_eq!(q.remove(Place { level: 0, queue: 0 }, ids[0]), None);
    assert_eq!(drained(&mut q), [0, 2]);
    assert_eq!(q.remove(place, ids[0]), None);
}

/// A flow that offers a hundred times as much is served before a quiet one at most once a turn of its hand.
#[test]
fn a_quiet_flow_waits_for_no_backlog() {
    let mut q = FairQueue::new(64, 8);
    for item in 0..1000 {
        push(&mut q, 2, 1, 2000, item);
    }
    for round in 0..20 {
        let place = q.place(2, mix64(2));
        assert_eq!(q.ahead(place), 0);
        push(&mut q, 2, 2, 2000, 5000 + round);
        assert!(matches!(q.pop(10), Some(item) if item >= 5000), "{round}");
        // Then the loud one has its turns again.
        assert!((0..8).all(|_| q.pop(10).is_some_and(|item| item < 5000)));
    }
}

/// One whose items take ten times as long gets as much time as the other, not as many items.
#[test]
fn shares_are_of_time_once_the_cost_is_known() {
    let mut q = FairQueue::new(64, 1);
    let (slow, fast) = (q.place(2, mix64(1)), q.place(2, mix64(2)));
    assert_ne!(slow, fast);
    let mut served = [0u64; 2];
    for _ in 0..2000 {
        for (place, item) in [(slow, 0), (fast, 1)] {
            while q.ahead(place) < 2 {
                q.push(place, 100, item);
            }
        }
        let item = q.pop(100).expect("both wait");
        served[item as usize] += 1;
        let (place, cost) = [(slow, 1000), (fast, 100)][item as usize];
        q.settle(place, 100, cost);
    }
    let ratio = served[1] as f64 / served[0] as f64;
    assert!((9.0..11.0).contains(&ratio), "{served:?}");
}

#[test]
fn what_was_not_used_is_not_saved_up() {
    let mut q = FairQueue::new(64, 1);
    let (a, b) = (q.place(2, mix64(1)), q.place(2, mix64(2)));
    // `a` is served alone for long, without waiting.
    (0..1000).for_each(|_| q.charge(a, 100));
    let mut served = [0; 2];
    for _ in 0..200 {
        for (place, item) in [(a, 0), (b, 1)] {
            if q.levels[2].queues[place.queue].items.is_empty() {
                q.push(place, 100, item);
            }
        }
        served[q.pop(100).expect("both wait") as usize] += 1;
    }
    assert!(served[0] >= 99, "{served:?}");
}

proptest! {
    #[test]
    fn a_hand_is_of_different_queues(flow: u64, queues in 1usize..=MAX_QUEUES, hand in 1usize..=MAX_HAND) {
        let hand = hand.min(queues);
        let mut cards = dealt(flow, queues, hand)[..hand].to_vec();
        prop_assert!(cards.iter().all(|c| *c < queues));
        cards.sort_unstable();
        cards.dedup();
        prop_assert_eq!(cards.len(), hand);
    }

    /// Whatever is done, nothing is lost and nothing is served twice, and no more wait than may.
    #[test]
    fn all_that_goes_in_comes_out_once(
        queues in 1usize..70, hand in 0usize..10, most in 0usize..30,
        steps in prop::collection::vec((0u8..4, 0usize..5, 0u64..6, any::<u64>()), 0..300),
    ) {
        let mut q = FairQueue::new(queues, hand);
        let mut waiting = std::collections::BTreeMap::new();
        let mut next = 0u64;
        for (what, level, flow, cost) in steps {
            match what {
                0 | 1 => {
                    let place = q.place(level, mix64(flow));
                    match q.push(place, most, next) {
                        Pushed::Waits(id) => { waiting.insert(next, (place, id)); }
                        Pushed::InPlaceOf(id, left) => {
                            prop_assert!(waiting.remove(&left).is_some());
                            waiting.insert(next, (place, id));
                        }
                        Pushed::Full(item) => prop_assert_eq!(item, next),
                    }
                    next += 1;
                }
                2 => match q.pop(cost) {
                    Some(item) => {
                        let (place, _) = waiting.remove(&item).expect("it waited");
                        prop_assert!(waiting.values().all(|(p, _)| p.level >= place.level));
                        q.settle(place, cost, cost / 2);
                    }
                    None => prop_assert!(waiting.is_empty()),
                },
                _ => if let Some((&item, &(place, id))) = waiting.iter().next() {
                    prop_assert_eq!(q.remove(place, id), Some(item));
                    waiting.remove(&item);
                },
            }
            prop_assert_eq!(q.len(), waiting.len());
            prop_assert!(q.len() <= most);
        }
        let mut rest = drained(&mut q);
        rest.sort_unstable();
        prop_assert_eq!(rest, waiting.into_keys().collect::<Vec<_>>());
    }

    /// Of two flows with a backlog and hands that do not meet, neither gets more than its share by more than a turn.
    #[test]
    fn backlogged_flows_share_evenly(a in 0u64..1000, b in 0u64..1000, n in 8usize..200) {
        let mut q = FairQueue::new(64, 1);
        let (pa, pb) = (q.place(0, mix64(a)), q.place(0, mix64(b)));
        prop_assume!(pa != pb);
        for _ in 0..n { q.push(pa, 1000, 0u64); }
        for _ in 0..n { q.push(pb, 1000, 1u64); }
        let mut served = [0i64; 2];
        for _ in 0..2 * n {
            served[q.pop(7).expect("both wait") as usize] += 1;
            prop_assert!((served[0] - served[1]).abs() <= 1);
        }
    }
}
