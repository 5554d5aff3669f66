//! static: answers with files of a folder.
//!
//! Config:  `{ use: static, root: ./site, fallback: index.html, precompressed: [br, gzip] }`
//! Reads:   the normalised path, Range and If-Range, If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since, with
//!          `precompressed` also Accept-Encoding.
//! Asks:    for a file, and for its compressed neighbours.
//! Replies: 200, 206 or 304; 301 to the same path with a slash for a directory; 404 `static_not_found`, also for a name that begins
//!          with a dot; 403 `static_denied` for a file without permission, or a link that leads outside; 405 `static_method` to other
//!          methods than GET and HEAD; 412 `static_precondition`; 416 `static_range`; 503 `static_unavailable` if the folder cannot be
//!          opened, or the system has no descriptor left.
//! Fails:   a file that becomes shorter while it is sent ends its response with a cut, never with other bytes.
//! Source:  RFC 9110 sections 8.8 (validators), 13 (conditions), 14 (ranges), RFC 8615 (`.well-known`).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use wire::{Head, Method, Name};

use super::static_conditions::{accepted, Condition, Validators};
use super::static_path::Below;
use super::static_range::Ranges;
use super::{static_types, Build};
use crate::config::text::File;
use crate::file::{FileBody, FileCall, Found, Kind, Links, NoFile, Piece, MOST_PATHS};
use crate::filter::{Answer, Ask, AskId, Cx, Exchange, Filter, Needs, Verdict};
use crate::reply::{Body, Reply};

/// Answers with files of a folder.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The folder: a path, relative to the config's file. The path of a request is looked for below it. Required.
    pub root: File,
    /// The names that are looked for in a directory, the first that is there; at most 8. Default: `[index.html]`.
    #[serde(default = "index")]
    pub index: Vec<String>,
    /// The file below `root` that answers, with 200, where there is no other: for pages that find their way by themselves. Default:
    /// none, which is 404.
    pub fallback: Option<String>,
    /// Which compressed neighbours are sent to clients that accept them: of `app.js` these are `app.js.br`, `app.js.zst` and
    /// `app.js.gz`. Of those that a client likes equally, the first here. Default: none.
    #[serde(default)]
    pub precompressed: Vec<Coding>,
    /// What is done about symbolic links: `refuse`, `inside` (followed as long as they stay below `root`, which an absolute one does
    /// not), or `follow` wherever they lead. Default: `inside`.
    #[serde(default)]
    pub symlinks: Links,
    /// Whether names that begin with a dot are there for clients; `/.well-known/` always is. Default: false.
    #[serde(default)]
    pub dotfiles: bool,
    /// The value of Cache-Control. Default: the field is not sent.
    pub cache_control: Option<String>,
    /// Media types of extensions, in the place of those of the table, or beside them: `{ md: text/plain }`; at most 256. Default: none.
    #[serde(default)]
    pub types: BTreeMap<String, String>,
    /// The media type of files whose extension is not known. Default: `application/octet-stream`.
    #[serde(default = "octets")]
    pub default_type: String,
}

fn index() -> Vec<String> {
    vec!["index.html".to_owned()]
}

fn octets() -> String {
    "application/octet-stream".to_owned()
}

/// A coding in which a file may lie beside the file itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "StaticCoding")]
pub enum Coding {
    /// Brotli: `.br`.
    Br,
    /// Zstandard: `.zst`.
    Zstd,
    /// gzip: `.gz`.
    Gzip,
}

impl Coding {
    fn name(&self) -> &'static str {
        match self {
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    fn suffix(self) -> &'static str {
        match self {
            Self::Br => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }
}

/// The filter.
pub struct Static {
    root: Arc<Path>,
    index: Vec<String>,
    fallback: Option<Box<[u8]>>,
    precompressed: Vec<Coding>,
    links: Links,
    dotfiles: bool,
    cache_control: Option<String>,
    types: BTreeMap<String, String>,
    default_type: String,
}

impl Static {
    /// From its config, if its names are names of files.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        let fallback = check(&config, b);
        if b.faults.len() > before {
            return None;
        }
        let root = config.root.path();
        let root = b.resolved.map_or(root.to_owned(), |r| r.folder.join(root));
        let types = config.types.into_iter();
        Some(Self {
            root: root.into(),
            index: config.index,
            fallback,
            precompressed: config.precompressed,
            links: config.symlinks,
            dotfiles: config.dotfiles,
            cache_control: config.cache_control,
            types: types.map(|(e, t)| (e.to_ascii_lowercase(), t)).collect(),
            default_type: config.default_type,
        })
    }

    fn open(&self, paths: Arc<[Box<[u8]>]>, directories: bool) -> Verdict {
        Verdict::Ask(Ask::File(Box::new(FileCall {
            root: self.root.clone(),
            paths,
            directories,
            links: self.links,
        })))
    }

    fn found(&self, cx: &mut Cx<'_>, req: &Head, found: &Found) -> Verdict {
        let Some(look) = look(cx) else {
            return unavailable();
        };
        if let Some(original) = &look.original {
            // One of its neighbours.
            let name = look.paths.get(original.at).cloned().unwrap_or_default();
            let coding = look.codings.get(found.at).copied();
            return self.serve(cx, req, found, (&name, coding));
        }
        let name = look.paths.get(found.at).cloned().unwrap_or_default();
        if found.kind == Kind::Directory {
            return if found.at == 0 {
                with_slash(req)
            } else {
                not_found()
            };
        }
        let codings = accepted(req, &self.precompressed, Coding::name);
        if codings.is_empty() {
            return self.serve(cx, req, found, (&name, None));
        }
        look.original = Some(found.clone());
        look.codings = codings.into_iter().copied().collect();
        let beside = |c: &Coding| [&*name, c.suffix().as_bytes()].concat().into();
        let paths = look.codings.iter().map(beside).collect();
        self.open(paths, false)
    }

    fn missing(&self, cx: &mut Cx<'_>, req: &Head, why: NoFile) -> Verdict {
        let original = look(cx).and_then(|l| Some((l.original.clone()?, l.paths.clone())));
        match (original, why) {
            (Some((found, paths)), _) => {
                let name = paths.get(found.at).cloned().unwrap_or_default();
                self.serve(cx, req, &found, (&name, None))
            }
            (None, NoFile::Absent) => not_found(),
            (None, NoFile::Denied) => refuse(403, "static_denied", "This file may not be read."),
        }
    }

    /// The file is there: what is sent of it, and whether.
    fn serve(
        &self,
        cx: &mut Cx<'_>,
        req: &Head,
        found: &Found,
        (name, coding): (&[u8], Option<Coding>),
    ) -> Verdict {
        // What is not sent is not held open meanwhile.
        cx.slot.any = None;
        let of = Validators::of(found, coding.map(|c| c.name()), cx.unix);
        let condition = of.check(req, cx.unix);
        if condition == Condition::Failed {
            let why = "The file is not the one that the request is made for.";
            return refuse(412, "static_precondition", why);
        }
        let kind = self.kind(name);
        let mut fields: Vec<(Cow<'static, str>, Vec<u8>)> = Vec::with_capacity(7);
        let mut set = |name: Name, value: &[u8]| fields.push((name.as_str().into(), value.into()));
        set(Name::ETag, of.etag.as_bytes());
        if let Some(modified) = of.modified {
            set(Name::LastModified, &wire::date::imf_fixdate(modified));
        }
        if let Some(value) = &self.cache_control {
            set(Name::CacheControl, value.as_bytes());
        }
        if !self.precompressed.is_empty() {
            set(Name::Vary, b"Accept-Encoding");
        }
        if condition == Condition::NotModified {
            return answer(304, fields, Body::Empty);
        }
        if let Some(coding) = coding {
            set(Name::ContentEncoding, coding.name().as_bytes());
        }
        // Ranges mean something for GET only (RFC 9110 section 14.2), and two fields of them mean nothing. Of a coding there are none, as
        // with nginx: it would be the coding's bytes that are counted.
        let ranged = req.method() == Method::Get && coding.is_none();
        let mut asked = req.get_all(Name::Range);
        let ranges = match (asked.next(), asked.next()) {
            (Some(value), None) if ranged && of.range_holds(req, cx.unix) => {
                Ranges::of(value, found.size)
            }
            _ => Ranges::Whole,
        };
        let size = found.size;
        let (status, pieces) = match ranges {
            Ranges::Whole => {
                if coding.is_none() {
                    set(Name::AcceptRanges, b"bytes");
                }
                set(Name::ContentType, kind.as_bytes());
                let whole = Piece::File { from: 0, len: size };
                (200, vec![whole])
            }
            Ranges::Unsatisfiable => {
                let why = "The file has no such range.";
                let reply = Reply::problem(416, "static_range", why);
                let reply = reply.with("content-range", format!("bytes */{size}"));
                return Verdict::Reply(Box::new(reply));
            }
            Ranges::Parts(parts) => match *parts {
                [(from, len)] => {
                    set(Name::ContentRange, range(from, len, size).as_bytes());
                    set(Name::ContentType, kind.as_bytes());
                    (206, vec![Piece::File { from, len }])
                }
                _ => {
                    let boundary = format!("{:020}", cx.rng.next_u64());
                    let multipart = format!("multipart/byteranges; boundary={boundary}");
                    set(Name::ContentType, multipart.as_bytes());
                    (206, pieces(&parts, size, kind, &boundary))
                }
            },
        };
        let body = FileBody::new(found.handle.clone(), pieces);
        answer(status, fields, Body::File(Arc::new(body)))
    }

    fn kind(&self, path: &[u8]) -> &str {
        let Some(extension) = static_types::extension(path) else {
            return &self.default_type;
        };
        match self.types.get(&extension) {
            Some(own) => own,
            None => static_types::of(&extension).unwrap_or(&self.default_type),
        }
    }
}

impl Filter for Static {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            replies: true,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        if !matches!(req.method(), Method::Get | Method::Head) {
            let why = "Files are read with GET and HEAD only.";
            let reply = Reply::problem(405, "static_method", why);
            return Verdict::Reply(Box::new(reply.with("allow", "GET, HEAD")));
        }
        let Ok(below) = Below::of(req.path(), self.dotfiles) else {
            return not_found();
        };
        let mut paths = Vec::with_capacity(self.index.len() + 1);
        if below.directory {
            paths.extend(self.index.iter().map(|name| below.join(name)));
        } else {
            paths.push(below.path.into());
        }
        paths.extend(self.fallback.clone());
        if paths.is_empty() {
            return not_found();
        }
        let paths: Arc<[_]> = paths.into();
        cx.slot.any = Some(Box::new(Look {
            paths: paths.clone(),
            original: None,
            codings: Vec::new(),
        }));
        self.open(paths, !below.directory)
    }

    fn on_answer(&self, cx: &mut Cx<'_>, ex: &mut Exchange, _: AskId, a: Answer<'_>) -> Verdict {
        match a {
            Answer::File(found) => self.found(cx, &ex.request, found),
            Answer::NoFile(why) => self.missing(cx, &ex.request, why),
            _ => unavailable(),
        }
    }
}

/// What a request is looking for.
struct Look {
    /// What was asked for first.
    paths: Arc<[Box<[u8]>]>,
    /// What was found of it, while its neighbours are looked for.
    original: Option<Found>,
    /// The codings of those, in order.
    codings: Vec<Coding>,
}

fn look<'c>(cx: &'c mut Cx<'_>) -> Option<&'c mut Look> {
    cx.slot.any.as_mut()?.downcast_mut()
}

impl Validators {
    /// The same tag as nginx makes, of seconds and bytes; a coding has one of its own.
    fn of(found: &Found, coding: Option<&str>, now: u64) -> Self {
        let (modified, size) = (found.modified, found.size);
        let etag = match coding {
            None => format!("\"{modified:x}-{size:x}\""),
            Some(coding) => format!("\"{modified:x}-{size:x}-{coding}\""),
        };
        let modified = u64::try_from(modified).ok().filter(|at| *at <= now);
        Self { etag, modified }
    }
}

/// Parts of a file, each behind its own head, written as nginx writes them.
fn pieces(parts: &[(u64, u64)], size: u64, kind: &str, boundary: &str) -> Vec<Piece> {
    let mut pieces = Vec::with_capacity(parts.len() * 2 + 1);
    for &(from, len) in parts {
        let range = range(from, len, size);
        let head =
            format!("\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: {range}\r\n\r\n");
        pieces.push(Piece::Text(head.into_bytes()));
        pieces.push(Piece::File { from, len });
    }
    pieces.push(Piece::Text(format!("\r\n--{boundary}--\r\n").into_bytes()));
    pieces
}

fn range(from: u64, len: u64, size: u64) -> String {
    format!("bytes {from}-{}/{size}", from + len - 1)
}

/// To the same path with a slash. What stands before its last name may have been rewritten, so the client is told the last name only:
/// relative to the path that it knows.
fn with_slash(req: &Head) -> Verdict {
    let name = req.path().rsplit(|&b| b == b'/').next().unwrap_or_default();
    let mut to = Vec::with_capacity(name.len() + 8);
    if name.contains(&b':') {
        to.extend_from_slice(b"./"); // else it would be a scheme
    }
    to.extend_from_slice(name);
    to.push(b'/');
    if let Some(query) = req.query() {
        to.push(b'?');
        to.extend_from_slice(query);
    }
    answer(301, vec![("location".into(), to)], Body::Empty)
}

fn answer(status: u16, fields: Vec<(Cow<'static, str>, Vec<u8>)>, body: Body) -> Verdict {
    Verdict::Reply(Box::new(Reply {
        status,
        code: "",
        fields,
        body,
    }))
}

fn refuse(status: u16, code: &'static str, why: &'static str) -> Verdict {
    Verdict::Reply(Box::new(Reply::problem(status, code, why)))
}

fn not_found() -> Verdict {
    refuse(404, "static_not_found", "There is no such file.")
}

/// The file system fails, and not for want of the file.
pub fn unreadable() -> Reply {
    Reply::problem(503, "static_unavailable", "Files cannot be read just now.")
}

fn unavailable() -> Verdict {
    Verdict::Reply(Box::new(unreadable()))
}

/// Reports what is no name, no path or no value; returns the path of the fallback.
fn check(config: &Config, b: &mut Build<'_>) -> Option<Box<[u8]>> {
    if config.index.len() > MOST_INDEX {
        let why = format!("{} are above the most, {MOST_INDEX}", config.index.len());
        b.fault("index", why, "write fewer");
    }
    for (i, name) in config.index.iter().enumerate() {
        let is_name = |n: &Below| !n.directory && !n.path.contains(&b'/');
        if below(name).is_none_or(|n| !is_name(&n)) {
            let why = format!("{name:?} is no name of a file");
            b.fault(&format!("index[{i}]"), why, "write such as index.html");
        }
    }
    let fallback = config.fallback.as_ref().and_then(|path| {
        let file = below(path).filter(|n| !n.directory);
        if file.is_none() {
            let why = format!("{path:?} is no path of a file below root");
            b.fault("fallback", why, "write such as index.html");
        }
        file
    });
    for (i, coding) in config.precompressed.iter().enumerate() {
        if config.precompressed[..i].contains(coding) {
            let why = format!("{} is there already", coding.name());
            b.fault(&format!("precompressed[{i}]"), why, "remove this one");
        }
    }
    let mut value = |at: &str, value: &str, fix: &str| {
        if value.is_empty() || !wire::valid_value(value.as_bytes()) {
            let why = format!("{value:?} is no value of a field");
            b.fault(at, why, fix);
        }
    };
    if let Some(text) = &config.cache_control {
        value("cache_control", text, "write such as public, max-age=3600");
    }
    value(
        "default_type",
        &config.default_type,
        "write such as text/plain",
    );
    for (extension, kind) in &config.types {
        value(
            &format!("types.{extension}"),
            kind,
            "write such as text/plain",
        );
    }
    for extension in config.types.keys() {
        let fits = (1..=static_types::LONGEST).contains(&extension.len());
        if !fits || extension.contains(['.', '/']) {
            let why = format!("{extension:?} is no extension of a file");
            let fix = "write it without the dot, with 16 bytes at most: md";
            b.fault(&format!("types.{extension}"), why, fix);
        }
    }
    if config.types.len() > MOST_TYPES {
        let why = format!("{} are above the most, {MOST_TYPES}", config.types.len());
        b.fault("types", why, "write fewer");
    }
    fallback.map(|n| n.path.into())
}

/// A path in a config: written as it is, not encoded.
fn below(path: &str) -> Option<Below> {
    if path.contains('%') {
        return None; // it would be read as an escape
    }
    Below::of(path.as_bytes(), true).ok()
}

/// Names that are looked for in a directory.
const MOST_INDEX: usize = 8;
/// Media types of a config.
const MOST_TYPES: usize = 256;
const _: () = assert!(MOST_INDEX < MOST_PATHS);

#[cfg(test)]
#[path = "static_tests.rs"]
mod tests;
