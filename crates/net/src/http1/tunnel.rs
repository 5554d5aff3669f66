//! After a 101: bytes go both ways as they are, until both sides have finished or one is silent
//! too long. What one side has not taken is not read from the other.

use gateway_core::body::{End, Side};
use wire::{Connection, Framing, Version};

use super::drive::Next;
use super::txn::{Stage, Txn};
use crate::poll::Moved;
use crate::shard::Shard;

impl Shard {
    pub(super) fn begin_tunnel(&mut self, i: u32, t: &mut Txn) -> Next {
        let head = &t.run.exchange.response;
        let req = &t.run.exchange.request;
        let protocol = t.info.upgrade.map_or(&b""[..], |s| req.slice(s));
        wire::http1::write_response(
            head,
            Version::Http11,
            Framing::None,
            None,
            Connection::Upgrade(protocol),
            &self.date,
            t.out.vec(),
        );
        t.flags.responding = true;
        t.stage = Stage::Tunnel;
        // Filters, pipes and taps have seen the last of it.
        t.run.acts.bodies.end(Side::Request, End::Complete);
        t.run.acts.bodies.end(Side::Response, End::Complete);
        let (from, to) = std::mem::take(&mut t.up_rest);
        t.out.append(&self.scratch[from..to]);
        if !t.up_input.is_empty() {
            t.out.append(t.up_input.as_slice());
            t.up_input.clear();
        }
        self.wheel.clear(t.up);
        self.tunnel_timer(i);
        Next::Again
    }

    pub(super) fn tunnel(&mut self, i: u32, t: &mut Txn) -> Next {
        let mut later = false;
        // What the client sent before it had its 101 goes first.
        if !t.input.is_empty() {
            t.up_out.append(t.input.as_slice());
            t.input.clear();
        }
        for (from, to, up) in [(i, t.up, true), (t.up, i, false)] {
            loop {
                let queue = if up { &mut t.up_out } else { &mut t.out };
                if !queue.is_empty() {
                    if !self.conns[to].writable {
                        break;
                    }
                    match self.conns.send(to, queue.as_slice()) {
                        Moved::Some(n) => {
                            if n < queue.len() {
                                self.conns[to].writable = false;
                            }
                            queue.consume(n);
                            self.tunnel_timer(i);
                        }
                        Moved::Blocked => self.conns[to].writable = false,
                        Moved::End | Moved::Broken => return self.tunnel_over(i, t, false),
                    }
                    continue;
                }
                let ended = if up {
                    t.flags.client_ended
                } else {
                    t.flags.up_ended
                };
                if ended || !self.conns[from].readable {
                    break;
                }
                if later {
                    break;
                }
                match self.conns.recv(from, &mut self.scratch) {
                    Moved::Some(n) => {
                        let of = self.scratch.len();
                        self.conns[from].received(n, of);
                        later |= n == of;
                        let queue = if up { &mut t.up_out } else { &mut t.out };
                        queue.append(&self.scratch[..n]);
                        let stream = if up { &mut t.request } else { &mut t.response };
                        stream.read += n as u64;
                        stream.written += n as u64;
                        self.tunnel_timer(i);
                    }
                    Moved::Blocked => self.conns[from].readable = false,
                    Moved::End => {
                        self.conns[from].readable = false;
                        let _said_when_there_is_room = self.conns.finish(to);
                        if up {
                            t.flags.client_ended = true;
                        } else {
                            t.flags.up_ended = true;
                        }
                    }
                    Moved::Broken => return self.tunnel_over(i, t, false),
                }
            }
        }
        let sent = t.out.is_empty() && t.up_out.is_empty();
        let flushed = self.conns.is_flushed(i) && self.conns.is_flushed(t.up);
        if t.flags.client_ended && t.flags.up_ended && sent && flushed {
            return self.tunnel_over(i, t, true);
        }
        if later {
            Next::Later
        } else {
            self.settle_tunnel(i, t);
            Next::Wait
        }
    }

    fn tunnel_timer(&mut self, i: u32) {
        let idle = self.listener_of(i).tunnel;
        self.wheel.set(i, self.now + idle);
    }

    pub(crate) fn tunnel_over(&mut self, i: u32, t: &mut Txn, whole: bool) -> Next {
        self.drop_upstream(t);
        self.done(i, t, whole);
        Next::Close
    }
}
