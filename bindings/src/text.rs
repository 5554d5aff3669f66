//! A message's head between JavaScript and the core: bytes, however they are written there.

use napi::bindgen_prelude::{FromNapiValue, ToNapiValue, Uint8Array};
use napi::sys;

/// From JavaScript a string, as UTF-8, or bytes as they are; to JavaScript a string of Latin-1.
pub struct Text {
    bytes: Vec<u8>,
}

impl Text {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes }
    }

    /// Reads a value into this memory.
    ///
    /// # Safety
    /// The value is of the environment's call under way.
    pub unsafe fn read(
        env: sys::napi_env,
        value: sys::napi_value,
        mut bytes: Vec<u8>,
    ) -> napi::Result<Self> {
        bytes.clear();
        bytes.reserve(ROOM);
        let mut len = 0;
        // SAFETY: the room is the vector's own, of which one byte is for the zero that ends the text.
        let status = unsafe {
            sys::napi_get_value_string_utf8(env, value, bytes.as_mut_ptr().cast(), ROOM, &mut len)
        };
        if status == sys::Status::napi_string_expected {
            // SAFETY: as the caller promises.
            let raw = unsafe { Uint8Array::from_napi_value(env, value)? };
            return Ok(Self::new(raw.to_vec()));
        }
        if len + 4 >= ROOM {
            // It may have been cut at a character's end: its true length is asked for.
            // SAFETY: without room nothing is written but the length; then there is room for it and the zero.
            unsafe {
                sys::napi_get_value_string_utf8(env, value, std::ptr::null_mut(), 0, &mut len);
                bytes.reserve(len + 1);
                sys::napi_get_value_string_utf8(
                    env,
                    value,
                    bytes.as_mut_ptr().cast(),
                    len + 1,
                    &mut len,
                );
            }
        }
        // SAFETY: so many bytes were written.
        unsafe { bytes.set_len(len) };
        Ok(Self { bytes })
    }

    /// Its memory, for another.
    pub fn into_memory(self) -> Vec<u8> {
        self.bytes
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl ToNapiValue for Text {
    unsafe fn to_napi_value(env: sys::napi_env, text: Self) -> napi::Result<sys::napi_value> {
        let mut value = std::ptr::null_mut();
        // SAFETY: the bytes live during the call, which copies them.
        let status = unsafe {
            sys::napi_create_string_latin1(
                env,
                text.bytes.as_ptr().cast(),
                text.bytes.len() as isize,
                &mut value,
            )
        };
        napi::check_status!(status, "a head could not be made a string")?;
        Ok(value)
    }
}

/// Most heads are shorter.
const ROOM: usize = 1024;
