//! Ends: of a request, of a connection, and of patience.
//!
//! Closing a socket with unread input sends a reset that destroys the answer on its way. So a
//! connection is shut for sending first, then read from for a while, within a bound, then closed.

use gateway_core::engine::Effect;
use gateway_core::filter::Outcome;
use gateway_core::grpc;
use gateway_core::reply::Reply;
use wire::Framing;

use super::body::Reader;
use super::drive::Next;
use super::txn::{Stage, Txn};
use crate::meter::Count as _;
use crate::poll::Moved;
use crate::shard::{env, Shard};

impl Shard {
    /// The response's last byte is made. What follows on the connection is decided here.
    pub(super) fn finish(&mut self, i: u32, t: &mut Txn, complete: bool) -> Next {
        self.done(i, t, complete);
        if self.conns[i].guest {
            return self.end_guest(i, t);
        }
        if self.conns.is_pipe(i) {
            return self.end_stream(i, t);
        }
        let rest = !t.request.reader.is_done();
        if t.flags.close {
            return self.close_gently(i, t);
        }
        if rest {
            t.stage = Stage::Draining;
            return Next::Again;
        }
        self.next_request(i, t)
    }

    fn next_request(&mut self, i: u32, t: &mut Txn) -> Next {
        t.next();
        if t.input.is_empty() {
            // The last of the batch: its answers go out now.
            match self.flush(i, t) {
                Ok(true) => {}
                Ok(false) => return Next::Wait,
                Err(next) => return next,
            }
            if !self.conns[i].readable {
                return Next::Wait;
            }
        } else {
            t.started = self.now;
        }
        Next::Again
    }

    /// Step 11, once a request.
    pub(crate) fn done(&mut self, i: u32, t: &mut Txn, complete: bool) {
        self.local_over(i, t);
        if !t.flags.begun {
            return;
        }
        t.flags.begun = false;
        self.forget_asks(i, t);
        let outcome = self.outcome(t, complete);
        t.run.done(&mut env!(self), &outcome);
        self.record(i, t, &outcome);
        for effect in t.run.drain_effects() {
            match effect {
                Effect::Wake(key) => self.woken.push(key),
                Effect::Lease(call) => self.outside.store.post_lease(call, self.now),
                Effect::Charge(call) => self.outside.store.post_charge(call, self.now),
                Effect::Start { .. } | Effect::Cancel(_) => {}
            }
        }
    }

    fn outcome(&self, t: &Txn, complete: bool) -> Outcome {
        Outcome {
            status: if t.status == 0 { 499 } else { t.status },
            received: t.request.read,
            sent: t.response.written,
            took: self.now.saturating_sub(t.started),
            complete,
        }
    }

    /// The answer on a stream is made: once its last byte is in the pipe, the connection is done.
    pub(super) fn end_stream(&mut self, i: u32, t: &mut Txn) -> Next {
        t.stage = Stage::Lingering;
        match self.flush(i, t) {
            Ok(true) => Next::Close,
            Ok(false) => Next::Wait,
            Err(next) => next,
        }
    }

    pub(super) fn close_gently(&mut self, i: u32, t: &mut Txn) -> Next {
        if self.conns.is_pipe(i) {
            return self.end_stream(i, t);
        }
        t.stage = Stage::Lingering;
        t.linger_left = LINGER;
        t.input.clear();
        match self.flush(i, t) {
            Ok(true) => self.shut(i, t),
            Ok(false) => Next::Wait,
            Err(next) => next,
        }
    }

    fn shut(&mut self, i: u32, t: &mut Txn) -> Next {
        let silent = t.request.reader.is_done() && !self.conns[i].readable;
        if silent && !self.conns.is_secure(i) {
            return Next::Close;
        }
        if !self.conns.finish(i) {
            self.stall_timer(i, t);
            return Next::Wait;
        }
        if silent {
            return Next::Close;
        }
        t.flags.shut = true;
        self.wheel.set(i, self.now + LINGER_TIME);
        Next::Again
    }

    /// Reads and forgets the rest of a request's body, whatever its size: its client was told that the connection stays, and may
    /// have sent all of it already, and the next request behind. To close then would lose that one. A client that is still sending
    /// when time is over has no request behind.
    pub(super) fn drain_body(&mut self, i: u32, t: &mut Txn) -> Next {
        match self.flush(i, t) {
            Ok(true) => {}
            Ok(false) => return Next::Wait,
            Err(next) => return next,
        }
        if t.drain_by == 0 {
            t.drain_by = self.now + self.listener_of(i).stall;
        }
        let mut received = false;
        loop {
            let Ok(n) = t.request.skip(t.input.as_slice()) else {
                return self.close_gently(i, t);
            };
            t.input.consume(n);
            if t.request.reader.is_done() {
                return self.next_request(i, t);
            }
            self.wheel.set(i, t.drain_by);
            if received {
                return Next::Later;
            }
            match self.receive(i) {
                Moved::Some(n) => t.input.append(&self.scratch[..n]),
                Moved::Blocked => return Next::Wait,
                Moved::End | Moved::Broken => return Next::Close,
            }
            received = self.conns[i].readable;
        }
    }

    /// Reads and forgets all that comes before a close.
    pub(super) fn linger(&mut self, i: u32, t: &mut Txn) -> Next {
        match self.flush(i, t) {
            Ok(true) => {}
            Ok(false) => return Next::Wait,
            Err(next) => return next,
        }
        if !t.flags.shut {
            return self.shut(i, t);
        }
        loop {
            if t.linger_left == 0 {
                return Next::Close;
            }
            match self.receive(i) {
                Moved::Some(n) => t.linger_left = t.linger_left.saturating_sub(n as u32),
                Moved::Blocked => return Next::Wait,
                Moved::End | Moved::Broken => return Next::Close,
            }
        }
    }

    /// The client must move within the stall timeout.
    pub(crate) fn stall_timer(&mut self, i: u32, t: &Txn) {
        if t.stage == Stage::Head && t.out.is_empty() {
            return;
        }
        let stall = self.listener_of(i).stall;
        self.arm(i, t, self.now + stall);
    }

    /// The client must send more of a body within the stall timeout, and all of it not slower than the listener allows.
    pub(crate) fn body_timer(&mut self, i: u32, t: &mut Txn) {
        if t.flags.responding {
            return self.stall_timer(i, t);
        }
        let listener = self.listener_of(i);
        let (stall, rate) = (listener.stall, listener.min_body_rate);
        if t.waits_since == 0 {
            t.waits_since = self.now;
        }
        let mut left = stall;
        // A call of gRPC may be open and silent: only the stall timeout bounds it.
        if rate > 0 && grpc::of_call(&t.run.exchange.request).is_none() {
            let earned = u128::from(t.request.read) * 1_000_000_000 / u128::from(rate);
            let most = stall.saturating_add(u64::try_from(earned).unwrap_or(u64::MAX));
            let waited = t.waited + (self.now - t.waits_since);
            left = left.min(most.saturating_sub(waited));
        }
        self.arm(i, t, self.now + left);
    }

    /// Sets the client's deadline, or that of its request if this is sooner.
    pub(crate) fn arm(&mut self, i: u32, t: &Txn, at: u64) {
        self.wheel.set(i, at.min(end_by(t)));
    }

    /// The client has no deadline but that of its request, if a filter set one.
    pub(crate) fn disarm(&mut self, i: u32, t: &Txn) {
        match end_by(t) {
            u64::MAX => self.wheel.clear(i),
            at => self.wheel.set(i, at),
        }
    }

    /// The deadline of a request has passed: it is answered, or what was begun is cut.
    fn expired(&mut self, i: u32, t: &mut Txn) -> Option<Next> {
        if self.now < end_by(t) {
            return None;
        }
        if t.stage == Stage::Local {
            self.local_over(i, t);
        }
        Some(match t.run.expired(&mut env!(self)) {
            Some(step) => self.apply(i, t, step),
            None => Next::Reset,
        })
    }

    /// A client's deadline has passed.
    pub(crate) fn client_deadline(&mut self, i: u32) {
        if self.conns.client(i).is_none() {
            return;
        }
        let Some(t) = self.take(i) else {
            // Idle for long enough.
            self.close_client(i, None);
            return;
        };
        self.step(i, t, |shard, t| {
            let due = shard.expired(i, t).or_else(|| shard.asks_due(i, t));
            due.unwrap_or_else(|| shard.late(i, t))
        });
    }

    fn late(&mut self, i: u32, t: &mut Txn) -> Next {
        match t.stage {
            Stage::Head if t.out.is_empty() && t.input.len() > t.scan.skipped() => {
                self.counters.bad_request("head_timeout");
                t.flags.close = true;
                t.flags.begun = true;
                t.request
                    .begin(Framing::UntilClose, &self.listener_of(i).limits);
                self.reply(
                    i,
                    t,
                    &Reply::problem(
                        408,
                        "head_timeout",
                        "The request's head did not arrive in time.",
                    ),
                )
            }
            Stage::Asking if t.collect.is_some() => self.body_late(i, t),
            // Its asks have deadlines of their own, and a client that takes nothing is not at fault yet.
            Stage::Asking => {
                self.ask_timer(i, t);
                Next::Wait
            }
            Stage::Awaiting if !t.flags.responding && !t.request.done => self.body_late(i, t),
            Stage::Connecting | Stage::Awaiting => Next::Wait,
            Stage::Local => self.local_late(i, t),
            Stage::Responding => Next::Reset,
            // Its answer is out; a reset might destroy it.
            Stage::Draining if t.out.is_empty() => self.close_gently(i, t),
            Stage::Handshake => {
                self.count_handshake_failure("timeout");
                Next::Close
            }
            // A close would leave what the client does not take to the system, for minutes.
            Stage::Head | Stage::Tunnel if !t.out.is_empty() => Next::Reset,
            _ => Next::Close,
        }
    }

    pub(crate) fn body_late(&mut self, i: u32, t: &mut Txn) -> Next {
        self.drop_upstream(t);
        t.flags.close = true;
        self.reply(
            i,
            t,
            &Reply::problem(
                408,
                "body_timeout",
                "The request's body did not arrive in time.",
            ),
        )
    }

    /// A bug was caught: its request gets a 500 if nothing of another answer has begun, else the
    /// client sees a cut. Answers to earlier requests of the same connection go out before.
    #[cold]
    pub(super) fn rescue(&mut self, i: u32, t: &mut Txn) -> Next {
        self.caught();
        self.drop_upstream(t);
        let began = t.flags.responding;
        if t.flags.begun {
            // The filters are not told: one of them may be at fault.
            t.flags.begun = false;
            t.status = 500;
            let outcome = self.outcome(t, false);
            self.record(i, t, &outcome);
        }
        if began {
            let _as_far_as_it_goes = self.flush(i, t);
            return Next::Reset;
        }
        if self.conns[i].guest {
            t.flags.close = true;
            return self.guest_fault(i, t);
        }
        t.out.append(INTERNAL);
        t.request.reader = Reader::UntilClose;
        self.close_gently(i, t)
    }

    /// Closes a client's connection, and what hangs on it.
    pub(crate) fn close_client(&mut self, i: u32, t: Option<Box<Txn>>) {
        if let Some(mut t) = t {
            self.drop_upstream(&mut t);
            self.done(i, &mut t, false);
            t.next();
            t.input.clear();
            t.out.clear();
            self.recycle(t);
        }
        if self.conns[i].guest && self.leave(i) {
            self.remove(i);
            return;
        }
        self.shaken(i);
        let slot = self.conns.client(i).map(|c| c.listener);
        self.leave_bound(i);
        // A stream's connection is not counted: the one that carries it is.
        let slot = slot.filter(|_| !self.conns.is_pipe(i));
        self.remove(i);
        if let Some(slot) = slot {
            self.left(slot);
        }
    }
}

/// A connection that is being closed is read from up to so many bytes,
const LINGER: u32 = 256 << 10;
/// and so long.
const LINGER_TIME: u64 = 2_000_000_000;
/// What a request gets in which a bug was caught.
const INTERNAL: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/problem+json\r\n\
Content-Length: 112\r\nConnection: close\r\n\r\n\
{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500,\"code\":\"internal\",\"detail\":\"A fault inside.\"}";

/// By when the response must be whole; never, before there is a request and once all is out.
fn end_by(t: &Txn) -> u64 {
    match t.stage {
        Stage::Asking | Stage::Connecting | Stage::Awaiting | Stage::Local | Stage::Responding => {
            t.run.acts.deadline()
        }
        _ => u64::MAX,
    }
}
