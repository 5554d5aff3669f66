//! Bodies between the frames of a stream and the bytes of its pipe, with HTTP/2's flow control at one end and the
//! pipe's bound at the other: what the connection has not taken is not given back to the peer's window, and what the
//! peer's window does not take stays in the pipe.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use wire::Head;

use super::head;
use crate::http1::Reader;
use crate::pipe::{Pipe, Then, ROOM};

/// A body that comes in frames.
pub(super) struct Inward {
    /// None once it has ended.
    body: Option<RecvStream>,
    chunked: bool,
    /// Bytes that came and still count against the peer's window.
    unreleased: usize,
}

/// A body that leaves in frames.
#[derive(Default)]
pub(super) struct Outward {
    reader: Reader,
    trailers: Option<Box<Head>>,
    /// Out of the pipe, and not yet in a frame.
    data: BytesMut,
    /// Bytes as they are, until the connection finishes.
    tunnel: bool,
}

/// How far a body came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pushed {
    /// There is room in the pipe again.
    pub room: bool,
    /// Something went into frames.
    pub moved: bool,
    /// Its last frame was made.
    pub done: bool,
}

/// The stream cannot go on.
#[derive(Debug)]
pub(super) struct Broken;

impl Inward {
    pub fn new(body: RecvStream, chunked: bool) -> Self {
        Self {
            body: Some(body),
            chunked,
            unreleased: 0,
        }
    }

    /// From here on bytes are passed as they are, and their end is the pipe's.
    pub fn tunnel(&mut self) {
        self.chunked = false;
    }

    /// Puts into the pipe what has come, as far as there is room. True if that was anything.
    pub fn pull(
        &mut self,
        pipe: &mut Pipe,
        tunnel: bool,
        cx: &mut Context<'_>,
    ) -> Result<bool, h2::Error> {
        let Some(body) = &mut self.body else {
            return Ok(false);
        };
        let taken = self.unreleased.saturating_sub(pipe.inward.len());
        if taken > 0 {
            self.unreleased -= taken;
            body.flow_control().release_capacity(taken)?;
        }
        let mut moved = false;
        while pipe.inward.len() < ROOM {
            match body.poll_data(cx) {
                Poll::Ready(Some(data)) => {
                    let data = data?;
                    if data.is_empty() {
                        continue;
                    }
                    moved = true;
                    self.unreleased += data.len();
                    if self.chunked {
                        let mut line = [0; 18];
                        pipe.inward
                            .append(wire::http1::write::chunk_head(data.len(), &mut line));
                        pipe.inward.append(&data);
                        pipe.inward.append(b"\r\n");
                    } else {
                        pipe.inward.append(&data);
                    }
                }
                Poll::Ready(None) => {
                    let Poll::Ready(trailers) = body.poll_trailers(cx) else {
                        return Ok(moved);
                    };
                    if self.chunked {
                        head::write_end(trailers?.as_ref(), pipe.inward.vec());
                    }
                    if tunnel {
                        pipe.then = Then::End;
                    }
                    self.body = None;
                    return Ok(true);
                }
                Poll::Pending => return Ok(moved),
            }
        }
        Ok(moved)
    }
}

impl Outward {
    pub fn new(reader: Reader) -> Self {
        Self {
            reader,
            ..Self::default()
        }
    }

    pub fn tunnel() -> Self {
        Self {
            tunnel: true,
            ..Self::default()
        }
    }

    /// True if nothing follows the head.
    pub fn is_empty(&self) -> bool {
        !self.tunnel && self.reader.is_done()
    }

    /// Makes frames of what is in the pipe, as far as the peer's window allows.
    pub fn push(
        &mut self,
        pipe: &mut Pipe,
        to: &mut SendStream<Bytes>,
        cx: &mut Context<'_>,
    ) -> Result<Pushed, Broken> {
        let mut pushed = Pushed {
            room: false,
            moved: false,
            done: false,
        };
        loop {
            self.decode(pipe)?;
            let ended = if self.tunnel {
                pipe.finished && pipe.outward.is_empty()
            } else {
                self.reader.is_done()
            };
            if self.data.is_empty() {
                if ended {
                    self.end(to)?;
                    pushed.done = true;
                }
                break;
            }
            to.reserve_capacity(self.data.len());
            while let Poll::Ready(capacity) = to.poll_capacity(cx) {
                capacity.ok_or(Broken)?.map_err(|_| Broken)?;
            }
            let n = to.capacity().min(self.data.len());
            if n == 0 {
                break;
            }
            let last = ended && n == self.data.len() && self.trailers.is_none();
            let data = self.data.split_to(n).freeze();
            to.send_data(data, last).map_err(|_| Broken)?;
            pushed.moved = true;
            if last {
                pushed.done = true;
                break;
            }
        }
        pushed.room = pipe.has_room();
        if !pushed.done && pipe.gone && !self.waits(pipe) {
            // It left in the middle: nobody may take this for the whole.
            return Err(Broken);
        }
        Ok(pushed)
    }

    /// True if there is something to send that the peer's window does not take.
    pub fn waits(&self, pipe: &Pipe) -> bool {
        !self.data.is_empty() || !pipe.outward.is_empty()
    }

    fn decode(&mut self, pipe: &mut Pipe) -> Result<(), Broken> {
        while self.data.len() < PIECE && !pipe.outward.is_empty() {
            if self.tunnel {
                self.data.extend_from_slice(pipe.outward.as_slice());
                pipe.outward.consume(pipe.outward.len());
                break;
            }
            if self.reader.is_done() {
                return Err(Broken);
            }
            let (skip, len) = self
                .reader
                .piece(pipe.outward.as_slice(), &mut self.trailers)
                .map_err(|_| Broken)?;
            let input = pipe.outward.as_slice();
            self.data.extend_from_slice(&input[skip..skip + len]);
            pipe.outward.consume(skip + len);
        }
        Ok(())
    }

    fn end(&mut self, to: &mut SendStream<Bytes>) -> Result<(), Broken> {
        match self.trailers.take() {
            Some(trailers) => {
                let fields = head::fields(&trailers).ok_or(Broken)?;
                to.send_trailers(fields).map_err(|_| Broken)
            }
            None => to.send_data(Bytes::new(), true).map_err(|_| Broken),
        }
    }
}

/// Bytes that are taken out of the pipe ahead of a frame.
const PIECE: usize = 16 << 10;
