//! Parts of the tests that go through sockets: a gateway from a config, an origin that does what a
//! test says, and a client that sends bytes as they are. Every wait has a bound; ports are 0.
#![allow(dead_code, unused_imports, reason = "each test file uses its own part")]

mod client;
mod edge;
pub mod frames;
pub mod http2;
mod origin;
mod pieces;
mod port;
mod process;
mod second;
pub mod table;
pub mod tls;

pub use client::{field, Client, Response};
pub use edge::{config_to, Edge};
pub use origin::{Origin, Peer, Request};
pub use pieces::{Pieces, Random};
pub use port::{full, Port};
pub use process::{
    descriptors, metric, metric_where, raise_descriptors, resident, threads, wait_until,
};
pub use second::Second;

/// No wait of a test is longer.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
