//! Blocks of addresses by the most specific one: the verdict on an address in one binary search.
//!
//! Blocks either lie in each other or apart, so they cut the addresses into runs, each with the verdict of the innermost block. A run is kept
//! as its first address, which ends the one before.
//! Bounds: two runs a block and one more; 5 bytes a run of IPv4, 17 of IPv6. [`MAX_BLOCKS`] blocks take 10 MiB at most.

use std::net::IpAddr;

use crate::config::units::Cidr;

/// Which addresses are allowed.
pub(super) struct IpTable {
    v4: Runs<u32>,
    v6: Runs<u128>,
}

/// Runs of addresses, in their order.
struct Runs<A> {
    firsts: Box<[A]>,
    allowed: Box<[bool]>,
}

/// A block: first and last address, and its verdict.
type Block<A> = (A, A, bool);

impl IpTable {
    /// `otherwise` is the verdict on what no block has. A block that is allowed and denied is denied.
    pub(super) fn new(allow: &[Cidr], deny: &[Cidr], otherwise: bool) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (list, verdict) in [(allow, true), (deny, false)] {
            for block in list {
                match block.ends() {
                    (IpAddr::V4(first), IpAddr::V4(last)) => {
                        v4.push((first.to_bits(), last.to_bits(), verdict));
                    }
                    (IpAddr::V6(first), IpAddr::V6(last)) => {
                        v6.push((first.to_bits(), last.to_bits(), verdict));
                    }
                    _ => {}
                }
            }
        }
        Self {
            v4: Runs::new(v4, (0, u32::MAX), otherwise, |a| a.checked_add(1)),
            v6: Runs::new(v6, (0, u128::MAX), otherwise, |a| a.checked_add(1)),
        }
    }

    /// The verdict; an IPv4 address in IPv6 form counts as the IPv4 address it is.
    pub(super) fn allows(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(a) => self.v4.allows(a.to_bits()),
            IpAddr::V6(a) => self.v6.allows(a.to_bits()),
        }
    }
}

impl<A: Ord + Copy> Runs<A> {
    fn new(
        mut blocks: Vec<Block<A>>,
        (least, most): (A, A),
        otherwise: bool,
        next: fn(A) -> Option<A>,
    ) -> Self {
        // The outer before the inner; of the same, the one that denies last, inside.
        blocks.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)).then(b.2.cmp(&a.2)));
        let (mut firsts, mut allowed) = (Vec::new(), Vec::new());
        let mut run = |first: A, verdict: bool| {
            if firsts.last() == Some(&first) {
                firsts.pop();
                allowed.pop();
            }
            if allowed.last() != Some(&verdict) {
                firsts.push(first);
                allowed.push(verdict);
            }
        };
        let mut open = vec![(least, most, otherwise)];
        run(least, otherwise);
        let close = |open: &mut Vec<Block<A>>, run: &mut dyn FnMut(A, bool)| {
            if let (Some((_, last, _)), Some((.., outer))) = (open.pop(), open.last()) {
                if let Some(behind) = next(last) {
                    run(behind, *outer);
                }
            }
        };
        for block in blocks {
            while open.len() > 1 && open.last().is_some_and(|o| o.1 < block.0) {
                close(&mut open, &mut run);
            }
            run(block.0, block.2);
            open.push(block);
        }
        while open.len() > 1 {
            close(&mut open, &mut run);
        }
        Self {
            firsts: firsts.into(),
            allowed: allowed.into(),
        }
    }

    fn allows(&self, address: A) -> bool {
        // The first run begins at the least address.
        let at = self.firsts.partition_point(|first| *first <= address);
        self.allowed[at.saturating_sub(1)]
    }
}

/// The most blocks of one filter.
pub(super) const MAX_BLOCKS: usize = 250_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slow(allow: &[Cidr], deny: &[Cidr], otherwise: bool, address: IpAddr) -> bool {
        let best = |list: &[Cidr]| {
            let fits = list.iter().filter(|c| c.contains(address));
            fits.map(|c| i32::from(c.bits())).max().unwrap_or(-1)
        };
        match (best(allow), best(deny)) {
            (-1, -1) => otherwise,
            (a, d) => a > d,
        }
    }

    fn block() -> impl Strategy<Value = Cidr> {
        let v4 = (0_u8..=32, any::<u32>(), any::<bool>()).prop_map(|(bits, a, edge)| {
            // Few addresses, so that blocks meet, and both ends of all.
            let a = if edge {
                a | 0xffff_ff00
            } else {
                a & 0xff00_00ff
            };
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            format!("{}/{bits}", std::net::Ipv4Addr::from_bits(a & mask))
        });
        let v6 = (0_u8..=128, any::<u128>(), any::<bool>()).prop_map(|(bits, a, edge)| {
            let a = if edge { a | (u128::MAX << 8) } else { a & 0xff };
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            format!("{}/{bits}", std::net::Ipv6Addr::from_bits(a & mask))
        });
        prop_oneof![v4, v6].prop_map(|text| Cidr::parse(&text).expect("a block"))
    }

    proptest! {
        #[test]
        fn the_most_specific_block_decides(
            allow in prop::collection::vec(block(), 0..12),
            deny in prop::collection::vec(block(), 0..12),
            otherwise: bool,
            addresses: [u32; 8],
        ) {
            let table = IpTable::new(&allow, &deny, otherwise);
            let mut all: Vec<IpAddr> = addresses.into_iter().map(|a| std::net::Ipv4Addr::from_bits(a).into()).collect();
            for block in allow.iter().chain(&deny) {
                let (first, last) = block.ends();
                all.extend([first, last]);
                // The neighbours on both sides.
                match (first, last) {
                    (IpAddr::V4(f), IpAddr::V4(l)) => all.extend([
                        f.to_bits().wrapping_sub(1), l.to_bits().wrapping_add(1),
                    ].map(|a| IpAddr::from(std::net::Ipv4Addr::from_bits(a)))),
                    (IpAddr::V6(f), IpAddr::V6(l)) => all.extend([
                        f.to_bits().wrapping_sub(1), l.to_bits().wrapping_add(1),
                    ].map(|a| IpAddr::from(std::net::Ipv6Addr::from_bits(a)))),
                    _ => unreachable!(),
                }
            }
            for address in all {
                prop_assert_eq!(table.allows(address), slow(&allow, &deny, otherwise, address), "{}", address);
            }
        }
    }

    #[test]
    fn a_hundred_thousand_blocks_take_two_runs_each_at_most() {
        // Every second /32, whose steps are seen: 2 to the 17th blocks, 18 steps.
        let deny: Vec<_> = (0..1 << 17)
            .map(|i: u32| {
                let text = format!("{}/32", std::net::Ipv4Addr::from_bits(0x0a00_0000 | i << 1));
                Cidr::parse(&text).expect("a block")
            })
            .collect();
        let table = IpTable::new(&[], &deny, true);
        assert_eq!(table.v4.firsts.len(), 2 * deny.len() + 1);
        for (address, allowed) in [
            ("10.0.0.0", false),
            ("10.0.0.1", true),
            ("10.3.255.254", false),
            ("10.4.0.0", true),
        ] {
            let address = address.parse().expect("an address");
            assert_eq!(table.allows(address), allowed, "{address}");
        }
    }
}
