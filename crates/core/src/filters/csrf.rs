//! csrf: refuses requests that change something and come from pages of other sites.
//!
//! Config:  `{ use: csrf }`, `{ use: csrf, origins: ["https://login.example.com"] }`
//! Reads:   the method, Sec-Fetch-Site, Origin and Host; of programs other than browsers nothing, for they send neither field.
//! Asks:    nothing. There is no token, no cookie and no state.
//! Replies: 403 `csrf_refused`.
//! Fails:   never open for what browsers of today send. GET, HEAD and OPTIONS pass: they must not change anything. A request with none of the two
//!          fields comes from no browser and passes, unless `absent: refuse`. WebSockets begin with GET: the filter websocket looks at their origin.
//! Source:  Fetch Metadata Request Headers (W3C); the algorithm of `net/http.CrossOriginProtection` of Go 1.25; OWASP, Cross-Site Request
//!          Forgery Prevention Cheat Sheet.

use schemars::JsonSchema;
use serde::Deserialize;
use wire::{Head, Method, Name};

use super::origin::{is_allowed, Allowed};
use super::Build;
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::reply::Reply;
use crate::secure::is_by_tls;

/// Refuses requests that change something and come from pages of other sites.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Other sites whose pages may make such requests, at most 256. Default: none.
    #[serde(default)]
    pub origins: Vec<Allowed>,
    /// What becomes of a request with neither Sec-Fetch-Site nor Origin: one of a program, or of a browser from before 2020. Default: `pass`.
    #[serde(default)]
    pub absent: Absent,
}

/// What becomes of requests that do not say where they come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "CsrfAbsent")]
pub enum Absent {
    /// They pass.
    #[default]
    Pass,
    /// They are refused.
    Refuse,
}

/// The filter.
pub struct Csrf {
    /// The others, and the request's own.
    origins: Vec<Allowed>,
    absent: Absent,
}

impl Csrf {
    /// From its config.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let mut origins = config.origins;
        if origins.len() > MAX_ORIGINS {
            let why = format!("{} are above the most, {MAX_ORIGINS}", origins.len());
            let fix = "write https://*.example.com for many hosts of one domain";
            b.fault("origins", why, fix);
            return None;
        }
        origins.push(Allowed::Same);
        Some(Self {
            origins,
            absent: config.absent,
        })
    }

    fn lets(&self, cx: &Cx<'_>, req: &Head) -> bool {
        if matches!(req.method(), Method::Get | Method::Head | Method::Options) {
            return true;
        }
        let mut sites = req.find_all(b"sec-fetch-site").peekable();
        if sites.peek().is_some() {
            // `none` is a person: an address that was typed, a bookmark.
            let own = sites.all(|site| site == b"same-origin" || site == b"none");
            if own {
                return true;
            }
            let (_, others) = self.origins.split_last().unwrap_or((&Allowed::Same, &[]));
            return is_allowed(others, req, is_by_tls(cx.client, req));
        }
        if req.get(Name::Origin).is_none() {
            return self.absent == Absent::Pass;
        }
        is_allowed(&self.origins, req, is_by_tls(cx.client, req))
    }
}

impl Filter for Csrf {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        if self.lets(cx, req) {
            return Verdict::Next;
        }
        let why = "A page of another site made this request.";
        Verdict::Reply(Box::new(Reply::problem(403, "csrf_refused", why)))
    }
}

/// The most origins.
const MAX_ORIGINS: usize = 256;

#[cfg(test)]
#[path = "csrf_tests.rs"]
mod tests;
