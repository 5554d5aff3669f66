//! What must hold of [`super::Gradient`], before upstreams that are simulated.

use super::*;
use crate::Rng;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;

/// An upstream that serves so many at a time, and lets others wait in their order.
struct Sim {
    g: Gradient,
    rng: Rng,
    now: u64,
    next: u64,
    busy: u32,
    queue: VecDeque<u64>,
    /// When one is done, and when it began.
    ends: BinaryHeap<Reverse<(u64, u64)>>,
    refused: u64,
    served: u64,
    /// The longest time without an end of low limits, and since when.
    low: (u64, Option<u64>),
}

impl Sim {
    fn new(settings: Settings) -> Self {
        Self {
            g: Gradient::new(settings),
            rng: Rng::new(11),
            now: 0,
            next: 0,
            busy: 0,
            queue: VecDeque::new(),
            ends: BinaryHeap::new(),
            refused: 0,
            served: 0,
            low: (0, None),
        }
    }

    fn takes(&mut self, service: u64) -> u64 {
        // A tenth to either side.
        service - service / 10 + self.rng.next_u64() % (service / 5).max(1)
    }

    /// Offers so many a second until `until`, to an upstream that serves `servers` at a time, each in `service`.
    fn run(&mut self, until: u64, rate: u64, servers: u32, service: u64) {
        (self.refused, self.served, self.low) = (0, 0, (0, None));
        while self.now < until {
            let end = self.ends.peek().map_or(u64::MAX, |e| e.0 .0);
            if end <= self.next {
                self.ends
                    .pop()
                    .into_iter()
                    .for_each(|Reverse((at, began))| {
                        self.now = at;
                        let random = self.rng.next_u64();
                        self.g.sample(at, began, random);
                        self.g.finish();
                        self.served += 1;
                        self.busy -= 1;
                    });
            } else {
                self.now = self.next;
                let gap = SECOND / rate;
                self.next += gap / 2 + self.rng.next_u64() % gap;
                let random = self.rng.next_u64();
                if self.g.start(self.now, random) {
                    self.queue.push_back(self.now);
                } else {
                    self.refused += 1;
                }
            }
            while self.busy < servers {
                let Some(began) = self.queue.pop_front() else {
                    break;
                };
                self.busy += 1;
                let end = self.now + self.takes(service);
                self.ends.push(Reverse((end, began)));
            }
            let pinned = self.g.limit() < servers;
            let since = self.low.1.filter(|_| pinned);
            self.low.1 = pinned.then_some(since.unwrap_or(self.now));
            let so_long = self.low.1.map_or(0, |s| self.now - s);
            self.low.0 = self.low.0.max(so_long);
        }
    }
}

#[test]
fn an_overloaded_upstream_gets_what_it_bears() {
    // Servers, milliseconds, and offered times what they serve.
    for (servers, service, times) in [(4, 10, 3), (10, 20, 2), (50, 10, 2), (100, 50, 3)] {
        let mut sim = Sim::new(Settings::default());
        let capacity = u64::from(servers) * 1000 / service;
        sim.run(30 * SECOND, capacity * times, servers, service * MS);
        sim.run(60 * SECOND, capacity * times, servers, service * MS);
        let limit = f64::from(sim.g.limit());
        let at_rest = 1.25 * f64::from(servers) + (1.25 * f64::from(servers)).sqrt();
        let case = format!("{servers} of {service} ms x{times}: {limit}");
        assert!(limit >= f64::from(servers) * 0.9, "{case}");
        assert!(limit <= at_rest * 1.6, "{case}, {at_rest} at rest");
        // It is not starved either.
        assert!(
            sim.served >= capacity * 30 * 9 / 10,
            "{case}: {}",
            sim.served
        );
    }
}

#[test]
fn nobody_is_refused_by_an_upstream_that_bears_it() {
    let mut sim = Sim::new(Settings::default());
    // Half of what 20 serve at a time.
    sim.run(5 * SECOND, 1000, 20, 10 * MS);
    sim.run(300 * SECOND, 1000, 20, 10 * MS);
    let share = sim.refused as f64 / (sim.served + sim.refused) as f64;
    assert!(share < 0.005, "{share}, at a limit of {}", sim.g.limit());
    // What is not used does not grow.
    assert!(sim.g.limit() < 100, "{}", sim.g.limit());
}

#[test]
fn a_probe_ends_soon_however_slow_the_upstream_has_become() {
    let mut sim = Sim::new(Settings::default());
    sim.run(20 * SECOND, 2000, 10, 10 * MS);
    sim.run(200 * SECOND, 2000, 10, 10 * MS);
    // Envoy holds its limit at 3 until 50 requests are over.
    assert!(sim.low.0 < SECOND, "{} ms", sim.low.0 / MS);
    let mut g = sim.g.clone();
    let at = g.next_probe;
    g.start(at, 0);
    assert!(g.is_probing());
    assert!(g.limit() >= 5, "half: {}", g.limit());
    // Nothing is answered any more.
    g.start(at + PROBE_MOST, 0);
    assert!(!g.is_probing());
    assert_eq!(g.minimum(), sim.g.minimum());
}

#[test]
fn it_follows_an_upstream_that_becomes_slower_and_faster_again() {
    let mut sim = Sim::new(Settings::default());
    sim.run(20 * SECOND, 3000, 20, 10 * MS);
    // Twenty times as slow for everybody, loaded or not.
    sim.run(150 * SECOND, 3000, 20, 200 * MS);
    sim.run(170 * SECOND, 3000, 20, 200 * MS);
    assert!(sim.served >= 20 * 5 * 20 * 8 / 10, "{}", sim.served);
    assert!(sim.g.limit() < 70, "{}", sim.g.limit());
    sim.run(200 * SECOND, 3000, 20, 10 * MS);
    sim.run(210 * SECOND, 3000, 20, 10 * MS);
    assert!(sim.served >= 2000 * 10 * 9 / 10, "{}", sim.served);
}

#[test]
fn one_window_by_the_formula() {
    let settings = Settings {
        initial: 100,
        ..Settings::default()
    };
    // The minimum is 10 ms; the median of a window, and the limit of 100 after it.
    for (median, in_use, want) in [
        (10, 100, 136), // 125 + sqrt(125)
        (20, 100, 70),  // 62.5 + 7.9
        (12, 100, 114), // 104.2 + 10.2
        (200, 100, 57), // 50 + 7.07: the gradient is 0.5 at the least
        (10, 40, 100),  // not half used
        (20, 40, 70),
    ] {
        let mut g = Gradient::new(settings);
        for _ in 0..in_use {
            assert!(g.start(0, 0));
        }
        for _ in 0..PROBE_SAMPLES {
            g.sample(SECOND, SECOND - 10 * MS, 0);
        }
        assert_eq!(g.minimum(), Some(10 * MS));
        let at = SECOND + 5 * settings.window;
        for _ in 0..LEAST_SAMPLES {
            g.sample(at, at - median * MS, 0);
        }
        assert_eq!(g.limit(), want, "{median} {in_use}");
    }
}

#[test]
fn the_limit_stays_within_its_bounds_and_is_kept() {
    for (min, max, initial) in [(1, 1, 9), (5, 2, 0), (0, 0, 0), (3, 1000, 2000)] {
        let mut g = Gradient::new(Settings {
            min,
            max,
            initial,
            ..Settings::default()
        });
        let (least, most) = (min.max(1), max.max(min.max(1)));
        let mut rng = Rng::new(5);
        let mut began = VecDeque::new();
        for step in 0..50_000u64 {
            let now = step * MS / 2;
            if g.start(now, rng.next_u64()) {
                began.push_back(now);
                assert!(g.in_flight() <= g.limit());
            }
            if rng.next_u64().is_multiple_of(3) {
                if let Some(b) = began.pop_front() {
                    g.sample(now, b, rng.next_u64());
                    g.finish();
                }
            }
            assert!((least..=most).contains(&g.limit()), "{}", g.limit());
            assert_eq!(g.in_flight() as usize, began.len());
        }
    }
}

#[test]
fn probes_are_apart_by_the_interval_and_at_most_its_jitter() {
    for random in [0, 1 << 63, u64::MAX] {
        let mut g = Gradient::new(Settings::default());
        g.minimum = Some(10 * MS);
        g.begin_probe(0);
        (0..PROBE_SAMPLES).for_each(|_| g.sample(11 * MS, MS, random));
        assert!(!g.is_probing());
        let wait = g.next_probe - 11 * MS;
        assert!((60 * SECOND..=69 * SECOND).contains(&wait), "{wait}");
        assert_eq!(wait == 60 * SECOND, random == 0);
    }
}
