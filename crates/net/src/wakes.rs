//! Requests that wait for a key, which any thread's request may wake.

use std::collections::hash_map::Entry;

use crate::http1::Next;
use crate::shard::Shard;

impl Shard {
    /// `i` has a request that waits for `key`.
    pub fn wait_for(&mut self, key: u64, i: u32) {
        let token = self.conns.token(i);
        self.waiting.entry(key).or_default().push(token);
    }

    /// `i` waits for this key no longer.
    pub fn wait_no_more(&mut self, key: u64, i: u32) {
        let token = self.conns.token(i);
        if let Entry::Occupied(mut all) = self.waiting.entry(key) {
            all.get_mut().retain(|t| *t != token);
            if all.get().is_empty() {
                all.remove();
            }
        }
    }

    /// Wakes all that wait for `key`, here now and on other threads at the end of the tick.
    pub fn wake_key(&mut self, key: u64) {
        self.woken.push(key);
    }

    pub(crate) fn tell_woken(&mut self) {
        let keys = std::mem::take(&mut self.woken);
        self.mailbox.tell_others(&keys);
        keys.into_iter().for_each(|k| self.wake_here(k));
    }

    pub(crate) fn wake_here(&mut self, key: u64) {
        for token in self.waiting.remove(&key).unwrap_or_default() {
            let Some(i) = self.conns.of_token(token) else {
                continue;
            };
            let Some(t) = self.take(i) else {
                continue;
            };
            self.step(i, t, |shard, t| {
                shard.asks_woken(i, t, key).unwrap_or(Next::Wait)
            });
        }
    }
}
