//! A shard: one thread that owns its listeners, its connections and its idle upstream connections, and shares nothing
//! with the others but the tables behind the snapshot.
//!
//! Of one batch of events, those of upstreams are handled first: an idle connection that spoke or ended is gone before
//! a request could be given to it.

use std::collections::HashMap;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;
use std::sync::Arc;

use gateway_core::engine::InForce;
use gateway_core::forward::Turns;
use gateway_core::metrics::{bump, ShardCounters};
use gateway_core::snapshot::Snapshot;

use crate::acme::Acme;
use crate::asks::Outside;
use crate::conns::{Conns, Role, Up, NONE};
use crate::guest::Guest;
use crate::handover::Beside;
use crate::handshakes::Shakes;
use crate::http1::Txn;
use crate::http2::Muxes;
use crate::listener::{Binding, Listener};
use crate::log::Lines;
use crate::mailbox::{Mail, Mailbox};
use crate::outbox::Outbox;
use crate::poll::{self, Poll};
use crate::pools::Pools;
use crate::timers::Wheel;

/// What the engine is handed with every event.
macro_rules! env {
    ($shard:expr) => {
        gateway_core::engine::Env {
            thread: $shard.thread,
            now: $shard.now,
            unix: $shard.unix,
            rng: &mut $shard.rng,
            turns: &mut $shard.turns,
        }
    };
}

pub(crate) struct Shard {
    /// Its number among the threads of its gateway.
    pub thread: usize,
    pub poll: Poll,
    pub conns: Conns,
    pub wheel: Wheel,
    pub pools: Pools,
    /// Connections to endpoints that carry many requests.
    pub muxes: Muxes,
    /// Nanoseconds since the process started, read once a tick.
    pub now: u64,
    /// Seconds since 1970.
    pub unix: u64,
    /// The wall clock less the other one, nanoseconds.
    pub offset: u64,
    /// The value of Date.
    pub date: [u8; 29],
    pub rng: algo::Rng,
    /// Half of the name of each connection; drawn once, so that no other shard has it.
    pub nonce: u64,
    pub turns: Turns,
    pub snapshot: InForce,
    pub listeners: Vec<Listener>,
    /// What a receive fills. One for all connections: it stays in the cache.
    pub scratch: Vec<u8>,
    pub counters: Arc<ShardCounters>,
    pub lines: Lines,
    pub mailbox: Arc<Mailbox>,
    /// Where asks go that are answered outside of this thread.
    pub outside: Outside,
    /// What ACME authorities ask for.
    pub acme: Arc<Acme>,
    /// Counts the asks that left this thread: each has its own number.
    pub asked: u64,
    /// Keys that requests of this thread woke; told to all threads at the end of the tick.
    pub woken: Vec<u64>,
    /// Tokens of those that wait for a key.
    pub waiting: HashMap<u64, Vec<u64>>,
    #[allow(
        clippy::vec_box,
        reason = "a connection holds its transaction by the same box"
    )]
    free: Vec<Box<Txn>>,
    /// What the owner has not taken.
    pub outbox: Outbox,
    #[allow(clippy::vec_box, reason = "a client holds its guest by the same box")]
    pub spare_guests: Vec<Box<Guest>>,
    queue: Vec<u64>,
    expired: Vec<u32>,
    /// Counts the exchanges that its owner answers: each has its own number.
    pub locals: u32,
    /// The server that the owner has beside it.
    pub beside: Beside,
    /// TLS handshakes of clients: whose turn it is.
    pub shakes: Shakes,
    /// Another loop turns it: guests may come by any listener, connections by the doors that its owner opens.
    pub doors: bool,
    /// Closing down: by when.
    drain_by: Option<u64>,
    /// It is to turn no more.
    pub stop: bool,
}

impl Shard {
    pub fn new(
        mailbox: Arc<Mailbox>,
        snapshot: Arc<Snapshot>,
        counters: Arc<ShardCounters>,
        lines: Lines,
        (outside, acme): (Outside, Arc<Acme>),
    ) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        let mut conns = Conns::new();
        let now = poll::monotonic();
        let wake = mailbox.wake.fd();
        // The mailbox owns its descriptor; this is a second name for it.
        let i = conns.insert(poll::duplicate(wake)?, Role::Wake);
        poll.add(conns.fd(i), conns.token(i))?;
        let mut shard = Self {
            thread: 0,
            poll,
            conns,
            wheel: Wheel::new(now),
            pools: Pools::default(),
            muxes: Muxes::default(),
            now,
            unix: 0,
            offset: 0,
            date: [0; 29],
            rng: algo::Rng::new(poll::random()),
            nonce: poll::random(),
            turns: Turns::default(),
            snapshot: Rc::new(snapshot),
            listeners: Vec::new(),
            scratch: vec![0; poll::piece()],
            counters,
            lines,
            mailbox,
            outside,
            acme,
            asked: 0,
            woken: Vec::new(),
            waiting: HashMap::new(),
            free: Vec::new(),
            outbox: Outbox::default(),
            spare_guests: Vec::new(),
            queue: Vec::new(),
            expired: Vec::new(),
            locals: 0,
            beside: Beside::default(),
            shakes: Shakes::default(),
            doors: false,
            drain_by: None,
            stop: false,
        };
        shard.read_clock();
        Ok(shard)
    }

    /// Runs until it is told to stop, or has drained.
    pub fn run(&mut self) {
        while !self.stop {
            let timeout = self.patience();
            self.tick(timeout);
        }
        self.end();
    }

    /// Ends what is left.
    pub fn end(&mut self) {
        for i in self.conns.indices() {
            if matches!(self.conns[i].role, Role::Client(_)) {
                self.guarded(i, Self::cut);
            }
        }
        self.turn_stirred();
        let dropped = self.lines.flush();
        bump(&self.counters.access_log_dropped, dropped);
    }

    /// Ends a client's connection in the middle: a response that has begun ends with a reset, so that it looks cut.
    fn cut(&mut self, i: u32) {
        let t = self.take(i);
        if t.as_ref().is_some_and(|t| t.flags.responding) {
            self.conns.reset_on_close(i);
        }
        self.close_client(i, t);
    }

    /// How long the thread may sleep, milliseconds; -1: until something happens.
    pub fn patience(&self) -> i32 {
        if self.queue.is_empty() && self.shakes.waiting.is_empty() {
            self.sleep()
        } else {
            0
        }
    }

    /// True if the next turn should not wait for a timer.
    pub fn patience_is_short(&self) -> bool {
        !self.queue.is_empty() || self.drain_by.is_some() || self.lines.sleep(self.now) >= 0
    }

    /// One turn: waits for at most `timeout` milliseconds, and does what is to be done.
    pub fn tick(&mut self, timeout: i32) {
        let n = self.poll.wait(timeout);
        self.read_clock();
        for pass in [Pass::Upstreams, Pass::Others] {
            for k in 0..n {
                let event = self.poll.event(k);
                let Some(i) = self.conns.of_token(event.token) else {
                    continue;
                };
                let upstream = matches!(self.conns[i].role, Role::Upstream(_) | Role::Mux(_));
                if upstream != (pass == Pass::Upstreams) {
                    continue;
                }
                self.conns[i].note(event);
                self.guarded(i, Self::event);
            }
        }
        self.settle();
    }

    /// What follows the events of a turn: those that wait for their share, deadlines, and words to other threads.
    pub fn settle(&mut self) {
        for token in std::mem::take(&mut self.queue) {
            if let Some(i) = self.conns.of_token(token) {
                self.conns[i].queued = false;
                self.guarded(i, Self::resume);
            }
        }
        self.shake_on();
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.expire(self.now, &mut expired);
        for i in expired.drain(..) {
            self.guarded(i, Self::deadline);
        }
        self.expired = expired;
        if !self.woken.is_empty() {
            self.tell_woken();
        }
        self.turn_stirred();
        self.lines.tick(self.now, &self.counters);
        if let Some(by) = self.drain_by {
            self.stop |= self.now >= by || self.quiet();
        }
    }

    fn sleep(&self) -> i32 {
        let lines = self.lines.sleep(self.now);
        let other = self.drain_by.map_or(lines, |_| 20);
        match (self.wheel.sleep(self.now), other) {
            (-1, t) | (t, -1) => t,
            (a, b) => a.min(b),
        }
    }

    fn event(&mut self, i: u32) {
        match &self.conns[i].role {
            Role::Upstream(_) => self.upstream_event(i),
            Role::Client(_) => self.drive(i),
            Role::Server(..) => self.turn_server(i),
            Role::Mux(_) => self.turn_mux(i),
            Role::Listener { slot } => {
                let slot = *slot;
                let _others_have_their_turn = self.accept(i, slot);
            }
            Role::Wake => {
                self.mailbox.wake.clear();
                for mail in self.mailbox.take() {
                    self.read_mail(mail);
                }
            }
            Role::Free { .. } => {}
        }
    }

    fn deadline(&mut self, i: u32) {
        match self.conns[i].role {
            Role::Upstream(_) => self.upstream_deadline(i),
            Role::Client(_) => self.client_deadline(i),
            Role::Server(..) => self.server_deadline(i),
            Role::Mux(_) => self.mux_deadline(i),
            Role::Listener { slot } => {
                let _others_have_their_turn = self.accept(i, slot);
            }
            Role::Wake | Role::Free { .. } => {}
        }
    }

    /// Runs one step; a bug in it ends one connection, not the thread. In a request it is caught by [`Shard::step`].
    pub fn guarded(&mut self, i: u32, step: fn(&mut Self, u32)) {
        if catch_unwind(AssertUnwindSafe(|| step(self, i))).is_ok() {
            return;
        }
        self.caught();
        match self.conns[i].role {
            Role::Client(_) => self.abandon(i),
            Role::Upstream(Up { client: NONE, .. }) => self.remove(i),
            Role::Upstream(Up { client, .. }) => self.abandon(client),
            Role::Server(..) | Role::Mux(_) => self.abandon_http2(i),
            _ => {}
        }
    }

    /// Counts a bug, and mends what its stack may have taken along.
    #[cold]
    pub(crate) fn caught(&mut self) {
        bump(&self.counters.panics, 1);
        if self.scratch.is_empty() {
            self.scratch = vec![0; poll::piece()];
        }
    }

    /// Ends a client's connection whose transaction was lost, and the upstream's that it used.
    fn abandon(&mut self, client: u32) {
        for up in self.conns.indices() {
            if self.conns.up(up).is_some_and(|u| u.client == client) {
                self.release(up);
                self.remove(up);
            }
        }
        self.conns.reset_on_close(client);
        self.close_client(client, None);
    }

    pub fn read_clock(&mut self) {
        self.now = poll::monotonic();
        // The two clocks drift apart slowly; a step of the wall clock shows within a second.
        let unix = (self.now + self.offset) / 1_000_000_000;
        if unix != self.unix || self.unix == 0 {
            self.offset = poll::wall().saturating_sub(self.now);
            self.unix = (self.now + self.offset) / 1_000_000_000;
            self.date = wire::date::imf_fixdate(self.unix);
        }
    }

    fn read_mail(&mut self, mail: Mail) {
        match mail {
            Mail::Publish(snapshot, bindings) => self.publish(snapshot, bindings),
            Mail::Woken(keys) => keys.into_iter().for_each(|k| self.wake_here(k)),
            Mail::Answers(all) => all.into_iter().for_each(|a| self.ask_answered(a)),
            Mail::ReopenLog => self.lines.reopen(),
            Mail::Drain(by) => self.drain(by),
            Mail::Stop => self.stop = true,
        }
    }

    fn publish(&mut self, snapshot: Arc<Snapshot>, bindings: Vec<Binding>) {
        let dropped = self.lines.configure(&snapshot);
        bump(&self.counters.access_log_dropped, dropped);
        self.listen(&snapshot, bindings);
        // Connections to endpoints that are no longer wanted would only run into their timeout.
        let wanted: std::collections::HashSet<u32> = snapshot
            .upstreams
            .iter()
            .flat_map(|u| &u.endpoints)
            .map(|e| e.live.slot)
            .collect();
        self.snapshot = Rc::new(snapshot);
        self.leave_muxes(|slot| wanted.contains(&slot));
        for slot in 0..self.pools.slots() {
            if wanted.contains(&slot) {
                continue;
            }
            for up in self.pools.list(&mut self.conns, slot) {
                self.pools.remove(&mut self.conns, up, slot);
                self.remove(up);
            }
        }
    }

    fn drain(&mut self, by: u64) {
        self.drain_by = Some(by);
        self.close_listeners();
        self.leave_servers(None);
    }

    /// True once no request is on its way.
    fn quiet(&mut self) -> bool {
        let indices = self.conns.indices();
        !indices.into_iter().any(|i| {
            // Tunnels last as long as they like: they are cut at the deadline only.
            self.conns.client(i).is_some() || self.conns.server(i).is_some()
        })
    }

    pub fn draining(&self) -> bool {
        self.drain_by.is_some()
    }

    /// Lets `i` go on in the next tick.
    pub fn later(&mut self, i: u32) {
        if !self.conns[i].queued {
            self.conns[i].queued = true;
            self.queue.push(self.conns.token(i));
        }
    }

    /// Closes a descriptor and forgets it.
    pub fn remove(&mut self, i: u32) {
        self.wheel.remove(i);
        self.conns.remove(i);
    }

    /// The names of all listeners of a config for guests, which come without sockets.
    pub fn know_listeners(&mut self, snapshot: &Snapshot) {
        self.doors = true;
        self.listen(snapshot, Vec::new());
    }

    pub fn listener_of(&mut self, i: u32) -> &Listener {
        let slot = self.conns.client(i).map_or(0, |c| c.listener);
        &self.listeners[usize::from(slot)]
    }

    /// Takes the transaction of `i` in hand; [`Shard::step`] puts it back.
    pub fn take(&mut self, i: u32) -> Option<Box<Txn>> {
        self.conns.client(i)?.txn.take()
    }

    /// Puts it back as it is.
    pub fn put_back(&mut self, i: u32, t: Box<Txn>) {
        if let Some(client) = self.conns.client(i) {
            client.txn = Some(t);
        }
    }

    /// A transaction for a connection on which something has come.
    pub fn fresh_txn(&mut self) -> Box<Txn> {
        self.free.pop().unwrap_or_else(|| {
            let mut t = Box::<Txn>::default();
            t.up = NONE;
            t
        })
    }

    /// Takes back a transaction that is as [`Txn::next`] leaves it, with nothing to send or to read.
    pub fn recycle(&mut self, t: Box<Txn>) {
        debug_assert!(t.is_idle() && t.up == NONE, "only what is over is kept");
        if self.free.len() < KEPT_TXNS {
            self.free.push(t);
        }
    }

    /// Outside of a turn: what must not wait for the next.
    pub fn settle_soon(&mut self) {
        if !self.woken.is_empty() {
            self.tell_woken();
        }
        self.turn_stirred();
    }

    /// The config that a request runs under.
    pub fn snapshot_of(&mut self, i: u32) -> Option<InForce> {
        self.conns
            .client(i)?
            .txn
            .as_deref()?
            .run
            .snapshot()
            .cloned()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pass {
    Upstreams,
    Others,
}

pub(crate) use env;

/// Transactions kept for later.
const KEPT_TXNS: usize = 1024;
