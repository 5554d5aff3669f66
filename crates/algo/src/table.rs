//! GCRA for many keys: a bounded table that all threads of a process share.
//!
//! Set-associative, as a processor's cache: a key's hash names a set of 8 cells, and the key is in
//! one of them or in none. A cell is a 64-bit tag (the key's hash) and a TAT, 16 bytes together.
//!
//! **When the set is full.** The newcomer takes the cell with the least TAT, the key that is
//! closest to being forgotten, *and goes on from that TAT*. If it lies in the past, as it does
//! unless 8 keys of the set are in use at once, that is the same as a new cell. If not, the newcomer
//! carries the least debt of its set. From this follows, for any number of keys:
//!
//! - **No key is ever admitted more than its rate and burst.** Every write raises a TAT, so the
//!   least TAT of a set never falls. A key that leaves had the least; when it comes back it is
//!   checked against one that is no less than its own. A flood of keys resets nobody.
//! - A key in the table is not touched by others, except that it may leave once it is the idlest.
//! - What a flood of more live keys than cells can do is to make *new* keys share debts, up to
//!   refusal: all together are held to (cells) x (rate). With 65 536 cells and 5/min that takes more
//!   than 5 461 requests a second from new keys; with 100/s, 6.5 million a second.
//!
//! The idea of inheriting the least counter is Space-Saving (Metwally, Agrawal, El Abbadi 2005).
//! Two rates in one table are safe too: they never share a key's cell. But a full set makes the
//! fast one wait for the slow one's debts: give rates of very unlike windows a table each.
//!
//! Errors: only [`GcraTable::new`] fails ([`BadCapacity`]). [`GcraTable::decide`] is total.
//! Bounds: memory grows with use, in pieces of 8 KiB, up to 16 bytes a cell: a table that few keys
//!         meet stays small. A known key is decided without a lock, by one compare-and-swap; a
//!         new one under one of 64 locks, held for one look at its set.
//! Limits: two keys with the same 64-bit hash share a cell: among 10^6 live keys by chance 1 in 3·10^7.
//!         The hash is keyed, so nobody outside can search for such keys or aim at a set.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::gcra::{is_ahead, ticks, Decision, Gcra, BUSY, UNSEEN};
use crate::hash::{hash_key, reduce};

/// A bounded table of GCRA cells. See the module for what happens when it is full.
pub struct GcraTable {
    /// Pieces of [`PIECE`] sets, each made when a key first falls into it.
    pieces: Box<[OnceLock<Box<[Set]>>]>,
    sets: usize,
    /// Held while a cell changes its key; set `s` belongs to `s % STRIPES`.
    stripes: [Mutex<()>; STRIPES],
    seed: u64,
}

/// [`GcraTable::new`] was asked for no cell, or for more than [`GcraTable::MAX_CAPACITY`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadCapacity(pub usize);

impl GcraTable {
    /// At most 1 MiB. Double the number of keys expected to be in use within one window keeps full sets
    /// below 1 in 40; see [`Gcra::window`].
    pub const DEFAULT_CAPACITY: usize = 1 << 16;
    /// At most 1 GiB.
    pub const MAX_CAPACITY: usize = 1 << 26;

    /// A table of at least `capacity` cells, rounded up to a multiple of 8. `seed` must be secret
    /// and random: it keeps clients from choosing keys that meet in one set.
    pub fn new(capacity: usize, seed: u64) -> Result<Self, BadCapacity> {
        if capacity == 0 || capacity > Self::MAX_CAPACITY {
            return Err(BadCapacity(capacity));
        }
        let sets = capacity.div_ceil(WAYS);
        Ok(Self {
            pieces: (0..sets.div_ceil(PIECE)).map(|_| OnceLock::new()).collect(),
            sets,
            stripes: std::array::from_fn(|_| Mutex::new(())),
            seed,
        })
    }

    /// The hash under which this table knows a key, for [`decide`](Self::decide).
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        hash_key(self.seed, key)
    }

    /// Decides for the key with this [`hash`](Self::hash), and counts the request if it is admitted.
    /// Exact over threads: all of them together admit what one alone would.
    #[inline]
    pub fn decide(&self, key: u64, gcra: &Gcra, now: u64, cost: u64) -> Decision {
        let tag = match key ^ gcra.salt() {
            EMPTY => 1,
            tag => tag,
        };
        let index = reduce(tag, self.sets as u64) as usize;
        let known = self.pieces[index / PIECE].get().and_then(|piece| {
            let set = &piece[index % PIECE];
            let way = set.find(tag)?;
            set.charge(way, tag, gcra, now, cost)
        });
        match known {
            Some(decision) => decision,
            None => self.enter(index, tag, gcra, now, cost),
        }
    }

    /// How many cells there are.
    pub fn capacity(&self) -> usize {
        self.sets * WAYS
    }

    /// How many keys are in use at `now`, not idle again: for a metric. Reads the whole table.
    pub fn live(&self, now: u64) -> usize {
        let now = ticks(now);
        let pieces = self.pieces.iter().filter_map(OnceLock::get);
        let tats = pieces.flat_map(|piece| piece.iter().flat_map(|set| &set.tats));
        tats.map(|tat| tat.load(Ordering::Relaxed))
            .filter(|&tat| tat != UNSEEN && is_ahead(tat, now))
            .count()
    }

    /// The slow path: `tag` was not in the set, or its cell was just changing hands.
    #[cold]
    fn enter(&self, index: usize, tag: u64, gcra: &Gcra, now: u64, cost: u64) -> Decision {
        // A poisoned lock guards nothing that could be half done: see `Set::replace`.
        let stripe = self.stripes[index % STRIPES]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let piece =
            self.pieces[index / PIECE].get_or_init(|| (0..PIECE).map(|_| Set::default()).collect());
        let set = &piece[index % PIECE];
        // A round is repeated only if a known key of this set was admitted meanwhile.
        let decision = loop {
            let known = set
                .find(tag)
                .and_then(|way| set.charge(way, tag, gcra, now, cost));
            if let Some(decision) = known {
                break decision;
            }
            let (way, least) = set.idlest(ticks(now));
            let decision = gcra.check(least, now, cost);
            match decision {
                Decision::Admit { tat, .. } if tat != least => {
                    if set.replace(way, least, tag, tat) {
                        break decision;
                    }
                }
                _ => break decision,
            }
        };
        drop(stripe);
        decision
    }
}

impl fmt::Debug for GcraTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GcraTable")
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for BadCapacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a table of {} keys: must be 1 to {}",
            self.0,
            GcraTable::MAX_CAPACITY
        )
    }
}

impl std::error::Error for BadCapacity {}

/// Two cache lines: the tags to search, and the TATs.
///
/// The rules that make it exact:
/// 1. A tag changes only under the set's lock and only while its TAT is `BUSY`.
/// 2. A TAT word only rises, apart from `BUSY` in between, and that also when the cell changes
///    hands. So a compare-and-swap that succeeds proves that nothing happened since its load.
/// 3. A reader loads the TAT, *then* sees its tag there, then swaps. If the cell changed hands
///    before the tag was seen, the TAT it holds is too low: the swap fails, or a refusal that
///    rests on it would be one under the higher TAT as well.
#[repr(align(64))]
#[derive(Default)]
struct Set {
    tags: [AtomicU64; WAYS],
    tats: [AtomicU64; WAYS],
}

impl Set {
    /// All ways are looked at, without a branch: which one it will be cannot be foretold, and one
    /// branch that was costs more than eight comparisons.
    #[inline]
    fn find(&self, tag: u64) -> Option<usize> {
        let mut found = 0u32;
        for (way, t) in self.tags.iter().enumerate() {
            found |= u32::from(t.load(Ordering::Relaxed) == tag) << way;
        }
        (found != 0).then(|| found.trailing_zeros() as usize % WAYS)
    }

    /// Charges the cell if it is the tag's; `None` if it is not or is changing hands.
    #[inline]
    fn charge(&self, way: usize, tag: u64, gcra: &Gcra, now: u64, cost: u64) -> Option<Decision> {
        loop {
            // Acquire pairs with the release in `replace`: with a new TAT comes its tag.
            let tat = self.tats[way].load(Ordering::Acquire);
            if tat == BUSY || self.tags[way].load(Ordering::Relaxed) != tag {
                return None;
            }
            let decision = gcra.check(tat, now, cost);
            let Decision::Admit { tat: next, .. } = decision else {
                return Some(decision);
            };
            if next == tat {
                return Some(decision);
            }
            let swap =
                self.tats[way].compare_exchange(tat, next, Ordering::AcqRel, Ordering::Relaxed);
            if swap.is_ok() {
                return Some(decision);
            }
        }
    }

    /// The cell with the least TAT; an empty one before all. Under the lock, so none is `BUSY`.
    fn idlest(&self, now: u64) -> (usize, u64) {
        let mut best = (0, UNSEEN, i64::MAX);
        for (way, tat) in self.tats.iter().enumerate() {
            let tat = tat.load(Ordering::Acquire);
            if tat == UNSEEN {
                return (way, tat);
            }
            let debt = tat.wrapping_sub(now) as i64;
            if debt < best.2 {
                best = (way, tat, debt);
            }
        }
        (best.0, best.1)
    }

    /// Gives the cell to `tag`, if its TAT still is `old`. Under the lock.
    fn replace(&self, way: usize, old: u64, tag: u64, tat: u64) -> bool {
        let taken = self.tats[way].compare_exchange(old, BUSY, Ordering::AcqRel, Ordering::Relaxed);
        if taken.is_err() {
            return false;
        }
        self.tags[way].store(tag, Ordering::Relaxed);
        self.tats[way].store(tat, Ordering::Release);
        true
    }
}

/// The tag of a cell never used.
const EMPTY: u64 = 0;
/// At half load a set of 8 overflows in 1 of 47 cases, one of 4 in 1 of 19.
const WAYS: usize = 8;
/// Sets made together: 8 KiB.
const PIECE: usize = 64;
/// More than there are threads, so that newcomers rarely wait for each other.
const STRIPES: usize = 64;

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
