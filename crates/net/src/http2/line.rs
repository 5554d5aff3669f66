//! The bytes of one HTTP/2 connection between its socket and the codec, and who woke it.
//!
//! The codec reads and writes buffers; the shard fills and empties them through [`Conns`](crate::conns::Conns), so
//! that all that leaves in one turn goes out in one send.
//! Bounds: [`INPUT`] bytes are received ahead of the codec and one piece more, [`OUTPUT`] wait for the socket.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::Frames;
use crate::buf::Buf;
use crate::poll::Moved;
use crate::shard::Shard;

/// What the codec reads from and writes to.
pub(crate) struct Io(Rc<RefCell<Bytes>>);

#[derive(Default)]
struct Bytes {
    input: Buf,
    output: Buf,
    /// Nothing follows the input.
    ended: bool,
    /// The codec had more to write than there was room.
    blocked: bool,
}

/// The shard's side of an [`Io`].
pub(crate) struct Line {
    bytes: Rc<RefCell<Bytes>>,
    woken: Arc<Woken>,
    waker: Waker,
    pub frames: Frames,
    /// When a byte last left, or there was none to send.
    pub moved: u64,
    /// The peer spent its budget.
    pub spent: bool,
}

/// Which parts of a connection have something to do.
#[derive(Default)]
struct Woken {
    connection: AtomicBool,
    streams: Mutex<Vec<u32>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.connection.store(true, Relaxed);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.connection.store(true, Relaxed);
    }
}

struct WokenStream {
    all: Arc<Woken>,
    stream: u32,
}

impl Wake for WokenStream {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let streams = &self.all.streams;
        let mut streams = streams.lock().unwrap_or_else(PoisonError::into_inner);
        if streams.last() != Some(&self.stream) {
            streams.push(self.stream);
        }
    }
}

impl Line {
    /// Both sides of a connection.
    pub fn new(frames: Frames, now: u64) -> (Self, Io) {
        let bytes = Rc::new(RefCell::new(Bytes::default()));
        let woken = Arc::new(Woken::default());
        let line = Self {
            bytes: bytes.clone(),
            waker: Waker::from(woken.clone()),
            woken,
            frames,
            moved: now,
            spent: false,
        };
        (line, Io(bytes))
    }

    /// The waker of the connection itself.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }

    /// A waker of one of its streams.
    pub fn waker_of(&self, stream: u32) -> Waker {
        let all = self.woken.clone();
        Waker::from(Arc::new(WokenStream { all, stream }))
    }

    /// Lets the codec look again.
    pub fn wake(&self) {
        self.woken.connection.store(true, Relaxed);
    }

    /// True if the codec has something to do; asking takes that back.
    pub fn take_woken(&self) -> bool {
        self.woken.connection.swap(false, Relaxed)
    }

    /// True if the codec has something to do.
    pub fn is_woken(&self) -> bool {
        self.woken.connection.load(Relaxed)
    }

    /// The streams that have something to do.
    pub fn take_streams(&self) -> Vec<u32> {
        let streams = &self.woken.streams;
        std::mem::take(&mut *streams.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Hands over what came. False if the peer spent its budget.
    pub fn feed(&mut self, bytes: &[u8], now: u64) {
        if self.spent {
            return;
        }
        if self.frames.see(bytes, now) {
            self.bytes.borrow_mut().input.append(bytes);
        } else {
            self.spent = true;
        }
        self.wake();
    }

    /// Nothing more comes.
    pub fn end(&self) {
        self.bytes.borrow_mut().ended = true;
        self.wake();
    }

    /// True if there is nothing left to send.
    pub fn is_flushed(&self) -> bool {
        self.bytes.borrow().output.is_empty()
    }

    fn is_full(&self) -> bool {
        self.bytes.borrow().input.len() >= INPUT
    }
}

impl Shard {
    /// Receives once for the codec, if there may be something and it is wanted. True if something came.
    pub(super) fn receive_line(&mut self, i: u32, line: &mut Line) -> bool {
        if !self.conns[i].readable || line.is_full() {
            return false;
        }
        match self.conns.recv(i, &mut self.scratch) {
            Moved::Some(n) => {
                let of = self.scratch.len();
                self.conns[i].received(n, of);
                line.feed(&self.scratch[..n], self.now);
                return true;
            }
            Moved::Blocked => self.conns[i].readable = false,
            Moved::End | Moved::Broken => {
                self.conns[i].readable = false;
                self.conns[i].read_closed = true;
                line.end();
            }
        }
        false
    }

    /// Sends what the codec wrote. An error if nobody takes it any more.
    pub(super) fn flush_line(&mut self, i: u32, line: &mut Line) -> Result<(), ()> {
        let mut bytes = line.bytes.borrow_mut();
        if bytes.output.is_empty() {
            line.moved = self.now;
        }
        while !bytes.output.is_empty() && self.conns[i].writable {
            match self.conns.send(i, bytes.output.as_slice()) {
                Moved::Some(n) => {
                    if n < bytes.output.len() {
                        self.conns[i].writable = false;
                    }
                    bytes.output.consume(n);
                    line.frames.earn(n as u64);
                    line.moved = self.now;
                }
                Moved::Blocked => self.conns[i].writable = false,
                Moved::End | Moved::Broken => {
                    bytes.output.clear();
                    return Err(());
                }
            }
        }
        if bytes.blocked && bytes.output.len() < OUTPUT {
            bytes.blocked = false;
            line.woken.connection.store(true, Relaxed);
        }
        Ok(())
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = self.0.borrow_mut();
        let n = bytes.input.len().min(into.remaining());
        if n == 0 && !bytes.ended {
            // Whoever feeds it wakes it.
            return Poll::Pending;
        }
        into.put_slice(&bytes.input.as_slice()[..n]);
        bytes.input.consume(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut bytes = self.0.borrow_mut();
        if bytes.output.len() >= OUTPUT {
            bytes.blocked = true;
            return Poll::Pending;
        }
        slices.iter().for_each(|s| bytes.output.append(s));
        Poll::Ready(Ok(slices.iter().map(|s| s.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Bytes that wait for the codec before no more are received.
const INPUT: usize = 16 << 10;
/// Bytes that wait for the socket before the codec writes no more.
const OUTPUT: usize = 64 << 10;
