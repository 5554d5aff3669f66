//! A rate limit of many keys, as the gateway's own.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;
use std::time::Instant;

use algo::{Decision, GcraTable};
use napi_derive::napi;

use super::{bytes, whole, Bytes, SAFE};
use crate::error::{error, Result};

/// A rate: `count` in every `periodMs`.
#[napi(object)]
pub struct GcraOptions {
    /// How many in a period.
    pub count: f64,
    /// The period, in milliseconds.
    pub period_ms: f64,
    /// How many of these may come at one instant. Default: `count`.
    pub burst: Option<f64>,
    /// For how many keys there is room, 16 bytes each; memory grows with use. Default: 65 536, at most
    /// 67 108 864. When there are more, the keys that are closest to being idle share what they owe: a
    /// flood of keys never resets one.
    pub max_keys: Option<f64>,
}

/// What a limit says.
#[napi(object)]
pub struct GcraDecision {
    /// Is it within the rate? Only then it was counted.
    pub allowed: bool,
    /// How many more of cost 1 would be allowed now.
    pub remaining: f64,
    /// Milliseconds until this cost would be allowed, rounded up; 0 if it was, `Infinity` if it is above
    /// the burst.
    pub retry_after_ms: f64,
    /// Milliseconds until the key has its whole burst again, rounded up.
    pub reset_after_ms: f64,
}

/// A rate limit of many keys (GCRA, ITU-T I.371), the one behind the filter `rate_limit`. Its keys are
/// this object's own: another object, in this thread or in another, counts for itself.
#[napi]
pub struct Gcra {
    rate: algo::Gcra,
    table: GcraTable,
}

#[napi]
impl Gcra {
    /// Throws `bad_rate`, `bad_capacity`.
    #[napi(constructor, catch_unwind)]
    pub fn new(options: GcraOptions) -> Result<Self> {
        let bad = |why: algo::BadRate| error("bad_rate", why);
        let count = whole("bad_rate", "count", options.count, SAFE)?;
        let burst = options.burst.unwrap_or(options.count);
        let burst = whole("bad_rate", "burst", burst, SAFE)?;
        let period = nanos("bad_rate", "periodMs", options.period_ms)?;
        let keys = match options.max_keys {
            None => GcraTable::DEFAULT_CAPACITY,
            Some(keys) => whole(
                "bad_capacity",
                "maxKeys",
                keys,
                GcraTable::MAX_CAPACITY as u64,
            )? as usize,
        };
        Ok(Self {
            rate: algo::Gcra::new(count, period, burst).map_err(bad)?,
            table: GcraTable::new(keys, random()).map_err(|why| error("bad_capacity", why))?,
        })
    }

    /// Decides for a key, and counts `cost` (default 1) if it is allowed. A cost of 0 asks only.
    ///
    /// `nowMs`, for tests, is the time in milliseconds since any start, in place of the clock: all calls
    /// of an object give it or none. Throws `bad_argument` for a cost that is no whole number and for a
    /// time outside 0 to 10^13.
    #[napi(
        catch_unwind,
        ts_args_type = "key: string | Uint8Array, cost?: number, nowMs?: number"
    )]
    pub fn check(
        &self,
        key: Bytes,
        cost: Option<f64>,
        now_ms: Option<f64>,
    ) -> Result<GcraDecision> {
        let cost = whole("bad_argument", "cost", cost.unwrap_or(1.0), SAFE)?;
        let now = match now_ms {
            Some(ms) => nanos("bad_argument", "nowMs", ms)?,
            None => START.elapsed().as_nanos() as u64, // 584 years
        };
        let key = self.table.hash(bytes(&key));
        let told = |allowed, remaining: u64, retry: f64, reset| GcraDecision {
            allowed,
            remaining: remaining as f64,
            retry_after_ms: retry,
            reset_after_ms: millis(reset),
        };
        Ok(match self.table.decide(key, &self.rate, now, cost) {
            Decision::Admit {
                remaining,
                reset_after,
                ..
            } => told(true, remaining, 0.0, reset_after),
            Decision::Refuse {
                retry_after,
                remaining,
                reset_after,
            } => told(false, remaining, millis(retry_after), reset_after),
            Decision::Never => match self.table.decide(key, &self.rate, now, 0) {
                Decision::Admit {
                    remaining,
                    reset_after,
                    ..
                } => told(false, remaining, f64::INFINITY, reset_after),
                // Cost 0 is always admitted.
                Decision::Refuse { .. } | Decision::Never => told(false, 0, f64::INFINITY, 0),
            },
        })
    }
}

fn millis(nanos: u64) -> f64 {
    nanos.div_ceil(1_000_000) as f64
}

fn nanos(code: &'static str, name: &str, ms: f64) -> Result<u64> {
    if (0.0..=LATEST_MS).contains(&ms) {
        return Ok((ms * 1e6).round() as u64);
    }
    let why = format!("{name} must be 0 to {LATEST_MS} milliseconds, and is {ms}");
    Err(error(code, why))
}

/// Random keys are what the standard library protects its own maps with.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// 317 years; its nanoseconds fit 64 bits.
const LATEST_MS: f64 = 1e13;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
