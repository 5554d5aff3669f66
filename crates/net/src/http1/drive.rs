//! Makes progress on one client connection: called after every event of either of its sides, it
//! does what can be done without waiting, and says what becomes of the connection.

use std::panic::{catch_unwind, AssertUnwindSafe};

use super::txn::{Stage, Txn};
use crate::poll::Moved;
use crate::shard::Shard;

/// What becomes of a connection after it was driven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Next {
    /// There may be more to do at once.
    Again,
    /// It waits for an event or a deadline.
    Wait,
    /// It has had its share of this tick; it goes on in the next.
    Later,
    /// It is closed.
    Close,
    /// It is closed with a reset, so that nobody takes what was sent for the whole.
    Reset,
    /// It speaks HTTP/2 from here on.
    Http2,
}

impl Shard {
    /// Drives the client connection `i`.
    pub(crate) fn drive(&mut self, i: u32) {
        if self.conns.client(i).is_none() {
            return;
        }
        let t = match self.take(i) {
            Some(t) => t,
            None if self.conns[i].readable => self.fresh_txn(),
            None => return,
        };
        self.step(i, t, |shard, t| shard.drive_on(i, t));
    }

    /// Runs one step of a request and does what it says; a bug in it ends this request, not the
    /// thread.
    pub(crate) fn step(
        &mut self,
        i: u32,
        mut t: Box<Txn>,
        step: impl FnOnce(&mut Self, &mut Txn) -> Next,
    ) {
        let next = catch_unwind(AssertUnwindSafe(|| step(self, &mut t)));
        match next.unwrap_or_else(|_| self.rescue(i, &mut t)) {
            Next::Close => self.close_client(i, Some(t)),
            Next::Reset => {
                self.conns.reset_on_close(i);
                self.close_client(i, Some(t));
            }
            Next::Http2 => self.speak_http2(i, t),
            Next::Wait => self.keep(i, t),
            Next::Later => {
                self.keep(i, t);
                self.later(i);
            }
            Next::Again => {
                self.keep(i, t);
                self.drive(i);
            }
        }
    }

    pub(crate) fn drive_on(&mut self, i: u32, t: &mut Txn) -> Next {
        let mut requests = 0;
        loop {
            let before = t.stage;
            match self.advance(i, t) {
                Next::Again => {
                    if before != Stage::Head && t.stage == Stage::Head {
                        requests += 1;
                        if requests >= REQUESTS_A_TICK {
                            return Next::Later;
                        }
                    }
                }
                next => return next,
            }
        }
    }

    fn advance(&mut self, i: u32, t: &mut Txn) -> Next {
        match t.stage {
            Stage::Proxy => self.read_proxy_header(i, t),
            Stage::Handshake => self.shake_client(i, t),
            Stage::Head => self.read_head(i, t),
            Stage::Lingering if self.conns[i].guest => self.end_guest(i, t),
            Stage::Lingering if self.conns.is_pipe(i) => self.end_stream(i, t),
            Stage::Lingering => self.linger(i, t),
            Stage::Draining => self.drain_body(i, t),
            Stage::Tunnel => self.tunnel(i, t),
            stage => {
                if self.conns[i].read_closed {
                    // As nginx and Envoy have it: a client that closes its side has gone away.
                    return Next::Close;
                }
                match stage {
                    Stage::Asking => self.collect_body(i, t),
                    Stage::Connecting => Next::Wait,
                    Stage::Local => self.local(i, t),
                    Stage::Awaiting => match self.send_request(i, t) {
                        Next::Wait => self.read_response_head(i, t),
                        next => next,
                    },
                    _ => self.exchange(i, t),
                }
            }
        }
    }

    /// Both bodies at once: a response may begin before its request has ended.
    fn exchange(&mut self, i: u32, t: &mut Txn) -> Next {
        // The last of it may still wait for room.
        let out = t.request.done && t.up_out.is_empty();
        let up = if t.serial != 0 {
            self.local(i, t)
        } else if out || t.flags.up_deaf {
            Next::Wait
        } else {
            self.send_request(i, t)
        };
        if !matches!(up, Next::Wait | Next::Later) {
            return up;
        }
        match self.send_response(i, t) {
            Next::Wait => up,
            next => next,
        }
    }

    /// Puts the transaction back, or away if the connection is idle.
    fn keep(&mut self, i: u32, mut t: Box<Txn>) {
        if t.is_idle() && !self.conns[i].readable {
            t.started = 0;
            self.recycle(t);
            let listener = self.listener_of(i);
            let (idle, retired) = (listener.idle, listener.retired);
            if retired || self.draining() {
                self.close_client(i, None);
                return;
            }
            self.wheel.set(i, self.now + idle);
            return;
        }
        self.put_back(i, t);
    }

    #[cold]
    fn speak_http2(&mut self, i: u32, mut t: Box<Txn>) {
        let early = t.input.as_slice().to_vec();
        t.next();
        t.input.clear();
        self.recycle(t);
        self.begin_http2(i, &early);
    }

    /// Sends what waits for the client. True if all went out.
    pub(crate) fn flush(&mut self, i: u32, t: &mut Txn) -> Result<bool, Next> {
        if self.conns[i].guest {
            return self.flush_guest(i, t);
        }
        while !t.out.is_empty() {
            if !self.conns[i].writable {
                if !self.wheel.is_set(i) {
                    self.stall_timer(i, t);
                }
                return Ok(false);
            }
            match self.conns.send(i, t.out.as_slice()) {
                Moved::Some(n) => {
                    if n < t.out.len() {
                        self.conns[i].writable = false;
                    }
                    t.out.consume(n);
                    t.flags.unsent = false;
                    self.stall_timer(i, t);
                }
                Moved::Blocked => {
                    self.conns[i].writable = false;
                    self.stall_timer(i, t);
                }
                Moved::End | Moved::Broken => return Err(Next::Close),
            }
        }
        Ok(true)
    }

    /// Receives from the client into the thread's scratch. The bytes are `self.scratch[..n]`.
    pub(crate) fn receive(&mut self, i: u32) -> Moved {
        if !self.conns[i].readable {
            return Moved::Blocked;
        }
        if self.conns[i].guest {
            return self.receive_guest(i);
        }
        let moved = self.conns.recv(i, &mut self.scratch);
        match moved {
            Moved::Some(n) => {
                let of = self.scratch.len();
                self.conns[i].received(n, of);
            }
            Moved::Blocked => self.conns[i].readable = false,
            Moved::End | Moved::Broken => {
                self.conns[i].readable = false;
                self.conns[i].read_closed = true;
            }
        }
        moved
    }
}

/// Requests that one connection may begin before others have their turn.
const REQUESTS_A_TICK: u32 = 16;
