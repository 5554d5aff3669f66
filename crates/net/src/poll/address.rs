//! Addresses as the system has them.

use std::mem::size_of;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) fn family(a: &SocketAddr) -> i32 {
    if a.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    }
}

pub(super) fn to_sockaddr(a: &SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: sockaddr_storage is plain data, for which zero is valid, and is made to be seen as
    // either of the two structs that are written here.
    unsafe {
        let mut storage: libc::sockaddr_storage = std::mem::zeroed();
        let len = match a {
            SocketAddr::V4(v4) => {
                let s = &mut *(&raw mut storage).cast::<libc::sockaddr_in>();
                s.sin_family = libc::AF_INET as libc::sa_family_t;
                s.sin_port = v4.port().to_be();
                s.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
                size_of::<libc::sockaddr_in>()
            }
            SocketAddr::V6(v6) => {
                let s = &mut *(&raw mut storage).cast::<libc::sockaddr_in6>();
                s.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                s.sin6_port = v6.port().to_be();
                s.sin6_addr.s6_addr = v6.ip().octets();
                s.sin6_scope_id = v6.scope_id();
                size_of::<libc::sockaddr_in6>()
            }
        };
        (storage, len as libc::socklen_t)
    }
}

pub(super) fn from_sockaddr(storage: &libc::sockaddr_storage) -> SocketAddr {
    // SAFETY: the family says which of the structs the kernel wrote.
    unsafe {
        if i32::from(storage.ss_family) == libc::AF_INET6 {
            let s = &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>();
            let ip = IpAddr::V6(Ipv6Addr::from(s.sin6_addr.s6_addr));
            SocketAddr::new(ip, u16::from_be(s.sin6_port))
        } else {
            let s = &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>();
            let ip = IpAddr::V4(Ipv4Addr::from(s.sin_addr.s_addr.to_ne_bytes()));
            SocketAddr::new(ip, u16::from_be(s.sin_port))
        }
    }
}
