//! How many of something each key has open now: a bounded table that all threads of a process share.
//!
//! Exact over threads: of many that ask at once, no more than the limit are admitted. A key is in the table
//! while it holds one; so the table holds as many keys as hold something, never one that is gone.
//!
//! **When the table is full**, a key that holds nothing is told [`Claim::NoRoom`]; those that hold
//! something are not touched.
//!
//! Errors: none; the capacity is brought into 1 to [`QuotaTable::MAX_CAPACITY`].
//! Bounds: at most the capacity of keys, about 50 bytes each. One of 64 locks is held for one look-up in
//!         a tree of that lock's share of the keys.

use std::collections::btree_map::Entry;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::hash::mix64;

/// A bounded table of what is held. See the module for what happens when it is full.
pub struct QuotaTable {
    stripes: [Mutex<BTreeMap<u128, u32>>; STRIPES],
    keys: AtomicUsize,
    capacity: usize,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// One more is held, until [`QuotaTable::release`].
    Held,
    /// The key holds as many as it may.
    Over,
    /// The key holds none, and there is no room for another key.
    NoRoom,
}

impl QuotaTable {
    /// At most about 3 MiB.
    pub const DEFAULT_CAPACITY: usize = 1 << 16;
    /// At most about 200 MiB.
    pub const MAX_CAPACITY: usize = 1 << 22;

    /// A table for so many keys.
    pub fn new(capacity: usize) -> Self {
        Self {
            stripes: std::array::from_fn(|_| Mutex::new(BTreeMap::new())),
            keys: AtomicUsize::new(0),
            capacity: capacity.clamp(1, Self::MAX_CAPACITY),
        }
    }

    /// Claims one for a key that may hold `most`.
    pub fn claim(&self, key: u128, most: u32) -> Claim {
        let mut stripe = self.stripe(key);
        match stripe.entry(key) {
            Entry::Occupied(held) if *held.get() >= most => Claim::Over,
            Entry::Occupied(mut held) => {
                *held.get_mut() += 1;
                Claim::Held
            }
            Entry::Vacant(_) if most == 0 => Claim::Over,
            Entry::Vacant(free) => {
                let within = |n: usize| (n < self.capacity).then_some(n + 1);
                let room = self
                    .keys
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within);
                if room.is_err() {
                    return Claim::NoRoom;
                }
                free.insert(1);
                Claim::Held
            }
        }
    }

    /// Gives back one of a key's; call it once for each [`Claim::Held`].
    pub fn release(&self, key: u128) {
        let mut stripe = self.stripe(key);
        let Entry::Occupied(mut held) = stripe.entry(key) else {
            debug_assert!(false, "released more than was held");
            return;
        };
        *held.get_mut() -= 1;
        if *held.get() == 0 {
            held.remove();
            self.keys.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many a key holds.
    pub fn held(&self, key: u128) -> u32 {
        self.stripe(key).get(&key).copied().unwrap_or_default()
    }

    /// How many keys hold something.
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// How many keys there is room for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    fn stripe(&self, key: u128) -> std::sync::MutexGuard<'_, BTreeMap<u128, u32>> {
        let place = mix64(key as u64 ^ (key >> 64) as u64) as usize % STRIPES;
        // Nothing is left half done by who panics here.
        self.stripes[place]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for QuotaTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaTable")
            .field("capacity", &self.capacity)
            .field("keys", &self.keys())
            .finish_non_exhaustive()
    }
}

/// More than there are threads, so that they rarely wait for each other.
const STRIPES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_so_many_and_no_more_until_it_releases() {
        let table = QuotaTable::new(8);
        assert_eq!(table.claim(1, 0), Claim::Over);
        assert_eq!([table.claim(1, 2), table.claim(1, 2)], [Claim::Held; 2]);
        assert_eq!(table.claim(1, 2), Claim::Over);
        assert_eq!(table.claim(2, 2), Claim::Held);
        table.release(1);
        assert_eq!(table.claim(1, 2), Claim::Held);
        assert_eq!((table.held(1), table.keys()), (2, 2));
        for key in [1, 1, 2] {
            table.release(key);
        }
        assert_eq!((table.held(1), table.keys()), (0, 0));
    }

    #[test]
    fn a_full_table_takes_no_new_key_and_harms_no_known_one() {
        let table = QuotaTable::new(4);
        for key in 0..4 {
            assert_eq!(table.claim(key, 2), Claim::Held);
        }
        assert_eq!(table.claim(4, 2), Claim::NoRoom);
        assert_eq!(table.claim(3, 2), Claim::Held);
        table.release(0);
        assert_eq!(table.claim(4, 2), Claim::Held);
        assert_eq!(table.keys(), 4);
    }

    #[test]
    fn threads_together_get_what_one_would() {
        let table = QuotaTable::new(64);
        for _ in 0..20 {
            let admitted: usize = std::thread::scope(|scope| {
                let claims = (0..4).map(|_| {
                    let claim = || (0..50).filter(|_| table.claim(7, 60) == Claim::Held);
                    scope.spawn(move || claim().count())
                });
                let claims: Vec<_> = claims.collect();
                claims.into_iter().map(|c| c.join().expect("a count")).sum()
            });
            assert_eq!((admitted, table.held(7)), (60, 60));
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| (0..15).for_each(|_| table.release(7)));
                }
            });
            assert_eq!(table.keys(), 0);
        }
    }
}
