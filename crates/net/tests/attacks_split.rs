//! The table of attacks, each split at every byte, and anywhere.

mod attacks;
mod kit;

use kit::Pieces;

#[test]
fn requests_byte_for_byte() {
    attacks::requests(Pieces::Bytes);
}

#[test]
fn responses_byte_for_byte() {
    attacks::responses(Pieces::Bytes);
}

#[test]
fn requests_in_random_pieces() {
    for seed in SEEDS {
        attacks::requests(Pieces::Random(seed));
    }
}

#[test]
fn responses_in_random_pieces() {
    for seed in SEEDS {
        attacks::responses(Pieces::Random(seed));
    }
}

const SEEDS: [u64; 2] = [0x5eed_0001, 0x5eed_0002];
