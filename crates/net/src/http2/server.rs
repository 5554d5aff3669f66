//! One client's connection that speaks HTTP/2.
//!
//! Bounds: the listener's `http2` and `limits`; [`HEADS`] bytes of the heads of open requests, beyond which a request
//! is refused before anybody saw it.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use wire::Head;

use super::frames::{Frames, ANSWERED, RESET};
use super::head;
use super::line::{Io, Line};
use super::stream::Stream;
use crate::conns::{Client, Role};
use crate::listener::Listener;
use crate::meter::Count as _;
use crate::pipe::{Pipe, Then};
use crate::poll::Moved;
use crate::shard::Shard;

/// See the module.
pub(crate) struct Server {
    /// Whose connection it is.
    pub client: Client,
    line: Line,
    codec: Codec,
    streams: HashMap<u32, Stream>,
    /// Streams whose pipe has something for them.
    pub stirred: Vec<u32>,
    /// A head in hand.
    head: Box<Head>,
    requests: u32,
    /// Bytes of the heads of open requests.
    heads: usize,
    /// Since when there is no request.
    idle: u64,
    /// When the client was told that the connection ends; 0 if it was not.
    leaving: u64,
    /// The client was told that it spent its budget.
    calmed: bool,
    /// When its streams are next looked over; 0 if there are none.
    sweep: u64,
    /// Since when nothing more is made of what comes; 0 if it is open.
    over: u64,
    /// It was shut for sending.
    shut: bool,
}

enum Codec {
    Greeting(Handshake<Io, Bytes>),
    Open(Connection<Io, Bytes>),
    Over,
}

impl Server {
    fn new(client: Client, listener: &Listener, now: u64) -> Self {
        let http2 = &listener.http2;
        let frames = Frames::new(http2.flood_budget.get() as u32, true, now);
        let (line, io) = Line::new(frames, now);
        let mut builder = Builder::new();
        builder
            .max_concurrent_streams(http2.max_concurrent_streams.get() as u32)
            .initial_window_size(http2.initial_stream_window_size.bytes() as u32)
            .initial_connection_window_size(http2.initial_connection_window_size.bytes() as u32)
            .max_frame_size(http2.max_frame_size.bytes() as u32)
            .max_header_list_size(listener.limits.head as u32)
            .max_send_buffer_size(SEND_BUFFER)
            .max_concurrent_reset_streams(RESET_STREAMS)
            .max_pending_accept_reset_streams(PENDING_RESETS)
            .max_local_error_reset_streams(Some(LOCAL_RESETS))
            .enable_connect_protocol();
        line.wake();
        Self {
            client,
            line,
            codec: Codec::Greeting(builder.handshake(io)),
            streams: HashMap::new(),
            stirred: Vec::new(),
            head: Box::default(),
            requests: 0,
            heads: 0,
            idle: now,
            leaving: 0,
            calmed: false,
            sweep: 0,
            over: 0,
            shut: false,
        }
    }

    /// True if one of its streams has something for it.
    pub fn is_stirred(&self, stream: u32) -> bool {
        let stream = self.streams.get(&stream);
        stream.is_some_and(|s| s.pipe.borrow().is_stirred())
    }

    /// Tells the client that the connection ends once the requests on their way have their answers (RFC 9113
    /// section 6.8): first that it should send no more, and a round trip later which ones still counted.
    fn leave(&mut self, now: u64) {
        if self.leaving != 0 {
            return;
        }
        self.leaving = now;
        match &mut self.codec {
            Codec::Open(c) => c.graceful_shutdown(),
            Codec::Greeting(_) => self.codec = Codec::Over,
            Codec::Over => {}
        }
        self.line.wake();
    }

    /// Ends the connection with this reason.
    fn abort(&mut self, why: Reason) {
        match &mut self.codec {
            Codec::Open(c) => c.abrupt_shutdown(why),
            _ => self.codec = Codec::Over,
        }
        self.line.wake();
    }
}

impl Shard {
    /// From here on the client's connection speaks HTTP/2; `early` is what was received of it.
    pub(crate) fn begin_http2(&mut self, i: u32, early: &[u8]) {
        let role = std::mem::replace(&mut self.conns[i].role, Role::Wake);
        let Role::Client(client) = role else {
            self.conns[i].role = role;
            return;
        };
        self.conns[i].role = Role::Server(client.listener, None);
        let listener = &self.listeners[usize::from(client.listener)];
        let mut server = Box::new(Server::new(client, listener, self.now));
        server.line.feed(early, self.now);
        if let Some(place) = self.conns.server(i) {
            *place = Some(server);
        }
        self.turn_server(i);
    }

    /// Makes progress on a client's connection.
    pub(crate) fn turn_server(&mut self, i: u32) {
        let Some(mut s) = self.conns.server(i).and_then(Option::take) else {
            return;
        };
        if self.advance_server(i, &mut s) {
            self.server_timer(i, &mut s);
            if let Some(place) = self.conns.server(i) {
                *place = Some(s);
            }
        } else {
            self.close_server(i, s);
        }
    }

    /// False if the connection is to be closed.
    fn advance_server(&mut self, i: u32, s: &mut Server) -> bool {
        let mut share = SHARE;
        loop {
            let mut busy = false;
            if s.over == 0 && share > 0 && self.receive_line(i, &mut s.line) {
                share -= 1;
                busy = true;
            }
            if s.over == 0 && s.line.take_woken() {
                self.poll_server(i, s);
                busy = true;
            }
            let mut streams = s.line.take_streams();
            streams.append(&mut s.stirred);
            for id in streams {
                self.turn_stream(s, id);
                busy = true;
            }
            if matches!(s.codec, Codec::Over) && s.over == 0 {
                s.over = self.now.max(1);
                self.cut_streams(s);
            }
            if self.flush_line(i, &mut s.line).is_err() {
                return false;
            }
            if !busy && (s.over != 0 || !s.line.is_woken()) {
                break;
            }
        }
        if s.over != 0 {
            return self.linger_server(i, s);
        }
        if self.conns[i].readable && share == 0 {
            self.later(i);
        }
        true
    }

    fn poll_server(&mut self, i: u32, s: &mut Server) {
        if s.line.spent && !s.calmed {
            s.calmed = true;
            self.counters.bad_request("http2_flood");
            s.abort(Reason::ENHANCE_YOUR_CALM);
        }
        loop {
            let mut cx = Context::from_waker(s.line.waker());
            match &mut s.codec {
                Codec::Over => return,
                Codec::Greeting(greeting) => match Pin::new(greeting).poll(&mut cx) {
                    Poll::Ready(Ok(open)) => s.codec = Codec::Open(open),
                    Poll::Ready(Err(_)) => s.codec = Codec::Over,
                    Poll::Pending => return,
                },
                Codec::Open(open) => match open.poll_accept(&mut cx) {
                    Poll::Ready(Some(Ok((request, respond)))) => {
                        self.open_stream(i, s, request, respond);
                    }
                    Poll::Ready(Some(Err(e))) => {
                        if e.is_library() {
                            self.counters.bad_request("http2_protocol");
                        }
                        s.codec = Codec::Over;
                    }
                    Poll::Ready(None) => s.codec = Codec::Over,
                    Poll::Pending => return,
                },
            }
        }
    }

    fn open_stream(
        &mut self,
        i: u32,
        s: &mut Server,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) {
        let id = respond.stream_id().as_u32();
        s.requests += 1;
        let most = self.listeners[usize::from(s.client.listener)].requests;
        if most > 0 && s.requests >= most {
            s.leave(self.now);
        }
        let (parts, body) = request.into_parts();
        let pipe = Pipe::new((self.conns.token(i), id));
        pipe.borrow_mut().secure = self.conns.proved(i);
        let nonce = [self.rng.next_u64(), self.rng.next_u64()].map(u64::to_be_bytes);
        let nonce: [u8; 16] = std::array::from_fn(|k| nonce[k / 8][k % 8]);
        let asked = {
            let mut pipe = pipe.borrow_mut();
            head::write_request(&parts, body.is_end_stream(), nonce, pipe.inward.vec())
        };
        let Ok(asked) = asked else {
            self.counters.bad_request("http2_head");
            s.line.spent |= !s.line.frames.spend(RESET);
            respond.send_reset(Reason::PROTOCOL_ERROR);
            return;
        };
        let head = pipe.borrow().inward.len();
        if s.heads + head > HEADS {
            respond.send_reset(Reason::REFUSED_STREAM);
            return;
        }
        s.heads += head;
        let inner = Role::Client(s.client.stream());
        let inner = self.conns.insert_pipe(pipe.clone(), inner);
        self.conns[inner].readable = true;
        let waker = s.line.waker_of(id);
        let stream = Stream::new((inner, pipe), waker, asked, body, respond, self.now);
        s.streams.insert(id, stream);
        self.turn_stream(s, id);
    }

    /// Makes progress on one request: what came goes to its connection, what that answers becomes frames.
    fn turn_stream(&mut self, s: &mut Server, id: u32) {
        loop {
            let Some(stream) = s.streams.get_mut(&id) else {
                return;
            };
            let waker = stream.waker.clone();
            let mut cx = Context::from_waker(&waker);
            stream.pipe.borrow_mut().settle();
            let fed = match stream.feed(&mut cx) {
                Ok(fed) => fed,
                Err(e) => {
                    if e.is_reset() && e.is_library() {
                        s.line.spent |= !s.line.frames.spend(RESET);
                        s.line.wake();
                    }
                    return self.cut_stream(s, id);
                }
            };
            if stream.is_reset(&mut cx) {
                return self.cut_stream(s, id);
            }
            let inner = stream.inner;
            let gone = stream.pipe.borrow().gone;
            if !gone && (fed || self.conns[inner].readable) {
                self.conns[inner].readable = true;
                self.guarded(inner, Self::drive);
            }
            let given = match stream.give(&mut cx, &mut s.head, self.now) {
                Ok(given) => given,
                Err(_) => {
                    stream.reset(Reason::INTERNAL_ERROR);
                    return self.cut_stream(s, id);
                }
            };
            if given.done {
                s.line.frames.earn(ANSWERED);
                return self.cut_stream(s, id);
            }
            if given.room && !stream.pipe.borrow().gone {
                self.conns[inner].writable = true;
                self.guarded(inner, Self::drive);
            } else if !fed && !given.opened && !stream.pipe.borrow().is_stirred() {
                return;
            }
        }
    }

    /// Forgets a stream, and closes its connection if that is still there.
    fn cut_stream(&mut self, s: &mut Server, id: u32) {
        let Some(stream) = s.streams.remove(&id) else {
            return;
        };
        s.heads -= stream.head;
        if s.streams.is_empty() {
            s.idle = self.now;
            s.sweep = 0;
        }
        self.cut_pipe(stream.inner, &stream.pipe);
    }

    /// The stream behind a connection's pipe is no more.
    pub(super) fn cut_pipe(&mut self, inner: u32, pipe: &crate::pipe::End) {
        {
            let mut pipe = pipe.borrow_mut();
            pipe.then = Then::Cut;
            if pipe.gone {
                return;
            }
        }
        let conn = &mut self.conns[inner];
        (conn.readable, conn.writable, conn.read_closed) = (true, true, true);
        self.guarded(inner, Self::drive);
    }

    fn cut_streams(&mut self, s: &mut Server) {
        let all: Vec<u32> = s.streams.keys().copied().collect();
        for id in all {
            self.cut_stream(s, id);
        }
    }

    /// Nothing more is made of what comes: what is left is sent, then what still comes is thrown away for a while, so
    /// that no reset destroys the last words. False once that is done.
    fn linger_server(&mut self, i: u32, s: &mut Server) -> bool {
        if !s.line.is_flushed() {
            return true;
        }
        if !s.shut {
            if !self.conns.finish(i) {
                // It is said when there is room.
                return true;
            }
            s.shut = true;
            s.over = self.now.max(1);
        }
        for _ in 0..SHARE {
            if !self.conns[i].readable {
                return !self.conns[i].read_closed;
            }
            match self.conns.recv(i, &mut self.scratch) {
                Moved::Some(n) => {
                    let of = self.scratch.len();
                    self.conns[i].received(n, of);
                }
                Moved::Blocked => self.conns[i].readable = false,
                Moved::End | Moved::Broken => return false,
            }
        }
        self.later(i);
        true
    }

    fn close_server(&mut self, i: u32, mut s: Box<Server>) {
        self.cut_streams(&mut s);
        let slot = s.client.listener;
        self.leave_bound(i);
        self.remove(i);
        self.left(slot);
    }

    /// Sets the earliest deadline of a connection.
    fn server_timer(&mut self, i: u32, s: &mut Server) {
        let listener = &self.listeners[usize::from(s.client.listener)];
        if !s.streams.is_empty() && s.sweep == 0 {
            s.sweep = self.now + listener.stall;
        }
        let due = [
            (s.over != 0).then_some(s.over + LINGER_TIME),
            (!s.line.is_flushed()).then_some(s.line.moved + listener.stall),
            s.line.frames.pending_since().map(|t| t + listener.head),
            (s.streams.is_empty() && s.leaving == 0).then_some(s.idle + listener.idle),
            (s.streams.is_empty() && s.leaving != 0).then_some(s.leaving.max(s.idle) + LEAVE),
            (s.sweep != 0).then_some(s.sweep),
        ];
        if let Some(due) = due.into_iter().flatten().min() {
            self.wheel.set(i, due);
        }
    }

    /// One of the deadlines of a connection may have passed.
    pub(crate) fn server_deadline(&mut self, i: u32) {
        let Some(mut s) = self.conns.server(i).and_then(Option::take) else {
            return;
        };
        let now = self.now;
        let listener = &self.listeners[usize::from(s.client.listener)];
        let (stall, head, idle) = (listener.stall, listener.head, listener.idle);
        let stuck = !s.line.is_flushed() && now >= s.line.moved + stall;
        let lingered = s.over != 0 && now >= s.over + LINGER_TIME;
        if stuck || lingered {
            return self.close_server(i, s);
        }
        if s.line
            .frames
            .pending_since()
            .is_some_and(|t| now >= t + head)
        {
            self.counters.bad_request("head_timeout");
            s.abort(Reason::NO_ERROR);
        }
        if s.streams.is_empty() && s.over == 0 {
            if s.leaving == 0 && now >= s.idle + idle {
                s.leave(now);
            } else if s.leaving != 0 && now >= s.leaving.max(s.idle) + LEAVE {
                s.abort(Reason::NO_ERROR);
            }
        }
        if s.sweep != 0 && now >= s.sweep {
            s.sweep = 0;
            let late =
                |(id, st): (&u32, &Stream)| (st.waits() && now >= st.moved + stall).then_some(*id);
            let late: Vec<u32> = s.streams.iter().filter_map(late).collect();
            for id in late {
                if let Some(stream) = s.streams.get_mut(&id) {
                    stream.reset(Reason::CANCEL);
                }
                self.cut_stream(&mut s, id);
            }
        }
        if let Some(place) = self.conns.server(i) {
            *place = Some(s);
        }
        self.turn_server(i);
    }

    /// Tells the clients of a listener, or of all, that their connections end.
    pub(crate) fn leave_servers(&mut self, listener: Option<usize>) {
        for i in self.conns.indices() {
            let now = self.now;
            let Some(Some(s)) = self.conns.server(i) else {
                continue;
            };
            if listener.is_none_or(|l| usize::from(s.client.listener) == l) {
                s.leave(now);
                self.later(i);
            }
        }
    }
}

/// Pieces that are received of one connection before others have their turn.
const SHARE: u32 = 4;
/// Bytes of the heads of all open requests of a connection.
const HEADS: usize = 512 << 10;
/// Bytes that the codec takes of one answer ahead of the socket.
const SEND_BUFFER: usize = 64 << 10;
/// Streams that were reset and are remembered for frames that were on their way.
const RESET_STREAMS: usize = 64;
/// Streams that the client may have reset before they were looked at.
const PENDING_RESETS: usize = 64;
/// Streams that the client may make us reset, over the life of a connection.
const LOCAL_RESETS: usize = 256;
/// A connection that was told to end is closed so long after its last request.
const LEAVE: u64 = 2_000_000_000;
/// A connection that is being closed is read from so long.
const LINGER_TIME: u64 = 2_000_000_000;
