//! Parts of the core for any program of Node: `ironsluice/parts`.
//!
//! Errors: each has a stable `code`, named at what throws it. A value of a wrong type, which
//! TypeScript would not compile, throws a `TypeError` or one of napi's own codes, such as
//! `StringExpected`.

mod client;
mod hashing;
mod limit;
mod proxy;
mod request;

use napi::bindgen_prelude::{Either, Uint8Array};

use crate::error::{error, Result};

/// Text, as UTF-8, or bytes.
type Bytes = Either<String, Uint8Array>;

fn bytes(value: &Bytes) -> &[u8] {
    match value {
        Either::A(text) => text.as_bytes(),
        Either::B(bytes) => bytes,
    }
}

/// A number of JavaScript as a whole one up to `most`.
fn whole(code: &'static str, name: &str, value: f64, most: u64) -> Result<u64> {
    // Both are exact: `most` is below 2^53.
    if value >= 0.0 && value <= most as f64 && value.fract() == 0.0 {
        return Ok(value as u64);
    }
    let why = format!("{name} must be a whole number, 0 to {most}, and is {value}");
    Err(error(code, why))
}

/// The whole numbers that JavaScript has end here.
const SAFE: u64 = (1 << 53) - 1;
