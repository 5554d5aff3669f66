//! `cargo run -p bench-leases`: tries a few scenes.
use bench_leases::scene::SECOND;
use bench_leases::Scene;

fn main() {
    let mut cases: Vec<(&str, Scene)> = Vec::new();
    let base = Scene::new();
    cases.push((
        "9:1 10k/s vs 1000/s b1000",
        Scene {
            offered: vec![9_000_000, 1_000_000],
            ..base.clone()
        },
    ));
    cases.push((
        "9:1 10k/s vs 1000/s b1",
        Scene {
            burst: 1,
            offered: vec![9_000_000, 1_000_000],
            ..base.clone()
        },
    ));
    cases.push((
        "9:1 10k/s vs 1000/s b100",
        Scene {
            burst: 100,
            offered: vec![9_000_000, 1_000_000],
            ..base.clone()
        },
    ));
    cases.push((
        "9:1 1.2k/s vs 1000/s b100",
        Scene {
            burst: 100,
            offered: vec![1_080_000, 120_000],
            ..base.clone()
        },
    ));
    cases.push((
        "9:1 990/s vs 1000/s b1000",
        Scene {
            offered: vec![891_000, 99_000],
            ..base.clone()
        },
    ));
    cases.push((
        "9:1 990/s vs 1000/s b1",
        Scene {
            burst: 1,
            offered: vec![891_000, 99_000],
            ..base.clone()
        },
    ));
    cases.push((
        "1:1 500/s vs 1000/s b1000",
        Scene {
            offered: vec![250_000, 250_000],
            ..base.clone()
        },
    ));
    cases.push((
        "8 nodes 10k vs 1000/s b1000",
        Scene {
            offered: vec![1_250_000; 8],
            ..base.clone()
        },
    ));
    cases.push((
        "8 nodes 10k vs 1000/s b1000 10ms",
        Scene {
            delay: SECOND / 100,
            offered: vec![1_250_000; 8],
            ..base.clone()
        },
    ));
    cases.push((
        "8 nodes 10k 2% lost",
        Scene {
            lost: 20,
            offered: vec![1_250_000; 8],
            ..base.clone()
        },
    ));
    cases.push((
        "9:1 2% lost b1000",
        Scene {
            lost: 20,
            offered: vec![9_000_000, 1_000_000],
            ..base.clone()
        },
    ));
    cases.push((
        "9:1 outage 3..5",
        Scene {
            outage: (3 * SECOND, 5 * SECOND),
            offered: vec![9_000_000, 1_000_000],
            ..base.clone()
        },
    ));
    let slow = Scene {
        count: 5,
        period: 60 * SECOND,
        burst: 5,
        length: 600 * SECOND,
        ..base.clone()
    };
    for waits in [false, true] {
        let slow = Scene {
            waits,
            ..slow.clone()
        };
        cases.push((
            "5/min one node 1/s of 2",
            Scene {
                offered: vec![1000, 0],
                ..slow.clone()
            },
        ));
        cases.push((
            "5/min one node 5/min of 2",
            Scene {
                offered: vec![80, 0],
                ..slow.clone()
            },
        ));
        cases.push((
            "5/min both 1/s",
            Scene {
                offered: vec![1000, 1000],
                ..slow.clone()
            },
        ));
        cases.push((
            "5/min 10 nodes 1/s",
            Scene {
                offered: vec![1000; 10],
                ..slow.clone()
            },
        ));
        let one = Scene {
            count: 1,
            period: SECOND,
            burst: 1,
            length: 100 * SECOND,
            ..slow.clone()
        };
        cases.push((
            "1/s b1 2 nodes 10/s",
            Scene {
                offered: vec![10_000; 2],
                ..one.clone()
            },
        ));
        cases.push((
            "1/s b1 10 nodes 10/s",
            Scene {
                offered: vec![10_000; 10],
                ..one.clone()
            },
        ));
        cases.push((
            "1/s b1 2 nodes .5/s",
            Scene {
                offered: vec![500; 2],
                ..one.clone()
            },
        ));
        cases.push((
            "1/s b1 1 of 2 nodes .9/s",
            Scene {
                offered: vec![900, 0],
                ..one.clone()
            },
        ));
        cases.push((
            "10/s b10 3 nodes 4/s",
            Scene {
                count: 10,
                burst: 10,
                offered: vec![4000; 3],
                ..one.clone()
            },
        ));
        cases.push((
            "100/s b10 3 nodes cost 10",
            Scene {
                count: 100,
                burst: 10,
                most_cost: 10,
                offered: vec![10000; 3],
                ..one.clone()
            },
        ));
    }
    for (name, scene) in cases {
        let out = scene.run();
        let offered: u64 = out.offered.iter().sum();
        println!(
            "{name:34} w{} offered {offered:6} one {:6} admitted {:6} ({:5.1}%) by node {:?} over {} bound {} calls/request {:.4} tenths {:?}",
            scene.waits as u8,
            out.alone, out.total(),
            out.total() as f64 * 100.0 / out.alone as f64,
            out.admitted,
            out.overshoot,
            scene.lease().bound(scene.offered.len() as u64),
            out.calls as f64 / out.requests as f64,
            &out.tenths[..],
        );
    }
}
