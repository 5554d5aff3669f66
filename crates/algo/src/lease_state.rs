//! What one node knows of one key of a [`Lease`], and the steps on it.

use crate::hash::mix64;
use crate::lease::{whole, Fallback, Lease, LeaseAsk, MS};
use crate::limit::{Answer, Said, MAX_BACK};

mod floor;

pub(crate) use floor::Floor;

/// A key at one node. Times are nanoseconds; tokens are counted in whole ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseState {
    /// The latest time seen.
    at: i64,
    /// The store's TAT, as it was last told, in this node's time. Nothing of it was ever heard: long ago.
    tat: i64,
    /// Tokens granted, the older ones first: those of each were asked for within half a `hold` of each other.
    credit: [Batch; 2],
    /// Admitted, and not charged yet.
    debt: i64,
    /// What asks under way charge.
    flight: i64,
    /// How many are under way.
    asking: u8,
    asked_at: i64,
    /// When `tat` was told.
    told_at: i64,
    /// The TAT of asks.
    pace: i64,
    /// Tokens that were wanted since the last ask.
    wanted: i64,
    /// Wanted in an ask's interval, in 1/256 tokens.
    demand: i64,
    /// The store did not answer: the node is on its own.
    pub(crate) alone: bool,
    /// A TAT of this node's share of the rate, while it is alone.
    own: i64,
    failures: u8,
}

#[derive(Clone, Copy, Debug)]
struct Batch {
    tokens: i64,
    since: i64,
}

/// What a request is told, and what is to be asked because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseDecision {
    /// For the request and the fields of its response. What is left is what the node thinks is left over all nodes.
    pub answer: Answer,
    /// To be sent to the store, without waiting for it. From then on an answer or a failure is owed.
    pub ask: Option<LeaseAsk>,
    /// The request is refused only because this node has nothing yet, and `ask` says whether there is: who waits for its
    /// answer and decides again has the store's own word. Waiting is never needed for the bound.
    pub wait: bool,
    /// The store is gone, or did not answer the last ask for this key: it was decided as the [`Fallback`] says.
    pub alone: bool,
}

impl LeaseState {
    /// A key of which nothing is known.
    pub(crate) const NEW: Self = Self {
        at: 0,
        tat: NEVER,
        credit: [Batch::NONE; 2],
        debt: 0,
        flight: 0,
        asking: 0,
        asked_at: NEVER,
        told_at: NEVER,
        pace: NEVER,
        wanted: 0,
        demand: 0,
        alone: false,
        own: NEVER,
        failures: 0,
    };

    /// Brings a state to `now`.
    pub(crate) fn settle(&mut self, now: i64) {
        let behind = self.at - now;
        if behind > MAX_BACK as i64 {
            self.shift(-behind);
        }
        self.at = self.at.max(now);
    }

    /// What was granted too long ago is gone. Leaves the store if it is not there, or did not answer for too long.
    pub(crate) fn look_around(&mut self, lease: &Lease, nodes: u64, up: bool) {
        // The last tokens last longer: a node with little traffic would lose most of each slice.
        let mut last = lease.kept(nodes) as i64;
        for batch in self.credit.iter_mut().rev() {
            let age = self.at.saturating_sub(batch.since);
            if age > lease.hold() as i64 {
                batch.tokens = match age > lease.keep() {
                    true => 0,
                    false => batch.tokens.min(last),
                };
            }
            last = (last - batch.tokens).max(0);
        }
        if self.asking > 0 && self.at.saturating_sub(self.asked_at) > Lease::PATIENCE as i64 {
            self.asking = 0;
            self.fail(lease, nodes);
        }
        if !up && !self.alone {
            self.leave(lease, nodes);
        }
    }

    /// Decides for a request of a cost no higher than the burst, and counts it if it is admitted.
    pub(crate) fn decide(&mut self, lease: &Lease, want: Want) -> LeaseDecision {
        let Want {
            cost, nodes, up, ..
        } = want;
        if !want.again {
            self.wanted = self.wanted.saturating_add(cost).min(MOST_WANTED);
        }
        let credit = self.credit();
        let missing = (cost - credit).max(0);
        let admits = missing == 0 || self.borrows(lease, missing, nodes);
        if admits {
            self.spend(cost - missing);
        }
        let ask = match up {
            true => self.ask(lease, cost, admits, want),
            false => None,
        };
        let wait = !admits && !self.alone && ask.is_some_and(|ask| ask.most > 0);
        LeaseDecision {
            answer: self.answer(lease, cost, admits, nodes),
            ask,
            wait,
            alone: self.alone,
        }
    }

    /// The answer of an ask: so many were granted, and so far ahead of the store's clock its TAT is.
    pub(crate) fn granted(
        &mut self,
        lease: &Lease,
        ask: &LeaseAsk,
        granted: i64,
        reset_after: i64,
    ) {
        if self.asking == 0 {
            return;
        }
        let since = ask.at as i64;
        self.asking -= 1;
        self.flight -= (ask.charge as i64).min(self.flight);
        self.failures = 0;
        self.alone = false;
        let tat = self.at.saturating_add(reset_after);
        // Another answer since this was asked for may be the newer one.
        self.tat = match self.told_at > since {
            true => tat.max(self.tat),
            false => tat,
        };
        self.told_at = self.at;
        if granted <= 0 {
            return;
        }
        let [older, newer] = &mut self.credit;
        if newer.tokens > 0 && since - newer.since > lease.hold() as i64 / 2 {
            // The older ones are of more than a hold ago by now.
            *older = *newer;
            newer.tokens = 0;
        }
        if newer.tokens == 0 {
            newer.since = since;
        }
        newer.since = newer.since.min(since);
        newer.tokens = newer.tokens.saturating_add(granted);
        if granted >= FULL_SLICE {
            // Large slices may follow each other faster: there are few of them for each request.
            self.pace -= INTERVAL - INTERVAL / 8;
        }
    }

    /// An ask failed, or its answer is late: what was granted is lost, and what was charged is charged again.
    pub(crate) fn failed(&mut self, lease: &Lease, nodes: u64) {
        if self.asking > 0 {
            self.asking -= 1;
            self.fail(lease, nodes);
        }
    }

    fn fail(&mut self, lease: &Lease, nodes: u64) {
        self.failures = self.failures.saturating_add(1);
        self.leave(lease, nodes);
        let wait = (INTERVAL << self.failures.min(8)).min(Lease::BACK_OFF as i64);
        self.pace = self.at + wait + TOLERANCE;
    }

    /// How much would be lost if this key left: the least goes first.
    pub(crate) fn weight(&self, lease: &Lease) -> (bool, bool, i64) {
        let used = self.tat.max(self.own);
        let ahead = used.saturating_sub(self.at.saturating_sub(lease.span()));
        (self.debt + self.flight > 0, self.credit() > 0, ahead)
    }

    /// A node's share of the time of one token.
    fn own_interval(lease: &Lease, nodes: u64) -> i64 {
        lease.interval().saturating_mul(whole(nodes))
    }

    fn credit(&self) -> i64 {
        self.credit[0].tokens + self.credit[1].tokens
    }

    /// How old the tokens are at most that the next request takes.
    pub(crate) fn since(&self) -> i64 {
        let first = self.credit.iter().find(|batch| batch.tokens > 0);
        first.map_or(self.at, |batch| batch.since)
    }

    /// A request that took tokens `since` this old is refused after all. What is owed is owed no more; what the store was
    /// told of is credit again, for as long as it would have been. What a node took alone of its share is not given back.
    pub(crate) fn give_back(&mut self, tokens: i64, since: i64) {
        if self.alone {
            return;
        }
        let owed = tokens.min(self.debt);
        self.debt -= owed;
        if owed == tokens {
            return;
        }
        let [older, newer] = &mut self.credit;
        let first = match older.tokens {
            0 => since,
            _ => since.min(older.since),
        };
        older.since = match newer.tokens {
            0 => first,
            _ => first.min(newer.since),
        };
        older.tokens = older.tokens.saturating_add(tokens - owed);
    }

    fn spend(&mut self, mut tokens: i64) {
        for batch in &mut self.credit {
            let some = tokens.min(batch.tokens);
            batch.tokens -= some;
            tokens -= some;
        }
    }

    /// Admits without credit, if the node's share allows it.
    fn borrows(&mut self, lease: &Lease, missing: i64, nodes: u64) -> bool {
        let opening = lease.opening(nodes) as i64;
        if !self.alone {
            let admits = self.debt + self.flight + missing <= self.share(lease, nodes);
            if admits {
                self.debt += missing;
            }
            return admits;
        }
        let each = Self::own_interval(lease, nodes);
        let next = self
            .own
            .max(self.at)
            .saturating_add(each.saturating_mul(missing));
        let last = self.at.saturating_add(each.saturating_mul(opening));
        let admits = match lease.fallback() {
            Fallback::FairShare => next <= last,
            Fallback::Open => true,
            Fallback::Closed => false,
        };
        if admits {
            self.own = next.min(last);
            self.debt = (self.debt + missing).min(opening);
        }
        admits
    }

    /// What may be admitted without credit: what the store would have now if nobody else took any, over the nodes. With
    /// more nodes than burst it takes the time of as many tokens as there are nodes before one may be.
    fn share(&self, lease: &Lease, nodes: u64) -> i64 {
        let each = Self::own_interval(lease, nodes);
        let room = lease
            .span()
            .saturating_sub(self.tat.saturating_sub(self.at));
        room.max(0).min(lease.span().max(each)) / each
    }

    /// What the store would have now for a grant, if nobody else took any.
    fn room(&self, lease: &Lease) -> i64 {
        let ahead = self.tat.saturating_sub(self.at).max(0);
        (lease.capacity() - ahead).max(0) / lease.interval()
    }

    fn leave(&mut self, lease: &Lease, nodes: u64) {
        let opening = lease.opening(nodes) as i64;
        let each = Self::own_interval(lease, nodes);
        self.debt = (self.debt + self.flight).min(opening);
        self.flight = 0;
        if !self.alone {
            self.alone = true;
            // What the store had charged is over all nodes: of that this node has its share.
            let charged = self.tat.saturating_sub(self.at).max(0);
            let owed = each.saturating_mul(self.debt).max(charged);
            let most = each.saturating_mul(opening);
            self.own = self.own.max(self.at.saturating_add(owed.min(most)));
        }
    }

    /// Asks, if it is time to and there is a reason.
    fn ask(&mut self, lease: &Lease, cost: i64, admits: bool, want: Want) -> Option<LeaseAsk> {
        // One is under way at a time; requests that have nothing to live on may add a few.
        let under_way = match admits || self.alone {
            true => 1,
            false => MOST_ASKS,
        };
        if self.asking >= under_way || self.at < self.pace.saturating_sub(TOLERANCE) {
            return None;
        }
        let demand = self.demand();
        let owed = self.debt + self.flight;
        let free = self.share(lease, want.nodes) - owed;
        // Far from the limit what is owed can be told later, and nothing need be granted. Not so late that the store would have
        // taken much of a burst for unused meanwhile.
        let opening = lease.opening(want.nodes) as i64;
        let soon = (demand * 4) >> FRACTION;
        let quiet = self.at.saturating_sub(self.asked_at) < QUIET;
        if quiet && admits && !self.alone && free >= soon.max(cost).max(opening - opening / 8) {
            return None;
        }
        // Half an interval: longer than an answer takes.
        let low = demand >> (FRACTION + 1);
        let room = (self.room(lease) - owed).max(0);
        let credit = self.credit();
        let lacks = credit < low || credit + free < cost;
        let least = match admits {
            true => 1,
            false => cost - credit,
        };
        let takes = (!admits || lacks) && room >= least;
        if !takes && self.debt == 0 && !self.alone {
            return None;
        }
        // More than is wanted soon, if the store had plenty when it was last heard: that saves calls.
        let told =
            (lease.capacity() - self.tat.saturating_sub(self.told_at).max(0)) / lease.interval();
        let several = whole(want.nodes) * 2;
        let spare = (room.min(told.max(0)) + several - 1) / several;
        let target = ((demand * 3) >> (FRACTION + 1)).max(spare.min(lease.kept(want.nodes) as i64));
        let most = match room >= least {
            true => (target - credit)
                .max(least)
                .min(lease.capacity() / lease.interval()),
            false => 0,
        };
        let charge = std::mem::take(&mut self.debt);
        self.asking += 1;
        self.flight += charge;
        // Of a node with few requests an ask counts as up to four.
        let few = ((ENOUGH << FRACTION) / demand.max(1)).clamp(1, 4);
        self.demand = demand;
        self.wanted = 0;
        self.asked_at = self.at;
        // A quarter more or less, or nodes that ask in step would always share alike.
        let jitter = (mix64(want.tag ^ self.at as u64) % (INTERVAL as u64 / 2)) as i64;
        self.pace = self.pace.max(self.at) + few * INTERVAL - INTERVAL / 4 + jitter;
        Some(lease.ask(self.at, least, most, charge, want.nodes))
    }

    /// What is wanted in an ask's interval, with what came since the last.
    fn demand(&self) -> i64 {
        let elapsed = self.at.saturating_sub(self.asked_at);
        if self.asked_at == NEVER || elapsed < INTERVAL / 4 {
            return self.demand;
        }
        let seen = match self.wanted.checked_mul(INTERVAL << FRACTION) {
            Some(product) => product / elapsed,
            // More than 7 * 10^8 tokens at once. A division of 128 bits costs as much as all else here.
            None => {
                let product = i128::from(self.wanted) * i128::from(INTERVAL << FRACTION);
                (product / i128::from(elapsed)).min(i128::from(MOST_WANTED)) as i64
            }
        };
        let seen = seen.min(MOST_WANTED);
        match elapsed > 8 * INTERVAL {
            true => seen,
            false => seen.max((self.demand + seen) / 2),
        }
    }

    /// What is told of a request of `cost` that was decided so.
    pub(crate) fn answer(&self, lease: &Lease, cost: i64, admits: bool, nodes: u64) -> Answer {
        let each = lease.interval();
        let ahead = if self.alone {
            let opening = lease.opening(nodes) as i64;
            let each = Self::own_interval(lease, nodes);
            let unused = each.saturating_mul(opening) - self.own.saturating_sub(self.at).max(0);
            lease.span() - (unused.max(0) / each + self.credit()).saturating_mul(lease.interval())
        } else {
            let unsure = self.debt + self.flight - self.credit();
            self.tat.saturating_sub(self.at).max(0) + unsure.saturating_mul(each)
        };
        let ahead = ahead.clamp(0, lease.span());
        let mut remaining = (lease.span() - ahead) / each;
        let said = match admits {
            true => Said::Admit,
            false => {
                remaining = remaining.min(cost - 1);
                let retry_after = self.retry_after(lease, cost, nodes).max(1) as u64;
                Said::Refuse { retry_after }
            }
        };
        let more = ahead - (lease.burst() as i64 - remaining - 1).saturating_mul(each);
        let more_after = match remaining < lease.burst() as i64 {
            true => more.max(1) as u64,
            false => 0,
        };
        Answer {
            said,
            remaining: remaining as u64,
            more_after,
            reset_after: ahead as u64,
        }
    }

    /// When a request that is refused now may come again.
    fn retry_after(&self, lease: &Lease, cost: i64, nodes: u64) -> i64 {
        let missing = cost - self.credit();
        if self.alone {
            if lease.fallback() != Fallback::FairShare {
                return Lease::BACK_OFF as i64;
            }
            let each = Self::own_interval(lease, nodes);
            let wait =
                self.own.max(self.at) - self.at - each.saturating_mul(lease.opening(nodes) as i64);
            // More than its share it can only get from the store.
            return (wait + each.saturating_mul(missing)).max(MS);
        }
        let owed = (self.debt + self.flight + missing).saturating_mul(lease.interval());
        let wait = self.tat.saturating_sub(self.at).max(0) + owed - lease.capacity();
        // The store has it, by what is known: in a moment the node knows.
        let soon = (self.pace - TOLERANCE - self.at).max(MS);
        wait.max(soon)
    }

    /// Moves all times.
    fn shift(&mut self, by: i64) {
        let [older, newer] = &mut self.credit;
        for time in [
            &mut self.at,
            &mut self.tat,
            &mut self.asked_at,
            &mut self.told_at,
            &mut self.pace,
            &mut self.own,
            &mut older.since,
            &mut newer.since,
        ] {
            if *time != NEVER {
                *time = time.saturating_add(by);
            }
        }
    }
}

/// A request, for [`LeaseState::decide`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    pub cost: i64,
    pub nodes: u64,
    /// Whether the store is thought to be there.
    pub up: bool,
    /// Whether it was decided before, and waited.
    pub again: bool,
    pub tag: u64,
}

impl Batch {
    const NONE: Self = Self {
        tokens: 0,
        since: NEVER,
    };
}

/// Before all times; sums with it do not wrap.
const NEVER: i64 = i64::MIN / 4;
const INTERVAL: i64 = Lease::INTERVAL as i64;
/// By how much asks may come before their pace: five at once, if each is for one request.
const TOLERANCE: i64 = 20 * INTERVAL;
/// The longest without an ask of a key that is in use: 1 s.
const QUIET: i64 = 20 * INTERVAL;
/// Requests for which one call of the store is little.
const ENOUGH: i64 = 25;
/// Tokens for which one call of the store is little.
const FULL_SLICE: i64 = 32;
/// Bits of a demand that are a fraction.
const FRACTION: u32 = 8;
/// Of one key, under way at a time.
const MOST_ASKS: u8 = 4;
const MOST_WANTED: i64 = 1 << 50;
