//! Ports that do not serve: one that refuses until it is opened, one whose queue is full.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// A port that is ours and refuses connections.
pub struct Port {
    pub at: SocketAddr,
    fd: OwnedFd,
}

impl Port {
    pub fn refusing() -> Self {
        // SAFETY: no pointer is passed; the result is checked and owned.
        let fd = unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
            assert!(fd >= 0, "a socket");
            OwnedFd::from_raw_fd(fd)
        };
        // SAFETY: sockaddr_in is plain data, for which zero is valid.
        let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        address.sin_family = libc::AF_INET as libc::sa_family_t;
        address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
        let len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        // SAFETY: the address is live and as long as said.
        let bound = unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len) };
        assert_eq!(bound, 0, "a port");
        // As a listener only to ask for its address: it does not listen.
        let named = TcpListener::from(fd.try_clone().expect("a descriptor"));
        let at = named.local_addr().expect("an address");
        Self { at, fd }
    }

    /// It listens from now on.
    pub fn open(self) -> TcpListener {
        self.listen(128)
    }

    fn listen(self, backlog: i32) -> TcpListener {
        // SAFETY: no pointer is passed.
        assert_eq!(unsafe { libc::listen(self.fd.as_raw_fd(), backlog) }, 0);
        TcpListener::from(self.fd)
    }
}

/// A port that listens, whose queue is full and never emptied: a connection to it is not made while
/// what is returned is held.
pub fn full() -> (TcpListener, Vec<TcpStream>) {
    let port = Port::refusing();
    let at = port.at;
    let listener = port.listen(0);
    let mut queue = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&at, Duration::from_millis(200)) {
        queue.push(stream);
        assert!(queue.len() < 16, "the queue has no end");
    }
    (listener, queue)
}
