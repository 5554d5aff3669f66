use super::*;
use crate::quota::{Period, Zone};

/// Hours from a full one.
const H: u64 = 3600;
const T: u64 = 500_000 * H;
const DAY: u64 = 24 * H;

fn hourly() -> Calendar {
    Calendar::new(Period::Hour, Zone::default())
}

fn ali() -> Arc<str> {
    "ali".into()
}

/// How many of `n` requests of cost 1 are admitted at this second, of 10 in a window.
fn admitted(counts: &Counts, calendar: &Calendar, unix: u64, n: usize) -> usize {
    let one = || counts.admit(&ali(), calendar, unix, (10, 1));
    (0..n)
        .filter(|_| matches!(one(), Admission::Admitted(_)))
        .count()
}

#[test]
fn a_window_has_its_limit_and_the_next_one_has_it_again() {
    let (counts, c) = (Counts::default(), hourly());
    assert_eq!(admitted(&counts, &c, T, 4), 4);
    assert_eq!(admitted(&counts, &c, T + H - 1, 9), 6);
    assert_eq!(counts.standing("ali", &c, T + H - 1).used, 10);
    assert_eq!(admitted(&counts, &c, T + H, 99), 10);
    assert_eq!(counts.standing("bo", &c, T + H).used, 0);
}

#[test]
fn a_clock_that_is_set_frees_nobody() {
    // Where the clock is, how many come, and how many of them are admitted.
    let tables: [&[(u64, usize, usize)]; 7] = [
        // Back within the window, into the one before, and forward again.
        &[
            (T + 10, 20, 10),
            (T, 9, 0),
            (T - 600, 9, 0),
            (T + 10, 9, 0),
            (T + H, 20, 10),
        ],
        // Back by the bound, of the length of a window.
        &[(T, 20, 10), (T - H, 9, 0), (T, 9, 0)],
        // Forward by mistake, and back by little: what is open stays open.
        &[
            (T + 10, 20, 10),
            (T + H + 10, 20, 10),
            (T + 10, 9, 0),
            (T + H + 20, 9, 0),
            (T + 2 * H, 20, 10),
        ],
        // By much: both count.
        &[
            (T, 4, 4),
            (T + 9 * H, 3, 3),
            (T, 20, 3),
            (T + 1, 9, 0),
            (T + H, 20, 10),
        ],
        &[(T, 20, 10), (T + 9 * H, 20, 10), (T, 9, 0), (T + H, 20, 10)],
        // A window that was never seen counts what was used later.
        &[(T + 9 * H, 20, 10), (T, 9, 0), (T + H, 20, 10)],
        &[
            (T + 99_999 * H, 20, 10),
            (T, 9, 0),
            (T + 1, 9, 0),
            (T + H, 20, 10),
            (T + H + 1, 9, 0),
        ],
    ];
    for table in tables {
        let (counts, c) = (Counts::default(), hourly());
        for (unix, come, want) in table {
            let got = admitted(&counts, &c, *unix, *come);
            assert_eq!(got, *want, "{unix} of {table:?}");
        }
    }
}

/// The table that the store's script is checked by too.
#[test]
fn a_process_says_what_the_store_says() {
    let table = include_str!("../../../../test/store/quota-cases.json");
    let table: serde_json::Value = serde_json::from_str(table).expect("JSON");
    let cases = table["cases"].as_object().expect("cases");
    assert!(cases.len() > 5);
    for (what, steps) in cases {
        let (counts, c) = (Counts::default(), hourly());
        for (i, step) in steps.as_array().expect("steps").iter().enumerate() {
            let unix = T.checked_add_signed(step["at"].as_i64().expect("at"));
            let unix = unix.expect("after 1970");
            let units = |key: &str| step[key].as_u64();
            let (admits, at) = if let Some(cost) = units("ask") {
                let limit = units("limit").expect("a limit");
                match counts.admit(&ali(), &c, unix, (limit, cost)) {
                    Admission::Admitted(at) => (Some(true), at),
                    Admission::Refused(at) => (Some(false), at),
                    Admission::Full => panic!("full"),
                }
            } else if let Some(charge) = units("charge") {
                (None, counts.charge(&ali(), &c, unix, charge))
            } else {
                (None, counts.standing("ali", &c, unix))
            };
            let got = (
                admits,
                Some(at.used),
                Some(at.window.start as i64 - T as i64),
            );
            let want = (
                step["admits"].as_bool(),
                units("used"),
                step["window"].as_i64(),
            );
            assert_eq!(got, want, "{what}, step {}", i + 1);
        }
    }
}

#[test]
fn a_month_stays_open_for_a_day_only() {
    let c = Calendar::new(Period::Month, Zone::default());
    let start = c.window(T).start;
    for (back, stays) in [(1, true), (DAY, true), (DAY + 1, false)] {
        let counts = Counts::default();
        assert_eq!(admitted(&counts, &c, start, 10), 10);
        let standing = counts.standing("ali", &c, start - back);
        assert_eq!(standing.window.start == start, stays, "{back}");
        assert_eq!(standing.used, 10, "{back}");
    }
}

#[test]
fn what_is_measured_later_may_end_above_and_then_nothing_is_admitted() {
    let (counts, c) = (Counts::default(), hourly());
    let ask = |limit| counts.admit(&ali(), &c, T, (limit, 0));
    assert!(matches!(ask(100), Admission::Admitted(s) if s.used == 0));
    assert_eq!(counts.charge(&ali(), &c, T, 99).used, 99);
    assert!(matches!(ask(100), Admission::Admitted(_)));
    assert_eq!(counts.charge(&ali(), &c, T, 99).used, 198);
    assert!(matches!(ask(100), Admission::Refused(s) if s.used == 198));
    assert!(matches!(ask(0), Admission::Refused(_)));
    assert_eq!(counts.charge(&ali(), &c, T, u64::MAX).used, u64::MAX);
}

#[test]
fn what_was_written_down_counts_in_its_window_only() {
    // What was kept, and how many of 10 are admitted then at T.
    for (kept, want) in [
        (vec![(T, 4)], 6),
        (vec![(T, 4), (T, 3)], 3),
        (vec![(T - H, 9)], 10),
        (vec![(T - H, 9), (T, 2)], 8),
        (vec![(T, 2), (T - H, 9)], 8),
        // The clock was ahead before the restart.
        (vec![(T, 2), (T + H, 3)], 5),
        (vec![(T + H, 10)], 0),
    ] {
        let (counts, c) = (Counts::default(), hourly());
        for (window, units) in &kept {
            counts.restore("ali", *window, *units);
        }
        assert_eq!(admitted(&counts, &c, T, 20), want, "{kept:?}");
    }
}

#[test]
fn when_it_is_full_only_who_used_nothing_of_the_window_leaves() {
    let (counts, c) = (Counts::default(), hourly());
    let most = MAX_CONSUMERS / STRIPES;
    // All of one stripe.
    let at = |name: &str| std::ptr::from_ref(&*counts.stripes.of(name)) as usize;
    let mine = at("ali");
    let names = (0..).map(|n| format!("c{n}")).filter(|n| at(n) == mine);
    let names: Vec<Arc<str>> = names.take(most).map(|n| n.into()).collect();
    for name in &names {
        assert!(matches!(
            counts.admit(name, &c, T, (1, 1)),
            Admission::Admitted(_)
        ));
    }
    assert_eq!(counts.admit(&ali(), &c, T, (1, 1)), Admission::Full);
    assert!(matches!(
        counts.admit(&names[0], &c, T, (1, 1)),
        Admission::Refused(_)
    ));
    assert!(matches!(
        counts.admit(&ali(), &c, T + H, (1, 1)),
        Admission::Admitted(_)
    ));
    assert_eq!(counts.consumers().len(), 1);
}

#[test]
fn many_threads_admit_exactly_the_limit() {
    let (counts, c) = (Counts::default(), hourly());
    let total: usize = std::thread::scope(|s| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                s.spawn(|| {
                    let one = || counts.admit(&ali(), &c, T, (1000, 1));
                    (0..1000)
                        .filter(|_| matches!(one(), Admission::Admitted(_)))
                        .count()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap_or(0)).sum()
    });
    assert_eq!(total, 1000);
}
