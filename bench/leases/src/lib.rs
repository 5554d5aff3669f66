//! Nodes that share a limit through a store, simulated: what they admit, by how much that is too much, and what it costs.
//!
//! Each node is an [`algo::LeaseTable`], the store is [`algo::store_gcra`]; between them are delays and losses. Time is a
//! number, and all that is random comes from a seed: the same [`Scene`] gives the same [`Outcome`] on every machine.
#![forbid(unsafe_code)]

pub mod figures;
pub mod scene;

pub use scene::{Outcome, Scene};
