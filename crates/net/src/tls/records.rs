//! Records: taken apart and put together by rustls, with memory that is given to it.

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::Error;

use super::hello::Hello;
use crate::buf::Buf;

/// What a connection has of rustls.
pub(super) enum Session {
    Hello(Box<Hello>),
    Server(Box<UnbufferedServerConnection>),
    Client(Box<UnbufferedClientConnection>),
}

impl Session {
    /// Takes apart all whole records in `buf` and does `task`. Returns how much of `buf` was taken, and how
    /// the connection stands. After an error, the alert that says so is in the output.
    pub fn process(
        &mut self,
        buf: &mut [u8],
        work: &mut Work<'_>,
        task: Task<'_>,
    ) -> Result<(usize, After), Error> {
        let mut at = 0;
        loop {
            let (discard, after) = self.step(&mut buf[at..], work, task);
            at += discard;
            match after {
                Ok(After::Again | After::Wrote) => {}
                Ok(after) => return Ok((at, after)),
                Err(error) => {
                    // What rustls has to say comes before it looks at the rest.
                    while let (n, Ok(After::Wrote)) = self.step(&mut buf[at..], work, Task::Read) {
                        at += n;
                    }
                    return Err(error);
                }
            }
        }
    }

    fn step(
        &mut self,
        buf: &mut [u8],
        work: &mut Work<'_>,
        task: Task<'_>,
    ) -> (usize, Result<After, Error>) {
        match self {
            Self::Server(c) => step(c.process_tls_records(buf), work, task),
            Self::Client(c) => step(c.process_tls_records(buf), work, task),
            Self::Hello(_) => (0, Ok(After::More)),
        }
    }
}

/// Ciphertext on its way out; `bytes` keeps its length.
#[derive(Default)]
pub(super) struct Out {
    bytes: Vec<u8>,
    used: usize,
}

impl Out {
    /// Room for at least `n` more bytes.
    pub fn room(&mut self, n: usize) -> &mut [u8] {
        if self.bytes.len() < self.used + n {
            self.bytes.resize(self.used + n, 0);
        }
        &mut self.bytes[self.used..]
    }

    pub fn take(&mut self) -> &[u8] {
        let used = std::mem::take(&mut self.used);
        &self.bytes[..used]
    }
}

/// What is to be done besides taking records apart.
#[derive(Clone, Copy)]
pub(super) enum Task<'a> {
    Read,
    Encrypt(&'a [u8]),
    Close,
}

/// Where things go while records are taken apart.
pub(super) struct Work<'a> {
    /// Plaintext goes here,
    pub into: &'a mut [u8],
    /// so much of which is filled,
    pub filled: usize,
    /// and the rest here.
    pub plain: &'a mut Buf,
    pub out: &'a mut Out,
    pub peer_closed: &'a mut bool,
}

/// How a connection stands after a step.
#[derive(PartialEq, Eq)]
pub(super) enum After {
    /// There is more to do.
    Again,
    /// There is something to send, and maybe more.
    Wrote,
    /// More is needed from the socket.
    More,
    /// All was taken apart, and the connection stands.
    Open,
}

/// Handles one state. Returns how much is to be taken from the front of what was looked at, whatever
/// came of it.
fn step<D>(
    status: UnbufferedStatus<'_, '_, D>,
    work: &mut Work<'_>,
    task: Task<'_>,
) -> (usize, Result<After, Error>) {
    let mut discard = status.discard;
    let after = status
        .state
        .and_then(|state| handle(state, &mut discard, work, task));
    (discard, after)
}

fn handle<D>(
    state: ConnectionState<'_, '_, D>,
    discard: &mut usize,
    work: &mut Work<'_>,
    task: Task<'_>,
) -> Result<After, Error> {
    Ok(match state {
        ConnectionState::ReadTraffic(mut traffic) => {
            while let Some(record) = traffic.next_record() {
                let record = record?;
                *discard += record.discard;
                work.read(record.payload);
            }
            After::Again
        }
        ConnectionState::EncodeTlsData(mut data) => {
            let mut least = LEAST_ROOM;
            loop {
                match data.encode(work.out.room(least)) {
                    Ok(n) => break work.out.used += n,
                    Err(EncodeError::InsufficientSize(e)) if e.required_size > least => {
                        least = e.required_size;
                    }
                    Err(_) => return Err(Error::EncryptError),
                }
            }
            After::Wrote
        }
        ConnectionState::TransmitTlsData(data) => {
            // It lies in the output and goes before anything else.
            data.done();
            After::Again
        }
        ConnectionState::PeerClosed => {
            *work.peer_closed = true;
            After::Again
        }
        ConnectionState::WriteTraffic(mut traffic) => {
            let (mut least, piece) = match task {
                Task::Read => return Ok(After::Open),
                Task::Encrypt(piece) => (piece.len() + OVERHEAD, Some(piece)),
                Task::Close => (LEAST_ROOM, None),
            };
            loop {
                let room = work.out.room(least);
                let made = match piece {
                    Some(piece) => traffic.encrypt(piece, room),
                    None => traffic.queue_close_notify(room),
                };
                match made {
                    Ok(n) => break work.out.used += n,
                    Err(EncryptError::InsufficientSize(e)) if e.required_size > least => {
                        least = e.required_size;
                    }
                    Err(_) => return Err(Error::EncryptError),
                }
            }
            After::Open
        }
        ConnectionState::BlockedHandshake => After::More,
        ConnectionState::Closed => match task {
            Task::Encrypt(_) => return Err(Error::EncryptError),
            Task::Read | Task::Close => After::Open,
        },
        // Early data is not offered: a replay could be taken for a request.
        _ => return Err(Error::HandshakeNotComplete),
    })
}

impl Work<'_> {
    fn read(&mut self, payload: &[u8]) {
        // What could not be handed over comes first.
        let room = if self.plain.is_empty() {
            self.into.len() - self.filled
        } else {
            0
        };
        let n = room.min(payload.len());
        self.into[self.filled..self.filled + n].copy_from_slice(&payload[..n]);
        self.filled += n;
        if n < payload.len() {
            self.plain.append(&payload[n..]);
        }
    }
}

/// What records add to a piece, with room for a key update: at most 5 + 16 + 1 bytes a record in TLS
/// 1.3, 5 + 8 + 16 in TLS 1.2.
const OVERHEAD: usize = 512;
const LEAST_ROOM: usize = 1024;
