//! Requests that the owner of a shard answers itself: an app at its own door, or a stub.
//!
//! The owner hears of each by [`said::LOCAL`], and answers by calls; its answer passes the response filters as an upstream's
//! does. An exchange has a name, its place and a number that no other of the shard has: a late call meets nobody.
//! Bounds: of a request's body [`poll::piece`](crate::poll::piece) bytes are handed over a turn, none while the owner is deaf; it is
//! asked to answer no more than [`HELD`] bytes ahead.

use gateway_core::body::Side;
use gateway_core::engine::Step;
use gateway_core::filter::AskId;
use gateway_core::forward::Failure;
use gateway_core::reply::Reply;
use wire::{Framing, ResponseInfo};

use crate::http1::{asks_trailers, settings, Next, Reader, Stage, Txn, Writer};
use crate::outbox::{said, Event};
use crate::poll::Moved;
use crate::shard::{env, Shard};

/// Which upstreams the owner answers for, in a request's snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Local {
    /// None: all are called.
    #[default]
    None,
    /// This one, an index: the app at whose door the request came in.
    One(u32),
    /// All: a stub.
    All,
}

/// The name of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// Its connection's place.
    pub place: u32,
    /// Its own number; 0 is none.
    pub serial: u32,
}

impl Shard {
    /// True if the owner may have a word in where this request goes.
    pub(crate) fn may_be_local(&self, i: u32, t: &Txn) -> bool {
        t.answers != Local::None || self.conns[i].guest
    }

    /// A forward is about to begin: if it is the owner's to answer, what comes next.
    pub(crate) fn begin_local(&mut self, i: u32, t: &mut Txn, id: AskId) -> Option<Next> {
        let upstream = t.run.upstream(id)?;
        let websocket = t.info.upgrade.is_some_and(|u| {
            let asked = t.run.exchange.request.slice(u);
            asked.eq_ignore_ascii_case(b"websocket")
        });
        let mine = match t.answers {
            Local::None => false,
            // The app's own server speaks WebSocket.
            Local::One(u) => u == upstream && !websocket,
            Local::All => true,
        };
        if !mine {
            if !websocket || !self.conns[i].guest {
                return None;
            }
            let why = "A WebSocket needs a connection.";
            return Some(self.reply(i, t, &Reply::problem(501, "upgrade_refused", why)));
        }
        self.local_over(i, t);
        self.locals = self.locals.wrapping_add(1).max(1);
        t.serial = self.locals;
        t.stage = Stage::Local;
        t.request.writer = Writer::Plain;
        t.answer_by = self.now + settings(t).response;
        let body = !t.request.reader.is_done() || !t.collected.is_empty();
        let mut word = said::LOCAL;
        // Nothing of a body is taken before the owner asks for it: until then it may still send the request on.
        t.flags.local_deaf = body;
        t.flags.local_read = !body;
        if body {
            word |= said::BODY;
        }
        // Answers to requests before this one do not wait for it.
        if let Err(next) = self.flush(i, t) {
            return Some(next);
        }
        self.arm(i, t, t.answer_by);
        self.say_local(i, t, word);
        Some(Next::Wait)
    }

    /// The owner answers; what is to be done meanwhile is to hand it the request's body.
    pub(crate) fn local(&mut self, i: u32, t: &mut Txn) -> Next {
        let waits = t.stage == Stage::Local;
        if waits && !t.flags.local_read && !t.flags.local_deaf {
            self.invite_body(i, t);
        }
        if waits && !t.out.is_empty() {
            if let Err(next) = self.flush(i, t) {
                return next;
            }
            self.arm(i, t, t.answer_by);
        }
        if t.flags.local_read || t.flags.local_deaf {
            t.body_came(self.now);
            return Next::Wait;
        }
        if t.up_out.is_empty() && t.input.is_empty() && t.collected.is_empty() {
            match self.receive(i) {
                Moved::Some(n) => {
                    t.body_came(self.now);
                    t.input.append(&self.scratch[..n]);
                }
                Moved::Blocked => {
                    if !t.request.reader.is_done() {
                        if waits {
                            self.body_timer(i, t);
                        }
                        return Next::Wait;
                    }
                }
                Moved::End | Moved::Broken => return Next::Close,
            }
        }
        if !t.collected.is_empty() {
            t.up_out.append(&std::mem::take(&mut t.collected));
        }
        if !t.input.is_empty() && !t.request.reader.is_done() {
            let bodies = &mut t.run.acts.bodies;
            let taken = t
                .request
                .relay(Side::Request, bodies, t.input.as_slice(), t.up_out.vec());
            match taken {
                Ok(n) => t.input.consume(n),
                Err(cut) => {
                    self.local_over(i, t);
                    return self.request_cut(i, t, cut);
                }
            }
        }
        let ended = t.request.reader.is_done();
        let mut event = Event {
            key: i,
            serial: t.serial,
            said: said::REQUEST,
            body: self.outbox.put(t.up_out.as_slice()),
            ..Event::default()
        };
        t.up_out.clear();
        if ended {
            event.said |= said::REQUEST_END;
            t.request.done = true;
            t.flags.local_read = true;
            if waits {
                t.answer_by = self.now + settings(t).response;
                self.arm(i, t, t.answer_by);
            }
        }
        self.outbox.events.push(event);
        // The owner takes what there is before more is read.
        if ended {
            Next::Wait
        } else {
            Next::Later
        }
    }

    /// Time is over for a request that the owner has not begun to answer.
    pub(crate) fn local_late(&mut self, i: u32, t: &mut Txn) -> Next {
        if !t.out.is_empty() {
            // The client takes no answer to an earlier request.
            return Next::Close;
        }
        let owes = !t.flags.local_read && !t.flags.local_deaf;
        self.local_over(i, t);
        if owes {
            return self.body_late(i, t);
        }
        self.forward_failed(i, t, Failure::ResponseTimeout)
    }

    /// Nobody waits for the owner's answer any more; it is told, unless it has given it.
    pub(crate) fn local_over(&mut self, i: u32, t: &mut Txn) {
        if t.serial != 0 && !t.flags.local_ended {
            self.say_local(i, t, said::GONE);
        }
        t.serial = 0;
    }

    pub(crate) fn say_local(&mut self, i: u32, t: &Txn, word: u32) {
        self.outbox.events.push(Event {
            key: i,
            serial: t.serial,
            said: word,
            ..Event::default()
        });
    }

    /// The exchange of this name, if it is not over.
    fn take_local(&mut self, x: Exchange) -> Option<Box<Txn>> {
        let t = self.take(x.place)?;
        if t.serial == x.serial && x.serial != 0 {
            return Some(t);
        }
        self.put_back(x.place, t);
        None
    }

    /// The owner's answer begins, and ends with `body` if that is given. False if the head is none, or if it is too late.
    pub(crate) fn respond(&mut self, x: Exchange, head: &[u8], body: Option<&[u8]>) -> bool {
        let Some(mut t) = self.take_local(x) else {
            return false;
        };
        if t.stage != Stage::Local || t.flags.headed {
            self.put_back(x.place, t);
            return false;
        }
        let limits = wire::Limits::default();
        let method = t.run.exchange.request.method();
        let parsed = wire::take_response(head, method, &limits, &mut t.run.exchange.response);
        let info = parsed
            .filter(|(end, _)| *end == head.len())
            .map(|(_, info)| info);
        let good = info.is_some();
        if let (Some(body), Some(info)) = (body, info) {
            if info.framing != Framing::None {
                t.up_input.append(body);
            }
            t.flags.local_ended = true;
        }
        self.step(x.place, t, |shard, t| shard.answer_local(x.place, t, info));
        good
    }

    fn answer_local(&mut self, i: u32, t: &mut Txn, info: Option<ResponseInfo>) -> Next {
        self.disarm(i, t);
        let Some(info) = info.filter(|_| t.run.exchange.response.status() != 101) else {
            self.local_over(i, t);
            return self.forward_failed(i, t, Failure::BadResponse);
        };
        let framing = match info.framing {
            Framing::Chunked => Framing::UntilClose,
            same => same,
        };
        t.response.begin(framing, &wire::Limits::default());
        t.rsp = info;
        t.flags.headed = true;
        t.flags.up_deaf = true;
        let step = t.run.response(&mut env!(self), t.forward);
        self.apply(i, t, step)
    }

    /// More of the owner's answer. Returns how many bytes wait for the client.
    pub(crate) fn answer(&mut self, x: Exchange, bytes: &[u8], last: bool) -> usize {
        let Some(mut t) = self.take_local(x) else {
            return 0;
        };
        let i = x.place;
        if t.flags.headed {
            t.up_input.append(bytes);
            t.flags.local_ended |= last;
        }
        self.step(i, t, |shard, t| shard.drive_on(i, t));
        let Some(t) = self.conns.client(i).and_then(|c| c.txn.as_deref_mut()) else {
            return 0;
        };
        if t.serial != x.serial {
            return 0;
        }
        let waits = t.out.len() + t.up_input.len();
        t.flags.local_held = waits > HELD;
        waits
    }

    /// What was answered has gone out: more is welcome.
    pub(crate) fn local_drained(&mut self, i: u32, t: &mut Txn) {
        if std::mem::take(&mut t.flags.local_held) {
            self.say_local(i, t, said::ANSWER);
        }
    }

    /// Whether the owner's answer takes no more of the request's body just now.
    pub(crate) fn set_deaf(&mut self, x: Exchange, deaf: bool) {
        let Some(mut t) = self.take_local(x) else {
            return;
        };
        t.flags.local_deaf = deaf;
        if deaf && t.stage == Stage::Local {
            self.arm(x.place, &t, t.answer_by);
        }
        self.step(x.place, t, |shard, t| {
            if deaf {
                Next::Wait
            } else {
                shard.drive_on(x.place, t)
            }
        });
    }

    /// The owner breaks off: what was sent is not the whole.
    pub(crate) fn break_off(&mut self, x: Exchange) {
        if let Some(mut t) = self.take_local(x) {
            t.flags.local_ended = true;
            self.step(x.place, t, |_, _| Next::Reset);
        }
    }

    /// The owner sends the request to an upstream instead of answering. None if there is none of that name, false if it
    /// is too late.
    pub(crate) fn send_on(&mut self, x: Exchange, upstream: &str) -> Option<bool> {
        let to = {
            let named = |u: &gateway_core::snapshot::Upstream| &*u.name == upstream;
            let snapshot = self.snapshot_of(x.place)?;
            snapshot.upstreams.iter().position(named)? as u32
        };
        let Some(mut t) = self.take_local(x) else {
            return Some(false);
        };
        let fit = t.stage == Stage::Local && !t.flags.headed;
        if fit {
            t.answers = Local::None;
            t.serial = 0;
            // Nothing of it was taken: that it has no body is told anew.
            t.flags.local_read = false;
            t.flags.local_deaf = false;
        }
        self.step(x.place, t, |shard, t| {
            if !fit {
                return Next::Wait;
            }
            t.run.redirect(t.forward, to);
            shard.wheel.clear(x.place);
            shard.apply(x.place, t, Step::Forward(t.forward))
        });
        Some(fit)
    }

    /// The request's head for the owner's answer, as an upstream would get it.
    pub(crate) fn local_head(&mut self, x: Exchange, out: &mut Vec<u8>) {
        let Some(mut t) = self.take_local(x) else {
            return;
        };
        t.run.announce(t.forward);
        let head = &t.run.exchange.request;
        let upgrade = t.info.upgrade.map(|s| head.slice(s));
        let trailers = asks_trailers(&t);
        wire::http1::write_request(head, t.info.framing, upgrade, trailers, out);
        self.put_back(x.place, t);
    }
}

/// The end of a body that its sender cannot cut short.
pub(crate) fn local_end(t: &mut Txn) -> Option<bool> {
    if !t.flags.local_ended || !t.up_input.is_empty() {
        return None;
    }
    Some(match t.response.reader {
        Reader::UntilClose => {
            t.response.reader = Reader::Done;
            true
        }
        Reader::Done => true,
        _ => false,
    })
}

/// Bytes that an owner may answer ahead.
const HELD: usize = 64 << 10;
