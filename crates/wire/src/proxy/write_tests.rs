//! What is written is read as the same.

use super::super::{parse, Command, Parsed, ProxyHeader, Transport, LONGEST};
use super::*;
use proptest::prelude::*;

fn between(source: &str, destination: &str) -> Ends {
    Ends {
        source: source.parse().expect(source),
        destination: destination.parse().expect(destination),
    }
}

fn v2(origin: &Origin, tlvs: &[Tlv<'_>], checksum: bool) -> Result<Vec<u8>, Unwritable> {
    let mut out = Vec::new();
    let result = write_v2(origin, tlvs, checksum, &mut out);
    assert!(result.is_ok() || out.is_empty(), "nothing was written");
    result.map(|()| out)
}

fn read(bytes: &[u8]) -> (ProxyHeader, usize) {
    match parse(bytes) {
        Ok(Parsed::Done { header, len }) => (header, len),
        other => panic!("{}: {other:?}", bytes.escape_ascii()),
    }
}

/// What the parser says of these ends: IPv4 in IPv6 form is IPv4.
fn told(ends: &Ends) -> Option<(SocketAddr, SocketAddr)> {
    let plain = |a: SocketAddr| SocketAddr::new(a.ip().to_canonical(), a.port());
    Some((plain(ends.source), plain(ends.destination)))
}

#[test]
fn lines() {
    let cases = [
        (Origin::Local, "PROXY UNKNOWN\r\n"),
        (Origin::Unknown, "PROXY UNKNOWN\r\n"),
        (
            Origin::Stream(between("1.2.3.4:5", "6.7.8.9:443")),
            "PROXY TCP4 1.2.3.4 6.7.8.9 5 443\r\n",
        ),
        (
            Origin::Stream(between("[2001:DB8::1]:5", "[::1]:443")),
            "PROXY TCP6 2001:db8::1 ::1 5 443\r\n",
        ),
        (
            Origin::Stream(between("[::ffff:1.2.3.4]:5", "6.7.8.9:443")),
            "PROXY TCP4 1.2.3.4 6.7.8.9 5 443\r\n",
        ),
        (
            Origin::Stream(between("1.2.3.4:5", "[2001:db8::1]:443")),
            "PROXY TCP6 ::ffff:1.2.3.4 2001:db8::1 5 443\r\n",
        ),
    ];
    for (origin, want) in cases {
        let mut out = b"before".to_vec();
        assert_eq!(write_v1(&origin, &mut out), Ok(()));
        assert_eq!(out[6..], *want.as_bytes(), "{want}");
    }
    let datagram = Origin::Datagram(between("1.2.3.4:5", "6.7.8.9:443"));
    let mut out = Vec::new();
    assert_eq!(write_v1(&datagram, &mut out), Err(Unwritable::Datagram));
    assert!(out.is_empty());
}

#[test]
fn bytes() {
    let v4 = between("1.2.3.4:80", "5.6.7.8:443");
    let v6 = between("[2001:db8::1]:1", "9.9.9.9:2");
    let cases: [(Origin, &[u8]); 5] = [
        (Origin::Local, b"\x20\x00\0\0"),
        (Origin::Unknown, b"\x21\x00\0\0"),
        (
            Origin::Stream(v4),
            b"\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x50\x01\xbb",
        ),
        (
            Origin::Datagram(v4),
            b"\x21\x12\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\0\x50\x01\xbb",
        ),
        (
            Origin::Stream(v6),
            b"\x21\x21\0\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\
              \0\0\0\0\0\0\0\0\0\0\xff\xff\x09\x09\x09\x09\0\x01\0\x02",
        ),
    ];
    for (origin, want) in cases {
        let got = v2(&origin, &[], false).expect("a header");
        assert_eq!(got, [SIGNATURE, want].concat(), "{origin:?}");
    }
    // A sum computed bit by bit in Python, from the polynomial.
    let tlvs = [
        Tlv {
            kind: Tlv::ALPN,
            value: b"h2",
        },
        Tlv {
            kind: Tlv::AUTHORITY,
            value: b"example.com",
        },
    ];
    let got = v2(&Origin::Stream(v4), &tlvs, true).expect("a header");
    assert_eq!(got[28..47], *b"\x01\0\x02h2\x02\0\x0bexample.com");
    assert_eq!(got[47..], [0x03, 0, 4, 0xb2, 0x5d, 0x64, 0x5c]);
}

#[test]
fn what_cannot_be_said() {
    let origin = Origin::Stream(between("1.2.3.4:80", "5.6.7.8:443"));
    let tlv = |kind, value| Tlv { kind, value };
    let long = vec![0; MOST + 1];
    let bad = |kind| Some(Unwritable::BadTlv { kind });
    let cases = [
        (tlv(Tlv::UNIQUE_ID, &long[..128]), None),
        (tlv(Tlv::UNIQUE_ID, &long[..129]), bad(Tlv::UNIQUE_ID)),
        (tlv(Tlv::SSL, &long[..4]), bad(Tlv::SSL)),
        (tlv(Tlv::SSL, &long[..5]), None),
        (tlv(Tlv::CRC32C, &long[..4]), Some(Unwritable::Checksum)),
        (tlv(0xe0, &long[..MOST - 15]), None),
        (tlv(0xe0, &long[..MOST - 14]), Some(Unwritable::TooLong)),
        (tlv(0xe0, &long), bad(0xe0)),
    ];
    for (tlv, why) in cases {
        let got = v2(&origin, &[tlv], false);
        assert_eq!(got.err(), why, "{:#x} {}", tlv.kind, tlv.value.len());
    }
    let last = [tlv(0xe0, &long[..MOST - 15])];
    let got = v2(&origin, &last, true).err();
    assert_eq!(got, Some(Unwritable::TooLong), "the checksum counts");
}

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 4]>().prop_map(|ip| Ipv4Addr::from(ip).to_ipv6_mapped().into()),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        any::<[u16; 8]>().prop_map(|words| IpAddr::from(words.map(|w| w | 0x1111))),
    ];
    (ip, any::<u16>()).prop_map(SocketAddr::from)
}

fn ends() -> impl Strategy<Value = Ends> {
    (address(), address()).prop_map(|(source, destination)| Ends {
        source,
        destination,
    })
}

fn origin() -> impl Strategy<Value = Origin> {
    prop_oneof![
        1 => Just(Origin::Local),
        1 => Just(Origin::Unknown),
        4 => ends().prop_map(Origin::Stream),
        4 => ends().prop_map(Origin::Datagram),
    ]
}

fn tlvs() -> impl Strategy<Value = Vec<(u8, Vec<u8>)>> {
    let known = proptest::sample::select(vec![
        Tlv::ALPN,
        Tlv::AUTHORITY,
        Tlv::NOOP,
        Tlv::UNIQUE_ID,
        Tlv::NETNS,
        0xe0,
    ]);
    let value = prop::collection::vec(any::<u8>(), 0..128);
    prop::collection::vec((known, value), 0..20)
}

proptest! {
    #[test]
    fn version_2_comes_back(
        origin in origin(), values in tlvs(), checksum in any::<bool>(), behind in any::<[u8; 3]>(),
    ) {
        let tlvs: Vec<_> = values.iter().map(|(kind, value)| Tlv { kind: *kind, value }).collect();
        let mut bytes = v2(&origin, &tlvs, checksum).expect("a header");
        let whole = bytes.len();
        prop_assert!(whole <= FIXED + LONGEST);
        for end in [0, 1, 12, 13, 15, whole - 1] {
            prop_assert_eq!(parse(&bytes[..end]), Ok(Parsed::Partial));
        }
        bytes.extend_from_slice(&behind);
        let (header, len) = read(&bytes);
        prop_assert_eq!(len, whole);
        let (command, transport, ends) = match origin {
            Origin::Local => (Command::Local, Transport::Unspecified, None),
            Origin::Unknown => (Command::Proxy, Transport::Unspecified, None),
            Origin::Stream(ends) => (Command::Proxy, Transport::Stream, Some(ends)),
            Origin::Datagram(ends) => (Command::Proxy, Transport::Datagram, Some(ends)),
        };
        prop_assert_eq!((header.command, header.transport), (command, transport));
        prop_assert_eq!(header.source.zip(header.destination), ends.as_ref().and_then(told));
        let mut back: Vec<_> = header.tlvs(&bytes).collect();
        if ends.is_none() {
            prop_assert!(back.is_empty());
        } else {
            if checksum {
                prop_assert_eq!(back.pop().map(|tlv| tlv.kind), Some(Tlv::CRC32C));
            }
            prop_assert_eq!(back, tlvs);
        }
    }

    #[test]
    fn a_flipped_bit_is_seen(ends in ends(), values in tlvs(), at in any::<prop::sample::Index>(), bit in 0..8u8) {
        let tlvs: Vec<_> = values.iter().map(|(kind, value)| Tlv { kind: *kind, value }).collect();
        let mut bytes = v2(&Origin::Stream(ends), &tlvs, true).expect("a header");
        // The signature, an address, the sum. Types and lengths are left alone: with another one the
        // sum may be only an unknown value.
        let known: Vec<_> = (0..12).chain(FIXED..FIXED + 12).chain(bytes.len() - 4..bytes.len()).collect();
        let at = known[at.index(known.len())];
        bytes[at] ^= 1 << bit;
        let done = matches!(parse(&bytes), Ok(Parsed::Done { .. }));
        prop_assert!(!done);
    }

    #[test]
    fn version_1_comes_back(origin in origin()) {
        let mut bytes = Vec::new();
        let wrote = write_v1(&origin, &mut bytes);
        prop_assert_eq!(wrote.is_err(), matches!(origin, Origin::Datagram(_)));
        if wrote.is_ok() {
            prop_assert!(bytes.len() <= 107);
            let (header, len) = read(&bytes);
            let ends = match &origin {
                Origin::Stream(ends) => told(ends),
                _ => None,
            };
            prop_assert_eq!(len, bytes.len());
            prop_assert_eq!(header.source.zip(header.destination), ends);
        }
    }
}
