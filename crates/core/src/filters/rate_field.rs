//! The value of a RateLimit field on a stack: this runs for every request, and allocates nothing.
//!
//! Bounds: a policy's name of [`MAX_NAME`] bytes.

/// A value of RateLimit, made without the formatting machinery: this runs for every request.
pub(super) struct Field {
    bytes: [u8; MAX_NAME + 64],
    len: usize,
}

impl Default for Field {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_NAME + 64],
            len: 0,
        }
    }
}

impl Field {
    /// The longest value has two numbers of 20 digits, a name, and 9 bytes more: it fits.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    pub(super) fn number(&mut self, mut n: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        self.push(&digits[at..]);
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The longest name of a policy, in bytes.
pub(super) const MAX_NAME: usize = 64;
