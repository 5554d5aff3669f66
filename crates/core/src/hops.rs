//! What requests say of the proxies before the gateway, counted beside what is believed: so a wrong trust shows.
//!
//! Nothing here decides anything. A request is counted once, by plain words and without an allocation.
//! Source: RFC 7239 sections 5.2 and 8.1, whose walk is [`crate::trust`].
//! Bounds: for each route and thread one suspect, and 64 marks of what it wrote.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::filter::Client;
use crate::metrics::bump;

/// What a request said of the proxies before the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// How that is to what is believed.
    pub seen: Seen,
    /// Entries of the field, the client's own included.
    pub entries: u16,
    /// Tells values of an untrusted peer apart.
    pub mark: u64,
}

/// How what a request says is to what is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seen {
    /// Nothing is said, and nobody is believed.
    #[default]
    Nothing,
    /// All that is said is believed, and leads to a client.
    Fits,
    /// More is said than is believed.
    More,
    /// Too little is said: the client that was found is a trusted proxy itself.
    Fewer,
    /// It comes from a peer that is not trusted.
    Untrusted,
}

impl Said {
    /// By a peer that is not trusted; nothing if it wrote no value.
    pub fn by_untrusted(value: Option<&[u8]>) -> Self {
        value.map_or(Self::default(), |value| Self {
            seen: Seen::Untrusted,
            entries: 0,
            mark: algo::stable_hash(value),
        })
    }
}

/// What is counted of a route. Only one thread writes; any thread may read.
#[derive(Debug, Default)]
pub struct HopCounters {
    /// Requests by [`Seen`], without the first.
    pub seen: [AtomicU64; SEEN.len()],
    /// Requests of trusted peers by how many entries they had; the last for all that had more.
    pub entries: [AtomicU64; ENTRIES.len()],
    /// The untrusted peer that most often says for whom it forwards (by the vote of Boyer and Moore), as two halves of an address.
    suspect: [AtomicU64; 2],
    votes: AtomicU64,
    marks: AtomicU64,
}

impl HopCounters {
    /// Counts a request that has ended.
    #[inline]
    pub fn count(&self, client: &Client) {
        let said = client.said;
        let place = match said.seen {
            Seen::Nothing => return,
            Seen::Fits => 0,
            Seen::More => 1,
            Seen::Fewer => 2,
            Seen::Untrusted => 3,
        };
        bump(&self.seen[place], 1);
        if said.seen == Seen::Untrusted {
            self.suspected(client.peer.ip(), said.mark);
            return;
        }
        let entries = usize::from(said.entries).min(ENTRIES.len() - 1);
        bump(&self.entries[entries], 1);
    }

    fn suspected(&self, peer: IpAddr, mark: u64) {
        let halves = halves(peer);
        let votes = self.votes.load(Relaxed);
        let marked = 1 << (algo::mix64(mark) % 64);
        let same = [0, 1].map(|i| self.suspect[i].load(Relaxed)) == halves;
        if votes > 0 && !same {
            self.votes.store(votes - 1, Relaxed);
            return;
        }
        if same {
            let marks = self.marks.load(Relaxed);
            self.marks.store(marks | marked, Relaxed);
        } else {
            self.suspect[0].store(halves[0], Relaxed);
            self.suspect[1].store(halves[1], Relaxed);
            self.marks.store(marked, Relaxed);
        }
        self.votes.store((votes + 1).min(MOST_VOTES), Relaxed);
    }

    /// An untrusted peer through which many clients seem to come, as through a load balancer.
    pub fn suspect(&self) -> Option<IpAddr> {
        let enough = || {
            let marks = self.marks.load(Relaxed).count_ones();
            self.votes.load(Relaxed) >= VOTES && marks >= MARKS
        };
        let read = || [0, 1].map(|i| self.suspect[i].load(Relaxed));
        let halves = enough().then(read)?;
        // It is another's if the thread that counts has just changed it.
        if !enough() || read() != halves {
            return None;
        }
        let bits = u128::from(halves[0]) << 64 | u128::from(halves[1]);
        Some(IpAddr::V6(Ipv6Addr::from_bits(bits)).to_canonical())
    }
}

fn halves(ip: IpAddr) -> [u64; 2] {
    let bits = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    };
    [(bits >> 64) as u64, bits as u64]
}

/// The words for what is counted in [`HopCounters::seen`].
pub const SEEN: [&str; 4] = ["fits", "more", "fewer", "untrusted"];
/// The words for what is counted in [`HopCounters::entries`].
pub const ENTRIES: [&str; 6] = ["0", "1", "2", "3", "4", "5+"];
/// So many requests more than of all other untrusted peers make a suspect.
const VOTES: u64 = 64;
/// A suspect of old is forgotten after so many requests of others.
const MOST_VOTES: u64 = 1024;
/// So many of 64 marks are set by 45 different values on average.
const MARKS: u32 = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, said: Said) -> Client {
        let mut client = Client::new(peer.parse().expect("an address"));
        client.said = said;
        client
    }

    fn untrusted(peer: &str, value: String) -> Client {
        client(peer, Said::by_untrusted(Some(value.as_bytes())))
    }

    #[test]
    fn requests_are_counted_by_what_they_say() {
        let counters = HopCounters::default();
        for (seen, entries) in [
            (Seen::Fits, 1),
            (Seen::More, 2),
            (Seen::More, 64),
            (Seen::Fewer, 0),
            (Seen::Nothing, 0),
        ] {
            counters.count(&client(
                "10.0.0.1:1",
                Said {
                    seen,
                    entries,
                    mark: 0,
                },
            ));
        }
        counters.count(&untrusted("10.0.0.1:1", "1.2.3.4".into()));
        counters.count(&client("10.0.0.1:1", Said::by_untrusted(None)));
        let read = |all: &[AtomicU64]| all.iter().map(|n| n.load(Relaxed)).collect::<Vec<_>>();
        assert_eq!(read(&counters.seen), [1, 2, 1, 1]);
        assert_eq!(read(&counters.entries), [1, 1, 1, 0, 0, 1]);
        assert_eq!(counters.suspect(), None);
    }

    #[test]
    fn a_peer_that_forwards_for_many_is_suspected_and_others_are_not() {
        type Peer = fn(u32) -> (String, u32);
        let cases: [(&str, Peer, Option<&str>); 5] = [
            (
                "a load balancer",
                |n| ("10.0.0.9:1".into(), n),
                Some("10.0.0.9"),
            ),
            (
                "the same by IPv6",
                |n| ("[2001:db8::9]:1".into(), n),
                Some("2001:db8::9"),
            ),
            (
                "one with noise",
                |n| {
                    (
                        if n % 5 == 0 {
                            format!("192.0.2.{}:1", n % 250)
                        } else {
                            "10.0.0.9:1".into()
                        },
                        n,
                    )
                },
                Some("10.0.0.9"),
            ),
            (
                "one that says one address",
                |_| ("10.0.0.9:1".into(), 7),
                None,
            ),
            (
                "many that each say one",
                |n| (format!("192.0.2.{}:1", n % 250), n),
                None,
            ),
        ];
        for (name, peer, want) in cases {
            let counters = HopCounters::default();
            for n in 0..1000 {
                let (peer, value) = peer(n);
                counters.count(&untrusted(
                    &peer,
                    format!("203.0.{}.{}", value / 250, value % 250),
                ));
            }
            let want = want.map(|ip| ip.parse().expect("an address"));
            assert_eq!(counters.suspect(), want, "{name}");
        }
    }
}
