//! One decision at a time, by criterion.

use std::time::Duration;

use bench_micro::limits;
use criterion::{criterion_group, criterion_main, Criterion};

fn decisions(c: &mut Criterion) {
    type Op = fn(u32) -> Box<dyn Fn(u64) + Sync>;
    let ops: [(&str, Op, Op); 3] = [
        ("gcra", limits::direct, limits::governor_direct),
        ("gcra keyed", limits::keyed, limits::governor_keyed),
        ("bucket held", limits::held, limits::governor_keyed),
    ];
    for (name, ours, theirs) in ops {
        let mut group = c.benchmark_group(name);
        for (kind, burst) in [("admit", u32::MAX), ("refuse", 1)] {
            for (who, make) in [("ours", ours), ("governor", theirs)] {
                let op = make(burst);
                let mut i = 0;
                group.bench_function(format!("{kind}/{who}"), |b| {
                    b.iter(|| {
                        i += 1;
                        op(i);
                    });
                });
            }
        }
    }
}

fn brief() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = all; config = brief(); targets = decisions }
criterion_main!(all);
