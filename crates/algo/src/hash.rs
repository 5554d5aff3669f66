//! Three hashes for three jobs: stable, keyed, and mixing.
//!
//! Source: xxHash (XXH3, 64 bit) specification 0.2; SipHash-1-3 (Aumasson, Bernstein 2012, with
//!         the rounds that Rust's own maps use); MurmurHash3's finalizer as revised by
//!         D. Stafford ("Mix13"), which is also the output step of SplitMix64.
//! Bounds: one pass over the bytes, no allocation.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Hash for consistent hashing: which node owns a key.
///
/// Part of the contract: the same bytes give the same number in every release, on every machine
/// and in every language (`XXH3_64bits_withSeed`, seed 0), so gateways agree without talking.
/// Not for tables that an attacker may fill: use [`hash_key`].
#[inline]
pub fn stable_hash(bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, STABLE_SEED)
}

/// Keyed hash for tables whose keys a client chooses.
///
/// `seed` must be secret and random per process: without it, keys that collide cannot be found.
/// The result means nothing outside the process.
#[inline]
pub fn hash_key(seed: u64, bytes: &[u8]) -> u64 {
    let mut sip = SipHasher13::new_with_keys(seed, mix64(seed.wrapping_add(1)));
    sip.write(bytes);
    sip.finish()
}

/// Spreads every bit of `x` over all 64. A bijection, so it adds no collision; 0 maps to 0.
#[inline]
pub const fn mix64(x: u64) -> u64 {
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Maps a well spread `hash` to `0..n` by the high half of a product: no division, and the share
/// of each number differs by less than `n / 2^64`. Uses the high bits of `hash`. 0 for `n` = 0.
#[inline]
pub const fn reduce(hash: u64, n: u64) -> u64 {
    ((hash as u128 * n as u128) >> 64) as u64
}

/// Never changes: see [`stable_hash`].
const STABLE_SEED: u64 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_hash_is_xxh3_for_good() {
        // From the reference implementation's published values.
        let cases: [(&[u8], u64); 2] =
            [(b"", 0x2d06_8005_38d3_94c2), (b"a", 0xe6c6_32b6_1e96_4e1f)];
        for (bytes, want) in cases {
            assert_eq!(stable_hash(bytes), want, "{bytes:?}");
        }
    }

    #[test]
    fn the_key_changes_everything() {
        let a = hash_key(1, b"203.0.113.7");
        assert_eq!(a, hash_key(1, b"203.0.113.7"));
        assert_ne!(a, hash_key(2, b"203.0.113.7"));
        assert_ne!(a, hash_key(1, b"203.0.113.8"));
        assert_ne!(hash_key(1, b"a\0"), hash_key(1, b"a"));
    }

    #[test]
    fn mixing_flips_about_half_of_the_bits() {
        let mut flipped = 0;
        for bit in 0..64 {
            for x in 0..1_000u64 {
                flipped += (mix64(x) ^ mix64(x ^ (1 << bit))).count_ones();
            }
        }
        let mean = f64::from(flipped) / 64_000.0;
        assert!((31.5..32.5).contains(&mean), "{mean} bits");
    }

    #[test]
    fn reduce_stays_in_range() {
        for n in [0, 1, 2, 65_537, u64::MAX] {
            for hash in [0, 1, u64::MAX / 2, u64::MAX] {
                assert!(reduce(hash, n) < n.max(1), "{hash} of {n}");
            }
        }
    }
}
