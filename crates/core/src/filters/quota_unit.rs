//! What a quota counts, and how much of it a request was.

use std::fmt;

use wire::Head;

use crate::config::fault::{quote, Why};
use crate::config::text::text;
use crate::filter::Outcome;

/// What a quota counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Each request that is let pass is 1.
    #[default]
    Requests,
    /// Body bytes that came from the client.
    RequestBytes,
    /// Body bytes that went to the client.
    ResponseBytes,
    /// Both.
    Bytes,
    /// What the response says in this field.
    Header(Box<str>),
}

text!(
    Unit,
    "a unit such as requests",
    r"^(requests|request_bytes|response_bytes|bytes|header:[!#$%&'*+.^_`|~0-9A-Za-z-]+)$",
    "`requests`, `request_bytes`, `response_bytes`, `bytes` (both), or `header:NAME`: whole numbers in this field of the response."
);

impl Unit {
    /// One of those.
    pub fn parse(text: &str) -> Result<Self, Why> {
        Ok(match text {
            "requests" => Self::Requests,
            "request_bytes" => Self::RequestBytes,
            "response_bytes" => Self::ResponseBytes,
            "bytes" => Self::Bytes,
            other => {
                let name = other.strip_prefix("header:");
                let name = name.filter(|n| wire::valid_name(n.as_bytes()));
                let name = name.ok_or_else(|| {
                    let fix = "write requests, request_bytes, response_bytes, bytes or header:NAME";
                    Why::new(format!("{} is no unit", quote(other)), fix)
                })?;
                Self::Header(name.to_ascii_lowercase().into())
            }
        })
    }

    /// True if the response says it.
    pub(super) fn is_told(&self) -> bool {
        matches!(self, Self::Header(_))
    }

    /// What the response says: the sum of all such fields. What is no whole number of at most 15 digits is 0.
    pub(super) fn told(&self, rsp: &Head) -> Option<u64> {
        let Self::Header(name) = self else {
            return None;
        };
        let number = |value: &[u8]| {
            let short = (1..=15).contains(&value.len());
            let digits = short && value.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(value).ok().filter(|_| digits);
            text.and_then(|t| t.parse::<u64>().ok()).unwrap_or(0)
        };
        let all = rsp.find_all(name.as_bytes()).map(number);
        Some(all.fold(0, u64::saturating_add))
    }

    /// How much a request was that ended so, and of which the response said `told`.
    pub(super) fn of(&self, outcome: &Outcome, told: u64) -> u64 {
        match self {
            Self::Requests => 1,
            Self::RequestBytes => outcome.received,
            Self::ResponseBytes => outcome.sent,
            Self::Bytes => outcome.received.saturating_add(outcome.sent),
            Self::Header(_) => told,
        }
    }

    /// The quota unit of RateLimit-Policy; none for requests, which are the default. Only `content-bytes` is registered.
    pub(super) fn qu(&self) -> Option<&str> {
        match self {
            Self::Requests => None,
            Self::RequestBytes | Self::ResponseBytes | Self::Bytes => Some("content-bytes"),
            Self::Header(name) => Some(name),
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requests => f.write_str("requests"),
            Self::RequestBytes => f.write_str("request_bytes"),
            Self::ResponseBytes => f.write_str("response_bytes"),
            Self::Bytes => f.write_str("bytes"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}
