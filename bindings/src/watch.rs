//! A descriptor and a timer in the event loop of a Node thread.
//!
//! The callback runs on the loop's thread, outside of any script. [`Watch::close`], or the end of the environment,
//! closes both handles; the callback is not called after that.

use std::cell::{Cell, RefCell};
use std::ffi::{c_int, c_void};
use std::os::fd::RawFd;
use std::rc::Rc;

use napi::{sys, Env};

use crate::uv::{self, POLL, READABLE, TIMER};

/// What is told that there is something to do, and that the environment ends.
pub(crate) trait Watched {
    /// The descriptor is readable, or the time has come.
    fn ready(&self);
    /// Nothing of the environment may be touched any more.
    fn ending(&self);
}

/// See the module.
pub(crate) struct Watch {
    uv: uv::Watch,
    /// Memory of the handles, which libuv has until both are closed.
    poll: *mut c_void,
    timer: *mut c_void,
    hook: Cell<sys::napi_async_cleanup_hook_handle>,
    whom: RefCell<Option<Rc<dyn Watched>>>,
    open: Cell<u8>,
    closing: Cell<bool>,
}

impl Watch {
    /// Watches `fd` in the loop of the calling thread. None if this program lacks what that takes.
    pub fn start(env: &Env, fd: RawFd, whom: Rc<dyn Watched>) -> Option<Rc<Self>> {
        let uv = uv::Watch::find()?;
        let mut event_loop = std::ptr::null_mut();
        // SAFETY: the environment is the caller's and live; the loop is written by the call.
        let got = unsafe { sys::napi_get_uv_event_loop(env.raw(), &mut event_loop) };
        if got != sys::Status::napi_ok {
            return None;
        }
        // SAFETY: libuv says how much memory a handle takes, and it begins as zeros.
        let handle = |kind| unsafe { libc::calloc(1, (uv.handle_size)(kind)) };
        let watch = Rc::new(Self {
            uv,
            poll: handle(POLL),
            timer: handle(TIMER),
            hook: Cell::new(std::ptr::null_mut()),
            whom: RefCell::new(Some(whom)),
            open: Cell::new(2),
            closing: Cell::new(false),
        });
        // One count is libuv's, given back when both handles are closed.
        let data = Rc::into_raw(watch.clone()).cast_mut().cast::<c_void>();
        // SAFETY: the handles are fresh memory of the right size, `data` is their first field by libuv's
        // documentation of uv_handle_t, and the loop is this thread's.
        let started = unsafe {
            *watch.poll.cast::<*mut c_void>() = data;
            *watch.timer.cast::<*mut c_void>() = data;
            let event_loop = event_loop.cast();
            (uv.poll_init)(event_loop, watch.poll, fd) == 0
                && (uv.timer_init)(event_loop, watch.timer) == 0
                && (uv.poll_start)(watch.poll, READABLE, on_poll) == 0
        };
        if !started {
            // Both were initialised or neither is used: the process goes on without direct forwards.
            return None;
        }
        // SAFETY: the handles are initialised; `data` lives until the hook has run or is removed.
        unsafe {
            (uv.unref)(watch.poll);
            (uv.unref)(watch.timer);
            let mut hook = std::ptr::null_mut();
            sys::napi_add_async_cleanup_hook(env.raw(), Some(on_end), data, &mut hook);
            watch.hook.set(hook);
        }
        Some(watch)
    }

    /// Calls [`Watched::ready`] after so many milliseconds, in place of what was asked before.
    pub fn after(&self, ms: u64) {
        if !self.closing.get() {
            // SAFETY: the timer is initialised and not closing.
            unsafe { (self.uv.timer_start)(self.timer, on_timer, ms, 0) };
        }
    }

    /// Closes the handles.
    pub fn close(&self) {
        self.whom.take();
        if !self.closing.replace(true) {
            // SAFETY: both are initialised and not closing; the callback frees them.
            unsafe {
                (self.uv.close)(self.poll, Some(on_close));
                (self.uv.close)(self.timer, Some(on_close));
            }
        }
    }

    fn ready(&self) {
        // The count is held: what is called may close this.
        let whom = self.whom.borrow().clone();
        if let Some(whom) = whom {
            whom.ready();
        }
    }
}

unsafe fn of(handle: *mut c_void) -> *const Watch {
    // SAFETY: the caller passes a handle whose first field was set by `Watch::start`.
    unsafe { *handle.cast::<*const Watch>() }
}

unsafe extern "C" fn on_poll(handle: *mut c_void, _: c_int, _: c_int) {
    // SAFETY: libuv's count keeps it alive until both handles are closed.
    unsafe { (*of(handle)).ready() };
}

unsafe extern "C" fn on_timer(handle: *mut c_void) {
    // SAFETY: as above.
    unsafe { (*of(handle)).ready() };
}

unsafe extern "C" fn on_close(handle: *mut c_void) {
    // SAFETY: as above, until the last of both, which gives the count back.
    unsafe {
        let watch = of(handle);
        (*watch).open.set((*watch).open.get() - 1);
        if (*watch).open.get() == 0 {
            let watch = Rc::from_raw(watch);
            let hook = watch.hook.replace(std::ptr::null_mut());
            if !hook.is_null() {
                sys::napi_remove_async_cleanup_hook(hook);
            }
            libc::free(watch.poll);
            libc::free(watch.timer);
        }
    }
}

/// The environment ends: it waits until the hook is removed, which the last close does.
unsafe extern "C" fn on_end(_: sys::napi_async_cleanup_hook_handle, data: *mut c_void) {
    // SAFETY: libuv's count keeps it alive until both handles are closed.
    let watch = unsafe { &*data.cast::<Watch>() };
    if let Some(whom) = watch.whom.take() {
        whom.ending();
    }
    watch.close();
}
