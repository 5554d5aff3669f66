//! Carries out what the engine says: its steps, its asks, and the replies of the gateway itself.

use gateway_core::body::Side;
use gateway_core::engine::{Effect, Step};
use gateway_core::filter::{Answer, Ask, AskId, Failed, Who};
use gateway_core::reply::Reply;
use wire::{Framing, Method, Name};

use super::body::Writer;
use super::drive::Next;
use super::txn::{Collect, Pending, Stage, Txn, Until};
use crate::conns::NONE;
use crate::poll::Moved;
use crate::shard::{env, Shard};

impl Shard {
    /// Takes a request as far as it goes without waiting.
    pub(crate) fn apply(&mut self, i: u32, t: &mut Txn, mut step: Step) -> Next {
        loop {
            if t.run.has_effects() {
                if let Some(then) = self.effects(i, t) {
                    step = then;
                }
            }
            match step {
                Step::Wait => {
                    let asks = t.up == NONE || t.flags.headed;
                    if asks {
                        t.stage = Stage::Asking;
                    }
                    self.ask_timer(i, t);
                    if asks {
                        return Next::Again;
                    }
                    // A forward is on its way while a filter waits for something else.
                    return Next::Wait;
                }
                Step::Forward(id) => {
                    t.forward = id;
                    if t.run.acts.deadline() != u64::MAX {
                        self.wheel.set(i, t.run.acts.deadline());
                    }
                    if self.may_be_local(i, t) {
                        if let Some(next) = self.begin_local(i, t, id) {
                            return next;
                        }
                    }
                    t.run.announce(id);
                    let choice = t.run.choose(&mut env!(self), id);
                    match self.connect(i, t, choice) {
                        Ok(()) => return Next::Again,
                        Err(failure) => step = t.run.failed(&mut env!(self), id, failure),
                    }
                }
                Step::Respond(_) => return self.begin_response(i, t),
                Step::Reply => return self.begin_reply(i, t),
            }
        }
    }

    /// Replies without the engine: to a request that has no route, or never got so far.
    pub(crate) fn reply(&mut self, i: u32, t: &mut Txn, reply: &Reply) -> Next {
        let step = t.run.refuse(reply);
        self.apply(i, t, step)
    }

    /// Carries out effects. Some asks are answered at once; the step that follows is returned.
    fn effects(&mut self, i: u32, t: &mut Txn) -> Option<Step> {
        let mut then = None;
        while let Some(effect) = t.run.next_effect() {
            let step = match effect {
                Effect::Start { id, ask, .. } => self.start(i, t, id, ask),
                Effect::Cancel(id) => {
                    self.cancel(i, t, id);
                    None
                }
                Effect::Lease(call) => {
                    self.outside.store.post_lease(call, self.now);
                    None
                }
                Effect::Charge(call) => {
                    self.outside.store.post_charge(call, self.now);
                    None
                }
                Effect::Wake(key) => {
                    self.wake_key(key);
                    None
                }
            };
            if let Some(step) = step.filter(|s| *s != Step::Wait) {
                then = Some(step);
            }
        }
        then
    }

    fn start(&mut self, i: u32, t: &mut Txn, id: AskId, ask: Ask) -> Option<Step> {
        let who = match ask {
            Ask::Sleep(n) => {
                t.asks.push(Pending {
                    id,
                    at: self.now.saturating_add(n),
                    until: Until::Slept,
                });
                return None;
            }
            Ask::Wait { key, until } => {
                t.asks.push(Pending {
                    id,
                    at: until,
                    until: Until::Woken(key),
                });
                self.wait_for(key, i);
                return None;
            }
            Ask::Body {
                side: Side::Request,
                max,
            } if t.collect.is_none() && !t.request.done => {
                self.invite_body(i, t);
                let bytes = std::mem::take(&mut t.collected);
                t.collect = Some(Collect { id, max, bytes });
                return None;
            }
            // Another filter has asked for it before.
            Ask::Body {
                side: Side::Request,
                max,
            } if t.request.done && !t.collected.is_empty() => {
                let bytes = std::mem::take(&mut t.collected);
                let answer = if bytes.len() > max {
                    Answer::TooLarge
                } else {
                    Answer::Body(&bytes)
                };
                let step = t.run.answer(&mut env!(self), id, answer);
                t.collected = bytes;
                return Some(step);
            }
            Ask::Body {
                side: Side::Request,
                ..
            } if t.request.done && t.request.read == 0 => {
                return Some(t.run.answer(&mut env!(self), id, Answer::Body(b"")));
            }
            Ask::Forward { upstream } if t.up == NONE => {
                t.run.open_forward(id, upstream);
                return Some(Step::Forward(id));
            }
            Ask::File(call) => return self.open_file(i, t, id, call),
            Ask::Plugin(ref call) => {
                let timeout = call.timeout;
                return self.ask_outside(i, t, id, (ask, Who::Plugin, timeout));
            }
            Ask::Store(ref call) => {
                let timeout = call.timeout;
                return self.ask_outside(i, t, id, (ask, Who::Store, timeout));
            }
            // One connection carries one forward of a request, and nobody serves these here.
            Ask::Forward { .. } | Ask::Body { .. } => Who::Gateway,
            Ask::Fetch(_) => Who::Upstream,
        };
        let failed = Failed {
            who,
            may_retry: true,
        };
        Some(t.run.answer(&mut env!(self), id, Answer::Failed(failed)))
    }

    fn cancel(&mut self, i: u32, t: &mut Txn, id: AskId) {
        if let Some(at) = t.asks.iter().position(|a| a.id == id) {
            let ask = t.asks.swap_remove(at);
            self.forget_ask(i, &ask);
            self.ask_timer(i, t);
        }
        if t.collect.as_ref().is_some_and(|c| c.id == id) {
            t.collect = None;
        }
        if t.up != NONE && t.forward == id {
            self.drop_upstream(t);
        }
    }

    /// An ask that is answered no more is waited for no more either.
    fn forget_ask(&mut self, i: u32, ask: &Pending) {
        if let Until::Woken(key) = ask.until {
            self.wait_no_more(key, i);
        }
    }

    /// Gives up all asks that are open.
    pub(super) fn forget_asks(&mut self, i: u32, t: &mut Txn) {
        while let Some(ask) = t.asks.pop() {
            self.forget_ask(i, &ask);
        }
    }

    /// The earliest answer that time itself gives.
    pub(super) fn ask_timer(&mut self, i: u32, t: &mut Txn) {
        match t.asks.iter().map(|a| a.at).min() {
            Some(at) => self.arm(i, t, at),
            None if t.collect.is_some() => self.body_timer(i, t),
            None => self.disarm(i, t),
        }
    }

    /// A client may wait to be told that its body is wanted; then nobody else need tell it.
    pub(crate) fn invite_body(&mut self, i: u32, t: &mut Txn) {
        // A guest's owner has no word for it.
        if self.conns[i].guest {
            return;
        }
        if t.info.expect_continue && !t.flags.continued && t.input.is_empty() {
            t.out.append(b"HTTP/1.1 100 Continue\r\n\r\n");
            t.flags.continued = true;
            t.run.exchange.request.remove_known(Name::Expect);
        }
    }

    /// Answers asks whose moment has come. None if none has.
    pub(super) fn asks_due(&mut self, i: u32, t: &mut Txn) -> Option<Next> {
        let at = t.asks.iter().position(|a| a.at <= self.now)?;
        let ask = t.asks.swap_remove(at);
        self.forget_ask(i, &ask);
        let Pending { id, until, .. } = ask;
        let answer = match until {
            Until::Slept => Answer::Slept,
            Until::Woken(_) => Answer::Late,
            Until::Answered { who, .. } => self.ask_late(who),
        };
        let step = t.run.answer(&mut env!(self), id, answer);
        Some(self.apply(i, t, step))
    }

    /// Answers asks that waited for `key`.
    pub(crate) fn asks_woken(&mut self, i: u32, t: &mut Txn, key: u64) -> Option<Next> {
        let own = |a: &Pending| matches!(a.until, Until::Woken(k) if k == key);
        let at = t.asks.iter().position(own)?;
        let Pending { id, .. } = t.asks.swap_remove(at);
        self.ask_timer(i, t);
        let step = t.run.answer(&mut env!(self), id, Answer::Woken);
        Some(self.apply(i, t, step))
    }

    /// Collects a request body that a filter wants whole. What is collected is sent on afterwards.
    pub(super) fn collect_body(&mut self, i: u32, t: &mut Txn) -> Next {
        // What waits for the client need not wait for the answer to an ask: a 100, or answers to
        // requests before this one.
        if !t.out.is_empty() {
            if let Err(next) = self.flush(i, t) {
                return next;
            }
            self.ask_timer(i, t);
        }
        let Some(mut c) = t.collect.take() else {
            return Next::Wait;
        };
        if t.input.is_empty() && !t.request.reader.is_done() {
            match self.receive(i) {
                Moved::Some(n) => {
                    t.body_came(self.now);
                    t.input.append(&self.scratch[..n]);
                }
                Moved::Blocked => {
                    t.collect = Some(c);
                    if t.asks.is_empty() {
                        self.body_timer(i, t);
                    }
                    return Next::Wait;
                }
                Moved::End | Moved::Broken => return Next::Close,
            }
        }
        // Pipes run before what is kept, so that a body sent again is the same.
        let writer = std::mem::replace(&mut t.request.writer, Writer::Plain);
        let bodies = &mut t.run.acts.bodies;
        let taken = t
            .request
            .relay(Side::Request, bodies, t.input.as_slice(), &mut c.bytes);
        t.request.writer = writer;
        let n = match taken {
            Ok(n) => n,
            Err(cut) => return self.request_cut(i, t, cut),
        };
        t.input.consume(n);
        let answer = if c.bytes.len() > c.max {
            Answer::TooLarge
        } else if t.request.reader.is_done() {
            if t.request
                .finish(Side::Request, &mut t.run.acts.bodies, false, &mut c.bytes)
                .is_err()
            {
                return Next::Close;
            }
            Answer::Body(&c.bytes)
        } else {
            t.collect = Some(c);
            return Next::Again;
        };
        let step = t.run.answer(&mut env!(self), c.id, answer);
        t.collected = c.bytes;
        self.apply(i, t, step)
    }

    /// Writes a reply of the gateway's own.
    fn begin_reply(&mut self, i: u32, t: &mut Txn) -> Next {
        if t.up != NONE {
            self.drop_upstream(t);
        }
        if t.flags.responding {
            // Too late for another answer: the one that began is cut.
            return Next::Reset;
        }
        self.forget_asks(i, t);
        t.collect = None;
        let rest = !t.request.reader.is_done();
        // A client that waits for a 100 may send its body or not: only a new connection is sure.
        t.flags.close |= rest && (t.info.expect_continue || !within(t.info.framing, DRAIN));
        let head = &t.run.exchange.response;
        t.status = head.status();
        if let Some(body) = t.run.reply_file.take() {
            return self.begin_file(i, t, body);
        }
        let is_head = t.run.exchange.request.method() == Method::Head;
        let bodiless = matches!(t.status, 204 | 304) || t.status < 200;
        let len = t.run.reply_body.len() as u64;
        let framing = if bodiless || is_head {
            Framing::None
        } else {
            Framing::Length(len)
        };
        let declared = (is_head && !bodiless).then_some(len);
        self.write_head(i, t, framing, declared);
        if framing != Framing::None {
            t.out.append(&t.run.reply_body);
            t.response.written = len;
        }
        t.flags.responding = true;
        t.response.done = true;
        self.finish(i, t, true)
    }
}

fn within(framing: Framing, bytes: u32) -> bool {
    match framing {
        Framing::Length(n) => n <= u64::from(bytes),
        _ => true,
    }
}

/// The connection is not worth reading a longer body that nobody wants; its client is told so with the reply.
const DRAIN: u32 = 64 << 10;
