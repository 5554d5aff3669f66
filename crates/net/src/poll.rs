//! The one place that knows the operating system: here sockets and readiness.
//!
//! Readiness is epoll, edge-triggered: a descriptor is registered once, for reading, writing and
//! hang-up, and never again. With the feature `count`, every call is counted (see [`counts`]).

use std::io;
use std::mem::{size_of, MaybeUninit};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

mod address;
pub mod counts;
mod system;

use address::{family, from_sockaddr, to_sockaddr};
pub(crate) use counts::piece;
use counts::{count, tuned};
pub(crate) use system::{append, cpus, monotonic, random, wall};

/// A set of descriptors whose readiness is awaited.
pub(crate) struct Poll {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// What became ready.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub token: u64,
    pub readable: bool,
    pub writable: bool,
    /// The peer has finished sending.
    pub read_closed: bool,
    /// The connection is gone, or failed.
    pub closed: bool,
}

impl Poll {
    /// # Errors
    /// The system's, when it has no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed; the result is checked and owned.
        let epoll = unsafe { owned(libc::epoll_create1(libc::EPOLL_CLOEXEC))? };
        Ok(Self {
            epoll,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS],
        })
    }

    /// Readable when there are events.
    pub fn fd(&self) -> RawFd {
        self.epoll.as_raw_fd()
    }

    /// Registers a descriptor, once for its whole life; closing it ends the registration.
    ///
    /// # Errors
    /// The system's, when it is out of memory or watches.
    pub fn add(&self, fd: RawFd, token: u64) -> io::Result<()> {
        count(&counts::CTL);
        let events = (libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET) as u32;
        let mut event = libc::epoll_event { events, u64: token };
        // SAFETY: `event` outlives the call, which copies it.
        check(unsafe {
            libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event)
        })?;
        Ok(())
    }

    /// Waits for at most `timeout` milliseconds (-1: for ever) and returns how many events there are.
    pub fn wait(&mut self, timeout: i32) -> usize {
        count(&counts::WAIT);
        // SAFETY: the pointer and the length are those of one live vector.
        let n = unsafe {
            libc::epoll_wait(
                self.epoll.as_raw_fd(),
                self.events.as_mut_ptr(),
                EVENTS as i32,
                timeout,
            )
        };
        // Interrupted by a signal, or nothing: either way there is no event.
        usize::try_from(n).unwrap_or(0)
    }

    /// The event at `i`, below what `wait` returned.
    pub fn event(&self, i: usize) -> Event {
        let libc::epoll_event { events, u64: token } = self.events[i];
        let has = |flag: i32| events & flag as u32 != 0;
        Event {
            token,
            readable: has(libc::EPOLLIN),
            writable: has(libc::EPOLLOUT),
            read_closed: has(libc::EPOLLRDHUP),
            closed: has(libc::EPOLLHUP) || has(libc::EPOLLERR),
        }
    }
}

/// What a receive or a send came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moved {
    /// So many bytes, more than none.
    Some(usize),
    /// The other side has finished sending.
    End,
    /// Not now.
    Blocked,
    /// The connection is broken.
    Broken,
}

/// Receives into `buf`.
pub(crate) fn recv(fd: RawFd, buf: &mut [u8]) -> Moved {
    count(&counts::RECV);
    // SAFETY: the pointer and the length are those of one live slice.
    let n = unsafe { recv_raw(fd, buf.as_mut_ptr().cast(), buf.len()) };
    moved(n)
}

/// Sends from `buf`, which is not empty.
pub(crate) fn send(fd: RawFd, buf: &[u8]) -> Moved {
    count(&counts::SEND);
    // SAFETY: the pointer and the length are those of one live slice.
    let n = unsafe { send_raw(fd, buf.as_ptr().cast(), buf.len()) };
    moved(n)
}

// The C library's recv and send are points at which a thread can be cancelled, which costs a
// process of several threads two atomic operations a call. Nobody cancels a shard.

/// # Safety
/// `len` bytes at `at` can be written.
#[cfg(target_os = "linux")]
unsafe fn recv_raw(fd: RawFd, at: *mut libc::c_void, len: usize) -> isize {
    let nowhere = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: as the caller says; no address is wanted.
    unsafe { libc::syscall(libc::SYS_recvfrom, fd, at, len, 0, nowhere, nowhere) as isize }
}

/// # Safety
/// `len` bytes at `at` can be read.
#[cfg(target_os = "linux")]
unsafe fn send_raw(fd: RawFd, at: *const libc::c_void, len: usize) -> isize {
    let (flags, nowhere) = (libc::MSG_NOSIGNAL, std::ptr::null::<libc::c_void>());
    // SAFETY: as the caller says; no address is given.
    unsafe { libc::syscall(libc::SYS_sendto, fd, at, len, flags, nowhere, 0) as isize }
}

/// # Safety
/// `len` bytes at `at` can be written.
#[cfg(not(target_os = "linux"))]
unsafe fn recv_raw(fd: RawFd, at: *mut libc::c_void, len: usize) -> isize {
    // SAFETY: as the caller says.
    unsafe { libc::recv(fd, at, len, 0) }
}

/// # Safety
/// `len` bytes at `at` can be read.
#[cfg(not(target_os = "linux"))]
unsafe fn send_raw(fd: RawFd, at: *const libc::c_void, len: usize) -> isize {
    // SAFETY: as the caller says.
    unsafe { libc::send(fd, at, len, libc::MSG_NOSIGNAL) }
}

/// Sends two pieces with one call; not both are empty.
pub(crate) fn send_two(fd: RawFd, a: &[u8], b: &[u8]) -> Moved {
    count(&counts::SEND);
    let mut pieces = [
        libc::iovec {
            iov_base: a.as_ptr().cast_mut().cast(),
            iov_len: a.len(),
        },
        libc::iovec {
            iov_base: b.as_ptr().cast_mut().cast(),
            iov_len: b.len(),
        },
    ];
    // SAFETY: msghdr is plain data, for which zero is valid; the pieces outlive the call, which
    // only reads through them.
    let n = unsafe {
        let mut msg: libc::msghdr = std::mem::zeroed();
        msg.msg_iov = pieces.as_mut_ptr();
        msg.msg_iovlen = 2;
        libc::sendmsg(fd, &msg, libc::MSG_NOSIGNAL)
    };
    moved(n)
}

fn moved(n: isize) -> Moved {
    match n {
        0 => Moved::End,
        1.. => Moved::Some(n as usize),
        _ => match io::Error::last_os_error().kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Moved::Blocked,
            _ => Moved::Broken,
        },
    }
}

/// What an accept came to.
pub(crate) enum Accepted {
    /// A connection and where it comes from.
    Some(OwnedFd, SocketAddr),
    /// None is waiting.
    None,
    /// The process, or the machine, has no descriptor or memory left.
    Exhausted,
}

/// Accepts one connection, which does not block.
pub(crate) fn accept(listener: RawFd) -> Accepted {
    count(&counts::ACCEPT);
    loop {
        let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        // SAFETY: address and length describe one live, zeroed storage.
        let fd = unsafe {
            libc::accept4(
                listener,
                address.as_mut_ptr().cast(),
                &mut len,
                libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            )
        };
        if fd >= 0 {
            // SAFETY: the descriptor is new and ours; the storage was zeroed, so it is initialised
            // whatever the call wrote.
            let (fd, address) = unsafe { (OwnedFd::from_raw_fd(fd), address.assume_init()) };
            return Accepted::Some(fd, from_sockaddr(&address));
        }
        let e = io::Error::last_os_error();
        match e.raw_os_error() {
            Some(libc::EAGAIN) => return Accepted::None,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                return Accepted::Exhausted
            }
            // The client gave up while it waited, or a signal came: there may be others.
            Some(
                libc::ECONNABORTED | libc::EINTR | libc::EPROTO | libc::EPERM | libc::ENETDOWN,
            ) => {}
            _ => return Accepted::None,
        }
    }
}

/// A listening socket that shares its port with the other threads'.
///
/// # Errors
/// The system's: the address is taken, not ours, or not permitted.
pub(crate) fn listen(address: SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    let fd = reserve(address)?;
    // SAFETY: no pointer is passed.
    check(unsafe { libc::listen(fd.as_raw_fd(), backlog) })?;
    Ok(fd)
}

/// A socket bound to an address that others of this user may share; it takes nothing in.
///
/// # Errors
/// The system's, when the address cannot be had.
pub(crate) fn reserve(address: SocketAddr) -> io::Result<OwnedFd> {
    let fd = socket(family(&address), true)?;
    option(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    option(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    // Accepted sockets inherit it, which saves a call for each.
    option(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    if address.is_ipv6() {
        option(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, 1)?;
    }
    let buffers = tuned(&counts::BUFFERS) as libc::c_int;
    if buffers > 0 {
        option(&fd, libc::SOL_SOCKET, libc::SO_SNDBUF, buffers)?;
        option(&fd, libc::SOL_SOCKET, libc::SO_RCVBUF, buffers)?;
    }
    let (storage, len) = to_sockaddr(&address);
    // SAFETY: the storage outlives the call and is as long as said.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const storage).cast(), len) })?;
    Ok(fd)
}

/// True if somebody else already listens there: binding with a shared port would not say so.
pub(crate) fn taken(address: SocketAddr) -> bool {
    if address.port() == 0 {
        return false;
    }
    let Ok(fd) = socket(family(&address), true) else {
        return false;
    };
    let (storage, len) = to_sockaddr(&address);
    let _ = option(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
    // SAFETY: the storage outlives the call and is as long as said.
    let bound = check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const storage).cast(), len) });
    bound.is_err_and(|e| e.kind() == io::ErrorKind::AddrInUse)
}

/// Where a socket is bound.
///
/// # Errors
/// The system's, which a bound socket never meets.
pub(crate) fn local_address(fd: &OwnedFd) -> io::Result<SocketAddr> {
    let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
    let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
    // SAFETY: address and length describe one live, zeroed storage.
    unsafe {
        check(libc::getsockname(
            fd.as_raw_fd(),
            address.as_mut_ptr().cast(),
            &mut len,
        ))?;
        Ok(from_sockaddr(&address.assume_init()))
    }
}

/// Begins a connection; it is made, or has failed, when the socket becomes writable.
///
/// # Errors
/// The system's: no descriptor left, or refused at once.
pub(crate) fn connect(address: &SocketAddr) -> io::Result<OwnedFd> {
    let fd = socket(family(address), true)?;
    option(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    let (storage, len) = to_sockaddr(address);
    begin(fd, (&raw const storage).cast(), len)
}

/// Begins a connection to a Unix socket.
///
/// # Errors
/// As for [`connect`]; also when the path is too long (107 bytes), or its queue is full.
/// Begins a connection to a Unix socket; a `named` one has a name that no other has.
pub(crate) fn connect_unix(path: &Path, named: bool) -> io::Result<OwnedFd> {
    let bytes = path.as_os_str().as_bytes();
    // SAFETY: sockaddr_un is plain data, for which zero is valid.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    if bytes.len() >= address.sun_path.len() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (to, from) in address.sun_path.iter_mut().zip(bytes) {
        *to = *from as libc::c_char;
    }
    let fd = socket(libc::AF_UNIX, false)?;
    if named {
        crate::handover::give_name(fd.as_raw_fd());
    }
    begin(
        fd,
        (&raw const address).cast(),
        size_of::<libc::sockaddr_un>() as libc::socklen_t,
    )
}

fn begin(fd: OwnedFd, address: *const libc::sockaddr, len: libc::socklen_t) -> io::Result<OwnedFd> {
    // SAFETY: the callers pass a live address and its length.
    match check(unsafe { libc::connect(fd.as_raw_fd(), address, len) }) {
        Ok(_) => Ok(fd),
        Err(e) if e.raw_os_error() == Some(libc::EINPROGRESS) => Ok(fd),
        Err(e) => Err(e),
    }
}

/// True if a connection that was begun has been made.
pub(crate) fn connected(fd: RawFd) -> bool {
    let mut error: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: error and length describe one live integer.
    let got = unsafe {
        libc::getsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut error).cast(),
            &mut len,
        )
    };
    got == 0 && error == 0
}

/// Says that nothing more will be sent.
pub(crate) fn finish(fd: RawFd) {
    // SAFETY: no pointer is passed; a socket that is gone already is no harm.
    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
}

/// Makes the coming close a reset: the other side must not take what it got for the whole.
pub(crate) fn reset_on_close(fd: RawFd) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the pointer and the length are those of one live struct.
    unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
}

/// Wakes a thread that waits in [`Poll::wait`].
pub(crate) struct Wake(OwnedFd);

impl Wake {
    /// # Errors
    /// The system's, when it has no descriptor left.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointer is passed; the result is checked and owned.
        Ok(Self(unsafe {
            owned(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC))?
        }))
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    pub fn wake(&self) {
        let one = 1u64;
        // SAFETY: eight live bytes are read. A full counter has woken the thread already.
        unsafe { libc::write(self.fd(), (&raw const one).cast(), 8) };
    }

    pub fn clear(&self) {
        let mut n = 0u64;
        // SAFETY: eight live bytes are written.
        unsafe { libc::read(self.fd(), (&raw mut n).cast(), 8) };
    }
}

/// A second descriptor for the same thing.
///
/// # Errors
/// The system's, when it has no descriptor left.
pub(crate) fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: no pointer is passed; the result is checked and owned.
    unsafe { owned(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0)) }
}

fn socket(family: i32, tcp: bool) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let protocol = if tcp { libc::IPPROTO_TCP } else { 0 };
    // SAFETY: no pointer is passed; the result is checked and owned.
    unsafe { owned(libc::socket(family, kind, protocol)) }
}

fn option(fd: &OwnedFd, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of one live integer.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// # Safety
/// `fd` must be the result of a call that makes a descriptor.
unsafe fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    check(fd)?;
    // SAFETY: it is not negative, and by this function's contract new and ours.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Events taken at one wait.
const EVENTS: usize = 512;
