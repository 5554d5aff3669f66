//! Counts frames before the codec sees them: what a peer costs that sends other frames than requests and bodies.
//!
//! A budget of points, spent by frames that carry nothing and given back by time and by traffic. A peer that spends it
//! all gets `ENHANCE_YOUR_CALM`. So a flood of SETTINGS, PING, PRIORITY, WINDOW_UPDATE, RST_STREAM, CONTINUATION, of
//! empty DATA or of unknown frames ends, whatever the codec itself makes of each.
//! Source: CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316, CVE-2025-8671.

/// What came so far, and what it cost.
pub(super) struct Frames {
    head: [u8; HEAD],
    have: usize,
    /// Bytes of the frame in hand that are still to come.
    left: usize,
    /// Bytes of the client's preface that are still to come.
    preface: usize,
    kind: u8,
    /// A block of fields has begun and not ended.
    block: bool,
    /// The peer's settings have come.
    greeted: bool,
    /// When the frame or block of fields began that is not yet whole; 0 if none.
    since: u64,
    /// Units: a point is as many as a KiB has bytes.
    left_units: u64,
    most: u64,
    filled: u64,
}

impl Frames {
    /// A counter with a budget of so many points. A server's counter sees the preface first.
    pub fn new(budget: u32, server: bool, now: u64) -> Self {
        let most = u64::from(budget) * POINT;
        Self {
            head: [0; HEAD],
            have: 0,
            left: 0,
            preface: if server { PREFACE.len() } else { 0 },
            kind: 0,
            block: false,
            greeted: false,
            since: 0,
            left_units: most,
            most,
            filled: now,
        }
    }

    /// True once the peer's settings have come.
    pub fn greeted(&self) -> bool {
        self.greeted && self.left == 0
    }

    /// Since when something other than a body is not yet whole.
    pub fn pending_since(&self) -> Option<u64> {
        (self.since != 0).then_some(self.since)
    }

    /// Takes note of bytes that came. False if the budget is spent.
    #[must_use]
    pub fn see(&mut self, mut bytes: &[u8], now: u64) -> bool {
        self.refill(now);
        let skip = self.preface.min(bytes.len());
        self.preface -= skip;
        bytes = &bytes[skip..];
        while !bytes.is_empty() {
            if self.left > 0 {
                let n = self.left.min(bytes.len());
                self.left -= n;
                bytes = &bytes[n..];
                if self.kind == DATA {
                    self.earn(n as u64);
                }
                continue;
            }
            let n = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + n].copy_from_slice(&bytes[..n]);
            self.have += n;
            bytes = &bytes[n..];
            if self.have == HEAD {
                self.have = 0;
                if !self.begin() {
                    return false;
                }
            }
        }
        let whole = !self.block && self.have == 0 && (self.left == 0 || self.kind == DATA);
        if whole {
            self.since = 0;
        } else if self.since == 0 {
            self.since = now;
        }
        true
    }

    fn begin(&mut self) -> bool {
        let [a, b, c, kind, flags, ..] = self.head;
        let len = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.kind = kind;
        self.left = len;
        let flag = |bit: u8| flags & bit != 0;
        let cost = match kind {
            DATA if len == 0 && !flag(END_STREAM) => 10,
            DATA => 0,
            HEADERS => {
                self.block = !flag(END_HEADERS);
                0
            }
            CONTINUATION => {
                self.block = !flag(END_HEADERS);
                5
            }
            RST_STREAM => RESET,
            SETTINGS if !flag(ACK) => {
                self.greeted = true;
                10
            }
            PING if !flag(ACK) => 4,
            _ => 1,
        };
        self.spend(cost)
    }

    /// False if that was more than is left.
    #[must_use]
    pub fn spend(&mut self, points: u64) -> bool {
        match self.left_units.checked_sub(points * POINT) {
            Some(left) => {
                self.left_units = left;
                true
            }
            None => false,
        }
    }

    /// Traffic gives back: so many bytes of bodies, or to the peer.
    pub fn earn(&mut self, bytes: u64) {
        self.left_units = (self.left_units + bytes).min(self.most);
    }

    fn refill(&mut self, now: u64) {
        let past = now.saturating_sub(self.filled);
        self.filled = now;
        let units = u128::from(past) * u128::from(self.most) / u128::from(REFILL);
        self.earn(u64::try_from(units).unwrap_or(self.most));
    }
}

/// What comes first on a client's connection (RFC 9113 section 3.4).
pub(crate) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What a stream costs that the client resets, or makes us reset, in points.
pub(super) const RESET: u64 = 10;
/// What a request gives back that got its answer, in bytes of traffic.
pub(super) const ANSWERED: u64 = 2 * POINT;

const POINT: u64 = 1024;
const HEAD: usize = 9;
/// An empty budget is full again after so many nanoseconds.
const REFILL: u64 = 20_000_000_000;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, len: usize) -> Vec<u8> {
        let mut f = vec![
            (len >> 16) as u8,
            (len >> 8) as u8,
            len as u8,
            kind,
            flags,
            0,
            0,
            0,
            1,
        ];
        f.resize(HEAD + len, 7);
        f
    }

    /// How many of these frames a budget of 2000 stands in one moment, seen in pieces of `piece` bytes.
    fn stands(one: &[u8], piece: usize) -> usize {
        let mut frames = Frames::new(2000, false, 1);
        (0..)
            .take_while(|_| one.chunks(piece).all(|p| frames.see(p, 1)))
            .take(100_000)
            .count()
    }

    #[test]
    fn every_flood_ends_and_traffic_does_not() {
        let cases = [
            ("RST_STREAM", frame(RST_STREAM, 0, 4), 200),
            ("SETTINGS", frame(SETTINGS, 0, 0), 200),
            ("PING", frame(PING, 0, 8), 500),
            ("PRIORITY", frame(2, 0, 5), 2000),
            ("WINDOW_UPDATE", frame(8, 0, 4), 2000),
            ("CONTINUATION", frame(CONTINUATION, 0, 0), 400),
            ("empty DATA", frame(DATA, 0, 0), 200),
            ("unknown", frame(200, 0, 100), 2000),
            ("DATA", frame(DATA, 0, 1000), 100_000),
            ("HEADERS", frame(HEADERS, END_HEADERS, 20), 100_000),
        ];
        for (what, one, most) in cases {
            for piece in [1, 4, 1000] {
                assert_eq!(stands(&one, piece), most, "{what} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn time_and_traffic_give_back() {
        let mut frames = Frames::new(100, true, 1);
        assert!(frames.see(PREFACE, 1) && frames.spend(100) && !frames.spend(1));
        assert!(frames.see(&[], 1 + REFILL / 2) && frames.spend(50) && !frames.spend(1));
        frames.earn(3 * 1024);
        assert!(frames.spend(3) && !frames.spend(1));
    }

    #[test]
    fn what_is_not_whole_is_known() {
        let mut frames = Frames::new(100, true, 1);
        let see = |frames: &mut Frames, bytes: &[u8], now| {
            assert!(frames.see(bytes, now));
            frames.pending_since()
        };
        assert_eq!(see(&mut frames, PREFACE, 2), None);
        let head = frame(HEADERS, 0, 10);
        assert_eq!(see(&mut frames, &head[..3], 3), Some(3));
        assert_eq!(
            see(&mut frames, &head[3..], 4),
            Some(3),
            "the block goes on"
        );
        assert_eq!(see(&mut frames, &frame(CONTINUATION, 4, 1), 5), None);
        let data = frame(DATA, 0, 10);
        assert_eq!(
            see(&mut frames, &data[..12], 6),
            None,
            "a body has deadlines of its own"
        );
        assert_eq!(see(&mut frames, &data[12..], 7), None);
    }
}
