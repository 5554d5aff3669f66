//! What a route says of the requests it wants, as it is written in the config.
//!
//! Source:  RFC 9110 section 4.2 (hosts), RFC 3986 section 3.3 (paths), the syntax of the `regex` crate.
//! Errors:  a [`Why`]. Patterns are held to the same normal form as the paths of requests
//!          ([`wire::path`]), so none is written that could never match.
//! Bounds:  [`MAX_PATTERN`] bytes, [`MAX_SEGMENTS`] segments, [`MAX_CAPTURES`] captures; a compiled
//!          regular expression is at most [`MAX_REGEX`] bytes, and its time is linear in the path.

use std::fmt;
use std::str::FromStr;

use regex::bytes::{Regex, RegexBuilder};

use crate::config::fault::{quote, suggest, Why};
use crate::config::text::text;

/// The hosts that a route wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// Every host, and requests that name none.
    Any,
    /// `*.example.com`: every host below `example.com`, at any depth, but not `example.com`. Holds
    /// `.example.com`.
    Below(Box<str>),
    /// This one, in lower case.
    Exact(Box<str>),
}

text!(
    Host,
    "a host such as api.example.com",
    r"^(\*|(\*\.)?[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\])$",
    "A host without its port: `api.example.com`, `*.example.com` (any depth below, not `example.com` itself), or `*` for all."
);

impl Host {
    /// A name, an IP address, or `*.` and a name.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let lower = text.to_ascii_lowercase();
        let lower = lower.strip_suffix('.').unwrap_or(&lower);
        let not = |fix: String| Why::new(format!("{} is not a host", quote(text)), fix);
        if lower == "*" {
            return Ok(Self::Any);
        }
        let name = lower.strip_prefix("*.").unwrap_or(lower);
        if let Some((bare, port)) = lower.rsplit_once(':') {
            let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
            if is_port && !bare.is_empty() && (!bare.contains(':') || bare.ends_with(']')) {
                return Err(not(format!("write {bare}, the port does not count")));
            }
        }
        if name.contains('*') {
            return Err(not(
                "a * stands for the first labels only, as in *.example.com".to_owned(),
            ));
        }
        if wire::authority::host_len(name.as_bytes()) != Some(name.len()) {
            return Err(not(
                "write a name such as api.example.com, or *.example.com".to_owned(),
            ));
        }
        Ok(match lower.strip_prefix('*') {
            Some(below) => Self::Below(below.into()),
            None => Self::Exact(lower.into()),
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(suffix) => write!(f, "*{suffix}"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

/// The paths that a route wants.
#[derive(Clone, Debug)]
pub enum Path {
    /// `/a/b`: this one.
    Exact(Box<str>),
    /// `/users/{id}/{rest*}`: segments, some of them taken as they come.
    Template(Template),
    /// `/api/*`: `/api` and all below it. Holds `/api`.
    Prefix(Box<str>),
    /// `~^/x[0-9]+$`: what the expression finds.
    Regex(Regex),
    /// `/*`: every path.
    Any,
}

text!(
    Path,
    "a path such as /api/*",
    r"^(/|~).{0,2047}$",
    "A path: `/a/b` is this one, `/api/*` is `/api` and all below it, `/users/{id}/{rest*}` takes segments as they come (`{name}` one, `{name*}` all that are left), `~^/x[0-9]+$` is a regular expression, `/*` every path."
);

impl Path {
    /// Tells the forms apart by their first sign and by what they hold.
    pub fn parse(text: &str) -> Result<Self, Why> {
        if text.len() > MAX_PATTERN {
            return Err(Why::new(
                format!("{} has more than {MAX_PATTERN} bytes", quote(text)),
                "write a shorter path",
            ));
        }
        if let Some(regex) = text.strip_prefix('~') {
            return compile(regex).map(Self::Regex);
        }
        if !text.starts_with('/') {
            let fix = format!("write /{}", text.trim_start_matches("./"));
            return Err(Why::new(
                format!("{} does not begin with a slash", quote(text)),
                fix,
            ));
        }
        if text == "/*" {
            return Ok(Self::Any);
        }
        if text.contains(['{', '}']) {
            return Template::parse(text).map(Self::Template);
        }
        let (plain, prefix) = match text.strip_suffix("/*") {
            Some(plain) => (plain, true),
            None => (text, false),
        };
        if plain.contains('*') {
            let why = format!("{} has a * that is not its last segment", quote(text));
            return Err(Why::new(why, "write /a/* for all below /a, {name} for one segment, or ~ and a regular expression"));
        }
        if prefix && plain.ends_with('/') {
            let why = format!("{} is not in normal form: no request has it", quote(text));
            return Err(Why::new(
                why,
                format!("write {}/*", plain.trim_end_matches('/')),
            ));
        }
        normal(plain, text)?;
        Ok(if prefix {
            Self::Prefix(plain.into())
        } else {
            Self::Exact(plain.into())
        })
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Template(template) => template.fmt(f),
            Self::Prefix(path) => write!(f, "{path}/*"),
            Self::Regex(regex) => write!(f, "~{}", regex.as_str()),
            Self::Any => f.write_str("/*"),
        }
    }
}

/// Segments, some of them taken as they come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// In order; only the last may be [`Segment::Rest`].
    pub segments: Vec<Segment>,
}

/// What a template says between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// As it stands; empty at the end of `/a/`.
    Literal(Box<str>),
    /// `{name}`: exactly one segment, not empty.
    One(Box<str>),
    /// `{name*}`: all that is left, which may be nothing.
    Rest(Box<str>),
}

impl Segment {
    /// The name under which it is captured.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Literal(_) => None,
            Self::One(name) | Self::Rest(name) => Some(name),
        }
    }
}

impl Template {
    fn parse(text: &str) -> Result<Self, Why> {
        let mut segments = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let mut plain = String::new();
        for part in text[1..].split('/') {
            if let Some(Segment::Rest(name)) = segments.last() {
                let why = format!("{} goes on after {{{name}*}}", quote(text));
                return Err(Why::new(
                    why,
                    format!("let {{{name}*}} be the last segment"),
                ));
            }
            let Some(inner) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
                if part.contains(['{', '}', '*']) {
                    let why = format!(
                        "{} has a segment that is only partly a {{name}}",
                        quote(text)
                    );
                    return Err(Why::new(
                        why,
                        "let a {name} fill its segment, or write ~ and a regular expression",
                    ));
                }
                plain.push('/');
                plain.push_str(part);
                segments.push(Segment::Literal(part.into()));
                continue;
            };
            let (name, rest) = inner
                .strip_suffix('*')
                .map_or((inner, false), |name| (name, true));
            let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
            if name.is_empty() || name.len() > 32 || !name.bytes().all(fits) {
                let why = format!("{} does not name a segment", quote(part));
                return Err(Why::new(
                    why,
                    "write {name} or {name*}, with 1 to 32 letters, digits or _",
                ));
            }
            if names.contains(&name) {
                return Err(Why::new(
                    format!("{} has {{{name}}} twice", quote(text)),
                    "give each segment a name of its own",
                ));
            }
            names.push(name);
            plain.push_str("/x");
            segments.push(if rest {
                Segment::Rest(name.into())
            } else {
                Segment::One(name.into())
            });
        }
        if names.len() > MAX_CAPTURES || segments.len() > MAX_SEGMENTS {
            let why = format!(
                "{} has more than {MAX_CAPTURES} names or {MAX_SEGMENTS} segments",
                quote(text)
            );
            return Err(Why::new(why, "write ~ and a regular expression"));
        }
        normal(&plain, text)?;
        Ok(Self { segments })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Literal(text) => write!(f, "/{text}"),
            Segment::One(name) => write!(f, "/{{{name}}}"),
            Segment::Rest(name) => write!(f, "/{{{name}*}}"),
        })
    }
}

/// A method that a route wants. `GET` includes HEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Method(u8);

text!(
    Method,
    "a method such as GET",
    r"^(GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS|QUERY|PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|UNLOCK|REPORT|SEARCH)$",
    "A method, in capitals. `GET` includes `HEAD`."
);

impl Method {
    /// One of [`METHODS`].
    pub fn parse(text: &str) -> Result<Self, Why> {
        text.parse().map_err(|()| {
            Why::new(
                format!("no method is called {}", quote(text)),
                suggest(text, METHODS.iter().copied()),
            )
        })
    }

    /// A bit of its own.
    pub fn bit(self) -> u32 {
        1 << self.0
    }

    /// The bit of the method spelt `token`; none if no route can ask for it.
    pub fn bit_of(token: &[u8]) -> u32 {
        METHODS
            .iter()
            .position(|m| m.as_bytes() == token)
            .map_or(0, |at| 1 << at)
    }
}

impl FromStr for Method {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        METHODS
            .iter()
            .position(|m| *m == text)
            .map(|at| Self(at as u8))
            .ok_or(())
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(METHODS[usize::from(self.0)])
    }
}

/// A literal path as requests have it, so that it can match one at all.
fn normal(plain: &str, whole: &str) -> Result<(), Why> {
    if plain.is_empty() {
        return Ok(());
    }
    let mut out = Vec::new();
    match wire::path::normalise(plain.as_bytes(), &mut out) {
        Ok(flags) if !flags.changed || out == plain.as_bytes() => Ok(()),
        Ok(_) if plain.len() == whole.len() => {
            let why = format!("{} is not in normal form: no request has it", quote(whole));
            Err(Why::new(
                why,
                format!("write {}", String::from_utf8_lossy(&out)),
            ))
        }
        Ok(_) => {
            let why = format!("{} is not in normal form: no request has it", quote(whole));
            Err(Why::new(
                why,
                "write it without //, . and .., escapes in capitals and only where they are needed",
            ))
        }
        Err(_) => {
            let why = format!("{} is not a path", quote(whole));
            Err(Why::new(
                why,
                "escape what is not a letter, a digit or one of -._~!$&'()+,;=:@",
            ))
        }
    }
}

fn compile(source: &str) -> Result<Regex, Why> {
    let built = RegexBuilder::new(source)
        .unicode(false)
        .size_limit(MAX_REGEX)
        .dfa_size_limit(MAX_REGEX)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            let why = format!("{} is too large when compiled", quote(source));
            Why::new(
                why,
                "write smaller repetitions, or a template such as /a/{name}",
            )
        }
        other => {
            let text = other.to_string();
            let last = text
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            Why::new(
                format!("{} is not a regular expression: {last}", quote(source)),
                "see docs.rs/regex for its syntax",
            )
        }
    })
}

/// Methods that routes can ask for: RFC 9110, RFC 5789, RFC 4918 and relatives. CONNECT and TRACE never reach a route.
pub const METHODS: [&str; 17] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "PATCH",
    "OPTIONS",
    "QUERY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
];
/// Bytes of a path pattern.
pub const MAX_PATTERN: usize = 2048;
/// Segments of a template.
pub const MAX_SEGMENTS: usize = 64;
/// Names in a template.
pub const MAX_CAPTURES: usize = 16;
/// Bytes of a compiled regular expression, and of its lazy automaton.
pub const MAX_REGEX: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_is_read() {
        for good in [
            "*",
            "*.example.com",
            "api.example.com",
            "127.0.0.1",
            "[::1]",
            "my_host",
        ] {
            assert_eq!(Host::parse(good).expect(good).to_string(), good);
        }
        for good in [
            "/",
            "/*",
            "/a/b",
            "/a/",
            "/api/*",
            "/u/{id}",
            "/u/{id}/{rest*}",
            "~^/x[0-9]+$",
            "/%2F",
            "/a/{b}/",
        ] {
            assert_eq!(Path::parse(good).expect(good).to_string(), good);
        }
        for good in METHODS {
            let method = Method::parse(good).expect(good);
            assert_eq!(
                (method.to_string().as_str(), method.bit()),
                (good, Method::bit_of(good.as_bytes()))
            );
        }
    }

    #[test]
    fn what_could_never_match_is_refused() {
        for (bad, fix) in [
            ("a.example:80", "write a.example, the port does not count"),
            ("[::1]:80", "write [::1], the port does not count"),
            (
                "a.*.b",
                "a * stands for the first labels only, as in *.example.com",
            ),
            (
                "*a.b",
                "a * stands for the first labels only, as in *.example.com",
            ),
            (
                "a b",
                "write a name such as api.example.com, or *.example.com",
            ),
            ("", "write a name such as api.example.com, or *.example.com"),
        ] {
            assert_eq!(Host::parse(bad).expect_err(bad).fix, fix, "{bad}");
        }
        for (bad, fix) in [
            ("api/*", "write /api/*"),
            ("/api*", "write /a/* for all below /a, {name} for one segment, or ~ and a regular expression"),
            ("/*/a", "write /a/* for all below /a, {name} for one segment, or ~ and a regular expression"),
            ("/a//b", "write /a/b"),
            ("/a/../b", "write /b"),
            ("//*", "write /*"),
            ("/a//*", "write /a/*"),
            ("/%61", "write /a"),
            ("/%2f", "write /%2F"),
            ("/a b", "escape what is not a letter, a digit or one of -._~!$&'()+,;=:@"),
            ("/a//{b}", "write it without //, . and .., escapes in capitals and only where they are needed"),
            ("/v{n}", "let a {name} fill its segment, or write ~ and a regular expression"),
            ("/{a}/*", "let a {name} fill its segment, or write ~ and a regular expression"),
            ("/{a*}/b", "let {a*} be the last segment"),
            ("/{a}/{a}", "give each segment a name of its own"),
            ("/{}", "write {name} or {name*}, with 1 to 32 letters, digits or _"),
            ("~(", "see docs.rs/regex for its syntax"),
            ("~(a{1000}){1000}", "write smaller repetitions, or a template such as /a/{name}"),
        ] {
            assert_eq!(Path::parse(bad).expect_err(bad).fix, fix, "{bad}");
        }
        assert_eq!(
            Method::parse("get").expect_err("lower case").fix,
            "did you mean \"GET\"?"
        );
    }
}
