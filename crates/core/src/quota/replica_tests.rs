use super::*;
use crate::quota::{Calendar, Period, Zone};

const H: u64 = 3600;
/// A full hour.
const T: u64 = 500_000 * H;

fn ali() -> Arc<str> {
    "ali".into()
}

fn at(unix: u64, used: u64) -> Standing {
    let window = Calendar::new(Period::Hour, Zone::default()).window(unix);
    Standing { window, used }
}

/// How many of `n` requests are admitted without the store at this second.
fn alone(replica: &Replica, unix: u64, (limit, nodes): (u64, u64), n: usize) -> usize {
    let one = || replica.admit(&ali(), unix, (limit, 1, nodes, false), || at(unix, 0));
    (0..n)
        .filter(|_| matches!(one(), Admission::Admitted(_)))
        .count()
}

#[test]
fn alone_a_node_admits_its_share_of_what_it_knew_to_be_left() {
    // What was used by the store's last word, the limit, the nodes; how many are admitted.
    for (used, limit, nodes, want) in [
        (0, 10, 1, 10),
        (0, 10, 2, 5),
        (0, 10, 3, 3),
        (4, 10, 2, 3),
        (9, 10, 2, 0),
        (10, 10, 1, 0),
        (12, 10, 1, 0),
    ] {
        let replica = Replica::default();
        replica.heard(&ali(), at(T, used), 1);
        let got = alone(&replica, T + 5, (limit, nodes), 20);
        assert_eq!(got, want, "{used} of {limit} over {nodes}");
        assert_eq!(replica.owed(), want as u64);
        // The next window is whole, and what was owed of this one is dropped by the first of it.
        let next = alone(&replica, T + H, (limit, nodes), 20);
        assert_eq!(next as u64, limit / nodes);
        assert_eq!(replica.owed(), next as u64);
    }
}

#[test]
fn open_admits_all_and_counts_it() {
    let replica = Replica::default();
    for _ in 0..5 {
        let got = replica.admit(&ali(), T, (2, 1, 1, true), || at(T, 0));
        assert!(matches!(got, Admission::Admitted(_)));
    }
    assert_eq!(replica.owed(), 5);
    assert_eq!(replica.standing("ali", T).map(|s| s.used), Some(5));
}

#[test]
fn what_was_written_down_counts_where_nothing_else_is_known() {
    let replica = Replica::default();
    let own = |used| move || at(T, used);
    assert_eq!(replica.known(&ali(), T, own(7)), Some((at(T, 7), 0)));
    assert_eq!(
        replica.known(&ali(), T, own(9)),
        Some((at(T, 7), 0)),
        "once"
    );
    assert_eq!(alone(&replica, T, (9, 1), 9), 2);
    // What is owed is not in it: it is given beside.
    assert_eq!(replica.known(&ali(), T, own(9)), Some((at(T, 7), 0)));
}

#[test]
fn what_is_owed_is_given_once_one_call_at_a_time() {
    let replica = Replica::default();
    let charge = |unix, units| replica.charge(&ali(), unix, units, || at(unix, 0));
    let owed = |window, units| Some(Owed { window, units });
    assert_eq!(replica.take("ali"), None);
    assert_eq!(charge(T, 3).map(|w| w.start), Some(T));
    assert_eq!(replica.due(9), [ali()]);
    assert_eq!(replica.take("ali"), owed(T, 3));
    charge(T, 4);
    assert_eq!(replica.take("ali"), None, "one is on its way");
    assert!(replica.due(9).is_empty());
    assert_eq!(replica.standing("ali", T).map(|s| s.used), Some(7));
    replica.settle("ali", false);
    assert_eq!(replica.take("ali"), owed(T, 7), "it came back");
    replica.settle("ali", true);
    assert_eq!((replica.owed(), replica.take("ali")), (0, None));
    // One that comes back after the window is over.
    charge(T, 5);
    assert_eq!(replica.take("ali"), owed(T, 5));
    charge(T + H, 2);
    replica.settle("ali", false);
    assert_eq!(replica.owed(), 2);
    assert_eq!(replica.take("ali"), owed(T + H, 2));
    replica.settle("ali", true);
    assert_eq!(replica.owed(), 0);
}

#[test]
fn answers_of_one_window_only_grow_and_another_window_is_believed() {
    let replica = Replica::default();
    let known = || {
        replica
            .known(&ali(), T, || at(T, 0))
            .map(|(s, epoch)| (s.used, epoch))
    };
    replica.heard(&ali(), at(T, 5), 1);
    replica.heard(&ali(), at(T, 4), 1);
    assert_eq!(known(), Some((5, 1)));
    replica.heard(&ali(), at(T + H, 1), 1);
    assert_eq!(replica.standing("ali", T + H), Some(at(T + H, 1)));
    replica.heard(&ali(), at(T, 6), 1);
    assert_eq!(known(), Some((6, 1)));
    // A key that was lost and made again: what it says now is so.
    replica.heard(&ali(), at(T, 2), 3);
    assert_eq!(known(), Some((2, 3)));
}

#[test]
fn when_it_is_full_only_who_has_nothing_left_leaves() {
    let replica = Replica::default();
    let most = MAX_CONSUMERS / STRIPES;
    let place = |name: &str| std::ptr::from_ref(&*replica.stripes.of(name)) as usize;
    let mine = place("ali");
    let names = (0..).map(|n| format!("c{n}")).filter(|n| place(n) == mine);
    let names: Vec<Arc<str>> = names.take(most).map(|n| n.into()).collect();
    for name in &names {
        replica.heard(name, at(T, 1), 1);
    }
    replica.charge(&names[0], T, 1, || at(T, 0));
    assert_eq!(replica.known(&ali(), T, || at(T, 0)), None);
    let full = replica.admit(&ali(), T, (9, 1, 1, false), || at(T, 0));
    assert_eq!(full, Admission::Full);
    assert_eq!(replica.charge(&ali(), T, 1, || at(T, 0)), None);
    assert_eq!(alone(&replica, T + H, (9, 1), 1), 1);
    assert_eq!(replica.due(9).len(), 2, "what is owed stays");
}
