//! Calls of the system for the handover of descriptors.

use std::mem::size_of;
use std::os::fd::RawFd;

type Name = Vec<u8>;

/// Gives a Unix socket a name that no other has.
pub fn give_name(fd: RawFd) {
    let family = libc::AF_UNIX as libc::sa_family_t;
    let len = size_of::<libc::sa_family_t>() as libc::socklen_t;
    // SAFETY: an address of no more than its family asks for a name (unix(7), autobind).
    unsafe { libc::bind(fd, (&raw const family).cast(), len) };
}

/// The name of a Unix socket; none if it has none or is another kind.
pub fn name(fd: RawFd) -> Option<Name> {
    // SAFETY: `read` passes room and its length.
    read(|at, len| unsafe { libc::getsockname(fd, at, len) })
}

/// The name of a Unix socket's peer.
pub fn peer_name(fd: RawFd) -> Option<Name> {
    // SAFETY: as above.
    read(|at, len| unsafe { libc::getpeername(fd, at, len) })
}

fn read(call: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> i32) -> Option<Name> {
    // SAFETY: sockaddr_un is plain data, for which zero is valid.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    if call((&raw mut address).cast(), &mut len) != 0
        || i32::from(address.sun_family) != libc::AF_UNIX
    {
        return None;
    }
    let named = (len as usize).checked_sub(std::mem::offset_of!(libc::sockaddr_un, sun_path))?;
    let path = address.sun_path.get(..named)?;
    (named > 0).then(|| path.iter().map(|c| *c as u8).collect())
}

/// True if something has come, or its end, that was not read.
pub fn has_unread(fd: RawFd) -> bool {
    let mut byte = 0_u8;
    let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
    // SAFETY: there is room for one byte.
    let n = unsafe { libc::recv(fd, (&raw mut byte).cast(), 1, flags) };
    n >= 0
}

/// True if the peer has not taken all that was sent.
pub fn has_unsent(fd: RawFd) -> bool {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one integer.
    let got = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) };
    got != 0 || bytes != 0
}

/// Makes `server` name what `client` names: watched by the server's epoll as it was, and by ours no more.
pub fn exchange(client: RawFd, server: RawFd, theirs: RawFd, ours: RawFd) -> bool {
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: server as u64, // as libuv names what it watches
    };
    // SAFETY: all are open descriptors of this thread; nobody else uses them meanwhile. What `server` named is closed,
    // which takes it out of its epoll; its peer is ours, and closed next.
    unsafe {
        if libc::dup3(client, server, libc::O_CLOEXEC) != server {
            return false;
        }
        libc::epoll_ctl(ours, libc::EPOLL_CTL_DEL, client, std::ptr::null_mut());
        libc::epoll_ctl(theirs, libc::EPOLL_CTL_ADD, server, &mut event);
    }
    true
}
