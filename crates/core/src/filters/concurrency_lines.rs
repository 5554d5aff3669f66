//! Who holds a slot and who waits for one: the state of a limit on concurrency, shared by all threads and kept over configs.
//!
//! A key has a *line*: how many of its requests are in flight, and those that wait. A slot that is given back goes at once to
//! the one whose turn it is, under the same lock; that one is told by its wake-up, and should that be lost, finds its slot when
//! its time is over. A [`Ticket`] gives its slot or its place back once, whatever becomes of its request.
//!
//! Bounds: as many lines as [`Rules::max_keys`], each while something is in flight; as many waiting in each as
//! [`Rules::queue`]. One of 16 locks is held for one look at a line.

use std::collections::btree_map::Entry;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use algo::{mix64, FairQueue, Place, Pushed, ServiceTime};

use crate::Nanos;

/// What a filter wants of its lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// How many of a key may be in flight.
    pub limit: u32,
    /// How many of a key may wait.
    pub queue: usize,
    /// Whether flows are told apart.
    pub fair: bool,
    /// How many keys may have something in flight.
    pub max_keys: usize,
}

/// A request that wants a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wish {
    pub now: Nanos,
    /// The hash of its key.
    pub key: u64,
    /// 0 is the highest.
    pub level: usize,
    /// The hash of its tenant.
    pub flow: u64,
    /// By when it must have ended.
    pub deadline: Option<Nanos>,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No slot, and no place in the line; or one that was taken by another.
    Full,
    /// Its time in the line is over.
    Late,
    /// It could not end before its deadline.
    Deadline,
    /// No room for another key.
    Keys,
}

impl Why {
    pub const ALL: [Self; 4] = [Self::Full, Self::Late, Self::Deadline, Self::Keys];
}

/// What became of a wish.
pub(super) enum Entered {
    /// It has a slot.
    Has(Ticket),
    /// It waits until the ticket's key is woken.
    Waits(Ticket),
    /// It is refused; after so many seconds there may be a slot.
    Refused(Why, u64),
}

/// What is to be said of a waiting request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has a slot.
    Has,
    /// It waits.
    Waits,
    /// It is refused.
    Refused(Why),
}

/// All lines of one filter.
pub(super) struct Lines {
    stripes: [Mutex<Stripe>; STRIPES],
    keys: AtomicUsize,
    in_flight: AtomicU64,
    queued: AtomicU64,
    refused: [AtomicU64; Why::ALL.len()],
    /// Wake-up keys are made of it.
    base: u64,
    last: AtomicU64,
    /// The latest moment that anyone came with.
    clock: AtomicU64,
}

#[derive(Default)]
struct Stripe {
    lines: BTreeMap<u64, Line>,
    times: ServiceTime,
}

#[derive(Default)]
struct Line {
    in_flight: u32,
    queue: Option<Box<FairQueue<Arc<Waiter>>>>,
}

/// One that waits, or did.
struct Waiter {
    wake: u64,
    deadline: Option<Nanos>,
    place: Place,
    id: AtomicU64,
    /// Written under its stripe's lock only.
    turn: Mutex<(Turn, Slot)>,
}

/// A slot that is held.
#[derive(Clone, Copy, Default)]
struct Slot {
    since: Nanos,
    /// What its queue was charged.
    charged: u64,
}

/// A slot, or a place in the line: given back once, by [`Ticket::leave`] or when it is dropped.
pub(super) struct Ticket {
    lines: Arc<Lines>,
    rules: Rules,
    key: u64,
    /// What it has without having waited.
    held: Option<(Slot, Option<Place>)>,
    waiter: Option<Arc<Waiter>>,
    left: bool,
}

impl Lines {
    /// None yet. `base` tells its wake-ups from those of others.
    pub fn new(base: u64) -> Self {
        Self {
            stripes: std::array::from_fn(|_| Mutex::default()),
            keys: AtomicUsize::new(0),
            in_flight: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            refused: Default::default(),
            base,
            last: AtomicU64::new(0),
            clock: AtomicU64::new(0),
        }
    }

    /// In flight and waiting, over all keys.
    pub fn load(&self) -> (u64, u64) {
        (self.in_flight.load(Relaxed), self.queued.load(Relaxed))
    }

    /// How many were refused, and why.
    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        let all = Why::ALL.into_iter().zip(&self.refused);
        all.map(|(why, n)| (why.code(), n.load(Relaxed))).collect()
    }

    /// Counts one that is refused.
    pub fn count(&self, why: Why) {
        self.refused[why as usize].fetch_add(1, Relaxed);
    }

    /// Gives a slot, or a place in the line. Whoever lost its place to this one is to be woken.
    pub fn enter(self: &Arc<Self>, rules: Rules, wish: &Wish, wakes: &mut Vec<u64>) -> Entered {
        self.clock.fetch_max(wish.now, Relaxed);
        let mut stripe = self.stripe(wish.key);
        let Stripe { lines, times } = &mut *stripe;
        let line = match lines.entry(wish.key) {
            Entry::Occupied(line) => line.into_mut(),
            Entry::Vacant(free) => {
                let within = |n: usize| (n < rules.max_keys).then_some(n + 1);
                if self.keys.fetch_update(Relaxed, Relaxed, within).is_err() {
                    return Entered::Refused(Why::Keys, 1);
                }
                free.insert(Line::default())
            }
        };
        let entered = self.enter_line(line, times, rules, wish, wakes);
        if line.in_flight == 0 {
            // Refused for its deadline: nobody else is there.
            lines.remove(&wish.key);
            self.keys.fetch_sub(1, Relaxed);
        }
        entered
    }

    fn enter_line(
        self: &Arc<Self>,
        line: &mut Line,
        times: &ServiceTime,
        rules: Rules,
        wish: &Wish,
        wakes: &mut Vec<u64>,
    ) -> Entered {
        let late = |ahead: Option<usize>| {
            let Some(deadline) = wish.deadline else {
                return false;
            };
            let left = deadline.saturating_sub(wish.now);
            let expected = times.expected(wish.now, ahead.unwrap_or(0), rules.limit);
            let needs = expected.map_or(0, |e| {
                let wait = if ahead.is_some() { e.wait } else { 0 };
                e.service.saturating_add(wait)
            });
            left == 0 || needs > left
        };
        let ticket = |held, waiter| Ticket {
            lines: self.clone(),
            rules,
            key: wish.key,
            held,
            waiter,
            left: false,
        };
        let free = line.in_flight < rules.limit;
        if free && line.queue.as_ref().is_none_or(|q| q.is_empty()) {
            if late(None) {
                return Entered::Refused(Why::Deadline, 1);
            }
            line.in_flight += 1;
            self.in_flight.fetch_add(1, Relaxed);
            let charged = times.mean();
            let place = line.queue.as_mut().map(|q| {
                let place = q.place(wish.level, wish.flow);
                q.charge(place, charged);
                place
            });
            let held = Slot {
                since: wish.now,
                charged,
            };
            return Entered::Has(ticket(Some((held, place)), None));
        }
        let waiting = line.queue.as_ref().map_or(0, |q| q.len());
        let again = || again(times, waiting, rules.limit);
        if rules.queue == 0 {
            return Entered::Refused(Why::Full, again());
        }
        let queue = line.queue.get_or_insert_with(|| {
            let (queues, hand) = if rules.fair { (QUEUES, HAND) } else { (1, 1) };
            Box::new(FairQueue::new(queues, hand))
        });
        let place = queue.place(wish.level, wish.flow);
        if late(Some(queue.ahead(place))) {
            return Entered::Refused(Why::Deadline, again());
        }
        let waiter = Arc::new(Waiter {
            wake: mix64(self.base ^ self.last.fetch_add(1, Relaxed)),
            deadline: wish.deadline,
            place,
            id: AtomicU64::new(0),
            turn: Mutex::new((Turn::Waits, Slot::default())),
        });
        let id = match queue.push(place, rules.queue, waiter.clone()) {
            Pushed::Waits(id) => id,
            Pushed::InPlaceOf(id, other) => {
                other.set(Turn::Refused(Why::Full), Slot::default());
                wakes.push(other.wake);
                self.queued.fetch_sub(1, Relaxed);
                id
            }
            Pushed::Full(_) => return Entered::Refused(Why::Full, again()),
        };
        waiter.id.store(id, Relaxed);
        self.queued.fetch_add(1, Relaxed);
        // A config may have raised the limit since the last slot was given.
        self.serve(line, times, rules, wish.now, wakes);
        let turn = waiter.turn();
        let ticket = ticket(None, Some(waiter));
        match turn {
            Turn::Refused(why) => Entered::Refused(why, again()),
            Turn::Has => Entered::Has(ticket),
            Turn::Waits => Entered::Waits(ticket),
        }
    }

    /// Gives free slots to those whose turn it is.
    fn serve(
        &self,
        line: &mut Line,
        times: &ServiceTime,
        rules: Rules,
        now: Nanos,
        wakes: &mut Vec<u64>,
    ) {
        let Some(queue) = &mut line.queue else { return };
        while line.in_flight < rules.limit {
            // Turns are of a time: who takes longer is charged for it when that is known.
            let charged = times.mean();
            let Some(waiter) = queue.pop(charged) else {
                return;
            };
            self.queued.fetch_sub(1, Relaxed);
            wakes.push(waiter.wake);
            let least = times.expected(now, 0, 1).map_or(0, |e| e.service);
            let late = |d: Nanos| now.saturating_add(least) > d || now >= d;
            if waiter.deadline.is_some_and(late) {
                queue.settle(waiter.place, charged, 0);
                waiter.set(Turn::Refused(Why::Deadline), Slot::default());
                continue;
            }
            let since = now;
            waiter.set(Turn::Has, Slot { since, charged });
            line.in_flight += 1;
            self.in_flight.fetch_add(1, Relaxed);
        }
    }

    /// Takes one that waits out of its line.
    fn forget(&self, stripe: &mut Stripe, key: u64, waiter: &Waiter, why: Why) {
        let line = stripe.lines.get_mut(&key);
        if let Some(queue) = line.and_then(|l| l.queue.as_mut()) {
            if queue
                .remove(waiter.place, waiter.id.load(Relaxed))
                .is_some()
            {
                self.queued.fetch_sub(1, Relaxed);
            }
        }
        waiter.set(Turn::Refused(why), Slot::default());
    }

    fn stripe(&self, key: u64) -> MutexGuard<'_, Stripe> {
        let at = (mix64(key) >> 60) as usize % STRIPES;
        lock(&self.stripes[at])
    }
}

impl Waiter {
    fn turn(&self) -> Turn {
        lock(&self.turn).0
    }

    fn set(&self, turn: Turn, slot: Slot) {
        *lock(&self.turn) = (turn, slot);
    }
}

impl Ticket {
    /// What is woken when its turn has come.
    pub fn wake(&self) -> u64 {
        self.waiter.as_ref().map_or(0, |w| w.wake)
    }

    /// Whether it has its slot now.
    pub fn turn(&self) -> Turn {
        self.waiter.as_ref().map_or(Turn::Has, |w| w.turn())
    }

    /// Gives up its place; what it turns out to be in that moment is the answer, for its turn may just have come.
    pub fn give_up(&mut self, why: Why) -> Turn {
        let mut stripe = self.lines.stripe(self.key);
        let turn = self.turn();
        let (Turn::Waits, Some(waiter)) = (turn, &self.waiter) else {
            return turn;
        };
        self.lines.forget(&mut stripe, self.key, waiter, why);
        Turn::Refused(why)
    }

    /// After how many seconds there may be a slot.
    pub fn again(&self) -> u64 {
        let stripe = self.lines.stripe(self.key);
        let line = stripe.lines.get(&self.key);
        let waiting = line.and_then(|l| l.queue.as_ref()).map_or(0, |q| q.len());
        again(&stripe.times, waiting, self.rules.limit)
    }

    /// Gives it back. `counts` says whether the time that it was held is one of a request as others are.
    pub fn leave(mut self, now: Nanos, counts: bool, wakes: &mut Vec<u64>) {
        self.out(now, counts, wakes);
    }

    fn out(&mut self, now: Nanos, counts: bool, wakes: &mut Vec<u64>) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        self.lines.clock.fetch_max(now, Relaxed);
        let mut stripe = self.lines.stripe(self.key);
        let state = self.waiter.as_ref().map(|w| (w, *lock(&w.turn)));
        let (slot, place) = match (state, self.held) {
            (Some((waiter, (Turn::Has, slot))), _) => (slot, Some(waiter.place)),
            (Some((waiter, (Turn::Waits, _))), _) => {
                return self.lines.forget(&mut stripe, self.key, waiter, Why::Late);
            }
            (None, Some(held)) => held,
            (Some(_), _) | (None, None) => return,
        };
        let Stripe { lines, times } = &mut *stripe;
        let Some(line) = lines.get_mut(&self.key) else {
            return;
        };
        line.in_flight = line.in_flight.saturating_sub(1);
        self.lines.in_flight.fetch_sub(1, Relaxed);
        let held = now.saturating_sub(slot.since);
        if counts {
            times.observe(now, held);
        }
        if let (Some(place), Some(q)) = (place, &mut line.queue) {
            q.settle(place, slot.charged, held);
        }
        self.lines.serve(line, times, self.rules, now, wakes);
        if line.in_flight == 0 {
            lines.remove(&self.key);
            self.lines.keys.fetch_sub(1, Relaxed);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // Without a request that could wake others: these find their slots when their time is over.
        let now = self.lines.clock.load(Relaxed);
        self.out(now, false, &mut Vec::new());
    }
}

fn again(times: &ServiceTime, waiting: usize, limit: u32) -> u64 {
    let turns = u128::from(times.mean()) * (waiting as u128 + 1) / u128::from(limit.max(1));
    turns.div_ceil(1_000_000_000).clamp(1, MOST_AGAIN) as u64
}

/// What is behind these locks is plain data: good after a panic.
fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

const STRIPES: usize = 16;
/// Queues of a level, and of these how many a tenant may use.
const QUEUES: usize = 64;
const HAND: usize = 8;
/// Nobody is told to come again later than this, in seconds.
const MOST_AGAIN: u128 = 60;

#[cfg(test)]
#[path = "concurrency_lines_tests.rs"]
mod tests;
