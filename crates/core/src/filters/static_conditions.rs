//! Whether a request wants a file only on a condition, and in which codings it takes it.
//!
//! Source: RFC 9110 sections 13 (conditional requests) and 12.5.3 (Accept-Encoding).

use wire::syntax::{list, trim};
use wire::{Head, Name};

/// What conditions a request's file meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// It is wanted.
    Met,
    /// The client has it.
    NotModified,
    /// It is not the one that the client means.
    Failed,
}

/// What tells one version of a file from another.
#[derive(Clone, Debug)]
pub(super) struct Validators {
    /// A strong entity tag, with its quotes.
    pub etag: String,
    /// When it was last changed, seconds since 1970; none if that is not known, or not yet.
    pub modified: Option<u64>,
}

impl Validators {
    /// In the order of RFC 9110 section 13.2.2.
    pub fn check(&self, req: &Head, now: u64) -> Condition {
        let date = |name: Name| wire::date::parse(req.get(name)?, now);
        let has = |name: Name| req.get(name).is_some();
        if has(Name::IfMatch) {
            if !self.is_among(req.get_all(Name::IfMatch), Compare::Strong) {
                return Condition::Failed;
            }
        } else if let (Some(modified), Some(date)) = (self.modified, date(Name::IfUnmodifiedSince))
        {
            if modified > date {
                return Condition::Failed;
            }
        }
        if has(Name::IfNoneMatch) {
            if self.is_among(req.get_all(Name::IfNoneMatch), Compare::Weak) {
                return Condition::NotModified;
            }
        } else if let (Some(modified), Some(date)) = (self.modified, date(Name::IfModifiedSince)) {
            if modified <= date {
                return Condition::NotModified;
            }
        }
        Condition::Met
    }

    /// Whether ranges are wanted of this version, as far as If-Range says.
    pub fn range_holds(&self, req: &Head, now: u64) -> bool {
        let Some(value) = req.get(Name::IfRange) else {
            return true;
        };
        let value = trim(value);
        if value.starts_with(b"\"") || value.starts_with(b"W/") {
            return value == self.etag.as_bytes();
        }
        self.modified.is_some() && wire::date::parse(value, now) == self.modified
    }

    fn is_among<'a>(&self, mut values: impl Iterator<Item = &'a [u8]>, by: Compare) -> bool {
        values.any(|value| {
            trim(value) == b"*"
                || tags(value).any(|(weak, tag)| {
                    tag == self.etag.as_bytes() && (!weak || by == Compare::Weak)
                })
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Compare {
    Strong,
    Weak,
}

/// The entity tags of a list, with their quotes, and whether each is weak. What is none ends it.
fn tags(value: &[u8]) -> impl Iterator<Item = (bool, &[u8])> {
    let mut rest = value;
    std::iter::from_fn(move || {
        while let [b',' | b' ' | b'\t', after @ ..] = rest {
            rest = after;
        }
        let (weak, at) = match rest {
            [b'W', b'/', after @ ..] => (true, after),
            at => (false, at),
        };
        let inside = at.strip_prefix(b"\"")?;
        let end = inside.iter().position(|&b| b == b'"')? + 2;
        let (tag, after) = at.split_at(end);
        rest = after;
        Some((weak, tag))
    })
}

/// Which of `codings` a request takes, the one it likes best first; of equals the first of `codings`.
pub(super) fn accepted<'c, T>(
    req: &Head,
    codings: &'c [T],
    name: impl Fn(&T) -> &'static str,
) -> Vec<&'c T> {
    let mut taken: Vec<(u16, &T)> = Vec::new();
    for coding in codings {
        let name = name(coding).as_bytes();
        let (mut own, mut any) = (None, None);
        for element in req.get_all(Name::AcceptEncoding).flat_map(list) {
            let mut parts = element.split(|&b| b == b';').map(trim);
            let token = parts.next().unwrap_or_default();
            let weight = parts.next().map_or(Some(1000), weight).unwrap_or(0);
            let matches_gzip = name == b"gzip" && token.eq_ignore_ascii_case(b"x-gzip");
            if token.eq_ignore_ascii_case(name) || matches_gzip {
                own = Some(weight);
            } else if token == b"*" {
                any = Some(weight);
            }
        }
        let weight = own.or(any).unwrap_or(0);
        if weight > 0 {
            taken.push((weight, coding));
        }
    }
    taken.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    taken.into_iter().map(|(_, coding)| coding).collect()
}

/// `q=0.5` in thousandths; none for what is no weight.
fn weight(parameter: &[u8]) -> Option<u16> {
    let value = match parameter {
        [b'q' | b'Q', b'=', value @ ..] => value,
        _ => return None,
    };
    let (whole, fraction) = match value {
        [b'1'] => return Some(1000),
        [b'0'] => return Some(0),
        [whole @ (b'0' | b'1'), b'.', fraction @ ..] if fraction.len() <= 3 => (whole, fraction),
        _ => return None,
    };
    let mut thousandths = u16::from(whole - b'0') * 1000;
    for (digit, worth) in fraction.iter().zip([100, 10, 1]) {
        thousandths += digit.is_ascii_digit().then(|| u16::from(digit - b'0'))? * worth;
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> Head {
        let mut head = Head::new();
        head.start_request(b"GET", b"/", b"a");
        for (name, value) in fields {
            head.add(name.as_bytes(), value.as_bytes())
                .expect("a field");
        }
        head
    }

    const THEN: u64 = 784_111_777;
    const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";
    const TAG: &str = "\"a,b\"";

    fn file() -> Validators {
        Validators {
            etag: TAG.into(),
            modified: Some(THEN),
        }
    }

    #[test]
    fn conditions_are_checked_in_their_order() {
        use Condition::{Failed, Met, NotModified};
        for (fields, want) in [
            (&[][..], Met),
            (&[("If-None-Match", TAG)], NotModified),
            (&[("If-None-Match", "W/\"a,b\"")], NotModified),
            (&[("If-None-Match", "*")], NotModified),
            (&[("If-None-Match", "\"x\", W/\"y\",\"a,b\"")], NotModified),
            (
                &[("If-None-Match", "\"x\""), ("If-None-Match", TAG)],
                NotModified,
            ),
            (&[("If-None-Match", "\"x\"")], Met),
            (&[("If-None-Match", "\"a\"")], Met),
            (&[("If-None-Match", "a,b")], Met),
            (&[("If-None-Match", "\"a,b")], Met),
            (&[("If-None-Match", "junk, \"a,b\"")], Met),
            (&[("If-None-Match", "")], Met),
            (&[("If-Modified-Since", AT)], NotModified),
            (&[("If-Modified-Since", AFTER)], NotModified),
            (&[("If-Modified-Since", BEFORE)], Met),
            (&[("If-Modified-Since", "yesterday")], Met),
            // The tag is asked first, and then the date is not.
            (
                &[("If-None-Match", "\"x\""), ("If-Modified-Since", AT)],
                Met,
            ),
            (
                &[("If-None-Match", TAG), ("If-Modified-Since", BEFORE)],
                NotModified,
            ),
            (&[("If-Match", TAG)], Met),
            (&[("If-Match", "*")], Met),
            (&[("If-Match", "\"x\", \"a,b\"")], Met),
            (&[("If-Match", "W/\"a,b\"")], Failed),
            (&[("If-Match", "\"x\"")], Failed),
            (&[("If-Match", TAG), ("If-Unmodified-Since", BEFORE)], Met),
            (&[("If-Unmodified-Since", AT)], Met),
            (&[("If-Unmodified-Since", BEFORE)], Failed),
            (&[("If-Unmodified-Since", "never")], Met),
            (&[("If-Match", "\"x\""), ("If-None-Match", TAG)], Failed),
            (&[("If-Match", TAG), ("If-None-Match", TAG)], NotModified),
        ] {
            assert_eq!(file().check(&head(fields), THEN), want, "{fields:?}");
        }
        let undated = Validators {
            modified: None,
            ..file()
        };
        for name in ["If-Modified-Since", "If-Unmodified-Since"] {
            let req = head(&[(name, BEFORE)]);
            assert_eq!(undated.check(&req, THEN), Met, "{name}");
        }
    }

    #[test]
    fn a_range_holds_for_the_same_version_only() {
        for (value, want) in [
            (TAG, true),
            ("W/\"a,b\"", false),
            ("\"x\"", false),
            (AT, true),
            (AFTER, false),
            (BEFORE, false),
            ("*", false),
            ("", false),
        ] {
            let req = head(&[("If-Range", value)]);
            assert_eq!(file().range_holds(&req, THEN), want, "{value}");
        }
        assert!(file().range_holds(&head(&[]), THEN));
    }

    #[test]
    fn codings_are_taken_by_weight_and_then_by_our_order() {
        for (value, want) in [
            ("gzip", vec!["gzip"]),
            ("gzip, deflate, br, zstd", vec!["br", "zstd", "gzip"]),
            ("gzip;q=1, br;q=0.5", vec!["gzip", "br"]),
            ("gzip;q=0.001, br;q=0", vec!["gzip"]),
            ("*", vec!["br", "zstd", "gzip"]),
            ("*;q=0.5, gzip", vec!["gzip", "br", "zstd"]),
            ("br;q=0, *", vec!["zstd", "gzip"]),
            ("BR;Q=1.000", vec!["br"]),
            ("x-gzip", vec!["gzip"]),
            ("br ; q=0.5", vec!["br"]),
            ("br;q=2", vec![]),
            ("br;q=0.1234", vec![]),
            ("br;q=0.a", vec![]),
            ("br;q=-1", vec![]),
            ("br;level=1", vec![]),
            ("identity", vec![]),
            ("", vec![]),
        ] {
            let req = head(&[("Accept-Encoding", value)]);
            let got = accepted(&req, &["br", "zstd", "gzip"], |c| c);
            let got: Vec<_> = got.into_iter().copied().collect();
            assert_eq!(got, want, "{value}");
        }
    }
}
