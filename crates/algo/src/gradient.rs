//! How many requests at a time an upstream bears: a limit that follows how long it takes.
//!
//! The time of an unloaded upstream, the *minimum*, is compared with the median of each window. `gradient = minimum × (1 +
//! buffer) / median`, within 0.5 and 2; the limit becomes `limit × gradient`, and room for a burst, the square root of that.
//! A limit that is not half used does not grow: what was never tried is not known to be good. Of a window count requests
//! that began in it, so that the limit never moves faster than its effect is seen.
//!
//! **The minimum** is the median of [`PROBE_SAMPLES`] requests under half the limit, taken once an interval and after
//! [`FLOOR_WINDOWS`] windows at the least limit. Half is enough: at rest the limit is a quarter and a square root above what the
//! upstream serves without queueing. A probe ends after ten times what requests took of late, within [`PROBE_LEAST`] and [`PROBE_MOST`], whatever
//! was seen, so the limit is not held down for long. One that finds a much shorter time is followed by another at once. A
//! window whose median is below the minimum lowers it without a probe.
//!
//! Source: Envoy's gradient controller (its formula, its defaults), but for the probe, which pins that one's limit to 3.
//! Errors: none; numbers are brought into their bounds.
//! Bounds: [`MOST_SAMPLES`] samples of 8 bytes; of a window that has more, the first. No allocation after the constructor.

/// What a [`Gradient`] goes by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The least limit, at least 1.
    pub min: u32,
    /// The most.
    pub max: u32,
    /// The limit until a minimum is known.
    pub initial: u32,
    /// How much longer than the minimum is still good, as a part of it.
    pub buffer: f64,
    /// Nanoseconds between two changes of the limit.
    pub window: u64,
    /// Nanoseconds between two probes.
    pub interval: u64,
    /// The most that is added to an interval at random, as a part of it.
    pub jitter: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min: 3,
            max: 1000,
            initial: 20,
            buffer: 0.25,
            window: 100_000_000,
            interval: 60_000_000_000,
            jitter: 0.15,
        }
    }
}

/// A limit that follows how long an upstream takes. See the module.
#[derive(Clone, Debug)]
pub struct Gradient {
    settings: Settings,
    limit: f64,
    minimum: Option<u64>,
    /// The median of the last window, or of the last probe.
    recent: u64,
    in_flight: u32,
    /// The most at a time in this window.
    peak: u32,
    samples: Vec<u64>,
    window_ends: Option<u64>,
    /// Since when the limit has been what it is; what began before met another.
    since: Option<u64>,
    probe: Option<Probe>,
    next_probe: u64,
    at_floor: u32,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    until: u64,
    limit: u32,
}

impl Gradient {
    /// A limit that knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        let settings = within(settings);
        Self {
            settings,
            limit: f64::from(settings.initial),
            minimum: None,
            recent: 0,
            in_flight: 0,
            peak: 0,
            samples: Vec::with_capacity(MOST_SAMPLES),
            window_ends: None,
            since: None,
            probe: None,
            next_probe: 0,
            at_floor: 0,
        }
    }

    /// Goes by others from here on; what was learned stays.
    pub fn set(&mut self, settings: Settings) {
        let settings = within(settings);
        if settings == self.settings {
            return;
        }
        self.settings = settings;
        let (min, max) = (self.settings.min.into(), self.settings.max.into());
        self.limit = self.limit.clamp(min, max);
    }

    /// How many may be in flight now.
    pub fn limit(&self) -> u32 {
        let limit = self.limit as u32;
        self.probe.map_or(limit, |p| p.limit.min(limit))
    }

    /// How many are in flight.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// How long the upstream takes unloaded, nanoseconds; none while it is not known.
    pub fn minimum(&self) -> Option<u64> {
        self.minimum
    }

    /// True while a minimum is looked for under a lower limit.
    pub fn is_probing(&self) -> bool {
        self.probe.is_some()
    }

    /// Lets one more begin; false if as many as may are in flight.
    pub fn start(&mut self, now: u64, random: u64) -> bool {
        self.turn(now, random);
        if self.in_flight >= self.limit() {
            self.peak = self.peak.max(self.in_flight);
            return false;
        }
        self.in_flight += 1;
        self.peak = self.peak.max(self.in_flight);
        true
    }

    /// One that began at `began` was answered now.
    pub fn sample(&mut self, now: u64, began: u64, random: u64) {
        self.turn(now, random);
        let counts = self.since.is_none_or(|since| began > since);
        if counts && self.samples.len() < MOST_SAMPLES {
            self.samples.push(now.saturating_sub(began).max(1));
        }
        self.turn(now, random);
    }

    /// One has ended, answered or not: once for each that began.
    pub fn finish(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Does what is due.
    fn turn(&mut self, now: u64, random: u64) {
        if self.minimum.is_none() {
            if self.samples.len() >= PROBE_SAMPLES {
                self.learn(now, random);
            }
            return;
        }
        if let Some(probe) = self.probe {
            if self.samples.len() >= PROBE_SAMPLES || now >= probe.until {
                self.learn(now, random);
            }
            return;
        }
        if now >= self.next_probe {
            self.begin_probe(now);
            return;
        }
        let ends = *self.window_ends.get_or_insert(now + self.settings.window);
        if now >= ends && self.samples.len() >= LEAST_SAMPLES {
            self.adjust(now);
        }
    }

    fn begin_probe(&mut self, now: u64) {
        let long = self.recent.saturating_mul(10);
        let half = (self.limit / 2.0) as u32;
        self.probe = Some(Probe {
            until: now.saturating_add(long.clamp(PROBE_LEAST, PROBE_MOST)),
            limit: half.max(self.settings.min),
        });
        self.since = Some(now);
        self.samples.clear();
    }

    /// Ends a probe with what it saw.
    fn learn(&mut self, now: u64, random: u64) {
        let mut wait = self.settings.interval;
        if self.samples.len() >= LEAST_SAMPLES {
            let found = self.median();
            // It was under load before; it may be still.
            let shorter = |old: u64| found < old - old / 10;
            if self.minimum.is_none_or(shorter) {
                wait = wait.min(self.settings.window.saturating_mul(10));
            }
            self.minimum = Some(found);
        }
        let part = (random >> 11) as f64 / (1u64 << 53) as f64;
        let jitter = (wait as f64 * self.settings.jitter * part) as u64;
        self.next_probe = now.saturating_add(wait).saturating_add(jitter);
        self.probe = None;
        self.begin_window(now);
    }

    fn adjust(&mut self, now: u64) {
        let median = self.median();
        let minimum = self.minimum.unwrap_or(median).min(median);
        self.minimum = Some(minimum);
        let Settings {
            min, max, buffer, ..
        } = self.settings;
        let gradient = (minimum as f64 * (1.0 + buffer) / median as f64).clamp(0.5, 2.0);
        let base = self.limit * gradient;
        let next = (base + base.sqrt()).clamp(min.into(), max.into());
        if next <= self.limit || f64::from(self.peak) * 2.0 >= self.limit {
            self.limit = next;
        }
        let floored = self.limit as u32 <= min && gradient < 1.0;
        self.at_floor = if floored { self.at_floor + 1 } else { 0 };
        if self.at_floor >= FLOOR_WINDOWS {
            self.at_floor = 0;
            self.next_probe = now;
        }
        self.begin_window(now);
    }

    fn begin_window(&mut self, now: u64) {
        self.samples.clear();
        self.peak = self.in_flight;
        self.since = Some(now);
        self.window_ends = Some(now.saturating_add(self.settings.window));
    }

    fn median(&mut self) -> u64 {
        let mid = self.samples.len() / 2;
        let (_, median, _) = self.samples.select_nth_unstable(mid);
        self.recent = *median;
        *median
    }
}

fn within(s: Settings) -> Settings {
    let min = s.min.max(1);
    let max = s.max.max(min);
    let part = |x: f64| if x.is_finite() { x.max(0.0) } else { 0.0 };
    Settings {
        min,
        max,
        initial: s.initial.clamp(min, max),
        buffer: part(s.buffer),
        window: s.window.max(1),
        interval: s.interval.max(1),
        jitter: part(s.jitter),
    }
}

/// Requests that a minimum is the median of.
pub const PROBE_SAMPLES: usize = 50;
/// Requests without which nothing is concluded.
pub const LEAST_SAMPLES: usize = 5;
/// Requests of a window that are looked at.
pub const MOST_SAMPLES: usize = 1024;
/// Windows at the least limit after which the minimum is doubted.
pub const FLOOR_WINDOWS: u32 = 5;
/// The shortest time that a probe may take, nanoseconds.
pub const PROBE_LEAST: u64 = 100_000_000;
/// The longest.
pub const PROBE_MOST: u64 = 10_000_000_000;

#[cfg(test)]
#[path = "gradient_tests.rs"]
mod tests;
