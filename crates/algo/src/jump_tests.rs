//! What must hold of [`super::jump`].

use super::*;
use crate::hash::stable_hash;
use proptest::prelude::*;

fn key(i: u64) -> u64 {
    stable_hash(&i.to_le_bytes())
}

#[test]
fn known_answers() {
    // From the paper's figure 1, written anew in Python.
    let cases: [(u64, u32, u32); 10] = [
        (0x0, 1, 0),
        (0x0, 60, 0),
        (0x1, 55, 45),
        (0xdeadbeef, 101, 87),
        (0xffffffffffffffff, 1000, 313),
        (0xddc0ffeebadf00d, 200, 113),
        (0x100, 1024, 520),
        (0x75bcd15, 4294967295, 1234790967),
        (0x2698ad4b48eacf, 666, 117),
        (0x173a623c9725b476, 11, 5),
    ];
    for (key, buckets, want) in cases {
        assert_eq!(jump(key, buckets), Some(want), "{key:#x} of {buckets}");
    }
    assert_eq!(jump(7, 0), None);
}

#[test]
fn keys_land_evenly() {
    let mut count = [0; 10];
    for i in 0..100_000 {
        count[jump(key(i), 10).expect("ten buckets") as usize] += 1;
    }
    assert!(
        count.iter().all(|c| (9_500..10_500).contains(c)),
        "{count:?}"
    );
}

#[test]
fn a_new_bucket_takes_its_share_from_all() {
    let mut taken = [0; 10];
    for i in 0..110_000 {
        let before = jump(key(i), 10).expect("ten buckets");
        if jump(key(i), 11) == Some(10) {
            taken[before as usize] += 1;
        }
    }
    assert!(taken.iter().all(|t| (850..1_150).contains(t)), "{taken:?}");
}

proptest! {
    #[test]
    fn a_key_stays_or_moves_to_the_new_bucket(key in any::<u64>(), n in 1u32..u32::MAX) {
        for n in [n, n % 100 + 1] {
            let (before, after) = (jump(key, n), jump(key, n + 1));
            prop_assert!(before < Some(n));
            prop_assert!(after == before || after == Some(n), "{before:?} to {after:?} of {n}");
        }
    }
}
