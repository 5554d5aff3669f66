//! A leased limit for many keys: a bounded table that all threads of a node share.
//!
//! As [`crate::limit_table`]: a key's hash names a set of 8 places, with a lock of its own. The key is in one of them or
//! in none. Nothing is allocated for a key, except that the first one of 64 sets makes these.
//!
//! **When the set is full** the newcomer takes the place of the key that loses least by it: one without debt and without
//! credit if there is one, then the one whose use is longest ago. What that one had admitted stays as the set's *floor*:
//! a newcomer owes what the one that left owed, and has no larger share. So a flood of keys frees nobody; it can make
//! new keys ask the store before they are admitted. Credit of a key that leaves is lost. Debt in a floor is forgotten at
//! the limit's rate: more than that a key gains in no time by leaving.
//!
//! Errors: only [`LeaseTable::new`] fails. All else is total; an answer for a key that has left is dropped.
//! Bounds: memory grows with use up to [`LeaseTable::bytes`], at most [`LeaseTable::MAX_BYTES`]. A lock is held for one
//!         look at a set.
//! Limits: two keys with the same 64-bit hash share a place, as in [`crate::table`].

use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::hash::{hash_key, reduce};
use crate::lease::{Lease, LeaseAsk};
use crate::lease_state::{Floor, LeaseDecision, LeaseState, Want};
use crate::limit::{Answer, Said};
use crate::table::BadCapacity;

/// A bounded table of one leased limit's keys. See the module for what happens when it is full.
pub struct LeaseTable {
    lease: Lease,
    /// Pieces of [`PIECE`] sets, each made when a key first falls into it.
    pieces: Box<[OnceLock<Piece>]>,
    sets: usize,
    seed: u64,
}

impl LeaseTable {
    /// Keys that a table has room for unless told otherwise.
    pub const DEFAULT_CAPACITY: usize = 1 << 16;
    /// 256 MiB.
    pub const MAX_BYTES: usize = 1 << 28;

    /// A table for at least `capacity` keys, rounded up to a multiple of 8. `seed` must be secret and random, as in
    /// [`crate::GcraTable::new`]. Fails for no key, and for more than [`Self::MAX_BYTES`].
    pub fn new(lease: Lease, capacity: usize, seed: u64) -> Result<Self, BadCapacity> {
        if capacity == 0 || Self::bytes(capacity) > Self::MAX_BYTES {
            return Err(BadCapacity(capacity));
        }
        let sets = capacity.div_ceil(WAYS);
        Ok(Self {
            lease,
            pieces: (0..sets.div_ceil(PIECE)).map(|_| OnceLock::new()).collect(),
            sets,
            seed,
        })
    }

    /// What a table for `capacity` keys takes when it is full.
    pub fn bytes(capacity: usize) -> usize {
        capacity
            .div_ceil(WAYS)
            .saturating_mul(size_of::<Mutex<Set>>())
    }

    /// The limit that all keys have.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// How many keys there is room for.
    pub fn capacity(&self) -> usize {
        self.sets * WAYS
    }

    /// The hash under which this table knows a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        hash_key(self.seed, key)
    }

    /// Decides for a request of `cost`, and counts it if it is admitted. A cost of 0 asks only, and is always admitted.
    ///
    /// `nodes` live now, this one among them. `store_up` is false while it is known that the store does not answer: then
    /// nothing is asked.
    pub fn decide(
        &self,
        key: u64,
        now: u64,
        cost: u64,
        nodes: u64,
        store_up: bool,
    ) -> LeaseDecision {
        self.with(key, now, cost, nodes, store_up, false)
    }

    /// Decides once more for a request that was told to [`wait`](LeaseDecision::wait), after the answer or the failure
    /// that it waited for.
    pub fn decide_again(
        &self,
        key: u64,
        now: u64,
        cost: u64,
        nodes: u64,
        store_up: bool,
    ) -> LeaseDecision {
        self.with(key, now, cost, nodes, store_up, true)
    }

    /// The answer of an ask for this key: the store granted so many tokens, and its TAT is `reset_after` nanoseconds ahead of its clock.
    pub fn granted(&self, key: u64, now: u64, ask: &LeaseAsk, granted: u64, reset_after: u64) {
        let tag = key.max(1);
        let mut set = self.set(tag);
        if let Some(way) = set.find(tag) {
            let state = &mut set.states[way];
            state.settle(now as i64);
            let reset_after = reset_after.min(MOST) as i64;
            state.granted(&self.lease, ask, granted.min(MOST) as i64, reset_after);
        }
    }

    /// An ask for this key failed, or its answer came too late.
    pub fn failed(&self, key: u64, now: u64, nodes: u64) {
        let tag = key.max(1);
        let mut set = self.set(tag);
        if let Some(way) = set.find(tag) {
            let state = &mut set.states[way];
            state.settle(now as i64);
            state.failed(&self.lease, nodes);
        }
    }

    /// Holds the key with this [`hash`](Self::hash) at `now`, so that several limits can be asked before one is charged. For
    /// `nodes` and `store_up` see [`decide`](Self::decide).
    pub fn hold(&self, key: u64, now: u64, nodes: u64, store_up: bool) -> HeldLease<'_> {
        let tag = key.max(1);
        let mut set = self.set(tag);
        let (way, mut state) = set.place(tag, &self.lease, now as i64);
        state.look_around(&self.lease, nodes, store_up);
        HeldLease {
            lease: &self.lease,
            set,
            way,
            tag,
            nodes,
            up: store_up,
            state,
            looked: None,
        }
    }

    /// Gives back a `cost` that was kept for a key at a time when its tokens were [of](HeldLease::since) `since`, for a
    /// request that is refused after all.
    pub fn give_back(&self, key: u64, now: u64, cost: u64, since: u64) {
        let tag = key.max(1);
        let mut set = self.set(tag);
        if let Some(way) = set.find(tag) {
            let state = &mut set.states[way];
            state.settle(now as i64);
            state.give_back(cost.min(self.lease.burst()) as i64, since as i64);
        }
    }

    fn with(
        &self,
        key: u64,
        now: u64,
        cost: u64,
        nodes: u64,
        up: bool,
        again: bool,
    ) -> LeaseDecision {
        let mut held = self.hold(key, now, nodes, up);
        let decision = held.look(cost, again);
        held.keep();
        decision
    }

    fn set(&self, tag: u64) -> MutexGuard<'_, Set> {
        let index = reduce(tag, self.sets as u64) as usize;
        let piece = self.pieces[index / PIECE]
            .get_or_init(|| (0..PIECE).map(|_| Mutex::default()).collect());
        // Each step on a set is whole before the next begins: who panics leaves nothing half done.
        piece[index % PIECE]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for LeaseTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseTable")
            .field("lease", &self.lease)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

/// A key of a table, held until it is dropped: nobody else decides for it meanwhile.
///
/// Who holds several keys takes them in an order that all others keep, or two may wait for each other.
pub struct HeldLease<'a> {
    lease: &'a Lease,
    set: MutexGuard<'a, Set>,
    way: usize,
    tag: u64,
    nodes: u64,
    up: bool,
    state: LeaseState,
    /// What the last look said, and what it leaves of the key.
    looked: Option<(LeaseState, LeaseDecision)>,
}

impl HeldLease<'_> {
    /// What the key's limit says of a request of `cost`, and what is to be asked then. It counts for nothing before
    /// [`keep`](Self::keep). `again` is true for a request whose wants were kept before.
    pub fn look(&mut self, cost: u64, again: bool) -> LeaseDecision {
        self.looked = None;
        if cost == 0 || cost > self.lease.burst() {
            return peek(&self.state, self.lease, cost, self.nodes);
        }
        let want = Want {
            cost: cost as i64,
            nodes: self.nodes,
            up: self.up,
            again,
            tag: self.tag,
        };
        let mut state = self.state;
        let decision = state.decide(self.lease, want);
        self.looked = Some((state, decision));
        decision
    }

    /// Keeps what [`look`](Self::look) said last: a request that it admitted is counted, and an answer is owed to its ask.
    pub fn keep(mut self) {
        if let Some((state, decision)) = self.looked {
            self.set
                .enter(self.way, self.tag, self.lease, state, &decision);
        }
    }

    /// How old the tokens are at most that the next request takes, for [`LeaseTable::give_back`].
    pub fn since(&self) -> u64 {
        self.state.since() as u64
    }
}

impl fmt::Debug for HeldLease<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldLease")
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// What is told of a key without a request that counts.
fn peek(state: &LeaseState, lease: &Lease, cost: u64, nodes: u64) -> LeaseDecision {
    let answer = state.answer(lease, 0, true, nodes);
    let said = match cost {
        0 => Said::Admit,
        _ => Said::Never,
    };
    LeaseDecision {
        answer: Answer { said, ..answer },
        ask: None,
        wait: false,
        alone: state.alone,
    }
}

type Piece = Box<[Mutex<Set>]>;

/// Eight keys, and what those that left had used.
struct Set {
    tags: [u64; WAYS],
    states: [LeaseState; WAYS],
    floor: Floor,
}

impl Default for Set {
    fn default() -> Self {
        Self {
            tags: [EMPTY; WAYS],
            states: [LeaseState::NEW; WAYS],
            floor: Floor::NEW,
        }
    }
}

impl Set {
    fn find(&self, tag: u64) -> Option<usize> {
        self.tags.iter().position(|&t| t == tag)
    }

    /// Where a key is or would be, and its state at `now`.
    fn place(&mut self, tag: u64, lease: &Lease, now: i64) -> (usize, LeaseState) {
        if let Some(way) = self.find(tag) {
            let mut state = self.states[way];
            state.settle(now);
            return (way, state);
        }
        let mut floor = self.floor;
        let way = self.find(EMPTY).unwrap_or_else(|| {
            for state in &mut self.states {
                state.settle(now);
            }
            let least = (0..WAYS).min_by_key(|&way| self.states[way].weight(lease));
            let way = least.unwrap_or_default();
            floor.join(lease, &self.states[way]);
            way
        });
        (way, LeaseState::from_floor(&floor, lease, now))
    }

    /// Keeps what a decision left of a key. One that is new enters if there is anything to remember.
    fn enter(
        &mut self,
        way: usize,
        tag: u64,
        lease: &Lease,
        state: LeaseState,
        decision: &LeaseDecision,
    ) {
        if self.tags[way] == tag {
            self.states[way] = state;
            return;
        }
        if decision.answer.said != Said::Admit && decision.ask.is_none() {
            return;
        }
        if self.tags[way] != EMPTY {
            let left = self.states[way];
            self.floor.join(lease, &left);
        }
        self.tags[way] = tag;
        self.states[way] = state;
    }
}

/// The tag of a place never used.
const EMPTY: u64 = 0;
/// As in [`crate::table`].
const WAYS: usize = 8;
/// Sets made together: 64 KiB.
const PIECE: usize = 64;
/// More than any store answers.
const MOST: u64 = 1 << 53;

#[cfg(test)]
#[path = "lease_table_tests.rs"]
mod tests;
