//! `host[:port]`, as it stands in Host, in an absolute target and in CONNECT.
//!
//! Source: RFC 3986 section 3.2, RFC 9110 section 7.2; narrower than both on purpose: no userinfo,
//! no percent-escapes, no sub-delimiters (so no comma), no empty port, no leading zero in the port,
//! no zone identifier. What is left has one meaning in every server behind.
//! Bounds: a host of at most 255 bytes (RFC 1035 section 2.3.4), a port of 1 to 65535.

use crate::syntax::decimal;
use std::net::Ipv6Addr;

/// The length of the host in `authority` (with the brackets of an IPv6 address), or `None` if
/// `authority` is not `host[:port]`.
pub fn host_len(authority: &[u8]) -> Option<usize> {
    let len = if authority.first() == Some(&b'[') {
        let end = memchr::memchr(b']', authority)?;
        let address = std::str::from_utf8(&authority[1..end]).ok()?;
        address.parse::<Ipv6Addr>().ok()?;
        end + 1
    } else {
        let mut len = 0;
        while len < authority.len() && is_host_byte(authority[len]) {
            len += 1;
        }
        if len == 0 || len > LONGEST_HOST {
            return None;
        }
        len
    };
    match &authority[len..] {
        [] => Some(len),
        [b':', port @ ..] => decimal(port, 65535).filter(|&p| p > 0).map(|_| len),
        _ => None,
    }
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

const LONGEST_HOST: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_and_maybe_a_port() {
        let long = [b'a'; 256];
        let cases: [(&[u8], Option<usize>); 31] = [
            (b"example.com", Some(11)),
            (b"example.com:80", Some(11)),
            (b"EXAMPLE", Some(7)),
            (b"a_b-c.d", Some(7)),
            (b"1.2.3.4:65535", Some(7)),
            (b"[::1]", Some(5)),
            (b"[2001:DB8::1]:443", Some(13)),
            (b"", None),
            (b":80", None),
            (b"a:", None),
            (b"a:0", None),
            (b"a:080", None),
            (b"a:65536", None),
            (b"a:+1", None),
            (b"a:80:80", None),
            (b"a,b", None),
            (b"a b", None),
            (b"a@b", None),
            (b"user:pass@b", None),
            (b"a/b", None),
            (b"a?b", None),
            (b"a#b", None),
            (b"a%2eb", None),
            (b"a\0", None),
            (b"caf\xc3\xa9", None),
            (b"[::1", None),
            (b"[::1]x", None),
            (b"[fe80::1%25eth0]", None),
            (b"[v1.x]", None),
            (b"[1.2.3.4]", None),
            (&long, None),
        ];
        for (authority, len) in cases {
            assert_eq!(host_len(authority), len, "{:?}", authority.escape_ascii());
        }
        assert_eq!(host_len(&long[..255]), Some(255));
    }
}
