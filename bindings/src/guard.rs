//! A worker thread that dies must not take the process with it.
//!
//! Node aborts when a worker's loop still has open handles at its end, and a worker that is
//! terminated, or throws, cannot close its uWebSockets.js sockets any more. [`guard`] registers one
//! cleanup hook for the environment that calls it: it closes the poll handles whose sockets are
//! bound to an address of ours, and their descriptors. Others keep theirs (c-ares polls too).
//!
//! Errors: none; where libuv's functions are missing, `guard` says false and the caller must not
//! open such sockets in a worker.

use std::ffi::{c_int, c_void};

use napi::{sys, Env};
use napi_derive::napi;

use crate::uv::{Uv, POLL};

/// What the hook needs; freed by the hook.
struct Guard {
    hook: sys::napi_async_cleanup_hook_handle,
    event_loop: *mut c_void,
    uv: Uv,
    /// The socket's path or port at which the worker listens.
    ours: Address,
    /// Descriptors of the handles that were closed.
    closed: Vec<c_int>,
}

#[derive(Clone, PartialEq, Eq)]
enum Address {
    Unix(Vec<u8>),
    Port(u16),
}

/// Guards this thread: call it before a server is opened. `unix` is the path at which it will
/// listen, else `port` its TCP port. False if this program lacks what the guard needs.
#[napi(catch_unwind)]
pub fn guard(env: Env, unix: Option<String>, port: Option<u16>) -> bool {
    let (Some(uv), Some(ours)) = (
        Uv::find(),
        unix.map(|path| Address::Unix(path.into_bytes()))
            .or(port.map(Address::Port)),
    ) else {
        return false;
    };
    let mut event_loop = std::ptr::null_mut();
    // SAFETY: the environment is the caller's and live; the loop is written by the call.
    let got = unsafe { sys::napi_get_uv_event_loop(env.raw(), &mut event_loop) };
    if got != sys::Status::napi_ok {
        return false;
    }
    let guard = Box::into_raw(Box::new(Guard {
        hook: std::ptr::null_mut(),
        event_loop: event_loop.cast(),
        uv,
        ours,
        closed: Vec::new(),
    }));
    // SAFETY: the box lives until the hook frees it, which runs once, on this thread, at the
    // environment's end.
    let added = unsafe {
        sys::napi_add_async_cleanup_hook(env.raw(), Some(sweep), guard.cast(), &mut (*guard).hook)
    };
    if added != sys::Status::napi_ok {
        // SAFETY: nobody else has seen the box.
        drop(unsafe { Box::from_raw(guard) });
        return false;
    }
    true
}

/// The hook: closes what is ours, and lets the environment end.
unsafe extern "C" fn sweep(_: sys::napi_async_cleanup_hook_handle, guard: *mut c_void) {
    // SAFETY: made by `guard` above, and handed over by this one call.
    let mut guard = unsafe { Box::from_raw(guard.cast::<Guard>()) };
    let (uv, event_loop) = (guard.uv, guard.event_loop);
    let arg: *mut Guard = &mut *guard;
    // SAFETY: the loop is this thread's and not running; `each` gets the guard that outlives it.
    unsafe { (uv.walk)(event_loop, each, arg.cast()) };
    for fd in &guard.closed {
        // SAFETY: the handle that watched it is closing and never touches it again; its owner,
        // the script's server, is gone with the script.
        unsafe { libc::close(*fd) };
    }
    // SAFETY: the hook is the one that runs.
    unsafe { sys::napi_remove_async_cleanup_hook(guard.hook) };
}

unsafe extern "C" fn each(handle: *mut c_void, guard: *mut c_void) {
    // SAFETY: `sweep` passes its guard; the handle is live while the loop is walked.
    unsafe {
        let guard = &mut *guard.cast::<Guard>();
        if (guard.uv.handle_get_type)(handle) != POLL || (guard.uv.is_closing)(handle) != 0 {
            return;
        }
        let mut fd = -1;
        if (guard.uv.fileno)(handle, &mut fd) != 0 || bound_to(fd).as_ref() != Some(&guard.ours) {
            return;
        }
        (guard.uv.close)(handle, None);
        guard.closed.push(fd);
    }
}

/// Where a socket is bound; a connection has its listener's address.
fn bound_to(fd: c_int) -> Option<Address> {
    // SAFETY: zero is valid for the storage, and the length is its own.
    let (storage, len) = unsafe {
        let mut storage: libc::sockaddr_storage = std::mem::zeroed();
        let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        if libc::getsockname(fd, (&raw mut storage).cast(), &mut len) != 0 {
            return None;
        }
        (storage, len as usize)
    };
    match c_int::from(storage.ss_family) {
        libc::AF_UNIX => {
            // SAFETY: the family says that it is a Unix address.
            let address = unsafe { *(&raw const storage).cast::<libc::sockaddr_un>() };
            let named = len.saturating_sub(std::mem::offset_of!(libc::sockaddr_un, sun_path));
            let path = address.sun_path[..named.min(address.sun_path.len())].iter();
            let path = path.map(|c| *c as u8).take_while(|b| *b != 0);
            Some(Address::Unix(path.collect()))
        }
        // SAFETY: the family says that it is an Internet address.
        libc::AF_INET => Some(Address::Port(u16::from_be(unsafe {
            (*(&raw const storage).cast::<libc::sockaddr_in>()).sin_port
        }))),
        // SAFETY: as above.
        libc::AF_INET6 => Some(Address::Port(u16::from_be(unsafe {
            (*(&raw const storage).cast::<libc::sockaddr_in6>()).sin6_port
        }))),
        _ => None,
    }
}
