//! A limit that several nodes share through a store, with no round trip for a request: the leased GCRA.
//!
//! The store keeps one TAT for each key (as [`crate::gcra`]). A node takes tokens from it in the background, a slice at a
//! time, and admits from these. This module is what one node does for one key: no clock, no I/O; [`crate::lease_table`]
//! has the keys.
//!
//! A node knows of a key
//! - its *credit*: tokens granted and not yet used. What is not used within [`Lease::hold`] is lost: less is admitted;
//! - its *debt*: tokens it admitted without credit, which the next ask charges to the store whether they fit or not;
//! - the store's TAT as it was last told. From that follows what the store has left if nobody else took any.
//!
//! Without credit a node admits up to a *share*: what the store is thought to have, over the number of nodes. So all nodes
//! together admit no more than there is, unless what they know is old. A key never heard of has the share of a full
//! bucket, at least 1: the [`opening`](Lease::opening).
//!
//! **Bound.** While each node reaches the store and `nodes` does not change, all nodes together admit in any time t at most
//!
//! > max(burst, rate · window) + rate · (t + hold) + nodes · (opening + kept)
//!
//! that is [`Lease::bound`] tokens more than one process would. Proof: let V be what the store has charged beyond now, in
//! tokens, and V' that and all debt. A debt of a node is at most its opening, so V' ≤ V + nodes · opening. A grant leaves
//! V ≤ max(burst, rate · window). Above that only debts raise V. Let it be above since u. What a node owed at u or came to
//! owe before it next heard from the store is at most its opening. After that it knows that V is above the burst, and
//! gets a share of a more only when nodes · a have drained since; over all nodes that is no more than drains. So V' stays
//! below max(burst, rate · window) + nodes · opening. What is admitted in t is debt of that time, or was granted at most
//! `hold` before it, or is one of the few tokens that a node keeps for longer; without these it is at most V' at the end
//! and what drained in t + hold.
//!
//! From the debts' being charged follows that the *mean* is the limit's own: what was too much is waited for.
//!
//! **Lost answers.** An ask that failed or came late may have been done or not. Its grant is taken as lost and its charge
//! as not made: it is charged again. So a loss makes less of a limit, for once, never more: at most an opening for a node.
//!
//! **Without the store** a node keeps to its share of the rate and of the burst ([`Fallback::FairShare`]). The bound then
//! grows by rate / nodes for each node and for as long as it does without. What it admitted meanwhile is charged when the
//! store is back, up to its opening.
//!
//! Units:  nanoseconds since any fixed start of this process; tokens.
//! Errors: only [`Lease::new`] fails ([`BadRate`]). All else is total.
//! Bounds: at most 10^7 tokens a second; the burst and the window last at most 2^51 ns (26 days); 2^16 nodes count.

use crate::gcra::BadRate;

/// A rate with a burst, shared by nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Emission interval T, in nanoseconds, rounded up.
    interval: i64,
    burst: i64,
    /// How far the TAT of the store may be ahead, in nanoseconds.
    capacity: i64,
    slack_us: i64,
    fallback: Fallback,
}

/// What a node does for a key while the store does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fallback {
    /// Each node admits its share: the rate and the burst, over the number of nodes; a burst of at least 1.
    #[default]
    FairShare,
    /// All are admitted.
    Open,
    /// Nobody is admitted, once what was granted is used.
    Closed,
}

/// What to ask the store for one key. Its answer goes to [`crate::LeaseTable::granted`], its failure to
/// [`crate::LeaseTable::failed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseAsk {
    /// Fewer than this are of no use. 0 if `most` is.
    pub least: u64,
    /// As many as fit, up to this. 0 if there is only something to charge.
    pub most: u64,
    /// What this node has admitted already: counted whether it fits or not.
    pub charge: u64,
    /// What all nodes may have admitted without credit, at most: so far beyond the burst may a TAT be. One that is
    /// further ahead is of a clock that was set back.
    pub debts: u64,
    /// When it was made, in the node's time.
    pub at: u64,
}

impl Lease {
    /// Between two asks for a key, on average at least; a few may come sooner. 50 ms.
    pub const INTERVAL: u64 = 50 * MS as u64;
    /// The store lets what it grants run ahead by as much, so that a burst of 1 still flows. 100 ms.
    pub const WINDOW: u64 = 100 * MS as u64;
    /// The longest wait between two asks while they fail. 1 s.
    pub const BACK_OFF: u64 = 1000 * MS as u64;
    /// An ask that has no answer after this has failed. 3 s: more than any deadline of the store.
    pub const PATIENCE: u64 = 3000 * MS as u64;

    /// A rate of `count` in every `period_ns`, of which `burst` are admitted at one instant from idle, over all nodes.
    ///
    /// The time of one token is rounded up to whole nanoseconds: at 10^6/s a limit falls short by less than 1 in 1000.
    pub const fn new(
        count: u64,
        period_ns: u64,
        burst: u64,
        fallback: Fallback,
    ) -> Result<Self, BadRate> {
        if let Some(fault) = BadRate::of(count, period_ns, burst) {
            return Err(fault);
        }
        let interval = period_ns.div_ceil(count);
        if interval < FASTEST {
            return Err(BadRate::TooFast);
        }
        if interval as u128 * burst as u128 > LONGEST {
            return Err(BadRate::TooLong);
        }
        let (interval, burst) = (interval as i64, burst as i64);
        let span = interval * burst;
        let slack = if span < Self::WINDOW as i64 {
            Self::WINDOW as i64 - span
        } else {
            0
        };
        let slack_us = slack / US;
        Ok(Self {
            interval,
            burst,
            capacity: span + slack_us * US,
            slack_us,
            fallback,
        })
    }

    /// The largest cost that is ever admitted.
    pub const fn burst(&self) -> u64 {
        self.burst as u64
    }

    /// How long what was granted may be used, from when it was asked for: 200 ms. A node's last few, [`kept`](Self::kept),
    /// last two seconds more, or the time of eight tokens if that is longer.
    pub const fn hold(&self) -> u64 {
        2 * Self::WINDOW
    }

    pub(crate) const fn keep(&self) -> i64 {
        let eight = 8 * self.interval;
        let more = if eight > MOST_KEPT { eight } else { MOST_KEPT };
        self.hold() as i64 + more
    }

    /// How many tokens of a node's credit outlast [`hold`](Self::hold): an eighth of its opening, 1 to 32.
    pub const fn kept(&self, nodes: u64) -> u64 {
        let some = self.opening(nodes) / 8;
        if some > 32 {
            32
        } else if some > 0 {
            some
        } else {
            1
        }
    }

    /// What a node admits at once of a key it has not heard of.
    pub const fn opening(&self, nodes: u64) -> u64 {
        let share = self.burst / whole(nodes);
        (if share > 0 { share } else { 1 }) as u64
    }

    /// By how many tokens `nodes` nodes together may exceed what one process admits, which is the burst and what the
    /// time brings. See the module for when it holds.
    pub const fn bound(&self, nodes: u64) -> u64 {
        let beyond = (self.capacity - self.burst * self.interval) as u64 + self.hold();
        beyond.div_ceil(self.interval as u64)
            + (self.opening(nodes) + self.kept(nodes)) * whole(nodes) as u64
    }

    /// What the store's script is given for an ask: interval in nanoseconds, burst, slack in microseconds, least, most,
    /// charge, debts.
    pub const fn arguments(&self, ask: &LeaseAsk) -> [i64; 7] {
        [
            self.interval,
            self.burst,
            self.slack_us,
            ask.least as i64,
            ask.most as i64,
            ask.charge as i64,
            ask.debts as i64,
        ]
    }

    const fn debts(&self, nodes: u64) -> u64 {
        self.opening(nodes) * whole(nodes) as u64
    }

    pub(crate) const fn interval(&self) -> i64 {
        self.interval
    }

    pub(crate) const fn span(&self) -> i64 {
        self.interval * self.burst
    }

    pub(crate) const fn capacity(&self) -> i64 {
        self.capacity
    }

    pub(crate) const fn fallback(&self) -> Fallback {
        self.fallback
    }

    pub(crate) fn ask(&self, at: i64, least: i64, most: i64, charge: i64, nodes: u64) -> LeaseAsk {
        let longest = LONGEST as u64 / self.interval as u64;
        LeaseAsk {
            least: least.min(most).max(0) as u64,
            most: most.max(0) as u64,
            charge: charge.max(0) as u64,
            debts: self.debts(nodes).min(longest),
            at: at as u64,
        }
    }
}

/// How many nodes count.
pub(crate) const fn whole(nodes: u64) -> i64 {
    if nodes == 0 {
        1
    } else if nodes > MOST_NODES {
        MOST_NODES as i64
    } else {
        nodes as i64
    }
}

const US: i64 = 1000;
pub(crate) const MS: i64 = 1_000_000;
/// Nanoseconds.
const MOST_KEPT: i64 = 2000 * MS;
/// Nanoseconds of a token: rounding them up costs less than 1 in 100.
const FASTEST: u64 = 100;
/// Nanoseconds: burst and debts together fit the 2^53 of a number in a script.
const LONGEST: u128 = 1 << 51;
const MOST_NODES: u64 = 1 << 16;

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
