//! CRC-32C, bit-reflected.
//!
//! Source: RFC 3720 appendix B.4 (polynomial 0x1EDC6F41), by table.

/// Continues a checksum over more bytes; begin with 0.
pub(super) fn crc32c(before: u32, bytes: &[u8]) -> u32 {
    let step = |crc: u32, &byte: &u8| TABLE[usize::from(crc as u8 ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(!before, step)
}

/// 0x1EDC6F41 with its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

static TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_sums() {
        // RFC 3720 appendix B.4, and the check value that catalogues of CRCs give.
        let cases: [(&[u8], u32); 4] = [
            (b"123456789", 0xe306_9283),
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (b"", 0),
        ];
        for (bytes, sum) in cases {
            assert_eq!(crc32c(0, bytes), sum);
            let (a, b) = bytes.split_at(bytes.len() / 2);
            assert_eq!(crc32c(crc32c(0, a), b), sum);
        }
    }
}
