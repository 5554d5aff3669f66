//! Who a request came through, from `X-Forwarded-For` and `Forwarded`, nearest hop first.
//!
//! Source: RFC 7239 sections 4 and 6. Both fields are read from right to left, because only the
//! right end was written by a peer that can be trusted: whatever a client put before it, unbalanced
//! quotes included, cannot change how the right end is read.
//! Errors: [`Junk`] for one hop; the walk goes on behind it, the caller decides whether to.
//! Bounds: [`MOST_HOPS`] hops are looked at, however long the fields are.

use crate::syntax::{decimal, trim};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A hop that names no IP address: `unknown`, an obfuscated name, or something malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Junk;

impl std::fmt::Display for Junk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a forwarded hop that is no IP address")
    }
}

impl std::error::Error for Junk {}

/// The hops of `X-Forwarded-For`, from the right. `values` are the field's values in order.
pub fn hops_from_right<'a, V>(values: V) -> impl Iterator<Item = Result<IpAddr, Junk>> + use<'a, V>
where
    V: DoubleEndedIterator<Item = &'a [u8]>,
{
    let elements = values.rev().flat_map(|v| v.rsplit(|&b| b == b','));
    elements.take(MOST_HOPS).map(|element| node(trim(element)))
}

/// The `for=` hops of `Forwarded`, from the right. An element without `for` is [`Junk`].
pub fn forwarded_from_right<'a, V>(
    values: V,
) -> impl Iterator<Item = Result<IpAddr, Junk>> + use<'a, V>
where
    V: DoubleEndedIterator<Item = &'a [u8]>,
{
    let elements = values.rev().flat_map(|v| from_right(v, b','));
    elements.take(MOST_HOPS).map(for_of)
}

/// An address as the two fields write it: IPv4 or IPv6, in brackets or not, a port or none, a zone
/// identifier or none. IPv4-mapped addresses become IPv4.
pub fn node(text: &[u8]) -> Result<IpAddr, Junk> {
    if let [b'[', rest @ ..] = text {
        let end = memchr::memchr(b']', rest).ok_or(Junk)?;
        return match &rest[end + 1..] {
            [] => v6(&rest[..end]),
            [b':', port @ ..] if is_port(port) => v6(&rest[..end]),
            _ => Err(Junk),
        };
    }
    let colons = text.iter().filter(|&&b| b == b':').take(2).count();
    match (colons, memchr::memchr(b':', text)) {
        (0, _) => v4(text),
        (1, Some(at)) if is_port(&text[at + 1..]) => v4(&text[..at]),
        (2, _) => v6(text),
        _ => Err(Junk),
    }
}

/// The node of `for` in one element of `Forwarded`; more than one `for` is junk.
fn for_of(element: &[u8]) -> Result<IpAddr, Junk> {
    let mut found = Err(Junk);
    let mut seen = false;
    for pair in from_right(element, b';') {
        let Some(at) = memchr::memchr(b'=', pair) else {
            continue;
        };
        if !trim(&pair[..at]).eq_ignore_ascii_case(b"for") {
            continue;
        }
        if seen {
            return Err(Junk);
        }
        seen = true;
        found = match trim(&pair[at + 1..]) {
            // No address needs a backslash; one that has it is not parsed.
            [b'"', quoted @ .., b'"'] => node(quoted),
            // Brackets and ports have characters that no token has: they need quotes.
            plain => v4(plain),
        };
    }
    found
}

/// Splits at `separator` outside of quoted strings, from the right.
fn from_right(value: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut quoted = false;
        for at in (0..text.len()).rev() {
            if text[at] == b'"' && !is_escaped(text, at) {
                quoted = !quoted;
            } else if text[at] == separator && !quoted {
                rest = Some(&text[..at]);
                return Some(trim(&text[at + 1..]));
            }
        }
        rest = None;
        Some(trim(text))
    })
}

/// Is the byte at `at` behind an odd number of backslashes?
fn is_escaped(text: &[u8], at: usize) -> bool {
    let backslashes = text[..at].iter().rev().take_while(|&&b| b == b'\\');
    backslashes.count() % 2 == 1
}

fn v4(text: &[u8]) -> Result<IpAddr, Junk> {
    let text = std::str::from_utf8(text).map_err(|_| Junk)?;
    text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| Junk)
}

fn v6(text: &[u8]) -> Result<IpAddr, Junk> {
    // A zone has meaning on the hop that wrote it only.
    let address = match memchr::memchr(b'%', text) {
        Some(at) if at + 1 < text.len() => &text[..at],
        Some(_) => return Err(Junk),
        None => text,
    };
    let address = std::str::from_utf8(address).map_err(|_| Junk)?;
    let address = address.parse::<Ipv6Addr>().map_err(|_| Junk)?;
    Ok(IpAddr::V6(address).to_canonical())
}

fn is_port(text: &[u8]) -> bool {
    decimal(text, 65535).is_some()
}

/// Real chains have up to ten.
pub const MOST_HOPS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes() {
        let cases: [(&[u8], Option<&str>); 29] = [
            (b"1.2.3.4", Some("1.2.3.4")),
            (b"1.2.3.4:80", Some("1.2.3.4")),
            (b"2001:db8::1", Some("2001:db8::1")),
            (b"[2001:DB8::1]", Some("2001:db8::1")),
            (b"[2001:db8::1]:4711", Some("2001:db8::1")),
            (b"fe80::1%eth0", Some("fe80::1")),
            (b"[fe80::1%1]:80", Some("fe80::1")),
            (b"::ffff:1.2.3.4", Some("1.2.3.4")),
            (b"[::ffff:102:304]:1", Some("1.2.3.4")),
            (b"::1", Some("::1")),
            (b"", None),
            (b"unknown", None),
            (b"_hidden", None),
            (b"1.2.3", None),
            (b"1.2.3.256", None),
            (b"01.2.3.4", None),
            (b"1.2.3.4:", None),
            (b"1.2.3.4:65536", None),
            (b"1.2.3.4:x", None),
            (b"1.2.3.4%eth0", None),
            (b"[1.2.3.4]", None),
            (b"[::1", None),
            (b"[::1]x", None),
            (b"[::1]:", None),
            (b"fe80::1%", None),
            (b"::1::", None),
            (b"\"1.2.3.4\"", None),
            (b"1.2.3.4 5.6.7.8", None),
            (b"\xff", None),
        ];
        for (text, address) in cases {
            let want = address.map(|a| a.parse().unwrap()).ok_or(Junk);
            assert_eq!(node(text), want, "{}", text.escape_ascii());
        }
    }

    fn texts(hops: impl Iterator<Item = Result<IpAddr, Junk>>) -> Vec<String> {
        hops.map(|h| h.map_or("-".to_owned(), |a| a.to_string()))
            .collect()
    }

    #[test]
    fn x_forwarded_for_is_read_from_the_right() {
        let values: [&[u8]; 3] = [b"junk, 1.1.1.1", b"", b"2.2.2.2:9 ,, [::3]"];
        let got = texts(hops_from_right(values.into_iter()));
        assert_eq!(got, ["::3", "-", "2.2.2.2", "-", "1.1.1.1", "-"]);
    }

    #[test]
    fn forwarded_is_read_from_the_right() {
        let cases: [(&[u8], &[&str]); 12] = [
            (b"for=1.2.3.4", &["1.2.3.4"]),
            (
                b"For=\"[2001:db8::1]:47\";proto=https;by=_x",
                &["2001:db8::1"],
            ),
            (
                b"proto=http; for=\"1.2.3.4:5\", for=2.2.2.2",
                &["2.2.2.2", "1.2.3.4"],
            ),
            (b"for=unknown, for=_a, for=\"_b\"", &["-", "-", "-"]),
            (b"by=1.2.3.4", &["-"]),
            (b"for=1.1.1.1;for=2.2.2.2", &["-"]),
            (b"for=[::1]", &["-"]),
            (b"for=1.2.3.4:80", &["-"]),
            // What a client wrote before cannot swallow what the proxy wrote behind it.
            (b"for=\"1.1.1.1, for=2.2.2.2", &["2.2.2.2", "-"]),
            (b"host=\"a,b;for=9.9.9.9\";for=1.1.1.1", &["1.1.1.1"]),
            (b"host=\"a\\\",b\";for=1.1.1.1", &["1.1.1.1"]),
            (b"", &["-"]),
        ];
        for (value, hops) in cases {
            let got = texts(forwarded_from_right([value].into_iter()));
            assert_eq!(got, hops, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn work_is_bounded() {
        let long = b"1.1.1.1,".repeat(1000);
        let quotes = b"\\\"".repeat(16 << 10);
        assert_eq!(
            hops_from_right([long.as_slice()].into_iter()).count(),
            MOST_HOPS
        );
        assert_eq!(
            forwarded_from_right([long.as_slice()].into_iter()).count(),
            MOST_HOPS
        );
        assert_eq!(
            forwarded_from_right([quotes.as_slice()].into_iter()).count(),
            1
        );
    }
}
