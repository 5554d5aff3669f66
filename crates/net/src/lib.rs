//! The edge door: sockets, and the threads that own them.
//!
//! # Layout
//! - [`Gateway`] is what a program holds: start, reload, drain.
//! - `shard` is one thread: `poll` tells it what is ready, `timers` what is due, `conns` holds its
//!   descriptors, `pools` its idle upstream connections, `mailbox` what others say to it.
//! - [`asks`] takes what JavaScript answers out of the shards, and the answers back.
//! - `http1` drives one client connection and its upstream's as one state machine.
//! - `listener` takes connections in; `log` and `meter` write down how requests ended.
//!
//! Unsafe code stands only in `poll`, the one file that knows the operating system.
#![deny(unsafe_code)]

mod acme;
pub mod asks;
mod bind;
mod buf;
mod certificates;
mod chunks;
mod conns;
mod faults;
mod files;
mod gateway;
mod guest;
mod handover;
mod handshakes;
mod http1;
mod http2;
mod ip_lists;
mod listener;
mod local;
mod log;
mod mailbox;
mod meter;
pub mod outbox;
mod pipe;
#[allow(unsafe_code, reason = "the calls of the operating system")]
mod poll;
mod pools;
mod prepared;
mod reactor;
mod shard;
mod timers;
mod tls;
mod usage;
mod wakes;

pub use gateway::{workers, Gateway, StartError};
pub use guest::{Arrival, Arrived};
pub use local::{Exchange, Local};
pub use poll::counts;
pub use prepared::{Kept, Prepared, Sockets};
pub use reactor::Reactor;
pub use tls::{check_files, dev_certificate, DevCertificate, Looked, Serving, Unpublished};
