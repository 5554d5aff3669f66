//! Sockets and epoll: the one file of these tools that calls the operating system itself.
//!
//! Reading and writing go through `std::net::TcpStream`, which is one `recv` or one `send` a call.
//! Only what std lacks is here: edge-triggered epoll, `accept4`, non-blocking connect, SO_REUSEPORT.

use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// An epoll descriptor.
pub struct Poll(OwnedFd);

/// Events of one wait, at most [`EVENTS`].
pub struct Events {
    buffer: Vec<libc::epoll_event>,
    len: usize,
}

/// What one descriptor is ready for.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The number given to [`Poll::add`].
    pub token: u64,
    /// There is something to read, an end or an error among it.
    pub readable: bool,
    /// The send buffer has room.
    pub writable: bool,
    /// The other side ended its direction, or the socket failed: reading must go on to the end.
    pub hup: bool,
}

impl Poll {
    /// A new epoll descriptor.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor is fresh and owned by nobody else.
        unsafe { owned(libc::epoll_create1(libc::EPOLL_CLOEXEC)).map(Self) }
    }

    /// Watches a connection, edge-triggered, in both directions, once for its whole life.
    pub fn add(&self, stream: &TcpStream, token: u64) -> io::Result<()> {
        let mask = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        self.register(stream.as_raw_fd(), mask, token)
    }

    /// Watches a listener, level-triggered.
    pub fn add_listener(&self, listener: &TcpListener, token: u64) -> io::Result<()> {
        self.register(listener.as_raw_fd(), libc::EPOLLIN, token)
    }

    /// Waits for events; `timeout_ms` of -1 waits for ever. An interrupted wait is an empty one.
    pub fn wait(&self, events: &mut Events, timeout_ms: i32) -> io::Result<()> {
        let room = i32::try_from(events.buffer.len()).unwrap_or(i32::MAX);
        // SAFETY: the buffer has `room` initialised events and outlives the call.
        let n = unsafe {
            libc::epoll_wait(
                self.0.as_raw_fd(),
                events.buffer.as_mut_ptr(),
                room,
                timeout_ms,
            )
        };
        events.len = 0;
        match usize::try_from(n) {
            Ok(n) => events.len = n,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn register(&self, fd: RawFd, mask: i32, token: u64) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: mask as u32,
            u64: token,
        };
        // SAFETY: `event` lives over the call, which copies it.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) })?;
        Ok(())
    }
}

impl Events {
    /// Room for [`EVENTS`] events.
    #[allow(clippy::new_without_default)] // a buffer of a fixed size, not a neutral value
    pub fn new() -> Self {
        let none = libc::epoll_event { events: 0, u64: 0 };
        Self {
            buffer: vec![none; EVENTS],
            len: 0,
        }
    }

    /// How many the last wait brought.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the last wait brought none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Event number `at` of the last wait.
    pub fn at(&self, at: usize) -> Ready {
        let event = self.buffer[..self.len][at];
        let has = |mask: i32| event.events & mask as u32 != 0;
        let failed = has(libc::EPOLLHUP | libc::EPOLLERR);
        Ready {
            token: event.u64,
            readable: has(libc::EPOLLIN | libc::EPOLLRDHUP) || failed,
            writable: has(libc::EPOLLOUT) || failed,
            hup: has(libc::EPOLLRDHUP) || failed,
        }
    }
}

/// A non-blocking listener with SO_REUSEPORT; its connections inherit TCP_NODELAY.
pub fn listen(at: SocketAddrV4) -> io::Result<TcpListener> {
    let fd = socket()?;
    option(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    option(&fd, libc::SOL_SOCKET, libc::SO_REUSEPORT)?;
    option(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY)?;
    let (address, len) = sockaddr(at);
    // SAFETY: `address` is an initialised sockaddr_in of `len` bytes; the descriptor is open.
    check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len) })?;
    // SAFETY: no pointers; the descriptor is open.
    check(unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) })?;
    Ok(TcpListener::from(fd))
}

/// Accepts one connection, non-blocking.
pub fn accept(listener: &TcpListener) -> io::Result<TcpStream> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null pointers say that the peer's address is not wanted; the descriptor is fresh.
    unsafe {
        let (address, len) = (std::ptr::null_mut(), std::ptr::null_mut());
        owned(libc::accept4(listener.as_raw_fd(), address, len, flags)).map(TcpStream::from)
    }
}

/// Begins a non-blocking connect, from a source address if one is named.
///
/// With a source address the port is chosen at connect, per destination, so each source address
/// brings a whole ephemeral range.
pub fn connect(to: SocketAddrV4, from: Option<Ipv4Addr>) -> io::Result<TcpStream> {
    let fd = socket()?;
    option(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY)?;
    if let Some(from) = from {
        option(&fd, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT)?;
        let (address, len) = sockaddr(SocketAddrV4::new(from, 0));
        // SAFETY: as in `listen`.
        check(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len) })?;
    }
    let (address, len) = sockaddr(to);
    // SAFETY: as in `listen`.
    let done = check(unsafe { libc::connect(fd.as_raw_fd(), (&raw const address).cast(), len) });
    match done {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(TcpStream::from(fd)),
    }
}

/// The system keeps as little as it can of what comes for a connection that nobody reads.
pub fn receive_little(stream: &TcpStream) -> io::Result<()> {
    set(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, 1)
}

/// Raises the limit of open descriptors to what the hard limit allows, and returns it.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit, written by the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a valid rlimit, read by the call.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

fn socket() -> io::Result<OwnedFd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers; the descriptor is fresh.
    unsafe { owned(libc::socket(libc::AF_INET, kind, 0)) }
}

fn option(fd: &OwnedFd, level: i32, name: i32) -> io::Result<()> {
    set(fd.as_raw_fd(), level, name, 1)
}

fn set(fd: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    let len = mem::size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` is `len` bytes and lives over the call.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), len) })?;
    Ok(())
}

fn sockaddr(at: SocketAddrV4) -> (libc::sockaddr_in, libc::socklen_t) {
    // SAFETY: all bytes zero is a valid sockaddr_in.
    let mut address: libc::sockaddr_in = unsafe { mem::zeroed() };
    address.sin_family = libc::AF_INET as libc::sa_family_t;
    address.sin_port = at.port().to_be();
    address.sin_addr.s_addr = u32::from_ne_bytes(at.ip().octets());
    (
        address,
        mem::size_of::<libc::sockaddr_in>() as libc::socklen_t,
    )
}

fn check(rc: i32) -> io::Result<i32> {
    if rc < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(rc)
}

/// # Safety
/// `fd` must be negative (an error) or a fresh descriptor owned by nobody.
unsafe fn owned(fd: i32) -> io::Result<OwnedFd> {
    check(fd)?;
    // SAFETY: the caller's promise, and `check` refused the negative ones.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Events taken by one wait.
pub const EVENTS: usize = 512;
/// The kernel cuts this to `net.core.somaxconn`.
const BACKLOG: i32 = 4096;
