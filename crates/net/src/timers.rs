//! Deadlines of connections: a hashed wheel with lazy re-arming.
//!
//! Moving a deadline later is one store: when the wheel reaches the old place, the connection is
//! put at the new one. Only an earlier deadline moves an entry (Varghese and Lauck 1987; the lazy
//! form is HAProxy's). A deadline is met at most two ticks (34 ms) late and never early.

use std::cell::Cell;

use crate::chunks::Chunks;

/// A wheel over small indices, one deadline each.
pub(crate) struct Wheel {
    nodes: Chunks<Node>,
    heads: Box<[u32]>,
    occupied: Box<[u64]>,
    /// The tick up to which all slots have been seen.
    at: u64,
    /// The earliest tick at which anything was armed since [`Wheel::sleep`] was asked last.
    news: Cell<u64>,
}

#[derive(Clone, Copy)]
struct Node {
    next: u32,
    prev: u32,
    /// The tick at which the wheel looks at it; 0 if it is not in the wheel.
    armed: u64,
    /// The tick at which it is due; 0 for never.
    due: u64,
}

impl Wheel {
    pub fn new(now: u64) -> Self {
        Self {
            nodes: Chunks::new(),
            heads: vec![NONE; SLOTS].into(),
            occupied: vec![0; SLOTS / 64].into(),
            at: tick(now),
            news: Cell::new(0),
        }
    }

    /// Sets the deadline of `i`, in nanoseconds.
    pub fn set(&mut self, i: u32, deadline: u64) {
        let due = tick(deadline) + 1;
        while i as usize >= self.nodes.len() {
            self.nodes.push(Node {
                next: NONE,
                prev: NONE,
                armed: 0,
                due: 0,
            });
        }
        let node = &mut self.nodes[i as usize];
        node.due = due;
        if node.armed == 0 || due < node.armed {
            self.arm(i, due);
        }
    }

    /// True if `i` has a deadline.
    pub fn is_set(&self, i: u32) -> bool {
        self.nodes.get(i as usize).is_some_and(|n| n.due != 0)
    }

    /// `i` has no deadline. Its place in the wheel stays until it is reached.
    pub fn clear(&mut self, i: u32) {
        if let Some(node) = self.nodes.get_mut(i as usize) {
            node.due = 0;
        }
    }

    /// `i` is gone: it leaves the wheel.
    pub fn remove(&mut self, i: u32) {
        if let Some(node) = self.nodes.get_mut(i as usize) {
            node.due = 0;
            self.unlink(i);
        }
    }

    /// Collects those whose deadline has passed; each loses its deadline.
    pub fn expire(&mut self, now: u64, out: &mut Vec<u32>) {
        let to = tick(now);
        if to <= self.at {
            return;
        }
        // After a long sleep every slot is seen once.
        let from = (self.at + 1).max(to.saturating_sub(SLOTS as u64 - 1));
        self.at = to;
        for t in from..=to {
            let slot = t as usize % SLOTS;
            if self.occupied[slot / 64] >> (slot % 64) & 1 == 0 {
                continue;
            }
            let mut i = self.heads[slot];
            while i != NONE {
                let Node { next, due, .. } = self.nodes[i as usize];
                self.unlink(i);
                if due != 0 && due <= to {
                    self.nodes[i as usize].due = 0;
                    out.push(i);
                } else if due != 0 {
                    self.arm(i, due);
                }
                i = next;
            }
        }
    }

    /// Milliseconds until the wheel must be looked at; -1 if it is empty.
    pub fn sleep(&self, now: u64) -> i32 {
        self.news.set(u64::MAX);
        let start = (self.at + 1) as usize % SLOTS;
        let words = self.occupied.len();
        for k in 0..=words {
            let w = (start / 64 + k) % words;
            let mut bits = self.occupied[w];
            if k == 0 {
                bits &= !0 << (start % 64);
            } else if k == words {
                bits &= !(!0 << (start % 64));
            }
            if bits != 0 {
                let slot = w * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + SLOTS - start) % SLOTS;
                let at = (self.at + 1 + ahead as u64) << TICK;
                return (at.saturating_sub(now) / 1_000_000 + 1) as i32;
            }
        }
        -1
    }

    /// The earliest moment at which anything was armed since [`Wheel::sleep`] was asked last, nanoseconds.
    pub fn soonest(&self) -> u64 {
        self.news.get().saturating_mul(1 << TICK)
    }

    fn arm(&mut self, i: u32, due: u64) {
        self.news.set(self.news.get().min(due));
        self.unlink(i);
        let t = due.clamp(self.at + 1, self.at + SLOTS as u64 - 1);
        let slot = t as usize % SLOTS;
        let head = std::mem::replace(&mut self.heads[slot], i);
        self.occupied[slot / 64] |= 1 << (slot % 64);
        if head != NONE {
            self.nodes[head as usize].prev = i;
        }
        let node = &mut self.nodes[i as usize];
        (node.next, node.prev, node.armed) = (head, NONE, t);
    }

    fn unlink(&mut self, i: u32) {
        let Node {
            next, prev, armed, ..
        } = self.nodes[i as usize];
        if armed == 0 {
            return;
        }
        if next != NONE {
            self.nodes[next as usize].prev = prev;
        }
        if prev != NONE {
            self.nodes[prev as usize].next = next;
        } else {
            let slot = armed as usize % SLOTS;
            self.heads[slot] = next;
            if next == NONE {
                self.occupied[slot / 64] &= !(1 << (slot % 64));
            }
        }
        self.nodes[i as usize].armed = 0;
    }
}

fn tick(nanos: u64) -> u64 {
    nanos >> TICK
}

/// A tick is 2^24 ns, about 17 ms.
const TICK: u32 = 24;
/// One turn of the wheel is 69 s: most deadlines fit, the others are looked at once a turn.
const SLOTS: usize = 4096;
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn expired(w: &mut Wheel, now: u64) -> Vec<u32> {
        let mut out = Vec::new();
        w.expire(now, &mut out);
        out.sort_unstable();
        out
    }

    #[test]
    fn a_deadline_is_met_late_by_two_ticks_at_most_and_never_early() {
        for delay in [0, 1, 16, 17, 100, 5_000, 60_000, 69_000, 200_000, 3_600_000] {
            let start = 12_345 * MS;
            let mut w = Wheel::new(start);
            w.set(3, start + delay * MS);
            let mut now = start;
            let met = loop {
                let sleep = w.sleep(now);
                assert!(sleep > 0, "delay {delay}: an armed wheel sleeps a while");
                now += sleep as u64 * MS;
                if expired(&mut w, now) == [3] {
                    break now;
                }
                assert!(now < start + delay * MS + 34 * MS, "delay {delay} missed");
            };
            assert!(met >= start + delay * MS, "delay {delay} met early");
            assert_eq!(w.sleep(now), -1);
        }
    }

    #[test]
    fn later_is_lazy_earlier_moves_and_removed_is_gone() {
        let mut w = Wheel::new(0);
        w.set(0, 100 * MS);
        w.set(0, 300 * MS);
        w.set(1, 300 * MS);
        w.set(1, 100 * MS);
        w.set(2, 100 * MS);
        w.remove(2);
        w.set(4, 100 * MS);
        w.clear(4);
        assert_eq!(expired(&mut w, 150 * MS), [1]);
        assert_eq!(expired(&mut w, 350 * MS), [0]);
        assert_eq!(expired(&mut w, 90_000 * MS), [0u32; 0]);
    }

    #[test]
    fn agrees_with_a_list_over_random_moves() {
        for seed in 0..20u64 {
            let mut rng = algo::Rng::new(seed);
            let mut w = Wheel::new(0);
            let mut list = vec![0u64; 50];
            let mut now = 0;
            for step in 0..2_000 {
                let i = (rng.next_u64() % 50) as usize;
                match rng.next_u64() % 8 {
                    0 => {
                        w.remove(i as u32);
                        list[i] = 0;
                    }
                    1 => {
                        now += rng.next_u64() % (400 * MS);
                        for met in expired(&mut w, now) {
                            let due = std::mem::take(&mut list[met as usize]);
                            assert!(due != 0 && due <= now, "seed {seed} step {step}: early");
                        }
                        let late = now.saturating_sub(34 * MS);
                        assert!(
                            list.iter().all(|d| *d == 0 || *d >= late),
                            "seed {seed} step {step}: late"
                        );
                    }
                    _ => {
                        list[i] = now + 1 + rng.next_u64() % (100_000 * MS);
                        w.set(i as u32, list[i]);
                    }
                }
            }
        }
    }
}
