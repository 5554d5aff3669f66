//! Jump hash: which of `n` numbered buckets owns a key, without a table.
//!
//! Source: Lamping, Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm" (2014), figure 1:
//!         the generator and the order of the floating-point operations are the paper's, so the
//!         answers are those of every other implementation of it.
//! Units:  keys are 64-bit hashes; give [`crate::stable_hash`] of their bytes.
//! Errors: none; [`jump`] is total, and answers `None` for no buckets.
//! Bounds: no memory; about ln(n) rounds, 22 for 2^32 buckets, each with one division. The floats
//!         are one quotient and one product of IEEE 754 doubles, which round alike on every machine.
//! Limits: buckets come and go at the end only. Where any node may leave use [`crate::maglev`],
//!         [`crate::ring`] or [`crate::rendezvous`]; weights are told by several buckets a node.

/// The bucket, below `buckets`, that owns a key; `None` for 0 buckets.
///
/// From `n` to `n + 1` buckets a key stays, or moves to the new one: 1 of `n + 1` does.
#[inline]
pub const fn jump(key_hash: u64, buckets: u32) -> Option<u32> {
    if buckets == 0 {
        return None;
    }
    let mut key = key_hash;
    let mut bucket = 0;
    let mut next = 0i64;
    while next < buckets as i64 {
        bucket = next;
        key = key.wrapping_mul(MULTIPLIER).wrapping_add(1);
        // The divisor is 1 to 2^31; the result is below 2^63 and at least `bucket + 1`.
        let stretch = TWO_31 / ((key >> 33) + 1) as f64;
        next = ((bucket + 1) as f64 * stretch) as i64;
    }
    Some(bucket as u32)
}

/// The paper's, of a linear congruential generator modulo 2^64.
const MULTIPLIER: u64 = 2_862_933_555_777_941_757;
const TWO_31: f64 = (1u64 << 31) as f64;

#[cfg(test)]
#[path = "jump_tests.rs"]
mod tests;
