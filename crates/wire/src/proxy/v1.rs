//! Version 1: one line of text.
//!
//! Source: `proxy-protocol.txt` section 2.1: single spaces, canonical decimal numbers, CR LF, at
//! most 107 bytes in all.

use super::{begins_with, Command, Malformed, Parsed, ProxyHeader, Transport};
use crate::syntax::decimal;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub(super) fn parse(buf: &[u8]) -> Result<Parsed, Malformed> {
    if begins_with(buf, b"PROXY ")?.is_none() {
        return Ok(Parsed::Partial);
    }
    let window = &buf[..buf.len().min(LONGEST)];
    let found = memchr::memchr2(b'\r', b'\n', window);
    begins_with_family(&window[6..found.unwrap_or(window.len())])?;
    let Some(end) = found else {
        return if window.len() < LONGEST {
            Ok(Parsed::Partial)
        } else {
            Err(Malformed {
                code: "v1_too_long",
            })
        };
    };
    match window.get(end..) {
        Some([b'\r', b'\n', ..]) => {}
        Some([b'\r']) if buf.len() < LONGEST => return Ok(Parsed::Partial),
        Some([b'\r']) => {
            return Err(Malformed {
                code: "v1_too_long",
            })
        }
        _ => return Err(BAD_LINE),
    }
    let mut words = window[6..end].split(|&b| b == b' ');
    let mut header = ProxyHeader {
        command: Command::Proxy,
        transport: Transport::Stream,
        source: None,
        destination: None,
        tlv_range: 0..0,
    };
    let len = end + 2;
    let address: fn(&str) -> Option<IpAddr> = match words.next() {
        Some(b"TCP4") => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        Some(b"TCP6") => |text| {
            let address = text.parse::<Ipv6Addr>().ok()?;
            Some(IpAddr::V6(address).to_canonical())
        },
        Some(b"UNKNOWN") => {
            header.transport = Transport::Unspecified;
            return Ok(Parsed::Done { header, len });
        }
        _ => return Err(BAD_LINE),
    };
    let mut ip = || {
        let word = std::str::from_utf8(words.next()?).ok()?;
        address(word)
    };
    let (source, destination) = (ip().ok_or(BAD_LINE)?, ip().ok_or(BAD_LINE)?);
    let mut port = || Some(decimal(words.next()?, 65535)? as u16);
    let (from, to) = (port().ok_or(BAD_LINE)?, port().ok_or(BAD_LINE)?);
    if words.next().is_some() {
        return Err(BAD_LINE);
    }
    header.source = Some(SocketAddr::new(source, from));
    header.destination = Some(SocketAddr::new(destination, to));
    Ok(Parsed::Done { header, len })
}

/// Can `rest`, perhaps not complete, name one of the three families?
fn begins_with_family(rest: &[u8]) -> Result<(), Malformed> {
    let families: [&[u8]; 3] = [b"TCP4 ", b"TCP6 ", b"UNKNOWN"];
    if families.iter().any(|f| begins_with(rest, f).is_ok()) {
        return Ok(());
    }
    Err(BAD_LINE)
}

const BAD_LINE: Malformed = Malformed { code: "v1_line" };
/// With its CR LF.
const LONGEST: usize = 107;

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn lines() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(91));
        assert_eq!(long.len(), LONGEST);
        let cases = [
            (
                "PROXY TCP4 1.2.3.4 5.6.7.8 9 65535\r\n",
                Some(("1.2.3.4:9", "5.6.7.8:65535")),
            ),
            (
                "PROXY TCP6 ::1 2001:db8::2 1 2\r\n",
                Some(("[::1]:1", "[2001:db8::2]:2")),
            ),
            (
                "PROXY TCP6 ::ffff:1.2.3.4 ::2 1 2\r\n",
                Some(("1.2.3.4:1", "[::2]:2")),
            ),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 junk\r\n", None),
            (&long, None),
        ];
        for (line, addresses) in cases {
            let text = format!("{line}GET");
            let Ok(Parsed::Done { header, len }) = parse(text.as_bytes()) else {
                panic!("{line}");
            };
            assert_eq!(len, line.len(), "{line}");
            let want = addresses.map(|(s, d)| (s.parse().unwrap(), d.parse().unwrap()));
            assert_eq!(header.source.zip(header.destination), want, "{line}");
            for end in 0..line.len() {
                assert_eq!(
                    parse(&line.as_bytes()[..end]),
                    Ok(Parsed::Partial),
                    "{line}"
                );
            }
        }
    }

    #[test]
    fn malformed_lines() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
        let cases = [
            "GET / HTTP/1.1\r\n",
            "PROXX",
            "proxy TCP4",
            "PROXY\r\n",
            "PROXY TCP5",
            "PROXY TCP4\r\n",
            "PROXY  TCP4 1.2.3.4 5.6.7.8 9 10\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 9 10\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 9 10\rX",
            "PROXY TCP4 1.2.3.4 5.6.7.8 9 10 \r\n",
            "PROXY TCP4 1.2.3.4  5.6.7.8 9 10\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 9\r\n",
            "PROXY TCP4 01.2.3.4 5.6.7.8 9 10\r\n",
            "PROXY TCP4 1.2.3.256 5.6.7.8 9 10\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 09 10\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 9 65536\r\n",
            "PROXY TCP4 1.2.3.4 5.6.7.8 +9 10\r\n",
            "PROXY TCP4 ::1 ::2 9 10\r\n",
            "PROXY TCP6 1.2.3.4 5.6.7.8 9 10\r\n",
            "PROXY UNKNOWNX\r\n",
            &long,
            &long[..107],
        ];
        for line in cases {
            assert!(parse(line.as_bytes()).is_err(), "{line}");
        }
    }
}
