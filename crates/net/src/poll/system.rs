//! Clocks, chance, files and CPUs of the system.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::check;

/// Nanoseconds on the clock that never jumps.
pub(crate) fn monotonic() -> u64 {
    clock(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds since 1970 on the clock that people read.
pub(crate) fn wall() -> u64 {
    clock(libc::CLOCK_REALTIME)
}

fn clock(which: libc::clockid_t) -> u64 {
    let mut t = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `t` is live; both clocks exist on every Linux.
    unsafe { libc::clock_gettime(which, &mut t) };
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Bytes that are hard to guess, from the system.
pub(crate) fn random() -> u64 {
    let mut n = 0u64;
    // SAFETY: eight live bytes are written.
    let got = unsafe { libc::getrandom((&raw mut n).cast(), 8, 0) };
    if got == 8 {
        n
    } else {
        wall() ^ monotonic().rotate_left(32)
    }
}

/// Opens a file to append to it, and makes it if it is not there. A pipe that nobody reads is an
/// error at once: opening it as a file is would wait for a reader.
///
/// # Errors
/// The system's.
pub(crate) fn append(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    // SAFETY: no pointer is passed, and the descriptor is open. Writes wait, on a thread for them.
    check(unsafe {
        let flags = check(libc::fcntl(file.as_raw_fd(), libc::F_GETFL))?;
        libc::fcntl(file.as_raw_fd(), libc::F_SETFL, flags & !libc::O_NONBLOCK)
    })?;
    Ok(file)
}

/// The number of CPUs that this process may use.
pub(crate) fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
