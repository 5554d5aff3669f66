//! Idle connections to endpoints: one list an endpoint and thread, last in first out, so that the
//! warmest is used again and the coldest runs into its timeout.

use crate::conns::{Conns, NONE};

/// The lists of one thread, by the endpoint's slot.
#[derive(Default)]
pub(crate) struct Pools {
    lists: Vec<List>,
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
