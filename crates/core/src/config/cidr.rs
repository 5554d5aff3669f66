//! Blocks of addresses: `10.0.0.0/8`.
//!
//! Source: RFC 4632 section 3.1, RFC 4291 section 2.3.
//! Errors: a [`Why`]; bits behind the block's length are refused, since they hint at a slip.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::fault::{quote, Why};
use super::text::text;
use super::units::number;

/// A block of addresses. An address alone is a block of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cidr {
    first: IpAddr,
    bits: u8,
}

text!(
    Cidr,
    "a block of addresses such as 10.0.0.0/8",
    r"^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
    "A block of addresses such as `10.0.0.0/8` or `2001:db8::/32`, or one address."
);

impl Cidr {
    /// An address and the number of its leading bits that count.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let not = || {
            Why::new(
                format!("{} is not a block of addresses", quote(text)),
                "write ADDRESS/BITS, such as 10.0.0.0/8 or ::1/128",
            )
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(number(bits).ok_or_else(not)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| not())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(Why::new(
                format!("{} has more than {width} bits", quote(text)),
                format!("write {address}/{width} or less"),
            ));
        }
        let bits = bits as u8; // at most 128
        let first = mask(address, bits);
        if first != address {
            return Err(Why::new(
                format!("{} is not the first address of its block", quote(text)),
                format!("write {first}/{bits}, or {address}/{width} for the one address"),
            ));
        }
        Ok(Self { first, bits })
    }

    /// How many leading bits count.
    pub fn bits(&self) -> u8 {
        self.bits
    }

    /// Its first and its last address.
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        let last = match self.first {
            IpAddr::V4(a) => {
                let rest = u32::MAX.checked_shr(self.bits.into()).unwrap_or(0);
                Ipv4Addr::from_bits(a.to_bits() | rest).into()
            }
            IpAddr::V6(a) => {
                let rest = u128::MAX.checked_shr(self.bits.into()).unwrap_or(0);
                Ipv6Addr::from_bits(a.to_bits() | rest).into()
            }
        };
        (self.first, last)
    }

    /// True if `address` is in the block. An IPv4 address in IPv6 form (`::ffff:1.2.3.4`) counts as
    /// the IPv4 address it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.first.is_ipv4() && mask(address, self.bits) == self.first
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

fn mask(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(a) => Ipv4Addr::from_bits(
            a.to_bits() & u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0),
        )
        .into(),
        IpAddr::V6(a) => Ipv6Addr::from_bits(
            a.to_bits() & u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0),
        )
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        let ip = |text: &str| text.parse::<IpAddr>().expect(text);
        for (block, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("127.0.0.1", "::ffff:127.0.0.1", "127.0.0.2"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "::1", "10.0.0.1"),
        ] {
            let block = Cidr::parse(block).expect(block);
            assert!(
                block.contains(ip(inside)) && !block.contains(ip(outside)),
                "{block}"
            );
        }
        for (text, fix) in [
            (
                "10.1.2.3/8",
                "write 10.0.0.0/8, or 10.1.2.3/32 for the one address",
            ),
            ("10.0.0.0/33", "write 10.0.0.0/32 or less"),
            (
                "10.0.0/8",
                "write ADDRESS/BITS, such as 10.0.0.0/8 or ::1/128",
            ),
            (
                "10.0.0.0/+8",
                "write ADDRESS/BITS, such as 10.0.0.0/8 or ::1/128",
            ),
        ] {
            assert_eq!(Cidr::parse(text).expect_err(text).fix, fix);
        }
    }
}
