//! The keys that open: as the config writes them, and as they are found again.
//!
//! A key is `PREFIX_RANDOM`; the prefix, all before its last `_`, finds the few keys that it can be. Each of these is then
//! compared in constant time, by SHA-256: keys are random, so there is nothing to guess that a slow hash would protect.
//! Bounds: [`MAX_KEYS`] keys, [`MAX_OF_PREFIX`] of one prefix, [`MAX_KEY`] bytes of a key that is sent.
//! Errors: none says what stands in a place where somebody may have written a key.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use time::format_description::well_known::Rfc3339;
use time::OffsetDateTime;

use super::Build;
use crate::config::fault::{quote, Why};
use crate::config::text::text;

/// One key that opens.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ApiKey")]
pub struct Key {
    /// What stands before the last `_` of the key. It is no secret. Required.
    pub prefix: KeyPrefix,
    /// The SHA-256 of the whole key, 64 hexadecimal digits. Required.
    pub hash: KeyHash,
    /// Whose the key is; several keys may be of one. Required.
    pub consumer: ConsumerName,
    /// From when it opens no more, such as `2027-01-31T00:00:00Z`. Default: never.
    pub expires: Option<Moment>,
}

/// What stands before the last `_` of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPrefix(Box<str>);

text!(
    KeyPrefix,
    "a key's prefix",
    r"^[A-Za-z0-9_-]{1,64}$",
    "What stands before the last `_` of a key: 1 to 64 letters, digits, `_` or `-`."
);

impl KeyPrefix {
    /// Letters, digits, `_` and `-`.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(fits) {
            let why = "this is no prefix";
            return Err(Why::new(why, "use 1 to 64 letters, digits, _ or -"));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for KeyPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The SHA-256 of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyHash([u8; 32]);

text!(
    KeyHash,
    "a SHA-256 in hexadecimal",
    r"^[0-9a-fA-F]{64}$",
    "The SHA-256 of a key: 64 hexadecimal digits."
);

impl KeyHash {
    /// 64 hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let digit = |b: u8| char::from(b).to_digit(16);
        let pair = |at: usize| {
            let pair = text.as_bytes().get(2 * at..2 * at + 2)?;
            Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8)
        };
        let mut hash = [0; 32];
        let mut all = hash.iter_mut().enumerate();
        let whole = all.all(|(at, byte)| pair(at).map(|b| *byte = b).is_some());
        if !whole || text.len() != 64 {
            let why = "this is no SHA-256 of 64 hexadecimal digits";
            let fix = "write the hash that ironsluice key new prints, never the key itself";
            return Err(Why::new(why, fix));
        }
        Ok(Self(hash))
    }

    pub(super) fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

/// Whose a key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerName(Box<str>);

text!(
    ConsumerName,
    "a consumer's name",
    r"^[!-~]{1,128}$",
    "Whose a key is: 1 to 128 printable ASCII characters without spaces."
);

impl ConsumerName {
    /// What can stand in a field, and is one word in a log.
    pub fn parse(text: &str) -> Result<Self, Why> {
        if text.is_empty() || text.len() > 128 || !text.bytes().all(|b| b.is_ascii_graphic()) {
            let why = format!("{} is no consumer", quote(text));
            let fix = "use 1 to 128 printable ASCII characters without spaces";
            return Err(Why::new(why, fix));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A moment of the wall clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment(OffsetDateTime);

text!(
    Moment,
    "a moment such as 2027-01-31T00:00:00Z",
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
    "A moment with its offset (RFC 3339), such as `2027-01-31T00:00:00Z`."
);

impl Moment {
    /// RFC 3339, at or after 1970.
    pub fn parse(text: &str) -> Result<Self, Why> {
        let moment = OffsetDateTime::parse(text, &Rfc3339);
        let moment = moment.ok().filter(|m| m.unix_timestamp() >= 0);
        moment.map(Self).ok_or_else(|| {
            let why = format!("{} is no moment", quote(text));
            Why::new(why, "write day, time and offset, as 2027-01-31T00:00:00Z")
        })
    }

    /// Seconds since 1970.
    fn unix(&self) -> u64 {
        u64::try_from(self.0.unix_timestamp()).unwrap_or_default()
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.format(&Rfc3339).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

/// The keys of one filter, in the order of their prefixes.
pub(super) struct Ring(Box<[Kept]>);

struct Kept {
    prefix: Box<str>,
    hash: [u8; 32],
    consumer: Arc<str>,
    /// Seconds since 1970; the largest number is never.
    expires: u64,
}

/// What a key is.
pub(super) enum Found<'a> {
    /// One that opens.
    Consumer(&'a Arc<str>),
    /// One that did.
    Expired,
    /// None of these.
    Unknown,
}

impl Ring {
    /// Reports what cannot be found again.
    pub fn of(keys: Vec<Key>, b: &mut Build<'_>) -> Self {
        match keys.len() {
            0 => b.fault(
                "keys",
                "without a key nobody gets in",
                "add one: ironsluice key new prints it",
            ),
            n if n > MAX_KEYS => b.fault(
                "keys",
                format!("{n} keys are above the most, {MAX_KEYS}"),
                format!("keep {MAX_KEYS} of them"),
            ),
            _ => {}
        }
        let mut places: Vec<usize> = (0..keys.len()).collect();
        places.sort_by(|x, y| {
            let key = |at: &usize| (&keys[*at].prefix.0, &keys[*at].hash.0, *at);
            key(x).cmp(&key(y))
        });
        let mut run = 0;
        for pair in places.windows(2) {
            let (before, this) = (&keys[pair[0]], &keys[pair[1]]);
            run = if before.prefix == this.prefix {
                run + 1
            } else {
                0
            };
            if run == MAX_OF_PREFIX {
                let why = format!(
                    "{} is the prefix of more than {MAX_OF_PREFIX} keys",
                    quote(&this.prefix.0)
                );
                let fix = "give keys prefixes of their own, as ironsluice key new does";
                b.fault(&format!("keys[{}].prefix", pair[1]), why, fix);
            }
            if before.prefix == this.prefix && before.hash == this.hash {
                let why = format!("keys[{}] is the same key", pair[0]);
                b.fault(
                    &format!("keys[{}].hash", pair[1]),
                    why,
                    "remove one of them",
                );
            }
        }
        let kept = places.into_iter().map(|at| {
            let key = &keys[at];
            Kept {
                prefix: key.prefix.0.clone(),
                hash: key.hash.0,
                consumer: (*key.consumer.0).into(),
                expires: key.expires.as_ref().map_or(u64::MAX, Moment::unix),
            }
        });
        Self(kept.collect())
    }

    /// Whose a key is at this second of the wall clock.
    pub fn find(&self, key: &[u8], unix: u64) -> Found<'_> {
        let end = key.iter().rposition(|b| *b == b'_');
        let Some(end) = end.filter(|_| key.len() <= MAX_KEY) else {
            return Found::Unknown;
        };
        let prefix = &key[..end];
        let from = self.0.partition_point(|k| k.prefix.as_bytes() < prefix);
        let rest = &self.0[from..];
        let count = rest
            .iter()
            .take_while(|k| k.prefix.as_bytes() == prefix)
            .count();
        if count == 0 {
            return Found::Unknown;
        }
        let hash: [u8; 32] = Sha256::digest(key).into();
        // Through all of them, whichever it is.
        let (mut known, mut place) = (Choice::from(0), 0_u32);
        for (k, at) in rest[..count].iter().zip(0..) {
            let same = k.hash.ct_eq(&hash);
            place.conditional_assign(&at, same);
            known |= same;
        }
        match &rest[place as usize] {
            _ if !bool::from(known) => Found::Unknown,
            k if k.expires <= unix => Found::Expired,
            k => Found::Consumer(&k.consumer),
        }
    }
}

/// The most keys of one filter.
pub(super) const MAX_KEYS: usize = 10_000;
/// The most keys of one prefix: a request is compared with all of them.
pub(super) const MAX_OF_PREFIX: usize = 64;
/// The longest key that is looked at, in bytes.
const MAX_KEY: usize = 256;
