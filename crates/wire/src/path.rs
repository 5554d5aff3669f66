//! One form for every path, so that routing, authorisation, cache keys and the upstream see the
//! same bytes.
//!
//! Source: RFC 3986 section 6.2.2 (case and percent-encoding of escapes, dot segments). Beyond it:
//! empty segments are merged, and what servers are known to read in two ways is refused.
//! Errors: [`BadPath`], one variant a cause; all are 400 to a client.
//! Bounds: one pass; the output is never longer than the input. `normalise` is idempotent: escapes
//! are decoded once (`%252e` stays `%252e`), and only unreserved characters are ever decoded.

use crate::syntax::{hex, is_plain_path_byte, is_query_byte};

/// What [`normalise`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathFlags {
    /// The normal form was appended to the output; when unset the input is already normal and the
    /// output was left alone.
    pub changed: bool,
    /// There is a `%2F`. It is kept as it is: whether it means a slash is for the route to say.
    pub escaped_slash: bool,
}

/// Why a path has no normal form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadPath {
    /// It does not begin with a slash.
    Relative,
    /// A byte that must be escaped: control, space, non-ASCII, `#`, `?` or `\`.
    Byte,
    /// A `%` without two hexadecimal digits.
    Escape,
    /// An escaped control byte or backslash.
    Escaped,
    /// An escape that begins an overlong or impossible UTF-8 sequence.
    Utf8,
    /// A dot segment with a parameter, such as `..;x`.
    DotParameter,
    /// A `..` beside a `%2F`: it would be a segment, or remove another one, for a server that reads
    /// `%2F` as a slash.
    DotsBehindSlash,
    /// A `..` above the root.
    AboveRoot,
}

/// Appends the normal form of `raw` to `out` if it differs from `raw`.
///
/// On an error, `out` may hold part of a path behind what it held before.
pub fn normalise(raw: &[u8], out: &mut Vec<u8>) -> Result<PathFlags, BadPath> {
    if is_normal(raw) {
        return Ok(PathFlags::default());
    }
    let Some((b'/', rest)) = raw.split_first() else {
        return Err(BadPath::Relative);
    };
    let base = out.len();
    let mut escaped_slash = false;
    out.push(b'/');
    let mut segments = rest.split(|&b| b == b'/').peekable();
    while let Some(segment) = segments.next() {
        // `out` ends with a slash here.
        let start = out.len();
        let slash = decode(segment, out)?;
        if slash && has_hidden_dots(&out[start..]) {
            return Err(BadPath::DotsBehindSlash);
        }
        escaped_slash |= slash;
        match dots(&out[start..])? {
            Dots::No if out.len() == start => {}
            Dots::No => {
                if segments.peek().is_some() {
                    out.push(b'/');
                }
            }
            Dots::Same => out.truncate(start),
            Dots::Up => {
                let parent = out[base..start - 1].iter().rposition(|&b| b == b'/');
                let parent = parent.ok_or(BadPath::AboveRoot)?;
                // Read as a slash, it would make the `..` end elsewhere.
                if escaped_slash && holds_slash(&out[base + parent..start]) {
                    return Err(BadPath::DotsBehindSlash);
                }
                out.truncate(base + parent + 1);
            }
        }
    }
    Ok(PathFlags {
        changed: true,
        escaped_slash,
    })
}

/// Is there a dot segment between the `%2F`s of a segment?
fn has_hidden_dots(segment: &[u8]) -> bool {
    let mut rest = segment;
    loop {
        let end = rest.windows(3).position(|w| w == b"%2F");
        let part = &rest[..end.unwrap_or(rest.len())];
        if !matches!(dots(part), Ok(Dots::No)) {
            return true;
        }
        match end {
            Some(at) => rest = &rest[at + 3..],
            None => return false,
        }
    }
}

/// May `query` be sent as it is? Visible ASCII but `#`; escapes are the receiver's business.
pub fn valid_query(query: &[u8]) -> bool {
    query.iter().all(|&b| is_query_byte(b))
}

/// Surely normal; what is refused here is only looked at more closely.
fn is_normal(raw: &[u8]) -> bool {
    if raw.first() != Some(&b'/') {
        return false;
    }
    let mut before = 0;
    for &b in raw {
        if !is_plain_path_byte(b) || (before == b'/' && (b == b'/' || b == b'.')) {
            return false;
        }
        before = b;
    }
    true
}

/// Appends `segment` with its unreserved characters decoded; says whether it holds `%2F`.
fn decode(segment: &[u8], out: &mut Vec<u8>) -> Result<bool, BadPath> {
    let mut escaped_slash = false;
    let mut at = 0;
    while at < segment.len() {
        let byte = segment[at];
        if byte != b'%' {
            if !is_plain_path_byte(byte) {
                return Err(BadPath::Byte);
            }
            out.push(byte);
            at += 1;
            continue;
        }
        let value = escape(&segment[at..]).ok_or(BadPath::Escape)?;
        let next = escape(&segment[at + 3..]);
        match value {
            0..=0x1f | 0x7f | b'\\' => return Err(BadPath::Escaped),
            // Bytes that no UTF-8 text contains, and two-byte heads of overlong sequences.
            0xc0 | 0xc1 | 0xf5..=0xff => return Err(BadPath::Utf8),
            0xe0 if matches!(next, Some(0x80..=0x9f)) => return Err(BadPath::Utf8),
            0xf0 if matches!(next, Some(0x80..=0x8f)) => return Err(BadPath::Utf8),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(value),
            _ => {
                escaped_slash |= value == b'/';
                let digits = [segment[at + 1], segment[at + 2]];
                out.extend_from_slice(&[
                    b'%',
                    digits[0].to_ascii_uppercase(),
                    digits[1].to_ascii_uppercase(),
                ]);
            }
        }
        at += 3;
    }
    Ok(escaped_slash)
}

/// The byte that `bytes` begins to spell as `%XX`.
fn escape(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [b'%', high, low, ..] => Some(hex(*high)? << 4 | hex(*low)?),
        _ => None,
    }
}

fn holds_slash(segment: &[u8]) -> bool {
    segment.windows(3).any(|w| w == b"%2F")
}

enum Dots {
    No,
    Same,
    Up,
}

/// Is the decoded `segment` a dot segment? With a parameter, servers disagree: refused.
fn dots(segment: &[u8]) -> Result<Dots, BadPath> {
    let after = match segment {
        [b'.'] => return Ok(Dots::Same),
        [b'.', b'.'] => return Ok(Dots::Up),
        [b'.', b'.', after @ ..] | [b'.', after @ ..] => after,
        _ => return Ok(Dots::No),
    };
    if after.starts_with(b";") || after.starts_with(b"%3B") {
        return Err(BadPath::DotParameter);
    }
    Ok(Dots::No)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(raw: &[u8]) -> Result<(String, bool), BadPath> {
        let mut out = b"before".to_vec();
        let flags = normalise(raw, &mut out)?;
        let path = if flags.changed { &out[6..] } else { raw };
        Ok((
            String::from_utf8(path.to_vec()).expect("a path is ASCII"),
            flags.escaped_slash,
        ))
    }

    #[test]
    fn equal_paths_become_one() {
        let cases = [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("//", "/"),
            ("//a///b//", "/a/b/"),
            ("/.", "/"),
            ("/./", "/"),
            ("/a/.", "/a/"),
            ("/a/./b", "/a/b"),
            ("/a/..", "/"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/../", "/a/"),
            ("/a/b/../../c", "/c"),
            ("/a//../b", "/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/%2e/a", "/a"),
            ("/%61%7e%2D", "/a~-"),
            ("/%3a%3A", "/%3A%3A"),
            ("/%252e%252e/a", "/%252e%252e/a"),
            ("/...", "/..."),
            ("/..a", "/..a"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a;p=1/b", "/a;p=1/b"),
            ("/a.;x", "/a.;x"),
            ("/%e2%82%ac", "/%E2%82%AC"),
            ("/%e0%a0%80", "/%E0%A0%80"),
            ("/%f0%90%80%80", "/%F0%90%80%80"),
            ("/%E9", "/%E9"),
            ("/a%20b", "/a%20b"),
            ("/a%3Fb%23c", "/a%3Fb%23c"),
        ];
        for (raw, path) in cases {
            let got = normal(raw.as_bytes());
            assert_eq!(got, Ok((path.to_owned(), false)), "{raw}");
        }
    }

    #[test]
    fn an_escaped_slash_is_kept_and_told() {
        let cases = [
            ("/a%2fb", "/a%2Fb"),
            ("/a%2F..b%2fc", "/a%2F..b%2Fc"),
            ("/a%2fb/c/..", "/a%2Fb/"),
        ];
        for (raw, path) in cases {
            assert_eq!(normal(raw.as_bytes()), Ok((path.to_owned(), true)), "{raw}");
        }
    }

    #[test]
    fn what_has_two_meanings_is_refused() {
        let cases: [(&[u8], BadPath); 38] = [
            (b"/a%2F..%2fb", BadPath::DotsBehindSlash),
            (b"/%2e%2e%2f", BadPath::DotsBehindSlash),
            (b"/a%2f.", BadPath::DotsBehindSlash),
            (b"/a%2f..;x", BadPath::DotsBehindSlash),
            (b"", BadPath::Relative),
            (b"a", BadPath::Relative),
            (b"*", BadPath::Relative),
            (b"/a b", BadPath::Byte),
            (b"/a\tb", BadPath::Byte),
            (b"/a\0", BadPath::Byte),
            (b"/a\x7f", BadPath::Byte),
            (b"/a#b", BadPath::Byte),
            (b"/a?b", BadPath::Byte),
            (b"/a\\..\\b", BadPath::Byte),
            (b"/caf\xc3\xa9", BadPath::Byte),
            (b"/%", BadPath::Escape),
            (b"/%2", BadPath::Escape),
            (b"/%zz", BadPath::Escape),
            (b"/%2/e", BadPath::Escape),
            (b"/%%32e", BadPath::Escape),
            (b"/%u002e", BadPath::Escape),
            (b"/%00", BadPath::Escaped),
            (b"/%0d%0a", BadPath::Escaped),
            (b"/%7f", BadPath::Escaped),
            (b"/..%5c", BadPath::Escaped),
            (b"/%c0%af", BadPath::Utf8),
            (b"/%C1%9C", BadPath::Utf8),
            (b"/%e0%80%af", BadPath::Utf8),
            (b"/%f0%80%80%af", BadPath::Utf8),
            (b"/%f8%80%80%80%af", BadPath::Utf8),
            (b"/%ff", BadPath::Utf8),
            (b"/a/..;/b", BadPath::DotParameter),
            (b"/a/%2e%2e%3bx/b", BadPath::DotParameter),
            (b"/.;x", BadPath::DotParameter),
            (b"/a%2fb/..", BadPath::DotsBehindSlash),
            (b"/%2f/../x", BadPath::DotsBehindSlash),
            (b"/..", BadPath::AboveRoot),
            (b"/a/../%2e./b", BadPath::AboveRoot),
        ];
        for (raw, why) in cases {
            assert_eq!(normal(raw), Err(why), "{}", raw.escape_ascii());
        }
    }

    #[test]
    fn queries_are_visible_ascii() {
        let cases: [(&[u8], bool); 7] = [
            (b"", true),
            (b"a=1&b=%zz?/..\\", true),
            (b"a b", false),
            (b"a#b", false),
            (b"a\r", false),
            (b"a\0", false),
            (b"\xc3\xa9", false),
        ];
        for (query, ok) in cases {
            assert_eq!(valid_query(query), ok, "{}", query.escape_ascii());
        }
    }
}
