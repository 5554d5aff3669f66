//! maintenance: answers 503 while a service is worked on, but lets those in who work on it.
//!
//! Config:  `{ use: maintenance, retry_after: 10m, allow: [10.0.0.0/8] }`
//! Reads:   the client's address (behind proxies put the filter client_ip first), and the field of `bypass`.
//! Asks:    nothing.
//! Replies: 503 `maintenance` with Retry-After and Cache-Control: no-store; or with `body` in place of the problem.
//! Fails:   never open. The word of `bypass` goes no further than here, and no log shows it. Without `allow` and `bypass` the route needs no `to`.
//! Source:  RFC 9110 sections 10.2.3 (Retry-After) and 15.6.4 (503); FIPS 180-4 (SHA-256), compared in constant time.

use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use wire::Head;

use super::api_key_ring::KeyHash;
use super::{name_fault, Build};
use crate::config::units::Cidr;
use crate::config::Duration;
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::reply::{Body, Reply};
use crate::secret::Secret;

/// Answers 503 while a service is worked on, but lets those in who work on it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Whether it does anything: false leaves the filter in its place for the next time. Default: true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// When to come again, in whole seconds. Default: 5m.
    #[serde(default = "retry_after")]
    pub retry_after: Duration,
    /// Blocks of addresses that are let in, at most 64. Default: none.
    #[serde(default)]
    pub allow: Vec<Cidr>,
    /// A word that lets in whoever sends it. Default: none.
    pub bypass: Option<Bypass>,
    /// The sentence of the problem document. Default: `This service is being worked on.`
    pub detail: Option<String>,
    /// A body in place of the problem document, at most 64 KiB. Default: none.
    pub body: Option<String>,
    /// The media type of `body`. Default: `text/html; charset=utf-8`.
    pub content_type: Option<String>,
}

/// A word that lets in whoever sends it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MaintenanceBypass")]
pub struct Bypass {
    /// The field that it is sent in. Default: `x-maintenance-bypass`.
    #[serde(default = "header")]
    pub header: String,
    /// The SHA-256 of the word, 64 hexadecimal digits. `ironsluice key new` makes a word that nobody guesses, and its hash. Required.
    pub hash: KeyHash,
}

fn yes() -> bool {
    true
}

fn retry_after() -> Duration {
    Duration::secs(300)
}

fn header() -> String {
    "x-maintenance-bypass".to_owned()
}

/// The filter.
pub struct Maintenance {
    enabled: bool,
    allow: Box<[Cidr]>,
    hash: Option<[u8; 32]>,
    secret: Option<Secret>,
    reply: Reply,
}

impl Maintenance {
    /// From its config, if it makes one response.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        if config.allow.len() > MAX_ALLOW {
            let why = format!("{} are above the most, {MAX_ALLOW}", config.allow.len());
            b.fault("allow", why, "write larger blocks");
        }
        if let Some(bypass) = &config.bypass {
            if let Some((why, fix)) = name_fault(&bypass.header, true) {
                b.fault("bypass.header", why, fix);
            }
        }
        match &config.body {
            Some(body) if body.len() > MAX_BODY => {
                let why = format!("{} bytes are above the most, {MAX_BODY}", body.len());
                b.fault("body", why, "write a shorter one that names its pictures");
            }
            Some(_) if config.detail.is_some() => {
                b.fault(
                    "detail",
                    "there is a body already",
                    "keep one of body and detail",
                );
            }
            _ => {}
        }
        if let Some(kind) = &config.content_type {
            if config.body.is_none() {
                let why = "there is no body that it is the type of";
                b.fault("content_type", why, "add body or remove it");
            } else if kind.is_empty() || !wire::valid_value(kind.as_bytes()) {
                let why = format!("{kind:?} is no media type");
                b.fault("content_type", why, "write one such as text/html");
            }
        }
        let html = || "text/html; charset=utf-8".to_owned();
        let body = match config.body {
            Some(body) => {
                let kind = config.content_type.unwrap_or_else(html);
                Body::Plain(kind.into(), body.into_bytes())
            }
            None => {
                let detail = config.detail.map(Into::into);
                Body::Problem(detail.unwrap_or("This service is being worked on.".into()))
            }
        };
        let seconds = config.retry_after.nanos().div_ceil(1_000_000_000);
        let reply = Reply {
            status: 503,
            code: "maintenance",
            fields: Vec::with_capacity(2),
            body,
        };
        (b.faults.len() == before).then(|| Self {
            enabled: config.enabled,
            allow: config.allow.into(),
            hash: config.bypass.as_ref().map(|bypass| bypass.hash.bytes()),
            secret: config.bypass.map(|bypass| Secret {
                header: bypass.header.to_ascii_lowercase().into(),
                query: None,
            }),
            reply: reply
                .with("retry-after", seconds.to_string())
                .with("cache-control", "no-store"),
        })
    }

    fn knows(&self, req: &Head) -> bool {
        let (Some(hash), Some(secret)) = (&self.hash, &self.secret) else {
            return false;
        };
        let word = req.find(secret.header.as_bytes());
        let word = word.filter(|w| w.len() <= MAX_WORD);
        word.is_some_and(|w| Sha256::digest(w).as_slice().ct_eq(hash).into())
    }
}

impl Filter for Maintenance {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            replies: self.enabled && self.allow.is_empty() && self.hash.is_none(),
            ..Needs::default()
        }
    }

    fn secret(&self) -> Option<&Secret> {
        self.secret.as_ref()
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        let may = !self.enabled
            || self.allow.iter().any(|block| block.contains(cx.client.ip))
            || self.knows(req);
        if !may {
            return Verdict::Reply(Box::new(self.reply.clone()));
        }
        if let Some(secret) = &self.secret {
            req.remove(secret.header.as_bytes());
        }
        Verdict::Next
    }
}

/// The most blocks.
const MAX_ALLOW: usize = 64;
/// The most bytes of a body.
const MAX_BODY: usize = 64 << 10;
/// The longest word that is looked at, in bytes.
const MAX_WORD: usize = 256;

#[cfg(test)]
#[path = "maintenance_tests.rs"]
mod tests;
