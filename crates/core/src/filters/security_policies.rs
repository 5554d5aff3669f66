//! The words that browsers know, for security_headers.
//!
//! Source: Referrer Policy section 3, HTML sections 7.1.3 and 7.1.4 (Cross-Origin-Opener-Policy, Cross-Origin-Embedder-Policy),
//!         Fetch sections 3.6 and 3.7, RFC 7034 (X-Frame-Options), RFC 6797 section 6.1.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::Build;
use crate::config::fault::{quote, Why};
use crate::config::text::text;
use crate::config::units::number;

/// An enum of words of a field: the default, the others, and `off`.
macro_rules! words {
    ($name:ident, $schema:literal, $about:literal, $default:ident = $first:literal, $($variant:ident = $word:literal),* $(,)?) => {
        #[doc = $about]
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
        #[schemars(rename = $schema)]
        #[allow(missing_docs, clippy::enum_variant_names)] // the variants are the words themselves
        pub enum $name {
            #[default]
            #[serde(rename = $first)]
            $default,
            $(#[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// What the field says; none if it is not said.
            pub(super) fn value(self) -> Option<String> {
                let word = match self {
                    Self::$default => $first,
                    $(Self::$variant => $word,)*
                };
                (word != "off").then(|| word.to_owned())
            }
        }
    };
}

words!(
    Sniffing,
    "SniffingPolicy",
    "Whether a browser guesses types.",
    Nosniff = "nosniff",
    Off = "off"
);
words!(
    Frames,
    "FramePolicy",
    "Whose pages may show this one in a frame.",
    SameOrigin = "sameorigin",
    Deny = "deny",
    Off = "off",
);
words!(
    Referrer,
    "ReferrerPolicy",
    "What other sites learn of where a user comes from.",
    StrictOriginWhenCrossOrigin = "strict-origin-when-cross-origin",
    NoReferrer = "no-referrer",
    NoReferrerWhenDowngrade = "no-referrer-when-downgrade",
    Origin = "origin",
    OriginWhenCrossOrigin = "origin-when-cross-origin",
    SameOrigin = "same-origin",
    StrictOrigin = "strict-origin",
    UnsafeUrl = "unsafe-url",
    Off = "off",
);
words!(
    Opener,
    "OpenerPolicy",
    "Which windows may reach this one.",
    SameOrigin = "same-origin",
    SameOriginAllowPopups = "same-origin-allow-popups",
    NoopenerAllowPopups = "noopener-allow-popups",
    UnsafeNone = "unsafe-none",
    Off = "off",
);
words!(
    Resource,
    "ResourcePolicy",
    "Whose pages may have this as a part.",
    SameOrigin = "same-origin",
    SameSite = "same-site",
    CrossOrigin = "cross-origin",
    Off = "off",
);
words!(
    Embedder,
    "EmbedderPolicy",
    "What a page may have of other sites.",
    Off = "off",
    RequireCorp = "require-corp",
    Credentialless = "credentialless",
    UnsafeNone = "unsafe-none",
);

/// A policy as its field has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(Box<str>);

text!(
    Text,
    "a policy as text",
    r"^[!-~][ -~]{0,8191}$",
    "What the field says: 1 to 8192 printable ASCII characters on one line."
);

impl Text {
    /// What can stand in a field.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let fits = |b: u8| b == b' ' || b.is_ascii_graphic();
        if text.is_empty() || text.len() > 8192 || text.trim() != text || !text.bytes().all(fits) {
            let why = format!("{} cannot stand in a field", quote(text));
            let fix =
                "write 1 to 8192 printable ASCII characters on one line, without spaces around";
            return Err(Why::new(why, fix));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// For how long browsers use https whatever a link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HstsAge(u64);

text!(
    HstsAge,
    "a length of time such as 365d",
    r"^(0s|[0-9]+[smhd])$",
    "A length of time: a whole number and `s`, `m`, `h` or `d`; 0s to 3650d. `0s` makes browsers forget."
);

impl HstsAge {
    /// At most ten years.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let not = || {
            let why = format!("{} is not a length of time", quote(text));
            Why::new(why, "write a whole number and s, m, h or d, at most 3650d")
        };
        let unit = match text.as_bytes().last() {
            Some(b's') => 1,
            Some(b'm') => 60,
            Some(b'h') => 3600,
            Some(b'd') => DAY,
            _ => return Err(not()),
        };
        let count = number(&text[..text.len() - 1]).ok_or_else(not)?;
        let seconds = count.checked_mul(unit).filter(|s| *s <= 3650 * DAY);
        seconds.map(Self).ok_or_else(not)
    }
}

impl fmt::Display for HstsAge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s", self.0)
    }
}

/// Strict-Transport-Security.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Hsts")]
pub struct HstsConfig {
    /// For how long. Begin with `5m`, and go to `365d` when all of the site is on https. Required.
    pub max_age: HstsAge,
    /// Whether all hosts below this one are meant too. Default: false.
    #[serde(default)]
    pub include_subdomains: bool,
    /// Whether the site is to be in the list that browsers come with: see hstspreload.org first. Default: false.
    #[serde(default)]
    pub preload: bool,
}

impl HstsConfig {
    pub(super) fn value(&self) -> String {
        let mut value = format!("max-age={}", self.max_age.0);
        if self.include_subdomains {
            value.push_str("; includeSubDomains");
        }
        if self.preload {
            value.push_str("; preload");
        }
        value
    }

    /// Reports what the list of browsers does not take.
    pub(super) fn check(&self, b: &mut Build<'_>) {
        if self.preload && (self.max_age.0 < 365 * DAY || !self.include_subdomains) {
            let why = "the list takes a site only with a year or more, and all hosts below it";
            b.fault(
                "hsts.preload",
                why,
                "write max_age: 365d and include_subdomains: true",
            );
        }
    }
}

const DAY: u64 = 86_400;
