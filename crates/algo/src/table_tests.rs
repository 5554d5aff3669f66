//! What must hold of [`super::GcraTable`], alone and under threads.

use super::*;
use crate::rng::Rng;
use proptest::prelude::*;
use std::collections::HashMap;

const SEC: u64 = 1_000_000_000;
const SEED: u64 = 0x5eed;

fn table(capacity: usize) -> GcraTable {
    GcraTable::new(capacity, SEED).expect("a good capacity")
}

fn gcra(count: u64, burst: u64) -> Gcra {
    Gcra::new(count, SEC, burst).expect("a good rate")
}

fn admits(decision: Decision) -> bool {
    matches!(decision, Decision::Admit { .. })
}

/// Runs `work(thread)` on each of `n` threads and adds up what they return.
fn on_threads(n: u64, work: impl Fn(u64) -> u64 + Sync) -> u64 {
    std::thread::scope(|s| {
        let runs: Vec<_> = (0..n)
            .map(|i| (i, &work))
            .map(|(i, work)| s.spawn(move || work(i)))
            .collect();
        runs.into_iter()
            .map(|run| run.join().expect("no panic"))
            .sum()
    })
}

#[test]
fn bad_capacities_are_refused() {
    for capacity in [0, GcraTable::MAX_CAPACITY + 1, usize::MAX] {
        assert_eq!(
            GcraTable::new(capacity, 0).err(),
            Some(BadCapacity(capacity))
        );
    }
    assert_eq!(table(1).capacity(), 8);
    assert_eq!(table(9).capacity(), 16);
    assert_eq!(std::mem::size_of::<Set>(), WAYS * 16, "16 bytes a cell");
}

#[test]
fn keys_do_not_touch_each_other() {
    let t = table(1 << 12);
    let g = gcra(1, 3);
    for key in 0..100u64 {
        let hash = t.hash(&key.to_le_bytes());
        let admitted = (0..10)
            .filter(|_| admits(t.decide(hash, &g, SEC, 1)))
            .count();
        assert_eq!(admitted, 3, "key {key}");
    }
    assert_eq!(t.live(SEC), 100);
    assert_eq!(t.live(5 * SEC), 0);
    assert_eq!(t.decide(1, &g, SEC, 4), Decision::Never);
}

#[test]
fn rates_on_one_key_are_kept_apart() {
    let t = table(64);
    let (slow, fast) = (gcra(1, 1), gcra(100, 10));
    let key = t.hash(b"client");
    assert!(admits(t.decide(key, &slow, SEC, 1)));
    assert!(!admits(t.decide(key, &slow, SEC, 1)));
    assert_eq!(
        (0..20)
            .filter(|_| admits(t.decide(key, &fast, SEC, 1)))
            .count(),
        10
    );
}

#[test]
fn idle_cells_are_reused_as_new() {
    let t = table(8);
    let g = gcra(1, 5);
    for key in 1..=1_000u64 {
        let Decision::Admit { remaining, .. } = t.decide(key, &g, key * 2 * SEC, 1) else {
            panic!("key {key}");
        };
        assert_eq!(remaining, 4, "key {key} carries nobody's debt");
    }
}

#[test]
fn a_flood_of_keys_does_not_reset_a_used_up_key() {
    let t = table(64);
    let g = gcra(1, 10);
    let victim = t.hash(b"victim");
    assert_eq!(
        (0..20)
            .filter(|_| admits(t.decide(victim, &g, SEC, 1)))
            .count(),
        10
    );
    for i in 0..100_000u64 {
        t.decide(t.hash(&i.to_le_bytes()), &g, SEC, 1);
        assert!(!admits(t.decide(victim, &g, SEC, 1)), "after {i} keys");
    }
    assert_eq!(t.live(SEC), 64, "bounded");
    assert!(
        admits(t.decide(victim, &g, 2 * SEC, 1)),
        "and it is served again in its time"
    );
}

#[test]
fn a_flood_is_held_to_the_rate_of_all_cells() {
    let t = table(64);
    let g = gcra(2, 10);
    let mut admitted = 0;
    // A thousand new keys every 50 ms for 5 s: each of the 8 sets is asked about 125 times.
    for i in 0..101_000u64 {
        let now = i / 1_000 * 50_000_000;
        admitted += u64::from(admits(t.decide(t.hash(&i.to_le_bytes()), &g, now, 1)));
    }
    assert_eq!(admitted, 64 * (10 + 2 * 5));
}

/// The steps of a race one by one, for interleavings that threads rarely meet.
#[test]
fn a_cell_that_changed_hands_is_not_charged() {
    let g = gcra(1, 5);
    let set = Set::default();
    assert!(set.replace(0, UNSEEN, 7, 100));
    assert_eq!(set.find(7), Some(0), "one thread found it");
    assert!(set.replace(0, 100, 8, 200), "another gave it away");
    assert_eq!(set.charge(0, 7, &g, 0, 1), None);
    assert_eq!(
        set.tats[0].load(Ordering::Relaxed),
        200,
        "8 did not pay for 7"
    );

    assert!(!set.replace(0, 100, 9, 300), "8 was charged since the look");
    assert_eq!(set.find(8), Some(0), "and stays");

    set.tats[0].store(BUSY, Ordering::Relaxed);
    assert_eq!(set.charge(0, 8, &g, 0, 1), None, "it is changing hands");
}

#[test]
fn a_key_that_entered_meanwhile_is_not_entered_twice() {
    let t = table(8);
    let g = gcra(1, 1);
    assert!(admits(t.enter(0, 7, &g, 0, 1)));
    assert!(
        !admits(t.enter(0, 7, &g, 0, 1)),
        "the loser of the race finds the winner's cell"
    );
    assert_eq!(t.live(0), 1);
}

/// A burst so long that the threads are sure to meet in it.
#[test]
fn threads_that_race_for_one_burst_share_it_exactly() {
    let g = gcra(1_000, 100_000);
    for threads in [2, 4] {
        let t = table(64);
        let key = t.hash(b"one key");
        let gate = std::sync::Barrier::new(threads as usize);
        let race = |now: u64| {
            on_threads(threads, |_| {
                gate.wait();
                let mut mine = 0;
                while admits(t.decide(key, &g, now, 1)) {
                    mine += 1;
                }
                mine
            })
        };
        assert_eq!(race(SEC), 100_000, "{threads} threads");
        assert_eq!(race(21 * SEC), 20_000, "{threads} threads, 20 s later");
    }
}

#[test]
fn threads_with_clocks_apart_admit_exactly_the_rate() {
    for threads in [2, 4] {
        let t = table(64);
        let g = gcra(1_000, 50);
        let key = t.hash(b"one key");
        // Each runs through the same second at its own pace, so that some see a time long past.
        let admitted = on_threads(threads, |_| {
            (0..20_000u64)
                .filter(|k| admits(t.decide(key, &g, k * 50_000, 1)))
                .count() as u64
        });
        // The last instant is 999.95 ms: 999 whole intervals after the burst.
        assert_eq!(admitted, 999 + 50, "{threads} threads");
    }
}

#[test]
fn threads_on_many_keys_admit_exactly_the_rate() {
    const KEYS: u64 = 200;
    for round in 0..5 {
        let t = GcraTable::new(2_048, SEED + round).expect("capacity");
        let g = gcra(100, 7);
        let admitted = on_threads(4, |thread| {
            let mut rng = Rng::new(round * 8 + thread);
            let mut admitted = 0;
            // Every thread asks for every key at every instant, in its own order, often enough.
            for step in 0..=100u64 {
                let start = rng.below(KEYS);
                for i in 0..KEYS * 2 {
                    let key = t.hash(&((start + i) % KEYS).to_le_bytes());
                    admitted += u64::from(admits(t.decide(key, &g, step * 10_000_000, 1)));
                }
            }
            admitted
        });
        // One second: 100 intervals after the burst, for each key.
        assert_eq!(admitted, KEYS * (100 + 7), "seed {round}");
    }
}

#[test]
fn threads_that_enter_the_same_new_keys_do_not_double_them() {
    let g = gcra(1, 1);
    for round in 0..200 {
        let t = GcraTable::new(1_024, SEED + round).expect("capacity");
        let gate = std::sync::Barrier::new(4);
        let admitted = on_threads(4, |_| {
            gate.wait();
            (0..50u64)
                .filter(|i| admits(t.decide(t.hash(&i.to_le_bytes()), &g, 0, 1)))
                .count() as u64
        });
        assert_eq!(admitted, 50, "seed {round}");
    }
}

/// Many more keys than cells, on threads: no key, and no set, above its limit.
#[test]
fn threads_in_a_full_table_never_exceed_a_limit() {
    const KEYS: usize = 64;
    let g = gcra(10, 5);
    for round in 0..20u64 {
        let t = GcraTable::new(16, SEED + round).expect("capacity");
        let counts: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
        let gate = std::sync::Barrier::new(3);
        on_threads(3, |thread| {
            let mut rng = Rng::new(round * 8 + thread);
            for step in 0..=20u64 {
                gate.wait();
                for _ in 0..500 {
                    // The low keys come more often: some stay, some come and go.
                    let key = rng.below(KEYS as u64).min(rng.below(KEYS as u64));
                    if admits(t.decide(t.hash(&key.to_le_bytes()), &g, step * 50_000_000, 1)) {
                        counts[key as usize].fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
            0
        });
        let counts: Vec<u64> = counts.into_iter().map(AtomicU64::into_inner).collect();
        let total: u64 = counts.iter().sum();
        assert!(
            counts.iter().all(|&c| c <= 5 + 10),
            "seed {round}: {counts:?}"
        );
        // One second of 16 cells, and each cell was asked at every instant: all of it is used.
        assert_eq!(total, 16 * (5 + 10), "seed {round}");
    }
}

proptest! {
    /// Whatever comes, a key is never admitted where its own exact GCRA would refuse.
    #[test]
    fn no_key_beats_its_own_gcra(
        steps in prop::collection::vec((0u64..40, 0u64..200_000_000, 1u64..4), 1..400),
        count in 1u64..20, burst in 3u64..10, seed in any::<u64>(),
    ) {
        let t = GcraTable::new(8, seed).expect("capacity");
        let g = gcra(count, burst);
        let mut exact: HashMap<u64, u64> = HashMap::new();
        let mut now = 0;
        for (key, step, cost) in steps {
            now += step;
            if admits(t.decide(t.hash(&key.to_le_bytes()), &g, now, cost)) {
                let tat = exact.entry(key).or_default();
                match g.check(*tat, now, cost) {
                    Decision::Admit { tat: next, .. } => *tat = next,
                    other => prop_assert!(false, "key {} at {}: {:?}", key, now, other),
                }
            }
        }
    }

    /// While the keys fit, the table answers as one exact GCRA for each key.
    #[test]
    fn keys_that_fit_are_exact(
        steps in prop::collection::vec((0u64..8, 0u64..200_000_000, 0u64..4), 1..400), seed in any::<u64>(),
    ) {
        let t = GcraTable::new(8, seed).expect("capacity");
        let g = gcra(5, 4);
        let mut exact: HashMap<u64, u64> = HashMap::new();
        let mut now = 0;
        for (key, step, cost) in steps {
            now += step;
            let tat = exact.entry(key).or_default();
            let want = g.check(*tat, now, cost);
            // For a cost of 0 the TAT of a key not yet in the table is another's idle one.
            let got = t.decide(t.hash(&key.to_le_bytes()), &g, now, cost);
            match (got, want) {
                (Decision::Admit { remaining: r1, reset_after: a1, .. }, Decision::Admit { tat: next, remaining: r2, reset_after: a2 }) => {
                    prop_assert_eq!((r1, a1), (r2, a2));
                    *tat = next;
                }
                _ => prop_assert_eq!(got, want),
            }
        }
    }
}

/// So many keys that all cells are taken many times over. The victim keeps asking from
/// another thread.
#[test]
fn ten_million_keys_stay_within_the_bound_and_reset_nobody() {
    let keys = 10_000_000u64;
    let t = table(1 << 16);
    let g = gcra(1, 10);
    let victim = t.hash(b"victim");
    let tried = (0..20).filter(|_| admits(t.decide(victim, &g, SEC, 1)));
    assert_eq!(tried.count(), 10);
    let flooded = on_threads(3, |thread| {
        if thread == 2 {
            let again = (0..keys / 8).filter(|_| admits(t.decide(victim, &g, SEC, 1)));
            return again.count() as u64;
        }
        for i in (0..keys).filter(|i| i % 2 == thread) {
            t.decide(t.hash(&i.to_le_bytes()), &g, SEC, 1);
        }
        0
    });
    assert_eq!(flooded, 0, "a used-up key was admitted");
    assert!(!admits(t.decide(victim, &g, SEC, 1)));
    let made = t.pieces.iter().filter_map(OnceLock::get);
    let bytes: usize = made.map(|piece| size_of_val(&**piece)).sum();
    assert_eq!(bytes, 16 * t.capacity(), "full, and 16 bytes a key");
    assert_eq!(t.live(SEC), t.capacity());
    assert!(
        admits(t.decide(victim, &g, 2 * SEC, 1)),
        "and it is served again in its time"
    );
}
