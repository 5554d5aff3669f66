//! Bodies between two sockets: a [`Reader`] finds the data in one framing, a [`Writer`] frames it
//! anew. Chunk extensions are never passed on; chunk boundaries are ours.

use gateway_core::body::{Bodies, Side};
use wire::http1::{chunk_head, write_trailers, ChunkReader, Limits, Step};
use wire::{Framing, Head};

/// Where a body stands in its framing.
#[derive(Default)]
pub(crate) enum Reader {
    /// It has ended, or there was none.
    #[default]
    Done,
    /// So many bytes are to come.
    Length(u64),
    Chunked(ChunkReader),
    UntilClose,
}

/// How a body is framed towards the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Writer {
    /// No body is written: a reply to HEAD, or none at all.
    #[default]
    Nothing,
    /// As it is: a length was said, or the end is the connection's.
    Plain,
    Chunked,
}

/// The stream cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The sender broke the framing.
    Framing(wire::http1::Refusal),
    /// A pipe refused to go on.
    Pipe,
    /// More than the request may carry.
    TooLarge,
}

impl Reader {
    pub fn new(framing: Framing, limits: &Limits) -> Self {
        match framing {
            Framing::None | Framing::Length(0) => Self::Done,
            Framing::Length(n) => Self::Length(n),
            Framing::Chunked => Self::Chunked(ChunkReader::new(limits)),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }

    /// Takes the next piece of data from the front of `input`: how much of it stands before the data, and how long
    /// that is.
    pub fn piece(
        &mut self,
        input: &[u8],
        trailers: &mut Option<Box<Head>>,
    ) -> Result<(usize, usize), Cut> {
        self.next(input, trailers).map(|p| (p.skip, p.len))
    }

    /// Takes the next piece of data from the front of `input`.
    fn next(&mut self, input: &[u8], trailers: &mut Option<Box<Head>>) -> Result<Piece, Cut> {
        match self {
            Self::Done => Ok(Piece {
                skip: 0,
                len: 0,
                more: false,
            }),
            Self::UntilClose => Ok(Piece {
                skip: 0,
                len: input.len(),
                more: false,
            }),
            Self::Length(left) => {
                let len = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(input.len());
                *left -= len as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok(Piece {
                    skip: 0,
                    len,
                    more: false,
                })
            }
            Self::Chunked(reader) => match reader.next(input).map_err(Cut::Framing)? {
                Step::Data { skip, len } => Ok(Piece {
                    skip,
                    len,
                    more: skip + len < input.len(),
                }),
                Step::More { consumed } => Ok(Piece {
                    skip: consumed,
                    len: 0,
                    more: false,
                }),
                Step::End { consumed } => {
                    *trailers = reader.trailers().map(|t| Box::new(std::mem::take(t)));
                    *self = Self::Done;
                    Ok(Piece {
                        skip: consumed,
                        len: 0,
                        more: false,
                    })
                }
            },
        }
    }
}

struct Piece {
    skip: usize,
    len: usize,
    more: bool,
}

/// One direction of an exchange.
#[derive(Default)]
pub(crate) struct Stream {
    pub reader: Reader,
    pub writer: Writer,
    /// Data bytes that came out of the reader.
    pub read: u64,
    /// Data bytes that went into the writer.
    pub written: u64,
    /// The last byte of the body has been handed to the output.
    pub done: bool,
    pub trailers: Option<Box<Head>>,
}

impl Stream {
    pub fn begin(&mut self, framing: Framing, limits: &Limits) {
        self.reader = Reader::new(framing, limits);
        self.done = self.reader.is_done();
        self.read = 0;
        self.written = 0;
        self.trailers = None;
    }

    /// Reads data from `input`, sends it through the pipes, and frames it into `out`. Returns how
    /// much of `input` was taken: all, unless the body ended before.
    pub fn relay(
        &mut self,
        side: Side,
        bodies: &mut Bodies,
        input: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, Cut> {
        let limit = if side == Side::Request {
            bodies.request_limit()
        } else {
            None
        };
        let mut taken = 0;
        loop {
            let rest = &input[taken..];
            let piece = self.reader.next(rest, &mut self.trailers)?;
            let data = &rest[piece.skip..piece.skip + piece.len];
            taken += piece.skip + piece.len;
            self.read += data.len() as u64;
            if limit.is_some_and(|l| self.read > l) {
                return Err(Cut::TooLarge);
            }
            if !data.is_empty() {
                self.write(side, bodies, data, false, out)?;
            }
            if !piece.more {
                return Ok(taken);
            }
        }
    }

    /// Reads data and forgets it. Returns how much of `input` was taken.
    pub fn skip(&mut self, input: &[u8]) -> Result<usize, Cut> {
        let mut taken = 0;
        loop {
            let piece = self.reader.next(&input[taken..], &mut self.trailers)?;
            taken += piece.skip + piece.len;
            if !piece.more {
                return Ok(taken);
            }
        }
    }

    /// How many bytes at the front of `input` may go on as they are, without a copy: the framing on
    /// both sides is plain, and nobody changes or watches them.
    pub fn plain(&self, side: Side, bodies: &Bodies, input: &[u8]) -> Option<usize> {
        if self.writer != Writer::Plain || bodies.wants(side) || bodies.request_limit().is_some() {
            return None;
        }
        match self.reader {
            Reader::Length(left) => {
                Some(usize::try_from(left).unwrap_or(usize::MAX).min(input.len()))
            }
            Reader::UntilClose => Some(input.len()),
            _ => None,
        }
    }

    /// Notes that `n` plain bytes were passed on.
    pub fn passed(&mut self, n: usize) {
        self.read += n as u64;
        self.written += n as u64;
        if let Reader::Length(left) = &mut self.reader {
            *left -= n as u64;
            if *left == 0 {
                self.reader = Reader::Done;
                self.done = true;
            }
        }
    }

    /// Writes the end of the body, once its reader is done.
    pub fn finish(
        &mut self,
        side: Side,
        bodies: &mut Bodies,
        with_trailers: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Cut> {
        if self.done {
            return Ok(());
        }
        self.done = true;
        if bodies.wants(side) {
            self.write(side, bodies, b"", true, out)?;
        }
        if self.writer == Writer::Chunked {
            match self.trailers.as_deref().filter(|_| with_trailers) {
                Some(trailers) => write_trailers(trailers, out),
                None => out.extend_from_slice(wire::http1::write::LAST_CHUNK),
            }
        }
        Ok(())
    }

    fn write(
        &mut self,
        side: Side,
        bodies: &mut Bodies,
        data: &[u8],
        end: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Cut> {
        if !bodies.wants(side) {
            self.frame(data, out);
            return Ok(());
        }
        let mut changed = Vec::new();
        bodies
            .pass(side, data, end, &mut changed)
            .map_err(|_| Cut::Pipe)?;
        self.frame(&changed, out);
        Ok(())
    }

    pub fn frame(&mut self, data: &[u8], out: &mut Vec<u8>) {
        // An empty chunk would be read as the end.
        if data.is_empty() {
            return;
        }
        match self.writer {
            Writer::Nothing => return,
            Writer::Plain => out.extend_from_slice(data),
            Writer::Chunked => {
                let mut head = [0; 18];
                out.extend_from_slice(chunk_head(data.len(), &mut head));
                out.extend_from_slice(data);
                out.extend_from_slice(b"\r\n");
            }
        }
        self.written += data.len() as u64;
    }
}
