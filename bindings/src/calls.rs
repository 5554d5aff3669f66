//! The calls that every request at a door makes, as bare functions of N-API: of a class they would cost several times more.

use std::ffi::{c_char, c_void};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::rc::Rc;

use napi::bindgen_prelude::{FromNapiValue as _, Object};
use napi::{sys, Env};

use crate::error::{error, Result};
use crate::reactor::Inner;
use crate::text::Text;

/// An object with `take`, `head`, `reply` and `forward`; keys are those of exchanges.
pub(crate) fn object(env: &Env, inner: &Rc<Inner>) -> Result<Object<'static>> {
    let raw = env.raw();
    let mut object = std::ptr::null_mut();
    // SAFETY: the environment is that of the call under way; each function keeps a count of what it points at, which
    // its finalizer gives back.
    unsafe {
        let mut good = sys::napi_create_object(raw, &mut object) == sys::Status::napi_ok;
        let calls: [(&std::ffi::CStr, sys::napi_callback); 4] = [
            (c"take", Some(take)),
            (c"head", Some(head)),
            (c"reply", Some(reply)),
            (c"forward", Some(forward)),
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

/// Reads a string of Latin-1 into this memory.
unsafe fn latin1(env: sys::napi_env, value: sys::napi_value, into: &mut Vec<u8>) -> Option<()> {
    into.clear();
    into.reserve(HEAD);
    let mut len = 0;
    // SAFETY: the room is the vector's own; so many bytes are written as the call says, and a zero.
    unsafe {
        let mut room = into.capacity();
        loop {
            let to = into.as_mut_ptr().cast();
            let status = sys::napi_get_value_string_latin1(env, value, to, room, &mut len);
            if status != sys::Status::napi_ok {
                return None;
            }
            if len + 1 < room {
                into.set_len(len);
                return Some(());
            }
            // It may have been cut: its length is asked for.
            sys::napi_get_value_string_latin1(env, value, std::ptr::null_mut(), 0, &mut len);
            into.reserve(len + 2);
            room = into.capacity();
        }
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

unsafe extern "C" fn take(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: called by N-API for a function of `object`; no script runs meanwhile.
    unsafe {
        let ([events, bytes], inner) = arguments::<2>(env, info);
        answer(env, || {
            let words = elements::<u32>(env, events).unwrap_or_default();
            let room = elements::<u8>(env, bytes).unwrap_or_default();
            f64::from(inner.take(words, room))
        })
    }
}

unsafe extern "C" fn head(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: as above.
    unsafe {
        let ([key], inner) = arguments::<1>(env, info);
        let mut out = inner.heads.take();
        out.clear();
        let read = AssertUnwindSafe(|| inner.head(number(env, key), &mut out));
        let _an_empty_head_if_a_bug_was_caught = catch_unwind(read);
        let mut result = std::ptr::null_mut();
        let len = out.len() as isize;
        sys::napi_create_string_latin1(env, out.as_ptr().cast(), len, &mut result);
        inner.heads.set(out);
        result
    }
}

unsafe extern "C" fn reply(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: as above.
    unsafe {
        let ([key, head, body, length], inner) = arguments::<4>(env, info);
        answer(env, || {
            let mut lines = inner.heads.take();
            let (key, length) = (number(env, key), number(env, length));
            if latin1(env, head, &mut lines).is_none() {
                return 0.0;
            }
            if let Some(bytes) = elements::<u8>(env, body) {
                let result = inner.reply(key, &mut lines, bytes, length);
                inner.heads.set(lines);
                return result;
            }
            let Ok(text) = Text::read(env, body, inner.bodies.take()) else {
                return 0.0;
            };
            let result = inner.reply(key, &mut lines, text.bytes(), length);
            inner.heads.set(lines);
            inner.bodies.set(text.into_memory());
            result
        })
    }
}

unsafe extern "C" fn forward(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    // SAFETY: as above.
    unsafe {
        let ([key, upstream], inner) = arguments::<2>(env, info);
        answer(env, || {
            let Ok(name) = Text::read(env, upstream, inner.heads.take()) else {
                return 2.0;
            };
            let upstream = std::str::from_utf8(name.bytes());
            let result = upstream.map_or(2.0, |u| inner.forward(number(env, key), u));
            inner.heads.set(name.into_memory());
            result
        })
    }
}

/// Most heads are shorter.
const HEAD: usize = 1024;
