//! basic_auth: lets in who sends a known name and password, and says whose the request is.
//!
//! Config:  `{ use: basic_auth, users: ["ali:{SSHA256}09qZsXQwbl1lmdQSaMYKuBiqIhvXdM2zH57rBHDebuoxMjM0NTY3OA=="] }`
//! Reads:   Authorization of the scheme Basic.
//! Asks:    nothing: the hashes are in the config, as SHA-256 with a salt.
//! Replies: 401 `basic_auth_missing`; 401 `basic_auth_refused` for a name or a password that is not known, for what is not to be read, and for two different
//!          ones in one request; all with WWW-Authenticate, by which browsers ask their user. None of them for a request without a login if
//!          `anonymous` is true, nor for a CORS preflight with `preflight: pass`.
//! Fails:   never open. A login goes no further than here, unless `forward: true`, and no log shows it. The user's name is the consumer: told to the
//!          upstream in Ironsluice-Consumer, which no client can say itself, and to filters behind this one.
//! Source:  RFC 7617 (Basic), RFC 9110 section 11.6.1 (WWW-Authenticate), FIPS 180-4 (SHA-256). Hashes are compared in constant time, and an unknown
//!          name takes as long as a known one.

use std::sync::Arc;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use schemars::JsonSchema;
use serde::Deserialize;
use wire::{Head, Name};

use super::basic_auth_users::{User, Users};
use super::credential::{Given, Preflight};
use super::Build;
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::reply::Reply;
use crate::secret::Secret;

/// Lets in who sends a known name and password, and says whose the request is.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who is let in, at most 10000, each with a name of its own. `ironsluice key basic NAME` makes them. Required.
    pub users: Vec<User>,
    /// What browsers show their user, 1 to 128 printable ASCII characters without `"` and `\`. Default: the route's name.
    pub realm: Option<String>,
    /// Whether the upstream gets the login as well. Default: false.
    #[serde(default)]
    pub forward: bool,
    /// Whether a request without a login passes, as nobody's. One that is sent must be good all the same. Default: false.
    #[serde(default)]
    pub anonymous: bool,
    /// What happens to the question that a browser asks before a request to another origin, which never has a login. `pass` lets it go on, as
    /// nobody's. Default: `refuse`.
    #[serde(default)]
    pub preflight: Preflight,
}

/// The filter.
pub struct BasicAuth {
    users: Users,
    secret: Secret,
    forward: bool,
    anonymous: bool,
    preflight: Preflight,
    /// WWW-Authenticate.
    challenge: Box<str>,
}

impl BasicAuth {
    /// From its config, if each user can be told from the others.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        let realm = config.realm.unwrap_or_else(|| b.route.to_owned());
        let fits = |c: u8| (c == b' ' || c.is_ascii_graphic()) && c != b'"' && c != b'\\';
        if realm.is_empty() || realm.len() > 128 || !realm.bytes().all(fits) {
            let why = format!("{realm:?} cannot stand in a challenge");
            b.fault(
                "realm",
                why,
                "use 1 to 128 printable ASCII characters without \" and \\",
            );
        }
        let users = Users::of(config.users, b);
        (b.faults.len() == before).then(|| Self {
            users,
            secret: Secret {
                header: "authorization".into(),
                query: None,
            },
            forward: config.forward,
            anonymous: config.anonymous,
            preflight: config.preflight,
            challenge: format!("Basic realm=\"{realm}\", charset=\"UTF-8\"").into(),
        })
    }

    fn refuse(&self, code: &'static str, why: &'static str) -> Verdict {
        let reply = Reply::problem(401, code, why);
        let reply = reply.with("www-authenticate", self.challenge.as_bytes());
        Verdict::Reply(Box::new(reply))
    }

    /// Whose the login is.
    fn user(&self, login: &[u8]) -> Option<&Arc<str>> {
        let mut plain = [0; MAX_LOGIN];
        let length = STANDARD.decode_slice(login, &mut plain).ok()?;
        let plain = &plain[..length];
        let colon = plain.iter().position(|b| *b == b':')?;
        self.users.find(&plain[..colon], &plain[colon + 1..])
    }
}

/// What stands behind `Basic`; none in an Authorization of another scheme.
fn login(value: &[u8]) -> Option<&[u8]> {
    let (scheme, login) = value.split_at_checked(BASIC.len())?;
    let is_basic = scheme.eq_ignore_ascii_case(BASIC);
    is_basic.then_some(login.trim_ascii())
}

impl Filter for BasicAuth {
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
        let user = match Given::of(req.get_all(Name::Authorization).filter_map(login)) {
            Given::None if self.anonymous => return Verdict::Next,
            Given::None if self.preflight.passes(req) => return Verdict::Next,
            Given::None => {
                return self.refuse(
                    "basic_auth_missing",
                    "A name and a password are needed here.",
                )
            }
            Given::One(login) => self.user(login),
            Given::Several => None,
        };
        let Some(user) = user else {
            let why = "This name and password are not known here.";
            return self.refuse("basic_auth_refused", why);
        };
        cx.client.consumer = Some(user.clone());
        if !self.forward {
            req.remove_known(Name::Authorization);
        }
        Verdict::Next
    }
}

const BASIC: &[u8] = b"Basic ";
/// The longest name and password that are looked at, with the colon, in bytes.
const MAX_LOGIN: usize = 512;

#[cfg(test)]
#[path = "basic_auth_tests.rs"]
mod tests;
