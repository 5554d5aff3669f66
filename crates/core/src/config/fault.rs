//! What a user is told about a config: where, what is wrong, and how to mend it.
//!
//! Errors: a fault is a value, never a panic; all faults of a config are reported together.
//! Bounds: [`MAX_FAULTS`] per config, each text below 300 bytes of the user's own words.

use std::fmt;

use serde::Serialize;

/// One thing wrong with a config. `{path}  {why}  ({fix})` is how it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where: `routes[0].filters[1].rate`; empty for the whole text. The last step may name a key
    /// that is missing: then its parent is the place to point at.
    pub path: String,
    /// True if the key itself is at fault, not its value.
    pub on_key: bool,
    /// What is wrong, without the path: `"0/s" is below the least rate, 1/h`.
    pub why: String,
    /// What to do about it: `remove the filter to lift the limit`.
    pub fix: String,
}

impl Fault {
    /// A fault of the value at `path`.
    pub fn new(path: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            on_key: false,
            why: why.into(),
            fix: fix.into(),
        }
    }

    /// A fault of the key at `path`.
    pub fn on_key(path: impl Into<String>, why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            on_key: true,
            why: why.into(),
            fix: fix.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}   {}", self.path, self.why)?;
        if self.fix.is_empty() {
            return Ok(());
        }
        write!(f, "   ({})", self.fix)
    }
}

/// Why a text is not a value, and the nearest thing that is. What the parsers of this crate fail with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// What is wrong.
    pub why: String,
    /// What to write instead.
    pub fix: String,
}

impl Why {
    /// Both halves.
    pub fn new(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            fix: fix.into(),
        }
    }

    /// Takes apart what [`fmt::Display`] put together; a foreign text is all `why`.
    pub(super) fn split(text: &str) -> Self {
        let (why, fix) = text.split_once(SEAM).unwrap_or((text, ""));
        Self::new(why, fix)
    }
}

/// Both halves with a seam between, so that they survive a `serde` error, which is one text.
impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{SEAM}{}", self.why, self.fix)
    }
}

/// The user's text in quotes, shortened so that a fault stays one line.
pub fn quote(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_QUOTE).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

/// `did you mean "rate_limit"?`, or the names there are.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("did you mean \"{near}\"?");
    }
    let mut names: Vec<&str> = known.into_iter().collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(MAX_LISTED);
    names.truncate(MAX_LISTED);
    match (names.is_empty(), more) {
        (true, _) => "there is none".to_owned(),
        (false, 0) => format!("known: {}", names.join(", ")),
        (false, _) => format!("known: {} and {more} more", names.join(", ")),
    }
}

/// The known name that is nearest to `name`, if it is near enough to be what was meant.
fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name: Vec<u8> = name.bytes().take(MAX_QUOTE).map(fold).collect();
    let reach = (name.len() / 3).max(1);
    known
        .into_iter()
        .filter(|other| other.len().abs_diff(name.len()) <= reach)
        .map(|other| {
            (
                distance(&name, &other.bytes().map(fold).collect::<Vec<_>>()),
                other,
            )
        })
        .filter(|(far, other)| *far <= reach && *far < other.len())
        .min()
        .map(|(_, other)| other)
}

fn fold(byte: u8) -> u8 {
    if byte == b'-' {
        b'_'
    } else {
        byte.to_ascii_lowercase()
    }
}

/// Edits (insert, delete, replace, swap of neighbours) from `a` to `b`: optimal string alignment.
fn distance(a: &[u8], b: &[u8]) -> usize {
    let width = b.len() + 1;
    let mut before = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    let mut row = vec![0; width];
    for i in 1..=a.len() {
        row[0] = i;
        for j in 1..width {
            let same = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        std::mem::swap(&mut before, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last[b.len()]
}

/// The most faults of one config that are reported: more help nobody.
pub const MAX_FAULTS: usize = 1000;
const MAX_QUOTE: usize = 80;
const MAX_LISTED: usize = 16;
/// ASCII "unit separator": in no text that a person writes.
const SEAM: char = '\u{1f}';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let known = ["rate_limit", "respond", "headers", "client_ip"];
        for (name, want) in [
            ("ratelimit", "did you mean \"rate_limit\"?"),
            ("rate-limit", "did you mean \"rate_limit\"?"),
            ("Headers", "did you mean \"headers\"?"),
            ("haeders", "did you mean \"headers\"?"),
            ("cleint_ip", "did you mean \"client_ip\"?"),
            ("cache", "known: client_ip, headers, rate_limit, respond"),
            ("", "known: client_ip, headers, rate_limit, respond"),
        ] {
            assert_eq!(suggest(name, known), want, "{name}");
        }
        assert_eq!(suggest("x", []), "there is none");
    }

    #[test]
    fn distances() {
        for (a, b, want) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), want, "{a} {b}");
        }
    }

    #[test]
    fn both_halves_survive_the_one_text_of_an_error() {
        let why = Why::new("a", "b");
        assert_eq!(Why::split(&why.to_string()), why);
    }
}
