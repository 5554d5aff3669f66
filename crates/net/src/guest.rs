//! Guests: requests whose client has no socket here, as those of `inject`. Their owner hands over head and body by calls, and
//! takes what is answered from the [`Outbox`]; all between is the path of every request.
//!
//! A guest is one request. Bounds: the owner is asked to push no more than [`HELD`] bytes ahead;
//! a response waits while the owner is not writable or the outbox is full.

use std::net::SocketAddr;

use wire::Framing;

use crate::buf::Buf;
use crate::conns::Client;
use crate::http1::{Next, Stage, Txn};
use crate::local::Local;
use crate::outbox::{said, Event};
use crate::poll::Moved;
use crate::shard::Shard;

/// What a client without a socket has instead of one.
#[derive(Default)]
pub(crate) struct Guest {
    /// Pushed, not yet received.
    input: Buf,
    /// The response's block, not yet told.
    block: Vec<u8>,
    /// How the response is framed.
    framing: Framing,
    /// What a response without a body declares.
    declared: Option<u64>,
    /// Its body comes in parts of unknown number: each is framed as a chunk.
    chunked: bool,
    /// The owner was told to push no more for now.
    held: bool,
    /// The owner knows that this is over.
    told: bool,
    /// Which upstreams the owner answers for.
    pub local: Local,
}

/// A request, as a guest's owner hands it over.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    /// The place of the listener in the config.
    pub listener: u32,
    /// Who sent it.
    pub peer: SocketAddr,
    /// Method, target and fields as they came, with the empty line.
    pub head: &'a [u8],
    /// What the owner answers itself.
    pub local: Local,
}

impl Shard {
    /// Takes in a guest and drives it as far as it goes at once.
    pub(crate) fn arrive(&mut self, a: Arrival<'_>) -> Arrived {
        let at = |l: &crate::listener::Listener| l.index == a.listener && !l.retired;
        let Some(slot) = self.listeners.iter().position(at) else {
            return Arrived::NoListener;
        };
        let mut guest = self.spare_guests.pop().unwrap_or_default();
        guest.input.append(a.head);
        guest.local = a.local;
        let i = self.conns.insert_guest(Client {
            peer: a.peer,
            listener: slot as u16,
            requests: 0,
            shaking: false,
            waits: false,
            proxied: None,
            local: None,
            txn: None,
            guest: Some(guest),
        });
        self.conns[i].readable = true;
        let key = self.key(i);
        self.guarded(i, Self::drive);
        let t = self.conns.client(i).and_then(|c| c.txn.as_deref());
        let framing = t.map_or(Framing::None, |t| t.info.framing);
        if let Some(g) = self.conns.guest(i) {
            g.chunked = framing == Framing::Chunked;
        }
        Arrived::As {
            key,
            body: !framing.is_empty(),
        }
    }

    /// The name of a guest: its place, and the end of its generation.
    pub(crate) fn key(&self, i: u32) -> u32 {
        let generation = (self.conns.token(i) >> 32) as u32;
        (generation << INDEX_BITS) | i
    }

    /// The place of a guest that is still there.
    pub(crate) fn guest_of(&mut self, key: u32) -> Option<u32> {
        let i = key & ((1 << INDEX_BITS) - 1);
        (self.conns.guest(i).is_some() && self.key(i) == key).then_some(i)
    }

    /// More of a request's body, and whether it is the last. Returns how many bytes wait.
    pub(crate) fn push(&mut self, i: u32, bytes: &[u8], last: bool) -> usize {
        let Some(g) = self.conns.guest(i) else {
            return 0;
        };
        if !g.chunked {
            g.input.append(bytes);
        } else {
            if !bytes.is_empty() {
                let mut head = [0; 18];
                let line = wire::http1::chunk_head(bytes.len(), &mut head);
                g.input.append(line);
                g.input.append(bytes);
                g.input.append(b"\r\n");
            }
            if last {
                g.input.append(b"0\r\n\r\n");
            }
        }
        self.conns[i].readable = true;
        self.guarded(i, Self::drive);
        let waits = self.conns.guest(i).map_or(0, |g| {
            g.held = g.input.len() > HELD;
            g.input.len()
        });
        waits
    }

    /// Whether the owner takes more of the response.
    pub(crate) fn set_writable(&mut self, i: u32, writable: bool) {
        self.conns[i].writable = writable;
        if writable {
            self.guarded(i, Self::drive);
        }
    }

    /// Fills the scratch with what was pushed.
    pub(crate) fn receive_guest(&mut self, i: u32) -> Moved {
        let key = self.key(i);
        let Some(g) = self.conns.guest(i) else {
            return Moved::Broken;
        };
        let n = g.input.len().min(self.scratch.len());
        self.scratch[..n].copy_from_slice(&g.input.as_slice()[..n]);
        g.input.consume(n);
        let empty = g.input.is_empty();
        let wants = empty && std::mem::take(&mut g.held);
        self.conns[i].readable = !empty;
        if wants {
            self.outbox.say(key, said::PUSH);
        }
        if n == 0 {
            return Moved::Blocked;
        }
        Moved::Some(n)
    }

    /// Hands over what was made for the client.
    pub(crate) fn flush_guest(&mut self, i: u32, t: &mut Txn) -> Result<bool, Next> {
        let key = self.key(i);
        if t.out.is_empty() && self.conns.guest(i).is_none_or(|g| g.block.is_empty()) {
            return Ok(true);
        }
        if !self.conns[i].writable || self.outbox.is_full() {
            if !self.wheel.is_set(i) {
                self.stall_timer(i, t);
            }
            if self.conns[i].writable {
                self.later(i);
            }
            return Ok(false);
        }
        let Some(g) = self.conns.guest(i) else {
            return Err(Next::Close);
        };
        let mut event = Event {
            key,
            ..Event::default()
        };
        if !g.block.is_empty() {
            event.said = said::HEAD;
            if t.flags.close {
                event.said |= said::CLOSE;
            }
            match (g.framing, g.declared) {
                (Framing::None, declared) => {
                    event.said |= said::BODILESS;
                    if let Some(n) = declared {
                        event.said |= said::LENGTH;
                        event.length = n;
                    }
                }
                (Framing::Length(n), _) => {
                    event.said |= said::LENGTH;
                    event.length = n;
                }
                _ => {}
            }
            event.head = self.outbox.put(&g.block);
            g.block.clear();
        }
        event.body = self.outbox.put(t.out.as_slice());
        t.out.clear();
        t.flags.unsent = false;
        self.outbox.events.push(event);
        self.stall_timer(i, t);
        Ok(true)
    }

    /// Writes the head of a response for a guest's owner, who frames it.
    pub(crate) fn guest_head(&mut self, i: u32, t: &Txn, framing: Framing, declared: Option<u64>) {
        if let Some(g) = self.conns.guest(i) {
            g.block.clear();
            wire::http1::write_response_block(&t.run.exchange.response, &mut g.block);
            g.framing = framing;
            g.declared = declared;
        }
    }

    /// The response's last byte is made: hands over the rest, and is done.
    pub(crate) fn end_guest(&mut self, i: u32, t: &mut Txn) -> Next {
        t.stage = Stage::Lingering;
        match self.flush_guest(i, t) {
            Ok(true) => {}
            Ok(false) => return Next::Wait,
            Err(next) => return next,
        }
        let key = self.key(i);
        if let Some(g) = self.conns.guest(i) {
            g.told = true;
        }
        self.outbox.say(key, said::END);
        Next::Close
    }

    /// A bug was caught in a guest's request: it gets a 500 that no filter sees.
    #[cold]
    pub(crate) fn guest_fault(&mut self, i: u32, t: &mut Txn) -> Next {
        t.out.clear();
        t.run.exchange.response.clear();
        gateway_core::reply::internal().write(&mut t.run.exchange.response, &mut t.run.reply_body);
        let len = t.run.reply_body.len() as u64;
        self.guest_head(i, t, Framing::Length(len), None);
        t.out.append(&t.run.reply_body);
        self.end_guest(i, t)
    }

    /// A guest is over, in whatever way.
    pub(crate) fn leave(&mut self, i: u32) -> bool {
        let key = self.key(i);
        let Some(mut guest) = self.conns.client(i).and_then(|c| c.guest.take()) else {
            return false;
        };
        if !guest.told {
            self.outbox.say(key, said::CUT);
        }
        if self.spare_guests.len() < SPARE {
            guest.input.clear();
            guest.block.clear();
            *guest = Guest {
                input: std::mem::take(&mut guest.input),
                block: std::mem::take(&mut guest.block),
                ..Guest::default()
            };
            self.spare_guests.push(guest);
        }
        true
    }

    /// The client went away, or the owner is done with it.
    pub(crate) fn forget(&mut self, i: u32) {
        if let Some(g) = self.conns.guest(i) {
            g.told = true;
        }
        let t = self.take(i);
        self.close_client(i, t);
    }
}

/// What became of an arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrived {
    /// It has this key, and maybe a body to be pushed.
    As {
        /// Its name from now on.
        key: u32,
        /// Bytes of a body are awaited.
        body: bool,
    },
    /// Its listener is gone.
    NoListener,
}

/// Places of guests; a thread has fewer.
const INDEX_BITS: u32 = 21;
/// Bytes that an owner may push ahead.
const HELD: usize = 64 << 10;
/// Guests whose memory is kept.
const SPARE: usize = 256;
