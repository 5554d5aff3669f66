//! rewrite: sends a request to another path or host than it was made to.
//!
//! Config:  `{ use: rewrite, path: "/new/{id}" }`, or `strip_prefix` and `add_prefix`, or `regex`
//!          and `replace`; and `host: inner.example` with any of them or alone
//! Reads:   the normalised path, and what the route's path template captured.
//! Asks:    nothing.
//! Replies: 400 `rewrite_failed` if what comes out is no path (only a regex can do that).
//! Fails:   a path that the rule does not fit, such as one that lacks a capture, stays as it is. What comes out is normalised again, so
//!          a rewrite cannot lead above the root. The query stays.
//! Source:  RFC 3986 section 6.2.2 (normal paths), RFC 9110 section 7.2 (Host).

use regex::bytes::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::Build;
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::reply::Reply;

/// Sends a request to another path or host than it was made to.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The new path. `{name}` is what the route's path template captured. Default: the path stays.
    pub path: Option<String>,
    /// Whole segments to take off the path's front: `/api` makes `/api/x` to `/x`, and leaves
    /// `/apix`. Default: none.
    pub strip_prefix: Option<String>,
    /// What to put before the path, after `strip_prefix`. Default: nothing.
    pub add_prefix: Option<String>,
    /// Every match of this in the path is replaced by `replace`. Default: none.
    pub regex: Option<String>,
    /// What a match becomes; `$1` or `${name}` is what a group matched. Required with `regex`.
    pub replace: Option<String>,
    /// The new host, `host[:port]`; upstreams see it as Host. Default: the host stays.
    pub host: Option<String>,
}

/// The filter.
#[derive(Debug)]
pub struct Rewrite {
    path: Path,
    host: Option<Box<[u8]>>,
}

#[derive(Debug)]
enum Path {
    Same,
    Template(Vec<Piece>),
    Prefix {
        strip: Box<[u8]>,
        add: Box<[u8]>,
    },
    Regex {
        regex: Box<Regex>,
        replace: Box<[u8]>,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<[u8]>),
    Capture(Box<str>),
}

impl Rewrite {
    /// From its config, if it says one thing and that makes paths.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        let prefix = config.strip_prefix.is_some() || config.add_prefix.is_some();
        let ways = [
            config.path.is_some(),
            prefix,
            config.regex.is_some() || config.replace.is_some(),
        ];
        let of_paths = ways.iter().filter(|w| **w).count();
        if of_paths == 0 && config.host.is_none() {
            b.fault(
                "path",
                "nothing is rewritten",
                "add path, strip_prefix, add_prefix, regex or host",
            );
        } else if of_paths > 1 {
            let why = "there is more than one rule for the path";
            b.fault(
                "path",
                why,
                "keep one of path, strip_prefix with add_prefix, and regex with replace",
            );
        }
        let path = match (config.path, config.regex, config.replace) {
            (Some(text), ..) => template(&text, b),
            (None, Some(regex), Some(replace)) => pattern(&regex, replace, b),
            (None, Some(_), None) => missing("replace", b),
            (None, None, Some(_)) => missing("regex", b),
            (None, None, None) if prefix => {
                let strip = part("strip_prefix", config.strip_prefix, b);
                let add = part("add_prefix", config.add_prefix, b);
                Some(Path::Prefix {
                    strip: strip.into(),
                    add: add.into(),
                })
            }
            (None, None, None) => Some(Path::Same),
        };
        if let Some(host) = &config.host {
            if wire::authority::host_len(host.as_bytes()).is_none() {
                b.fault(
                    "host",
                    format!("{host:?} is not host[:port]"),
                    "write a name or an address, and maybe a port",
                );
            }
        }
        let host = config.host.map(|h| h.into_bytes().into());
        path.filter(|_| b.faults.len() == before)
            .map(|path| Self { path, host })
    }
}

impl Filter for Rewrite {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        if let Some(path) = self.path.rewritten(cx, req) {
            if req.set_path(&path).is_err() {
                let why = "The path of this request cannot be rewritten.";
                return Verdict::Reply(Box::new(Reply::problem(400, "rewrite_failed", why)));
            }
        }
        if let Some(host) = &self.host {
            // It was checked; what is left to fail is the head's bound.
            let _full = req.set_authority(host);
        }
        Verdict::Next
    }
}

impl Path {
    fn rewritten(&self, cx: &Cx<'_>, req: &Head) -> Option<Vec<u8>> {
        let path = req.path();
        match self {
            Self::Same => None,
            Self::Template(pieces) => {
                let captures = cx.snapshot.router.captures(cx.route, path);
                let mut out = Vec::with_capacity(path.len() + 32);
                for piece in pieces {
                    out.extend_from_slice(match piece {
                        Piece::Text(text) => text,
                        Piece::Capture(name) => &path[captures.span(name)?],
                    });
                }
                Some(out)
            }
            Self::Prefix { strip, add } => {
                let rest = path
                    .strip_prefix(&**strip)
                    .filter(|r| matches!(r, [] | [b'/', ..]))?;
                let rest = if rest.is_empty() && add.is_empty() {
                    b"/"
                } else {
                    rest
                };
                Some([add, rest].concat())
            }
            Self::Regex { regex, replace } => match regex.replace_all(path, &**replace) {
                std::borrow::Cow::Borrowed(_) => None,
                std::borrow::Cow::Owned(new) => Some(new),
            },
        }
    }
}

fn template(text: &str, b: &mut Build<'_>) -> Option<Path> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            b.fault(
                "path",
                format!("a placeholder in {text:?} is not closed"),
                "write {name}",
            );
            return None;
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.as_bytes().into()));
        }
        pieces.push(Piece::Capture(name.into()));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.as_bytes().into()));
    }
    let sample: Vec<u8> = pieces
        .iter()
        .flat_map(|p| match p {
            Piece::Text(t) => t.to_vec(),
            Piece::Capture(_) => b"x".to_vec(),
        })
        .collect();
    checked("path", text, &sample, b).then_some(Path::Template(pieces))
}

fn pattern(regex: &str, replace: String, b: &mut Build<'_>) -> Option<Path> {
    match Regex::new(regex) {
        Ok(regex) => Some(Path::Regex {
            regex: Box::new(regex),
            replace: replace.into_bytes().into(),
        }),
        Err(why) => {
            let text = why.to_string();
            let last = text
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ")
                .to_owned();
            b.fault(
                "regex",
                format!("{regex:?} is no regular expression: {last}"),
                "see the syntax of the regex crate",
            );
            None
        }
    }
}

/// A prefix without a slash at its end, since the rest of a path begins with one.
fn part(key: &str, prefix: Option<String>, b: &mut Build<'_>) -> Vec<u8> {
    let Some(text) = prefix else {
        return Vec::new();
    };
    checked(key, &text, text.as_bytes(), b);
    text.trim_end_matches('/').into()
}

fn checked(key: &str, text: &str, sample: &[u8], b: &mut Build<'_>) -> bool {
    let mut normal = Vec::new();
    let fits = match wire::path::normalise(sample, &mut normal) {
        Ok(flags) => !flags.changed || normal == sample,
        Err(_) => false,
    };
    if !fits {
        let fix = "write a path such as /a/b: from the root, escaped, without dots, ? or #";
        b.fault(key, format!("{text:?} is no normal path"), fix);
    }
    fits
}

fn missing(key: &str, b: &mut Build<'_>) -> Option<Path> {
    b.fault(
        key,
        format!("{key} is missing"),
        "write both regex and replace",
    );
    None
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
