//! Reads requests: the PROXY header where one must come, then one head after the other.

use std::net::SocketAddr;
use std::rc::Rc;

use gateway_core::filter::Client;
use gateway_core::proxied::Proxied;
use gateway_core::reply::Reply;
use wire::http1::Refusal;
use wire::Framing;

use super::drive::Next;
use super::handshake::misdirected;
use super::txn::{Stage, Txn};
use crate::faults;
use crate::http2::PREFACE;
use crate::meter::Count as _;
use crate::poll::Moved;
use crate::shard::{env, Shard};

impl Shard {
    pub(super) fn read_head(&mut self, i: u32, t: &mut Txn) -> Next {
        // Answers to earlier requests of the same batch go out together, but not without bound.
        if t.out.len() > PIPELINED {
            match self.flush(i, t) {
                Ok(true) => {}
                Ok(false) => return Next::Wait,
                Err(next) => return next,
            }
        }
        let begun = self.preface(i, t);
        if begun == Preface::Whole {
            return Next::Http2;
        }
        let limits = self.listener_of(i).limits;
        if !t.input.is_empty() && begun == Preface::None {
            match t.scan.advance(t.input.as_slice(), &limits) {
                Ok(Some(n)) => {
                    let parsed = wire::parse_request(
                        &t.input.as_slice()[..n],
                        &limits,
                        &mut t.run.exchange.request,
                    );
                    t.input.consume(n);
                    return self.begin(i, t, parsed);
                }
                Ok(None) => {}
                Err(refusal) => return self.refuse(i, t, refusal),
            }
        }
        match self.flush(i, t) {
            Ok(true) => {}
            Ok(false) if t.input.is_empty() => {}
            Ok(false) => return Next::Wait,
            Err(next) => return next,
        }
        let n = match self.receive(i) {
            Moved::Some(n) => n,
            Moved::Blocked => {
                self.await_head(i, t);
                return Next::Wait;
            }
            Moved::End | Moved::Broken => return Next::Close,
        };
        self.wait_begins(t);
        if !t.input.is_empty() {
            t.input.append(&self.scratch[..n]);
            return Next::Again;
        }
        if is_preface(&self.scratch[..n]) && self.takes_http2(i) {
            t.input.append(&self.scratch[..n]);
            return Next::Again;
        }
        // The common case: the whole head in one receive, parsed where it lies in one pass.
        let whole = wire::take_request(&self.scratch[..n], &limits, &mut t.run.exchange.request);
        if let Some((end, info)) = whole {
            t.input.append(&self.scratch[end..n]);
            return self.begin(i, t, Ok(info));
        }
        match t.scan.advance(&self.scratch[..n], &limits) {
            Ok(Some(end)) => {
                let parsed =
                    wire::parse_request(&self.scratch[..end], &limits, &mut t.run.exchange.request);
                t.input.append(&self.scratch[end..n]);
                self.begin(i, t, parsed)
            }
            Ok(None) => {
                t.input.append(&self.scratch[..n]);
                if self.conns[i].readable {
                    return Next::Again;
                }
                self.await_head(i, t);
                Next::Wait
            }
            Err(refusal) => self.refuse(i, t, refusal),
        }
    }

    /// Whether what came is the beginning of HTTP/2.
    fn preface(&mut self, i: u32, t: &Txn) -> Preface {
        if !is_preface(t.input.as_slice()) || !self.takes_http2(i) {
            return Preface::None;
        }
        if t.input.len() < PREFACE.len() {
            Preface::Part
        } else {
            Preface::Whole
        }
    }

    /// True if the connection may begin with HTTP/2's preface: nothing came before, and its listener takes that in
    /// clear text.
    #[cold]
    fn takes_http2(&mut self, i: u32) -> bool {
        let first = self.conns.client(i).is_some_and(|c| c.requests == 0);
        let socket = !self.conns.is_pipe(i) && !self.conns.is_secure(i);
        first && socket && self.listener_of(i).http2.cleartext
    }

    fn wait_begins(&mut self, t: &mut Txn) {
        if t.started == 0 {
            t.started = self.now;
        }
    }

    /// The head must be whole by its deadline, counted from its first byte; before that the
    /// connection is idle. A stray line end is no beginning.
    fn await_head(&mut self, i: u32, t: &mut Txn) {
        let now = self.now;
        let listener = self.listener_of(i);
        let stray = t.input.len() == t.scan.skipped();
        if stray {
            t.started = 0;
        }
        let deadline = if t.input.is_empty() || stray {
            if t.out.is_empty() {
                now + listener.idle
            } else {
                now + listener.stall
            }
        } else {
            t.started + listener.head
        };
        self.wheel.set(i, deadline);
    }

    fn begin(&mut self, i: u32, t: &mut Txn, parsed: Result<wire::RequestInfo, Refusal>) -> Next {
        let info = match parsed {
            Ok(info) => info,
            Err(refusal) => return self.refuse(i, t, refusal),
        };
        t.info = info;
        t.flags.begun = true;
        self.wait_begins(t);
        let Some(client) = self.conns.client(i) else {
            return Next::Close;
        };
        client.requests += 1;
        let (peer, slot, requests) = (client.peer, client.listener, client.requests);
        let proxied = client.proxied.clone();
        let listener = &self.listeners[usize::from(slot)];
        t.flags.close = !info.keep_alive
            || self.draining()
            || listener.retired
            || (listener.requests > 0 && requests >= listener.requests);
        let limits = listener.limits;
        let (index, health) = (listener.index, listener.health);
        let answers = listener.answers;
        let to_be_secure = listener.tls.is_some();
        t.request.begin(info.framing, &limits);
        t.run.exchange.framing = info.framing;
        if let Some(protocol) = info.upgrade {
            let protocol = t.run.exchange.request.slice(protocol);
            t.run.exchange.websocket = wire::websocket::is_protocol(protocol);
        }
        self.wheel.clear(i);
        if let Some(reply) = self.acme.answer(&t.run.exchange.request) {
            return self.reply(i, t, &reply);
        }
        if health {
            if let Some(reply) = self.health(&t.run.exchange.request) {
                return self.reply(i, t, &reply);
            }
        }
        faults::panic_if(t, b"head");
        let mut client = Client::new(peer);
        client.proxied = proxied;
        if let Some((facts, policy)) = self.conns.proved(i) {
            if let Some(reply) = self.misdirected(i, policy, &t.run.exchange.request) {
                return self.reply(i, t, &reply);
            }
            client.tls = Some(facts);
        } else if to_be_secure && !self.conns[i].guest {
            // It came before the config asked for TLS.
            t.flags.close = true;
            return self.reply(i, t, &misdirected());
        }
        t.answers = self.conns.guest(i).map_or(answers, |g| g.local);
        let snapshot = self.snapshot.clone();
        let step = t.run.begin(&mut env!(self), &snapshot, index, client);
        self.apply(i, t, step)
    }

    /// Answers with one meaning for bytes that have none, and closes: what follows cannot be trusted.
    fn refuse(&mut self, i: u32, t: &mut Txn, refusal: Refusal) -> Next {
        self.counters.bad_request(refusal.code);
        if refusal == wire::http1::refusal::BAD_VERSION && self.takes_http2(i) {
            // What begins a connection and is no HTTP/1 either may be a wrong preface: to its sender an answer in
            // HTTP/1 would be garbage (RFC 9113 section 3.4).
            return Next::Close;
        }
        t.info = wire::RequestInfo::default();
        t.flags.close = true;
        t.flags.begun = true;
        // Whatever follows is read away, so that no reset destroys the answer.
        t.request
            .begin(Framing::UntilClose, &self.listener_of(i).limits);
        let mut reply = Reply::problem(refusal.status, refusal.code, refusal.why);
        if refusal.status == 426 {
            // RFC 6455 section 4.4: the version that is spoken here.
            reply = reply.with("sec-websocket-version", "13");
        }
        self.reply(i, t, &reply)
    }

    /// Reads the PROXY header of a listed peer; anything else in its place closes the connection.
    pub(super) fn read_proxy_header(&mut self, i: u32, t: &mut Txn) -> Next {
        let n = match self.receive(i) {
            Moved::Some(n) => n,
            // Its deadline runs since the connection was accepted.
            Moved::Blocked => return Next::Wait,
            Moved::End | Moved::Broken => return Next::Close,
        };
        t.input.append(&self.scratch[..n]);
        match wire::proxy::parse(t.input.as_slice()) {
            Ok(wire::proxy::Parsed::Partial) if t.input.len() < PROXY_HEADER => Next::Again,
            Ok(wire::proxy::Parsed::Done { header, len }) => {
                let source: Option<SocketAddr> = header.source;
                if let (Some(source), Some(client)) = (source, self.conns.client(i)) {
                    client.peer = source;
                    let said = Proxied::new(header.destination, header.tlvs(t.input.as_slice()));
                    client.proxied = Some(Rc::new(said));
                }
                t.input.consume(len);
                if self.listener_of(i).handshake > 0 {
                    if !self.may_shake(i) {
                        return Next::Close;
                    }
                    self.begin_handshake(i, t);
                    return Next::Again;
                }
                t.stage = Stage::Head;
                t.started = if t.input.is_empty() { 0 } else { self.now };
                Next::Again
            }
            _ => {
                self.counters.bad_request("proxy_header");
                Next::Close
            }
        }
    }
}

/// How much of HTTP/2's first bytes has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Preface {
    None,
    Part,
    Whole,
}

/// True for the beginning of HTTP/2's preface, or all of it and more.
fn is_preface(bytes: &[u8]) -> bool {
    let n = bytes.len().min(PREFACE.len());
    n > 0 && bytes[..n] == PREFACE[..n]
}

/// Answers to pipelined requests are collected up to so many bytes before they are sent.
const PIPELINED: usize = 16 << 10;
/// The longest PROXY header, in bytes: 16 of head and 4,096 of addresses and TLVs.
const PROXY_HEADER: usize = 16 + 4096;
