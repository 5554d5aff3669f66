//! Writes PROXY headers.
//!
//! Source: `proxy-protocol.txt` sections 2.1 and 2.2. What is written, [`super::parse`] reads as the
//! same.
//! Errors: [`Unwritable`]; nothing was written then.
//! Bounds: 107 bytes for version 1 by its form; [`MOST`] bytes behind the fixed 16 for version 2.
//! Receivers take less, [`super::LONGEST`] here: what is within it passes everywhere.

use super::crc32c::crc32c;
use super::tlv::{Ssl, Tlv};
use super::v2::{FIXED, LONGEST_ID, SIGNATURE};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most bytes behind the fixed part of version 2: what its 16 bits of length can say.
pub const MOST: usize = 0xffff;

/// What a header says of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The proxy's own connection, as for a health check. Version 1 has no word for it but UNKNOWN.
    Local,
    /// Some client, of which nothing is told.
    Unknown,
    /// A client over TCP.
    Stream(Ends),
    /// A client over UDP. Not in version 1.
    Datagram(Ends),
}

/// The two ends of the client's connection. An IPv4 address beside an IPv6 one is written in its IPv6
/// form, two IPv6 ones that both are IPv4 in theirs; flow and scope are not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// The address that the client connected to.
    pub destination: SocketAddr,
}

/// What cannot be said in a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// Version 1 knows TCP only.
    Datagram,
    /// The value is longer than 65 535 bytes, or than its type allows, or malformed.
    BadTlv {
        /// Its type.
        kind: u8,
    },
    /// A checksum is asked for with a flag, since only the writer can know it.
    Checksum,
    /// More than [`MOST`] bytes.
    TooLong,
}

impl std::fmt::Display for Unwritable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Datagram => f.write_str("version 1 has no datagrams"),
            Self::BadTlv { kind } => write!(f, "the value of type {kind:#04x} is not valid"),
            Self::Checksum => f.write_str("the checksum is computed, not given"),
            Self::TooLong => write!(f, "more than {MOST} bytes behind the fixed part"),
        }
    }
}

impl std::error::Error for Unwritable {}

/// Appends a header of version 1, at most 107 bytes.
pub fn write_v1(origin: &Origin, out: &mut Vec<u8>) -> Result<(), Unwritable> {
    let ends = match origin {
        Origin::Local | Origin::Unknown => {
            out.extend_from_slice(b"PROXY UNKNOWN\r\n");
            return Ok(());
        }
        Origin::Datagram(_) => return Err(Unwritable::Datagram),
        Origin::Stream(ends) => ends,
    };
    let (from, to) = (ends.source.port(), ends.destination.port());
    let line = match ends.ips() {
        Ips::V4(source, destination) => {
            let (source, destination) = (Ipv4Addr::from(source), Ipv4Addr::from(destination));
            format!("PROXY TCP4 {source} {destination} {from} {to}\r\n")
        }
        Ips::V6(source, destination) => {
            let (source, destination) = (Ipv6Addr::from(source), Ipv6Addr::from(destination));
            format!("PROXY TCP6 {source} {destination} {from} {to}\r\n")
        }
    };
    out.extend_from_slice(line.as_bytes());
    Ok(())
}

/// Appends a header of version 2 with these type-length-values, in their order, and with a
/// [`Tlv::CRC32C`] behind them if `checksum`.
///
/// Receivers skip the values of [`Origin::Local`] and [`Origin::Unknown`].
pub fn write_v2(
    origin: &Origin,
    tlvs: &[Tlv<'_>],
    checksum: bool,
    out: &mut Vec<u8>,
) -> Result<(), Unwritable> {
    let (command, transport, ends) = match origin {
        Origin::Local => (0x20, 0, None),
        Origin::Unknown => (0x21, 0, None),
        Origin::Stream(ends) => (0x21, 1, Some(ends)),
        Origin::Datagram(ends) => (0x21, 2, Some(ends)),
    };
    let (family, addresses) = ends.map_or((0, Vec::new()), Ends::block);
    let mut rest = addresses.len();
    for tlv in tlvs {
        check(tlv)?;
        rest += 3 + tlv.value.len();
    }
    rest += if checksum { SUM.len() } else { 0 };
    let len = u16::try_from(rest).map_err(|_| Unwritable::TooLong)?;

    let start = out.len();
    out.reserve(FIXED + rest);
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[command, family | transport]);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(&addresses);
    for tlv in tlvs {
        out.push(tlv.kind);
        // Its length fits, as the whole does.
        out.extend_from_slice(&(tlv.value.len() as u16).to_be_bytes());
        out.extend_from_slice(tlv.value);
    }
    if checksum {
        out.extend_from_slice(&SUM);
        // Over the whole header with the sum's own bytes zero, as they are now.
        let sum = crc32c(0, &out[start..]).to_be_bytes();
        let at = out.len() - sum.len();
        out[at..].copy_from_slice(&sum);
    }
    Ok(())
}

/// What the parser would refuse is not written.
fn check(tlv: &Tlv<'_>) -> Result<(), Unwritable> {
    let fits = match tlv.kind {
        Tlv::CRC32C => return Err(Unwritable::Checksum),
        Tlv::UNIQUE_ID => tlv.value.len() <= LONGEST_ID,
        Tlv::SSL => Ssl::parse(tlv.value).is_ok(),
        _ => true,
    };
    if !fits || tlv.value.len() > MOST {
        return Err(Unwritable::BadTlv { kind: tlv.kind });
    }
    Ok(())
}

enum Ips {
    V4([u8; 4], [u8; 4]),
    V6([u8; 16], [u8; 16]),
}

impl Ends {
    fn ips(&self) -> Ips {
        let (source, destination) = (self.source.ip(), self.destination.ip());
        match (source.to_canonical(), destination.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => Ips::V4(a.octets(), b.octets()),
            _ => Ips::V6(six(source), six(destination)),
        }
    }

    /// The family, and the address block of version 2.
    fn block(&self) -> (u8, Vec<u8>) {
        let (from, to) = (self.source.port(), self.destination.port());
        let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
        match self.ips() {
            Ips::V4(a, b) => (0x10, [&a[..], &b, &ports].concat()),
            Ips::V6(a, b) => (0x20, [&a[..], &b, &ports].concat()),
        }
    }
}

fn six(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// A checksum's type and length, and room for it.
const SUM: [u8; 7] = [Tlv::CRC32C, 0, 4, 0, 0, 0, 0];

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
