//! timeout: gives a request, with its response, so long.
//!
//! Config:  `{ use: timeout, after: 5s }`
//! Reads:   the time at which it is reached. What filters behind it wait for counts; what those before it waited for does not.
//! Asks:    nothing. The deadline is put on the exchange, and whoever owns its sockets keeps to it, to 34 ms.
//! Replies: 504 `timeout` if no response has begun; DEADLINE_EXCEEDED to calls of gRPC.
//! Fails:   a response that has begun is cut, so that nobody takes a part for the whole. The upstream's connection is closed, not used again. Of several
//!          deadlines the soonest counts. A WebSocket is bounded until it is open, and then no more.
//! Source:  RFC 9110 section 15.6.5 (504), gRPC status codes (4, DEADLINE_EXCEEDED).

use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::Build;
use crate::config::Duration;
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::reply::Reply;

/// Gives a request, with its response, so long.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// From here to the last byte of the response. The upstream's own `timeouts` hold beside it. Required.
    pub after: Duration,
}

/// The filter.
pub struct Timeout {
    after: u64,
}

impl Timeout {
    /// From its config; nothing here can be at fault.
    pub fn build(config: Config, _: &mut Build<'_>) -> Option<Self> {
        Some(Self {
            after: config.after.nanos(),
        })
    }
}

impl Filter for Timeout {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, _: &mut Head) -> Verdict {
        cx.end_by(cx.now.saturating_add(self.after));
        Verdict::Next
    }
}

/// What a client is told whose request took too long.
pub fn timed_out() -> Reply {
    let why = "The request took longer than this route allows.";
    Reply::problem(504, "timeout", why)
}

#[cfg(test)]
mod tests {
    use crate::filters::trial::{faults, Trial};
    use serde_json::json;

    #[test]
    fn the_soonest_deadline_counts() {
        let mut trial = Trial::of("timeout", json!({ "after": "5s" }));
        assert_eq!(trial.acts.deadline(), u64::MAX);
        for (now, want) in [(7, 5_000_000_007), (9, 5_000_000_007), (3, 5_000_000_003)] {
            trial.now = now;
            assert!(Trial::status_of(trial.request()).is_none());
            assert_eq!(trial.acts.deadline(), want);
        }
    }

    #[test]
    fn what_is_no_time_is_a_fault() {
        for (config, at) in [(json!({}), "after"), (json!({ "after": 5 }), "after")] {
            assert_eq!(faults("timeout", config), [at]);
        }
    }
}
