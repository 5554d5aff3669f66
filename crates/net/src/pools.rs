//! Idle connections to endpoints: one list an endpoint and thread, last in first out, so that the
//! warmest is used again and the coldest runs into its timeout.
//!
//! A connection that began with a PROXY header is in the list too, and never taken from it: only the
//! client's connection that it was made for takes it, and only under the same header. At most
//! [`MOST_BOUND`] are kept for each.

use std::collections::HashMap;

use crate::conns::{Conns, NONE};

/// The lists of one thread, by the endpoint's slot.
#[derive(Default)]
pub(crate) struct Pools {
    lists: Vec<List>,
    /// Idle connections by the token of the client's connection whose they are; the newest last.
    bound: HashMap<u64, Vec<u32>>,
}

#[derive(Clone, Copy)]
struct List {
    newest: u32,
    oldest: u32,
    len: u32,
}

impl Pools {
    /// Puts an idle connection away. Returns the one that must leave if there are more than `most`.
    pub fn put(&mut self, conns: &mut Conns, i: u32, slot: u32, most: u32) -> Option<u32> {
        if slot as usize >= self.lists.len() {
            self.lists.resize(
                slot as usize + 1,
                List {
                    newest: NONE,
                    oldest: NONE,
                    len: 0,
                },
            );
        }
        let list = &mut self.lists[slot as usize];
        let before = std::mem::replace(&mut list.newest, i);
        list.len += 1;
        if before == NONE {
            list.oldest = i;
        } else if let Some(u) = conns.up(before) {
            u.newer = i;
        }
        let full = list.len > most;
        let oldest = list.oldest;
        if let Some(u) = conns.up(i) {
            (u.older, u.newer, u.client) = (before, NONE, NONE);
        }
        full.then(|| {
            self.remove(conns, oldest, slot);
            oldest
        })
    }

    /// Takes the newest idle connection.
    pub fn take(&mut self, conns: &mut Conns, slot: u32) -> Option<u32> {
        let i = self.lists.get(slot as usize)?.newest;
        if i == NONE {
            return None;
        }
        self.remove(conns, i, slot);
        Some(i)
    }

    /// Takes a certain idle connection out.
    pub fn remove(&mut self, conns: &mut Conns, i: u32, slot: u32) {
        let Some(u) = conns.up(i) else { return };
        let (newer, older) = (u.newer, u.older);
        (u.newer, u.older) = (NONE, NONE);
        let list = &mut self.lists[slot as usize];
        list.len -= 1;
        match conns.up(newer) {
            Some(n) => n.older = older,
            None => list.newest = older,
        }
        match conns.up(older) {
            Some(o) => o.newer = newer,
            None => list.oldest = newer,
        }
        self.unbind(conns, i);
    }

    /// Keeps `i`, which is in its list, for its owner. Returns the one that must leave for it.
    pub fn bind(&mut self, conns: &mut Conns, i: u32) -> Option<u32> {
        let owner = conns.up(i)?.bound.as_ref()?.owner;
        let mine = self.bound.entry(owner).or_default();
        mine.push(i);
        if mine.len() <= MOST_BOUND {
            return None;
        }
        let oldest = mine[0];
        let slot = conns.up(oldest)?.live.slot;
        self.remove(conns, oldest, slot);
        Some(oldest)
    }

    /// Takes the newest idle connection of `owner` that began with `header`.
    pub fn take_bound(
        &mut self,
        conns: &mut Conns,
        (owner, slot): (u64, u32),
        header: &[u8],
    ) -> Option<u32> {
        let mine = self.bound.get(&owner)?;
        let fits = |i: &&u32| {
            conns.up(**i).is_some_and(|u| {
                u.live.slot == slot && u.bound.as_ref().is_some_and(|b| *b.header == *header)
            })
        };
        let i = *mine.iter().rev().find(fits)?;
        self.remove(conns, i, slot);
        Some(i)
    }

    /// Takes out all idle connections of `owner`.
    pub fn take_all(&mut self, conns: &mut Conns, owner: u64) -> Vec<u32> {
        if self.bound.is_empty() {
            return Vec::new();
        }
        let mine = self.bound.get(&owner).cloned().unwrap_or_default();
        for i in &mine {
            if let Some(slot) = conns.up(*i).map(|u| u.live.slot) {
                self.remove(conns, *i, slot);
            }
        }
        mine
    }

    fn unbind(&mut self, conns: &mut Conns, i: u32) {
        let owner = conns.up(i).and_then(|u| Some(u.bound.as_ref()?.owner));
        let Some(owner) = owner else { return };
        if let Some(mine) = self.bound.get_mut(&owner) {
            mine.retain(|other| *other != i);
            if mine.is_empty() {
                self.bound.remove(&owner);
            }
        }
    }

    /// Idle connections of a slot, newest first.
    pub fn list(&self, conns: &mut Conns, slot: u32) -> Vec<u32> {
        let mut all = Vec::new();
        let mut i = self.lists.get(slot as usize).map_or(NONE, |l| l.newest);
        while let Some(u) = conns.up(i) {
            all.push(i);
            i = u.older;
        }
        all
    }

    /// How many slots have had connections.
    pub fn slots(&self) -> u32 {
        self.lists.len() as u32
    }
}

/// Idle connections that are kept for one client's connection.
const MOST_BOUND: usize = 16;
