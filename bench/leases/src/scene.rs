//! One simulation: events in the order of their time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use algo::{store_gcra, Decision, Fallback, Gcra, Lease, LeaseAsk, LeaseTable, Rng, Said};

/// What is simulated. Times are nanoseconds.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The limit: so many in a period, so many at once.
    pub count: u64,
    /// Of the rate.
    pub period: u64,
    /// At one instant.
    pub burst: u64,
    /// Requests a second that each node is offered, in thousandths.
    pub offered: Vec<u64>,
    /// A request costs 1 to this.
    pub most_cost: u64,
    /// Between the first request and the last.
    pub length: u64,
    /// A round trip to the store takes half of this to one and a half.
    pub delay: u64,
    /// Of 1000 asks so many get no answer: half of them were never done.
    pub lost: u64,
    /// The store does nothing from the first time to the second.
    pub outage: (u64, u64),
    /// Whether a request that is told to wait for the store does.
    pub waits: bool,
    /// Requests come from 0 to the first for a second, then none for the second, and so on. (0, 0): all the time.
    pub pulses: (u64, u64),
    /// Of all that is random.
    pub seed: u64,
}

/// What became of a [`Scene`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// Tokens asked for at each node.
    pub offered: Vec<u64>,
    /// Tokens admitted at each node.
    pub admitted: Vec<u64>,
    /// Tokens that one process would have admitted of all that was offered.
    pub one_process: u64,
    /// Calls of the store.
    pub calls: u64,
    /// Requests.
    pub requests: u64,
    /// Tokens by which the nodes together exceeded the burst and what the time brought, at most, in any time. What nodes
    /// without the store may add, their share of the rate, is not counted in it.
    pub overshoot: u64,
    /// Tokens admitted in each tenth of the length.
    pub tenths: [u64; 10],
}

impl Scene {
    /// 1000/s with a burst of 1000, two nodes that are each offered as much, for ten seconds, and a store 1 ms away.
    pub fn new() -> Self {
        Self {
            count: 1000,
            period: SECOND,
            burst: 1000,
            offered: vec![1_000_000; 2],
            most_cost: 1,
            length: 10 * SECOND,
            delay: SECOND / 1000,
            lost: 0,
            outage: (0, 0),
            waits: false,
            pulses: (0, 0),
            seed: 1,
        }
    }

    /// The limit.
    ///
    /// # Panics
    /// If it is none.
    pub fn lease(&self) -> Lease {
        Lease::new(self.count, self.period, self.burst, Fallback::FairShare).expect("a limit")
    }

    /// Runs it.
    pub fn run(&self) -> Outcome {
        Run::new(self).run()
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

impl Outcome {
    /// Tokens admitted over all nodes.
    pub fn total(&self) -> u64 {
        self.admitted.iter().sum()
    }
}

enum Event {
    Arrives(usize),
    /// The store does what a node asked at a time; the last is when the answer is there.
    Done(usize, LeaseAsk, u64),
    Granted(usize, LeaseAsk, [i64; 3]),
    Failed(usize),
    Again(usize, u64),
}

struct Run<'a> {
    scene: &'a Scene,
    lease: Lease,
    nodes: Vec<LeaseTable>,
    /// Since when each did without the store.
    alone: Vec<bool>,
    /// The same limit in one process, for what it would admit.
    one: Gcra,
    one_tat: u64,
    rng: Rng,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    /// By their number, which the heap holds: events have no order of their own.
    what: Vec<Option<Event>>,
    tat: Option<i64>,
    /// Of a bucket that all requests fall into: in thousandths of a nanosecond's worth of a token.
    level: u128,
    level_at: u64,
    highest: u128,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn new(scene: &'a Scene) -> Self {
        let lease = scene.lease();
        let count = scene.offered.len();
        let node = |i| LeaseTable::new(lease, 8, i as u64).expect("a table");
        let mut run = Self {
            scene,
            lease,
            nodes: (0..count).map(node).collect(),
            alone: vec![false; count],
            one: Gcra::new(scene.count, scene.period, scene.burst).expect("a limit"),
            one_tat: 0,
            rng: Rng::new(scene.seed),
            events: BinaryHeap::new(),
            what: Vec::new(),
            tat: None,
            level: 0,
            level_at: 0,
            highest: 0,
            outcome: Outcome {
                offered: vec![0; count],
                admitted: vec![0; count],
                ..Outcome::default()
            },
        };
        for node in 0..count {
            run.next_arrival(node, START);
        }
        run
    }

    fn run(mut self) -> Outcome {
        while let Some(Reverse((now, number))) = self.events.pop() {
            let Some(event) = self.what[number as usize].take() else {
                continue;
            };
            match event {
                Event::Arrives(node) => {
                    self.next_arrival(node, now);
                    if self.is_quiet(now) {
                        continue;
                    }
                    let cost = 1 + self.rng.below(self.scene.most_cost);
                    self.outcome.offered[node] += cost;
                    self.outcome.requests += 1;
                    if let Decision::Admit { tat, .. } = self.one.check(self.one_tat, now, cost) {
                        self.one_tat = tat;
                        self.outcome.one_process += cost;
                    }
                    self.decide(node, now, cost, false);
                }
                Event::Again(node, cost) => self.decide(node, now, cost, true),
                Event::Done(node, ask, back) => {
                    let us = (now / 1000) as i64;
                    let reply = store_gcra(&mut self.tat, us, self.lease.arguments(&ask));
                    if back < ask.at + DEADLINE {
                        self.push(back, Event::Granted(node, ask, reply));
                    }
                }
                Event::Granted(node, ask, [granted, reset_after, _]) => {
                    self.drain(now);
                    self.alone[node] = false;
                    let reset_after = reset_after as u64 * 1000;
                    self.nodes[node].granted(KEY, now, &ask, granted as u64, reset_after);
                }
                Event::Failed(node) => {
                    self.drain(now);
                    self.alone[node] = true;
                    self.nodes[node].failed(KEY, now, self.count());
                }
            }
        }
        self.outcome.overshoot = {
            let each = self.token();
            let burst = u128::from(self.scene.burst) * each;
            (self.highest.saturating_sub(burst).div_ceil(each)) as u64
        };
        self.outcome
    }

    fn decide(&mut self, node: usize, now: u64, cost: u64, again: bool) {
        let table = &self.nodes[node];
        let decision = match again {
            false => table.decide(KEY, now, cost, self.count(), true),
            true => table.decide_again(KEY, now, cost, self.count(), true),
        };
        if decision.answer.said == Said::Admit {
            self.admit(node, now, cost);
        }
        let Some(ask) = decision.ask else { return };
        self.outcome.calls += 1;
        let there = self.rng.below(self.scene.delay + 1) / 2 + self.scene.delay / 4;
        let back = self.rng.below(self.scene.delay + 1) / 2 + self.scene.delay / 4;
        let lost = self.rng.below(1000) < self.scene.lost;
        let done = !lost || self.rng.below(2) == 0;
        let (from, to) = self.scene.outage;
        let late = there + back >= DEADLINE;
        let at = now + there;
        let out = (from..to).contains(&(at - START));
        if done && !out {
            let back = match lost {
                true => u64::MAX,
                false => at + back,
            };
            self.push(at, Event::Done(node, ask, back));
        }
        let end = match lost || late || out {
            true => {
                self.push(now + DEADLINE, Event::Failed(node));
                now + DEADLINE
            }
            false => at + back,
        };
        if decision.wait && self.scene.waits && !again {
            self.push(end + 1, Event::Again(node, cost));
        }
    }

    fn admit(&mut self, node: usize, now: u64, cost: u64) {
        self.drain(now);
        self.level += u128::from(cost) * self.token();
        self.highest = self.highest.max(self.level);
        self.outcome.admitted[node] += cost;
        let tenth = (now - START) * 10 / self.scene.length;
        self.outcome.tenths[(tenth as usize).min(9)] += cost;
    }

    /// A bucket that drains at the limit's rate, and at its share for each node that is alone: what overflows its burst
    /// is the overshoot. In units of 1 / (period · nodes) tokens.
    fn drain(&mut self, now: u64) {
        let alone = self.alone.iter().filter(|alone| **alone).count() as u64;
        let rate = u128::from(self.scene.count) * u128::from(self.count() + alone);
        let gone = u128::from(now - self.level_at) * rate;
        self.level = self.level.saturating_sub(gone);
        self.level_at = now;
    }

    fn token(&self) -> u128 {
        u128::from(self.scene.period) * u128::from(self.count())
    }

    fn next_arrival(&mut self, node: usize, now: u64) {
        let rate = self.scene.offered[node];
        if rate == 0 {
            return;
        }
        let gap = self.rng.below(2 * 1000 * SECOND / rate) + 1;
        if now + gap < START + self.scene.length {
            self.push(now + gap, Event::Arrives(node));
        }
    }

    fn is_quiet(&self, now: u64) -> bool {
        let (busy, quiet) = self.scene.pulses;
        quiet > 0 && (now - START) % (busy + quiet) >= busy
    }

    fn push(&mut self, at: u64, event: Event) {
        self.events.push(Reverse((at, self.what.len() as u64)));
        self.what.push(Some(event));
    }

    fn count(&self) -> u64 {
        self.nodes.len() as u64
    }
}

/// Nanoseconds.
pub const SECOND: u64 = 1_000_000_000;
/// When a simulation begins: clocks do not start at 0.
const START: u64 = 1_000 * SECOND;
/// After this a node does not wait for an answer.
const DEADLINE: u64 = SECOND / 50;
const KEY: u64 = 7;
