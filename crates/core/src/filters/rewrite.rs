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

use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::rewrite_path::{missing, part, pattern, template, Path};
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

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod tests;
