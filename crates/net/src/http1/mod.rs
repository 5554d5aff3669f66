//! The edge door for HTTP/1.1: one client connection and the upstream connection that its request
//! uses, driven as one state machine.
//!
//! - [`drive`](Shard::drive) makes what progress it can and is called after every event of either
//!   side; [`head`] reads requests, [`decide`] carries out what the engine says, [`upstream`]
//!   connects, [`introduce`] writes PROXY headers, [`outside`] sends asks to other threads, [`response`] reads what comes back, [`stream`] moves bodies, [`tunnel`] moves what
//!   comes after a 101, [`close`] ends.

mod body;
mod close;
mod decide;
mod drive;
mod files;
mod handshake;
mod head;
mod introduce;
mod outside;
mod response;
mod stream;
mod tunnel;
mod txn;
mod upstream;

pub(crate) use body::{Reader, Writer};
pub(crate) use drive::Next;
pub(crate) use txn::{Stage, Txn};
pub(crate) use upstream::{asks_trailers, settings};

#[cfg(doc)]
use crate::shard::Shard;
