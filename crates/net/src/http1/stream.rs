//! Moves bodies. Where nobody changes or watches one and both framings are plain, a piece goes from
//! the receive straight into the send; else it is framed anew into the output. Nothing is read from
//! one side while the other has not taken what came before: memory stays bounded at two pieces.

use gateway_core::body::Side;
use gateway_core::forward::Failure;
use gateway_core::grpc;
use gateway_core::reply::Reply;

use super::body::{Cut, Reader};
use super::drive::Next;
use super::txn::Txn;
use super::upstream::settings;
use crate::conns::NONE;
use crate::faults;
use crate::local::local_end;
use crate::meter::Count as _;
use crate::meter::Upstream as Count;
use crate::poll::Moved;
use crate::shard::{env, Shard};

impl Shard {
    /// Sends the request's head and body to the upstream, as far as both sides allow.
    pub(super) fn send_request(&mut self, i: u32, t: &mut Txn) -> Next {
        let mut received = false;
        loop {
            // Bytes at hand go with the head, in one send.
            if !t.request.done && !t.input.is_empty() && t.up_out.len() < JOINED {
                let bodies = &mut t.run.acts.bodies;
                match t
                    .request
                    .relay(Side::Request, bodies, t.input.as_slice(), t.up_out.vec())
                {
                    Ok(n) => t.input.consume(n),
                    Err(cut) => return self.request_cut(i, t, cut),
                }
            }
            if !t.request.done && t.request.reader.is_done() {
                let trailers = t.info.te_trailers;
                if let Err(cut) = t.request.finish(
                    Side::Request,
                    &mut t.run.acts.bodies,
                    trailers,
                    t.up_out.vec(),
                ) {
                    return self.request_cut(i, t, cut);
                }
            }
            match self.flush_up(t) {
                Ok(true) => {}
                Ok(false) => return Next::Wait,
                Err(()) => {
                    // It may have answered before it closed: that answer counts.
                    t.flags.up_deaf = true;
                    t.up_out.clear();
                    self.conns[t.up].readable = true;
                    return Next::Wait;
                }
            }
            if t.request.done {
                return Next::Wait;
            }
            if !t.input.is_empty() {
                continue;
            }
            if received {
                return Next::Later;
            }
            let n = match self.receive(i) {
                Moved::Some(n) => {
                    if t.body_came(self.now) && t.out.is_empty() {
                        // If the upstream takes nothing from here on, that is not the client's fault.
                        self.disarm(i, t);
                    }
                    n
                }
                Moved::Blocked => {
                    // The client's turn: the upstream owes nothing until it has more.
                    self.body_timer(i, t);
                    self.wheel.clear(t.up);
                    return Next::Wait;
                }
                Moved::End | Moved::Broken => return Next::Close,
            };
            received = self.conns[i].readable;
            let bodies = &t.run.acts.bodies;
            match t.request.plain(Side::Request, bodies, &self.scratch[..n]) {
                Some(plain) => {
                    let sent = match self.conns.send(t.up, &self.scratch[..plain]) {
                        Moved::Some(sent) => sent,
                        _ => 0,
                    };
                    if sent < plain {
                        self.conns[t.up].writable = false;
                        t.up_out.append(&self.scratch[sent..plain]);
                    }
                    t.request.passed(plain);
                    t.input.append(&self.scratch[plain..n]);
                    self.upstream_timer(t);
                }
                None => t.input.append(&self.scratch[..n]),
            }
        }
    }

    /// The request's body cannot go on.
    pub(crate) fn request_cut(&mut self, i: u32, t: &mut Txn, cut: Cut) -> Next {
        self.drop_upstream(t);
        t.flags.close = true;
        if t.flags.responding {
            return Next::Reset;
        }
        let reply = match cut {
            Cut::TooLarge => gateway_core::filters::body_too_large(),
            Cut::Framing(r) => {
                self.counters.bad_request(r.code);
                Reply::problem(r.status, r.code, r.why)
            }
            Cut::Pipe => Reply::problem(400, "bad_body", "The body could not be read."),
        };
        // Where the body ends is no longer known: what follows is read away.
        t.request.reader = Reader::UntilClose;
        self.reply(i, t, &reply)
    }

    fn flush_up(&mut self, t: &mut Txn) -> Result<bool, ()> {
        while !t.up_out.is_empty() {
            if !self.conns[t.up].writable {
                return Ok(false);
            }
            match self.conns.send(t.up, t.up_out.as_slice()) {
                Moved::Some(n) => {
                    if n < t.up_out.len() {
                        self.conns[t.up].writable = false;
                    }
                    t.up_out.consume(n);
                    if !t.info.framing.is_empty() {
                        self.upstream_timer(t);
                    }
                }
                Moved::Blocked => self.conns[t.up].writable = false,
                Moved::End | Moved::Broken => return Err(()),
            }
        }
        Ok(true)
    }

    /// The upstream has so long for what it owes: the response once the request is out, or to take
    /// more of the body.
    fn upstream_timer(&mut self, t: &Txn) {
        let s = settings(t);
        self.wheel.set(
            t.up,
            self.now
                + if t.flags.responding {
                    s.stall
                } else {
                    s.response
                },
        );
    }

    /// Sends the response's head and body to the client, as far as both sides allow.
    pub(super) fn send_response(&mut self, i: u32, t: &mut Txn) -> Next {
        let mut received = false;
        faults::panic_if(t, b"body");
        loop {
            if !t.up_input.is_empty() && !t.response.reader.is_done() && t.out.len() < JOINED {
                let bodies = &mut t.run.acts.bodies;
                match t
                    .response
                    .relay(Side::Response, bodies, t.up_input.as_slice(), t.out.vec())
                {
                    Ok(n) => t.up_input.consume(n),
                    Err(_) => return self.response_cut(i, t, Failure::BadResponse),
                }
            }
            if t.response.reader.is_done() {
                return self.end_response(i, t);
            }
            match self.flush(i, t) {
                Ok(true) => {}
                Ok(false) => {
                    // The client's turn: the upstream is not read from, so it owes nothing.
                    if t.up != NONE {
                        self.wheel.clear(t.up);
                    }
                    return Next::Wait;
                }
                Err(next) => return next,
            }
            if !t.up_input.is_empty() {
                continue;
            }
            if received {
                return Next::Later;
            }
            if t.source.is_some() {
                match self.read_file(i, t) {
                    Moved::Some(n) => match self.pass_response(i, t, 0, n) {
                        Next::Again => {}
                        next => return next,
                    },
                    Moved::Blocked => {
                        self.stall_timer(i, t);
                        return Next::Wait;
                    }
                    Moved::End | Moved::Broken => return self.file_cut(i, t),
                }
                received = true;
                continue;
            }
            if t.up == NONE {
                match local_end(t) {
                    Some(true) => continue,
                    Some(false) => return self.response_cut(i, t, Failure::BadResponse),
                    None => {
                        // The app may be quiet for as long as it likes.
                        self.disarm(i, t);
                        self.local_drained(i, t);
                        return Next::Wait;
                    }
                }
            }
            let n = match self.receive_up(t.up) {
                Moved::Some(n) => n,
                Moved::Blocked => {
                    let stall = settings(t).stall;
                    self.wheel.set(t.up, self.now + stall);
                    self.disarm(i, t);
                    return Next::Wait;
                }
                Moved::End if matches!(t.response.reader, Reader::UntilClose) => {
                    t.response.reader = Reader::Done;
                    continue;
                }
                Moved::End | Moved::Broken => return self.response_cut(i, t, Failure::Reset),
            };
            received = self.conns[t.up].readable;
            match self.pass_response(i, t, 0, n) {
                Next::Again => {}
                next => return next,
            }
        }
    }

    /// Passes on what lies in the scratch, with whatever waits before it, in one send if it may.
    pub(super) fn pass_response(&mut self, i: u32, t: &mut Txn, from: usize, to: usize) -> Next {
        let bodies = &t.run.acts.bodies;
        let plain = t
            .response
            .plain(Side::Response, bodies, &self.scratch[from..to]);
        let large = plain.filter(|n| t.out.len() + n > JOINED && !self.conns[i].guest);
        let Some(n) = large else {
            let bodies = &mut t.run.acts.bodies;
            return match t.response.relay(
                Side::Response,
                bodies,
                &self.scratch[from..to],
                t.out.vec(),
            ) {
                Ok(n) => {
                    t.up_input.append(&self.scratch[from + n..to]);
                    Next::Again
                }
                Err(_) => self.response_cut(i, t, Failure::BadResponse),
            };
        };
        let data = &self.scratch[from..from + n];
        let sent = if self.conns[i].writable {
            match self.conns.send_two(i, t.out.as_slice(), data) {
                Moved::Some(sent) => sent,
                Moved::Blocked => 0,
                Moved::End | Moved::Broken => return Next::Close,
            }
        } else {
            0
        };
        let before = t.out.len();
        if sent < before + n {
            self.conns[i].writable = false;
        }
        t.flags.unsent &= sent == 0;
        t.out.consume(sent.min(before));
        t.out.append(&data[sent.saturating_sub(before)..]);
        t.response.passed(n);
        t.up_input.append(&self.scratch[from + n..to]);
        self.stall_timer(i, t);
        Next::Again
    }

    /// The upstream broke off in the middle: the client must see that. As long as it has nothing, it
    /// can still be told.
    fn response_cut(&mut self, i: u32, t: &mut Txn, why: Failure) -> Next {
        self.count_upstream(t, Count::Failed(why));
        self.drop_upstream(t);
        if !t.flags.unsent {
            return Next::Reset;
        }
        t.out.truncate(t.head_at);
        t.flags.responding = false;
        t.grpc_status = None;
        self.reply(i, t, &gateway_core::forward::reply(why))
    }

    fn end_response(&mut self, i: u32, t: &mut Txn) -> Next {
        if !t.response.done || t.response.writer == super::body::Writer::Chunked {
            if let Some(trailers) = t.response.trailers.as_deref_mut() {
                // Before a filter that puts them elsewhere.
                t.grpc_status = grpc::status(trailers);
                t.run.trailers(&mut env!(self), trailers);
            }
            let with = t.flags.trailers;
            if t.response
                .finish(Side::Response, &mut t.run.acts.bodies, with, t.out.vec())
                .is_err()
            {
                return self.response_cut(i, t, Failure::BadResponse);
            }
        }
        if t.up != NONE {
            self.keep_upstream(t);
        } else {
            // An answer without a body needs no end.
            t.flags.local_ended = true;
        }
        self.finish(i, t, true)
    }
}

/// Up to so many bytes are copied behind a head to go out with it in one send; more go beside it.
const JOINED: usize = 4096;
