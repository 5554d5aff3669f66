//! What is stated of leases holds for whatever comes, however it is spread, late or lost.

use bench_leases::scene::SECOND;
use bench_leases::{Outcome, Scene};
use proptest::prelude::*;

fn offered(each: &[u64]) -> Vec<u64> {
    each.iter().map(|rate| rate * 1000).collect()
}

fn total_offered(scene: &Scene, out: &Outcome) -> u64 {
    let limit = u128::from(scene.count) * u128::from(scene.length) / u128::from(scene.period);
    out.offered
        .iter()
        .sum::<u64>()
        .min(limit as u64 + scene.burst)
}

/// Scenes in which the limit is used up, or nearly: at least so many percent of what could be admitted are, at most 1
/// too many over the mean, and a request costs so many calls of the store at most.
#[test]
fn a_limit_is_used_up_and_no_more() {
    let base = Scene::new();
    let minute = 60 * SECOND;
    for (name, scene, percent, calls) in [
        (
            "9:1 and ten times too much",
            Scene {
                offered: offered(&[9000, 1000]),
                ..base.clone()
            },
            97,
            0.05,
        ),
        (
            "the same with a burst of 1",
            Scene {
                offered: offered(&[9000, 1000]),
                burst: 1,
                ..base.clone()
            },
            97,
            0.05,
        ),
        (
            "the same, 10 ms away",
            Scene {
                offered: offered(&[9000, 1000]),
                delay: SECOND / 100,
                ..base.clone()
            },
            97,
            0.05,
        ),
        (
            "9:1 and a little too much",
            Scene {
                offered: offered(&[1080, 120]),
                burst: 100,
                ..base.clone()
            },
            97,
            0.05,
        ),
        (
            "9:1 and a little too little",
            Scene {
                offered: offered(&[891, 99]),
                ..base.clone()
            },
            99,
            0.05,
        ),
        (
            "1:1 and half of it",
            Scene {
                offered: offered(&[250, 250]),
                ..base.clone()
            },
            99,
            0.05,
        ),
        (
            "eight nodes",
            Scene {
                offered: offered(&[1250; 8]),
                ..base.clone()
            },
            97,
            0.05,
        ),
        (
            "10/s and a little too much",
            Scene {
                offered: offered(&[4; 3]),
                count: 10,
                burst: 10,
                length: 100 * SECOND,
                ..base.clone()
            },
            97,
            1.0,
        ),
        (
            "5 a minute",
            Scene {
                offered: offered(&[1, 1]),
                count: 5,
                period: minute,
                burst: 5,
                length: 20 * minute,
                ..base.clone()
            },
            97,
            0.1,
        ),
        (
            "1/s and no burst",
            Scene {
                offered: offered(&[20, 20]),
                count: 1,
                burst: 1,
                length: 200 * SECOND,
                ..base.clone()
            },
            97,
            0.1,
        ),
    ] {
        for seed in 1..=5 {
            let scene = Scene {
                seed,
                ..scene.clone()
            };
            let out = scene.run();
            let could = total_offered(&scene, &out);
            let case = format!("{name}, seed {seed}: {out:?}, {could} could be admitted");
            assert!(out.total() * 100 >= could * percent, "{case}");
            assert!(out.calls as f64 <= out.requests as f64 * calls, "{case}");
            // In the second half: what was open at once is over.
            let steady: u64 = out.tenths[5..].iter().sum();
            let limit = scene.count as f64 * scene.length as f64 / 2.0 / scene.period as f64;
            let kept = scene.offered.len() as f64;
            assert!(steady as f64 <= limit * 1.01 + kept, "{case}");
        }
    }
}

#[test]
fn a_loss_of_the_store_is_a_share_for_each() {
    for seed in 1..=5 {
        let scene = Scene {
            offered: offered(&[3000, 3000]),
            outage: (4 * SECOND, 7 * SECOND),
            seed,
            ..Scene::new()
        };
        let out = scene.run();
        let case = format!("seed {seed}: {out:?}");
        assert!(out.overshoot <= scene.lease().bound(2), "{case}");
        // Nobody is shut out, and all is as before when it is back.
        assert!(
            out.tenths[3..].iter().all(|n| (600..=1400).contains(n)),
            "{case}"
        );
        assert!(
            out.tenths[8..].iter().all(|n| (950..=1050).contains(n)),
            "{case}"
        );
    }
}

fn scenes() -> impl Strategy<Value = Scene> {
    let limit = prop_oneof![
        (Just(1000), Just(SECOND), 1u64..2000),
        (Just(50), Just(SECOND), 1u64..60),
        (Just(1), Just(SECOND), 1u64..4),
        (Just(5), Just(60 * SECOND), 1u64..6),
    ];
    let node = prop_oneof![Just(0u64), 1u64..300, 300u64..10_000];
    let store = (0..SECOND / 40, prop_oneof![Just(0u64), 0u64..300]);
    let pulses = prop_oneof![Just((0, 0)), (SECOND / 50..SECOND, SECOND / 50..8 * SECOND)];
    (
        limit,
        prop::collection::vec(node, 1..7),
        store,
        pulses,
        1u64..6,
        any::<bool>(),
        any::<u64>(),
    )
        .prop_map(
            |((count, period, burst), loads, (delay, lost), pulses, most_cost, waits, seed)| {
                // In percent of the limit, so that slow limits are simulated for as many requests.
                let offered: Vec<u64> = loads
                    .iter()
                    .map(|load| load * 10 * count * SECOND / period)
                    .collect();
                let length = (period / count * 400).max(2 * SECOND);
                Scene {
                    count,
                    period,
                    burst,
                    offered,
                    most_cost,
                    length,
                    delay,
                    lost,
                    waits,
                    pulses,
                    seed,
                    outage: (0, 0),
                }
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// With answers that are late or lost a node is alone for a while; its share of the rate is then not counted.
    #[test]
    fn no_more_than_the_bound(scene in scenes()) {
        let out = scene.run();
        let bound = scene.lease().bound(scene.offered.len() as u64);
        prop_assert!(out.overshoot <= bound, "{bound}: {out:?} of {scene:?}");
    }
}
