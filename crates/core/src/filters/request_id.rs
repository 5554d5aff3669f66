//! request_id: names every request, and passes on or begins its trace.
//!
//! Config:  `{ use: request_id, header: x-request-id, trust: false, response: true }`
//! Reads:   the field `header`, traceparent and tracestate.
//! Asks:    nothing.
//! Replies: nothing.
//! Fails:   never. An identifier that is not believed, not one, or not 1 to 128 of the bytes
//!          `A-Z a-z 0-9 - . _ ~ : + / =` is replaced by 128 random bits in hex. A valid
//!          traceparent passes unchanged. One that is missing or invalid is made: a new trace whose
//!          id is the new request's, not sampled (flags 00), since a recording begins where
//!          spans are made; a tracestate of an invalid one is dropped.
//! Source:  W3C Trace Context sections 3.2 and 3.3.

use schemars::JsonSchema;
use serde::Deserialize;
use wire::{Head, Name};

use super::Build;
use crate::filter::{Cx, Filter, Needs, Verdict};

/// Names every request, and passes on or begins its trace.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The field that carries the identifier. Default: `x-request-id`.
    #[serde(default = "header")]
    pub header: String,
    /// Whether a valid identifier that a request brings is kept. Default: false.
    #[serde(default)]
    pub trust: bool,
    /// Whether the response carries it too. Default: true.
    #[serde(default = "yes")]
    pub response: bool,
}

fn header() -> String {
    "x-request-id".into()
}

fn yes() -> bool {
    true
}

/// The filter.
pub struct RequestId {
    header: Box<[u8]>,
    trust: bool,
    response: bool,
}

impl RequestId {
    /// From its config, if the field can carry an identifier.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let known = Name::of(config.header.as_bytes());
        if !wire::valid_name(config.header.as_bytes()) {
            b.fault(
                "header",
                format!("{:?} is no field name", config.header),
                "use letters, digits and - only",
            );
            return None;
        }
        if known != Name::Other && known != Name::XRequestId {
            b.fault(
                "header",
                format!("{} means something else", config.header),
                "use x-request-id",
            );
            return None;
        }
        Some(Self {
            header: config.header.into_bytes().into(),
            trust: config.trust,
            response: config.response,
        })
    }

    fn believes(&self, req: &Head) -> bool {
        let mut all = req.find_all(&self.header);
        self.trust && all.next().is_some_and(is_id) && all.next().is_none()
    }
}

impl Filter for RequestId {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            response: self.response,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        let mut id = [0; 32];
        hex(cx.rng.next_u64(), &mut id[..16]);
        hex(cx.rng.next_u64(), &mut id[16..]);
        // The head may be full: then the request goes on without, as it would without this filter.
        if !self.believes(req) {
            let _full = req.set(&self.header, &id);
        }
        let mut traces = req.get_all(Name::Traceparent);
        let traced = traces.next().is_some_and(is_traceparent) && traces.next().is_none();
        drop(traces);
        if !traced {
            let mut parent = *b"00-................................-................-00";
            parent[3..35].copy_from_slice(&id);
            // An id of zeros is invalid; 1 is as good as any.
            hex(cx.rng.next_u64().max(1), &mut parent[36..52]);
            req.remove_known(Name::Tracestate);
            let _full = req.set_known(Name::Traceparent, &parent);
        }
        Verdict::Next
    }

    fn on_response(&self, _: &mut Cx<'_>, req: &Head, rsp: &mut Head) -> Verdict {
        if let Some(id) = req.find(&self.header) {
            let _full = rsp.set(&self.header, id);
        }
        Verdict::Next
    }
}

fn is_id(value: &[u8]) -> bool {
    let is_id_byte = |b: &u8| b.is_ascii_alphanumeric() || b"-._~:+/=".contains(b);
    (1..=MAX_ID).contains(&value.len()) && value.iter().all(is_id_byte)
}

/// Version 00 has this length and no other; a later one may say more behind it.
fn is_traceparent(value: &[u8]) -> bool {
    let Some((head, more)) = value.split_at_checked(TRACEPARENT) else {
        return false;
    };
    let (version, trace, parent, flags) = (&head[..2], &head[3..35], &head[36..52], &head[53..]);
    let is_hex = |part: &[u8]| part.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_set = |part: &[u8]| part.iter().any(|b| *b != b'0');
    [head[2], head[35], head[52]] == *b"---"
        && [version, trace, parent, flags].into_iter().all(is_hex)
        && is_set(trace)
        && is_set(parent)
        && match version {
            b"ff" => false,
            b"00" => more.is_empty(),
            _ => more.is_empty() || more[0] == b'-',
        }
}

fn hex(n: u64, out: &mut [u8]) {
    for (i, digit) in out.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(n >> (60 - 4 * i) & 15) as usize];
    }
}

/// The longest identifier that is kept, in bytes.
const MAX_ID: usize = 128;

/// The length of a traceparent of version 00.
const TRACEPARENT: usize = 55;

#[cfg(test)]
#[path = "request_id_tests.rs"]
mod tests;
