//! Listening sockets of a shard, and the connections that come through them.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use gateway_core::config::{self, Cidr, Door};
use gateway_core::reply::{Body, Reply};
use gateway_core::snapshot::Snapshot;
use wire::{Head, Limits};

use crate::conns::{Client, Role};
use crate::handshakes::Handshakes;
use crate::http1::{Stage, Txn};
use crate::local::Local;
use crate::meter::Count as _;
use crate::outbox::said;
use crate::poll::{self, Accepted};
use crate::shard::Shard;
use crate::tls::ServerTls;

/// A new socket for a listener.
pub(crate) struct Binding {
    pub name: String,
    pub fd: OwnedFd,
}

/// One listener of a shard. Its place in the list is kept for as long as it has connections.
pub(crate) struct Listener {
    pub name: String,
    /// Its place in the config in force.
    pub index: u32,
    /// The connection slab's place of its socket; none once it is retired.
    socket: Option<u32>,
    /// It is gone from the config: its connections end with their request.
    pub retired: bool,
    pub meter: u32,
    pub open: u32,
    pub most: u32,
    pub requests: u32,
    pub limits: Limits,
    pub health: bool,
    pub trust: Option<Box<[Cidr]>>,
    pub head: u64,
    pub idle: u64,
    pub stall: u64,
    /// Bytes a second that a body must come with; 0 for no limit.
    pub min_body_rate: u64,
    pub tunnel: u64,
    /// What its connections are secured with.
    pub tls: Option<Arc<ServerTls>>,
    pub handshake: u64,
    pub handshakes: Handshakes,
    pub http2: config::Http2,
    /// The number of the door that the thread's owner opened here; 0 for the edge's.
    pub door: u32,
    /// Connections of it that were handed over and are counted nowhere else.
    pub given: u32,
    /// For which upstreams that owner answers.
    pub answers: Local,
}

impl Shard {
    /// Takes over the listeners of a config: new sockets are in `bindings`, the others stay.
    pub(crate) fn listen(&mut self, snapshot: &Snapshot, bindings: Vec<Binding>) {
        let config = &snapshot.config;
        for l in 0..self.listeners.len() {
            let name = self.listeners[l].name.as_str();
            let mine = |c: &config::Listener| self.doors || c.door == Door::Edge;
            let same = |c: &config::Listener| c.name.as_str() == name && mine(c);
            let Some(index) = config.listeners.iter().position(same) else {
                self.retire(l);
                continue;
            };
            let moved = bindings.iter().any(|b| b.name == self.listeners[l].name);
            if moved {
                self.retire(l);
            } else if !self.listeners[l].retired {
                configure(&mut self.listeners[l], snapshot, index);
                self.listeners[l].meter = snapshot.listener_meters[index];
            }
        }
        for (index, l) in config.listeners.iter().enumerate().filter(|_| self.doors) {
            let name = l.name.as_str();
            if !self.listeners.iter().any(|l| !l.retired && l.name == name) {
                let mut listener = Listener::new(name.to_owned(), None);
                listener.meter = snapshot.listener_meters[index];
                configure(&mut listener, snapshot, index);
                match self.listeners.iter().position(|l| l.retired) {
                    Some(at) => self.listeners[at] = listener,
                    None => self.listeners.push(listener),
                }
            }
        }
        for b in bindings {
            let Some(index) = config
                .listeners
                .iter()
                .position(|c| c.name.as_str() == b.name)
            else {
                continue;
            };
            let place = self.listeners.iter().position(|l| l.retired && l.open == 0);
            let slot = place.unwrap_or(self.listeners.len());
            let i = self
                .conns
                .insert(b.fd, Role::Listener { slot: slot as u16 });
            if self
                .poll
                .add(self.conns.fd(i), self.conns.token(i))
                .is_err()
            {
                self.conns.remove(i);
                continue;
            }
            let mut listener = Listener::new(b.name, Some(i));
            listener.meter = snapshot.listener_meters[index];
            configure(&mut listener, snapshot, index);
            match place {
                Some(at) => self.listeners[at] = listener,
                None => self.listeners.push(listener),
            }
        }
    }

    /// Listens for the thread's owner, who answers what leads to the listener's app. False if no listener has this name.
    pub(crate) fn open_door(&mut self, name: &str, fd: OwnedFd, door: u32) -> bool {
        let snapshot = self.snapshot.clone();
        let listeners = &snapshot.config.listeners;
        let Some(index) = listeners.iter().position(|l| l.name.as_str() == name) else {
            return false;
        };
        self.leave_door(name);
        let free = self.listeners.iter().position(|l| l.retired && l.open == 0);
        let slot = free.unwrap_or(self.listeners.len());
        let i = self.conns.insert(fd, Role::Listener { slot: slot as u16 });
        if self
            .poll
            .add(self.conns.fd(i), self.conns.token(i))
            .is_err()
        {
            self.conns.remove(i);
            return false;
        }
        let mut listener = Listener::new(name.to_owned(), Some(i));
        listener.meter = snapshot.listener_meters[index];
        listener.door = door;
        configure(&mut listener, &snapshot, index);
        if slot == self.listeners.len() {
            self.listeners.push(listener);
        } else {
            self.listeners[slot] = listener;
        }
        true
    }

    /// Listens no more at a door: its connections end with their request.
    pub(crate) fn leave_door(&mut self, name: &str) {
        let mine = |l: &Listener| l.door != 0 && !l.retired && l.name == name;
        if let Some(l) = self.listeners.iter().position(mine) {
            self.retire(l);
            self.say_left(l);
        }
    }

    /// Tells the owner when the last connection of a door that it left has ended.
    fn say_left(&mut self, l: usize) {
        let l = &self.listeners[l];
        if l.retired && l.open == 0 && l.door != 0 {
            self.outbox.say(l.door, said::LEFT);
        }
    }

    fn retire(&mut self, l: usize) {
        self.listeners[l].retired = true;
        let Some(i) = self.listeners[l].socket.take() else {
            return;
        };
        // Connections that wait in its queue would be reset: they are taken in first.
        while self.accept(i, l as u16) {}
        self.remove(i);
        self.leave_servers(Some(l));
        for i in self.conns.indices() {
            let untouched = self.conns.untouched(i);
            let client = self.conns.client(i);
            let idle = client.is_some_and(|c| {
                let nothing_sent = |t: &Txn| match t.stage {
                    Stage::Proxy => t.input.is_empty(),
                    Stage::Handshake => untouched,
                    _ => false,
                };
                usize::from(c.listener) == l && c.txn.as_deref().is_none_or(nothing_sent)
            });
            if idle {
                // A request may have arrived unseen: it is still answered. If there is none, the
                // connection is closed.
                self.conns[i].readable = true;
                self.later(i);
            }
        }
    }

    pub(crate) fn close_listeners(&mut self) {
        for l in 0..self.listeners.len() {
            self.retire(l);
        }
    }

    /// Takes in connections that wait, within the listener's limit. True if more may wait that can
    /// be taken in at once.
    pub(crate) fn accept(&mut self, socket: u32, slot: u16) -> bool {
        let fd = self.conns.fd(socket);
        for _ in 0..ACCEPTS {
            let l = &self.listeners[usize::from(slot)];
            if l.open >= l.most || self.is_full_of_given(slot) {
                // They wait in the system's queue until one leaves.
                self.wheel.set(socket, self.now + RETRY);
                return false;
            }
            match poll::accept(fd) {
                Accepted::Some(fd, peer) => {
                    let l = &mut self.listeners[usize::from(slot)];
                    l.open += 1;
                    let meter = l.meter;
                    let proxied = l
                        .trust
                        .as_ref()
                        .is_some_and(|t| t.iter().any(|c| c.contains(peer.ip())));
                    self.counters.accepted(meter);
                    let client = Client {
                        peer,
                        listener: slot,
                        requests: 0,
                        shaking: false,
                        waits: false,
                        proxied: None,
                        local: None,
                        txn: None,
                        guest: None,
                    };
                    let i = self.conns.insert(fd, Role::Client(client));
                    if self
                        .poll
                        .add(self.conns.fd(i), self.conns.token(i))
                        .is_err()
                    {
                        self.close_client(i, None);
                        continue;
                    }
                    let head = self.listeners[usize::from(slot)].head;
                    self.wheel.set(i, self.now + head);
                    if proxied {
                        let mut t: Box<Txn> = self.fresh_txn();
                        t.stage = Stage::Proxy;
                        if let Some(client) = self.conns.client(i) {
                            client.txn = Some(t);
                        }
                    } else if self.listeners[usize::from(slot)].handshake > 0 {
                        if !self.may_shake(i) {
                            self.close_client(i, None);
                            continue;
                        }
                        let mut t: Box<Txn> = self.fresh_txn();
                        self.begin_handshake(i, &mut t);
                        if let Some(client) = self.conns.client(i) {
                            client.txn = Some(t);
                        }
                    }
                }
                Accepted::None => return false,
                Accepted::Exhausted => {
                    let meter = self.listeners[usize::from(slot)].meter;
                    self.counters.refused_connection(meter);
                    self.wheel.set(socket, self.now + RETRY);
                    return false;
                }
            }
        }
        self.wheel.set(socket, self.now + 1);
        true
    }

    /// A connection of this listener has ended.
    pub(crate) fn left(&mut self, slot: u16) {
        let l = &mut self.listeners[usize::from(slot)];
        l.open = l.open.saturating_sub(1);
        let (meter, below) = (l.meter, l.open + 1 == l.most);
        self.counters.left(meter);
        if let (true, Some(socket)) = (below, l.socket) {
            self.wheel.set(socket, self.now);
        }
        self.say_left(usize::from(slot));
    }

    /// Answers `/healthz` and `/readyz` where the listener says `health: true`.
    pub(crate) fn health(&self, head: &Head) -> Option<Reply> {
        let text = |status, text: &str| Reply {
            status,
            code: "",
            fields: Vec::new(),
            body: Body::Plain("text/plain".into(), text.into()),
        };
        match head.path() {
            b"/healthz" => Some(text(200, "ok\n")),
            b"/readyz" if self.draining() => Some(text(503, "draining\n")),
            b"/readyz" => Some(text(200, "ready\n")),
            _ => None,
        }
    }
}

impl Listener {
    fn new(name: String, socket: Option<u32>) -> Self {
        Self {
            name,
            index: 0,
            socket,
            retired: false,
            meter: 0,
            open: 0,
            most: 0,
            requests: 0,
            limits: Limits::default(),
            health: false,
            trust: None,
            head: 0,
            idle: 0,
            stall: 0,
            min_body_rate: 0,
            tunnel: 0,
            tls: None,
            handshake: 0,
            handshakes: Handshakes::default(),
            http2: config::Http2::default(),
            door: 0,
            given: 0,
            answers: Local::None,
        }
    }
}

fn configure(l: &mut Listener, snapshot: &Snapshot, index: usize) {
    let c = &snapshot.config.listeners[index];
    // Without its certificates a listener with TLS has no connections: see `Shard::begin_handshake`.
    let made = snapshot.listener_tls[index].as_ref();
    l.tls = made.and_then(|s| s.with.clone().downcast().ok());
    let tls = c.tls.as_ref();
    l.handshake = tls.map_or(0, |t| t.server().handshake_timeout.nanos());
    if let Some(tls) = tls {
        l.handshakes
            .configure(&tls.server().handshakes, poll::random());
    }
    l.index = index as u32;
    l.health = c.health;
    l.trust = c.proxy_protocol.as_ref().map(|p| p.trust.clone().into());
    l.head = c.timeouts.head.nanos();
    l.idle = c.timeouts.idle.nanos();
    l.stall = c.timeouts.stall.nanos();
    l.min_body_rate = c.limits.min_body_rate.get();
    l.tunnel = c.timeouts.tunnel.nanos();
    l.http2 = c.http2.clone();
    l.answers = match snapshot.app_at(index).filter(|_| l.door != 0) {
        Some(app) => Local::One(app),
        None => Local::None,
    };
    l.most = c.limits.connections.get() as u32;
    l.requests = c.limits.requests_per_connection.get() as u32;
    l.limits = Limits {
        head: c.limits.head.bytes() as usize,
        fields: c.limits.fields.get() as usize,
        uri: c.limits.uri.bytes() as usize,
    };
}

/// Connections taken in before others have their turn.
const ACCEPTS: u32 = 256;
/// After how long accepting is tried again when it could not be done.
const RETRY: u64 = 50_000_000;
