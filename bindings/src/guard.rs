//! A worker thread that dies must not take the process with it.
//!
//! Two things would. Node aborts when a worker's loop still has open handles at its end, and a worker
//! that is terminated, or throws, cannot close its uWebSockets.js sockets any more. And
//! uWebSockets.js aborts when a request arrives for a script that is being ended: its handler is
//! not run, which the library takes for a handler that forgot its request.
//!
//! [`guard`] registers a cleanup hook for the environment that calls it: it closes the poll handles whose
//! sockets are bound to an address of ours, and their descriptors. Others keep theirs (c-ares
//! polls too). [`quiet`] takes such sockets away from a thread that is about to be ended: each
//! descriptor then names a socket whose peer is gone, so that whatever event is still under way
//! finds the end and no request. Who ends a thread from outside calls it before; a thread that
//! runs out of heap is quieted by a callback of V8, before Node's own ends it.
//!
//! WebSockets that came by an app's door were handed over to the worker's uWebSockets.js: they are bound to a port that
//! workers share. [`mark`] gives such a connection the worker's number in TCP_KEEPINTVL, which nobody uses, for no keep-alive
//! probes are sent; hook and `quiet` of the worker's path take these too.
//!
//! Errors: none; where functions of libuv or V8 are missing, `guard` says false and the caller must
//! not open such sockets in a worker.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::ffi::{c_int, c_void};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use napi::{sys, Env};
use napi_derive::napi;

use crate::uv::{symbol, Uv, POLL};

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
    let (Some(uv), Some(heap), Some(ours)) = (Uv::find(), Heap::find(), address(unix, port)) else {
        return false;
    };
    let mut event_loop = std::ptr::null_mut();
    // SAFETY: the environment is the caller's and live; the loop is written by the call.
    let got = unsafe { sys::napi_get_uv_event_loop(env.raw(), &mut event_loop) };
    if got != sys::Status::napi_ok {
        return false;
    }
    let closing = ours.clone();
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
    // Once a thread, for V8 takes a callback once; a worker has one server that runs what is foreign.
    if let Address::Unix(path) = &closing {
        MARK.set(mark_of(path));
    }
    if matches!(closing, Address::Unix(_)) && !LIMITED.replace(true) {
        // Lives as long as the isolate, which gives no sign of its end that comes late enough.
        let limit = Box::leak(Box::new(Limit {
            ours: closing,
            heap,
        }));
        // SAFETY: the isolate is the calling thread's; the callback and its data outlive it.
        unsafe { (heap.add)((heap.current)(), near_limit, (&raw mut *limit).cast()) };
    }
    true
}

/// Takes the sockets at a path away from the thread that has them, which must not run meanwhile: it is
/// stuck, or it is the caller. Returns how many.
#[napi(catch_unwind)]
pub fn quiet(unix: String) -> u32 {
    silence(&Address::Unix(unix.into_bytes()))
}

fn address(unix: Option<String>, port: Option<u16>) -> Option<Address> {
    unix.map(|path| Address::Unix(path.into_bytes()))
        .or(port.map(Address::Port))
}

/// Only paths: nothing else in the process is bound to one, while a port may be another's too.
fn silence(ours: &Address) -> u32 {
    let Address::Unix(path) = ours else {
        return 0;
    };
    if path.is_empty() {
        return 0;
    }
    let mut pair = [-1; 2];
    // SAFETY: the array has room for the two descriptors.
    if unsafe {
        libc::socketpair(
            libc::AF_UNIX,
            libc::SOCK_STREAM | libc::SOCK_CLOEXEC,
            0,
            pair.as_mut_ptr(),
        )
    } != 0
    {
        return 0;
    }
    let marked = marks().get(path).copied();
    let [dead, peer] = pair;
    let mut silenced = 0;
    let names = std::fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten();
    for fd in names.filter_map(|name| name.file_name().to_str()?.parse::<c_int>().ok()) {
        let is_marked = marked.is_some_and(|mark| option(fd, libc::TCP_KEEPINTVL) == Some(mark));
        if is_marked || bound_to(fd).as_ref() == Some(ours) {
            // SAFETY: both are open descriptors; what `fd` named is closed, and what waits for it
            // finds a peer that is gone.
            if unsafe { libc::dup3(dead, fd, libc::O_CLOEXEC) } == fd {
                taken().insert(fd);
                silenced += 1;
            }
        }
    }
    // SAFETY: made above, and nobody else's.
    unsafe {
        libc::close(peer);
        libc::close(dead);
    }
    silenced
}

/// Marks a connection as one of this thread's worker.
pub(crate) fn mark(fd: c_int) {
    let mark = MARK.get();
    if mark != 0 {
        let len = size_of::<c_int>() as libc::socklen_t;
        let value = (&raw const mark).cast();
        // SAFETY: the value lives during the call.
        unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, value, len) };
    }
}

/// A number of TCP's options; none for what is no such socket.
fn option(fd: c_int, name: c_int) -> Option<c_int> {
    let (mut value, mut len) = (0, size_of::<c_int>() as libc::socklen_t);
    // SAFETY: there is room for the value, as the length says.
    let got = unsafe {
        libc::getsockopt(
            fd,
            libc::IPPROTO_TCP,
            name,
            (&raw mut value).cast(),
            &mut len,
        )
    };
    (got == 0).then_some(value)
}

/// The mark of the worker at this path: one that nobody who lives has, as long as there are few.
fn mark_of(path: &[u8]) -> c_int {
    let mut all = marks();
    let taken: HashSet<c_int> = all.values().copied().collect();
    let free = (MARKS.0..MARKS.1).find(|mark| !taken.contains(mark));
    let mark = free.unwrap_or_default();
    if mark != 0 {
        all.insert(path.to_vec(), mark);
    }
    mark
}

/// Marks by the path of their worker.
fn marks() -> MutexGuard<'static, HashMap<Vec<u8>, c_int>> {
    static ALL: LazyLock<Mutex<HashMap<Vec<u8>, c_int>>> = LazyLock::new(Mutex::default);
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Descriptors that were taken away and may still have a handle.
fn taken() -> MutexGuard<'static, HashSet<c_int>> {
    static TAKEN: LazyLock<Mutex<HashSet<c_int>>> = LazyLock::new(Mutex::default);
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

thread_local! {
    /// The mark of this thread's worker; 0 if it has none.
    static MARK: Cell<c_int> = const { Cell::new(0) };
    /// Whether this thread's heap has the callback.
    static LIMITED: Cell<bool> = const { Cell::new(false) };
}

/// Functions of V8 by their names in the running program.
#[derive(Clone, Copy)]
struct Heap {
    current: unsafe extern "C" fn() -> *mut c_void,
    add: unsafe extern "C" fn(*mut c_void, NearLimit, *mut c_void),
    remove: unsafe extern "C" fn(*mut c_void, NearLimit, usize),
}

/// `v8::NearHeapLimitCallback`: data, the limit now, the limit at first; returns a new limit.
type NearLimit = unsafe extern "C" fn(*mut c_void, usize, usize) -> usize;

impl Heap {
    fn find() -> Option<Self> {
        // SAFETY: the names are those of V8's public functions of these types, as mangled by the
        // Itanium C++ ABI, under which an isolate as `this` is a first argument.
        unsafe {
            Some(Self {
                current: std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> *mut c_void>(
                    symbol(c"_ZN2v87Isolate10GetCurrentEv")?,
                ),
                add: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut c_void, NearLimit, *mut c_void),
                >(symbol(
                    c"_ZN2v87Isolate24AddNearHeapLimitCallbackEPFmPvmmES1_",
                )?),
                remove: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut c_void, NearLimit, usize),
                >(symbol(
                    c"_ZN2v87Isolate27RemoveNearHeapLimitCallbackEPFmPvmmEm",
                )?),
            })
        }
    }
}

struct Limit {
    ours: Address,
    heap: Heap,
}

/// The heap is nearly full: this thread's sockets are taken away, and the next callback is Node's, which
/// ends the thread. A little more heap lets V8 ask again.
unsafe extern "C" fn near_limit(data: *mut c_void, now: usize, _: usize) -> usize {
    // SAFETY: what `guard` leaked for this callback.
    let limit = unsafe { &*data.cast::<Limit>() };
    silence(&limit.ours);
    // SAFETY: on the isolate's own thread, inside of its callback, which V8 allows; 0 keeps the limit.
    unsafe { (limit.heap.remove)((limit.heap.current)(), near_limit, 0) };
    now + HEADROOM
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
    if let Address::Unix(path) = &guard.ours {
        marks().remove(path);
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
        if (guard.uv.fileno)(handle, &mut fd) != 0 {
            return;
        }
        let at = bound_to(fd);
        // One that was taken away has no name any more.
        let nameless = at == Some(Address::Unix(Vec::new())) && taken().contains(&fd);
        let mark = MARK.get();
        let given = mark != 0
            && matches!(guard.ours, Address::Unix(_))
            && option(fd, libc::TCP_KEEPINTVL) == Some(mark);
        if !nameless && !given && at.as_ref() != Some(&guard.ours) {
            return;
        }
        taken().remove(&fd);
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

/// Seconds that nobody waits for: above the system's default, 75, and below its bound, 32767.
const MARKS: (c_int, c_int) = (20_000, 32_000);
/// Bytes.
const HEADROOM: usize = 4 << 20;
