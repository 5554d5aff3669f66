//! Values that carry their unit: `30s`, `8KiB`, `100/s`.
//!
//! Units:  [`Duration`] is nanoseconds, [`Size`] bytes, [`Rate`] a count in nanoseconds.
//! Errors: a [`Why`]; a number without a unit is refused, since everyone reads it differently.
//! Bounds: a duration is 1 ms to 30 d, a size 0 B to 1 TiB, a rate 1/h to 1000000/s.
//! Source: IEC 80000-13 (KiB).

use std::fmt;

use super::fault::{quote, Why};
use super::text::text;

pub use super::cidr::Cidr;

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u64);

text!(
    Duration,
    "a duration such as 30s",
    r"^[0-9]+(ms|s|m|h|d)$",
    "A length of time: a whole number and `ms`, `s`, `m`, `h` or `d`; 1ms to 30d."
);

impl Duration {
    /// A default in milliseconds.
    pub const fn ms(number: u64) -> Self {
        Self(number * MS)
    }

    /// A default in seconds.
    pub const fn secs(number: u64) -> Self {
        Self(number * SECOND)
    }

    /// The length in nanoseconds.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// A whole number and a unit.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let not = || {
            Why::new(
                format!("{} is not a duration", quote(text)),
                "write a duration such as 250ms, 30s, 5m or 1h",
            )
        };
        let (number, unit) = split(text).ok_or_else(not)?;
        let Some(unit) = period(unit) else {
            return Err(match unit {
                "" => Why::new(
                    format!("{} has no unit", quote(text)),
                    format!("write {number}s or {number}ms"),
                ),
                _ => not(),
            });
        };
        match number.checked_mul(unit) {
            Some(nanos) if nanos > LONGEST => None,
            Some(nanos) if nanos < MS => {
                return Err(Why::new(
                    format!("{} is below the least duration, 1ms", quote(text)),
                    "write 1ms or more",
                ))
            }
            other => other,
        }
        .map(Self)
        .ok_or_else(|| {
            Why::new(
                format!("{} is above the most, 30d", quote(text)),
                "write 30d or less",
            )
        })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = PERIODS
            .into_iter()
            .find(|(unit, _)| self.0.is_multiple_of(*unit))
            .unwrap_or((1, "ns"));
        write!(f, "{}{name}", self.0 / unit)
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

text!(
    Size,
    "a size such as 8KiB",
    r"^[0-9]+(B|KiB|MiB|GiB|TiB)$",
    "A number of bytes: a whole number and `B`, `KiB`, `MiB`, `GiB` or `TiB`; at most 1TiB."
);

impl Size {
    /// A default in units of 1024 bytes.
    pub const fn kib(number: u64) -> Self {
        Self(number * 1024)
    }

    /// A bound or default in bytes.
    pub const fn bytes_of(number: u64) -> Self {
        Self(number)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// A whole number and a unit.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let not = || {
            Why::new(
                format!("{} is not a size", quote(text)),
                "write a size such as 512B, 8KiB or 1MiB",
            )
        };
        let (number, unit) = split(text).ok_or_else(not)?;
        let unit = match SIZES.iter().find(|(_, name)| *name == unit) {
            Some((unit, _)) => *unit,
            None if unit.is_empty() => {
                return Err(Why::new(
                    format!("{} has no unit", quote(text)),
                    format!("write {number}B or {number}KiB"),
                ))
            }
            None => {
                let meant = SIZES.iter().find(|(_, name)| {
                    let (given, letter) =
                        (unit.to_ascii_lowercase(), name[..1].to_ascii_lowercase());
                    given.starts_with(&letter)
                });
                return Err(match meant {
                    Some((_, name)) => Why::new(not().why, format!("write {number}{name}")),
                    None => not(),
                });
            }
        };
        match number.checked_mul(unit) {
            Some(bytes) if bytes <= LARGEST => Ok(Self(bytes)),
            _ => Err(Why::new(
                format!("{} is above the most, 1TiB", quote(text)),
                "write 1TiB or less",
            )),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |&(unit, _): &(u64, &str)| self.0 > 0 && self.0.is_multiple_of(unit);
        let (unit, name) = SIZES.into_iter().find(fits).unwrap_or((1, "B"));
        write!(f, "{}{name}", self.0 / unit)
    }
}

/// So many in such a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many, at least 1.
    pub count: u64,
    /// In how many nanoseconds.
    pub period_ns: u64,
}

text!(
    Rate,
    "a rate such as 100/s",
    r"^[0-9]+/[0-9]*(ms|s|m|h|d)$",
    "So many in a time: `100/s`, `5/m`, `1000/10s`; 1/h to 1000000/s."
);

impl Rate {
    /// A count, a slash, and a unit of time with or without a number.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let not = || {
            Why::new(
                format!("{} is not a rate", quote(text)),
                "write a rate such as 100/s, 5/m or 1000/10s",
            )
        };
        let (count, time) = text.split_once('/').ok_or_else(not)?;
        let count = number(count).ok_or_else(not)?;
        let (times, unit) = split(time).unwrap_or((1, time));
        let unit = period(unit).ok_or_else(not)?;
        let period_ns = times
            .checked_mul(unit)
            .filter(|&p| p > 0 && p <= LONGEST)
            .ok_or_else(|| {
                Why::new(
                    format!("{} counts over more than 30d or no time", quote(text)),
                    "write a time from 1ms to 30d",
                )
            })?;
        let (count_wide, period_wide) = (u128::from(count), u128::from(period_ns));
        if count_wide * u128::from(HOUR) < period_wide {
            let why = format!("{} is below the least rate, 1/h", quote(text));
            return Err(Why::new(
                why,
                if count == 0 {
                    "remove the filter to lift the limit"
                } else {
                    "write 1/h or more"
                },
            ));
        }
        if count_wide * u128::from(SECOND) > period_wide * u128::from(FASTEST) {
            let why = format!("{} is above the greatest rate, 1000000/s", quote(text));
            return Err(Why::new(why, "remove the filter to lift the limit"));
        }
        Ok(Self { count, period_ns })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = Duration(self.period_ns).to_string();
        let period = match split(&period) {
            Some((1, unit)) => unit.to_owned(),
            _ => period,
        };
        write!(f, "{}/{period}", self.count)
    }
}

/// `30s` as 30 and `s`; nothing where no number leads.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    Some((number(&text[..end])?, &text[end..]))
}

/// Digits only: `str::parse` would take a plus sign too.
pub(crate) fn number(digits: &str) -> Option<u64> {
    let all = digits.bytes().all(|b| b.is_ascii_digit());
    all.then(|| digits.parse().ok()).flatten()
}

fn period(unit: &str) -> Option<u64> {
    PERIODS
        .iter()
        .find(|(_, name)| *name == unit)
        .map(|(nanos, _)| *nanos)
}

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
const HOUR: u64 = 3600 * SECOND;
const LONGEST: u64 = 30 * 24 * HOUR;
const LARGEST: u64 = 1 << 40;
/// Per second.
const FASTEST: u64 = 1_000_000;
/// The largest first, so that a value is written with the largest unit that divides it.
const PERIODS: [(u64, &str); 5] = [
    (24 * HOUR, "d"),
    (HOUR, "h"),
    (60 * SECOND, "m"),
    (SECOND, "s"),
    (MS, "ms"),
];
const SIZES: [(u64, &str); 5] = [
    (1 << 40, "TiB"),
    (1 << 30, "GiB"),
    (1 << 20, "MiB"),
    (1 << 10, "KiB"),
    (1, "B"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, nanos, canonical) in [
            ("250ms", 250 * MS, "250ms"),
            ("10s", 10 * SECOND, "10s"),
            ("60s", 60 * SECOND, "1m"),
            ("90s", 90 * SECOND, "90s"),
            ("1h", HOUR, "1h"),
            ("30d", LONGEST, "30d"),
        ] {
            let read = Duration::parse(text).expect(text);
            assert_eq!(
                (read.nanos(), read.to_string().as_str()),
                (nanos, canonical)
            );
        }
        for (text, why, fix) in [
            (
                "0s",
                "\"0s\" is below the least duration, 1ms",
                "write 1ms or more",
            ),
            ("31d", "\"31d\" is above the most, 30d", "write 30d or less"),
            (
                "99999999999999999999s",
                "\"99999999999999999999s\" is not a duration",
                "write a duration such as 250ms, 30s, 5m or 1h",
            ),
            (
                "18446744073709551615d",
                "\"18446744073709551615d\" is above the most, 30d",
                "write 30d or less",
            ),
            ("30", "\"30\" has no unit", "write 30s or 30ms"),
            (
                "+3s",
                "\"+3s\" is not a duration",
                "write a duration such as 250ms, 30s, 5m or 1h",
            ),
            (
                "3 s",
                "\"3 s\" is not a duration",
                "write a duration such as 250ms, 30s, 5m or 1h",
            ),
        ] {
            assert_eq!(Duration::parse(text), Err(Why::new(why, fix)));
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes, canonical) in [
            ("0B", 0, "0B"),
            ("512B", 512, "512B"),
            ("8KiB", 8192, "8KiB"),
            ("1024KiB", 1 << 20, "1MiB"),
            ("1TiB", 1 << 40, "1TiB"),
        ] {
            let read = Size::parse(text).expect(text);
            assert_eq!(
                (read.bytes(), read.to_string().as_str()),
                (bytes, canonical)
            );
        }
        for (text, fix) in [
            ("8KB", "write 8KiB"),
            ("8k", "write 8KiB"),
            ("1mb", "write 1MiB"),
            ("8", "write 8B or 8KiB"),
            ("-1B", "write a size such as 512B, 8KiB or 1MiB"),
            ("2TiB", "write 1TiB or less"),
        ] {
            assert_eq!(Size::parse(text).expect_err(text).fix, fix, "{text}");
        }
    }

    #[test]
    fn rates() {
        for (text, count, period_ns, canonical) in [
            ("100/s", 100, SECOND, "100/s"),
            ("5/m", 5, 60 * SECOND, "5/m"),
            ("1/h", 1, HOUR, "1/h"),
            ("1000/10s", 1000, 10 * SECOND, "1000/10s"),
            ("60/60s", 60, 60 * SECOND, "60/m"),
            ("1000000/s", 1_000_000, SECOND, "1000000/s"),
            ("24/d", 24, 24 * HOUR, "24/d"),
        ] {
            let read = Rate::parse(text).expect(text);
            assert_eq!(
                (read, read.to_string().as_str()),
                (Rate { count, period_ns }, canonical)
            );
        }
        for (text, why, fix) in [
            (
                "0/s",
                "\"0/s\" is below the least rate, 1/h",
                "remove the filter to lift the limit",
            ),
            (
                "1/d",
                "\"1/d\" is below the least rate, 1/h",
                "write 1/h or more",
            ),
            (
                "1000001/s",
                "\"1000001/s\" is above the greatest rate, 1000000/s",
                "remove the filter to lift the limit",
            ),
            (
                "10",
                "\"10\" is not a rate",
                "write a rate such as 100/s, 5/m or 1000/10s",
            ),
            (
                "10/",
                "\"10/\" is not a rate",
                "write a rate such as 100/s, 5/m or 1000/10s",
            ),
            (
                "10/0s",
                "\"10/0s\" counts over more than 30d or no time",
                "write a time from 1ms to 30d",
            ),
        ] {
            assert_eq!(Rate::parse(text), Err(Why::new(why, fix)));
        }
    }
}
