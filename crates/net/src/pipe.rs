//! A pipe: what a connection has in the place of a socket when a stream of HTTP/2 stands behind it.
//!
//! The connection's end is in the slab and is driven as a socket is: it receives, it sends, it is told when it may
//! again. The other end is in the hands of the HTTP/2 connection, which turns frames into bytes of HTTP/1.1 and back.
//!
//! Bounds: the connection may send [`ROOM`] bytes ahead of what has become frames; the stream puts in more only while
//! fewer than [`ROOM`] wait.

use std::cell::RefCell;
use std::rc::Rc;

use gateway_core::forward::Failure;
use gateway_core::secure::Secure;

use crate::buf::Buf;
use crate::poll::Moved;

/// One end, or the other.
pub(crate) type End = Rc<RefCell<Pipe>>;

/// Bytes on their way between a stream and a connection.
pub(crate) struct Pipe {
    /// What the connection will receive.
    pub inward: Buf,
    /// What it has sent.
    pub outward: Buf,
    /// What comes behind `inward`.
    pub then: Then,
    /// The connection would have sent more, and waits until it may.
    full: bool,
    /// The connection has finished sending.
    pub finished: bool,
    /// The connection is gone.
    pub gone: bool,
    /// The stream was refused before anybody looked at its request.
    pub unprocessed: bool,
    /// What TLS proves of the connection, and the client policy that it was accepted under.
    pub secure: Option<(Rc<Secure>, u64)>,
    /// Why there is no connection, beyond that it was refused.
    pub insecure: Option<Failure>,
    /// The HTTP/2 connection's token, and its name for the stream.
    owner: Stir,
    /// The HTTP/2 connection will look, and needs no further word.
    stirred: bool,
}

/// What comes behind the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// More, perhaps.
    More,
    /// The end, in good order.
    End,
    /// The stream is cut.
    Cut,
}

/// A stream that is to be looked at: the token of its connection, and its name there.
pub(crate) type Stir = (u64, u32);

impl Pipe {
    /// A pipe for this stream.
    pub fn new(owner: Stir) -> End {
        Rc::new(RefCell::new(Self {
            inward: Buf::default(),
            outward: Buf::default(),
            then: Then::More,
            full: false,
            finished: false,
            gone: false,
            unprocessed: false,
            secure: None,
            insecure: None,
            owner,
            stirred: false,
        }))
    }

    /// Whose stream it is.
    pub fn owner(&self) -> Stir {
        self.owner
    }

    /// True unless the stream was cut.
    pub fn is_open(&self) -> bool {
        self.then != Then::Cut
    }

    /// The stream's connection is about to look.
    pub fn settle(&mut self) {
        self.stirred = false;
    }

    /// True if the stream's connection has something to look at.
    pub fn is_stirred(&self) -> bool {
        self.stirred
    }

    /// Something changed: whom to tell, if that was not told before.
    pub fn stir(&mut self) -> Option<Stir> {
        (!std::mem::replace(&mut self.stirred, true)).then_some(self.owner)
    }

    pub(crate) fn recv(&mut self, into: &mut [u8], stirred: &mut Vec<Stir>) -> Moved {
        let n = self.inward.len().min(into.len());
        if n == 0 {
            return match self.then {
                Then::More => Moved::Blocked,
                Then::End => Moved::End,
                Then::Cut => Moved::Broken,
            };
        }
        into[..n].copy_from_slice(&self.inward.as_slice()[..n]);
        self.inward.consume(n);
        stirred.extend(self.stir());
        Moved::Some(n)
    }

    pub(crate) fn send(&mut self, a: &[u8], b: &[u8], stirred: &mut Vec<Stir>) -> Moved {
        if self.then == Then::Cut {
            return Moved::Broken;
        }
        let room = ROOM.saturating_sub(self.outward.len());
        self.full = a.len() + b.len() > room;
        if room == 0 {
            return Moved::Blocked;
        }
        let (a, b) = (
            &a[..a.len().min(room)],
            &b[..b.len().min(room - a.len().min(room))],
        );
        self.outward.append(a);
        self.outward.append(b);
        stirred.extend(self.stir());
        Moved::Some(a.len() + b.len())
    }

    /// True, once, if the connection waits and may send again.
    pub fn has_room(&mut self) -> bool {
        let room = self.full && self.outward.len() <= ROOM / 2;
        self.full &= !room;
        room
    }

    pub(crate) fn finish(&mut self, stirred: &mut Vec<Stir>) {
        self.finished = true;
        stirred.extend(self.stir());
    }
}

/// Bytes that wait in one direction, before no more are put in.
pub(crate) const ROOM: usize = 64 << 10;
