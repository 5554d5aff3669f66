//! The HTTP side of the WebSocket handshake.
//!
//! Source: RFC 6455 sections 4.1, 4.2.1 and 4.2.2.

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use sha1::{Digest, Sha1};

/// What Sec-WebSocket-Accept must say to a client whose Sec-WebSocket-Key was `key`.
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut text = [0; 28];
    // 20 bytes are 28 characters: the slice is never too short.
    let written = STANDARD.encode_slice(digest, &mut text);
    debug_assert_eq!(written, Ok(28));
    text
}

/// The Sec-WebSocket-Key of these random bytes.
pub fn key_of(nonce: [u8; 16]) -> [u8; 24] {
    let mut text = [0; 24];
    let written = STANDARD.encode_slice(nonce, &mut text);
    debug_assert_eq!(written, Ok(24));
    text
}

/// Does this value of Upgrade mean a WebSocket? One with a version behind it may to some server.
pub fn is_protocol(upgrade: &[u8]) -> bool {
    let name = upgrade.split(|b| *b == b'/').next().unwrap_or_default();
    name.eq_ignore_ascii_case(b"websocket")
}

/// Is `key` the base64 of 16 bytes?
pub fn valid_key(key: &[u8]) -> bool {
    // Room for what the decoder may estimate: three bytes for each four characters.
    let mut nonce = [0; 18];
    key.len() == 24 && STANDARD.decode_slice(key, &mut nonce) == Ok(16)
}

/// From RFC 6455 section 1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        let accept = accept_key(b"dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(&accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_key_that_is_made_is_valid() {
        assert!(valid_key(&key_of([0xA7; 16])) && valid_key(&key_of([0; 16])));
    }

    #[test]
    fn keys_are_sixteen_bytes() {
        let cases: [(&[u8], bool); 7] = [
            (b"dGhlIHNhbXBsZSBub25jZQ==", true),
            (b"AAAAAAAAAAAAAAAAAAAAAA==", true),
            (b"", false),
            (b"dGhlIHNhbXBsZSBub25jZQ", false),
            (b"SGVsbG8sIHdvcmxkIQ==", false),
            (b"dGhlIHNhbXBsZSBub25jZQAA", false),
            (b"dGhlIHNhbXBsZSBub25j!Q==", false),
        ];
        for (key, ok) in cases {
            assert_eq!(valid_key(key), ok, "{}", key.escape_ascii());
        }
    }
}
