//! security_headers: tells browsers to be strict with the responses of a site.
//!
//! Config:  `{ use: security_headers, hsts: { max_age: 365d } }`
//! Reads:   whether the client speaks TLS, with the gateway or by the word of a trusted proxy, for Strict-Transport-Security only.
//! Asks:    nothing.
//! Replies: nothing.
//! Fails:   a head that would grow beyond its bound keeps what it has. What the upstream says itself stays, unless `override: true`.
//! Source:  OWASP Secure Headers Project; RFC 6797 (Strict-Transport-Security, never without TLS: section 7.2), Fetch (nosniff, Cross-Origin-Resource-Policy),
//!          HTML (Cross-Origin-Opener-Policy, Cross-Origin-Embedder-Policy, X-Frame-Options), Content Security Policy, Referrer Policy, Permissions Policy.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::security_policies::{
    Embedder, Frames, HstsConfig, Opener, Referrer, Resource, Sniffing, Text,
};
use super::{name_fault, Build};
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::secure::is_by_tls;

/// Tells browsers to be strict with the responses of a site. Each key but the last three has its field's name.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// X-Content-Type-Options: a browser believes Content-Type. Default: `nosniff`.
    #[serde(default)]
    pub content_type_options: Sniffing,
    /// X-Frame-Options: whose pages may show this one in a frame. Default: `sameorigin`.
    #[serde(default)]
    pub frame_options: Frames,
    /// Referrer-Policy: what other sites learn of the address that a user comes from. Default: `strict-origin-when-cross-origin`.
    #[serde(default)]
    pub referrer_policy: Referrer,
    /// Cross-Origin-Opener-Policy: which windows may reach this one. Default: `same-origin`; with logins by pop-up of another site write
    /// `same-origin-allow-popups`.
    #[serde(default)]
    pub opener_policy: Opener,
    /// Cross-Origin-Resource-Policy: whose pages may have this as a picture, script and the like. Default: `same-origin`.
    #[serde(default)]
    pub resource_policy: Resource,
    /// Cross-Origin-Embedder-Policy: what this page may have of other sites. Default: `off`.
    #[serde(default)]
    pub embedder_policy: Embedder,
    /// Content-Security-Policy. Default: not said.
    pub content_security_policy: Option<Text>,
    /// Content-Security-Policy-Report-Only: a policy to try. Default: not said.
    pub content_security_policy_report_only: Option<Text>,
    /// Permissions-Policy, such as `camera=(), geolocation=()`. Default: not said.
    pub permissions_policy: Option<Text>,
    /// Strict-Transport-Security, on responses by TLS only: browsers use https for so long, whatever a link says. Default: not said, since it
    /// cannot be taken back.
    pub hsts: Option<HstsConfig>,
    /// Whether what the upstream says in these fields is replaced. Default: false.
    #[serde(default, rename = "override")]
    pub replaces: bool,
    /// Fields that tell what a server is made of, to take out. Default: `[x-powered-by]`.
    #[serde(default = "remove")]
    pub remove: Vec<String>,
}

fn remove() -> Vec<String> {
    vec!["x-powered-by".to_owned()]
}

/// The filter.
pub struct SecurityHeaders {
    fields: Box<[(&'static str, Box<str>)]>,
    hsts: Option<Box<str>>,
    replaces: bool,
    remove: Box<[String]>,
}

impl SecurityHeaders {
    /// From its config, if browsers read what it says.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        for (at, name) in config.remove.iter().enumerate() {
            if let Some((why, fix)) = name_fault(name, false) {
                b.fault(&format!("remove[{at}]"), why, fix);
            }
        }
        if config.remove.len() > MAX_REMOVE {
            let why = format!("{} are above the most, {MAX_REMOVE}", config.remove.len());
            b.fault("remove", why, "keep those that your servers send");
        }
        if let Some(hsts) = &config.hsts {
            hsts.check(b);
        }
        let text = |text: Option<Text>| text.map(|t| t.to_string());
        let said: BTreeMap<&'static str, Option<String>> = BTreeMap::from([
            (
                "X-Content-Type-Options",
                config.content_type_options.value(),
            ),
            ("X-Frame-Options", config.frame_options.value()),
            ("Referrer-Policy", config.referrer_policy.value()),
            ("Cross-Origin-Opener-Policy", config.opener_policy.value()),
            (
                "Cross-Origin-Resource-Policy",
                config.resource_policy.value(),
            ),
            (
                "Cross-Origin-Embedder-Policy",
                config.embedder_policy.value(),
            ),
            (
                "Content-Security-Policy",
                text(config.content_security_policy),
            ),
            (
                "Content-Security-Policy-Report-Only",
                text(config.content_security_policy_report_only),
            ),
            ("Permissions-Policy", text(config.permissions_policy)),
        ]);
        let fields = said
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?.into())));
        (b.faults.len() == before).then(|| Self {
            fields: fields.collect(),
            hsts: config.hsts.map(|hsts| hsts.value().into()),
            replaces: config.replaces,
            remove: config.remove.into(),
        })
    }

    fn say(&self, rsp: &mut Head, name: &str, value: &str) {
        if self.replaces || rsp.find(name.as_bytes()).is_none() {
            // Names and values were checked; what is left to fail is the head's bound.
            let _full = rsp.set(name.as_bytes(), value.as_bytes());
        }
    }
}

impl Filter for SecurityHeaders {
    fn needs(&self) -> Needs {
        Needs {
            request: self.hsts.is_some(),
            response: true,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        // Filters behind may change what proxies said.
        cx.slot.words[0] = u64::from(is_by_tls(cx.client, req));
        Verdict::Next
    }

    fn on_response(&self, cx: &mut Cx<'_>, _: &Head, rsp: &mut Head) -> Verdict {
        for name in &self.remove {
            rsp.remove(name.as_bytes());
        }
        for (name, value) in &self.fields {
            self.say(rsp, name, value);
        }
        match &self.hsts {
            Some(hsts) if cx.slot.words[0] == 1 => {
                self.say(rsp, "Strict-Transport-Security", hsts);
            }
            _ => {}
        }
        Verdict::Next
    }
}

/// The most names to take out.
const MAX_REMOVE: usize = 64;

#[cfg(test)]
#[path = "security_headers_tests.rs"]
mod tests;
