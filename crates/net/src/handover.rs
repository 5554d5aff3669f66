//! Hands a WebSocket's connection over to the server of the thread's owner that speaks on it.
//!
//! At an app's door a WebSocket begins as everywhere: a tunnel to the app's own server, whose Unix socket is served by the same
//! loop. Once both are silent, the descriptor of the server's end is made to name the client's connection ([`dup3`]): the
//! server goes on as if nothing had happened, and one descriptor is left of three. The server's end is found among the
//! descriptors of the loop by the name of its peer, which the system makes unique.
//!
//! What is secure, a stream of HTTP/2, has more to say than fits into the system's buffers, or is counted by a filter of its
//! route until it ends stays a tunnel. Access log and
//! meters have the WebSocket as ended when it is handed over.
//!
//! [`dup3`]: https://man7.org/linux/man-pages/man2/dup.2.html

use std::collections::{HashMap, HashSet};
use std::os::fd::RawFd;
use std::path::Path;

use gateway_core::snapshot::Address;

use crate::http1::{Stage, Txn};
use crate::listener::Listener;
use crate::local::Local;
use crate::shard::Shard;

#[allow(unsafe_code, reason = "calls of the system")]
mod sys;

pub(crate) use sys::give_name;

/// What a shard knows of the server beside it.
#[derive(Default)]
pub(crate) struct Beside {
    /// Where it listens.
    path: Option<Box<Path>>,
    /// Tokens of tunnels that are silent.
    silent: Vec<u64>,
    /// Descriptors that were handed over, with the numbers of the doors that they came by.
    given: HashMap<RawFd, u32>,
    /// A listener is full: those that have gone are to be counted off.
    full: bool,
}

impl Shard {
    /// A server of the same loop listens at `path`.
    pub(crate) fn stand_beside(&mut self, path: &Path) {
        self.beside.path = Some(path.into());
    }

    /// The endpoint that is the server beside, for a WebSocket that comes by a door.
    pub(crate) fn endpoint_beside(&self, t: &Txn) -> Option<u32> {
        let path = self.beside.path.as_deref()?;
        if !matches!(t.answers, Local::One(_)) || t.info.upgrade.is_none() {
            return None;
        }
        let upstream = t.run.upstream(t.forward)?;
        let endpoints = &t
            .run
            .snapshot()?
            .upstreams
            .get(upstream as usize)?
            .endpoints;
        let own = |a: &Address| matches!(a, Address::Unix(p) if **p == *path);
        let at = endpoints.iter().position(|e| own(&e.live.address))?;
        Some(at as u32)
    }

    /// A tunnel has nothing more to do just now: it may be one to hand over.
    pub(crate) fn settle_tunnel(&mut self, i: u32, t: &mut Txn) {
        if self.beside.path.is_some()
            && matches!(t.answers, Local::One(_))
            && t.looked < TRIES
            && t.response.written <= PASSED
            && !t.run.route().is_some_and(|r| r.counts_open)
            && self.is_bare(i, t)
        {
            t.looked += 1;
            self.beside.silent.push(self.conns.token(i));
        }
    }

    fn is_bare(&self, i: u32, t: &Txn) -> bool {
        let silent = t.input.is_empty() && t.out.is_empty() && t.up_out.is_empty();
        let open = !t.flags.client_ended && !t.flags.up_ended && !self.conns[i].read_closed;
        let plain = !self.conns.is_secure(i) && self.conns.fd(i) >= 0 && self.conns.fd(t.up) >= 0;
        silent && open && plain
    }

    /// True if [`Shard::hand_over`] has something to do.
    pub(crate) fn has_silent(&self) -> bool {
        self.beside.full || !self.beside.silent.is_empty()
    }

    /// Hands over what is silent. `polled` are the descriptors of the loop, `epoll` is its own. Returns those that
    /// name something else from now on.
    pub(crate) fn hand_over(&mut self, polled: &[RawFd], epoll: RawFd) -> Vec<RawFd> {
        if std::mem::take(&mut self.beside.full) {
            self.count_given(polled);
        }
        let mut silent = HashMap::new();
        for token in std::mem::take(&mut self.beside.silent) {
            let Some(i) = self.conns.of_token(token) else {
                continue;
            };
            let up = self.conns.client(i).and_then(|c| c.txn.as_deref());
            let up = up.filter(|t| t.stage == Stage::Tunnel).map(|t| t.up);
            if let Some(name) = up.and_then(|up| sys::name(self.conns.fd(up))) {
                silent.insert(name, i);
            }
        }
        let mut swapped = Vec::new();
        for pass in 0..2 {
            if silent.is_empty() {
                break;
            }
            for fd in polled {
                // The number of one that was handed over may be another's by now: looked at last.
                if (pass == 0) == self.beside.given.contains_key(fd) {
                    continue;
                }
                let client = sys::peer_name(*fd).and_then(|name| silent.remove(&name));
                if let Some(i) = client {
                    if self.swap(i, *fd, epoll) {
                        swapped.push(*fd);
                    }
                }
            }
        }
        swapped
    }

    fn swap(&mut self, i: u32, server: RawFd, epoll: RawFd) -> bool {
        let Some(t) = self.take(i) else {
            return false;
        };
        let (client, up) = (self.conns.fd(i), self.conns.fd(t.up));
        let quiet = self.is_bare(i, &t) && !sys::has_unread(up) && !sys::has_unsent(up);
        if !quiet || !sys::exchange(client, server, epoll, self.poll.fd()) {
            // The server has not taken all yet, or something came meanwhile: perhaps in the next turn.
            self.put_back(i, t);
            self.conns[i].readable = true;
            self.later(i);
            return false;
        }
        let door = self.listener_of(i).door;
        self.step(i, t, |shard, t| shard.tunnel_over(i, t, true));
        if let Some(before) = self.beside.given.insert(server, door) {
            count(&mut self.listeners, before, |given| given - 1);
        }
        count(&mut self.listeners, door, |given| given + 1);
        true
    }

    /// A listener cannot take more before those that were handed over are counted off.
    pub(crate) fn is_full_of_given(&mut self, slot: u16) -> bool {
        let l = &self.listeners[usize::from(slot)];
        let full = l.given > 0 && l.open + l.given >= l.most;
        self.beside.full |= full;
        full
    }

    fn count_given(&mut self, polled: &[RawFd]) {
        let polled: HashSet<_> = polled.iter().copied().collect();
        let listeners = &mut self.listeners;
        self.beside.given.retain(|fd, door| {
            let there = polled.contains(fd) && sys::peer_name(*fd).is_none();
            if !there {
                count(listeners, *door, |given| given - 1);
            }
            there
        });
    }
}

/// Changes a door's number of those that were handed over. Its listener's place may be another's by now.
fn count(listeners: &mut [Listener], door: u32, change: impl FnOnce(u32) -> u32) {
    if let Some(l) = listeners.iter_mut().find(|l| l.door == door) {
        l.given = change(l.given);
    }
}

/// How often a silent tunnel is looked at; the server takes what was sent within a turn or two.
const TRIES: u32 = 64;
/// Bytes from the server: with more its end may wait for room, of which another descriptor would not tell it.
const PASSED: u64 = 64 << 10;
