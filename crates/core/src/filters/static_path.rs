//! Which file the path of a request means.

/// Why a path means no file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoPath;

/// A path below a root, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Below {
    /// Without a slash at either end; empty for the root.
    pub path: Vec<u8>,
    /// It ended with a slash, or is the root: a directory is meant.
    pub directory: bool,
}

impl Below {
    /// From the normalised path of a request. Refused is what could be read as another path than it looks like: escaped slashes,
    /// backslashes, control bytes, `.` and `..`; and names that begin with a dot, unless `dotfiles`.
    /// `.well-known` as the first one is no dotfile (RFC 8615).
    pub fn of(path: &[u8], dotfiles: bool) -> Result<Self, NoPath> {
        let mut out = Vec::with_capacity(path.len());
        let mut first = true;
        for segment in path.split(|&b| b == b'/').filter(|s| !s.is_empty()) {
            if !out.is_empty() {
                out.push(b'/');
            }
            let start = out.len();
            decode(segment, &mut out)?;
            let name = &out[start..];
            let hidden = name.first() == Some(&b'.');
            let well_known = first && name == b".well-known";
            if matches!(name, b"." | b"..") || (hidden && !dotfiles && !well_known) {
                return Err(NoPath);
            }
            first = false;
        }
        let directory = out.is_empty() || path.last() == Some(&b'/');
        Ok(Self {
            path: out,
            directory,
        })
    }

    /// A name in this directory.
    pub fn join(&self, name: &str) -> Box<[u8]> {
        if self.path.is_empty() {
            return name.as_bytes().into();
        }
        [&self.path, &b"/"[..], name.as_bytes()].concat().into()
    }
}

fn decode(segment: &[u8], out: &mut Vec<u8>) -> Result<(), NoPath> {
    let mut rest = segment;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let byte = if byte == b'%' {
            let (digits, after) = rest.split_at_checked(2).ok_or(NoPath)?;
            rest = after;
            let digit = |b: u8| char::from(b).to_digit(16).ok_or(NoPath);
            (digit(digits[0])? << 4 | digit(digits[1])?) as u8
        } else {
            byte
        };
        if matches!(byte, 0..=0x1f | 0x7f | b'/' | b'\\') {
            return Err(NoPath);
        }
        out.push(byte);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_one_file_below_the_root_or_none() {
        for (path, dotfiles, want) in [
            ("/", false, Some(("", true))),
            ("/a", false, Some(("a", false))),
            ("/a/", false, Some(("a", true))),
            ("//a//b/", false, Some(("a/b", true))),
            ("/a%20b/%C3%BC", false, Some(("a b/ü", false))),
            ("/a%3Fb%25", false, Some(("a?b%", false))),
            ("/a:b;c", false, Some(("a:b;c", false))),
            ("/..", false, None),
            ("/..", true, None),
            ("/a/../b", true, None),
            ("/a/%2e%2e/b", true, None),
            ("/a/./b", true, None),
            ("/%2E", true, None),
            ("/a%2Fb", true, None),
            ("/..%2F..%2Fetc/passwd", true, None),
            ("/%2Fetc/passwd", true, None),
            ("/a%5Cb", true, None),
            ("/a\\b", true, None),
            ("/a%00", true, None),
            ("/a\0", true, None),
            ("/a%0Ab", true, None),
            ("/a%7F", true, None),
            ("/a%", true, None),
            ("/a%4", true, None),
            ("/a%zz", true, None),
            // Decoded once.
            ("/%252e%252e/a", false, Some(("%2e%2e/a", false))),
            ("/.env", false, None),
            ("/.env", true, Some((".env", false))),
            ("/%2Eenv", false, None),
            ("/a/.git/config", false, None),
            ("/...", false, None),
            ("/...", true, Some(("...", false))),
            ("/a.b/c.", false, Some(("a.b/c.", false))),
            ("/.well-known/x", false, Some((".well-known/x", false))),
            ("/.well-known/.x", false, None),
            ("/a/.well-known/x", false, None),
            ("/.well-knownx", false, None),
        ] {
            let got = Below::of(path.as_bytes(), dotfiles).ok();
            let want = want.map(|(path, directory)| Below {
                path: path.into(),
                directory,
            });
            assert_eq!(got, want, "{path} {dotfiles}");
        }
    }
}
