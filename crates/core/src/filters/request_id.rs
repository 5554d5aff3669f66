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
mod tests {
    use super::*;
    use crate::filters::trial::{faults, Trial};
    use serde_json::json;

    fn find(head: &Head, name: &str) -> String {
        String::from_utf8_lossy(head.find(name.as_bytes()).unwrap_or_default()).into_owned()
    }

    #[test]
    fn an_identifier_is_kept_only_if_it_is_trusted_valid_and_alone() {
        let long = "a".repeat(129);
        for (trust, brought, kept) in [
            (false, &["abc"][..], false),
            (true, &["abc"], true),
            (true, &["A-z.0_9~:+/="], true),
            (true, &[&long[1..]], true),
            (true, &[&long], false),
            (true, &[""], false),
            (true, &["a b"], false),
            (true, &["a\"b"], false),
            (true, &["abc", "def"], false),
            (true, &[], false),
        ] {
            let mut trial = Trial::of("request_id", json!({ "trust": trust }));
            for value in brought {
                trial
                    .request
                    .add(b"X-Request-ID", value.as_bytes())
                    .expect("a valid field");
            }
            assert!(matches!(trial.request(), Verdict::Next));
            let id = find(&trial.request, "x-request-id");
            assert_eq!(trial.request.find_all(b"x-request-id").count(), 1);
            assert_eq!(
                brought.first() == Some(&id.as_str()),
                kept,
                "{trust} {brought:?}"
            );
            assert!(
                kept || (id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())),
                "{id}"
            );
            assert!(matches!(trial.respond(), Verdict::Next));
            assert_eq!(find(&trial.response, "x-request-id"), id);
        }
    }

    #[test]
    fn identifiers_differ_and_have_a_field_of_the_user_s_choice() {
        let mut trial = Trial::of(
            "request_id",
            json!({ "header": "x-trace", "response": false }),
        );
        assert!(!trial.filter.needs().response);
        assert!(matches!(trial.request(), Verdict::Next));
        let first = find(&trial.request, "x-trace");
        assert!(matches!(trial.request(), Verdict::Next));
        assert_ne!(find(&trial.request, "x-trace"), first);
        assert_eq!(find(&trial.request, "x-request-id"), "");
    }

    #[test]
    fn a_valid_trace_passes_and_any_other_begins_anew() {
        let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let zeros = "0".repeat(32);
        for (value, passes) in [
            (format!("00-{trace}-{parent}-01"), true),
            (format!("00-{trace}-{parent}-ff"), true),
            (format!("cc-{trace}-{parent}-01"), true),
            (format!("cc-{trace}-{parent}-01-more"), true),
            (format!("cc-{trace}-{parent}-01more"), false),
            (format!("00-{trace}-{parent}-01-more"), false),
            (format!("ff-{trace}-{parent}-01"), false),
            (format!("00-{zeros}-{parent}-01"), false),
            (format!("00-{trace}-{}-01", &zeros[..16]), false),
            (format!("00-{}-{parent}-01", trace.to_uppercase()), false),
            (format!("00-{trace}-{parent}-0"), false),
            (format!("00_{trace}-{parent}-01"), false),
            (String::new(), false),
        ] {
            let mut trial = Trial::of("request_id", json!({}));
            trial
                .request
                .add(b"traceparent", value.as_bytes())
                .expect("a valid field");
            trial
                .request
                .add(b"tracestate", b"a=b")
                .expect("a valid field");
            assert!(matches!(trial.request(), Verdict::Next));
            let after = find(&trial.request, "traceparent");
            assert_eq!(after == value, passes, "{value}");
            assert_eq!(
                trial.request.find(b"tracestate").is_some(),
                passes,
                "{value}"
            );
            assert!(is_traceparent(after.as_bytes()), "{after}");
            let id = find(&trial.request, "x-request-id");
            assert!(
                passes || (after[3..35] == id && after.ends_with("-00")),
                "{after}"
            );
        }
    }

    #[test]
    fn two_traces_are_none() {
        let mut trial = Trial::of("request_id", json!({}));
        for id in ["1", "2"] {
            let value = format!("00-{}-{}-01", id.repeat(32), id.repeat(16));
            trial
                .request
                .add(b"traceparent", value.as_bytes())
                .expect("a valid field");
        }
        assert!(matches!(trial.request(), Verdict::Next));
        assert_eq!(trial.request.find_all(b"traceparent").count(), 1);
        assert!(find(&trial.request, "traceparent").ends_with("-00"));
    }

    #[test]
    fn a_field_that_cannot_carry_it_is_a_fault() {
        for header in ["", "a b", "host", "Content-Length", "authorization"] {
            assert_eq!(
                faults("request_id", json!({ "header": header })),
                ["header"],
                "{header}"
            );
        }
    }
}
