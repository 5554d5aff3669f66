//! A shard that another loop turns: its requests come as guests, and it has no listening sockets.
//!
//! Its owner watches [`Reactor::fd`] and calls [`Reactor::turn`] when that is readable, and when the time that
//! [`Reactor::patience`] says has passed; after every call it takes what [`Reactor::outbox`] holds.

use std::os::fd::RawFd;
use std::sync::{Arc, Weak};

use gateway_core::snapshot::Snapshot;

use crate::gateway::Gateway;
use crate::guest::{Answered, Arrival, Arrived};
use crate::mailbox::Mailbox;
use crate::outbox::Outbox;
use crate::shard::Shard;

/// See the module. Dropping it ends all its requests.
pub struct Reactor {
    shard: Shard,
    gateway: Weak<Gateway>,
    mailbox: Arc<Mailbox>,
}

impl Reactor {
    pub(crate) fn new(shard: Shard, gateway: Weak<Gateway>, mailbox: Arc<Mailbox>) -> Self {
        Self {
            shard,
            gateway,
            mailbox,
        }
    }

    /// Readable when there is something to do.
    pub fn fd(&self) -> RawFd {
        self.shard.poll.fd()
    }

    /// Does what is to be done, without waiting.
    pub fn turn(&mut self) {
        self.shard.tick(0);
    }

    /// After how many milliseconds a turn is due even if nothing happens; -1: never.
    pub fn patience(&self) -> i32 {
        self.shard.patience()
    }

    /// True if a turn may be due before that moment, milliseconds of [`Reactor::now_ms`].
    pub fn is_due_before(&self, ms: u64) -> bool {
        self.shard.wheel.soonest() / 1_000_000 < ms || self.shard.patience_is_short()
    }

    /// This moment, milliseconds of a clock that never goes back.
    pub fn now_ms(&self) -> u64 {
        self.shard.now / 1_000_000
    }

    /// The revision of the config in force here.
    pub fn revision(&self) -> u64 {
        self.snapshot().revision
    }

    /// True once the gateway has closed: nothing will come of further requests.
    pub fn is_stopped(&self) -> bool {
        self.shard.stop
    }

    /// What its owner is to be told.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.shard.outbox
    }

    /// The place of a listener, and of the upstream that its app is, in the config in force.
    pub fn door(&self, listener: &str) -> Option<(u32, Option<u32>)> {
        let config = &self.snapshot().config;
        let at = config
            .listeners
            .iter()
            .position(|l| l.name.as_str() == listener)?;
        let app = config.listeners[at].app.as_ref();
        let app = app.and_then(|a| config.apps.iter().position(|x| x.name == *a));
        Some((at as u32, app.map(|a| (config.upstreams.len() + a) as u32)))
    }

    /// A request.
    pub fn arrive(&mut self, arrival: Arrival<'_>) -> Arrived {
        self.shard.read_clock();
        let arrived = self.shard.arrive(arrival);
        self.shard.settle_soon();
        arrived
    }

    /// Says whose request it is that came without an address.
    pub fn name(&mut self, key: u32, peer: std::net::SocketAddr) {
        self.at(key, (), |shard, i| shard.name(i, peer));
    }

    /// More of a request's body. Returns how many bytes wait; see [`said::PUSH`](crate::outbox::said::PUSH).
    pub fn push(&mut self, key: u32, bytes: &[u8], last: bool) -> usize {
        self.at(key, 0, |shard, i| shard.push(i, bytes, last))
    }

    /// Whether the client takes more of the response.
    pub fn set_writable(&mut self, key: u32, writable: bool) {
        self.at(key, (), |shard, i| shard.set_writable(i, writable));
    }

    /// Whether the owner's answer takes no more of the request's body just now.
    pub fn set_deaf(&mut self, key: u32, deaf: bool) {
        self.at(key, (), |shard, i| shard.set_deaf(i, deaf));
    }

    /// The client has gone away.
    pub fn abort(&mut self, key: u32) {
        self.at(key, (), Shard::forget);
    }

    /// The head of a request that the owner answers.
    pub fn head(&mut self, key: u32, out: &mut Vec<u8>) {
        self.at(key, (), |shard, i| shard.local_head(i, out));
    }

    /// The owner's answer begins: a whole head, with its framing. False if it is none, or too late.
    pub fn respond(&mut self, key: u32, head: &[u8]) -> bool {
        self.at(key, false, |shard, i| shard.respond(i, head))
    }

    /// More of it, not framed. Returns how many bytes wait; see [`said::ANSWER`](crate::outbox::said::ANSWER).
    pub fn answer(&mut self, key: u32, bytes: &[u8], last: bool) -> usize {
        self.at(key, 0, |shard, i| shard.answer(i, bytes, last))
    }

    /// The owner has begun to answer a plain request: its deadline is met.
    pub fn begun(&mut self, key: u32) {
        self.at(key, (), |shard, i| shard.wheel.clear(i));
    }

    /// The owner has answered a plain request.
    pub fn answered(&mut self, key: u32, how: Answered) {
        self.at(key, (), |shard, i| shard.answered(i, how));
    }

    /// The owner sends a request on to an upstream instead of answering it. None if there is no such upstream,
    /// false if it is too late.
    pub fn send_on(&mut self, key: u32, upstream: &str) -> Option<bool> {
        self.at(key, Some(false), |shard, i| {
            let snapshot = shard.snapshot_of(i)?;
            let to = snapshot
                .upstreams
                .iter()
                .position(|u| &*u.name == upstream)?;
            Some(shard.send_on(i, to as u32))
        })
    }

    fn at<T>(&mut self, key: u32, gone: T, then: impl FnOnce(&mut Shard, u32) -> T) -> T {
        let Some(i) = self.shard.guest_of(key) else {
            return gone;
        };
        self.shard.read_clock();
        let result = then(&mut self.shard, i);
        self.shard.settle_soon();
        result
    }

    fn snapshot(&self) -> &Snapshot {
        &self.shard.snapshot
    }
}

impl Drop for Reactor {
    fn drop(&mut self) {
        self.shard.end();
        if let Some(gateway) = self.gateway.upgrade() {
            gateway.left(&self.mailbox);
        }
    }
}
