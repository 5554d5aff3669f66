//! The connections of one thread: a slab whose places are named by index and generation.

use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;

use gateway_core::proxied::Proxied;
use gateway_core::secure::Secure;
use gateway_core::snapshot::Live;

use crate::chunks::Chunks;
use crate::guest::Guest;
use crate::http1::Txn;
use crate::http2::{Mux, Server};
use crate::pipe::{self, Stir};
use crate::poll::{self, Event, Moved};
use crate::tls::{Scratch, Shake, Tls};

/// One descriptor that is watched; or a guest, or one end of a pipe, which have none.
pub(crate) struct Conn {
    fd: Option<OwnedFd>,
    /// A stream of another connection in the place of a socket.
    pipe: Option<pipe::End>,
    generation: u32,
    /// What lies between the socket and what is said; none for a plain connection.
    transport: Option<Box<Tls>>,
    /// There may be something to receive.
    pub readable: bool,
    /// There may be room to send.
    pub writable: bool,
    /// The peer has finished sending.
    pub read_closed: bool,
    /// It waits in the list of those that go on in the next tick.
    pub queued: bool,
    /// It is a client without a socket.
    pub guest: bool,
    pub role: Role,
}

/// What a descriptor is for.
pub(crate) enum Role {
    Free {
        next: u32,
    },
    Wake,
    Listener {
        slot: u16,
    },
    Client(Client),
    Upstream(Up),
    /// A client's connection that carries many requests, by its listener; none while it is in hand.
    Server(u16, Option<Box<Server>>),
    /// The same to an upstream's endpoint.
    Mux(Option<Box<Mux>>),
}

/// A client's connection. Between requests it holds nothing but this.
pub(crate) struct Client {
    pub peer: SocketAddr,
    pub listener: u16,
    pub requests: u32,
    /// Its handshake is under way, and counted.
    pub shaking: bool,
    /// Its handshake waits for its turn.
    pub waits: bool,
    /// What its PROXY header said, if one came first and was believed.
    pub proxied: Option<Rc<Proxied>>,
    /// The address it connected to, once somebody asked for it.
    pub local: Option<Box<SocketAddr>>,
    /// The request on its way.
    pub txn: Option<Box<Txn>>,
    /// What a client without a socket has instead.
    pub guest: Option<Box<Guest>>,
}

impl Client {
    /// The connection that one stream of this one is.
    pub fn stream(&self) -> Self {
        Self {
            peer: self.peer,
            listener: self.listener,
            requests: 0,
            shaking: false,
            waits: false,
            proxied: self.proxied.clone(),
            local: self.local.clone(),
            txn: None,
            guest: None,
        }
    }
}

/// A connection to an upstream's endpoint.
pub(crate) struct Up {
    pub live: Arc<Live>,
    /// Whose request it carries; [`NONE`] while it is idle.
    pub client: u32,
    pub connecting: bool,
    /// Connected, and not yet secure.
    pub shaking: bool,
    /// Its request is counted among those in flight.
    pub counted: bool,
    /// It has carried a request before.
    pub reused: bool,
    pub requests: u32,
    /// Whose it is; none for one that any client's requests may use.
    pub bound: Option<Box<Bound>>,
    /// When it was made.
    pub born: u64,
    /// Its neighbours in the pool.
    pub newer: u32,
    pub older: u32,
}

/// An upstream's connection that says whose it is.
pub(crate) struct Bound {
    /// The PROXY header it begins with.
    pub header: Box<[u8]>,
    /// The token of the client's connection.
    pub owner: u64,
}

/// All descriptors of one thread.
pub(crate) struct Conns {
    all: Chunks<Conn>,
    free: u32,
    scratch: Scratch,
    /// Streams whose pipe was read from, written to, or left, since their connection last looked.
    pub stirred: Vec<Stir>,
}

impl Conns {
    pub fn new() -> Self {
        Self {
            all: Chunks::new(),
            free: NONE,
            scratch: Scratch::default(),
            stirred: Vec::new(),
        }
    }

    /// Takes a place for `fd`. Its flags say "try": nothing is known of it yet.
    pub fn insert(&mut self, fd: OwnedFd, role: Role) -> u32 {
        self.place(Some(fd), None, role)
    }

    /// Takes a place for one end of a pipe.
    pub fn insert_pipe(&mut self, end: pipe::End, role: Role) -> u32 {
        self.place(None, Some(end), role)
    }

    /// Takes a place for a client without a socket.
    pub fn insert_guest(&mut self, client: Client) -> u32 {
        self.place(None, None, Role::Client(client))
    }

    fn place(&mut self, fd: Option<OwnedFd>, pipe: Option<pipe::End>, role: Role) -> u32 {
        let guest = fd.is_none() && pipe.is_none();
        let conn = |generation| Conn {
            guest,
            fd,
            pipe,
            generation,
            transport: None,
            readable: false,
            writable: true,
            read_closed: false,
            queued: false,
            role,
        };
        if self.free == NONE {
            self.all.push(conn(0));
            return self.all.len() as u32 - 1;
        }
        let i = self.free;
        let place = &mut self.all[i as usize];
        if let Role::Free { next } = place.role {
            self.free = next;
        }
        let generation = place.generation;
        *place = conn(generation);
        i
    }

    /// Closes the descriptor and gives the place away.
    pub fn remove(&mut self, i: u32) -> Role {
        let place = &mut self.all[i as usize];
        if let (Some(mut tls), Some(fd)) = (place.transport.take(), &place.fd) {
            tls.say_goodbye(fd.as_raw_fd(), &mut self.scratch);
        }
        place.fd = None;
        if let Some(end) = place.pipe.take() {
            let mut pipe = end.borrow_mut();
            pipe.gone = true;
            self.stirred.extend(pipe.stir());
        }
        place.generation = place.generation.wrapping_add(1);
        let role = std::mem::replace(&mut place.role, Role::Free { next: self.free });
        self.free = i;
        role
    }

    /// The name under which readiness of `i` is reported.
    pub fn token(&self, i: u32) -> u64 {
        u64::from(self.all[i as usize].generation) << 32 | u64::from(i)
    }

    /// The place a token names, unless it has been given away since.
    pub fn of_token(&self, token: u64) -> Option<u32> {
        let i = token as u32;
        let conn = self.all.get(i as usize)?;
        (u64::from(conn.generation) == token >> 32 && conn.is_used()).then_some(i)
    }

    /// All places in use.
    pub fn indices(&self) -> Vec<u32> {
        (0..self.all.len() as u32)
            .filter(|i| self.all[*i as usize].is_used())
            .collect()
    }

    /// The descriptor; -1 for a guest.
    pub fn fd(&self, i: u32) -> RawFd {
        self.all[i as usize]
            .fd
            .as_ref()
            .map_or(-1, AsRawFd::as_raw_fd)
    }

    /// The address that the other side of `i` connected to; none without a socket.
    pub fn local_address(&self, i: u32) -> Option<SocketAddr> {
        poll::local_address(self.all[i as usize].fd.as_ref()?).ok()
    }

    /// True if `i` is one end of a pipe.
    pub fn is_pipe(&self, i: u32) -> bool {
        self.all[i as usize].pipe.is_some()
    }

    /// The pipe of which `i` is one end.
    pub fn pipe(&self, i: u32) -> Option<&pipe::End> {
        self.all.get(i as usize)?.pipe.as_ref()
    }

    /// Receives from `i`, as [`poll::recv`]. An end of a secure connection that the other side did not
    /// announce is [`Moved::Broken`]: what came may not be the whole.
    pub fn recv(&mut self, i: u32, into: &mut [u8]) -> Moved {
        let fd = self.fd(i);
        let conn = &mut self.all[i as usize];
        let Some(tls) = &mut conn.transport else {
            return match &conn.pipe {
                None => poll::recv(fd, into),
                Some(end) => end.borrow_mut().recv(into, &mut self.stirred),
            };
        };
        let moved = tls.recv(fd, into, &mut self.scratch, conn.read_closed);
        conn.readable = tls.may_have_more();
        moved
    }

    /// Sends to `i`, as [`poll::send`].
    pub fn send(&mut self, i: u32, bytes: &[u8]) -> Moved {
        let fd = self.fd(i);
        let conn = &mut self.all[i as usize];
        match (&mut conn.transport, &conn.pipe) {
            (None, None) => poll::send(fd, bytes),
            (Some(tls), _) => tls.send(fd, bytes, &mut self.scratch),
            (None, Some(end)) => end.borrow_mut().send(bytes, &[], &mut self.stirred),
        }
    }

    /// Sends two pieces to `i`, as [`poll::send_two`].
    pub fn send_two(&mut self, i: u32, a: &[u8], b: &[u8]) -> Moved {
        let fd = self.fd(i);
        let conn = &mut self.all[i as usize];
        match (&mut conn.transport, &conn.pipe) {
            (None, None) => poll::send_two(fd, a, b),
            (Some(tls), _) => tls.send_two(fd, a, b, &mut self.scratch),
            (None, Some(end)) => end.borrow_mut().send(a, b, &mut self.stirred),
        }
    }

    /// Nothing more is sent to `i`. False if the end of a secure connection could not be said yet: it will
    /// be when there is room, and closing it before would look like a cut.
    pub fn finish(&mut self, i: u32) -> bool {
        let fd = self.fd(i);
        let conn = &mut self.all[i as usize];
        match (&mut conn.transport, &conn.pipe) {
            (None, None) => poll::finish(fd),
            (Some(tls), _) => return tls.finish(fd, &mut self.scratch),
            (None, Some(end)) => end.borrow_mut().finish(&mut self.stirred),
        }
        true
    }

    /// True if the system has all that was sent to `i`.
    pub fn is_flushed(&self, i: u32) -> bool {
        let tls = self.all[i as usize].transport.as_deref();
        tls.is_none_or(Tls::is_flushed)
    }

    /// True if the connection that was begun on `i` was made.
    pub fn connected(&self, i: u32) -> bool {
        match &self.all[i as usize].pipe {
            None => poll::connected(self.fd(i)),
            Some(end) => end.borrow().is_open(),
        }
    }

    /// `i` ends with a reset when it is closed.
    pub fn reset_on_close(&mut self, i: u32) {
        if self.is_pipe(i) {
            // Whoever reads from it sees that it was left before its end.
            return;
        }
        poll::reset_on_close(self.fd(i));
        if let Some(tls) = &mut self.all[i as usize].transport {
            tls.keep_silent();
        }
    }

    /// From now on `i` speaks TLS; what `came` before is its beginning. [`Conns::handshake`] comes next.
    pub fn secure(&mut self, i: u32, mut tls: Box<Tls>, came: &[u8]) {
        tls.came_before(came);
        self.all[i as usize].transport = Some(tls);
    }

    /// Goes on with the handshake of `i` as far as it goes without waiting.
    pub fn handshake(&mut self, i: u32) -> Shake {
        let fd = self.fd(i);
        let conn = &mut self.all[i as usize];
        let Some(tls) = &mut conn.transport else {
            return Shake::Done;
        };
        let shake = tls.handshake(fd, &mut self.scratch);
        if matches!(shake, Shake::Done) {
            // Some of what follows may have come along.
            conn.readable = true;
        }
        shake
    }

    /// `i` speaks TLS no more: its handshake failed. Returns what is still to be sent, as it is.
    pub fn give_up_security(&mut self, i: u32) -> Vec<u8> {
        let tls = self.all[i as usize].transport.take();
        tls.map(|t| t.into_unsent()).unwrap_or_default()
    }

    /// True if `i` speaks TLS, or the connection of which it is a stream does.
    pub fn is_secure(&self, i: u32) -> bool {
        let conn = &self.all[i as usize];
        conn.transport.is_some()
            || conn
                .pipe
                .as_ref()
                .is_some_and(|p| p.borrow().secure.is_some())
    }

    /// What TLS proves of `i`, and the client policy that it was accepted under.
    pub fn proved(&self, i: u32) -> Option<(Rc<Secure>, u64)> {
        let conn = &self.all[i as usize];
        match &conn.transport {
            Some(tls) => Some((tls.facts().clone(), tls.policy)),
            None => conn.pipe.as_ref()?.borrow().secure.clone(),
        }
    }

    /// The protocol that was agreed on in the handshake of `i`; none if the other side named none.
    /// This is the one place that says whether a connection is HTTP/2.
    pub fn alpn(&self, i: u32) -> Option<&[u8]> {
        self.all[i as usize].transport.as_deref()?.alpn()
    }

    /// True if `i` has said nothing since it was accepted.
    pub fn untouched(&self, i: u32) -> bool {
        let tls = self.all[i as usize].transport.as_deref();
        tls.is_some_and(Tls::untouched)
    }

    /// The HTTP/2 connection of a client.
    pub fn server(&mut self, i: u32) -> Option<&mut Option<Box<Server>>> {
        match self.all.get_mut(i as usize).map(|c| &mut c.role) {
            Some(Role::Server(_, s)) => Some(s),
            _ => None,
        }
    }

    /// The HTTP/2 connection to an endpoint.
    pub fn mux(&mut self, i: u32) -> Option<&mut Option<Box<Mux>>> {
        match self.all.get_mut(i as usize).map(|c| &mut c.role) {
            Some(Role::Mux(m)) => Some(m),
            _ => None,
        }
    }

    pub fn client(&mut self, i: u32) -> Option<&mut Client> {
        match self.all.get_mut(i as usize).map(|c| &mut c.role) {
            Some(Role::Client(c)) => Some(c),
            _ => None,
        }
    }

    pub fn guest(&mut self, i: u32) -> Option<&mut Guest> {
        self.client(i)?.guest.as_deref_mut()
    }

    pub fn up(&mut self, i: u32) -> Option<&mut Up> {
        match self.all.get_mut(i as usize).map(|c| &mut c.role) {
            Some(Role::Upstream(u)) => Some(u),
            _ => None,
        }
    }
}

impl std::ops::Index<u32> for Conns {
    type Output = Conn;
    fn index(&self, i: u32) -> &Conn {
        &self.all[i as usize]
    }
}

impl std::ops::IndexMut<u32> for Conns {
    fn index_mut(&mut self, i: u32) -> &mut Conn {
        &mut self.all[i as usize]
    }
}

impl Conn {
    fn is_used(&self) -> bool {
        !matches!(self.role, Role::Free { .. })
    }

    /// Takes note of what became ready.
    pub fn note(&mut self, e: Event) {
        self.readable |= e.readable || e.read_closed || e.closed;
        self.writable |= e.writable || e.closed;
        self.read_closed |= e.read_closed || e.closed;
        if let (Some(tls), Some(fd)) = (&mut self.transport, &self.fd) {
            tls.noted(fd.as_raw_fd(), self.readable, e.writable || e.closed);
        }
    }

    /// Takes note of a receive: a short one says that there is no more for now, unless the end is
    /// near, which no later event would tell.
    pub fn received(&mut self, n: usize, of: usize) {
        // A secure connection says by itself whether there is more.
        if n < of && !self.read_closed && self.transport.is_none() {
            self.readable = false;
        }
    }
}

/// No place.
pub(crate) const NONE: u32 = u32::MAX;
