//! Requests that the owner of guests answers itself: an app at its own door, or a stub.

use gateway_core::body::Side;
use gateway_core::filter::AskId;
use gateway_core::forward::Failure;
use gateway_core::reply::Reply;
use wire::{Framing, ResponseInfo};

use super::{Answered, Local, HELD};
use crate::http1::{settings, Next, Reader, Stage, Txn, Writer};
use crate::outbox::{said, Event};
use crate::poll::Moved;
use crate::shard::{env, Shard};

impl Shard {
    /// A forward is about to begin: if it is the owner's to answer, what comes next.
    pub(crate) fn begin_local(&mut self, i: u32, t: &mut Txn, id: AskId) -> Option<Next> {
        let upstream = t.run.upstream(id)?;
        let key = self.key(i);
        let g = self.conns.guest(i)?;
        let mine = match g.local {
            Local::None => false,
            Local::One(u) => u == upstream,
            Local::All => true,
        };
        if !mine {
            if self.must_know(i, t) {
                return Some(Next::Close);
            }
            let upgrade = t.info.upgrade.take()?;
            if !t
                .run
                .exchange
                .request
                .slice(upgrade)
                .eq_ignore_ascii_case(b"websocket")
            {
                return None;
            }
            let why = "A WebSocket to an upstream passes the edge, not this door.";
            return Some(self.reply(i, t, &Reply::problem(501, "upgrade_refused", why)));
        }
        t.stage = Stage::Local;
        t.request.writer = Writer::Plain;
        self.wheel.set(i, self.now + settings(t).response);
        let plain = t.run.is_plain() && t.collected.is_empty();
        self.outbox.say(
            key,
            if plain {
                said::LOCAL | said::PLAIN
            } else {
                said::LOCAL
            },
        );
        Some(if plain { Next::Wait } else { Next::Again })
    }

    /// The owner answers; what is to be done meanwhile is to hand it the request's body.
    pub(crate) fn local(&mut self, i: u32, t: &mut Txn) -> Next {
        if t.run.is_plain() && t.collected.is_empty() {
            return Next::Wait;
        }
        let key = self.key(i);
        loop {
            if !t.collected.is_empty() {
                t.up_out.append(&std::mem::take(&mut t.collected));
            }
            if !t.input.is_empty() && !t.request.reader.is_done() {
                let bodies = &mut t.run.acts.bodies;
                let taken =
                    t.request
                        .relay(Side::Request, bodies, t.input.as_slice(), t.up_out.vec());
                match taken {
                    Ok(n) => t.input.consume(n),
                    Err(cut) => {
                        self.outbox.say(key, said::LATE);
                        return self.request_cut(i, t, cut);
                    }
                }
            }
            let ended = t.request.reader.is_done();
            let deaf = self.conns.guest(i).is_none_or(|g| g.deaf);
            if !deaf && (!t.up_out.is_empty() || (ended && !t.flags.local_read)) {
                let mut event = Event {
                    key,
                    said: said::REQUEST,
                    ..Event::default()
                };
                if ended {
                    event.said |= said::REQUEST_END;
                    t.request.done = true;
                    t.flags.local_read = true;
                }
                event.body = self.outbox.put(t.up_out.as_slice());
                t.up_out.clear();
                self.outbox.events.push(event);
            }
            if ended || !t.up_out.is_empty() {
                return Next::Wait;
            }
            match self.receive(i) {
                Moved::Some(n) => t.input.append(&self.scratch[..n]),
                Moved::Blocked => return Next::Wait,
                Moved::End | Moved::Broken => return Next::Close,
            }
        }
    }

    /// The owner's answer begins. False if its head is none: then the client is told so.
    pub(crate) fn respond(&mut self, i: u32, head: &[u8]) -> bool {
        let Some(mut t) = self.take(i) else {
            return false;
        };
        if t.stage != Stage::Local || t.flags.headed {
            if let Some(client) = self.conns.client(i) {
                client.txn = Some(t);
            }
            return false;
        }
        let limits = wire::Limits::default();
        let method = t.run.exchange.request.method();
        let parsed = wire::take_response(head, method, &limits, &mut t.run.exchange.response);
        let info = parsed
            .filter(|(end, _)| *end == head.len())
            .map(|(_, info)| info);
        let good = info.is_some();
        self.step(i, t, |shard, t| shard.answer_local(i, t, info));
        good
    }

    fn answer_local(&mut self, i: u32, t: &mut Txn, info: Option<ResponseInfo>) -> Next {
        self.wheel.clear(i);
        let Some(info) = info.filter(|_| t.run.exchange.response.status() != 101) else {
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
        t.flags.local = true;
        let step = t.run.response(&mut env!(self), t.forward);
        self.apply(i, t, step)
    }

    /// More of the owner's answer. Returns how many bytes wait for the client.
    pub(crate) fn answer(&mut self, i: u32, bytes: &[u8], last: bool) -> usize {
        let Some(mut t) = self.take(i) else {
            return 0;
        };
        if t.flags.local {
            t.up_input.append(bytes);
            t.flags.local_ended |= last;
        }
        self.step(i, t, |shard, t| shard.drive_on(i, t));
        let client = self.conns.client(i);
        let waits = client.and_then(|c| c.txn.as_deref());
        let waits = waits.map_or(0, |t| t.out.len() + t.up_input.len());
        if let Some(g) = self.conns.guest(i) {
            g.answer_held = waits > HELD;
        }
        waits
    }

    /// The owner has answered a plain request, or lost it.
    pub(crate) fn answered(&mut self, i: u32, a: Answered) {
        let Some(mut t) = self.take(i) else {
            return;
        };
        t.status = a.status;
        t.response.written = a.sent;
        t.request.read = a.received;
        self.done(i, &mut t, a.complete);
        if let Some(g) = self.conns.guest(i) {
            g.told = true;
        }
        self.close_client(i, Some(t));
    }

    /// The owner sends the request to an upstream instead of answering. False if it is too late.
    pub(crate) fn send_on(&mut self, i: u32, upstream: u32) -> bool {
        let Some(t) = self.take(i) else {
            return false;
        };
        let fit = t.stage == Stage::Local && !t.flags.headed;
        if let Some(g) = self.conns.guest(i).filter(|_| fit) {
            g.local = Local::None;
        }
        self.step(i, t, |shard, t| {
            if !fit {
                return Next::Wait;
            }
            t.run.redirect(t.forward, upstream);
            shard.wheel.clear(i);
            let id = t.forward;
            shard.apply(i, t, gateway_core::engine::Step::Forward(id))
        });
        fit
    }

    /// The request's head for the owner's answer, as an upstream would get it.
    pub(crate) fn local_head(&mut self, i: u32, out: &mut Vec<u8>) {
        let Some(t) = self.conns.client(i).and_then(|c| c.txn.as_deref_mut()) else {
            return;
        };
        t.run.announce(t.forward);
        let head = &t.run.exchange.request;
        let upgrade = t.info.upgrade.map(|s| head.slice(s));
        wire::http1::write_request(head, t.info.framing, upgrade, t.info.te_trailers, out);
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
