//! Calls of the system for files.

use std::ffi::CStr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::poll::Moved;

/// Opens a path below a folder (openat2(2), Linux 5.6). The error is the system's number.
pub fn open(folder: RawFd, path: &CStr, flags: i32, resolve: u64) -> Result<OwnedFd, i32> {
    // SAFETY: open_how is plain data, for which zero is valid.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.resolve = resolve;
    loop {
        // SAFETY: the path ends with NUL, and `how` is of the size that is said.
        let fd = unsafe {
            libc::syscall(
                libc::SYS_openat2,
                folder,
                path.as_ptr(),
                &raw const how,
                size_of::<libc::open_how>(),
            )
        };
        if fd >= 0 {
            // SAFETY: the descriptor is new, and nobody else's.
            return Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) });
        }
        match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) => {}
            other => return Err(other.unwrap_or(libc::EIO)),
        }
    }
}

/// Reads what is in memory (preadv2(2) with RWF_NOWAIT, Linux 4.14). A file system that cannot tell is one that waits.
pub fn read_now(fd: RawFd, into: &mut [u8], from: u64) -> Moved {
    let room = libc::iovec {
        iov_base: into.as_mut_ptr().cast(),
        iov_len: into.len(),
    };
    loop {
        // SAFETY: the one piece of room is that of `into`. The place is passed in two halves, of which 64-bit systems read the
        // first as the whole, and others both.
        let n = unsafe {
            libc::syscall(
                libc::SYS_preadv2,
                fd,
                &raw const room,
                1_usize,
                from as libc::c_long,
                (from >> 32) as libc::c_long,
                libc::RWF_NOWAIT,
            )
        };
        if n > 0 {
            return Moved::Some(n as usize);
        }
        if n == 0 {
            return Moved::End;
        }
        match std::io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN | libc::EOPNOTSUPP | libc::EINVAL | libc::ENOSYS) => {
                return Moved::Blocked;
            }
            _ => return Moved::Broken,
        }
    }
}
