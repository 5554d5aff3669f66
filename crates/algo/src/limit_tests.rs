//! What must hold of every algorithm, by one key of a [`LimitTable`].

use proptest::prelude::*;

use super::*;
use crate::{Decision, Gcra, LimitTable};

const SEC: u64 = 1_000_000_000;

fn limits(quota: u64, period: u64) -> [Limit; 4] {
    [
        Limit::Bucket(Bucket::new(quota, period, quota).expect("a bucket")),
        Limit::FixedWindow(FixedWindow::new(quota, period).expect("a window")),
        Limit::SlidingWindow(SlidingWindow::new(quota, period).expect("a window")),
        Limit::SlidingLog(SlidingLog::new(quota, period).expect("a log")),
    ]
}

fn table(limit: Limit) -> LimitTable {
    LimitTable::new(limit, 8, 1).expect("a table")
}

fn ask(table: &LimitTable, now: u64) -> Answer {
    table.hold(KEY, now).look(0)
}

fn within(table: &LimitTable, now: u64, cost: u64) -> bool {
    table.hold(KEY, now).look(cost).said == Said::Admit
}

/// The most that one key got in any half-open time of `period`.
fn most(admitted: &[(u64, u64)], period: u64) -> u64 {
    let until = |t: u64| {
        admitted
            .iter()
            .filter(move |(u, _)| t - u.min(&t) < period && *u <= t)
    };
    admitted
        .iter()
        .map(|(t, _)| until(*t).map(|(_, cost)| cost).sum())
        .max()
        .unwrap_or(0)
}

fn stated(limit: &Limit, quota: u64) -> u64 {
    match limit {
        Limit::SlidingLog(_) => quota,
        // A bucket's burst, and what one period brings.
        _ => 2 * quota,
    }
}

#[test]
fn bad_limits_are_refused() {
    assert_eq!(FixedWindow::new(0, 1), Err(BadRate::ZeroCount));
    assert_eq!(SlidingWindow::new(1, 0), Err(BadRate::ZeroPeriod));
    assert_eq!(FixedWindow::new(1, u64::MAX), Err(BadRate::TooLong));
    assert_eq!(SlidingWindow::new(u64::MAX, 1), Err(BadRate::TooFast));
    assert_eq!(SlidingLog::new(1025, SEC), Err(BadRate::TooManyEntries));
    assert!(SlidingLog::new(1024, SEC).is_ok());
    assert_eq!(Bucket::new(0, 1, 1), Err(BadRate::ZeroCount));
    assert_eq!(Bucket::new(1, 0, 1), Err(BadRate::ZeroPeriod));
    assert_eq!(Bucket::new(1, 1, 0), Err(BadRate::ZeroBurst));
    assert_eq!(Bucket::new(2, 1, 1), Err(BadRate::TooFast));
    assert_eq!(Bucket::new(1, SEC, u64::MAX), Err(BadRate::TooLong));
    let month = 30 * 86_400 * SEC;
    assert!(
        Bucket::new(1_000_000, month, 1_000_000).is_ok(),
        "the shared factor is left out"
    );
}

/// Three at once of 4 a second, then what of a second later, and of two: each algorithm in its own way.
#[test]
fn a_table_of_answers() {
    let t = SEC / 4;
    // (limit, [when in quarters of a second, admitted, remaining, more after, reset after])
    type Row = (u64, bool, u64, u64, u64);
    let rows: [[Row; 4]; 4] = [
        [
            (0, true, 3, 1, 1),
            (0, true, 2, 1, 2),
            (2, true, 3, 1, 1),
            (3, true, 3, 1, 1),
        ],
        [
            (0, true, 3, 4, 4),
            (0, true, 2, 4, 4),
            (2, true, 1, 2, 2),
            (4, true, 3, 4, 4),
        ],
        [
            (0, true, 3, 8, 8),
            (0, true, 2, 6, 8),
            (2, true, 1, 0, 6),
            (6, true, 1, 0, 6),
        ],
        [
            (0, true, 3, 4, 4),
            (0, true, 2, 4, 4),
            (2, true, 1, 2, 4),
            (4, true, 2, 2, 4),
        ],
    ];
    for (limit, rows) in limits(4, SEC).into_iter().zip(rows) {
        let table = table(limit);
        for (at, admitted, remaining, more, reset) in rows {
            let answer = table.decide(KEY, at * t, 1);
            let told = (
                answer.said == Said::Admit,
                answer.remaining,
                answer.reset_after,
            );
            assert_eq!(told, (admitted, remaining, reset * t), "{limit:?} at {at}");
            if more > 0 {
                assert_eq!(answer.more_after, more * t, "{limit:?} at {at}");
            }
        }
    }
}

#[test]
fn a_cost_above_the_quota_never_passes_and_counts_nothing() {
    for limit in limits(4, SEC) {
        let table = table(limit);
        let answer = table.decide(KEY, 0, 5);
        assert_eq!(
            (answer.said, answer.remaining),
            (Said::Never, 4),
            "{limit:?}"
        );
        assert_eq!(table.decide(KEY, 0, u64::MAX).said, Said::Never);
        assert_eq!(table.decide(KEY, 0, 4).said, Said::Admit, "{limit:?}");
    }
}

/// What the module says of clocks: a small step back is another thread's, a large one keeps what is used.
#[test]
fn a_clock_set_back_frees_nobody_and_locks_nobody_out() {
    for limit in limits(4, SEC) {
        for (before, after) in [
            (100 * MAX_BACK, 100 * MAX_BACK - 1),
            (100 * MAX_BACK, 99 * MAX_BACK),
            (100 * MAX_BACK, 98 * MAX_BACK),
            (100 * MAX_BACK, 0),
            (u64::MAX - 5, 5),
            (5, u64::MAX - 5),
            (3, 1 << 63),
        ] {
            let table = table(limit);
            assert_eq!(table.decide(KEY, before, 4).said, Said::Admit);
            let far_ahead =
                after.wrapping_sub(before) < 1 << 63 && after.wrapping_sub(before) > SEC;
            assert_eq!(
                within(&table, after, 4),
                far_ahead,
                "{limit:?} {before} {after}"
            );
            let waits = ask(&table, after).reset_after;
            assert!(waits <= 2 * SEC, "{limit:?} {before} {after}: {waits}");
            let free = after
                .wrapping_add(2 * SEC)
                .wrapping_add(match before.wrapping_sub(after) {
                    behind if behind <= MAX_BACK => behind,
                    _ => 0,
                });
            assert!(within(&table, free, 4), "{limit:?} {before} {after}");
        }
    }
}

#[derive(Clone, Debug)]
struct Run {
    quota: u64,
    period: u64,
    asks: Vec<(u64, u64)>,
}

/// Requests by time since the one before and cost.
fn run() -> impl Strategy<Value = Run> {
    let period = prop_oneof![1u64..20, Just(SEC), 1..10 * SEC];
    (1u64..12, period).prop_flat_map(|(quota, period)| {
        let period = period.max(quota);
        let gap = prop_oneof![Just(0), 0..=period / 3, 0..=3 * period];
        let cost = prop_oneof![4 => Just(1u64), 1 => 0..=quota + 1];
        let asks = prop::collection::vec((gap, cost), 1..80);
        asks.prop_map(move |asks| Run {
            quota,
            period,
            asks,
        })
    })
}

proptest! {
    #[test]
    fn no_more_is_admitted_than_is_stated(run in run()) {
        for limit in limits(run.quota, run.period) {
            let (table, mut now, mut admitted) = (table(limit), SEC, Vec::new());
            for &(gap, cost) in &run.asks {
                now += gap;
                if table.decide(KEY, now, cost).said == Said::Admit {
                    admitted.push((now, cost));
                }
            }
            let most = most(&admitted, run.period);
            prop_assert!(most <= stated(&limit, run.quota), "{limit:?}: {most}");
        }
    }

    #[test]
    fn a_bucket_admits_its_burst_and_what_time_brings(run in run(), burst in 1u64..20) {
        let bucket = Bucket::new(run.quota, run.period, burst).expect("a bucket");
        let (table, mut now, mut admitted) = (table(Limit::Bucket(bucket)), 0, Vec::new());
        for &(gap, cost) in &run.asks {
            now += gap;
            if table.decide(KEY, now, cost).said == Said::Admit {
                admitted.push((now, cost));
            }
        }
        for (from, &(start, _)) in admitted.iter().enumerate() {
            let mut sum = 0u128;
            for &(end, cost) in &admitted[from..] {
                sum += u128::from(cost);
                let brings = u128::from(run.quota) * u128::from(end - start);
                prop_assert!(sum * u128::from(run.period) <= u128::from(burst * run.period) + brings);
            }
        }
    }

    #[test]
    fn a_refused_request_uses_nothing_up(run in run()) {
        for limit in limits(run.quota, run.period) {
            let (all, only_admitted) = (table(limit), table(limit));
            let mut now = SEC;
            for &(gap, cost) in &run.asks {
                now += gap;
                let answer = all.decide(KEY, now, cost);
                if answer.said == Said::Admit {
                    prop_assert_eq!(only_admitted.decide(KEY, now, cost), answer, "{:?}", limit);
                }
            }
        }
    }

    #[test]
    fn what_is_told_comes_true(run in run()) {
        for limit in limits(run.quota, run.period) {
            let (table, mut now) = (table(limit), SEC);
            for &(gap, cost) in &run.asks {
                now += gap;
                let answer = table.decide(KEY, now, cost);
                let left = answer.remaining;
                prop_assert_eq!(ask(&table, now).remaining, left);
                prop_assert!(within(&table, now, left) && !within(&table, now, left + 1));
                let copy = || copied(&table, &limit);
                if let Said::Refuse { retry_after } = answer.said {
                    prop_assert!(retry_after > 0);
                    prop_assert!(!within(&copy(), now + retry_after - 1, cost), "{limit:?} {answer:?}");
                    prop_assert!(within(&copy(), now + retry_after, cost), "{limit:?} {answer:?}");
                }
                if left < run.quota {
                    let more = answer.more_after;
                    prop_assert!(more > 0, "{limit:?} {answer:?}");
                    prop_assert_eq!(ask(&copy(), now + more - 1).remaining, left, "{:?} {:?}", limit, answer);
                    prop_assert!(ask(&copy(), now + more).remaining > left, "{limit:?} {answer:?}");
                }
                let reset = answer.reset_after;
                prop_assert_eq!(ask(&copy(), now + reset).reset_after, 0, "{:?}", limit);
                if reset > 0 {
                    prop_assert!(ask(&copy(), now + reset - 1).reset_after > 0, "{limit:?}");
                }
            }
        }
    }

    #[test]
    fn every_time_and_cost_has_an_answer(
        period in 1u64..=1 << 61,
        asks in prop::collection::vec((any::<u64>(), any::<u64>(), 0u64..4), 1..40),
    ) {
        for limit in limits(3, period.clamp(3, 1 << 60)) {
            let table = table(limit);
            for &(now, any, small) in &asks {
                for cost in [any, small] {
                    let answer = table.decide(KEY, now, cost);
                    prop_assert!(answer.remaining <= 3);
                    prop_assert!(answer.reset_after <= 1 << 62);
                }
            }
        }
    }

    #[test]
    fn a_bucket_admits_what_the_gcra_admits(
        count in 1u64..8, burst in 1u64..6,
        asks in prop::collection::vec((0..SEC, 0u64..4), 1..80),
    ) {
        let gcra = Gcra::new(count, 2520 * 1_000_000, burst).expect("an exact rate");
        let bucket = Bucket::new(count, 2520 * 1_000_000, burst).expect("a bucket");
        let (table, mut now, mut tat) = (table(Limit::Bucket(bucket)), SEC, 0);
        for (gap, cost) in asks {
            now += gap;
            let told = table.decide(KEY, now, cost);
            match gcra.check(tat, now, cost) {
                Decision::Admit { tat: next, remaining, reset_after } => {
                    tat = next;
                    prop_assert_eq!(told.said, Said::Admit);
                    prop_assert_eq!((told.remaining, told.reset_after), (remaining, reset_after));
                }
                Decision::Refuse { retry_after, remaining, reset_after } => {
                    prop_assert_eq!(told.said, Said::Refuse { retry_after });
                    prop_assert_eq!((told.remaining, told.reset_after), (remaining, reset_after));
                }
                Decision::Never => prop_assert_eq!(told.said, Said::Never),
            }
        }
    }
}

/// A table in the same state, to look into the future of.
fn copied(table: &LimitTable, limit: &Limit) -> LimitTable {
    LimitTable::copied(table, limit)
}

const KEY: u64 = 0x1234_5678_9abc_def0;
