//! Structured fields: values with a syntax that is the same for all fields.
//!
//! Source: RFC 9651 section 3.3.5 (byte sequences), section 3.1 (lists).

use base64::engine::general_purpose::STANDARD;
use base64::Engine;

/// A list of byte sequences, such as `:AQID:, :BAU=:`; empty if there are none.
pub fn byte_sequences<'a>(all: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut text = String::new();
    for bytes in all {
        text.push_str(if text.is_empty() { ":" } else { ", :" });
        STANDARD.encode_string(bytes, &mut text);
        text.push(':');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::byte_sequences;

    #[test]
    fn lists_of_byte_sequences() {
        let cases: [(&[&[u8]], &str); 4] = [
            (&[], ""),
            (&[b""], "::"),
            // The example of RFC 9651 section 3.3.5.
            (
                &[b"pretend this is binary content."],
                ":cHJldGVuZCB0aGlzIGlzIGJpbmFyeSBjb250ZW50Lg==:",
            ),
            (&[&[1, 2, 3], &[0xfb, 0xff]], ":AQID:, :+/8=:"),
        ];
        for (all, text) in cases {
            assert_eq!(byte_sequences(all.iter().copied()), text);
        }
    }
}
