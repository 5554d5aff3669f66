//! What must hold of [`super::Gcra`].

use super::*;
use proptest::prelude::*;

const SEC: u64 = 1_000_000_000;

fn gcra(count: u64, period: u64, burst: u64) -> Gcra {
    Gcra::new(count, period, burst).expect("a good rate")
}

/// Admits of `cost` 1 at `times`, with the final TAT.
fn run(g: &Gcra, times: impl IntoIterator<Item = u64>) -> u64 {
    let mut tat = 0;
    let mut admitted = 0;
    for now in times {
        if let Decision::Admit { tat: next, .. } = g.check(tat, now, 1) {
            tat = next;
            admitted += 1;
        }
    }
    admitted
}

/// What an admission left, `None` if it was none.
fn left(decision: Decision) -> Option<u64> {
    match decision {
        Decision::Admit { remaining, .. } => Some(remaining),
        _ => None,
    }
}

#[test]
fn bad_rates_are_refused() {
    let cases = [
        (0, SEC, 1, BadRate::ZeroCount),
        (1, 0, 1, BadRate::ZeroPeriod),
        (1, SEC, 0, BadRate::ZeroBurst),
        (SEC + 1, SEC, 1, BadRate::TooFast),
        (1, u64::MAX, 1, BadRate::TooLong),
        (1, SEC, u64::MAX, BadRate::TooLong),
        (u64::MAX, u64::MAX, u64::MAX, BadRate::TooLong),
    ];
    for (count, period, burst, why) in cases {
        assert_eq!(
            Gcra::new(count, period, burst),
            Err(why),
            "{count}/{period} burst {burst}"
        );
    }
    assert!(
        Gcra::new(SEC, SEC, 1).is_ok(),
        "one a nanosecond is the fastest"
    );
    assert!(Gcra::new(1, 365 * 86_400 * SEC, 2).is_ok(), "two years fit");
}

#[test]
fn a_table_of_decisions() {
    use Decision::{Admit, Never, Refuse};
    let g = gcra(10, SEC, 3); // one in 100 ms
    let ms = 1_000_000;
    let mut tat = 0;
    // (now, cost, remaining, reset, retry or 0)
    let cases = [
        (SEC, 1, 2, 100 * ms, 0),
        (SEC, 2, 0, 300 * ms, 0),
        (SEC, 1, 0, 300 * ms, 100 * ms),
        (SEC, 0, 0, 300 * ms, 0),
        (SEC + 99 * ms, 1, 0, 201 * ms, ms),
        (SEC + 100 * ms, 2, 1, 200 * ms, 100 * ms),
        (SEC + 100 * ms, 1, 0, 300 * ms, 0),
        (SEC + 99 * ms, 1, 0, 300 * ms, 100 * ms), // an older clock of another thread
        (2 * SEC, 3, 0, 300 * ms, 0),
    ];
    for (i, (now, cost, remaining, reset_after, retry_after)) in cases.into_iter().enumerate() {
        let got = g.check(tat, now, cost);
        match got {
            Admit { tat: next, .. } => {
                let want = Admit {
                    tat: next,
                    remaining,
                    reset_after,
                };
                assert_eq!((got, retry_after), (want, 0), "case {i}");
                tat = next;
            }
            _ => assert_eq!(
                got,
                Refuse {
                    retry_after,
                    remaining,
                    reset_after
                },
                "case {i}"
            ),
        }
    }
    let asked = Admit {
        tat: 0,
        remaining: 3,
        reset_after: 0,
    };
    assert_eq!(g.check(0, SEC, 0), asked, "a key never seen stays so");
    assert_eq!(g.check(tat, 3 * SEC, 4), Never);
    assert_eq!(g.check(0, 0, u64::MAX), Never);
}

#[test]
fn intervals_that_are_no_whole_nanosecond_do_not_drift() {
    for (count, seconds) in [
        (3, 1),
        (7, 1),
        (90, 7),
        (300, 1),
        (1, 1),
        (9, 60),
        (1_000_000, 1),
    ] {
        let period = seconds * SEC;
        let g = gcra(count, period, 2);
        // Asked twice at the first nanosecond at which each of 10 000 intervals is over.
        let due = |k: u128| (k * u128::from(period)).div_ceil(u128::from(count)) as u64;
        let times = (0..10_000).flat_map(|k| [due(k); 2]);
        assert_eq!(run(&g, times), 10_001, "{count} in {seconds} s");
        // And a nanosecond before, never.
        let times = [0, 0]
            .into_iter()
            .chain((1..10_000).flat_map(|k| [due(k) - 1, due(k)]));
        assert_eq!(run(&g, times), 10_001, "{count} in {seconds} s, early");
    }
}

#[test]
fn a_wrapped_clock_goes_on() {
    let g = gcra(1, SEC, 2);
    let wrap = u64::MAX / 63;
    let mut tat = 0;
    for k in 0..10 {
        let now = wrap - 5 * SEC + k * SEC;
        let Decision::Admit {
            tat: next,
            remaining: 1,
            ..
        } = g.check(tat, now, 1)
        else {
            panic!("second {k}: {:?}", g.check(tat, now, 1));
        };
        tat = next;
    }
    assert_eq!(run(&g, [u64::MAX; 3]), 2, "any clock value is a good one");
}

/// A burst so long that the threads are sure to meet in it.
#[test]
fn threads_share_one_cell_exactly() {
    let g = gcra(1_000, SEC, 100_000);
    let cell = AtomicU64::new(0);
    let gate = std::sync::Barrier::new(4);
    for (now, want) in [(SEC, 100_000), (21 * SEC, 20_000), (21 * SEC, 0)] {
        let race = || {
            gate.wait();
            let mut mine = 0u64;
            while matches!(g.decide(&cell, now, 1), Decision::Admit { .. }) {
                mine += 1;
            }
            mine
        };
        let admitted: u64 = std::thread::scope(|s| {
            let runs: Vec<_> = (0..4).map(|_| s.spawn(race)).collect();
            runs.into_iter()
                .map(|run| run.join().expect("no panic"))
                .sum()
        });
        assert_eq!(admitted, want, "at {now}");
    }
}

proptest! {
    #[test]
    fn total_for_all_arguments(
        count in any::<u64>(), period in any::<u64>(), burst in any::<u64>(),
        tat in any::<u64>(), now in any::<u64>(), cost in any::<u64>(),
    ) {
        if let Ok(g) = Gcra::new(count, period, burst) {
            for cost in [cost, 0, 1, burst] {
                let _ = g.check(tat, now, cost);
            }
        }
    }

    /// Never more than burst + rate * elapsed in any prefix, and after a refusal exactly
    /// `retry_after` admits while one nanosecond less does not.
    #[test]
    fn the_limit_holds_and_retry_after_is_exact(
        count in 1u64..2_000, period in 1u64..100, burst in 1u64..50,
        steps in prop::collection::vec((0u64..50_000_000, 1u64..4), 1..200),
    ) {
        let period = period * SEC / 10;
        let g = gcra(count, period, burst);
        let (mut tat, mut now, mut used) = (0, 0, 0u128);
        for (step, cost) in steps {
            now += step;
            let ceiling = burst as u128 + now as u128 * count as u128 / period as u128;
            match g.check(tat, now, cost) {
                Decision::Admit { tat: next, remaining, .. } => {
                    used += cost as u128;
                    prop_assert!(used <= ceiling, "{used} > {ceiling}");
                    prop_assert_eq!(left(g.check(next, now, remaining)), Some(0));
                    prop_assert_eq!(left(g.check(next, now, remaining + 1)), None);
                    tat = next;
                }
                Decision::Refuse { retry_after, .. } => {
                    let admits = |at| matches!(g.check(tat, at, cost), Decision::Admit { .. });
                    prop_assert!(admits(now + retry_after));
                    prop_assert!(!admits(now + retry_after - 1));
                }
                Decision::Never => prop_assert!(cost > burst),
            }
        }
    }

    /// From idle at a steady flood, exactly floor(rate * elapsed) + burst. (With a burst of 1 a
    /// request that comes late loses its lateness: there is nothing to save it in.)
    #[test]
    fn a_flood_gets_exactly_its_rate(count in 1u64..300, burst in 2u64..20, ms in 0u64..3_000) {
        let g = gcra(count, SEC, burst);
        let times = (0..=ms).flat_map(|t| std::iter::repeat_n(t * 1_000_000, 20));
        let want = burst + ms * count / 1_000;
        let got = run(&g, times);
        // An interval that 1/63 ns does not measure is rounded up, so the last may just miss.
        let exact = (SEC * 63).is_multiple_of(count);
        prop_assert!(got == want || !exact && got + 1 == want, "{} != {}", got, want);
    }
}

/// A queue of 10/s: (burst, longest wait in ms, how long each of those that come at one instant waits, until a place is free).
#[test]
fn a_queue_lets_go_at_the_rate_and_no_wait_is_longer_than_said() {
    const MS: u64 = 1_000_000;
    let cases: [(u64, u64, &[u64], u64); 5] = [
        (100, 350, &[0, 100, 200, 300], 50),
        (100, 300, &[0, 100, 200, 300], 100),
        (2, 1_000, &[0, 100], 100),
        (1, 1_000, &[0], 100),
        // Nobody waits for a whole interval, but who comes late in it does for the rest.
        (100, 40, &[0], 60),
    ];
    for (burst, longest, waits, free) in cases {
        let queue = Gcra::queue(10, SEC, burst, longest * MS).expect("a queue");
        let (mut tat, mut got, now) = (0, Vec::new(), 7 * SEC);
        let retry = loop {
            match queue.check(tat, now, 1) {
                Decision::Admit { tat: next, .. } => {
                    tat = next;
                    got.push(queue.wait(tat, now) / MS);
                }
                Decision::Refuse { retry_after, .. } => break retry_after,
                Decision::Never => panic!("never"),
            }
        };
        assert_eq!((&*got, retry / MS), (waits, free), "{burst} {longest}");
        let later = now + retry;
        let Decision::Admit { tat: next, .. } = queue.check(tat, later, 1) else {
            panic!("{burst} {longest}: a place was promised");
        };
        assert!(queue.wait(next, later) <= longest * MS);
    }
    assert_eq!(Gcra::queue(1, SEC, 0, 1), Err(BadRate::ZeroBurst));
    assert_eq!(Gcra::queue(0, SEC, 1, 1), Err(BadRate::ZeroCount));
    assert_eq!(
        Gcra::queue(1, SEC, u64::MAX, u64::MAX),
        Err(BadRate::TooLong)
    );
}
