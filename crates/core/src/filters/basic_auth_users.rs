//! The users that are let in: as the config writes them, and as they are found again.
//!
//! A line is `NAME:{SSHA256}BASE64` of the SHA-256 of password and salt, and the salt, as OpenLDAP and Dovecot write it. A login comes with every
//! request, and is looked at in the thread that serves all others: a hash that takes 100 ms would let a handful of wrong passwords a
//! second stop it. So the hash is fast, and passwords have to be random, as the command makes them.
//! Bounds: [`MAX_USERS`] users, a salt of 8 to 64 bytes.
//! Errors: none says what stands in a place where somebody may have written a password.

use std::fmt;
use std::sync::Arc;

use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::api_key_ring::ConsumerName;
use super::Build;
use crate::config::fault::{quote, Why};
use crate::config::text::text;

/// Who is let in, by which password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    name: Box<str>,
    hash: [u8; 32],
    salt: Box<[u8]>,
}

text!(
    User,
    "a user such as NAME:{SSHA256}BASE64",
    r"^[!-9;-~]{1,128}:\{SSHA256\}[A-Za-z0-9+/]{54,128}={0,2}$",
    "`NAME:{SSHA256}BASE64`, in base64 the SHA-256 of password and salt, and the salt of 8 to 64 bytes. The name has 1 to 128 printable ASCII characters without spaces and `:`."
);

impl User {
    /// A line as `ironsluice key basic` prints it.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let Some((name, rest)) = text.split_once(':') else {
            return Err(Why::new("this is no NAME:{SSHA256}BASE64", MAKE));
        };
        ConsumerName::parse(name)?;
        let Some(coded) = rest.strip_prefix(SCHEME) else {
            return Err(foreign(name, rest));
        };
        let bad = || {
            let why = format!(
                "what follows {SCHEME} of {} is no hash with a salt",
                quote(name)
            );
            Why::new(why, MAKE)
        };
        let bytes = STANDARD.decode(coded).map_err(|_| bad())?;
        let (hash, salt) = bytes.split_first_chunk::<32>().ok_or_else(bad)?;
        if !(8..=64).contains(&salt.len()) {
            return Err(bad());
        }
        Ok(Self {
            name: name.into(),
            hash: *hash,
            salt: salt.into(),
        })
    }
}

/// Why a hash of another kind is not taken.
fn foreign(name: &str, rest: &str) -> Why {
    let slow = [
        "$2a$", "$2b$", "$2y$", "$argon2", "$scrypt$", "$5$", "$6$", "$y$", "$7$",
    ];
    let weak = [
        "$apr1$", "$1$", "{SHA}", "{SSHA}", "{MD5}", "{CRYPT}", "{PLAIN}",
    ];
    let name = quote(name);
    if slow.iter().any(|s| rest.starts_with(s)) {
        let why = format!("the hash of {name} is made to be slow, and would hold up all other requests at each one of this user, or of whoever guesses");
        return Why::new(why, MAKE);
    }
    if weak.iter().any(|s| rest.starts_with(s)) {
        let why = format!("the hash of {name} is of a kind that is broken or weak");
        return Why::new(why, MAKE);
    }
    Why::new(format!("what {name} has is no {SCHEME}"), MAKE)
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.hash, &*self.salt].concat();
        write!(f, "{}:{SCHEME}{}", self.name, STANDARD.encode(bytes))
    }
}

/// The users of one filter, in the order of their names.
pub(super) struct Users(Box<[Kept]>);

struct Kept {
    name: Arc<str>,
    hash: [u8; 32],
    salt: Box<[u8]>,
}

impl Users {
    /// Reports what cannot be found again.
    pub(super) fn of(users: Vec<User>, b: &mut Build<'_>) -> Self {
        match users.len() {
            0 => b.fault("users", "without a user nobody gets in", MAKE),
            n if n > MAX_USERS => {
                let why = format!("{n} users are above the most, {MAX_USERS}");
                b.fault("users", why, format!("keep {MAX_USERS} of them"));
            }
            _ => {}
        }
        let mut places: Vec<usize> = (0..users.len()).collect();
        places.sort_by_key(|at| (&users[*at].name, *at));
        for pair in places.windows(2) {
            if users[pair[0]].name == users[pair[1]].name {
                let why = format!("users[{}] has the same name", pair[0]);
                b.fault(&format!("users[{}]", pair[1]), why, "remove one of them");
            }
        }
        let kept = places.into_iter().map(|at| Kept {
            name: (*users[at].name).into(),
            hash: users[at].hash,
            salt: users[at].salt.clone(),
        });
        Self(kept.collect())
    }

    /// The user whose password this is.
    pub(super) fn find(&self, name: &[u8], password: &[u8]) -> Option<&Arc<str>> {
        let at = self.0.binary_search_by(|k| k.name.as_bytes().cmp(name));
        let kept = match at {
            Ok(at) => &self.0[at],
            // The work is done for nobody, so that it tells nothing.
            Err(_) => self.0.first()?,
        };
        let hash = Sha256::new()
            .chain_update(password)
            .chain_update(&kept.salt);
        let same: bool = hash.finalize().as_slice().ct_eq(&kept.hash).into();
        (same && at.is_ok()).then_some(&kept.name)
    }
}

const SCHEME: &str = "{SSHA256}";
const MAKE: &str = "make the line anew: ironsluice key basic NAME prints it, and a password";
/// The most users of one filter.
const MAX_USERS: usize = 10_000;
