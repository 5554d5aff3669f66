//! How often the system was called, over all threads, since the process started. Only with the
//! feature `count`; all zero without it.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Receives.
pub static RECV: AtomicU64 = AtomicU64::new(0);
/// Sends.
pub static SEND: AtomicU64 = AtomicU64::new(0);
/// Waits for events.
pub static WAIT: AtomicU64 = AtomicU64::new(0);
/// Changes of what is watched.
pub static CTL: AtomicU64 = AtomicU64::new(0);
/// Accepts.
pub static ACCEPT: AtomicU64 = AtomicU64::new(0);
/// Bytes of one receive, for gateways that start from now on: at one, every reader is resumed
/// at every byte. 0 leaves the default.
pub static PIECE: AtomicU64 = AtomicU64::new(0);
/// Bytes of the send and receive buffers of accepted connections, as the system rounds them;
/// 0 leaves the system's.
pub static BUFFERS: AtomicU64 = AtomicU64::new(0);

/// Bytes that one receive asks for.
pub(crate) fn piece() -> usize {
    match tuned(&PIECE) {
        0 => RECEIVE,
        n => n as usize,
    }
}

pub(super) fn tuned(setting: &AtomicU64) -> u64 {
    if cfg!(feature = "count") {
        setting.load(Relaxed)
    } else {
        0
    }
}

#[inline]
pub(super) fn count(counter: &AtomicU64) {
    if cfg!(feature = "count") {
        counter.fetch_add(1, Relaxed);
    }
}

/// Bytes of one receive.
const RECEIVE: usize = 64 << 10;
