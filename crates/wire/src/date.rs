//! Dates as HTTP writes them.
//!
//! Source: RFC 9110 section 5.6.7 (IMF-fixdate; the two older forms are read, never written). The calendar is the proleptic Gregorian one, by
//! counting days in eras of 400 years.
//! Units: seconds since 1970-01-01T00:00:00Z. Bound: the year has four digits; later times are
//! written as the last second of 9999.

/// `Sun, 06 Nov 1994 08:49:37 GMT`
pub fn imf_fixdate(unix_secs: u64) -> [u8; 29] {
    let secs = unix_secs.min(LAST);
    let days = secs / 86_400;
    let second = secs % 86_400;
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 00 Jan 0000 00:00:00 GMT";
    // 1970-01-01 was a Thursday.
    text[..3].copy_from_slice(&DAYS[(days % 7) as usize]);
    two(&mut text[5..7], day);
    text[8..11].copy_from_slice(&MONTHS[month as usize - 1]);
    two(&mut text[12..14], year / 100);
    two(&mut text[14..16], year % 100);
    two(&mut text[17..19], second / 3600);
    two(&mut text[20..22], second / 60 % 60);
    two(&mut text[23..25], second % 60);
    text
}

/// Reads a date in any of the three forms of HTTP; none for what is no date, or one before 1970. The name of the day is not
/// compared with the date. `now` says which century a year of two digits means: not more than 50 years ahead.
pub fn parse(text: &[u8], now: u64) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let (day_name, rest) = text.split_once(' ')?;
    let (day, month, year, time) = match day_name.strip_suffix(',') {
        // `Sunday, 06-Nov-94 08:49:37 GMT`
        Some(_) if rest.as_bytes().get(2) == Some(&b'-') => {
            let (date, time) = rest.strip_suffix(" GMT")?.split_once(' ')?;
            let mut parts = date.splitn(3, '-');
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            (day, month, full_year(digits(year, 2)?, now), time)
        }
        // `Sun, 06 Nov 1994 08:49:37 GMT`
        Some(_) => {
            let mut parts = rest.strip_suffix(" GMT")?.splitn(4, ' ');
            let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
            (day, month, digits(year, 4)?, parts.next()?)
        }
        // `Sun Nov  6 08:49:37 1994`
        None => {
            let (month, rest) = rest.split_once(' ')?;
            let (day, rest) = rest.split_at_checked(2)?;
            let (time, year) = rest.strip_prefix(' ')?.split_once(' ')?;
            (day.trim_start(), month, digits(year, 4)?, time)
        }
    };
    let day = digits(day, day.len().clamp(1, 2))?;
    let month = MONTHS.iter().position(|m| m == month.as_bytes())? as u64 + 1;
    let [h1, h2, b':', m1, m2, b':', s1, s2] = *time.as_bytes() else {
        return None;
    };
    let pair = |a: u8, b: u8| {
        (a.is_ascii_digit() && b.is_ascii_digit())
            .then(|| u64::from(a - b'0') * 10 + u64::from(b - b'0'))
    };
    let (hour, minute, second) = (pair(h1, h2)?, pair(m1, m2)?, pair(s1, s2)?);
    let days = days_since(year, month, day)?;
    // 60 is a leap second.
    (hour < 24 && minute < 60 && second <= 60)
        .then_some(days * 86_400 + hour * 3600 + minute * 60 + second)
}

fn digits(text: &str, len: usize) -> Option<u64> {
    let all = text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
    all.then(|| text.parse().ok())?
}

fn full_year(two: u64, now: u64) -> u64 {
    let (this, ..) = civil(now.min(LAST) / 86_400);
    let year = this - this % 100 + two;
    if year > this + 50 {
        year - 100
    } else {
        year
    }
}

/// Days from 1970-01-01 to this one; none if there is no such day, or it is before.
fn days_since(year: u64, month: u64, day: u64) -> Option<u64> {
    if year < 1970 || day == 0 || day > 31 {
        return None;
    }
    // The inverse of `civil`.
    let march_year = if month > 2 { year } else { year - 1 };
    let (era, of_era) = (march_year / 400, march_year % 400);
    let march_month = (month + 9) % 12;
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    let days = era * DAYS_IN_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    let days = days.checked_sub(DAYS_TO_1970)?;
    (civil(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of the month, both from 1, of a day counted from 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years begin with March here, so that the leap day is the last.
    let since = days + DAYS_TO_1970;
    let era = since / DAYS_IN_ERA;
    let of_era = since % DAYS_IN_ERA;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

fn two(out: &mut [u8], value: u64) {
    out[0] = b'0' + (value / 10) as u8;
    out[1] = b'0' + (value % 10) as u8;
}

/// 9999-12-31T23:59:59Z
const LAST: u64 = 253_402_300_799;
/// From 0000-03-01.
const DAYS_TO_1970: u64 = 719_468;
const DAYS_IN_ERA: u64 = 146_097;
const DAYS: [[u8; 3]; 7] = [
    *b"Thu", *b"Fri", *b"Sat", *b"Sun", *b"Mon", *b"Tue", *b"Wed",
];
const MONTHS: [[u8; 3]; 12] = [
    *b"Jan", *b"Feb", *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct",
    *b"Nov", *b"Dec",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        let cases = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (LAST, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (secs, text) in cases {
            let got = imf_fixdate(secs);
            assert_eq!(std::str::from_utf8(&got), Ok(text), "{secs}");
        }
    }

    #[test]
    fn dates_are_read_in_three_forms() {
        const NOW: u64 = 1_800_000_000; // 2027
        for (text, secs) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
            ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
            ("Sun Nov 16 08:49:37 1994", Some(784_975_777)),
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Tuesday, 01-Jan-30 00:00:00 GMT", Some(1_893_456_000)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(LAST)),
            ("Wed, 31 Dec 1969 23:59:59 GMT", None),
            ("Tue, 30 Feb 2021 00:00:00 GMT", None),
            ("Tue, 00 Feb 2021 00:00:00 GMT", None),
            ("Tue, 01 Feb 2021 24:00:00 GMT", None),
            ("Tue, 01 Feb 2021 0:00:00 GMT", None),
            ("Tue, +1 Feb 2021 00:00:00 GMT", None),
            ("Tue, 01 Feb 2021 00:00:00 UTC", None),
            ("Tue, 01 feb 2021 00:00:00 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 GMT ", None),
            ("Sun, ", None),
            ("1800000000", None),
            ("", None),
            ("Sun Nov", None),
            ("Sun Nov \u{e9}1 00:00:00 1994", None),
        ] {
            assert_eq!(parse(text.as_bytes(), NOW), secs, "{text}");
        }
        for secs in (0..LAST).step_by(86_400 * 97 + 3671) {
            assert_eq!(parse(&imf_fixdate(secs), NOW), Some(secs));
        }
        assert_eq!(parse(b"\xff, 06 Nov 1994 08:49:37 GMT", NOW), None);
    }

    #[test]
    fn days_follow_each_other() {
        let lengths = |leap: bool| {
            let february = if leap { 29 } else { 28 };
            [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        };
        let mut days = 0;
        for year in 1970..2500 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for (month, length) in (1..).zip(lengths(leap)) {
                for day in 1..=length {
                    assert_eq!(civil(days), (year, month, day));
                    days += 1;
                }
            }
        }
    }
}
