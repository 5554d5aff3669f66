//! What belongs to consumers, spread over locks by their names: a look-up holds one of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One `T` for each share of the consumers.
pub(super) struct Stripes<T>([Mutex<T>; STRIPES]);

impl<T: Default> Default for Stripes<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

impl<T> Stripes<T> {
    /// The one that a consumer belongs to.
    pub(super) fn of(&self, consumer: &str) -> MutexGuard<'_, T> {
        let mut hasher = DefaultHasher::new();
        consumer.hash(&mut hasher);
        lock(&self.0[hasher.finish() as usize % STRIPES])
    }

    /// All, one after the other.
    pub(super) fn all(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.0.iter().map(lock)
    }
}

/// A panic while holding it left plain numbers behind.
fn lock<T>(stripe: &Mutex<T>) -> MutexGuard<'_, T> {
    stripe.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) const STRIPES: usize = 64;
