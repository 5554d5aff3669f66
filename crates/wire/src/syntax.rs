//! Byte classes of HTTP, and what a field's name and value may contain.
//!
//! Source: RFC 9110 section 5.5 (field values) and section 5.6 (tokens, whitespace, lists).

/// Is `byte` a `tchar` (RFC 9110 section 5.6.2)?
pub fn is_token_byte(byte: u8) -> bool {
    CLASS[byte as usize] & TOKEN != 0
}

/// Is `bytes` a token: at least one byte, all of them `tchar`?
pub fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&b| is_token_byte(b))
}

/// May `name` be a field name? Tokens only.
pub fn valid_name(name: &[u8]) -> bool {
    is_token(name)
}

/// May `value` be a field value as it stands: no control byte but HTAB, no space at either end?
pub fn valid_value(value: &[u8]) -> bool {
    // Without an early end: several bytes at a time.
    value.iter().fold(true, |ok, &b| ok & is_value_byte(b))
        && !value.first().is_some_and(|&b| is_space(b))
        && !value.last().is_some_and(|&b| is_space(b))
}

/// `bytes` without spaces and tabs (`OWS`) at its ends.
pub fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes {
        if !is_space(*first) {
            break;
        }
        bytes = rest;
    }
    while let [rest @ .., last] = bytes {
        if !is_space(*last) {
            break;
        }
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list, trimmed; empty elements are left out, as RFC 9110
/// section 5.6.1.2 asks. Commas inside quoted strings are not protected: for lists of tokens only.
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|&b| b == b',')
        .map(trim)
        .filter(|e| !e.is_empty())
}

pub(crate) fn is_value_byte(byte: u8) -> bool {
    CLASS[byte as usize] & VALUE != 0
}

/// May `byte` stand in a query as it is: visible ASCII but `#`?
pub(crate) fn is_query_byte(byte: u8) -> bool {
    CLASS[byte as usize] & QUERY != 0
}

/// May `byte` stand in a path without a further look: visible ASCII but `# ? % \`?
pub(crate) fn is_plain_path_byte(byte: u8) -> bool {
    CLASS[byte as usize] & PATH != 0
}

pub(crate) fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The value of a hexadecimal digit.
pub(crate) fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Decimal digits only, no sign, no leading zero but `0` itself, at most `max`.
pub(crate) fn decimal(digits: &[u8], max: u64) -> Option<u64> {
    // 19 digits never overflow 64 bits, and 2^63 - 1 has 19.
    if digits.is_empty() || digits.len() > 19 || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    let mut value = 0u64;
    for &d in digits {
        if !d.is_ascii_digit() {
            return None;
        }
        value = value * 10 + u64::from(d - b'0');
    }
    (value <= max).then_some(value)
}

const TOKEN: u8 = 1;
const VALUE: u8 = 2;
const QUERY: u8 = 4;
const PATH: u8 = 8;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0u8; 256];
    let mut i = 0;
    while i < 256 {
        let b = i as u8;
        let mut class = 0;
        if b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'.'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'|'
                    | b'~'
            )
        {
            class |= TOKEN;
        }
        if b == b'\t' || (b >= b' ' && b != 0x7f) {
            class |= VALUE;
        }
        if b > b' ' && b < 0x7f && b != b'#' {
            class |= QUERY;
            if !matches!(b, b'?' | b'%' | b'\\') {
                class |= PATH;
            }
        }
        table[i] = class;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_tokens() {
        let cases: [(&[u8], bool); 10] = [
            (b"Accept", true),
            (b"x-1_~", true),
            (b"", false),
            (b"a b", false),
            (b"a:", false),
            (b"a\r", false),
            (b"a\0", false),
            (b"a\xe9", false),
            (b"(a)", false),
            (b"a\t", false),
        ];
        for (name, ok) in cases {
            assert_eq!(valid_name(name), ok, "{name:?}");
        }
    }

    #[test]
    fn values_hold_no_control_byte_and_no_outer_space() {
        let cases: [(&[u8], bool); 10] = [
            (b"", true),
            (b"a b\tc", true),
            (b"caf\xc3\xa9", true),
            (b" a", false),
            (b"a\t", false),
            (b"a\rb", false),
            (b"a\nb", false),
            (b"a\0b", false),
            (b"a\x7fb", false),
            (b"a\x1b[0m", false),
        ];
        for (value, ok) in cases {
            assert_eq!(valid_value(value), ok, "{value:?}");
        }
    }

    #[test]
    fn decimals_are_canonical() {
        let max = i64::MAX as u64;
        let cases: [(&[u8], Option<u64>); 13] = [
            (b"0", Some(0)),
            (b"10", Some(10)),
            (b"9223372036854775807", Some(max)),
            (b"9223372036854775808", None),
            (b"18446744073709551617", None),
            (b"", None),
            (b"00", None),
            (b"05", None),
            (b"+5", None),
            (b"-0", None),
            (b"0x5", None),
            (b"1_0", None),
            (b"5 5", None),
        ];
        for (digits, value) in cases {
            assert_eq!(decimal(digits, max), value, "{digits:?}");
        }
    }

    #[test]
    fn lists_skip_empty_elements() {
        let got: Vec<&[u8]> = list(b" a ,,\tb\t, ,c").collect();
        assert_eq!(got, [b"a", b"b", b"c"]);
    }
}
