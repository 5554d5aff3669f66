//! A bounded waiting line: higher levels first, and within a level every flow its share.
//!
//! A level has a number of queues. A flow, told by a hash, is dealt a *hand* of them and joins the shortest, so that a
//! flow that fills all of its hand leaves others, whose hands differ, most of theirs. Queues are served by start-time
//! fair queueing: each has the virtual time at which its next item may start, the earliest goes first, and what an
//! item costs moves its queue back by as much. What was charged can be corrected once the real cost is known
//! ([`FairQueue::settle`]). With one queue a level is first come, first served.
//!
//! **When the line is full**, the newest of the longest queue of the lowest level below the newcomer's leaves; if
//! there is none, the newest of the longest queue of its own level, if that is longer than the newcomer's
//! would be. Otherwise the newcomer is refused. So neither a low level nor a heavy flow keeps others out.
//!
//! Source: P. Goyal, H. Vin, H. Cheng, "Start-time Fair Queueing" (1996); shuffle sharding and the dealing of hands
//!         as in Kubernetes API Priority and Fairness (KEP-1040); the longest queue pays, as in RFC 8290, section 4.1.2.
//! Errors: none; numbers are brought into their bounds.
//! Bounds: [`LEVELS`] levels, 1 to [`MAX_QUEUES`] queues each, hands of at most [`MAX_HAND`]. Every call looks at each
//!         queue of a level once; only [`FairQueue::remove`] looks at the items of one queue. A queue takes memory
//!         when it is first used.

use std::collections::VecDeque;

/// A bounded waiting line. See the module.
#[derive(Clone, Debug)]
pub struct FairQueue<T> {
    levels: [Level<T>; LEVELS],
    queues: usize,
    hand: usize,
    len: usize,
    last: u64,
}

/// Where an item waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// 0 is the highest.
    pub level: usize,
    /// Which of its queues.
    pub queue: usize,
}

/// What became of an item that wants to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pushed<T> {
    /// It waits under this number.
    Waits(u64),
    /// It waits under this number, and this one had to leave.
    InPlaceOf(u64, T),
    /// There is no room for it.
    Full(T),
}

#[derive(Clone, Debug)]
struct Level<T> {
    queues: Vec<Queue<T>>,
    len: usize,
    /// The start of what was served last.
    now: u64,
}

#[derive(Clone, Debug)]
struct Queue<T> {
    items: VecDeque<(u64, T)>,
    /// The virtual time at which its next item may start.
    next: u64,
}

impl<T> FairQueue<T> {
    /// A line whose levels have so many queues each.
    pub fn new(queues: usize, hand: usize) -> Self {
        let queues = queues.clamp(1, MAX_QUEUES);
        let level = || Level {
            queues: Vec::new(),
            len: 0,
            now: 0,
        };
        Self {
            levels: std::array::from_fn(|_| level()),
            queues,
            hand: hand.clamp(1, MAX_HAND.min(queues)),
            len: 0,
            last: 0,
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if none waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The queue that a flow should join now: the shortest of its hand, among equals the one that was served least.
    pub fn place(&mut self, level: usize, flow: u64) -> Place {
        let level = level.min(LEVELS - 1);
        let (queues, hand) = (self.queues, self.hand);
        let level_queues = self.levels[level].made(queues);
        let mut best = 0;
        let mut least = None;
        for at in dealt(flow, queues, hand).into_iter().take(hand) {
            let q = &level_queues[at];
            let key = (q.items.len(), q.next);
            if least.is_none_or(|l| key < l) {
                (best, least) = (at, Some(key));
            }
        }
        Place { level, queue: best }
    }

    /// How many that wait now would be served before a newcomer at this place.
    pub fn ahead(&self, place: Place) -> usize {
        let level = &self.levels[place.level];
        let own = level.queues.get(place.queue).map_or(0, |q| q.items.len());
        let higher: usize = self.levels[..place.level].iter().map(|l| l.len).sum();
        // By the time its turn has come, every queue has had as many turns as its own.
        let same: usize = level.queues.iter().map(|q| q.items.len().min(own)).sum();
        higher + same
    }

    /// Lets an item wait, if fewer than `most` do or another can leave for it.
    pub fn push(&mut self, place: Place, most: usize, item: T) -> Pushed<T> {
        let queues = self.queues;
        self.levels[place.level].made(queues);
        let mut left = None;
        if self.len >= most {
            match self.victim(place) {
                Some(of) => left = self.drop_newest(of),
                None => return Pushed::Full(item),
            }
        }
        self.last += 1;
        let level = &mut self.levels[place.level];
        let queue = &mut level.queues[place.queue];
        if queue.items.is_empty() {
            // What it did not use while nothing of it waited is gone.
            queue.next = queue.next.max(level.now);
        }
        queue.items.push_back((self.last, item));
        level.len += 1;
        self.len += 1;
        match left {
            Some(item) => Pushed::InPlaceOf(self.last, item),
            None => Pushed::Waits(self.last),
        }
    }

    /// Takes the one whose turn it is, and charges its queue.
    pub fn pop(&mut self, cost: u64) -> Option<T> {
        let level = self.levels.iter_mut().find(|l| l.len > 0)?;
        // Of equals the one with less behind it: what comes now and then need not wait for a whole round.
        let turn = |q: &Queue<T>| {
            let (id, _) = q.items.front()?;
            Some((q.next, q.items.len(), *id))
        };
        let at = (0..level.queues.len())
            .filter_map(|i| Some((turn(&level.queues[i])?, i)))
            .min()?
            .1;
        let (_, item) = level.queues[at].items.pop_front()?;
        level.charge(at, cost);
        level.len -= 1;
        self.len -= 1;
        Some(item)
    }

    /// Charges a queue for one that was served without waiting.
    pub fn charge(&mut self, place: Place, cost: u64) {
        let queues = self.queues;
        let level = &mut self.levels[place.level];
        level.made(queues);
        level.charge(place.queue, cost);
    }

    /// Corrects what a queue was charged for one item.
    pub fn settle(&mut self, place: Place, charged: u64, cost: u64) {
        let level = &mut self.levels[place.level];
        if let Some(queue) = level.queues.get_mut(place.queue) {
            let next = queue.next.saturating_sub(charged).saturating_add(cost);
            queue.next = next.max(level.now);
        }
    }

    /// Takes out one that waits; none if it does no more.
    pub fn remove(&mut self, place: Place, id: u64) -> Option<T> {
        let level = &mut self.levels[place.level];
        let items = &mut level.queues.get_mut(place.queue)?.items;
        // Numbers only grow within a queue.
        let at = items.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        let (_, item) = items.remove(at)?;
        level.len -= 1;
        self.len -= 1;
        Some(item)
    }

    /// Whose newest must leave for one at `place`.
    fn victim(&self, place: Place) -> Option<Place> {
        let below = (place.level + 1..LEVELS).rev();
        let lower = below.into_iter().find(|l| self.levels[*l].len > 0);
        if let Some(level) = lower {
            let queue = self.levels[level].longest();
            return Some(Place { level, queue });
        }
        let own = &self.levels[place.level];
        let queue = own.longest();
        let longer = own.queues[queue].items.len() > own.queues[place.queue].items.len() + 1;
        longer.then_some(Place { queue, ..place })
    }

    fn drop_newest(&mut self, place: Place) -> Option<T> {
        let level = &mut self.levels[place.level];
        let (_, item) = level.queues[place.queue].items.pop_back()?;
        level.len -= 1;
        self.len -= 1;
        Some(item)
    }
}

impl<T> Level<T> {
    fn made(&mut self, queues: usize) -> &[Queue<T>] {
        if self.queues.is_empty() {
            let queue = || Queue {
                items: VecDeque::new(),
                next: 0,
            };
            self.queues.resize_with(queues, queue);
        }
        &self.queues
    }

    fn charge(&mut self, at: usize, cost: u64) {
        let queue = &mut self.queues[at];
        let start = queue.next.max(self.now);
        self.now = start;
        queue.next = start.saturating_add(cost.max(1));
    }

    fn longest(&self) -> usize {
        let lens = self.queues.iter().map(|q| q.items.len());
        lens.enumerate()
            .max_by_key(|(at, len)| (*len, usize::MAX - at))
            .map_or(0, |(at, _)| at)
    }
}

/// A flow's hand: `hand` different queues of `queues`, each such hand as likely as any other.
fn dealt(flow: u64, queues: usize, hand: usize) -> [usize; MAX_HAND] {
    let mut left = flow;
    let mut rest = [0; MAX_HAND];
    let mut cards = [0; MAX_HAND];
    for i in 0..hand {
        let deck = (queues - i) as u64;
        rest[i] = (left % deck) as usize;
        left /= deck;
        // The card counts among those that are still in the deck.
        let mut card = rest[i];
        for j in (0..i).rev() {
            card += usize::from(card >= rest[j]);
        }
        cards[i] = card;
    }
    cards
}

/// Priorities, 0 the highest.
pub const LEVELS: usize = 4;
/// Queues of one level: so many that a hash of 64 bits deals a hand of eight.
pub const MAX_QUEUES: usize = 128;
/// Queues that one flow may use.
pub const MAX_HAND: usize = 8;

#[cfg(test)]
#[path = "fair_queue_tests.rs"]
mod tests;
