//! What a limit asks of the store, and what the answer means: the scripts of `ts/store`.

use sha2::{Digest, Sha256};
use wire::Head;

use super::rate_key::LimitKeys;
use super::rate_limit::Algorithm;
use crate::config::units::Rate;
use crate::filter::{Client, Cx, StoreCall};
use crate::store;

/// A script, and all of its arguments but the cost.
#[derive(Clone, Copy)]
pub(super) enum Script {
    /// Nanoseconds of a token, and the burst.
    Gcra { interval: u64, burst: u64 },
    /// A window of so many microseconds, and what it admits.
    Window {
        name: &'static str,
        window: u64,
        limit: u64,
    },
}

/// What was said of a request. Nanoseconds.
pub(super) struct Stored {
    pub(super) admits: bool,
    pub(super) left: u64,
    /// Until `left` is higher.
    pub(super) more: u64,
    /// Until nothing is used any more.
    pub(super) reset: u64,
    pub(super) retry: u64,
}

/// Why a limit cannot be counted by a script.
pub(super) struct BadScript {
    pub(super) key: &'static str,
    pub(super) why: String,
    pub(super) fix: &'static str,
}

impl Script {
    pub(super) fn new(algorithm: Algorithm, rate: Rate, burst: u64) -> Result<Self, BadScript> {
        let Rate { count, period_ns } = rate;
        let bad = |key, why, fix| Err(BadScript { key, why, fix });
        let name = match algorithm {
            Algorithm::Gcra | Algorithm::TokenBucket => {
                let interval = period_ns.div_ceil(count);
                if u128::from(interval) * u128::from(burst) > LONGEST {
                    let why = "the burst would last longer than 26 days".to_owned();
                    return bad("burst", why, "write a smaller burst");
                }
                return Ok(Self::Gcra { interval, burst });
            }
            Algorithm::FixedWindow => "fixed_window",
            Algorithm::SlidingWindow => "sliding_window",
            Algorithm::SlidingWindowLog => "sliding_window_log",
            Algorithm::LeakyBucket => {
                let why = "requests wait in one process only".to_owned();
                return bad("algorithm", why, "write gcra, or scope: process");
            }
        };
        if algorithm == Algorithm::SlidingWindowLog && count > MOST_ENTRIES {
            let why = format!("a log of {count} times is above the most, {MOST_ENTRIES}");
            return bad("rate", why, "write algorithm: sliding_window");
        }
        let window = period_ns / MICRO;
        if u128::from(window) * u128::from(count) > LONGEST {
            let why = "so many in so long a window cannot be counted exactly".to_owned();
            return bad("rate", why, "write a shorter window");
        }
        Ok(Self::Window {
            name,
            window,
            limit: count,
        })
    }

    /// The script's name and its arguments. All of them fit the 2^53 of a number in a script.
    pub(super) fn call(&self, cost: u64) -> (&'static str, Vec<i64>) {
        let cost = cost as i64;
        match *self {
            // No slack, all or nothing, nothing admitted before.
            Self::Gcra { interval, burst } => {
                let args = vec![interval as i64, burst as i64, 0, cost, cost, 0, 0];
                ("gcra", args)
            }
            Self::Window {
                name,
                window,
                limit,
            } => (name, vec![window as i64, limit as i64, cost]),
        }
    }

    /// By which number and which two arguments `several.lua` knows it.
    pub(super) fn among_several(&self) -> [i64; 3] {
        match *self {
            Self::Gcra { interval, burst } => [1, interval as i64, burst as i64],
            Self::Window {
                name,
                window,
                limit,
            } => {
                let which = match name {
                    "fixed_window" => 2,
                    "sliding_window" => 3,
                    _ => 4,
                };
                [which, window as i64, limit as i64]
            }
        }
    }

    /// How many numbers its answer has.
    pub(super) fn answers(&self) -> usize {
        match self {
            Self::Gcra { .. } => 3,
            Self::Window { .. } => 4,
        }
    }

    /// What the script's answer means for a request of `cost`; none if it is no answer of this script.
    pub(super) fn read(&self, values: &[i64], cost: u64) -> Option<Stored> {
        let whole = |n: i64| u64::try_from(n).ok();
        let nanos = |us: i64| Some(whole(us)?.saturating_mul(MICRO));
        match *self {
            Self::Gcra { interval, burst } => {
                let [granted, ahead, retry] = *values else {
                    return None;
                };
                let (granted, ahead) = (whole(granted)?, nanos(ahead)?);
                // It was rounded up to whole microseconds.
                let used = ahead.saturating_sub(MICRO - 1).div_ceil(interval);
                let more = ahead.saturating_sub(used.saturating_sub(1) * interval);
                Some(Stored {
                    admits: granted >= cost,
                    left: burst.saturating_sub(used),
                    more: if used > 0 { more } else { 0 },
                    reset: ahead,
                    retry: nanos(retry)?,
                })
            }
            Self::Window { limit, .. } => {
                let [granted, used, reset, retry] = *values else {
                    return None;
                };
                let reset = nanos(reset)?;
                Some(Stored {
                    admits: whole(granted)? >= cost,
                    left: limit.saturating_sub(whole(used)?),
                    more: reset,
                    reset,
                    retry: nanos(retry)?,
                })
            }
        }
    }
}

/// What names a limit in the store: the same in every process that has it, and no other limit's.
pub(super) fn identity_of(text: &str) -> [u8; 8] {
    let mut identity = [0; 8];
    identity.copy_from_slice(&Sha256::digest(text)[..8]);
    identity
}

/// See [`store::key`]. What clients choose goes through SHA-256.
pub(super) fn key_of(
    prefix: &str,
    identity: &[u8; 8],
    keys: &LimitKeys,
    client: &Client,
    req: &Head,
) -> Vec<u8> {
    let (high, low) = digest_of(keys, client, req);
    let digest = [high.to_be_bytes(), low.to_be_bytes()].concat();
    store::key(prefix, identity, &digest)
}

/// `PREFIX:{FILTER-COMMON}:LIMIT-KEY`, of one limit of several that are asked about at once: so their keys are in one place of a
/// cluster. `common` is what the keys of all of them have in common; with nothing, all that the filter counts is in one place.
pub(super) fn key_among(
    prefix: &str,
    (filter, common): (&[u8; 8], &LimitKeys),
    (identity, keys): (&[u8; 8], &LimitKeys),
    client: &Client,
    req: &Head,
) -> Vec<u8> {
    let (filter, limit) = (u64::from_be_bytes(*filter), u64::from_be_bytes(*identity));
    let ((a, b), (high, low)) = (digest_of(common, client, req), digest_of(keys, client, req));
    format!("{prefix}:{{{filter:016x}-{a:016x}{b:016x}}}:{limit:016x}-{high:016x}{low:016x}")
        .into_bytes()
}

/// What the store knows a client's values by: 128 bits of SHA-256.
fn digest_of(keys: &LimitKeys, client: &Client, req: &Head) -> (u64, u64) {
    let half = |from: usize| {
        keys.hash(client, req, |bytes| {
            let digest = Sha256::digest(bytes);
            let mut word = [0; 8];
            word.copy_from_slice(&digest[from..from + 8]);
            u64::from_be_bytes(word)
        })
    };
    (half(0), half(8))
}

/// A call of the store in force, about this key.
pub(super) fn store_call(
    cx: &Cx<'_>,
    script: &'static str,
    key: Vec<u8>,
    args: Vec<i64>,
) -> StoreCall {
    let redis = cx.snapshot.config.store.redis();
    StoreCall {
        script,
        key,
        more: Vec::new(),
        args,
        timeout: redis.map_or(0, |r| r.timeout.nanos()),
    }
}

/// Nanoseconds.
const MICRO: u64 = 1000;
/// What scripts compute fits 2^53.
const LONGEST: u128 = 1 << 51;
const MOST_ENTRIES: u64 = 1024;
