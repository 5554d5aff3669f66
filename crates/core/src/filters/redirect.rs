//! redirect: sends the client to another address: to https, to another host, to another path.
//!
//! Config:  `{ use: redirect, scheme: https }`, `{ use: redirect, host: www.example.com, status: 301 }`, `{ use: redirect, path: "/new/{id}" }`
//! Reads:   the normalised path, what the route's path template captured, Host; whether the client speaks TLS, with the gateway or by the word
//!          of a trusted proxy (X-Forwarded-Proto, with client_ip before; a PROXY header).
//! Asks:    nothing.
//! Replies: `status` with Location, which is the whole address if scheme, host or port change, and else begins at the path.
//!          400 `redirect_failed` if what comes out is no path (only a regex can do that), or if the address needs a host and the
//!          request has none.
//! Fails:   never in a circle: a request that is already at its goal, or whose path does not fit the rule, passes. What comes out is normalised
//!          again, so that Location leads to no other host than the rule says. The route needs no `to`: what passes is 404 then.
//! Source:  RFC 9110 sections 10.2.2 (Location) and 15.4 (status codes).

use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::rewrite_path::{missing, part, pattern, template, Path};
use super::Build;
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::reply::{Body, Reply};
use crate::secure::is_by_tls;

/// Sends the client to another address: to https, to another host, to another path.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The new scheme. Default: it stays.
    pub scheme: Option<Scheme>,
    /// The new host, without a port. Default: it stays.
    pub host: Option<String>,
    /// The new port. Default: that of the scheme if scheme or host change, else it stays.
    pub port: Option<u16>,
    /// The new path. `{name}` is what the route's path template captured. Default: the path stays.
    pub path: Option<String>,
    /// Whole segments to take off the path's front: `/api` makes `/api/x` to `/x`, and leaves `/apix`. Default: none.
    pub strip_prefix: Option<String>,
    /// What to put before the path, after `strip_prefix`. Default: nothing.
    pub add_prefix: Option<String>,
    /// Every match of this in the path is replaced by `replace`. Default: none.
    pub regex: Option<String>,
    /// What a match becomes; `$1` or `${name}` is what a group matched. Required with `regex`.
    pub replace: Option<String>,
    /// Whether the query goes along. Default: true.
    #[serde(default = "yes")]
    pub keep_query: bool,
    /// 301, 302, 303, 307 or 308. 301 and 308 are remembered by browsers; 307 and 308 keep the method and the body. Default: 307.
    #[serde(default = "temporary")]
    pub status: u16,
}

/// A scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "RedirectScheme")]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    fn text(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

fn yes() -> bool {
    true
}

fn temporary() -> u16 {
    307
}

/// The filter.
pub struct Redirect {
    scheme: Option<Scheme>,
    host: Option<Box<str>>,
    port: Option<u16>,
    path: Path,
    keep_query: bool,
    status: u16,
}

impl Redirect {
    /// From its config, if it says one thing and that makes addresses.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        if !matches!(config.status, 301 | 302 | 303 | 307 | 308) {
            let why = format!("{} is no redirection", config.status);
            b.fault("status", why, "write 301, 302, 303, 307 or 308");
        }
        if let Some(host) = &config.host {
            // An IPv6 address has its brackets.
            if wire::authority::host_len(host.as_bytes()) != Some(host.len()) {
                let why = format!("{host:?} is no host");
                b.fault(
                    "host",
                    why,
                    "write a name or an address; port has its own key",
                );
            }
        }
        if config.port == Some(0) {
            b.fault("port", "0 is no port", "write 1 to 65535");
        }
        let path = path(&config, b);
        let moves = config.scheme.is_some() || config.host.is_some() || config.port.is_some();
        if !moves && matches!(path, Some(Path::Same)) {
            let why = "the address stays as it is";
            b.fault(
                "scheme",
                why,
                "add scheme, host, port, path, strip_prefix, add_prefix or regex",
            );
        }
        path.filter(|_| b.faults.len() == before).map(|path| Self {
            scheme: config.scheme,
            host: config.host.map(|h| h.to_ascii_lowercase().into()),
            port: config.port,
            path,
            keep_query: config.keep_query,
            status: config.status,
        })
    }

    /// `https://host[:port]`; `Ok(None)` if the request is there already.
    fn origin(&self, cx: &Cx<'_>, req: &Head) -> Result<Option<String>, NoHost> {
        if self.scheme.is_none() && self.host.is_none() && self.port.is_none() {
            return Ok(None);
        }
        let had = if is_by_tls(cx.client, req) {
            Scheme::Https
        } else {
            Scheme::Http
        };
        let scheme = self.scheme.unwrap_or(had);
        let asked = req.host();
        let host = self.host.as_deref().map_or(asked, str::as_bytes);
        let asked_port = req.authority().get(asked.len() + 1..);
        let asked_port = asked_port.and_then(|p| std::str::from_utf8(p).ok()?.parse().ok());
        let moved = scheme != had || host != asked;
        let port = match self.port {
            Some(port) => port,
            None if moved => scheme.port(),
            None => asked_port.unwrap_or(had.port()),
        };
        // A proxy in front may listen elsewhere than Host says, so a port that was not asked for is no reason.
        let same_port = self.port.is_none() || port == asked_port.unwrap_or(had.port());
        if !moved && same_port {
            return Ok(None);
        }
        let host = std::str::from_utf8(host).map_err(|_| NoHost)?;
        if host.is_empty() {
            return Err(NoHost);
        }
        let mut origin = format!("{}://{host}", scheme.text());
        if port != scheme.port() {
            origin.push_str(&format!(":{port}"));
        }
        Ok(Some(origin))
    }
}

/// An HTTP/1.0 request that names no host.
struct NoHost;

fn path(config: &Config, b: &mut Build<'_>) -> Option<Path> {
    let prefix = config.strip_prefix.is_some() || config.add_prefix.is_some();
    let ways = [
        config.path.is_some(),
        prefix,
        config.regex.is_some() || config.replace.is_some(),
    ];
    if ways.iter().filter(|w| **w).count() > 1 {
        let fix = "keep one of path, strip_prefix with add_prefix, and regex with replace";
        b.fault("path", "there is more than one rule for the path", fix);
    }
    match (&config.path, &config.regex, &config.replace) {
        (Some(text), ..) => template(text, b),
        (None, Some(regex), Some(replace)) => pattern(regex, replace.clone(), b),
        (None, Some(_), None) => missing("replace", b),
        (None, None, Some(_)) => missing("regex", b),
        (None, None, None) if prefix => Some(Path::Prefix {
            strip: part("strip_prefix", config.strip_prefix.clone(), b).into(),
            add: part("add_prefix", config.add_prefix.clone(), b).into(),
        }),
        (None, None, None) => Some(Path::Same),
    }
}

fn failed(why: &'static str) -> Verdict {
    Verdict::Reply(Box::new(Reply::problem(400, "redirect_failed", why)))
}

impl Filter for Redirect {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            replies: true,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        let Ok(origin) = self.origin(cx, req) else {
            return failed("This request names no host.");
        };
        let had = req.path().len();
        let rewritten = self.path.rewritten(cx, req);
        let moved = match rewritten {
            Some(path) if path != req.path() => {
                if req.set_path(&path).is_err() {
                    return failed("The path of this request leads to no other.");
                }
                true
            }
            _ => false,
        };
        if (origin.is_none() && !moved) || !req.path().starts_with(b"/") {
            // `OPTIONS *` is about no address.
            return Verdict::Next;
        }
        let mut location = origin.unwrap_or_default().into_bytes();
        location.reserve(had + 64);
        location.extend_from_slice(req.path());
        if let Some(query) = req.query().filter(|_| self.keep_query) {
            location.push(b'?');
            location.extend_from_slice(query);
        }
        let reply = Reply {
            status: self.status,
            code: "",
            fields: Vec::with_capacity(1),
            body: Body::Empty,
        };
        Verdict::Reply(Box::new(reply.with("location", location)))
    }
}

#[cfg(test)]
#[path = "redirect_tests.rs"]
mod tests;
