//! How bytes are cut up on their way: whole, byte for byte, or anywhere.

/// The pieces that something is sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    Whole,
    Bytes,
    /// Of 1 to 16 bytes, by this seed.
    Random(u64),
}

impl Pieces {
    pub fn of(self, bytes: &[u8]) -> Vec<&[u8]> {
        let mut random = Random(match self {
            Self::Random(seed) => seed,
            _ => 0,
        });
        let mut pieces = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = match self {
                Self::Whole => rest.len(),
                Self::Bytes => 1,
                Self::Random(_) => 1 + random.below(16),
            };
            let (piece, after) = rest.split_at(n.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}
