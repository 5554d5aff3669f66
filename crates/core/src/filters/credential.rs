//! What filters share that ask for a credential: whether a request brings one, and who may come without.
//!
//! Source: the Fetch standard, CORS-preflight request.

use schemars::JsonSchema;
use serde::Deserialize;
use wire::{Head, Method};

/// What happens to CORS preflights without a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ApiKeyPreflight")]
pub enum Preflight {
    /// They are refused, as all requests without a key.
    #[default]
    Refuse,
    /// They pass.
    Pass,
}

impl Preflight {
    /// Whether this request may go on without a credential.
    pub(super) fn passes(self, req: &Head) -> bool {
        self == Self::Pass && is_preflight(req)
    }
}

/// What a request brings.
pub(super) enum Given<'r> {
    None,
    One(&'r [u8]),
    /// Two that are not the same.
    Several,
}

impl<'r> Given<'r> {
    /// From all that a request has of them.
    pub(super) fn of(mut all: impl Iterator<Item = &'r [u8]>) -> Self {
        match all.next() {
            None => Self::None,
            Some(first) if all.all(|other| other == first) => Self::One(first),
            Some(_) => Self::Several,
        }
    }
}

/// The question that browsers ask before a request to another origin (the Fetch standard, CORS-preflight request).
fn is_preflight(req: &Head) -> bool {
    let has = |name: &[u8]| req.find(name).is_some();
    req.method() == Method::Options && has(b"origin") && has(b"access-control-request-method")
}
