//! What must hold of [`super::LimitTable`].

use proptest::prelude::*;

use super::*;
use crate::{Bucket, FixedWindow, SlidingLog, SlidingWindow};

const SEC: u64 = 1_000_000_000;

impl LimitTable {
    /// A table in the same state.
    pub(crate) fn copied(from: &Self, limit: &Limit) -> Self {
        let to = Self::new(*limit, from.capacity(), from.seed).expect("as the other");
        for (from, to) in from.pieces.iter().zip(&to.pieces) {
            let Some(sets) = from.get() else { continue };
            let copy = |set: &Words| Mutex::new(set.lock().expect("no panic").clone());
            to.set(sets.iter().map(copy).collect())
                .expect("a new table");
        }
        to
    }
}

fn limits(quota: u64) -> [Limit; 4] {
    [
        Limit::Bucket(Bucket::new(quota, SEC, quota).expect("a bucket")),
        Limit::FixedWindow(FixedWindow::new(quota, SEC).expect("a window")),
        Limit::SlidingWindow(SlidingWindow::new(quota, SEC).expect("a window")),
        Limit::SlidingLog(SlidingLog::new(quota, SEC).expect("a log")),
    ]
}

fn admits(table: &LimitTable, key: u64, now: u64) -> bool {
    table.decide(key, now, 1).said == Said::Admit
}

#[test]
fn a_table_has_a_bound_and_says_what_it_takes() {
    let [bucket, _, sliding, log] = limits(1000);
    for (limit, keys, bytes) in [
        (bucket, 8, 24 + 8 * (8 + 10 * 2)),
        (sliding, 9, 2 * (24 + 8 * (8 + 10 * 3))),
        (log, 1, 24 + 8 * (8 + 10 * 1002)),
    ] {
        // A lock, and where the words are.
        let lock = size_of::<Words>() - 24;
        let sets = usize::div_ceil(keys, 8);
        assert_eq!(
            LimitTable::bytes(&limit, keys),
            bytes + sets * lock,
            "{limit:?}"
        );
    }
    assert_eq!(
        LimitTable::new(log, 1 << 16, 0).err(),
        Some(BadCapacity(1 << 16))
    );
    assert_eq!(LimitTable::new(bucket, 0, 0).err(), Some(BadCapacity(0)));
    assert_eq!(
        LimitTable::new(bucket, usize::MAX, 0).err(),
        Some(BadCapacity(usize::MAX))
    );
    assert_eq!(
        LimitTable::new(bucket, 9, 0).expect("a table").capacity(),
        16
    );
}

#[test]
fn a_flood_of_keys_frees_nobody() {
    for limit in limits(2) {
        let table = LimitTable::new(limit, 8, 0).expect("a table");
        assert!(admits(&table, 1, 0) && admits(&table, 1, 0) && !admits(&table, 1, 0));
        let mut admitted = 2;
        for key in 2..1000 {
            admitted += u64::from(admits(&table, key, 0));
            assert!(!admits(&table, 1, 0), "{limit:?} after {key}");
        }
        assert!(
            (9..=8 * 2).contains(&admitted),
            "{limit:?}: {admitted}, and there are 8 places"
        );
        // When all is over, all is well again.
        assert!(
            admits(&table, 1, 3 * SEC) && admits(&table, 5000, 3 * SEC),
            "{limit:?}"
        );
    }
}

#[test]
fn several_limits_are_charged_all_or_none() {
    let [a, b] = [3, 1].map(|quota| {
        let limit = Limit::FixedWindow(FixedWindow::new(quota, SEC).expect("a window"));
        LimitTable::new(limit, 8, 0).expect("a table")
    });
    let both = |key: u64| {
        let (mut of_a, mut of_b) = (a.hold(1, 0), b.hold(key, 0));
        let all = [of_a.look(1).said, of_b.look(1).said] == [Said::Admit; 2];
        if all {
            of_a.charge(1);
            of_b.charge(1);
        }
        all
    };
    assert_eq!(
        [7, 7, 7, 8, 9, 10].map(both),
        [true, false, false, true, true, false]
    );
}

#[test]
fn what_is_not_admitted_is_not_charged() {
    for limit in limits(1) {
        let table = LimitTable::new(limit, 8, 0).expect("a table");
        table.hold(1, 0).charge(1);
        assert!(admits(&table, 1, 0), "{limit:?}: nobody had looked");
        let mut held = table.hold(1, 0);
        assert_ne!(held.look(1).said, Said::Admit);
        held.charge(1);
    }
}

#[test]
fn threads_together_admit_what_one_would() {
    for limit in limits(500) {
        let table = LimitTable::new(limit, 64, 3).expect("a table");
        let admitted: usize = std::thread::scope(|scope| {
            let count = || (0..400).filter(|_| admits(&table, 9, 5)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads
                .into_iter()
                .map(|t| t.join().expect("a count"))
                .sum()
        });
        assert_eq!(admitted, 500, "{limit:?}");
    }
}

proptest! {
    /// Many keys in one set: what each gets stays in its bound, however often it left and came back.
    #[test]
    fn no_key_gets_more_by_eviction(
        quota in 1u64..4,
        asks in prop::collection::vec((1u64..30, prop_oneof![Just(0), 0..SEC / 3, 0..2 * SEC]), 1..300),
    ) {
        for limit in limits(quota) {
            let table = LimitTable::new(limit, 8, 0).expect("a table");
            let (mut now, mut admitted) = (0, Vec::new());
            for &(key, gap) in &asks {
                now += gap;
                if admits(&table, key, now) {
                    admitted.push((key, now));
                }
            }
            let bound = match limit {
                Limit::SlidingLog(_) => quota,
                _ => 2 * quota,
            };
            for &(key, end) in &admitted {
                let got = admitted.iter().filter(|(k, t)| *k == key && *t <= end && end - t < SEC);
                prop_assert!(got.count() as u64 <= bound, "{limit:?}");
            }
        }
    }
}

/// What has been spent counts whether or not it is within the limit: (how much beyond, when one more is admitted, of each limit).
#[test]
fn what_is_owed_is_waited_for_and_never_negative() {
    const MS: u64 = 1_000_000;
    // A quota of 10 a second. A bucket pays its debt at that rate, a window is full and no more.
    for (spent, free) in [
        (5, [0, 0, 0, 0]),
        (10, [100, 1_000, 1_100, 1_000]),
        (35, [2_600, 1_000, 1_100, 1_000]),
    ] {
        for (limit, free) in limits(10).into_iter().zip(free) {
            let table = LimitTable::new(limit, 8, 1).expect("a table");
            let now = 5 * SEC;
            table.hold(1, now).owe(spent);
            let mut held = table.hold(1, now);
            let asked = held.look(1);
            let wait = match asked.said {
                Said::Admit => 0,
                Said::Refuse { retry_after } => retry_after,
                Said::Never => panic!("never"),
            };
            assert_eq!(wait / MS, free, "{limit:?} {spent}");
            assert!(held.look(0).remaining <= 10_u64.saturating_sub(spent));
            drop(held);
            if wait > 0 {
                assert!(!admits(&table, 1, now + wait - 1), "{limit:?} {spent}");
            }
            assert!(admits(&table, 1, now + wait), "{limit:?} {spent}");
        }
    }
    // No number of debts wraps round.
    for limit in limits(10) {
        let table = LimitTable::new(limit, 8, 1).expect("a table");
        for _ in 0..5 {
            table.hold(1, SEC).owe(u64::MAX);
        }
        assert!(!admits(&table, 1, SEC), "{limit:?}");
        assert!(
            admits(&table, 2, SEC),
            "{limit:?}: another key owes nothing"
        );
    }
}

/// So many keys that all places are taken many times over.
#[test]
fn ten_million_keys_stay_within_the_bound_and_reset_nobody() {
    let keys = 10_000_000u64;
    let capacity = 1 << 12;
    let [bucket, ..] = limits(10);
    let table = LimitTable::new(bucket, capacity, 0x5eed).expect("a table");
    let victim = table.hash(b"victim");
    assert_eq!((0..20).filter(|_| admits(&table, victim, SEC)).count(), 10);
    for i in 0..keys {
        table.decide(table.hash(&i.to_le_bytes()), SEC, 1);
        if i % 64 == 0 {
            assert!(!admits(&table, victim, SEC), "after {i} keys");
        }
    }
    let words = |set: &Words| size_of::<Words>() + WORD * set.lock().expect("no panic").len();
    let used: usize = table
        .pieces
        .iter()
        .filter_map(OnceLock::get)
        .flatten()
        .map(words)
        .sum();
    assert_eq!(
        used,
        LimitTable::bytes(&bucket, capacity),
        "full, and no more than said"
    );
    assert!(
        admits(&table, victim, 3 * SEC),
        "and it is served again in its time"
    );
}
