//! Reads what the upstream answers: interim responses go by, the final head goes to the engine.

use gateway_core::body::Side;
use gateway_core::forward::Failure;
use wire::{Connection, Framing, ResponseInfo, Version};

use super::body::Writer;
use super::drive::Next;
use super::txn::{Stage, Txn};
use super::upstream::settings;
use crate::conns::NONE;
use crate::faults;
use crate::poll::Moved;
use crate::shard::{env, Shard};

impl Shard {
    /// Receives from the upstream into the thread's scratch.
    pub(super) fn receive_up(&mut self, up: u32) -> Moved {
        if !self.conns[up].readable {
            return Moved::Blocked;
        }
        let moved = self.conns.recv(up, &mut self.scratch);
        match moved {
            Moved::Some(n) => {
                let of = self.scratch.len();
                self.conns[up].received(n, of);
            }
            _ => self.conns[up].readable = false,
        }
        moved
    }

    pub(super) fn read_response_head(&mut self, i: u32, t: &mut Txn) -> Next {
        if t.up == NONE {
            return Next::Wait;
        }
        let n = match self.receive_up(t.up) {
            Moved::Some(n) => n,
            Moved::Blocked => return Next::Wait,
            Moved::End | Moved::Broken => return self.upstream_lost(i, t),
        };
        t.flags.up_spoke = true;
        let limits = wire::Limits::default();
        let held = !t.up_input.is_empty();
        if !held {
            // The common case: the whole head in one receive, parsed where it lies in one pass.
            let method = t.run.exchange.request.method();
            let response = &mut t.run.exchange.response;
            let whole = wire::take_response(&self.scratch[..n], method, &limits, response);
            if let Some((end, info)) = whole.filter(|_| is_final(response.status())) {
                t.up_rest = (end, n);
                return self.response_head(i, t, info);
            }
        }
        if held {
            t.up_input.append(&self.scratch[..n]);
        }
        loop {
            let input = if held {
                t.up_input.as_slice()
            } else {
                &self.scratch[..n]
            };
            let at = t.up_at;
            let end = match t.up_scan.advance(&input[at..], &limits) {
                Ok(Some(end)) => at + end,
                Ok(None) => {
                    if !held {
                        t.up_input.append(&self.scratch[at..n]);
                    } else {
                        t.up_input.consume(at);
                    }
                    t.up_at = 0;
                    // An interim response is of no use once the next has come.
                    if let Err(next) = self.flush(i, t) {
                        return next;
                    }
                    // There may be more, or the end, which no event would tell again.
                    return if self.conns[t.up].readable {
                        Next::Again
                    } else {
                        Next::Wait
                    };
                }
                Err(_) => return self.forward_failed(i, t, Failure::BadResponse),
            };
            let method = t.run.exchange.request.method();
            let parsed = wire::parse_response(
                &input[at..end],
                method,
                &limits,
                &mut t.run.exchange.response,
            );
            let Ok(info) = parsed else {
                return self.forward_failed(i, t, Failure::BadResponse);
            };
            t.up_scan = wire::Scan::default();
            t.up_at = end;
            let status = t.run.exchange.response.status();
            if !is_final(status) {
                t.interim += (end - at) as u32;
                if t.interim > INTERIM {
                    return self.forward_failed(i, t, Failure::BadResponse);
                }
                t.flags.continued |= status == 100;
                // A guest's owner has no word for it.
                let told = !self.conns[i].guest;
                if told && t.run.exchange.request.version() == Version::Http11 {
                    let head = &t.run.exchange.response;
                    wire::http1::write_response(
                        head,
                        Version::Http11,
                        Framing::None,
                        None,
                        Connection::KeepAlive,
                        &self.date,
                        t.out.vec(),
                    );
                }
                continue;
            }
            if !held {
                // What follows the head is kept where it lies until the response is begun.
                t.up_rest = (end, n);
            } else {
                t.up_input.consume(end);
                t.up_rest = (0, 0);
            }
            t.up_at = 0;
            return self.response_head(i, t, info);
        }
    }

    fn response_head(&mut self, i: u32, t: &mut Txn, info: ResponseInfo) -> Next {
        let status = t.run.exchange.response.status();
        if status == 101 && !accepts(t, &info) {
            return self.forward_failed(i, t, Failure::BadResponse);
        }
        t.flags.up_keep = info.keep_alive && info.framing != Framing::UntilClose;
        t.response.begin(info.framing, &wire::Limits::default());
        t.rsp = info;
        t.flags.headed = true;
        let id = t.forward;
        let step = t.run.response(&mut env!(self), id);
        let next = self.apply(i, t, step);
        // The engine holds the head, or has answered otherwise: what lies in the scratch must not be
        // lost, or not matter.
        let (from, to) = std::mem::take(&mut t.up_rest);
        if to > from && t.up != NONE {
            t.up_input.append(&self.scratch[from..to]);
        }
        next
    }

    /// Writes a final head for the client: on its connection, or for the owner of a guest.
    pub(super) fn write_head(
        &mut self,
        i: u32,
        t: &mut Txn,
        framing: Framing,
        declared: Option<u64>,
    ) {
        if self.conns[i].guest {
            self.guest_head(i, t, framing, declared);
            return;
        }
        let connection = if t.flags.close {
            Connection::Close
        } else {
            Connection::KeepAlive
        };
        wire::http1::write_response(
            &t.run.exchange.response,
            t.run.exchange.request.version(),
            framing,
            declared,
            connection,
            &self.date,
            t.out.vec(),
        );
    }

    /// Writes the response's head for the client, and with it what has come of the body.
    pub(super) fn begin_response(&mut self, i: u32, t: &mut Txn) -> Next {
        let version = t.run.exchange.request.version();
        let head = &t.run.exchange.response;
        t.status = head.status();
        if t.status == 101 {
            return self.begin_tunnel(i, t);
        }
        let changed = t.run.acts.bodies.changes(Side::Response);
        let (framing, writer) = match t.rsp.framing {
            Framing::None => (Framing::None, Writer::Nothing),
            Framing::Length(n) if !changed => (Framing::Length(n), Writer::Plain),
            _ if version == Version::Http10 => (Framing::UntilClose, Writer::Plain),
            _ => (Framing::Chunked, Writer::Chunked),
        };
        t.flags.until_close = framing == Framing::UntilClose;
        // A client that waits for a 100 may still send its body or not: what follows could be either.
        let unsure = t.info.expect_continue && !t.flags.continued && !t.request.reader.is_done();
        let leaving = self.draining() || self.listener_of(i).retired;
        t.flags.close |= t.flags.until_close || unsure || leaving;
        let guest = self.conns[i].guest;
        t.response.writer = match writer {
            Writer::Chunked if guest => Writer::Plain,
            writer => writer,
        };
        // Even if nothing comes in, pipes are told of the end, and one may have something to say.
        t.response.done &= !changed || writer == Writer::Nothing;
        t.flags.trailers = t.info.te_trailers;
        let declared = if changed { None } else { t.rsp.declared_length };
        t.head_at = t.out.len();
        self.write_head(i, t, framing, declared);
        t.flags.responding = true;
        t.flags.unsent = true;
        t.stage = Stage::Responding;
        faults::panic_if(t, b"response");
        if t.up != NONE {
            let stall = settings(t).stall;
            self.wheel.set(t.up, self.now + stall);
        }
        let (from, to) = std::mem::take(&mut t.up_rest);
        if to > from {
            return self.pass_response(i, t, from, to);
        }
        Next::Again
    }
}

/// An interim response is followed by another; a 101 is not.
fn is_final(status: u16) -> bool {
    status >= 200 || status == 101
}

/// A 101 is believed only as the answer to the upgrade that was asked for, to a WebSocket only with
/// the key's proof (RFC 6455 section 4.1).
fn accepts(t: &Txn, info: &ResponseInfo) -> bool {
    let req = &t.run.exchange.request;
    let rsp = &t.run.exchange.response;
    let (Some(asked), Some(got)) = (t.info.upgrade, info.upgrade) else {
        return false;
    };
    let asked = req.slice(asked);
    if !asked.eq_ignore_ascii_case(rsp.slice(got)) {
        return false;
    }
    if !asked.eq_ignore_ascii_case(b"websocket") {
        return true;
    }
    let key = req.find(b"sec-websocket-key").unwrap_or_default();
    rsp.find(b"sec-websocket-accept") == Some(&wire::websocket::accept_key(key)[..])
}

/// Bytes of interim responses that one request may bring.
const INTERIM: u32 = 64 << 10;
