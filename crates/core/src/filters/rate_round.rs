//! How several limits decide about one request together: all of them count it, or none.
//!
//! What this process counts and what it holds leases of is decided under the locks of all keys at once, and charged only if
//! all admit. A lease that has nothing may be asked for, one limit after the other, and then all are decided again.
//!
//! When all of these admit and there are limits that are `strict`, one script decides about those, all of them at once. Until it
//! answers, what was admitted here is set aside: nobody else gets it. If the script refuses, it is given back; if it admits, it is
//! counted then. So no limit is exceeded, and a request that is refused uses up nothing.
//!
//! Bounds: all that one request waits for the store, together, is the store's `timeout`.

use algo::{Held, HeldLease, LeaseAsk, Said};
use wire::Head;

use super::rate_global::OnFail;
use super::rate_limit::unavailable;
use super::rate_limits::{told_of, MAX_LIMITS};
use super::rate_mixed::{How, Mixed, One, Share};
use super::rate_store::{key_among, key_of, store_call};
use super::rate_told::Told;
use crate::filter::{Answer, Ask, Cx, Verdict};
use crate::store::{granted, LeaseCall};
use crate::Nanos;

/// What is known of a request. Limits are numbered as in the config; in a mask each has a bit.
pub(super) struct Round {
    /// The hash of its key in each table.
    keys: [u64; MAX_LIMITS],
    cost: u64,
    /// What is told of each limit; none of those that were not asked.
    pub(super) told: [Option<Told>; MAX_LIMITS],
    /// A mask of those that refuse it.
    pub(super) refused: u8,
    /// The longest that one of them wants it to wait, nanoseconds.
    pub(super) retry: u64,
    /// A mask of leased limits that know of its wants.
    wanted: u8,
    /// A mask of those for whose leases it waited.
    waited: u8,
    /// How old the tokens are that were taken of each leased limit.
    since: [u64; MAX_LIMITS],
    /// By when the store must have answered.
    until: Nanos,
    waits: Waits,
    /// It was decided without the store, and is counted as such.
    alone: bool,
}

/// What a request waits for.
enum Waits {
    Nothing,
    /// A lease of this limit.
    Lease(usize, LeaseAsk),
    /// The script.
    Strict,
}

/// A key that is held.
#[allow(
    clippy::large_enum_variant,
    reason = "they are on the stack; a box would be an allocation for each request"
)]
enum Key<'a> {
    Local(Held<'a>),
    Lease(HeldLease<'a>, Option<LeaseAsk>),
    Share(Held<'a>),
}

impl Round {
    pub(super) fn new(mixed: &Mixed, cx: &Cx<'_>, req: &Head) -> Self {
        let mut keys = [0; MAX_LIMITS];
        for (key, limit) in keys.iter_mut().zip(&mixed.limits) {
            *key = match &limit.how {
                How::Local(tables, _) => {
                    let table = tables.of(cx.thread);
                    limit.key.hash(cx.client, req, |bytes| table.hash(bytes))
                }
                How::Leased(table) => limit.key.hash(cx.client, req, |bytes| table.hash(bytes)),
                How::Strict(_, share) => {
                    let table = &share.table;
                    limit.key.hash(cx.client, req, |bytes| table.hash(bytes))
                }
            };
        }
        let redis = cx.snapshot.config.store.redis();
        Self {
            keys,
            cost: mixed.cost.of(req),
            told: [None; MAX_LIMITS],
            refused: 0,
            retry: 0,
            wanted: 0,
            waited: 0,
            since: [0; MAX_LIMITS],
            until: cx
                .now
                .saturating_add(redis.map_or(0, |r| r.timeout.nanos())),
            waits: Waits::Nothing,
            alone: false,
        }
    }

    /// Notes what a limit says, with times in nanoseconds.
    fn note(&mut self, i: usize, said: Said, told: Told, reset_after: u64) {
        self.told[i] = Some(told);
        let retry = match said {
            Said::Admit => return,
            Said::Refuse { retry_after } => retry_after,
            // Only because of what others set aside, for a moment.
            Said::Never => reset_after.min(MOMENT),
        };
        self.refused |= 1 << i;
        self.retry = self.retry.max(retry);
    }

    /// Of a node's share, in which costs are as many times higher as there are nodes.
    fn note_share(&mut self, i: usize, share: &Share, held: &mut Held<'_>, nodes: u64) {
        let answer = held.look(share.cost(self.cost, nodes));
        let told = share.told(&answer, nodes);
        self.note(i, answer.said, told, answer.reset_after);
    }
}

impl Share {
    /// What a request is looked at with: a share that is too small for it admits it when it is whole.
    fn cost(&self, cost: u64, nodes: u64) -> u64 {
        cost.saturating_mul(nodes).min(self.table.limit().quota())
    }

    fn told(&self, answer: &algo::Answer, nodes: u64) -> Told {
        let more = match answer.more_after {
            0 => 0,
            _ => self.interval.saturating_mul(nodes),
        };
        Told::of(answer.remaining / nodes, more, answer.reset_after)
    }
}

impl Mixed {
    /// By all that is counted here; then the store is asked about the rest.
    pub(super) fn decide(&self, cx: &mut Cx<'_>, req: &Head, mut round: Round) -> Verdict {
        let (up, nodes) = (self.store.is_up(), self.store.nodes());
        if !up {
            self.fell_back(&mut round);
            if self.strict.is_some() && self.on_fail == OnFail::Closed {
                return unavailable();
            }
        }
        (round.refused, round.retry) = (0, 0);
        let mut all: [Option<Key<'_>>; MAX_LIMITS] = [const { None }; MAX_LIMITS];
        // Leased limits that refuse it only because they have nothing yet.
        let mut hopes = 0u8;
        for (i, limit) in self.limits.iter().enumerate() {
            let key = round.keys[i];
            all[i] = match &limit.how {
                How::Local(tables, reserved) => {
                    let mut held = tables.of(cx.thread).hold(key, cx.now);
                    let before = match self.strict {
                        Some(_) => reserved.of((tables.which(cx.thread), key)),
                        None => 0,
                    };
                    let answer = held.look(round.cost.saturating_add(before));
                    round.note(i, answer.said, told_of(&answer), answer.reset_after);
                    Some(Key::Local(held))
                }
                How::Leased(table) => {
                    let mut held = table.hold(key, cx.now, nodes, up);
                    round.since[i] = held.since();
                    let decision = held.look(round.cost, round.wanted & (1 << i) != 0);
                    let answer = decision.answer;
                    round.note(i, answer.said, told_of(&answer), answer.reset_after);
                    if decision.wait && round.waited & (1 << i) == 0 {
                        hopes |= 1 << i;
                    }
                    Some(Key::Lease(held, decision.ask))
                }
                How::Strict(..) if up => None,
                How::Strict(..) if self.on_fail == OnFail::Open => None,
                How::Strict(_, share) => {
                    let mut held = share.table.hold(key, cx.now);
                    round.note_share(i, share, &mut held, nodes);
                    Some(Key::Share(held))
                }
            };
        }
        if round.refused != 0 {
            return self.refused(cx, req, round, all, hopes);
        }
        let asks_store = up && self.strict.is_some();
        for (i, held) in all.into_iter().enumerate() {
            match held {
                Some(Key::Local(held)) if asks_store => self.reserve(cx, &round, i, held),
                Some(Key::Local(held)) => held.charge(round.cost),
                Some(Key::Lease(held, ask)) => {
                    held.keep();
                    round.wanted |= 1 << i;
                    if let Some(ask) = ask {
                        self.lease(cx, req, (&round, i), ask);
                    }
                }
                Some(Key::Share(mut held)) => held.owe(round.cost.saturating_mul(nodes)),
                None => {}
            }
        }
        match asks_store {
            true => self.ask(cx, req, round),
            false => self.pass(cx, round.told),
        }
    }

    /// What becomes of a request that is refused here: nothing is charged. It waits if there is hope in all that refuse it.
    fn refused(
        &self,
        cx: &mut Cx<'_>,
        req: &Head,
        mut round: Round,
        all: [Option<Key<'_>>; MAX_LIMITS],
        hopes: u8,
    ) -> Verdict {
        let (up, nodes) = (self.store.is_up(), self.store.nodes());
        let mut asks = [None; MAX_LIMITS];
        for (i, held) in all.into_iter().enumerate() {
            let refuses = round.refused & (1 << i) != 0;
            match held {
                Some(Key::Lease(held, ask)) if refuses => {
                    held.keep();
                    round.wanted |= 1 << i;
                    asks[i] = ask;
                }
                Some(Key::Lease(mut held, _)) => {
                    round.told[i] = Some(told_of(&held.look(0, true).answer));
                }
                // Those that would have admitted it say what is left without it.
                Some(Key::Local(mut held)) => round.told[i] = Some(told_of(&held.look(0))),
                Some(Key::Share(mut held)) => {
                    if let How::Strict(_, share) = &self.limits[i].how {
                        round.told[i] = Some(share.told(&held.look(0), nodes));
                    }
                }
                None => {}
            }
        }
        let left = round.until.saturating_sub(cx.now);
        let first = (0..MAX_LIMITS).find(|i| hopes & (1 << i) != 0);
        let waits = first.filter(|_| hopes == round.refused && (round.waited == 0 || left > 0));
        for (i, ask) in asks.iter().enumerate() {
            if let Some(ask) = ask.filter(|_| waits != Some(i)) {
                self.lease(cx, req, (&round, i), ask);
            }
        }
        if let Some((i, ask)) = waits.and_then(|i| Some((i, asks[i]?))) {
            round.waited |= 1 << i;
            round.waits = Waits::Lease(i, ask);
            let Some(mut call) = self.lease_call(cx, req, (&round, i), ask) else {
                return unavailable();
            };
            call.call.timeout = left;
            cx.slot.any = Some(Box::new(round));
            return Verdict::Ask(Ask::Store(Box::new(call.call)));
        }
        let leased = |limit: &One| matches!(limit.how, How::Leased(_));
        let mut refusing = self.limits.iter().enumerate();
        if !up && self.on_fail == OnFail::Closed {
            // What is closed for want of a store is no limit that was reached.
            if refusing.any(|(i, limit)| round.refused & (1 << i) != 0 && leased(limit)) {
                return unavailable();
            }
        }
        self.refuse(&round)
    }

    /// The answer of the store.
    pub(super) fn answered(&self, cx: &mut Cx<'_>, req: &Head, a: Answer<'_>) -> Verdict {
        let any = cx.slot.any.take();
        let Some(mut round) = any.and_then(|any| any.downcast::<Round>().ok()) else {
            return unavailable();
        };
        let values = match a {
            Answer::Store(values) => Some(values),
            _ => None,
        };
        match std::mem::replace(&mut round.waits, Waits::Nothing) {
            Waits::Nothing => unavailable(),
            Waits::Lease(i, ask) => {
                if let How::Leased(table) = &self.limits[i].how {
                    let key = round.keys[i];
                    match values.and_then(granted) {
                        Some((granted, reset_after)) => {
                            table.granted(key, cx.now, &ask, granted, reset_after);
                        }
                        None => {
                            self.fell_back(&mut round);
                            table.failed(key, cx.now, self.store.nodes());
                        }
                    }
                }
                self.decide(cx, req, *round)
            }
            Waits::Strict => {
                round.waits = Waits::Strict;
                match values.and_then(|values| self.read(&mut round, values)) {
                    Some(()) => {}
                    None => {
                        self.fell_back(&mut round);
                        if self.on_fail == OnFail::Closed {
                            self.give_back(cx, &mut round);
                            return unavailable();
                        }
                        self.without_store(cx, &mut round);
                    }
                }
                if round.refused != 0 {
                    self.give_back(cx, &mut round);
                    return self.refuse(&round);
                }
                self.commit(cx, &mut round);
                self.pass(cx, round.told)
            }
        }
    }

    /// What the script said of each limit.
    fn read(&self, round: &mut Round, values: &[i64]) -> Option<()> {
        let mut rest = values;
        let mut all = [const { None }; MAX_LIMITS];
        for (all, limit) in all.iter_mut().zip(&self.limits) {
            if let How::Strict(script, _) = &limit.how {
                let (own, others) = rest.split_at_checked(script.answers())?;
                *all = Some(script.read(own, round.cost)?);
                rest = others;
            }
        }
        if !rest.is_empty() {
            return None;
        }
        for (i, stored) in all.into_iter().enumerate() {
            let Some(stored) = stored else { continue };
            round.told[i] = Some(Told::of(stored.left, stored.more, stored.reset));
            if !stored.admits {
                round.refused |= 1 << i;
                round.retry = round.retry.max(stored.retry);
            }
        }
        Some(())
    }

    /// Decides by this node's shares, all or none of them.
    fn without_store(&self, cx: &Cx<'_>, round: &mut Round) {
        if self.on_fail == OnFail::Open {
            return;
        }
        let nodes = self.store.nodes();
        let mut all: [Option<(&Share, Held<'_>)>; MAX_LIMITS] = [const { None }; MAX_LIMITS];
        for (i, limit) in self.limits.iter().enumerate() {
            if let How::Strict(_, share) = &limit.how {
                let mut held = share.table.hold(round.keys[i], cx.now);
                round.note_share(i, share, &mut held, nodes);
                all[i] = Some((share, held));
            }
        }
        for (told, held) in round.told.iter_mut().zip(&mut all) {
            let Some((share, held)) = held else { continue };
            match round.refused {
                0 => held.owe(round.cost.saturating_mul(nodes)),
                _ => *told = Some(share.told(&held.look(0), nodes)),
            }
        }
    }

    /// Counts a request once that is decided without the store.
    fn fell_back(&self, round: &mut Round) {
        if !std::mem::replace(&mut round.alone, true) {
            self.store.fell_back();
        }
    }

    /// Sets aside what the limit at `i` admitted.
    fn reserve(&self, cx: &Cx<'_>, round: &Round, i: usize, held: Held<'_>) {
        if let How::Local(tables, reserved) = &self.limits[i].how {
            reserved.add((tables.which(cx.thread), round.keys[i]), round.cost);
        }
        drop(held);
    }

    /// Counts what was set aside.
    fn commit(&self, cx: &Cx<'_>, round: &mut Round) {
        for (i, limit) in self.limits.iter().enumerate() {
            if let How::Local(tables, reserved) = &limit.how {
                let key = (tables.which(cx.thread), round.keys[i]);
                let mut held = tables.of(cx.thread).hold(round.keys[i], cx.now);
                reserved.remove(key, round.cost);
                held.owe(round.cost);
                round.told[i] = Some(told_of(&held.look(reserved.of(key))));
            }
        }
    }

    /// Gives back what was set aside, and what was taken of leases, for a request that waits for the script.
    pub(super) fn give_back(&self, cx: &Cx<'_>, round: &mut Round) {
        if !matches!(round.waits, Waits::Strict) {
            return;
        }
        round.waits = Waits::Nothing;
        let (up, nodes) = (self.store.is_up(), self.store.nodes());
        for (i, limit) in self.limits.iter().enumerate() {
            let key = round.keys[i];
            match &limit.how {
                How::Local(tables, reserved) => {
                    let place = (tables.which(cx.thread), key);
                    let mut held = tables.of(cx.thread).hold(key, cx.now);
                    reserved.remove(place, round.cost);
                    round.told[i] = Some(told_of(&held.look(reserved.of(place))));
                }
                How::Leased(table) => {
                    table.give_back(key, cx.now, round.cost, round.since[i]);
                    let mut held = table.hold(key, cx.now, nodes, up);
                    round.told[i] = Some(told_of(&held.look(0, true).answer));
                }
                How::Strict(..) => {}
            }
        }
    }

    /// Asks the store about all limits that it counts, at once.
    fn ask(&self, cx: &mut Cx<'_>, req: &Head, mut round: Round) -> Verdict {
        let redis = cx.snapshot.config.store.redis();
        let prefix = redis.map_or("", |r| &*r.prefix);
        let (mut keys, mut args) = (Vec::new(), vec![round.cost as i64]);
        for limit in &self.limits {
            if let (How::Strict(script, _), Some(together)) = (&limit.how, &self.strict) {
                let place = (&together.identity, &together.common);
                let own = (&limit.identity, &limit.key);
                keys.push(key_among(prefix, place, own, cx.client, req));
                args.extend(script.among_several());
            }
        }
        let first = keys.remove(0);
        let mut call = store_call(cx, "several", first, args);
        call.more = keys;
        call.timeout = round.until.saturating_sub(cx.now);
        round.waits = Waits::Strict;
        cx.slot.any = Some(Box::new(round));
        Verdict::Ask(Ask::Store(Box::new(call)))
    }

    fn lease_call(
        &self,
        cx: &Cx<'_>,
        req: &Head,
        (round, i): (&Round, usize),
        ask: LeaseAsk,
    ) -> Option<LeaseCall> {
        let limit = &self.limits[i];
        let How::Leased(table) = &limit.how else {
            return None;
        };
        let redis = cx.snapshot.config.store.redis();
        let prefix = redis.map_or("", |r| &*r.prefix);
        let key = key_of(prefix, &limit.identity, &limit.key, cx.client, req);
        let args = table.lease().arguments(&ask).to_vec();
        Some(LeaseCall {
            call: store_call(cx, "gcra", key, args),
            table: table.clone(),
            key: round.keys[i],
            ask,
            store: self.store.clone(),
        })
    }

    /// Sends an ask of a lease, for which nobody waits.
    fn lease(&self, cx: &mut Cx<'_>, req: &Head, of: (&Round, usize), ask: LeaseAsk) {
        if let Some(call) = self.lease_call(cx, req, of, ask) {
            cx.lease(call);
        }
    }
}

/// Nanoseconds: as long as a store may take.
const MOMENT: u64 = 1_000_000_000;
