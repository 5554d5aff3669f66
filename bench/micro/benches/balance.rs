//! One pick or one table at a time, by criterion.

use std::hint::black_box;
use std::time::Duration;

use algo::{p2c, stable_hash, Maglev, Rng, SmoothRoundRobin};
use bench_micro::balance::{keys, names, ours};
use criterion::{criterion_group, criterion_main, Criterion};

fn maglev(c: &mut Criterion) {
    let (table, keys) = (ours(&names(100)), keys());
    let hashes: Vec<u64> = keys.iter().map(|key| stable_hash(key)).collect();
    let mut group = c.benchmark_group("maglev");
    let mut i = 0;
    let mut next = move || {
        i = (i + 1) % 4_096;
        i
    };
    group.bench_function("pick/of a hash", |b| b.iter(|| table.pick(hashes[next()])));
    group.bench_function("pick/of a key", |b| {
        b.iter(|| table.pick(stable_hash(&keys[next()])))
    });
    group.bench_function("pick/half of the nodes out", |b| {
        b.iter(|| table.pick_where(hashes[next()], |n| n % 2 == 0))
    });
    group.bench_function("pick/1 node of 100 left", |b| {
        b.iter(|| table.pick_where(hashes[next()], |n| n == 50))
    });
    for n in [10, 100, 1_000] {
        let nodes: Vec<_> = names(n)
            .iter()
            .map(|name| (stable_hash(name.as_bytes()), 1))
            .collect();
        let unlike: Vec<_> = (1..)
            .zip(&nodes)
            .map(|(weight, node)| (node.0, weight))
            .collect();
        group.bench_function(format!("build/{n}"), |b| {
            b.iter(|| Maglev::new(black_box(&nodes), 65_537))
        });
        group.bench_function(format!("build weighted/{n}"), |b| {
            b.iter(|| Maglev::new(black_box(&unlike), 65_537))
        });
    }
}

fn turns(c: &mut Criterion) {
    let mut group = c.benchmark_group("balance");
    let active: Vec<u32> = (0..100).map(|i| i * 7 % 13).collect();
    let mut rng = Rng::new(3);
    group.bench_function("p2c/100", |b| {
        b.iter(|| p2c::pick(active.len(), |i| (active[i], 1), rng.next_u64()));
    });
    for n in [3u32, 100] {
        let weights: Vec<u32> = (1..=n).collect();
        let mut rr = SmoothRoundRobin::new(&weights).expect("weights");
        group.bench_function(format!("smooth round robin/{n}"), |b| b.iter(|| rr.pick()));
    }
}

fn brief() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = all; config = brief(); targets = maglev, turns }
criterion_main!(all);
