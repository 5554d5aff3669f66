//! The table of attacks, received byte for byte through the least buffers that the system gives:
//! every reader is resumed at every byte, and every writer where it stopped.

mod attacks;
mod kit;

use std::sync::atomic::Ordering::Relaxed;

use kit::Pieces;
use net::counts;

#[test]
fn requests() {
    least();
    attacks::requests(Pieces::Whole);
}

#[test]
fn responses() {
    least();
    attacks::responses(Pieces::Whole);
}

/// For all gateways of this process.
fn least() {
    counts::PIECE.store(1, Relaxed);
    counts::BUFFERS.store(1, Relaxed);
}
