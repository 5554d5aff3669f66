//! Version 2: binary.
//!
//! Source: `proxy-protocol.txt` section 2.2: 12 bytes of signature, version and command, family
//! and transport, 16 bits of length; then addresses and type-length-values.

use super::crc32c::crc32c;
use super::tlv::{Ssl, Tlv, Tlvs};
use super::{begins_with, Command, Malformed, Parsed, ProxyHeader, Transport};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most bytes behind the fixed 16. The format allows 64 KiB; what is in use (addresses, names, a
/// client certificate) stays below this.
pub const LONGEST: usize = 4096;

pub(super) fn parse(buf: &[u8]) -> Result<Parsed, Malformed> {
    if begins_with(buf, SIGNATURE)?.is_none() {
        return Ok(Parsed::Partial);
    }
    let command = match buf.get(12) {
        None => return Ok(Parsed::Partial),
        Some(0x20) => Command::Local,
        Some(0x21) => Command::Proxy,
        Some(_) => return Err(Malformed { code: "v2_command" }),
    };
    let (transport, addresses) = match buf.get(13) {
        None => return Ok(Parsed::Partial),
        Some(0x00) => (Transport::Unspecified, 0),
        Some(0x11) => (Transport::Stream, 12),
        Some(0x12) => (Transport::Datagram, 12),
        Some(0x21) => (Transport::Stream, 36),
        Some(0x22) => (Transport::Datagram, 36),
        Some(0x31) => (Transport::Stream, 216),
        Some(0x32) => (Transport::Datagram, 216),
        Some(_) => return Err(Malformed { code: "v2_family" }),
    };
    let &[high, low] = buf.get(14..16).unwrap_or_default() else {
        return Ok(Parsed::Partial);
    };
    let rest = usize::from(high) << 8 | usize::from(low);
    if rest > LONGEST || (command == Command::Proxy && rest < addresses) {
        return Err(Malformed { code: "v2_length" });
    }
    let len = FIXED + rest;
    if buf.len() < len {
        return Ok(Parsed::Partial);
    }
    let mut header = ProxyHeader {
        command,
        transport,
        source: None,
        destination: None,
        tlv_range: len..len,
    };
    // LOCAL and UNSPEC: the receiver ignores what is behind the fixed part, and skips it.
    if command == Command::Proxy && transport != Transport::Unspecified {
        let block = &buf[FIXED..FIXED + addresses];
        (header.source, header.destination) = read_addresses(block).unzip();
        header.tlv_range = FIXED + addresses..len;
        check_tlvs(&buf[..len], header.tlv_range.start)?;
    }
    Ok(Parsed::Done { header, len })
}

/// Source and destination; none for UNIX sockets, which have no IP addresses.
fn read_addresses(block: &[u8]) -> Option<(SocketAddr, SocketAddr)> {
    let (source, destination, ports): (IpAddr, IpAddr, &[u8]) = match block.len() {
        12 => {
            let ip = |at: usize| -> Option<IpAddr> {
                let octets: [u8; 4] = block[at..at + 4].try_into().ok()?;
                Some(Ipv4Addr::from(octets).into())
            };
            (ip(0)?, ip(4)?, &block[8..])
        }
        36 => {
            let ip = |at: usize| -> Option<IpAddr> {
                let octets: [u8; 16] = block[at..at + 16].try_into().ok()?;
                Some(IpAddr::V6(Ipv6Addr::from(octets)).to_canonical())
            };
            (ip(0)?, ip(16)?, &block[32..])
        }
        _ => return None,
    };
    let port = |at: usize| u16::from_be_bytes([ports[at], ports[at + 1]]);
    Some((
        SocketAddr::new(source, port(0)),
        SocketAddr::new(destination, port(2)),
    ))
}

/// The values fill the header exactly, keep to their sizes, and the checksum, if there, is right.
fn check_tlvs(header: &[u8], start: usize) -> Result<(), Malformed> {
    let mut walk = Tlvs::new(&header[start..]);
    let mut sum_at = None;
    while let Some(tlv) = walk.next() {
        match tlv.kind {
            Tlv::CRC32C => {
                let end = header.len() - walk.rest().len();
                if tlv.value.len() != 4 || sum_at.replace(end - 4).is_some() {
                    return Err(Malformed { code: "bad_tlv" });
                }
            }
            Tlv::UNIQUE_ID if tlv.value.len() > LONGEST_ID => {
                return Err(Malformed { code: "bad_tlv" })
            }
            Tlv::SSL => {
                Ssl::parse(tlv.value)?;
            }
            _ => {}
        }
    }
    if !walk.rest().is_empty() {
        return Err(Malformed { code: "bad_tlv" });
    }
    let Some(at) = sum_at else {
        return Ok(());
    };
    // The sum is over the header with the sum's own bytes zero.
    let sum = crc32c(crc32c(crc32c(0, &header[..at]), &[0; 4]), &header[at + 4..]);
    if sum.to_be_bytes() != header[at..at + 4] {
        return Err(Malformed {
            code: "bad_checksum",
        });
    }
    Ok(())
}

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
pub(super) const FIXED: usize = 16;
pub(super) const LONGEST_ID: usize = 128;

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = (rest.len() as u16).to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    const V4: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8, 0, 80, 1, 187];

    fn v6() -> Vec<u8> {
        let source: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let destination: Ipv6Addr = "::ffff:9.9.9.9".parse().unwrap();
        [&source.octets()[..], &destination.octets(), &[0, 1, 0, 2]].concat()
    }

    fn with_sum(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
        let sum = crc32c(0, &bytes);
        bytes[at..at + 4].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    #[test]
    fn headers() {
        let unix = [0; 216];
        type Case<'a> = (u8, u8, &'a [u8], Option<(&'a str, &'a str)>);
        let cases: [Case; 9] = [
            (0x21, 0x11, V4, Some(("1.2.3.4:80", "5.6.7.8:443"))),
            (0x21, 0x12, V4, Some(("1.2.3.4:80", "5.6.7.8:443"))),
            (0x21, 0x21, &v6(), Some(("[2001:db8::1]:1", "9.9.9.9:2"))),
            (0x21, 0x31, &unix, None),
            (0x21, 0x00, b"", None),
            (0x21, 0x00, b"ignored", None),
            (0x20, 0x00, b"", None),
            (0x20, 0x11, V4, None),
            (0x20, 0x11, b"short", None),
        ];
        for (command, family, rest, addresses) in cases {
            let bytes = header(command, family, rest);
            let with_payload = [&bytes[..], b"\r\n\r\n"].concat();
            let Ok(Parsed::Done { header, len }) = parse(&with_payload) else {
                panic!("{command:x} {family:x}");
            };
            assert_eq!(len, bytes.len(), "what follows is not eaten");
            let want = addresses.map(|(s, d)| (s.parse().unwrap(), d.parse().unwrap()));
            assert_eq!(header.source.zip(header.destination), want);
            for end in 0..bytes.len() {
                assert_eq!(parse(&bytes[..end]), Ok(Parsed::Partial));
            }
        }
    }

    #[test]
    fn values_are_told_in_order() {
        let ssl = [&[0x20, 0, 13, 7, 0, 0, 0, 0], &[0x22, 0, 5][..], b"alice"].concat();
        let rest = [
            V4,
            &[0x02, 0, 1, b'a'],
            &ssl,
            &[0x03, 0, 4, 0, 0, 0, 0, 0x04, 0, 0],
        ]
        .concat();
        let at = FIXED + rest.len() - 7;
        let bytes = with_sum(header(0x21, 0x11, &rest), at);
        let Ok(Parsed::Done { header, .. }) = parse(&bytes) else {
            panic!("{:?}", parse(&bytes));
        };
        let tlvs: Vec<Tlv> = header.tlvs(&bytes).collect();
        let kinds: Vec<u8> = tlvs.iter().map(|t| t.kind).collect();
        assert_eq!(kinds, [Tlv::AUTHORITY, Tlv::SSL, Tlv::CRC32C, Tlv::NOOP]);
        assert_eq!(tlvs[0].value, b"a");
        let mut ssl = Ssl::parse(tlvs[1].value).unwrap();
        assert!(ssl.verified && ssl.client == 7);
        assert_eq!(ssl.parts.next().map(|t| t.value), Some(&b"alice"[..]));

        // Without its type the sum is only an unknown value.
        for flipped in (0..bytes.len()).filter(|&i| i != at - 3) {
            let mut bad = bytes.clone();
            bad[flipped] ^= 0x40;
            let verdict = parse(&bad);
            assert!(
                !matches!(verdict, Ok(Parsed::Done { .. })),
                "byte {flipped}"
            );
        }
    }

    #[test]
    fn malformed_headers() {
        let long_id = [V4, &[0x05, 0, 129], &[b'x'; 129]].concat();
        let sum = [V4, &[0x03, 0, 4, 1, 2, 3, 4]].concat();
        let zero_sum = [V4, &[0x03, 0, 4, 0, 0, 0, 0], &[0x03, 0, 4, 0, 0, 0, 0]].concat();
        let cases: [(u8, u8, &[u8], &str); 14] = [
            (0x11, 0x11, V4, "v2_command"),
            (0x22, 0x11, V4, "v2_command"),
            (0x31, 0x11, V4, "v2_command"),
            (0x21, 0x13, V4, "v2_family"),
            (0x21, 0x41, V4, "v2_family"),
            (0x21, 0x10, V4, "v2_family"),
            (0x21, 0x11, &V4[..11], "v2_length"),
            (0x21, 0x21, V4, "v2_length"),
            (0x21, 0x11, &[V4, &[1]].concat(), "bad_tlv"),
            (0x21, 0x11, &[V4, &[1, 0, 2, 0]].concat(), "bad_tlv"),
            (
                0x21,
                0x11,
                &[V4, &[0x20, 0, 4, 0, 0, 0, 0]].concat(),
                "bad_tlv",
            ),
            (0x21, 0x11, &long_id, "bad_tlv"),
            (0x21, 0x11, &zero_sum, "bad_tlv"),
            (0x21, 0x11, &sum, "bad_checksum"),
        ];
        for (command, family, rest, code) in cases {
            let verdict = parse(&header(command, family, rest));
            assert_eq!(verdict, Err(Malformed { code }), "{command:x} {family:x}");
        }
        let big = header(0x21, 0x11, &[0; LONGEST + 1]);
        assert_eq!(parse(&big[..16]), Err(Malformed { code: "v2_length" }));
        for at in 0..SIGNATURE.len() {
            let mut bad = SIGNATURE[..=at].to_vec();
            bad[at] ^= 1;
            let code = "no_signature";
            assert_eq!(parse(&bad), Err(Malformed { code }), "byte {at}");
        }
    }
}
