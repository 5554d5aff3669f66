//! Web sites that a filter's `origins` lists, and what an Origin field says.
//!
//! Source: RFC 6454 sections 4 and 7 (an origin is scheme, host and port).

use std::borrow::Cow;
use std::fmt;

use schemars::{json_schema, JsonSchema, Schema, SchemaGenerator};
use serde::de::{self, Deserialize, Deserializer};
use wire::{Head, Name};

/// What one item of `origins` allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// The site that the request is for: its Host.
    Same,
    /// One site, or with `below` all hosts below this one.
    Site {
        /// `https`, in lower case.
        scheme: Box<str>,
        /// In lower case.
        host: Box<str>,
        /// 0 where the scheme has no default and none was written.
        port: u16,
        /// `*.` stood before the host.
        below: bool,
    },
}

impl Allowed {
    /// `same`, `https://app.example.com[:port]` or `https://*.example.com[:port]`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "same" {
            return Some(Self::Same);
        }
        let (scheme, rest) = text.split_once("://")?;
        let below = rest.starts_with("*.");
        let plain = format!("{scheme}://{}", rest.strip_prefix("*.").unwrap_or(rest));
        let site = Site::parse(plain.as_bytes())?;
        let host = std::str::from_utf8(site.host).ok()?;
        // Nothing is below an address.
        if below && (host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok()) {
            return None;
        }
        Some(Self::Site {
            scheme: scheme.to_ascii_lowercase().into(),
            host: host.to_ascii_lowercase().into(),
            port: site.port,
            below,
        })
    }

    /// Whether this means the site from which a page made the request; `secure` says that it came by TLS.
    fn allows(&self, site: &Site<'_>, req: &Head, secure: bool) -> bool {
        match self {
            Self::Same => {
                let here = Site::of(site.scheme, req.authority());
                // A page without TLS is whoever is on the way: it is not the site that has TLS.
                let weaker = secure && !site.scheme.eq_ignore_ascii_case(b"https");
                let is = |h: Site<'_>| {
                    h.host.eq_ignore_ascii_case(site.host) && h.port == site.port && !weaker
                };
                here.is_some_and(is)
            }
            Self::Site {
                scheme,
                host,
                port,
                below,
            } => {
                let fits = if *below {
                    is_below(site.host, host.as_bytes())
                } else {
                    site.host.eq_ignore_ascii_case(host.as_bytes())
                };
                fits && *port == site.port && site.scheme.eq_ignore_ascii_case(scheme.as_bytes())
            }
        }
    }
}

/// Whether the request's Origin is one of those. A request without one, or with two, is of none.
pub(super) fn is_allowed(list: &[Allowed], req: &Head, secure: bool) -> bool {
    find(list, req, secure).is_some()
}

/// The place in the list of what the request's Origin is one of.
pub(super) fn find(list: &[Allowed], req: &Head, secure: bool) -> Option<usize> {
    let mut fields = req.get_all(Name::Origin);
    let (Some(origin), None) = (fields.next(), fields.next()) else {
        return None;
    };
    let site = Site::parse(origin)?;
    list.iter().position(|a| a.allows(&site, req, secure))
}

fn is_below(host: &[u8], parent: &[u8]) -> bool {
    let Some(cut) = host.len().checked_sub(parent.len() + 1) else {
        return false;
    };
    cut > 0 && host[cut] == b'.' && host[cut + 1..].eq_ignore_ascii_case(parent)
}

/// `scheme://host[:port]`, and nothing behind it.
#[derive(Clone, Copy)]
struct Site<'a> {
    scheme: &'a [u8],
    host: &'a [u8],
    port: u16,
}

impl<'a> Site<'a> {
    /// None for `null` too: that is every page that hides where it is from.
    fn parse(text: &'a [u8]) -> Option<Self> {
        let colon = text.iter().position(|b| *b == b':')?;
        let (scheme, rest) = text.split_at(colon);
        let mut bytes = scheme.iter();
        let letters = bytes.next().is_some_and(u8::is_ascii_alphabetic)
            && bytes.all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b));
        if !letters {
            return None;
        }
        Self::of(scheme, rest.strip_prefix(b"://")?)
    }

    fn of(scheme: &'a [u8], authority: &'a [u8]) -> Option<Self> {
        let len = wire::authority::host_len(authority)?;
        let port = match authority.get(len + 1..) {
            Some(port) => std::str::from_utf8(port).ok()?.parse().ok()?,
            None if scheme.eq_ignore_ascii_case(b"https") => 443,
            None if scheme.eq_ignore_ascii_case(b"http") => 80,
            None => 0,
        };
        Some(Self {
            scheme,
            host: &authority[..len],
            port,
        })
    }
}

impl<'de> Deserialize<'de> for Allowed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text)
            .ok_or_else(|| de::Error::invalid_value(de::Unexpected::Str(&text), &EXPECTED))
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Same => f.write_str("same"),
            Self::Site {
                scheme,
                host,
                port,
                below,
            } => {
                let star = if *below { "*." } else { "" };
                write!(f, "{scheme}://{star}{host}")?;
                match (&**scheme, port) {
                    ("https", 443) | ("http", 80) | (_, 0) => Ok(()),
                    _ => write!(f, ":{port}"),
                }
            }
        }
    }
}

impl JsonSchema for Allowed {
    fn schema_name() -> Cow<'static, str> {
        "Origin".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^(same|[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]+)$",
            "examples": ["same", "https://app.example.com", "https://*.example.com"],
            "description": "A site: `https://app.example.com`, with its port if it is not the scheme's own; all hosts below one: \
                            `https://*.example.com`, which is not `example.com` itself; or `same`, the host and port of the request. \
                            Over TLS, `same` is `https` only."
        })
    }
}

const EXPECTED: &str =
    "an origin without a path: same, https://app.example.com or https://*.example.com";
