//! The functions of libuv that the addon uses, looked up in the running program.
//!
//! Node exports them, but does not promise to: where one is missing, [`Uv::find`] says none, and
//! what needs it is refused by its caller.

use std::ffi::{c_int, c_void, CStr};

/// A handle's close callback, or none.
type CloseCb = Option<unsafe extern "C" fn(*mut c_void)>;
/// What [`Uv::walk`] calls for each handle.
type WalkCb = unsafe extern "C" fn(*mut c_void, *mut c_void);

/// Functions of libuv; each does what libuv's documentation says under its name.
#[derive(Clone, Copy)]
pub(crate) struct Uv {
    pub walk: unsafe extern "C" fn(*mut c_void, WalkCb, *mut c_void),
    pub handle_get_type: unsafe extern "C" fn(*const c_void) -> c_int,
    pub is_closing: unsafe extern "C" fn(*const c_void) -> c_int,
    pub fileno: unsafe extern "C" fn(*const c_void, *mut c_int) -> c_int,
    pub close: unsafe extern "C" fn(*mut c_void, CloseCb),
    pub backend_fd: unsafe extern "C" fn(*const c_void) -> c_int,
}

/// Functions of libuv that a loop of ours within Node's needs.
#[derive(Clone, Copy)]
pub(crate) struct Watch {
    pub handle_size: unsafe extern "C" fn(c_int) -> usize,
    pub poll_init: unsafe extern "C" fn(*mut c_void, *mut c_void, c_int) -> c_int,
    pub poll_start: unsafe extern "C" fn(*mut c_void, c_int, PollCb) -> c_int,
    pub timer_init: unsafe extern "C" fn(*mut c_void, *mut c_void) -> c_int,
    pub timer_start: unsafe extern "C" fn(*mut c_void, TimerCb, u64, u64) -> c_int,
    pub unref: unsafe extern "C" fn(*mut c_void),
    pub close: unsafe extern "C" fn(*mut c_void, CloseCb),
}

/// A poll handle's callback: handle, status, events.
type PollCb = unsafe extern "C" fn(*mut c_void, c_int, c_int);
/// A timer's callback.
type TimerCb = unsafe extern "C" fn(*mut c_void);
/// `UV_TIMER` of `uv_handle_type`.
pub(crate) const TIMER: c_int = 13;
/// `UV_READABLE`.
pub(crate) const READABLE: c_int = 1;

/// A function of libuv as the type of the field it is for.
macro_rules! function {
    ($name:expr) => {
        std::mem::transmute::<*mut c_void, _>(symbol($name)?)
    };
}

impl Watch {
    /// All of them, or none if the program lacks one.
    #[allow(
        clippy::missing_transmute_annotations,
        reason = "the fields say the types"
    )]
    pub fn find() -> Option<Self> {
        // SAFETY: the names are libuv's, and the types of the fields are those of its documentation.
        unsafe {
            Some(Self {
                handle_size: function!(c"uv_handle_size"),
                poll_init: function!(c"uv_poll_init"),
                poll_start: function!(c"uv_poll_start"),
                timer_init: function!(c"uv_timer_init"),
                timer_start: function!(c"uv_timer_start"),
                unref: function!(c"uv_unref"),
                close: function!(c"uv_close"),
            })
        }
    }
}

/// `UV_POLL` of `uv_handle_type`: the list has not changed since libuv 1.0.
pub(crate) const POLL: c_int = 8;

impl Uv {
    /// All of them, or none if the program lacks one.
    pub fn find() -> Option<Self> {
        // SAFETY: the names are libuv's, and the types are those of its documentation.
        unsafe {
            Some(Self {
                walk: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*mut c_void, WalkCb, *mut c_void),
                >(symbol(c"uv_walk")?),
                handle_get_type: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*const c_void) -> c_int,
                >(symbol(c"uv_handle_get_type")?),
                is_closing: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*const c_void) -> c_int,
                >(symbol(c"uv_is_closing")?),
                fileno: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*const c_void, *mut c_int) -> c_int,
                >(symbol(c"uv_fileno")?),
                close: std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut c_void, CloseCb)>(
                    symbol(c"uv_close")?,
                ),
                backend_fd: std::mem::transmute::<
                    *mut c_void,
                    unsafe extern "C" fn(*const c_void) -> c_int,
                >(symbol(c"uv_backend_fd")?),
            })
        }
    }
}

/// The descriptors that a loop's poll handles watch.
///
/// # Safety
/// The loop is the calling thread's.
pub(crate) unsafe fn polled(uv: &Uv, event_loop: *mut c_void) -> Vec<c_int> {
    struct Seen {
        uv: Uv,
        fds: Vec<c_int>,
    }
    unsafe extern "C" fn each(handle: *mut c_void, seen: *mut c_void) {
        // SAFETY: `polled` passes what it owns; the handle is live while the loop is walked.
        unsafe {
            let seen = &mut *seen.cast::<Seen>();
            let mut fd = -1;
            if (seen.uv.handle_get_type)(handle) == POLL
                && (seen.uv.is_closing)(handle) == 0
                && (seen.uv.fileno)(handle, &mut fd) == 0
            {
                seen.fds.push(fd);
            }
        }
    }
    let mut seen = Seen {
        uv: *uv,
        fds: Vec::new(),
    };
    // SAFETY: as the caller says; `each` gets what outlives the walk.
    unsafe { (uv.walk)(event_loop, each, (&raw mut seen).cast()) };
    seen.fds
}

/// A function of the running program, by its name.
pub(crate) fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the name ends with a zero; nothing is done with what is found here.
    let found = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}
