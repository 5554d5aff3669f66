//! What a client is told when the gateway itself answers.
//!
//! A refusal is a problem body (RFC 9457) with a stable `code`. Nothing in a 5xx tells a client
//! about the inside: details of a fault go to the log.

use std::borrow::Cow;
use std::sync::Arc;

use wire::Head;

use crate::file::FileBody;

/// An answer of the gateway's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status, 200 to 599.
    pub status: u16,
    /// A stable word for programs, such as `rate_limited`; empty for a plain answer.
    pub code: &'static str,
    /// Fields beside those that the body needs.
    pub fields: Vec<(Cow<'static, str>, Vec<u8>)>,
    /// Its body.
    pub body: Body,
}

/// The body of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A problem document made of the status, the code and this sentence.
    Problem(Cow<'static, str>),
    /// The same of the registered type for a used-up quota, with the policies that were violated.
    Quota {
        /// The sentence.
        why: Cow<'static, str>,
        /// The names in RateLimit-Policy of those that were violated.
        policies: Vec<Box<str>>,
    },
    /// Any bytes, with their media type.
    Plain(Cow<'static, str>, Vec<u8>),
    /// Bytes of a file, which the owner of the thread reads as the client takes them; its media type is among the fields.
    File(Arc<FileBody>),
    /// None at all.
    Empty,
}

impl Reply {
    /// A refusal. `why` is shown to the client.
    pub fn problem(status: u16, code: &'static str, why: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            fields: Vec::new(),
            body: Body::Problem(why.into()),
        }
    }

    /// The same with one more field.
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name.into(), value.into()));
        self
    }

    /// The file that its body is made of.
    pub fn file(&self) -> Option<&Arc<FileBody>> {
        match &self.body {
            Body::File(file) => Some(file),
            _ => None,
        }
    }

    /// Writes the head into `head` and the body into `body`.
    pub fn write(&self, head: &mut Head, body: &mut Vec<u8>) {
        head.clear();
        head.start_response(self.status);
        body.clear();
        match &self.body {
            Body::Problem(why) => {
                set(head, b"content-type", b"application/problem+json");
                problem(self, ("about:blank", head.reason()), why, body);
                body.extend_from_slice(b"}\n");
            }
            Body::Quota { why, policies } => {
                set(head, b"content-type", b"application/problem+json");
                problem(self, (QUOTA_TYPE, QUOTA_TITLE), why, body);
                body.extend_from_slice(b",\"violated-policies\":[");
                for (i, policy) in policies.iter().enumerate() {
                    if i > 0 {
                        body.push(b',');
                    }
                    quote(policy, body);
                }
                body.extend_from_slice(b"]}\n");
            }
            Body::Plain(kind, bytes) => {
                set(head, b"content-type", kind.as_bytes());
                body.extend_from_slice(bytes);
            }
            // Its bytes come later.
            Body::File(_) | Body::Empty => {}
        }
        for (name, value) in &self.fields {
            set(head, name.as_bytes(), value);
        }
    }
}

/// Fields that reach this point were checked where they came from: a bad one is a bug of ours, and
/// is left out rather than sent.
fn set(head: &mut Head, name: &[u8], value: &[u8]) {
    let put = head.set(name, value);
    debug_assert!(put.is_ok(), "a reply with a bad field");
}

fn problem(reply: &Reply, (kind, title): (&str, &[u8]), why: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"title\":\"");
    out.extend_from_slice(title);
    out.extend_from_slice(b"\",\"status\":");
    out.extend_from_slice(reply.status.to_string().as_bytes());
    out.extend_from_slice(b",\"code\":\"");
    out.extend_from_slice(reply.code.as_bytes());
    out.extend_from_slice(b"\",\"detail\":");
    quote(why, out);
}

fn quote(text: &str, out: &mut Vec<u8>) {
    // A string always serialises.
    out.extend_from_slice(serde_json::to_string(text).unwrap_or_default().as_bytes());
}

/// No route takes the request.
pub fn no_route() -> Reply {
    Reply::problem(404, "no_route", "No route matches this request.")
}

/// A bug of ours, caught.
pub fn internal() -> Reply {
    Reply::problem(500, "internal", "The gateway met an internal fault.")
}

/// Registered by the RateLimit fields' draft (draft-ietf-httpapi-ratelimit-headers-10, section 8).
const QUOTA_TYPE: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const QUOTA_TITLE: &[u8] = b"Request cannot be satisfied as assigned quota has been exceeded";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_json_and_says_its_code() {
        let quota = Body::Quota {
            why: "Slow \"down\".".into(),
            policies: vec!["a\"b".into(), "c".into()],
        };
        for (reply, want) in [
            (
                no_route(),
                serde_json::json!({
                    "type": "about:blank", "title": "Not Found", "status": 404, "code": "no_route",
                    "detail": "No route matches this request.",
                }),
            ),
            (
                Reply {
                    status: 429,
                    code: "rate_limited",
                    fields: Vec::new(),
                    body: quota,
                },
                serde_json::json!({
                    "type": QUOTA_TYPE, "title": std::str::from_utf8(QUOTA_TITLE).expect("text"), "status": 429,
                    "code": "rate_limited", "detail": "Slow \"down\".", "violated-policies": ["a\"b", "c"],
                }),
            ),
        ] {
            let (mut head, mut body) = (Head::new(), b"left over".to_vec());
            reply.write(&mut head, &mut body);
            assert_eq!(head.status(), reply.status);
            assert_eq!(
                head.find(b"content-type"),
                Some(&b"application/problem+json"[..])
            );
            let got: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
            assert_eq!(got, want);
        }
    }
}
