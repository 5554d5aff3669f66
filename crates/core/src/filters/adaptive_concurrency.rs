//! adaptive_concurrency: lets as many requests be in flight as the upstream bears, which it learns from how long it takes.
//!
//! Config:  `{ use: adaptive_concurrency }`
//! Reads:   how long responses take to begin.
//! Asks:    nothing: the limit and the count are this process's own, for all its threads together.
//! Replies: 503 `adaptive_concurrency` with Retry-After: 1 if the limit is reached.
//! Fails:   never open. Nothing has gone to an upstream when it refuses. What was learned, and what is in flight, survive a
//!          reload that keeps this filter's place.
//! Source:  Envoy's adaptive concurrency filter (gradient controller): its formula and defaults. Its minimum is measured at a
//!          concurrency of 3, and refuses the rest for as long; here it is under half the limit, for ten times what
//!          requests took of late, from 100 ms to 10 s.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use algo::{Gradient, GradientSettings};
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::Build;
use crate::config::text::Whole;
use crate::config::units::Duration;
use crate::filter::{Cx, Filter, Needs, Occupancy, Outcome, Verdict};
use crate::reply::Reply;

/// Lets as many requests be in flight as the upstream bears, which it learns from how long it takes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The least limit. Default: 3.
    #[serde(default = "min")]
    pub min: Whole<1, 1_000_000>,
    /// The most, at least `min`. Default: 1000.
    #[serde(default = "max")]
    pub max: Whole<1, 1_000_000>,
    /// The limit until enough is known, at the start; brought within `min` and `max`. Default: 20.
    #[serde(default = "initial")]
    pub initial: Whole<1, 1_000_000>,
    /// How much longer than an unloaded upstream takes is still good, in percent. Default: 25.
    #[serde(default = "buffer")]
    pub buffer_percent: Whole<0, 1000>,
    /// How often the limit changes, at most. Default: 100ms.
    #[serde(default = "window")]
    pub window: Duration,
    /// How often it is measured how long the unloaded upstream takes. Default: 1m.
    #[serde(default = "interval")]
    pub interval: Duration,
    /// The most that an interval is longer, at random, so that gateways do not measure at once; in percent. Default: 15.
    #[serde(default = "jitter")]
    pub jitter_percent: Whole<0, 100>,
}

fn min() -> Whole<1, 1_000_000> {
    Whole::of(3)
}

fn max() -> Whole<1, 1_000_000> {
    Whole::of(1000)
}

fn initial() -> Whole<1, 1_000_000> {
    Whole::of(20)
}

fn buffer() -> Whole<0, 1000> {
    Whole::of(25)
}

fn window() -> Duration {
    Duration::ms(100)
}

fn interval() -> Duration {
    Duration::secs(60)
}

fn jitter() -> Whole<0, 100> {
    Whole::of(15)
}

/// The filter.
pub struct AdaptiveConcurrency {
    state: Arc<State>,
    settings: GradientSettings,
}

struct State {
    gradient: Mutex<Gradient>,
    refused: AtomicU64,
}

impl State {
    fn gradient(&self) -> MutexGuard<'_, Gradient> {
        // Numbers only: good after a panic.
        self.gradient.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AdaptiveConcurrency {
    /// From its config, if its bounds are in order.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let (min, max) = (config.min.get() as u32, config.max.get() as u32);
        if max < min {
            let why = format!("{max} is less than min, {min}");
            b.fault("max", why, "write a number that is not less than min");
            return None;
        }
        let settings = GradientSettings {
            min,
            max,
            initial: config.initial.get() as u32,
            buffer: config.buffer_percent.get() as f64 / 100.0,
            window: config.window.nanos(),
            interval: config.interval.nanos(),
            jitter: config.jitter_percent.get() as f64 / 100.0,
        };
        let made = || State {
            gradient: Mutex::new(Gradient::new(settings)),
            refused: AtomicU64::new(0),
        };
        let identity = format!("adaptive_concurrency:{}:{}", b.ordinal, b.route);
        let state = match b.shared {
            Some(shared) => shared.kept(&identity, made),
            None => Arc::new(made()),
        };
        Some(Self { state, settings })
    }
}

/// A slot, given back when this is dropped.
struct Held(Arc<State>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.gradient().finish();
    }
}

impl Filter for AdaptiveConcurrency {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            response: true,
            done: true,
            ..Needs::default()
        }
    }

    fn occupancy(&self) -> Option<Occupancy> {
        let gradient = self.state.gradient();
        Some(Occupancy {
            filter: "adaptive_concurrency",
            key: "route".to_owned(),
            in_flight: gradient.in_flight().into(),
            queued: 0,
            limit: gradient.limit().into(),
            refused: vec![(CODE, self.state.refused.load(Relaxed))],
        })
    }

    fn on_request(&self, cx: &mut Cx<'_>, _: &mut Head) -> Verdict {
        let random = cx.rng.next_u64();
        let mut gradient = self.state.gradient();
        // Those of the config in force for this request: a reload may have changed them.
        gradient.set(self.settings);
        let starts = gradient.start(cx.now, random);
        drop(gradient);
        if !starts {
            self.state.refused.fetch_add(1, Relaxed);
            let why = "As many requests are in flight as the upstream bears.";
            let reply = Reply::problem(503, CODE, why).with("retry-after", "1");
            return Verdict::Reply(Box::new(reply));
        }
        cx.slot.words[0] = cx.now;
        cx.slot.any = Some(Box::new(Held(self.state.clone())));
        Verdict::Next
    }

    fn on_response(&self, cx: &mut Cx<'_>, _: &Head, rsp: &mut Head) -> Verdict {
        // What fails does so faster than what is served; but for what took too long.
        let counts = rsp.status() < 500 || rsp.status() == 504;
        if counts && cx.slot.any.is_some() {
            let random = cx.rng.next_u64();
            let began = cx.slot.words[0];
            self.state.gradient().sample(cx.now, began, random);
        }
        Verdict::Next
    }

    fn on_done(&self, cx: &mut Cx<'_>, _: &Outcome) {
        cx.slot.any = None;
    }
}

const CODE: &str = "adaptive_concurrency";

#[cfg(test)]
#[path = "adaptive_concurrency_tests.rs"]
mod tests;
