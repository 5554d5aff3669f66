//! One connection to an upstream's endpoint that carries many requests.
//!
//! Bounds: as many streams as the config and the other side allow, whichever is fewer; one more makes another
//! connection. A connection that may take no more, or said that it ends, is closed after its last request.

use std::collections::HashMap;
use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use gateway_core::forward::Failure;
use gateway_core::snapshot::{Address, Http2Settings, Live, Secured, UpstreamSettings};
use h2::client::{Builder, Connection, SendRequest};
use wire::Head;

use super::call::{Call, Went};
use super::frames::Frames;
use super::line::{Io, Line};
use crate::conns::Role;
use crate::pipe::{End, Pipe, Then};
use crate::poll;
use crate::shard::Shard;
use crate::tls::{ClientTls, Shake, Tls};

/// See the module.
pub(crate) struct Mux {
    slot: u32,
    settings: UpstreamSettings,
    line: Line,
    /// None once it takes no more requests.
    send: Option<SendRequest<Bytes>>,
    /// None once it is over.
    codec: Option<Connection<Io, Bytes>>,
    calls: HashMap<u32, Call>,
    next: u32,
    /// Calls whose pipe has something for it.
    pub stirred: Vec<u32>,
    head: Box<Head>,
    /// Its socket is connected.
    made: bool,
    /// TLS that is still to be begun.
    begun: Option<Box<Tls>>,
    /// It waits for TLS.
    shaking: bool,
    /// The other side's settings have come: how many streams it takes is known.
    connected: bool,
    born: u64,
    /// Since when there is no request.
    idle: u64,
}

/// The connections of one thread, by the endpoint's slot.
pub(crate) type Muxes = HashMap<u32, Vec<u32>>;

/// Where a call goes.
pub(crate) struct To {
    pub live: Arc<Live>,
    pub settings: UpstreamSettings,
    pub http2: Http2Settings,
    pub secured: Option<Secured>,
}

impl Mux {
    fn new(slot: u32, settings: UpstreamSettings, http2: Http2Settings, now: u64) -> Option<Self> {
        let frames = Frames::new(FLOOD_BUDGET, false, now);
        let (line, io) = Line::new(frames, now);
        let limits = wire::Limits::default();
        let mut builder = Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(http2.stream_window)
            .initial_connection_window_size(http2.connection_window)
            .max_header_list_size(limits.head as u32)
            .max_send_buffer_size(SEND_BUFFER)
            .initial_max_send_streams(http2.streams as usize);
        let mut greeting = Box::pin(builder.handshake(io));
        let mut cx = Context::from_waker(line.waker());
        // It only writes, and there is room for that.
        let Poll::Ready(Ok((send, codec))) = greeting.as_mut().poll(&mut cx) else {
            return None;
        };
        line.wake();
        Some(Self {
            slot,
            settings,
            line,
            send: Some(send),
            codec: Some(codec),
            calls: HashMap::new(),
            next: 0,
            stirred: Vec::new(),
            head: Box::default(),
            made: false,
            begun: None,
            shaking: false,
            connected: false,
            born: now,
            idle: now,
        })
    }

    /// True if one of its calls has something for it.
    pub fn is_stirred(&self, call: u32) -> bool {
        let call = self.calls.get(&call);
        call.is_some_and(|c| c.pipe.borrow().is_stirred())
    }

    /// True if it takes one more request.
    fn has_room(&mut self, now: u64) -> bool {
        let (settings, opened) = (self.settings, self.next);
        let spent = now.saturating_sub(self.born) >= settings.lifetime
            || (settings.requests > 0 && opened >= settings.requests);
        let Some(send) = &mut self.send else {
            return false;
        };
        // It says so once the other side has sent its GOAWAY.
        let ready = send.poll_ready(&mut Context::from_waker(Waker::noop()));
        if spent || matches!(ready, Poll::Ready(Err(_))) {
            self.leave();
            return false;
        }
        let most = settings.http2.map_or(1, |h| h.streams as usize);
        self.calls.len() < most.min(send.current_max_send_streams())
    }

    /// There is no secure connection, or nobody speaks HTTP/2 on it. Returns that it is to be closed.
    fn insecure(&self, why: Failure) -> bool {
        for call in self.calls.values() {
            call.pipe.borrow_mut().insecure = Some(why);
        }
        false
    }

    /// It takes no more requests, and ends with its last.
    fn leave(&mut self) {
        self.send = None;
        self.line.wake();
    }
}

impl Shard {
    /// A stream to this endpoint, on a connection that is there or on a new one. Returns its place, and whether its
    /// connection stands.
    pub(crate) fn open_call(
        &mut self,
        to: &To,
        role: impl FnOnce(bool) -> Role,
    ) -> std::io::Result<(u32, bool)> {
        let (now, slot) = (self.now, to.live.slot);
        let known = self.muxes.get(&slot).cloned().unwrap_or_default();
        let found = known.into_iter().find(|m| {
            let mux = self.conns.mux(*m).and_then(Option::as_mut);
            mux.is_some_and(|m| m.settings.http2 == Some(to.http2) && m.has_room(now))
        });
        let m = match found {
            Some(m) => m,
            None => self.dial_mux(to)?,
        };
        let token = self.conns.token(m);
        let secure = self.conns.proved(m);
        let Some(mux) = self.conns.mux(m).and_then(Option::as_mut) else {
            return Err(std::io::ErrorKind::NotConnected.into());
        };
        let (id, connected) = (mux.next, mux.connected);
        mux.next += 1;
        let waker = mux.line.waker_of(id);
        let pipe = Pipe::new((token, id));
        pipe.borrow_mut().secure = secure;
        let up = self.conns.insert_pipe(pipe.clone(), role(connected));
        self.conns[up].writable = connected;
        let call = Call::new(self.conns.token(up), pipe, waker);
        if let Some(mux) = self.conns.mux(m).and_then(Option::as_mut) {
            mux.calls.insert(id, call);
        }
        Ok((up, found.is_some()))
    }

    fn dial_mux(&mut self, to: &To) -> std::io::Result<u32> {
        let (live, settings) = (&to.live, &to.settings);
        let mut mux = Mux::new(live.slot, *settings, to.http2, self.now)
            .ok_or(std::io::ErrorKind::OutOfMemory)?;
        if let Some(host) = &live.secure {
            let secured = to.secured.as_ref();
            let tls = secured.and_then(|s| s.with.downcast_ref::<ClientTls>());
            // Nothing is sent in the clear that was meant to be secure.
            let begun = tls.and_then(|tls| tls.connect(host, true));
            mux.begun = Some(begun.ok_or(std::io::ErrorKind::InvalidInput)?);
        }
        let fd = match &live.address {
            Address::Ip(a) => poll::connect(a)?,
            Address::Unix(path) => poll::connect_unix(path, false)?,
        };
        let m = self.conns.insert(fd, Role::Mux(Some(Box::new(mux))));
        self.conns[m].writable = false;
        if let Err(e) = self.poll.add(self.conns.fd(m), self.conns.token(m)) {
            self.conns.remove(m);
            return Err(e);
        }
        self.wheel.set(m, self.now + settings.connect + GRACE);
        self.muxes.entry(live.slot).or_default().push(m);
        Ok(m)
    }

    /// Makes progress on a connection to an endpoint, and then on the requests for which something came.
    pub(crate) fn turn_mux(&mut self, i: u32) {
        let Some(mut m) = self.conns.mux(i).and_then(Option::take) else {
            return;
        };
        let mut came = Vec::new();
        if self.advance_mux(i, &mut m, &mut came) {
            self.mux_timer(i, &m);
            if let Some(place) = self.conns.mux(i) {
                *place = Some(m);
            }
        } else {
            self.close_mux(i, *m, &mut came);
        }
        // Only now: what they do next may want this connection again.
        for up in came {
            if let Some(up) = self.conns.of_token(up) {
                self.guarded(up, Self::upstream_event);
            }
        }
    }

    /// False if the connection is to be closed.
    fn advance_mux(&mut self, i: u32, m: &mut Mux, came: &mut Vec<u64>) -> bool {
        if !m.made {
            if !self.conns[i].writable {
                return true;
            }
            if !self.conns.connected(i) {
                return false;
            }
            m.made = true;
            if let Some(tls) = m.begun.take() {
                self.conns.secure(i, tls, &[]);
                m.shaking = true;
            }
        }
        if m.shaking {
            match self.conns.handshake(i) {
                Shake::Wait => return true,
                Shake::Done if self.conns.alpn(i) == Some(b"h2") => m.shaking = false,
                Shake::Done => return m.insecure(Failure::Tls),
                Shake::Failed(why) if why.certificate => {
                    return m.insecure(Failure::TlsCertificate)
                }
                Shake::Failed(_) => return m.insecure(Failure::Tls),
            }
            let secure = self.conns.proved(i);
            for call in m.calls.values() {
                call.pipe.borrow_mut().secure = secure.clone();
            }
        }
        let mut share = SHARE;
        loop {
            let mut busy = false;
            if m.codec.is_some() && share > 0 && self.receive_line(i, &mut m.line) {
                share -= 1;
                busy = true;
            }
            if m.codec.is_some() && m.line.take_woken() {
                busy = true;
                self.poll_mux(m);
                if m.codec.is_none() {
                    // What came before the end is still theirs.
                    m.stirred.extend(m.calls.keys());
                }
            }
            let mut calls = m.line.take_streams();
            calls.append(&mut m.stirred);
            for id in calls {
                self.turn_call(m, id, came);
                busy = true;
            }
            if self.flush_line(i, &mut m.line).is_err() {
                m.codec = None;
            }
            if !busy && (m.codec.is_none() || !m.line.is_woken()) {
                break;
            }
        }
        if !m.connected {
            if m.codec.is_none() {
                return false;
            }
            m.connected = m.line.frames.greeted();
            if m.connected {
                self.connect_calls(m, came);
            }
        }
        if self.conns[i].readable && share == 0 {
            self.later(i);
        }
        let over = m.codec.is_none();
        !(m.calls.is_empty() && over)
    }

    fn connect_calls(&mut self, m: &Mux, came: &mut Vec<u64>) {
        for call in m.calls.values() {
            if let Some(up) = self.conns.of_token(call.inner) {
                self.conns[up].writable = true;
                came.push(call.inner);
            }
        }
    }

    fn poll_mux(&mut self, m: &mut Mux) {
        let mut cx = Context::from_waker(m.line.waker());
        let Some(codec) = &mut m.codec else { return };
        if m.line.spent || Pin::new(codec).poll(&mut cx).is_ready() {
            m.send = None;
            m.codec = None;
        }
    }

    fn turn_call(&mut self, m: &mut Mux, id: u32, came: &mut Vec<u64>) {
        let Some(call) = m.calls.get_mut(&id) else {
            return;
        };
        call.pipe.borrow_mut().settle();
        if call.pipe.borrow().gone {
            // Its frames, if any were still to come, are told off by the codec.
            m.calls.remove(&id);
            m.line.wake();
            if m.calls.is_empty() {
                self.rest_mux(m);
            }
            return;
        }
        let Went { came: some, room } = call.advance(m.send.as_ref(), &mut m.head);
        let Some(up) = self.conns.of_token(call.inner) else {
            return;
        };
        self.conns[up].readable |= some;
        self.conns[up].writable |= room;
        if (some || room) && !came.contains(&call.inner) {
            came.push(call.inner);
        }
    }

    /// The last request is over: the connection is kept for others if it may be.
    fn rest_mux(&mut self, m: &mut Mux) {
        m.idle = self.now;
        let most = m.settings.connections as usize;
        let all = self.muxes.get(&m.slot).map_or(0, Vec::len);
        if all > most || self.draining() || !m.has_room(self.now) {
            m.leave();
        }
    }

    fn close_mux(&mut self, i: u32, m: Mux, came: &mut Vec<u64>) {
        for call in m.calls.into_values() {
            self.cut_call(call.inner, &call.pipe, came);
        }
        self.forget_mux(i, m.slot);
        self.remove(i);
    }

    fn cut_call(&mut self, inner: u64, pipe: &End, came: &mut Vec<u64>) {
        if pipe.borrow().gone {
            return;
        }
        pipe.borrow_mut().then = Then::Cut;
        if let Some(up) = self.conns.of_token(inner) {
            (self.conns[up].readable, self.conns[up].writable) = (true, true);
            came.push(inner);
        }
    }

    fn forget_mux(&mut self, i: u32, slot: u32) {
        if let Some(all) = self.muxes.get_mut(&slot) {
            all.retain(|m| *m != i);
            if all.is_empty() {
                self.muxes.remove(&slot);
            }
        }
    }

    fn mux_timer(&mut self, i: u32, m: &Mux) {
        let due = [
            (!m.connected).then_some(m.born + m.settings.connect + GRACE),
            (m.connected && !m.line.is_flushed()).then_some(m.line.moved + m.settings.stall),
            m.calls.is_empty().then_some(m.idle + m.settings.idle),
            m.line.frames.pending_since().map(|t| t + m.settings.stall),
        ];
        match due.into_iter().flatten().min() {
            Some(due) => self.wheel.set(i, due),
            None => self.wheel.clear(i),
        }
    }

    /// One of the deadlines of a connection to an endpoint may have passed.
    pub(crate) fn mux_deadline(&mut self, i: u32) {
        let now = self.now;
        let Some(Some(m)) = self.conns.mux(i) else {
            return;
        };
        let s = &m.settings;
        let stuck = !m.connected && now >= m.born + s.connect + GRACE
            || m.connected && !m.line.is_flushed() && now >= m.line.moved + s.stall
            || m.line.frames.pending_since().is_some_and(|t| now >= t + s.stall)
            // It was told off when it was idle, and is still there.
            || m.calls.is_empty() && m.send.is_none() && now >= m.idle + s.idle;
        if stuck {
            let Some(m) = self.conns.mux(i).and_then(Option::take) else {
                return;
            };
            let mut came = Vec::new();
            self.close_mux(i, *m, &mut came);
            for up in came {
                if let Some(up) = self.conns.of_token(up) {
                    self.guarded(up, Self::upstream_event);
                }
            }
            return;
        }
        if m.calls.is_empty() && now >= m.idle + s.idle {
            m.leave();
        }
        self.turn_mux(i);
    }

    /// Connections to endpoints that are no longer wanted end with their last request.
    pub(crate) fn leave_muxes(&mut self, wanted: impl Fn(u32) -> bool) {
        let all: Vec<(u32, u32)> = self
            .muxes
            .iter()
            .flat_map(|(slot, all)| all.iter().map(|m| (*slot, *m)))
            .collect();
        for (slot, i) in all {
            if wanted(slot) {
                continue;
            }
            if let Some(Some(m)) = self.conns.mux(i) {
                m.leave();
                self.later(i);
            }
        }
    }
}

/// Pieces that are received of one connection before others have their turn.
const SHARE: u32 = 4;
/// Bytes that the codec takes of one request ahead of the socket.
const SEND_BUFFER: usize = 64 << 10;
/// Points an upstream may spend; see [`Frames`].
const FLOOD_BUDGET: u32 = 10_000;
/// A connection outlasts the deadlines of those who wait for it, so that these have the word.
const GRACE: u64 = 1_000_000_000;
