//! What must hold of [`super::LeaseTable`].

use proptest::prelude::*;

use super::*;
use crate::lease::Fallback;
use crate::limit::MAX_BACK;

const MS: u64 = 1_000_000;
const SEC: u64 = 1000 * MS;
const KEY: u64 = 7;
const START: u64 = 100_000 * SEC;

fn lease(count: u64, period: u64, burst: u64, fallback: Fallback) -> Lease {
    Lease::new(count, period, burst, fallback).expect("a lease")
}

fn table(count: u64, period: u64, burst: u64) -> LeaseTable {
    let lease = lease(count, period, burst, Fallback::FairShare);
    LeaseTable::new(lease, 8, 0).expect("a table")
}

fn admits(decision: &LeaseDecision) -> bool {
    decision.answer.said == Said::Admit
}

fn retry_after(decision: &LeaseDecision) -> u64 {
    match decision.answer.said {
        Said::Refuse { retry_after } => retry_after,
        said => panic!("{said:?}"),
    }
}

/// Requests until one is refused, at one instant.
fn until_refused(table: &LeaseTable, key: u64, now: u64, nodes: u64, up: bool) -> usize {
    let one = |_: &usize| admits(&table.decide(key, now, 1, nodes, up));
    (0..10_000).take_while(one).count()
}

#[test]
fn a_table_has_a_bound_and_says_what_it_takes() {
    let limit = lease(5, SEC, 5, Fallback::FairShare);
    let new = |capacity| LeaseTable::new(limit, capacity, 0);
    assert_eq!(new(9).expect("a table").capacity(), 16);
    for capacity in [0, 1 << 24, usize::MAX] {
        assert_eq!(new(capacity).err(), Some(BadCapacity(capacity)));
    }
    assert!(LeaseTable::bytes(LeaseTable::DEFAULT_CAPACITY) <= 16 << 20);
}

#[test]
fn a_key_goes_from_its_opening_to_credit_to_refusal() {
    // 5 a minute and two nodes: two are admitted at once and charged; the rest is the store's to give.
    let table = table(5, 60 * SEC, 5);
    let first = table.decide(KEY, START, 1, 2, true);
    let ask = first.ask.expect("an ask");
    assert!(admits(&first) && !first.wait);
    assert_eq!((first.answer.remaining, ask.charge, ask.least), (4, 1, 1));
    assert_eq!(ask.debts, 4);
    assert!(admits(&table.decide(KEY, START, 1, 2, true)));

    // What is more than the share may wait for the store's own word.
    let third = table.decide(KEY, START, 1, 2, true);
    let more = third.ask.expect("an ask");
    assert!(!admits(&third) && third.wait);
    assert_eq!((more.least, more.charge), (1, 1));

    // Both answers: 1 + 2 charged, 2 granted, so all 5 are gone.
    table.granted(KEY, START + MS, &ask, 1, 24 * SEC);
    table.granted(KEY, START + MS, &more, 2, 60 * SEC);
    let again = table.decide_again(KEY, START + MS, 1, 2, true);
    assert!(admits(&again));
    assert_eq!(until_refused(&table, KEY, START + MS, 2, true), 2);

    // Refused: not asked before the store has one, and told so.
    let mut now = START + MS;
    let until = now + 12 * SEC;
    while now < until {
        let refused = table.decide(KEY, now, 1, 2, true);
        assert_eq!(refused.ask, None, "{} ms", (now - START) / MS);
        assert_eq!(retry_after(&refused), until - now);
        assert_eq!(refused.answer.remaining, 0);
        now += 777 * MS;
    }
    let asked = table.decide(KEY, until, 1, 2, true);
    assert!(
        asked.wait
            && asked
                .ask
                .is_some_and(|ask| ask.least == 1 && ask.charge == 0)
    );
}

#[test]
fn a_limit_of_one_is_not_admitted_by_each_node_for_ever() {
    let table = table(1, SEC, 1);
    let mut now = START;
    let first = table.decide(KEY, now, 1, 2, true);
    assert!(admits(&first));
    // The other node had the same thought: 2 are charged. No more without the store before these are over and more.
    table.granted(KEY, now, &first.ask.expect("an ask"), 0, 2 * SEC);
    while now < START + 2 * SEC {
        now += 10 * MS;
        let decision = table.decide(KEY, now, 1, 2, true);
        assert!(!admits(&decision), "{} ms", (now - START) / MS);
        assert_eq!(
            decision.ask.is_some(),
            now >= START + 2 * SEC,
            "{} ms",
            (now - START) / MS
        );
    }
}

#[test]
fn credit_is_lost_when_it_is_old() {
    for (after, left) in [(0, 32), (200, 32), (201, 1), (2200, 1), (2201, 0)] {
        let table = table(1000, SEC, 1000);
        let ask = table.decide(KEY, START, 1, 1000, true).ask.expect("an ask");
        table.granted(KEY, START + MS, &ask, 32, 40 * SEC);
        let got = until_refused(&table, KEY, START + after * MS, 1000, true);
        assert_eq!(got, left, "after {after} ms");
    }
}

#[test]
fn a_cost_above_a_slice_is_asked_for_and_one_above_the_burst_never_is() {
    let table = table(100, SEC, 100);
    let large = table.decide(KEY, START, 60, 4, true);
    let ask = large.ask.expect("an ask");
    assert!(!admits(&large) && large.wait);
    assert!(ask.least == 60 && ask.most >= 60 && ask.charge == 0);
    table.granted(KEY, START + MS, &ask, ask.most, 600 * MS);
    assert!(admits(&table.decide_again(KEY, START + MS, 60, 4, true)));

    let never = table.decide(KEY, START, 101, 4, true);
    assert_eq!((never.answer.said, never.ask), (Said::Never, None));
    let look = table.decide(KEY + 1, START, 0, 4, true);
    assert_eq!(
        (look.answer.said, look.ask, look.answer.remaining),
        (Said::Admit, None, 100)
    );
}

#[test]
fn a_flood_of_keys_frees_nobody() {
    // No answer ever comes: what a key may have is its opening.
    let table = table(1, 60 * SEC, 6);
    let mut admitted = until_refused(&table, KEY, START, 2, true);
    assert_eq!(admitted, 3);
    let mut now = START;
    for key in 100..1100 {
        now += MS;
        table.decide(key, now, 1, 2, true);
        admitted += usize::from(admits(&table.decide(KEY, now, 1, 2, true)));
    }
    assert_eq!(admitted, 3);
    // It is not for ever, and not faster than the limit: 6 and what is charged meanwhile.
    let later = now + 10 * 60 * SEC;
    assert!(until_refused(&table, KEY, later, 2, true) <= 3);
    assert!(until_refused(&table, 5000, later, 2, true) > 0);
}

#[test]
fn without_the_store_each_node_has_its_share() {
    for (fallback, at_once, in_ten_seconds) in [
        (Fallback::FairShare, 25, 250),
        (Fallback::Open, 10_000, 1000),
        (Fallback::Closed, 0, 0),
    ] {
        let new = || LeaseTable::new(lease(100, SEC, 100, fallback), 8, 0).expect("a table");
        let table = new();
        assert_eq!(
            until_refused(&table, KEY, START, 4, false),
            at_once,
            "{fallback:?}"
        );
        let ten = (1..=1000).filter(|i| {
            let decision = table.decide(KEY, START + i * 10 * MS, 1, 4, false);
            assert_eq!(decision.ask, None);
            admits(&decision)
        });
        assert_eq!(ten.count(), in_ten_seconds, "{fallback:?}");
        // Back: what was admitted is charged, its opening at most.
        let back = table.decide(KEY, START + 20 * SEC, 1, 4, true);
        let charge = back.ask.expect("an ask").charge;
        assert_eq!(charge, at_once.clamp(1, 25) as u64, "{fallback:?}");
    }
}

#[test]
fn an_answer_that_is_lost_loses_the_grant_and_charges_again() {
    let table = table(100, SEC, 100);
    let ask = table.decide(KEY, START, 1, 2, true).ask.expect("an ask");
    assert_eq!(ask.charge, 1);
    table.failed(KEY, START + 20 * MS, 2);
    // On its own: its share, less what it had.
    assert_eq!(until_refused(&table, KEY, START + 20 * MS, 2, true), 49);
    // It tries again, more and more slowly, and gives up those that are never answered.
    let mut now = START + 20 * MS;
    let mut asks = Vec::new();
    while asks.len() < 6 {
        now += MS;
        if let Some(ask) = table.decide(KEY, now, 1, 2, true).ask {
            asks.push(ask);
        }
    }
    let apart = asks.windows(2).map(|pair| (pair[1].at - pair[0].at) / MS);
    let patience = Lease::PATIENCE / MS;
    assert!(
        apart
            .clone()
            .all(|ms| (patience..patience + 1300).contains(&ms)),
        "{:?}",
        apart.collect::<Vec<_>>()
    );
    assert!(
        asks.iter().all(|ask| (1..=50).contains(&ask.charge)),
        "{asks:?}"
    );
    let last = asks.last().expect("an ask");
    table.granted(KEY, now, last, 10, 600 * MS);
    assert_eq!(until_refused(&table, KEY, now, 2, true), 10 + 20);
}

#[test]
fn answers_for_keys_that_left_are_dropped() {
    let table = table(100, SEC, 100);
    let ask = table.decide(KEY, START, 1, 2, true).ask.expect("an ask");
    table.granted(KEY + 1, START, &ask, 1000, 0);
    table.failed(KEY + 1, START, 2);
    table.granted(KEY, START, &ask, 0, 10 * MS);
    table.granted(KEY, START, &ask, 1000, 0);
    assert!(until_refused(&table, KEY, START, 2, true) <= 50);
}

#[test]
fn a_clock_that_is_set_back_frees_nobody_and_locks_nobody_out() {
    for back in [SEC, 2 * MAX_BACK] {
        let table = table(10, SEC, 10);
        let ask = table.decide(KEY, START, 1, 1, true).ask.expect("an ask");
        table.granted(KEY, START, &ask, 9, SEC);
        assert_eq!(until_refused(&table, KEY, START, 1, true), 9);
        let now = START - back;
        assert_eq!(until_refused(&table, KEY, now, 1, true), 0, "{back}");
        let soon = now + 2 * SEC;
        let asked = table.decide(KEY, soon, 1, 1, true);
        assert!(admits(&asked) || asked.ask.is_some(), "{back}");
    }
}

#[test]
fn threads_together_admit_what_one_would() {
    let table = table(1000, SEC, 1000);
    let count = || {
        (0..400)
            .filter(|_| admits(&table.decide(KEY, START, 1, 2, true)))
            .count()
    };
    let admitted: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("a count"))
            .sum()
    });
    assert_eq!(admitted, 500);
}

proptest! {
    /// Whatever came before, and whatever is answered: who is refused uses nothing up.
    #[test]
    fn a_refused_request_consumes_nothing(
        burst in 1u64..40,
        nodes in 1u64..6,
        steps in prop::collection::vec((0u64..4, 1u64..45, prop_oneof![0..MS, 0..SEC], any::<bool>()), 1..200),
    ) {
        let table = table(10, SEC, burst);
        let mut now = START;
        let mut asks = Vec::new();
        for (what, number, gap, up) in steps {
            now += gap;
            match (what, asks.pop()) {
                (0, Some(ask)) => table.granted(KEY, now, &ask, number.min(ask.most), number * 10 * MS),
                (1, Some(_)) => table.failed(KEY, now, nodes),
                (_, ask) => {
                    asks.extend(ask);
                    let before = table.decide(KEY, now, 0, nodes, up).answer;
                    let decision = table.decide(KEY, now, number, nodes, up);
                    asks.extend(decision.ask);
                    let after = table.decide(KEY, now, 0, nodes, up).answer;
                    if admits(&decision) {
                        prop_assert_eq!(decision.answer.remaining, after.remaining);
                    } else {
                        prop_assert_eq!(before, after, "cost {}", number);
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_only_looked_at_and_what_is_given_back_counts_for_nothing() {
    // Of 40 a minute two nodes have 20 each at once, and what was granted.
    for credit in [0, 1, 7] {
        let fresh = || {
            let table = table(40, 60 * SEC, 40);
            let ask = table.decide(KEY, START, 1, 2, true).ask.expect("an ask");
            table.granted(KEY, START, &ask, credit, 0);
            table
        };
        for later in [0, 150 * MS, 201 * MS, 5 * SEC] {
            let now = START + later;
            let all = until_refused(&fresh(), KEY, now, 2, true);
            assert!(all >= 20, "{credit} {later}");

            let looked = fresh();
            for _ in 0..30 {
                let mut held = looked.hold(KEY, START, 2, true);
                assert!(admits(&held.look(1, false)) && admits(&held.look(9, false)));
            }
            assert_eq!(
                until_refused(&looked, KEY, now, 2, true),
                all,
                "{credit} {later}"
            );

            let given = fresh();
            for n in 0..30 {
                let mut held = given.hold(KEY, START, 2, true);
                let since = held.since();
                assert!(admits(&held.look(1 + n % 9, false)));
                held.keep();
                given.give_back(KEY, START + later.min(150 * MS), 1 + n % 9, since);
            }
            let again = until_refused(&given, KEY, now, 2, true);
            // What was owed and is credit now may be too old by then: less is admitted, not more.
            assert!(again <= all, "{again} of {all}: {credit} {later}");
            if later <= 150 * MS {
                assert_eq!(again, all, "{credit} {later}");
            }
        }
    }
    // Who takes more at one time than it gives back has taken the rest.
    let table = table(40, 60 * SEC, 40);
    assert_eq!(until_refused(&table, KEY, START, 2, true), 20);
    table.give_back(KEY, START, 5, START);
    assert_eq!(until_refused(&table, KEY, START, 2, true), 5);
    table.give_back(KEY + 1, START, 5, START);
    assert_eq!(until_refused(&table, KEY + 1, START, 2, true), 20);
}
