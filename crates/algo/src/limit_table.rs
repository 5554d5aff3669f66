//! A limit for many keys: a bounded table that all threads of a process share, for any algorithm.
//!
//! As [`crate::table`], which is for one GCRA and takes no lock: a key's hash names a set of 8 places, and the key is in
//! one of them or in none. Here a set has a lock, so that a request can hold its keys in several tables, look at all of
//! them, and charge either all or none.
//!
//! **When the set is full.** The newcomer takes the place of the key that is closest to being forgotten. What that one
//! had used is not forgotten: it goes into the set's *floor*, a state under which no more is admitted than under any that
//! has left ([`Limit`] says how two are joined). A newcomer begins from the floor and from what it replaces. So:
//!
//! - **No key is ever admitted more than its limit's stated bound.** A key that comes back begins from a floor that has
//!   all it had used. A flood of keys resets nobody.
//! - A key in the table is not touched by others, except that it may leave once it is the idlest.
//! - What a flood of more live keys than places can do is to make *new* keys share what was used, up to refusal.
//!
//! Errors: only [`LimitTable::new`] fails. All else is total.
//! Bounds: memory grows with use, set by set, up to [`LimitTable::bytes`], at most [`LimitTable::MAX_BYTES`]. A lock is
//!         held for one look at a set, and by who holds several keys until all are decided.
//! Limits: two keys with the same 64-bit hash share a place, as in [`crate::table`].

use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crate::hash::{hash_key, reduce};
use crate::limit::{Answer, Limit, Said};
use crate::table::BadCapacity;

/// A bounded table of one limit's keys. See the module for what happens when it is full.
pub struct LimitTable {
    limit: Limit,
    /// Pieces of [`PIECE`] sets, each made when a key first falls into it; a set's words when its first key does.
    pieces: Box<[OnceLock<Box<[Words]>>]>,
    sets: usize,
    seed: u64,
}

/// A key of a table, held until it is dropped: nobody else decides for it meanwhile.
///
/// Who holds several keys takes them in an order that all others keep, or two may wait for each other.
pub struct Held<'a> {
    limit: &'a Limit,
    words: MutexGuard<'a, Box<[u64]>>,
    tag: u64,
    place: Place,
    now: u64,
    admits: bool,
}

/// Where a key that is held is or would be.
#[derive(Clone, Copy)]
enum Place {
    Known(usize),
    /// Its state is in the scratch of its set; if it is charged it goes here.
    New(usize),
}

impl LimitTable {
    /// Keys that a table has room for unless told otherwise.
    pub const DEFAULT_CAPACITY: usize = 1 << 16;
    /// 256 MiB.
    pub const MAX_BYTES: usize = 1 << 28;

    /// A table for at least `capacity` keys, rounded up to a multiple of 8. `seed` must be secret and random, as in
    /// [`crate::GcraTable::new`]. Fails for no key, and for more than [`Self::MAX_BYTES`].
    pub fn new(limit: Limit, capacity: usize, seed: u64) -> Result<Self, BadCapacity> {
        if capacity == 0 || Self::bytes(&limit, capacity) > Self::MAX_BYTES {
            return Err(BadCapacity(capacity));
        }
        let sets = capacity.div_ceil(WAYS);
        Ok(Self {
            limit,
            pieces: (0..sets.div_ceil(PIECE)).map(|_| OnceLock::new()).collect(),
            sets,
            seed,
        })
    }

    /// What a table for `capacity` keys takes when it is full.
    pub fn bytes(limit: &Limit, capacity: usize) -> usize {
        let set = size_of::<Words>() + WORD * size(limit.words());
        capacity.div_ceil(WAYS).saturating_mul(set)
    }

    /// The limit that all keys have.
    pub fn limit(&self) -> &Limit {
        &self.limit
    }

    /// How many keys there is room for.
    pub fn capacity(&self) -> usize {
        self.sets * WAYS
    }

    /// The hash under which this table knows a key, for [`hold`](Self::hold).
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        hash_key(self.seed, key)
    }

    /// Holds the key with this [`hash`](Self::hash) at `now`.
    pub fn hold(&self, key: u64, now: u64) -> Held<'_> {
        let tag = key.max(1);
        let index = reduce(tag, self.sets as u64) as usize;
        let piece = self.pieces[index / PIECE]
            .get_or_init(|| (0..PIECE).map(|_| Words::default()).collect());
        // Each step on a set is whole before the next begins: who panics leaves nothing half done.
        let mut words = piece[index % PIECE]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if words.is_empty() {
            *words = vec![0; size(self.limit.words())].into();
        }
        let mut set = Set::new(&mut words, self.limit.words());
        let (place, now) = match set.find(tag) {
            Some(way) => (Place::Known(way), self.limit.settle(set.cell(way), now)),
            None => set.newcomer(&self.limit, now),
        };
        Held {
            limit: &self.limit,
            words,
            tag,
            place,
            now,
            admits: false,
        }
    }

    /// Decides for one key alone, and counts the request if it is admitted.
    pub fn decide(&self, key: u64, now: u64, cost: u64) -> Answer {
        let mut held = self.hold(key, now);
        let answer = held.look(cost);
        held.charge(cost);
        answer
    }
}

impl Held<'_> {
    /// What the key's limit says of a request of `cost`. Counts nothing.
    pub fn look(&mut self, cost: u64) -> Answer {
        let mut set = Set::new(&mut self.words, self.limit.words());
        let state = match self.place {
            Place::Known(way) => set.cell(way),
            Place::New(_) => set.cell(SCRATCH),
        };
        let answer = self.limit.look(state, self.now, cost);
        self.admits = answer.said == Said::Admit;
        answer
    }

    /// Counts the request that [`look`](Self::look) admitted last; nothing if it did not. Call it with the same cost.
    pub fn charge(mut self, cost: u64) {
        if !self.admits || cost == 0 {
            return;
        }
        let (limit, now) = (self.limit, self.now);
        limit.charge(self.enter(), now, cost);
    }

    /// Counts a cost that has been spent already, whether or not it is within the limit: what a bucket lacks is a debt.
    pub fn owe(&mut self, cost: u64) {
        if cost > 0 {
            let (limit, now) = (self.limit, self.now);
            limit.owe(self.enter(), now, cost);
        }
    }

    /// The key's state in its place, which it takes if it has none.
    fn enter(&mut self) -> &mut [u64] {
        let mut set = Set::new(&mut self.words, self.limit.words());
        let way = match self.place {
            Place::Known(way) => way,
            Place::New(way) => {
                if set.tags[way] != EMPTY {
                    set.copy(SCRATCH, FLOOR);
                }
                set.tags[way] = self.tag;
                set.copy(SCRATCH, way);
                self.place = Place::Known(way);
                way
            }
        };
        set.into_cell(way)
    }
}

impl fmt::Debug for LimitTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LimitTable")
            .field("limit", &self.limit)
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// The words of a set; none before its first key.
type Words = Mutex<Box<[u64]>>;

/// A view of a set's words: 8 tags, 8 states, the floor and a scratch.
struct Set<'a> {
    tags: &'a mut [u64],
    cells: &'a mut [u64],
    /// Words of a state.
    each: usize,
}

impl<'a> Set<'a> {
    fn new(words: &'a mut [u64], each: usize) -> Self {
        let (tags, cells) = words.split_at_mut(WAYS);
        Self { tags, cells, each }
    }

    fn find(&self, tag: u64) -> Option<usize> {
        self.tags.iter().position(|&t| t == tag)
    }

    fn cell(&mut self, which: usize) -> &mut [u64] {
        &mut self.cells[which * self.each..][..self.each]
    }

    fn into_cell(self, which: usize) -> &'a mut [u64] {
        &mut self.cells[which * self.each..][..self.each]
    }

    fn copy(&mut self, from: usize, to: usize) {
        let from = from * self.each;
        self.cells
            .copy_within(from..from + self.each, to * self.each);
    }

    /// Makes in the scratch what a key that is not in the set begins from, and says where it would go.
    fn newcomer(&mut self, limit: &Limit, now: u64) -> (Place, u64) {
        let mut time = limit.settle(self.cell(FLOOR), now);
        let way = match self.find(EMPTY) {
            Some(way) => {
                self.copy(FLOOR, SCRATCH);
                way
            }
            None => {
                let (way, reset_after) = self.idlest(limit, now);
                self.copy(FLOOR, SCRATCH);
                if reset_after > 0 {
                    let (cells, scratch) = self.cells.split_at_mut(SCRATCH * self.each);
                    limit.join(scratch, &cells[way * self.each..][..self.each]);
                    time = limit.settle(scratch, now);
                }
                way
            }
        };
        (Place::New(way), time)
    }

    /// The key that is idle first, and in how long.
    fn idlest(&mut self, limit: &Limit, now: u64) -> (usize, u64) {
        let mut best = (0, u64::MAX);
        for way in 0..WAYS {
            let cell = self.cell(way);
            let time = limit.settle(cell, now);
            let reset_after = limit.look(cell, time, 0).reset_after;
            if reset_after < best.1 {
                best = (way, reset_after);
            }
        }
        best
    }
}

/// Words of a set whose states have `each`.
const fn size(each: usize) -> usize {
    WAYS + (SCRATCH + 1) * each
}

/// The tag of a place never used.
const EMPTY: u64 = 0;
/// As in [`crate::table`].
const WAYS: usize = 8;
/// The state after the 8 of keys: what those that left had used.
const FLOOR: usize = WAYS;
/// And after that: where a newcomer's state is made.
const SCRATCH: usize = FLOOR + 1;
/// Sets made together.
const PIECE: usize = 64;
/// Bytes.
const WORD: usize = 8;

#[cfg(test)]
#[path = "limit_table_tests.rs"]
mod tests;
