//! A small fast generator for balancing, jitter and sampling. Not for secrets.
//!
//! Source: Blackman, Vigna, "Scrambled linear pseudorandom number generators" (2018),
//!         xoshiro256++ 1.0; seeded through SplitMix64 as its authors advise.
//! Bounds: 32 bytes, period 2^256 - 1.

use crate::hash::{mix64, reduce};

/// xoshiro256++. The same seed gives the same numbers in every release.
#[derive(Clone, Debug)]
pub struct Rng {
    s: [u64; 4],
}

impl Rng {
    /// Any seed is good, 0 too; alike seeds give unlike numbers.
    pub const fn new(seed: u64) -> Self {
        let s = [
            mix64(seed.wrapping_add(GOLDEN)),
            mix64(seed.wrapping_add(GOLDEN.wrapping_mul(2))),
            mix64(seed.wrapping_add(GOLDEN.wrapping_mul(3))),
            mix64(seed.wrapping_add(GOLDEN.wrapping_mul(4))),
        ];
        Self { s }
    }

    /// The next 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.s;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// A number in `0..n`, 0 for `n` = 0. Shares differ by less than `n / 2^64`.
    #[inline]
    pub fn below(&mut self, n: u64) -> u64 {
        reduce(self.next_u64(), n)
    }

    /// A number in `[0, 1)`, a multiple of 2^-53.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }
}

/// SplitMix64's step, 2^64 over the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_sequence() {
        // xoshiro256++ from the state 1, 2, 3, 4, by the authors' C code.
        let mut rng = Rng { s: [1, 2, 3, 4] };
        let want = [
            41_943_041,
            58_720_359,
            3_588_806_011_781_223,
            3_591_011_842_654_386,
        ];
        for (i, want) in want.into_iter().enumerate() {
            assert_eq!(rng.next_u64(), want, "number {i}");
        }
        // SplitMix64 from 0.
        assert_eq!(
            Rng::new(0).s[..2],
            [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]
        );
    }

    #[test]
    fn ranges_are_kept_and_filled() {
        let mut rng = Rng::new(7);
        let mut seen = [0u32; 10];
        let mut sum = 0.0;
        for _ in 0..100_000 {
            seen[rng.below(10) as usize] += 1;
            let u = rng.unit();
            assert!((0.0..1.0).contains(&u), "seed 7: {u}");
            sum += u;
        }
        assert!(
            seen.iter().all(|n| (9_500..10_500).contains(n)),
            "seed 7: {seen:?}"
        );
        assert!(
            (0.49..0.51).contains(&(sum / 100_000.0)),
            "seed 7: mean {}",
            sum / 100_000.0
        );
        assert_eq!(rng.below(0), 0);
    }
}
