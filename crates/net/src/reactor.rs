//! A shard that another loop turns. Its owner opens doors, listeners whose app it is and whose requests it answers, and hands
//! over guests, requests without a socket.
//!
//! Its owner watches [`Reactor::fd`] and calls [`Reactor::turn`] when that is readable, and when the time that
//! [`Reactor::patience`] says has passed; after every call it takes what [`Reactor::outbox`] holds.

use std::os::fd::RawFd;
use std::path::Path;
use std::sync::{Arc, Weak};

use gateway_core::snapshot::Snapshot;

use crate::gateway::{Gateway, StartError};
use crate::guest::{Arrival, Arrived};
use crate::local::Exchange;
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

    /// The place of a listener in the config in force.
    pub fn listener(&self, name: &str) -> Option<u32> {
        let mut listeners = self.snapshot().config.listeners.iter();
        listeners
            .position(|l| l.name.as_str() == name)
            .map(|at| at as u32)
    }

    /// Listens at a listener with `door: app` under a number of the owner's, not 0. Of a listener that was open already
    /// the old socket is left.
    ///
    /// # Errors
    /// [`StartError`]: it cannot be bound, has left the config, or the gateway is closing.
    pub fn open(&mut self, listener: &str, door: u32) -> Result<(), StartError> {
        let gateway = self.gateway.upgrade().ok_or(StartError::Closing)?;
        let fd = gateway.door(listener)?;
        self.turn(); // a config may be in the mail that knows it
        if self.shard.open_door(listener, fd, door) {
            return Ok(());
        }
        Err(StartError::Closing)
    }

    /// A server that the owner's loop turns listens at `path`: WebSockets that come by a door are handed over to it.
    pub fn stand_beside(&mut self, path: &Path) {
        self.shard.stand_beside(path);
    }

    /// True if connections may be handed over to the server beside.
    pub fn has_silent(&self) -> bool {
        self.shard.has_silent()
    }

    /// Hands over what can be. `polled` are all descriptors that the owner's loop watches, `epoll` is the loop's own. Returns
    /// those that name a client's connection from now on.
    pub fn hand_over(&mut self, polled: &[RawFd], epoll: RawFd) -> Vec<RawFd> {
        self.on(|shard| shard.hand_over(polled, epoll))
    }

    /// Leaves a door. [`said::LEFT`](crate::outbox::said::LEFT) of its number tells when its last connection has ended.
    pub fn leave(&mut self, listener: &str) {
        self.shard.read_clock();
        self.shard.leave_door(listener);
        self.shard.settle_soon();
    }

    /// A request.
    pub fn arrive(&mut self, arrival: Arrival<'_>) -> Arrived {
        self.shard.read_clock();
        let arrived = self.shard.arrive(arrival);
        self.shard.settle_soon();
        arrived
    }

    /// More of a request's body. Returns how many bytes wait; see [`said::PUSH`](crate::outbox::said::PUSH).
    pub fn push(&mut self, key: u32, bytes: &[u8], last: bool) -> usize {
        self.at(key, 0, |shard, i| shard.push(i, bytes, last))
    }

    /// Whether the client takes more of the response.
    pub fn set_writable(&mut self, key: u32, writable: bool) {
        self.at(key, (), |shard, i| shard.set_writable(i, writable));
    }

    /// The client has gone away.
    pub fn abort(&mut self, key: u32) {
        self.at(key, (), Shard::forget);
    }

    /// The head of a request that the owner answers.
    pub fn head(&mut self, x: Exchange, out: &mut Vec<u8>) {
        self.shard.local_head(x, out);
    }

    /// The owner's answer begins: a whole head, with its framing; with `body` it is all of it. False if the head is none, or
    /// too late.
    pub fn respond(&mut self, x: Exchange, head: &[u8], body: Option<&[u8]>) -> bool {
        self.on(|shard| shard.respond(x, head, body))
    }

    /// More of it, not framed. Returns how many bytes wait; see [`said::ANSWER`](crate::outbox::said::ANSWER).
    pub fn answer(&mut self, x: Exchange, bytes: &[u8], last: bool) -> usize {
        self.on(|shard| shard.answer(x, bytes, last))
    }

    /// Whether the owner's answer takes no more of the request's body just now. It begins deaf.
    pub fn set_deaf(&mut self, x: Exchange, deaf: bool) {
        self.on(|shard| shard.set_deaf(x, deaf));
    }

    /// The owner breaks its answer off: the client sees that it is not whole.
    pub fn break_off(&mut self, x: Exchange) {
        self.on(|shard| shard.break_off(x));
    }

    /// The owner sends a request on to an upstream instead of answering it. None if there is no such upstream,
    /// false if it is too late.
    pub fn send_on(&mut self, x: Exchange, upstream: &str) -> Option<bool> {
        self.on(|shard| shard.send_on(x, upstream))
    }

    fn on<T>(&mut self, then: impl FnOnce(&mut Shard) -> T) -> T {
        self.shard.read_clock();
        let result = then(&mut self.shard);
        self.shard.settle_soon();
        result
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
