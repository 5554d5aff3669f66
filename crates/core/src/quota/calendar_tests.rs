use super::*;

fn calendar(period: Period, zone: &str) -> Calendar {
    Calendar::new(
        period,
        Zone::parse(zone).unwrap_or_else(|f| panic!("{f:?}")),
    )
}

fn unix(text: &str) -> u64 {
    let at: Timestamp = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
    at.as_second() as u64
}

#[test]
fn a_window_is_of_the_calendar_of_its_zone() {
    use Period::{Day, Hour, Month, Week};
    let berlin = "Europe/Berlin";
    for (period, zone, at, start, end) in [
        (
            Hour,
            "UTC",
            "2026-11-27T06:59:59Z",
            "2026-11-27T06:00:00Z",
            "2026-11-27T07:00:00Z",
        ),
        (
            Hour,
            "Asia/Kolkata",
            "2026-11-27T06:29:59Z",
            "2026-11-27T05:30:00Z",
            "2026-11-27T06:30:00Z",
        ),
        // An hour that comes twice is two.
        (
            Hour,
            berlin,
            "2026-10-25T00:30:00Z",
            "2026-10-25T00:00:00Z",
            "2026-10-25T01:00:00Z",
        ),
        (
            Hour,
            berlin,
            "2026-10-25T01:30:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T02:00:00Z",
        ),
        // Half an hour back, at 2:00 of +11:00, which is 1:30 of +10:30.
        (
            Hour,
            "Australia/Lord_Howe",
            "2026-04-04T14:59:59Z",
            "2026-04-04T14:00:00Z",
            "2026-04-04T15:00:00Z",
        ),
        (
            Hour,
            "Australia/Lord_Howe",
            "2026-04-04T15:00:00Z",
            "2026-04-04T15:00:00Z",
            "2026-04-04T15:30:00Z",
        ),
        (
            Hour,
            "Australia/Lord_Howe",
            "2026-04-04T15:30:00Z",
            "2026-04-04T15:30:00Z",
            "2026-04-04T16:30:00Z",
        ),
        (
            Day,
            "UTC",
            "2026-11-27T00:00:00Z",
            "2026-11-27T00:00:00Z",
            "2026-11-28T00:00:00Z",
        ),
        (
            Day,
            berlin,
            "2026-11-26T23:00:00Z",
            "2026-11-26T23:00:00Z",
            "2026-11-27T23:00:00Z",
        ),
        (
            Day,
            berlin,
            "2026-11-26T22:59:59Z",
            "2026-11-25T23:00:00Z",
            "2026-11-26T23:00:00Z",
        ),
        // 23 and 25 hours.
        (
            Day,
            berlin,
            "2026-03-29T12:00:00Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T22:00:00Z",
        ),
        (
            Day,
            berlin,
            "2026-10-25T12:00:00Z",
            "2026-10-24T22:00:00Z",
            "2026-10-25T23:00:00Z",
        ),
        // Midnight is skipped, and comes twice.
        (
            Day,
            "Africa/Cairo",
            "2026-04-24T12:00:00Z",
            "2026-04-23T22:00:00Z",
            "2026-04-24T21:00:00Z",
        ),
        (
            Day,
            "America/Havana",
            "2024-11-03T05:30:00Z",
            "2024-11-03T04:00:00Z",
            "2024-11-04T05:00:00Z",
        ),
        (
            Week,
            "UTC",
            "2026-11-27T06:00:00Z",
            "2026-11-23T00:00:00Z",
            "2026-11-30T00:00:00Z",
        ),
        (
            Week,
            "UTC",
            "2026-11-29T23:59:59Z",
            "2026-11-23T00:00:00Z",
            "2026-11-30T00:00:00Z",
        ),
        (
            Week,
            "UTC",
            "2026-11-30T00:00:00Z",
            "2026-11-30T00:00:00Z",
            "2026-12-07T00:00:00Z",
        ),
        (
            Week,
            berlin,
            "2026-10-25T12:00:00Z",
            "2026-10-18T22:00:00Z",
            "2026-10-25T23:00:00Z",
        ),
        (
            Month,
            "UTC",
            "2028-02-29T12:00:00Z",
            "2028-02-01T00:00:00Z",
            "2028-03-01T00:00:00Z",
        ),
        (
            Month,
            "UTC",
            "2026-02-28T23:59:59Z",
            "2026-02-01T00:00:00Z",
            "2026-03-01T00:00:00Z",
        ),
        (
            Month,
            "UTC",
            "2026-12-31T23:59:59Z",
            "2026-12-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
        ),
        (
            Month,
            berlin,
            "2026-12-31T23:00:00Z",
            "2026-12-31T23:00:00Z",
            "2027-01-31T23:00:00Z",
        ),
        (
            Month,
            berlin,
            "2026-03-31T12:00:00Z",
            "2026-02-28T23:00:00Z",
            "2026-03-31T22:00:00Z",
        ),
        (
            Month,
            "America/New_York",
            "2026-11-01T04:30:00Z",
            "2026-11-01T04:00:00Z",
            "2026-12-01T05:00:00Z",
        ),
        (
            Month,
            "Pacific/Kiritimati",
            "2026-11-30T09:59:59Z",
            "2026-10-31T10:00:00Z",
            "2026-11-30T10:00:00Z",
        ),
        (
            Month,
            "Pacific/Kiritimati",
            "2026-11-30T10:00:00Z",
            "2026-11-30T10:00:00Z",
            "2026-12-31T10:00:00Z",
        ),
    ] {
        let got = calendar(period, zone).window(unix(at));
        let want = Window {
            start: unix(start),
            end: unix(end),
        };
        assert_eq!(got, want, "{period:?} of {zone} at {at}");
    }
}

#[test]
fn windows_follow_each_other_without_a_gap_for_two_years() {
    for zone in [
        "UTC",
        "Europe/Berlin",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "America/Havana",
        "Asia/Kathmandu",
    ] {
        for period in [Period::Hour, Period::Day, Period::Week, Period::Month] {
            let calendar = calendar(period, zone);
            let mut window = calendar.window(unix("2026-01-01T00:00:00Z"));
            while window.end < unix("2028-01-01T00:00:00Z") {
                let next = calendar.window(window.end);
                assert_eq!(
                    next.start, window.end,
                    "{period:?} of {zone} after {window:?}"
                );
                assert!(next.end > next.start);
                for at in [next.start, next.start + next.seconds() / 2, next.end - 1] {
                    assert_eq!(calendar.window(at), next, "{period:?} of {zone} at {at}");
                }
                window = next;
            }
        }
    }
}

#[test]
fn a_length_is_told_only_if_all_windows_have_it() {
    use Period::{Day, Hour, Month, Week};
    for (period, zone, want) in [
        (Hour, "UTC", Some(3600)),
        (Hour, "Europe/Berlin", Some(3600)),
        (Hour, "Australia/Lord_Howe", None),
        (Day, "UTC", Some(86_400)),
        (Day, "Asia/Tokyo", Some(86_400)),
        (Day, "Europe/Berlin", None),
        (Week, "UTC", Some(604_800)),
        (Week, "Europe/Berlin", None),
        (Month, "UTC", None),
    ] {
        assert_eq!(
            calendar(period, zone).constant(),
            want,
            "{period:?} of {zone}"
        );
    }
}

#[test]
fn zones_are_known_by_name_and_no_moment_is_too_late() {
    assert_eq!(
        Zone::parse("europe/berlin").map(|z| z.to_string()).ok(),
        Some("Europe/Berlin".into())
    );
    assert_eq!(Zone::default().to_string(), "UTC");
    for bad in ["", "Berlin", "../UTC", "Europe/Berlin ", "CEST"] {
        assert!(Zone::parse(bad).is_err(), "{bad}");
    }
    for period in [Period::Hour, Period::Day, Period::Week, Period::Month] {
        for at in [0, u64::MAX] {
            let window = calendar(period, "Pacific/Apia").window(at);
            assert!(window.start < window.end, "{window:?}");
        }
    }
}

#[test]
fn windows_around_a_second_are_one_after_the_other() {
    use Period::{Day, Hour, Month, Week};
    for zone in [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
    ] {
        for period in [Hour, Day, Week, Month] {
            let c = calendar(period, zone);
            for at in [
                "2026-10-25T00:30:00Z",
                "2027-03-28T01:00:00Z",
                "2028-03-01T04:59:59Z",
            ] {
                let at = unix(at);
                let around = c.around(at);
                let open = c.window(at);
                assert_eq!(around[1..3], [open.start, open.end], "{zone} {period:?}");
                let before = c.window(open.start - 1);
                let next = c.window(open.end);
                let want = [before.start, before.end, next.start, next.end];
                assert_eq!(around, want, "{zone} {period:?}");
            }
        }
    }
    assert_eq!(calendar(Hour, "UTC").around(0)[0], 0);
}
