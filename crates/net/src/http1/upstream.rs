//! The upstream side of a request: take an idle connection or make one, and give it the request.

use std::sync::atomic::Ordering::Relaxed;

use gateway_core::body::Side;
use gateway_core::forward::{Choice, Failure};
use gateway_core::snapshot::{Address, Http2Settings, Live, UpstreamSettings};
use wire::Framing;

use super::body::Writer;
use super::drive::Next;
use super::txn::{Stage, Txn};
use crate::conns::{Bound, Role, Up, NONE};
use crate::http2::To;
use crate::meter::Upstream as Count;
use crate::poll;
use crate::shard::{env, Shard};

impl Shard {
    /// Finds a connection for the request, going from endpoint to endpoint while they refuse.
    pub(super) fn connect(
        &mut self,
        i: u32,
        t: &mut Txn,
        mut choice: Choice,
    ) -> Result<(), Failure> {
        if asks_trailers(t) {
            // Every call of gRPC says that it takes trailers.
            let head = &t.run.exchange.request;
            let timeout = gateway_core::grpc::timeout(head);
            let past = self.now.saturating_sub(t.started);
            t.patience = timeout.map_or(0, |t| t.saturating_sub(past).max(1));
        }
        loop {
            let e = match choice {
                Choice::Endpoint(e) => e,
                Choice::Fail(failure) => return Err(failure),
            };
            let beside = self.endpoint_beside(t);
            let e = beside.unwrap_or(e);
            let Some((live, settings)) = chosen(t, e) else {
                return Err(Failure::NoEndpoint);
            };
            let slot = live.slot;
            let idle = match settings.http2 {
                None if settings.introduces => self.idle_of_client(i, t, slot),
                None => self.pools.take(&mut self.conns, slot),
                Some(_) => None,
            };
            if let Some(up) = idle {
                self.count_upstream(t, Count::Reused);
                self.attach(i, t, up);
                self.write_request(t);
                t.stage = Stage::Awaiting;
                self.wheel.set(up, self.now + settings.response);
                return Ok(());
            }
            // Only here: counting on it is an atomic on memory that threads share.
            let Some(live) = chosen(t, e).map(|(live, _)| live.clone()) else {
                return Err(Failure::NoEndpoint);
            };
            match self.dial(i, t, &live, &settings) {
                Ok(()) => return Ok(()),
                Err(_) => {
                    self.count_upstream(t, Count::Refused);
                    choice = t.run.refused(&mut env!(self), t.forward);
                }
            }
        }
    }

    fn dial(
        &mut self,
        i: u32,
        t: &mut Txn,
        live: &std::sync::Arc<Live>,
        settings: &UpstreamSettings,
    ) -> std::io::Result<()> {
        if let Some(http2) = settings.http2 {
            return self.call(i, t, live, settings, http2);
        }
        let fd = match &live.address {
            Address::Ip(a) => poll::connect(a)?,
            Address::Unix(path) => poll::connect_unix(path, self.endpoint_beside(t).is_some())?,
        };
        self.count_upstream(t, Count::Connected);
        let bound = if settings.introduces {
            self.write_introduction(i, t);
            Some(Box::new(Bound {
                header: t.up_out.as_slice().into(),
                owner: self.conns.token(self.own(i)),
            }))
        } else {
            None
        };
        let up = self.conns.insert(
            fd,
            Role::Upstream(Up {
                live: live.clone(),
                client: i,
                connecting: true,
                shaking: false,
                counted: false,
                reused: false,
                requests: 0,
                bound,
                born: self.now,
                newer: NONE,
                older: NONE,
            }),
        );
        self.conns[up].writable = false;
        if let Err(e) = self.poll.add(self.conns.fd(up), self.conns.token(up)) {
            self.conns.remove(up);
            return Err(e);
        }
        self.attach(i, t, up);
        t.stage = Stage::Connecting;
        if t.connect_by == 0 {
            t.connect_by = self.now + settings.connect;
        }
        self.wheel.set(up, t.connect_by);
        Ok(())
    }

    /// Takes a stream of a connection that carries many, or makes such a connection.
    fn call(
        &mut self,
        i: u32,
        t: &mut Txn,
        live: &std::sync::Arc<Live>,
        settings: &UpstreamSettings,
        http2: Http2Settings,
    ) -> std::io::Result<()> {
        let born = self.now;
        let role = |connected: bool| {
            Role::Upstream(Up {
                live: live.clone(),
                client: i,
                connecting: !connected,
                shaking: false,
                counted: false,
                reused: connected,
                requests: 0,
                bound: None,
                born,
                newer: NONE,
                older: NONE,
            })
        };
        let found = t.run.snapshot().zip(t.run.upstream(t.forward));
        let secured = found.and_then(|(s, u)| s.upstreams[u as usize].tls.clone());
        let to = To {
            live: live.clone(),
            settings: *settings,
            http2,
            secured,
        };
        let (up, reused) = self.open_call(&to, role)?;
        let counted = if reused {
            Count::Reused
        } else {
            Count::Connected
        };
        self.count_upstream(t, counted);
        self.attach(i, t, up);
        if self.conns.up(up).is_some_and(|u| !u.connecting) {
            self.write_request(t);
            t.stage = Stage::Awaiting;
            self.wheel.set(up, self.now + settings.response);
            return Ok(());
        }
        t.stage = Stage::Connecting;
        if t.connect_by == 0 {
            t.connect_by = self.now + settings.connect;
        }
        self.wheel.set(up, t.connect_by);
        Ok(())
    }

    fn attach(&mut self, i: u32, t: &mut Txn, up: u32) {
        t.up = up;
        t.flags.up_spoke = false;
        t.flags.up_deaf = false;
        let counts = counts(t);
        if let Some(u) = self.conns.up(up) {
            u.client = i;
            u.requests += 1;
            u.counted = counts;
            if counts {
                u.live.active.fetch_add(1, Relaxed);
            }
        }
    }

    /// Something happened on an upstream's connection.
    pub(crate) fn upstream_event(&mut self, up: u32) {
        let Some(u) = self.conns.up(up) else { return };
        if u.client == NONE {
            // Idle: whatever it says, it can no longer be trusted with a request. That it may be
            // written to says nothing, and comes along when a response arrived in pieces.
            let slot = u.live.slot;
            if !self.conns[up].readable && !self.conns[up].read_closed {
                return;
            }
            // TLS has things to say of its own, such as tickets.
            if self.conns.is_secure(up) && !self.unread(up) {
                return;
            }
            self.pools.remove(&mut self.conns, up, slot);
            self.remove(up);
            return;
        }
        let i = u.client;
        if u.shaking {
            let Some(t) = self.take(i) else {
                return;
            };
            self.step(i, t, |shard, t| shard.shake_upstream(i, up, t));
            return;
        }
        if u.connecting {
            if !self.conns[up].writable {
                return;
            }
            let made = self.conns.connected(up);
            let insecure = self.conns.pipe(up).and_then(|p| p.borrow().insecure);
            let Some(t) = self.take(i) else {
                return;
            };
            self.step(i, t, |shard, t| {
                if let Some(why) = insecure {
                    shard.upstream_insecure(i, t, why)
                } else if made {
                    shard.connection_made(i, up, t)
                } else {
                    shard.connection_refused(i, t)
                }
            });
            return;
        }
        self.drive(i);
    }

    pub(super) fn connection_made(&mut self, i: u32, up: u32, t: &mut Txn) -> Next {
        let secure = self.conns.is_secure(up);
        let Some(u) = self.conns.up(up) else {
            return Next::Close;
        };
        if u.live.secure.is_some() && !secure {
            return self.secure_upstream(i, up, t);
        }
        u.connecting = false;
        u.live.accepted();
        let spoke = if secure {
            self.unread(up)
        } else {
            self.conns[up].readable && !self.conns[up].read_closed
        };
        if spoke {
            // It spoke before it was asked: that is no answer to this request.
            return self.forward_failed(i, t, Failure::BadResponse);
        }
        t.stage = Stage::Awaiting;
        self.write_request(t);
        let settings = settings(t);
        self.wheel.set(up, self.now + settings.response);
        Next::Again
    }

    pub(super) fn connection_refused(&mut self, i: u32, t: &mut Txn) -> Next {
        self.count_upstream(t, Count::Refused);
        self.drop_upstream(t);
        t.stage = Stage::Asking;
        let choice = t.run.refused(&mut env!(self), t.forward);
        match self.connect(i, t, choice) {
            Ok(()) => Next::Again,
            Err(failure) => self.forward_failed(i, t, failure),
        }
    }

    /// No response will come from this forward.
    pub(crate) fn forward_failed(&mut self, i: u32, t: &mut Txn, failure: Failure) -> Next {
        self.count_upstream(t, Count::Failed(failure));
        self.drop_upstream(t);
        t.stage = Stage::Asking;
        let step = t.run.failed(&mut env!(self), t.forward, failure);
        self.apply(i, t, step)
    }

    /// The upstream's connection ended before a response head. A reused one may simply have been
    /// closed while it was idle: then a safe request without a body is sent once more, on a new one.
    pub(super) fn upstream_lost(&mut self, i: u32, t: &mut Txn) -> Next {
        let reused = self.conns.up(t.up).is_some_and(|u| u.reused);
        let safe = t.run.exchange.request.method().is_safe();
        let intact = t.request.read == 0 && t.info.framing.is_empty();
        // Whoever refused a stream says that nothing was done for it (RFC 9113 section 8.7).
        let unprocessed = self
            .conns
            .pipe(t.up)
            .is_some_and(|p| p.borrow().unprocessed);
        if !((reused && safe || unprocessed) && intact) || t.flags.up_spoke || t.flags.again {
            return self.forward_failed(i, t, Failure::Reset);
        }
        let Some((live, settings)) = self.conns.up(t.up).map(|u| (u.live.clone(), settings(t)))
        else {
            return self.forward_failed(i, t, Failure::Reset);
        };
        self.count_upstream(t, Count::Retried);
        self.drop_upstream(t);
        t.flags.again = true;
        t.request.begin(Framing::None, &self.listener_of(i).limits);
        match self.dial(i, t, &live, &settings) {
            Ok(()) => Next::Again,
            Err(_) => self.connection_refused(i, t),
        }
    }

    /// Writes the request's head, and what was collected of its body, for the upstream.
    fn write_request(&mut self, t: &mut Txn) {
        let bodies = &t.run.acts.bodies;
        // A chunked body that has ended before its head is written was collected; it may be empty.
        let ended = t.info.framing == Framing::Chunked || !t.collected.is_empty();
        let whole = t.request.done && ended;
        let framing = match t.info.framing {
            _ if whole => Framing::Length(t.collected.len() as u64),
            Framing::None => Framing::None,
            length if bodies.changes(Side::Request) => {
                // Nothing comes in, but the pipes have not been told, and one may have something to say.
                t.request.done &= length != Framing::Length(0);
                Framing::Chunked
            }
            same => same,
        };
        t.up_out.clear();
        self.introduce_first(t);
        let head = &t.run.exchange.request;
        let upgrade = t.info.upgrade.map(|s| head.slice(s));
        wire::http1::write_request(head, framing, upgrade, asks_trailers(t), t.up_out.vec());
        t.request.writer = if framing == Framing::Chunked {
            Writer::Chunked
        } else {
            Writer::Plain
        };
        if !t.collected.is_empty() {
            let collected = std::mem::take(&mut t.collected);
            t.request.frame(&collected, t.up_out.vec());
            t.collected = collected;
        }
    }

    /// Lets go of the upstream's connection in the middle of an exchange: it is closed.
    pub(super) fn drop_upstream(&mut self, t: &mut Txn) {
        let up = std::mem::replace(&mut t.up, NONE);
        if up == NONE {
            return;
        }
        self.release(up);
        self.remove(up);
        t.up_out.clear();
        t.up_input.clear();
        t.up_scan = wire::Scan::default();
        t.up_at = 0;
    }

    /// Its request is no longer in flight.
    pub(crate) fn release(&mut self, up: u32) {
        if let Some(u) = self.conns.up(up) {
            if std::mem::take(&mut u.counted) {
                u.live.active.fetch_sub(1, Relaxed);
            }
        }
    }

    /// The exchange is over: the connection is kept for another request if it is idle, with nothing
    /// unread and both bodies ended; else it is closed.
    pub(super) fn keep_upstream(&mut self, t: &mut Txn) {
        let up = t.up;
        if up == NONE {
            return;
        }
        if self.conns.is_pipe(up) {
            // A stream carries one exchange; its connection is kept by itself.
            self.drop_upstream(t);
            return;
        }
        let settings = settings(t);
        let ended = t.request.done && t.up_out.is_empty() && t.response.reader.is_done();
        let clean = ended && t.flags.up_keep && t.up_input.is_empty() && !t.flags.up_deaf;
        if !clean || self.draining() || self.unread(up) {
            self.drop_upstream(t);
            return;
        }
        t.up = NONE;
        self.release(up);
        let now = self.now;
        let Some(u) = self.conns.up(up) else { return };
        let bound = u.bound.is_some();
        let spent = now - u.born >= settings.lifetime
            || (settings.requests > 0 && u.requests >= settings.requests);
        let client = u.client;
        // A guest is a request: there will be no other of the same client's.
        let last = bound && self.conns[client].guest;
        if spent || last || settings.connections == 0 {
            self.remove(up);
            return;
        }
        let Some(u) = self.conns.up(up) else { return };
        u.reused = true;
        let slot = u.live.slot;
        self.wheel.set(up, now + settings.idle);
        if let Some(oldest) = self
            .pools
            .put(&mut self.conns, up, slot, settings.connections)
        {
            self.remove(oldest);
        }
        if bound {
            self.bind(up);
        }
    }

    /// True if there is something unread, or the end, on a connection that should be silent.
    fn unread(&mut self, up: u32) -> bool {
        if self.conns[up].read_closed {
            return true;
        }
        if !self.conns[up].readable {
            return false;
        }
        let blocked = self.conns.recv(up, &mut self.scratch[..1]) == poll::Moved::Blocked;
        if blocked {
            self.conns[up].readable = false;
        }
        !blocked
    }

    /// An upstream's deadline has passed.
    pub(crate) fn upstream_deadline(&mut self, up: u32) {
        let Some(u) = self.conns.up(up) else { return };
        let (i, connecting, slot) = (u.client, u.connecting, u.live.slot);
        if i == NONE {
            self.pools.remove(&mut self.conns, up, slot);
            self.remove(up);
            return;
        }
        let Some(t) = self.take(i) else {
            return;
        };
        self.step(i, t, |shard, t| {
            if connecting {
                let _next_choice = t.run.refused(&mut env!(shard), t.forward);
                shard.forward_failed(i, t, Failure::ConnectTimeout)
            } else if t.stage == Stage::Awaiting {
                shard.forward_failed(i, t, Failure::ResponseTimeout)
            } else {
                // A body that stalls: what was sent must not be taken for the whole.
                shard.count_upstream(t, Count::Failed(Failure::Reset));
                Next::Reset
            }
        });
    }
}

/// The endpoint's address and its upstream's settings.
fn chosen(t: &Txn, e: u32) -> Option<(&std::sync::Arc<Live>, UpstreamSettings)> {
    let upstream = &t.run.snapshot()?.upstreams[t.run.upstream(t.forward)? as usize];
    let settings = patient(t, upstream.settings);
    Some((&upstream.endpoints.get(e as usize)?.live, settings))
}

/// Trailers are asked for: by the client, or by a filter in its stead.
pub(crate) fn asks_trailers(t: &Txn) -> bool {
    t.info.te_trailers || t.run.acts.asks_trailers()
}

/// No upstream has longer than its client waits.
fn patient(t: &Txn, mut settings: UpstreamSettings) -> UpstreamSettings {
    if t.patience > 0 {
        settings.connect = settings.connect.min(t.patience);
        settings.response = settings.response.min(t.patience);
    }
    settings
}

pub(crate) fn settings(t: &Txn) -> UpstreamSettings {
    let found = t.run.snapshot().zip(t.run.upstream(t.forward));
    found
        .map(|(s, u)| patient(t, s.upstreams[u as usize].settings))
        .unwrap_or_default()
}

fn counts(t: &Txn) -> bool {
    let found = t.run.snapshot().zip(t.run.upstream(t.forward));
    found.is_some_and(|(s, u)| s.upstreams[u as usize].balance.counts())
}
