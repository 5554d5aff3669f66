//! TLS over one socket: ciphertext on the outside, plaintext on the inside, in the words of
//! [`Moved`], so that whoever drives a connection need not know.
//!
//! rustls is used without its buffers. A connection that is idle holds no bytes at all: records are
//! taken apart in memory of the thread, and only a part of a record, or what the socket did not
//! take, is kept.
//!
//! What the socket did not take is owed: all but one byte of the plaintext counts as sent, so that
//! whoever sends sees a short write and comes back with that byte when there is room. It has been
//! encrypted already and is not encrypted again.
//!
//! Bounds: one record (16 KiB) and what one receive brings on the way in, one piece
//! ([`PIECE`]) and a few messages of the protocol on the way out, [`MAX_HANDSHAKE`] before the
//! handshake is over.

use std::os::fd::RawFd;
use std::rc::Rc;

use gateway_core::config::ClientCertForward;
use gateway_core::secure::Secure;
use rustls::Error;

use super::records::{After, Out, Session, Task, Work};
use crate::buf::Buf;
use crate::poll::{self, Moved};

/// TLS of one connection.
pub(crate) struct Tls {
    session: Session,
    /// Ciphertext of a record that is not whole yet.
    inbound: Vec<u8>,
    /// Ciphertext that the socket has not taken.
    outbound: Buf,
    /// Plaintext that nobody has asked for yet.
    plain: Buf,
    /// The first byte that is sent next lies encrypted in `outbound`.
    owed: bool,
    /// The socket had no more when it was read last.
    drained: bool,
    /// The peer has said that it sends no more.
    peer_closed: bool,
    /// Nothing can go either way any more.
    broken: bool,
    /// What was to be said at the end has been.
    said_goodbye: bool,
    /// The socket is to be shut for sending once all is out.
    finishing: bool,
    pub(super) facts: Rc<Secure>,
    /// Names what was asked of the client; see [`super::server::ServerTls::fits`].
    pub(crate) policy: u64,
    /// What upstreams are told of the client's certificate.
    forward: ClientCertForward,
}

/// What a handshake came to.
#[derive(Debug)]
pub(crate) enum Shake {
    Done,
    /// It waits for the peer.
    Wait,
    Failed(Unshaken),
}

/// Why a handshake failed.
#[derive(Debug)]
pub(crate) struct Unshaken {
    /// A word for metrics.
    pub code: &'static str,
    /// The other side's certificate was at fault.
    pub certificate: bool,
    /// It spoke HTTP without TLS.
    pub plain_http: bool,
}

impl Unshaken {
    pub(super) fn new(code: &'static str) -> Self {
        Self {
            code,
            certificate: false,
            plain_http: code == "plain_http",
        }
    }

    pub(super) fn of(error: &Error) -> Self {
        use rustls::CertificateError as C;
        let code = match error {
            Error::InvalidCertificate(C::ApplicationVerificationFailure) => {
                "certificate_not_allowed"
            }
            Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
                "certificate_expired"
            }
            Error::InvalidCertificate(C::Revoked) => "certificate_revoked",
            Error::InvalidCertificate(C::UnknownIssuer) => "certificate_unknown",
            Error::InvalidCertificate(_) => "certificate_bad",
            Error::NoCertificatesPresented => "certificate_missing",
            // What rustls says if there is none for the name, such as before an authority has issued one.
            Error::General(why) if why.contains("no server certificate") => "no_certificate",
            Error::NoApplicationProtocol => "no_application_protocol",
            Error::PeerIncompatible(_) => "incompatible",
            Error::PeerMisbehaved(_) | Error::InappropriateMessage { .. } => "misbehaved",
            Error::InappropriateHandshakeMessage { .. } => "misbehaved",
            Error::InvalidMessage(_) | Error::DecryptError => "invalid_message",
            Error::AlertReceived(_) => "alert_received",
            _ => "internal",
        };
        let certificate = matches!(
            error,
            Error::InvalidCertificate(_) | Error::NoCertificatesPresented
        );
        Self {
            certificate,
            ..Self::new(code)
        }
    }
}

/// Memory of a thread in which records are put together and taken apart.
#[derive(Default)]
pub(crate) struct Scratch {
    cipher: Vec<u8>,
    out: Out,
    joined: Vec<u8>,
}

impl Tls {
    pub(super) fn new(session: Session, facts: Secure) -> Box<Self> {
        Box::new(Self {
            session,
            inbound: Vec::new(),
            outbound: Buf::default(),
            plain: Buf::default(),
            owed: false,
            drained: false,
            peer_closed: false,
            broken: false,
            said_goodbye: false,
            finishing: false,
            facts: Rc::new(facts),
            policy: 0,
            forward: ClientCertForward::None,
        })
    }

    /// What is proved of the connection, once the handshake is done.
    pub fn facts(&self) -> &Rc<Secure> {
        &self.facts
    }

    /// The protocol that was agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        match &self.session {
            Session::Hello(_) => None,
            Session::Server(c) => c.alpn_protocol(),
            Session::Client(c) => c.alpn_protocol(),
        }
    }

    /// True as long as nothing has come from the peer.
    pub fn untouched(&self) -> bool {
        matches!(&self.session, Session::Hello(_)) && self.inbound.is_empty()
    }

    /// These bytes came before the socket was given over.
    pub fn came_before(&mut self, bytes: &[u8]) {
        self.inbound.extend_from_slice(bytes);
    }

    /// The socket may have more.
    pub fn noted(&mut self, fd: RawFd, readable: bool, writable: bool) {
        self.drained &= !readable;
        if writable && !self.outbound.is_empty() {
            self.flush(fd);
        }
    }

    /// Whether a receive may bring something.
    pub fn may_have_more(&self) -> bool {
        !self.plain.is_empty() || self.peer_closed || self.broken || !self.drained
    }

    /// Goes on with the handshake as far as it goes without waiting.
    pub fn handshake(&mut self, fd: RawFd, s: &mut Scratch) -> Shake {
        loop {
            if let Session::Hello(hello) = &mut self.session {
                match hello.read(&self.inbound) {
                    Ok(None) => {}
                    Ok(Some(greeted)) => {
                        self.policy = greeted.policy;
                        self.forward = greeted.forward;
                        self.facts = Rc::new(Secure {
                            sni: greeted.sni,
                            ..Secure::default()
                        });
                        self.session = Session::Server(Box::new(greeted.connection));
                        continue;
                    }
                    Err((unshaken, alert)) => {
                        self.outbound.append(&alert);
                        return Shake::Failed(unshaken);
                    }
                }
            } else {
                match self.take_in(s) {
                    Ok(After::Open) => {
                        self.flush(fd);
                        return self.shaken();
                    }
                    Ok(_) => {}
                    Err(error) => return Shake::Failed(Unshaken::of(&error)),
                }
                if !self.flush(fd) {
                    return if self.broken {
                        Shake::Failed(Unshaken::new("closed"))
                    } else {
                        Shake::Wait
                    };
                }
            }
            if self.inbound.len() > MAX_HANDSHAKE {
                return Shake::Failed(Unshaken::new("too_long"));
            }
            s.ready();
            match poll::recv(fd, &mut s.cipher[..READ]) {
                Moved::Some(n) => self.inbound.extend_from_slice(&s.cipher[..n]),
                Moved::Blocked => return Shake::Wait,
                Moved::End | Moved::Broken => return Shake::Failed(Unshaken::new("closed")),
            }
        }
    }

    fn shaken(&mut self) -> Shake {
        let before = std::mem::take(Rc::make_mut(&mut self.facts));
        let facts = match &self.session {
            Session::Server(c) => super::facts::of(c, before, self.forward),
            Session::Client(c) => super::facts::of(c, before, ClientCertForward::None),
            Session::Hello(_) => Ok(before),
        };
        match facts {
            Ok(facts) => {
                self.facts = Rc::new(facts);
                Shake::Done
            }
            Err(code) => Shake::Failed(Unshaken {
                certificate: true,
                ..Unshaken::new(code)
            }),
        }
    }

    /// Takes apart what lies in `inbound`.
    fn take_in(&mut self, s: &mut Scratch) -> Result<After, Error> {
        let mut buf = std::mem::take(&mut self.inbound);
        let taken = self.process(&mut buf, &mut [], &mut s.out, Task::Read);
        self.outbound.append(s.out.take());
        let (consumed, _, after) = taken?;
        if consumed < buf.len() {
            buf.drain(..consumed);
            self.inbound = buf;
        }
        Ok(after)
    }

    /// The bytes that wait to go out. What follows them is not TLS.
    pub fn into_unsent(mut self) -> Vec<u8> {
        std::mem::take(self.outbound.vec())
    }

    /// As [`poll::recv`], in plaintext. An end that was not announced is a break.
    pub fn recv(
        &mut self,
        fd: RawFd,
        into: &mut [u8],
        s: &mut Scratch,
        read_closed: bool,
    ) -> Moved {
        if !self.plain.is_empty() {
            let n = self.plain.len().min(into.len());
            into[..n].copy_from_slice(&self.plain.as_slice()[..n]);
            self.plain.consume(n);
            return Moved::Some(n);
        }
        for _ in 0..EMPTY_READS {
            if self.broken {
                return Moved::Broken;
            }
            if self.peer_closed {
                return Moved::End;
            }
            s.ready();
            let Scratch { cipher, out, .. } = s;
            let before = self.inbound.len();
            cipher[..before].copy_from_slice(&self.inbound);
            let n = match poll::recv(fd, &mut cipher[before..before + READ]) {
                Moved::Some(n) => n,
                Moved::Blocked => {
                    self.drained = true;
                    return Moved::Blocked;
                }
                Moved::End | Moved::Broken => {
                    self.broken = true;
                    return Moved::Broken;
                }
            };
            self.drained = n < READ && !read_closed;
            self.inbound.clear();
            let buf = &mut cipher[..before + n];
            let processed = self.process(buf, into, out, Task::Read);
            let (consumed, filled) = match processed {
                Ok((consumed, filled, _)) => (consumed, filled),
                Err(_) => {
                    self.outbound.append(out.take());
                    self.flush(fd);
                    self.broken = true;
                    return Moved::Broken;
                }
            };
            if consumed < before + n && !self.peer_closed {
                self.inbound
                    .extend_from_slice(&cipher[consumed..before + n]);
            } else {
                self.inbound = Vec::new();
            }
            let told = out.take();
            if !told.is_empty() {
                self.outbound.append(told);
                self.flush(fd);
            }
            if filled > 0 {
                return Moved::Some(filled);
            }
            if self.drained && !self.peer_closed {
                return Moved::Blocked;
            }
        }
        // So much without a byte of data is no protocol.
        self.broken = true;
        Moved::Broken
    }

    /// As [`poll::send`], in plaintext.
    pub fn send(&mut self, fd: RawFd, bytes: &[u8], s: &mut Scratch) -> Moved {
        if self.broken {
            return Moved::Broken;
        }
        if !self.outbound.is_empty() && !self.flush(fd) {
            return if self.broken {
                Moved::Broken
            } else {
                Moved::Blocked
            };
        }
        let mut done = usize::from(std::mem::take(&mut self.owed));
        while done < bytes.len() {
            let piece = &bytes[done..bytes.len().min(done + PIECE)];
            let mut inbound = std::mem::take(&mut self.inbound);
            let made = self.process(&mut inbound, &mut [], &mut s.out, Task::Encrypt(piece));
            self.inbound = inbound;
            if made.is_err() {
                self.broken = true;
                return Moved::Broken;
            }
            let out = s.out.take();
            let sent = match poll::send(fd, out) {
                Moved::Some(n) => n,
                Moved::Blocked => 0,
                Moved::End | Moved::Broken => {
                    self.broken = true;
                    return Moved::Broken;
                }
            };
            done += piece.len();
            if sent < out.len() {
                self.outbound.append(&out[sent..]);
                self.owed = true;
                done -= 1;
                break;
            }
        }
        if done == 0 {
            Moved::Blocked
        } else {
            Moved::Some(done)
        }
    }

    /// As [`poll::send_two`], in plaintext, in one record if it fits.
    pub fn send_two(&mut self, fd: RawFd, a: &[u8], b: &[u8], s: &mut Scratch) -> Moved {
        if a.is_empty() {
            return self.send(fd, b, s);
        }
        let mut joined = std::mem::take(&mut s.joined);
        joined.clear();
        joined.extend_from_slice(a);
        joined.extend_from_slice(b);
        let moved = self.send(fd, &joined, s);
        s.joined = joined;
        moved
    }

    /// Says that nothing more is sent, and shuts the socket for sending once that is out. True if it is.
    pub fn finish(&mut self, fd: RawFd, s: &mut Scratch) -> bool {
        self.finishing = true;
        self.say_goodbye(fd, s);
        let out = self.is_flushed();
        if out {
            poll::finish(fd);
        }
        out
    }

    /// True if the socket has all, or will take no more.
    pub fn is_flushed(&self) -> bool {
        self.outbound.is_empty() || self.broken
    }

    /// Says that nothing more is sent, as far as the socket takes it.
    pub fn say_goodbye(&mut self, fd: RawFd, s: &mut Scratch) {
        if self.said_goodbye || self.broken || matches!(self.session, Session::Hello(_)) {
            return;
        }
        self.said_goodbye = true;
        let mut inbound = std::mem::take(&mut self.inbound);
        let made = self.process(&mut inbound, &mut [], &mut s.out, Task::Close);
        self.inbound = inbound;
        self.outbound.append(s.out.take());
        if made.is_ok() {
            self.flush(fd);
        }
    }

    /// The connection ends with a reset: nobody is told that it was whole.
    pub fn keep_silent(&mut self) {
        self.said_goodbye = true;
    }

    /// Sends what waits. True if all went out.
    fn flush(&mut self, fd: RawFd) -> bool {
        while !self.outbound.is_empty() {
            match poll::send(fd, self.outbound.as_slice()) {
                Moved::Some(n) => self.outbound.consume(n),
                Moved::Blocked => return false,
                Moved::End | Moved::Broken => {
                    self.broken = true;
                    return false;
                }
            }
        }
        if self.finishing {
            poll::finish(fd);
        }
        true
    }

    /// As [`Session::process`], with how much of `into` was filled in between.
    fn process(
        &mut self,
        buf: &mut [u8],
        into: &mut [u8],
        out: &mut Out,
        task: Task<'_>,
    ) -> Result<(usize, usize, After), Error> {
        let mut work = Work {
            into,
            filled: 0,
            plain: &mut self.plain,
            out,
            peer_closed: &mut self.peer_closed,
        };
        // Should there be a bug in what follows, nothing goes on from the middle of it.
        self.broken = true;
        let result = self.session.process(buf, &mut work, task);
        self.broken = false;
        // An alert is the last that is said.
        self.said_goodbye |= result.is_err();
        let (consumed, after) = result?;
        Ok((consumed, work.filled, after))
    }
}

impl Scratch {
    /// Memory is taken with the thread's first secure connection.
    fn ready(&mut self) {
        if self.cipher.is_empty() {
            self.cipher = vec![0; MAX_HANDSHAKE + 2 * READ];
        }
    }
}

/// Bytes of one receive.
const READ: usize = 64 << 10;
/// Bytes of plaintext that are encrypted before the socket is tried: two full records.
const PIECE: usize = 32 << 10;
/// Bytes from a peer that wait at most for the rest of a handshake message: the largest is 64 KiB.
const MAX_HANDSHAKE: usize = 96 << 10;
/// Receives in a row that may bring no data.
const EMPTY_READS: usize = 16;
