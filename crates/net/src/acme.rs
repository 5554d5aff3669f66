//! What an ACME authority asks of a gateway over HTTP, and what became of orders.
//!
//! HTTP-01 (RFC 8555 section 8.3): a request for `/.well-known/acme-challenge/TOKEN` is answered ahead of
//! all routes, at any listener of the edge, if the token is known; what is not known is a request as any other.
//! Bounds: [`MOST`] tokens, [`MOST_CODES`] codes of failures.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError, RwLock};

use gateway_core::reply::{Body, Reply};
use serde_json::{json, Value};
use wire::{Head, Method};

/// See the module.
#[derive(Default)]
pub(crate) struct Acme {
    tokens: RwLock<Tokens>,
    orders: Mutex<Orders>,
}

/// What answers each.
type Tokens = HashMap<Box<[u8]>, Box<[u8]>>;

#[derive(Default)]
struct Orders {
    all: u64,
    failed: BTreeMap<Box<str>, u64>,
}

impl Acme {
    /// Answers requests for `token`. False if there are too many, or it could be no part of a path.
    pub fn set(&self, token: &str, answer: &str) -> bool {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        let sound = (1..=MOST_TOKEN).contains(&token.len()) && token.bytes().all(fits);
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        if !sound || answer.len() > MOST_ANSWER || tokens.len() >= MOST {
            return false;
        }
        tokens.insert(token.as_bytes().into(), answer.as_bytes().into());
        true
    }

    /// Answers them no more. False if there was nothing.
    pub fn clear(&self, token: &str) -> bool {
        let mut tokens = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        tokens.remove(token.as_bytes()).is_some()
    }

    /// The answer to a request for a token that is known.
    pub fn answer(&self, head: &Head) -> Option<Reply> {
        let token = head.path().strip_prefix(PREFIX)?;
        if !matches!(head.method(), Method::Get | Method::Head) {
            return None;
        }
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let answer = tokens.get(token)?.to_vec();
        Some(Reply {
            status: 200,
            code: "",
            fields: Vec::new(),
            body: Body::Plain("application/octet-stream".into(), answer),
        })
    }

    /// Counts an order that has ended; one that failed has a code.
    pub fn count(&self, failure: Option<&str>) {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.all += 1;
        let Some(code) = failure else { return };
        let known = orders.failed.contains_key(code) || orders.failed.len() < MOST_CODES;
        let code = if known { code } else { "_other" };
        *orders.failed.entry(code.into()).or_default() += 1;
    }

    /// The orders, in the form of the core's metrics.
    pub fn metrics(&self) -> [Value; 2] {
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = orders.failed.iter();
        let failed = failed.map(|(code, n)| json!({ "labels": { "code": code }, "value": n }));
        [
            json!({
                "name": "ironsluice_acme_orders_total",
                "type": "counter",
                "help": "Orders of certificates at ACME authorities.",
                "values": [{ "labels": {}, "value": orders.all }],
            }),
            json!({
                "name": "ironsluice_acme_order_failures_total",
                "type": "counter",
                "help": "Orders of certificates that failed, by why.",
                "values": failed.collect::<Vec<_>>(),
            }),
        ]
    }
}

const PREFIX: &[u8] = b"/.well-known/acme-challenge/";
const MOST: usize = 10_000;
/// An authority's token has 128 bits at least, in base64url.
const MOST_TOKEN: usize = 256;
const MOST_ANSWER: usize = 1024;
const MOST_CODES: usize = 32;
