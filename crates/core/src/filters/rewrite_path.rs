//! How rewrite makes a path of another: a template, prefixes or a regular expression.
//!
//! Errors: what makes no path is a fault of the config.

use regex::bytes::Regex;
use wire::Head;

use super::Build;
use crate::config::fault::suggest;
use crate::filter::Cx;
use crate::route::pattern::{Path as RoutePath, Segment};

#[derive(Debug)]
pub(super) enum Path {
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
pub(super) enum Piece {
    Text(Box<[u8]>),
    Capture(Box<str>),
}

impl Path {
    pub(super) fn rewritten(&self, cx: &Cx<'_>, req: &Head) -> Option<Vec<u8>> {
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

pub(super) fn template(text: &str, b: &mut Build<'_>) -> Option<Path> {
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
    for piece in &pieces {
        if let Piece::Capture(name) = piece {
            captured(name, text, b)?;
        }
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

/// Reports a placeholder that no path of the route captures.
fn captured(name: &str, text: &str, b: &mut Build<'_>) -> Option<()> {
    let names = |p: &RoutePath| match p {
        RoutePath::Template(t) => t
            .segments
            .iter()
            .filter_map(Segment::name)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    };
    let known: Vec<String> = b.paths.iter().flat_map(names).collect();
    if known.iter().any(|k| k == name) {
        return Some(());
    }
    let fix = if known.is_empty() {
        format!("write {{{name}}} in the route's match.path, or leave it out here")
    } else {
        suggest(name, known.iter().map(String::as_str))
    };
    let why = format!("{text:?} wants {{{name}}}, which no path of the route captures");
    b.fault("path", why, fix);
    None
}

pub(super) fn pattern(regex: &str, replace: String, b: &mut Build<'_>) -> Option<Path> {
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
pub(super) fn part(key: &str, prefix: Option<String>, b: &mut Build<'_>) -> Vec<u8> {
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

pub(super) fn missing(key: &str, b: &mut Build<'_>) -> Option<Path> {
    b.fault(
        key,
        format!("{key} is missing"),
        "write both regex and replace",
    );
    None
}
