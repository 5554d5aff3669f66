//! api_key: lets in who sends a known key, and says whose it is.
//!
//! Config:  `{ use: api_key, keys: [{ prefix: acme_live, consumer: acme,
//!          hash: 6bf214f579c79ebaace9d39b11df64f0323d8f96eb6ad7131e51287114114776 }] }`
//! Reads:   the field `header` (of `authorization` what stands behind `Bearer`), and the parameter `query` if one is named.
//! Asks:    nothing: the keys are in the config, as SHA-256.
//! Replies: 401 `api_key_missing`; 401 `api_key_unknown`; 401 `api_key_expired` once `expires` has come;
//!          401 `api_key_ambiguous` for two different keys in one request; all with WWW-Authenticate.
//!          None of them for a request without a key if `anonymous` is true, nor for a CORS preflight with `preflight: pass`.
//!          400 `api_key_query` if a head is too full to take the parameter out.
//! Fails:   never open. A key goes no further than here, unless `forward: true`, and no log shows it. The key's consumer is
//!          told to the upstream in Ironsluice-Consumer, which no client can say itself, and to filters behind this one.
//! Source:  RFC 9110 section 11.6.1 (WWW-Authenticate), RFC 6750 (Bearer), FIPS 180-4 (SHA-256), Fetch (CORS preflight). Hashes are compared in
//!          constant time; a prefix is no secret.

use schemars::JsonSchema;
use serde::Deserialize;
use wire::{Head, Name};

use super::api_key_ring::{Found, Key, Ring};
use super::credential::{Given, Preflight};
use super::Build;
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::reply::Reply;
use crate::secret::{is_called, pairs, Secret};

/// Lets in who sends a known key, and says whose it is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The keys that open, at most 10000, at most 64 of one prefix. `ironsluice key new` makes them. Required.
    pub keys: Vec<Key>,
    /// The field that a key is sent in. `authorization` means `Authorization: Bearer KEY`. Default: `x-api-key`.
    #[serde(default = "header")]
    pub header: String,
    /// A parameter of the query that a key may be sent in too. Addresses end up in histories and in logs of others: prefer the
    /// field. Default: none.
    pub query: Option<String>,
    /// Whether the upstream gets the key as well. Default: false.
    #[serde(default)]
    pub forward: bool,
    /// Whether a request without a key passes, as nobody's: filters and upstreams behind are told no consumer. A key that is
    /// sent must be good all the same. Default: false.
    #[serde(default)]
    pub anonymous: bool,
    /// What happens to the question that a browser asks before a request to another origin: an OPTIONS with Origin and
    /// Access-Control-Request-Method, which never has a key. `pass` lets it go on, as nobody's. Default: `refuse`.
    #[serde(default)]
    pub preflight: Preflight,
}

fn header() -> String {
    "x-api-key".to_owned()
}

/// The filter.
pub struct ApiKey {
    ring: Ring,
    secret: Secret,
    bearer: bool,
    forward: bool,
    anonymous: bool,
    preflight: Preflight,
    /// WWW-Authenticate for a request without a key.
    challenge: Box<str>,
}

impl ApiKey {
    /// From its config, if each key can be told from the others.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        let header = config.header.to_ascii_lowercase();
        let known = Name::of(header.as_bytes());
        if !wire::valid_name(header.as_bytes()) {
            let why = format!("{:?} is no field name", config.header);
            b.fault("header", why, "use letters, digits and - only");
        } else if !matches!(known, Name::Other | Name::Authorization)
            || header.starts_with("ironsluice-")
        {
            let why = format!("{} means something else", config.header);
            b.fault("header", why, "use x-api-key or authorization");
        }
        if let Some(query) = &config.query {
            if query.is_empty() || query.len() > MAX_PARAMETER {
                let why = format!(
                    "a name of {} bytes is not 1 to {MAX_PARAMETER} long",
                    query.len()
                );
                b.fault("query", why, "write a short name such as api_key");
            }
        }
        let ring = Ring::of(config.keys, b);
        if b.faults.len() > before {
            return None;
        }
        let bearer = known == Name::Authorization;
        let challenge = if bearer {
            format!("Bearer realm=\"{}\"", b.route)
        } else {
            format!("ApiKey realm=\"{}\", header=\"{header}\"", b.route)
        };
        Some(Self {
            ring,
            secret: Secret {
                header: header.into(),
                query: config.query.map(String::into_boxed_str),
            },
            bearer,
            forward: config.forward,
            anonymous: config.anonymous,
            preflight: config.preflight,
            challenge: challenge.into(),
        })
    }

    fn given<'r>(&'r self, req: &'r Head) -> Given<'r> {
        let header = req.find_all(self.secret.header.as_bytes());
        let header = header.filter_map(|value| self.key_of(value));
        let query = self.secret.query.as_deref().zip(req.query());
        let query = query.into_iter().flat_map(|(wanted, query)| {
            let mine = pairs(query).filter(move |(name, _)| is_called(name, wanted));
            mine.map(|(_, value)| value.unwrap_or_default())
        });
        Given::of(header.chain(query))
    }

    /// The key in a value of the field; none in an Authorization of another scheme (RFC 9110 section 11.4).
    fn key_of<'r>(&self, value: &'r [u8]) -> Option<&'r [u8]> {
        if !self.bearer {
            return Some(value);
        }
        let (scheme, key) = value.split_at_checked(BEARER.len())?;
        let is_bearer = scheme.eq_ignore_ascii_case(BEARER);
        let key = key.trim_ascii_start();
        is_bearer.then_some(key)
    }

    /// Takes the key out. False if the head has no room for the shorter query beside the old one.
    fn take_out(&self, req: &mut Head) -> bool {
        let values = || req.find_all(self.secret.header.as_bytes());
        if values().any(|value| self.key_of(value).is_some()) {
            req.remove(self.secret.header.as_bytes());
        }
        let Some((wanted, query)) = self.secret.query.as_deref().zip(req.query()) else {
            return true;
        };
        if !pairs(query).any(|(name, _)| is_called(name, wanted)) {
            return true;
        }
        let rest = query.split(|b| *b == b'&');
        let rest = rest.filter(|pair| {
            let name = pair.split(|b| *b == b'=').next().unwrap_or_default();
            !is_called(name, wanted)
        });
        let rest = rest.collect::<Vec<_>>().join(&b'&');
        req.set_query((!rest.is_empty()).then_some(&rest)).is_ok()
    }

    /// RFC 6750 section 3.1 has the words of `error`; a request that tried nothing gets none.
    fn refuse(&self, code: &'static str, error: Option<&str>, why: &'static str) -> Verdict {
        let mut challenge = self.challenge.to_string();
        if let Some(error) = error.filter(|_| self.bearer) {
            challenge.push_str(&format!(", error=\"{error}\""));
        }
        let reply = Reply::problem(401, code, why).with("www-authenticate", challenge);
        Verdict::Reply(Box::new(reply))
    }
}

impl Filter for ApiKey {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            proves_consumer: true,
            ..Needs::default()
        }
    }

    fn secret(&self) -> Option<&Secret> {
        Some(&self.secret)
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        let key = match self.given(req) {
            Given::None if self.anonymous => return Verdict::Next,
            Given::None if self.preflight.passes(req) => return Verdict::Next,
            Given::None => return self.refuse("api_key_missing", None, "A key is needed here."),
            Given::One(key) => key,
            Given::Several => {
                let why = "The request has two different keys.";
                return self.refuse("api_key_ambiguous", Some("invalid_request"), why);
            }
        };
        let refused = Some("invalid_token");
        match self.ring.find(key, cx.unix) {
            Found::Consumer(consumer) => cx.client.consumer = Some(consumer.clone()),
            Found::Expired => {
                return self.refuse("api_key_expired", refused, "This key has expired.")
            }
            Found::Unknown => {
                return self.refuse("api_key_unknown", refused, "This key is not known here.")
            }
        }
        if !self.forward && !self.take_out(req) {
            let why = "The head is too large to take the key out of its query.";
            return Verdict::Reply(Box::new(Reply::problem(400, "api_key_query", why)));
        }
        Verdict::Next
    }
}

const BEARER: &[u8] = b"Bearer ";
/// The longest name of a parameter, in bytes.
const MAX_PARAMETER: usize = 64;

#[cfg(test)]
#[path = "api_key_tests.rs"]
mod tests;
