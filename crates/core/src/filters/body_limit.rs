//! body_limit: refuses request bodies longer than a number of bytes.
//!
//! Config:  `{ use: body_limit, max: 1MiB }`
//! Reads:   how the request's body is framed.
//! Asks:    nothing. The number is put on the exchange, and whoever reads the body keeps to it.
//! Replies: 413 `body_too_large`: at once if the length is announced; else when the body passes
//!          the number, and by an abort once a response has begun.
//! Fails:   never. Of several limits on one request the least counts.
//! Source:  RFC 9110 section 15.5.14 (413).

use schemars::JsonSchema;
use serde::Deserialize;
use wire::{Framing, Head};

use super::Build;
use crate::config::units::Size;
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::reply::Reply;

/// Refuses request bodies longer than a number of bytes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The most bytes of request body. Required.
    pub max: Size,
}

/// The filter.
pub struct BodyLimit {
    max: u64,
}

impl BodyLimit {
    /// From its config; nothing here can be at fault.
    pub fn build(config: Config, _: &mut Build<'_>) -> Option<Self> {
        Some(Self {
            max: config.max.bytes(),
        })
    }
}

impl Filter for BodyLimit {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, _: &mut Head) -> Verdict {
        match cx.framing {
            Framing::None => Verdict::Next,
            Framing::Length(n) if n > self.max => Verdict::Reply(Box::new(too_large())),
            _ => {
                cx.limit_body(self.max);
                Verdict::Next
            }
        }
    }
}

/// What a client is told whose body is too long; also for a body found out on its way.
pub fn too_large() -> Reply {
    Reply::problem(
        413,
        "body_too_large",
        "The request body is larger than this route takes.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filters::trial::Trial;

    #[test]
    fn an_announced_length_is_refused_at_once_and_a_stream_is_given_its_bound() {
        for (framing, refused, bound) in [
            (Framing::None, false, None),
            (Framing::Length(0), false, Some(1024)),
            (Framing::Length(1024), false, Some(1024)),
            (Framing::Length(1025), true, None),
            (Framing::Length(u64::MAX), true, None),
            (Framing::Chunked, false, Some(1024)),
        ] {
            let mut trial = Trial::of("body_limit", serde_json::json!({ "max": "1KiB" }));
            trial.framing = framing;
            let verdict = trial.request();
            assert_eq!(
                Trial::status_of(verdict),
                refused.then_some(413),
                "{framing:?}"
            );
            assert_eq!(trial.acts.bodies.request_limit(), bound, "{framing:?}");
        }
    }
}
