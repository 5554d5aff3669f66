//! The calls that every request at a door makes, as bare functions of N-API: of a class they would cost several times more.

use std::ffi::{c_char, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;

use napi::bindgen_prelude::{FromNapiValue as _, Object};
use napi::{sys, Env};
use net::Answered;

use crate::error::{error, Result};
use crate::reactor::Inner;
use crate::text::Text;

/// An object with `begin`, `take`, `forward` and `answered`.
pub(crate) fn object(env: &Env, inner: &Rc<Inner>) -> Result<Object<'static>> {
    let raw = env.raw();
    let mut object = std::ptr::null_mut();
    // SAFETY: the environment is that of the call under way; each function keeps a count of what it points at, which
    // its finalizer gives back.
    unsafe {
        let mut good = sys::napi_create_object(raw, &mut object) == sys::Status::napi_ok;
        let calls: [(&std::ffi::CStr, sys::napi_callback); 4] = [
            (c"forward", Some(forward)),
            (c"begin", Some(begin)),
            (c"take", Some(take)),
            (c"answered", Some(answered)),
        ];
        for (name, call) in calls {
            let data = Rc::into_raw(inner.clone()).cast_mut().cast::<c_void>();
            let mut function = std::ptr::null_mut();
            let text: *const c_char = name.as_ptr();
            good &= sys::napi_create_function(raw, text, -1, call, data, &mut function)
                == sys::Status::napi_ok
                && sys::napi_add_finalizer(
                    raw,
                    function,
                    data,
                    Some(release),
                    std::ptr::null_mut(),
                    std::ptr::null_mut(),
                ) == sys::Status::napi_ok
                && sys::napi_set_named_property(raw, object, text, function)
                    == sys::Status::napi_ok;
        }
        if !good {
            return Err(error(
                "internal",
                "the calls of a reactor could not be made",
            ));
        }
        Object::from_napi_value(raw, object).map_err(|e| error("internal", e))
    }
}

unsafe extern "C" fn release(_: sys::napi_env, data: *mut c_void, _: *mut c_void) {
    // SAFETY: the count that `object` took.
    drop(unsafe { Rc::from_raw(data.cast::<Inner>()) });
}

/// The arguments of a call, and what it is made of.
///
/// # Safety
/// `info` is that of the call under way, to a function that [`object`] made.
unsafe fn arguments<'a, const N: usize>(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> ([sys::napi_value; N], &'a Inner) {
    let mut values = [std::ptr::null_mut(); N];
    let (mut count, mut data) = (N, std::ptr::null_mut());
    // SAFETY: there is room for as many as said; missing ones become `undefined`.
    unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &mut count,
            values.as_mut_ptr(),
            std::ptr::null_mut(),
            &mut data,
        );
        (values, &*data.cast::<Inner>())
    }
}

unsafe fn number(env: sys::napi_env, value: sys::napi_value) -> f64 {
    let mut number = 0.0;
    // SAFETY: as the caller promises; what is no number leaves 0.
    unsafe { sys::napi_get_value_double(env, value, &mut number) };
    number
}

/// The elements of a typed array; none of what is none. They stay as long as no script runs.
unsafe fn elements<'a, T>(env: sys::napi_env, value: sys::napi_value) -> Option<&'a mut [T]> {
    let (mut kind, mut len, mut data) = (0, 0, std::ptr::null_mut());
    // SAFETY: what is asked for is written, or the status says that it is no typed array.
    unsafe {
        let status = sys::napi_get_typedarray_info(
            env,
            value,
            &mut kind,
            &mut len,
            &mut data,
            std::ptr::null_mut(),
            std::ptr::null_mut(),
        );
        if status != sys::Status::napi_ok {
            return None;
        }
        if data.is_null() {
            return Some(&mut []);
        }
        Some(std::slice::from_raw_parts_mut(data.cast(), len))
    }
}

/// Answers a call with a number; a bug becomes an error that is thrown.
unsafe fn answer(env: sys::napi_env, call: impl FnOnce() -> f64) -> sys::napi_value {
    let mut result = std::ptr::null_mut();
    // SAFETY: the environment is that of the call under way.
    unsafe {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(number) => sys::napi_create_double(env, number, &mut result),
            Err(_) => sys::napi_throw_error(
                env,
                c"internal".as_ptr(),
                c"a bug in the core was caught".as_ptr(),
            ),
        };
    }
    result
}

unsafe extern "C" fn begin(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by N-API for a function of `object`; no script runs meanwhile.
    unsafe {
        let ([door, peer, head], inner) = arguments::<3>(env, info);
        answer(env, || {
            let Ok(head) = Text::read(env, head, inner.heads.take()) else {
                return 0.0;
            };
            let peer = elements::<u8>(env, peer);
            let result = inner.begin(number(env, door) as u32, peer.as_deref(), &head);
            inner.heads.set(head.into_memory());
            result
        })
    }
}

unsafe extern "C" fn take(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: as above.
    unsafe {
        let ([events, bytes], inner) = arguments::<2>(env, info);
        answer(env, || {
            let words = elements::<u32>(env, events).unwrap_or_default();
            let room = elements::<u8>(env, bytes).unwrap_or_default();
            f64::from(inner.take(words, room))
        })
    }
}

unsafe extern "C" fn forward(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: as above.
    unsafe {
        let ([key, upstream, peer], inner) = arguments::<3>(env, info);
        answer(env, || {
            let Ok(name) = Text::read(env, upstream, inner.heads.take()) else {
                return 2.0;
            };
            let peer = elements::<u8>(env, peer);
            let result = std::str::from_utf8(name.bytes()).map_or(2.0, |upstream| {
                inner.forward(number(env, key) as u32, upstream, peer.as_deref())
            });
            inner.heads.set(name.into_memory());
            result
        })
    }
}

unsafe extern "C" fn answered(
    env: sys::napi_env,
    info: sys::napi_callback_info,
) -> sys::napi_value {
    // SAFETY: as above.
    unsafe {
        let ([key, status, sent, received], inner) = arguments::<4>(env, info);
        answer(env, || {
            let how = Answered {
                status: number(env, status) as u16,
                sent: number(env, sent) as u64,
                received: number(env, received) as u64,
                complete: true,
            };
            inner.answered(number(env, key) as u32, how);
            0.0
        })
    }
}
