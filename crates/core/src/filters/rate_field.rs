//! The values of RateLimit-Policy and RateLimit.
//!
//! The second is made on the stack: it is written for every request, and allocates nothing.
//! Source: draft-ietf-httpapi-ratelimit-headers-11; RFC 9651 for strings and integers.
//! Bounds: a policy's name of [`MAX_NAME`] bytes.

/// `"name";q=100;w=1`. Windows are whole seconds: a shorter one is counted as often as it takes.
pub(super) fn policy(name: &str, count: u64, period_ns: u64) -> String {
    let mut times = 1;
    // Periods are whole milliseconds, so 1000 of them are whole seconds.
    while !(period_ns * times).is_multiple_of(SECOND) && times < 1000 {
        times += 1;
    }
    let quota = count.saturating_mul(times).min(MAX_INTEGER);
    format!("\"{name}\";q={quota};w={}", period_ns * times / SECOND)
}

/// What a structured-field string holds without escapes (RFC 9651 section 3.3.3).
pub(super) fn is_name_byte(b: u8) -> bool {
    matches!(b, b' '..=b'~') && b != b'"' && b != b'\\'
}

/// A value of RateLimit, made without the formatting machinery.
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
        // Two at a time: a division costs more than a look-up.
        while n >= 100 {
            at -= 2;
            digits[at..at + 2].copy_from_slice(&PAIRS[(n % 100) as usize]);
            n /= 100;
        }
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[n as usize]);
        self.push(&digits[at + usize::from(n < 10)..]);
    }

    /// `"name";r=2;t=1`, whose `t` is left out if no wait brings more.
    pub(super) fn of(name: &str, left: u64, seconds: Option<u64>) -> Self {
        let mut field = Self::begin(name);
        field.push(Self::end(left, seconds).bytes());
        field
    }

    /// Of that `"name";r=`.
    pub(super) fn begin(name: &str) -> Self {
        let mut field = Self::default();
        field.push(b"\"");
        field.push(name.as_bytes());
        field.push(b"\";r=");
        field
    }

    /// What follows.
    pub(super) fn end(left: u64, seconds: Option<u64>) -> Self {
        let mut field = Self::default();
        field.number(left.min(MAX_INTEGER));
        if let Some(seconds) = seconds {
            field.push(b";t=");
            field.number(seconds);
        }
        field
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The longest name of a policy, in bytes.
pub(super) const MAX_NAME: usize = 64;

/// The largest integer of a structured field (RFC 9651 section 3.3.1).
const MAX_INTEGER: u64 = 999_999_999_999_999;

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + n as u8 / 10, b'0' + n as u8 % 10];
        n += 1;
    }
    pairs
};

/// In nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;
