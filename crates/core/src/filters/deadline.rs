//! By when a client wants its answer, as it says itself.

use wire::Head;

use crate::config::units::Duration;
use crate::{grpc, Nanos};

/// How long the client still waits: what `grpc-timeout` and the field `name` say, the shorter of both. None if it says
/// nothing, or nothing that has a meaning.
pub(super) fn told(req: &Head, name: &[u8], unix: u64) -> Option<Nanos> {
    let said = req.find(name).and_then(|text| field(text, unix));
    said.into_iter().chain(grpc::timeout(req)).min()
}

/// `800ms`: so long; `1764230400.25`: until then. The clock of people is read to the second, so a moment counts as up to a
/// second later than it is, never as earlier.
fn field(text: &[u8], unix: u64) -> Option<Nanos> {
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(time) = Duration::parse(text) {
        return Some(time.nanos());
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) || whole.len() > 12 || part.len() > 9 {
        return None;
    }
    let nanos: u64 = format!("{part:0<9}").parse().ok()?;
    let moment = whole.parse::<u64>().ok()?;
    let Some(seconds) = moment.checked_sub(unix) else {
        return Some(0);
    };
    Some(seconds.saturating_mul(SECOND).saturating_add(nanos))
}

const SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_say() {
        let ms = |n: u64| Some(n * 1_000_000);
        for (text, want) in [
            ("800ms", ms(800)),
            ("2s", ms(2000)),
            ("1000", ms(0)),
            ("1001", ms(1000)),
            ("1001.5", ms(1500)),
            ("1000.000000001", Some(1)),
            ("900", ms(0)),
            ("999999999999", Some(u64::MAX)),
            ("9999999999999", None),
            ("", None),
            (".5", None),
            ("1.", None),
            ("-1", None),
            ("+1", None),
            ("1e3", None),
            ("soon", None),
            ("0s", None),
        ] {
            assert_eq!(field(text.as_bytes(), 1000), want, "{text}");
        }
        assert_eq!(field(b"\xff", 1000), None);
    }

    #[test]
    fn the_shorter_of_both_counts() {
        for (own, of_grpc, want) in [
            (None, None, None),
            (Some("2s"), None, Some(2 * SECOND)),
            (None, Some("1S"), Some(SECOND)),
            (Some("2s"), Some("1S"), Some(SECOND)),
            (Some("1s"), Some("2S"), Some(SECOND)),
            (Some("?"), Some("2S"), Some(2 * SECOND)),
        ] {
            let mut head = Head::new();
            head.start_request(b"GET", b"/", b"a");
            for (name, value) in [("x-d", own), ("grpc-timeout", of_grpc)] {
                if let Some(value) = value {
                    head.set(name.as_bytes(), value.as_bytes()).expect("room");
                }
            }
            assert_eq!(told(&head, b"x-d", 0), want);
        }
    }
}
