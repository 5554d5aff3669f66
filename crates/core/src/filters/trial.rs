//! For the filters' own tests: one filter, one request, no engine.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use wire::{Framing, Head};

use super::{build, Build};
use crate::config::{self, Fault};
use crate::engine::{Acts, Effect};
use crate::filter::{Answer, AskId, Client, Cx, Exchange, Filter, Outcome, Slot, Verdict};
use crate::quota::ChargeCall;
use crate::route::pattern::Path;
use crate::snapshot::{Resolved, Shared, Snapshot};
use crate::store::{LeaseCall, StoreState};
use crate::Nanos;

/// A context over the fields of a trial, so that its heads stay free.
macro_rules! cx {
    ($trial:expr) => {
        Cx {
            thread: $trial.thread,
            now: $trial.now,
            unix: $trial.unix,
            rng: &mut $trial.rng,
            snapshot: &$trial.snapshot,
            route: 0,
            client: &mut $trial.client,
            framing: $trial.framing,
            websocket: $trial.websocket,
            slot: &mut $trial.slot,
            filter: 0,
            acts: &mut $trial.acts,
        }
    };
}

/// A filter, and the one request that it is shown.
pub(crate) struct Trial {
    pub(crate) filter: Box<dyn Filter>,
    /// On which thread the request is.
    pub(crate) thread: usize,
    pub(crate) now: Nanos,
    pub(crate) unix: u64,
    pub(crate) client: Client,
    pub(crate) framing: Framing,
    pub(crate) websocket: bool,
    pub(crate) request: Head,
    pub(crate) response: Head,
    pub(crate) acts: Acts,
    pub(crate) snapshot: Snapshot,
    pub(crate) slot: Slot,
    rng: algo::Rng,
    shared: Shared,
}

impl Trial {
    /// The filter called `name`, of this config, before `GET /`.
    pub(crate) fn of(name: &str, config: Value) -> Self {
        Self::resolved(name, config, &resolved())
    }

    /// The same, where names of the config are found there.
    pub(crate) fn resolved(name: &str, config: Value, resolved: &Resolved) -> Self {
        let shared = Shared::new(7);
        let mut faults = Vec::new();
        let filter = made(name, &config, Some(&shared), Some(resolved), &mut faults);
        let mut request = Head::new();
        request.start_request(b"GET", b"/", b"example.com");
        let mut response = Head::new();
        response.start_response(200);
        Self {
            filter: filter.unwrap_or_else(|| panic!("{name} {config}: {faults:?}")),
            thread: 0,
            now: 0,
            unix: 0,
            client: Client::new(std::net::SocketAddr::from(([192, 0, 2, 1], 1000))),
            framing: Framing::None,
            websocket: false,
            request,
            response,
            acts: Acts::default(),
            snapshot: empty(&shared),
            slot: Slot::default(),
            rng: algo::Rng::new(1),
            shared,
        }
    }

    /// What the filter knows of the store.
    pub(crate) fn store(&self) -> &StoreState {
        self.shared.store()
    }

    /// The asks of leases that were sent since the last look.
    pub(crate) fn leases(&mut self) -> Vec<LeaseCall> {
        let effects = std::mem::take(&mut self.acts.effects);
        let leases = effects.into_iter().filter_map(|effect| match effect {
            Effect::Lease(call) => Some(*call),
            _ => None,
        });
        leases.collect()
    }

    /// What was given to the store of quotas since the last look.
    pub(crate) fn charges(&mut self) -> Vec<ChargeCall> {
        let effects = std::mem::take(&mut self.acts.effects);
        let charges = effects.into_iter().filter_map(|effect| match effect {
            Effect::Charge(call) => Some(*call),
            _ => None,
        });
        charges.collect()
    }

    /// As a reload does: another filter in the same place, with what outlives a config.
    pub(crate) fn rebuild(&mut self, name: &str, config: Value) {
        let mut faults = Vec::new();
        let filter = made(name, &config, Some(&self.shared), None, &mut faults);
        self.filter = filter.unwrap_or_else(|| panic!("{name} {config}: {faults:?}"));
    }

    /// Shows the filter the request, if it wants it.
    pub(crate) fn request(&mut self) -> Verdict {
        let mut cx = cx!(self);
        if !self.filter.needs().request {
            return Verdict::Next;
        }
        self.filter.on_request(&mut cx, &mut self.request)
    }

    /// Shows the filter the response, if it wants it.
    pub(crate) fn respond(&mut self) -> Verdict {
        let mut cx = cx!(self);
        if !self.filter.needs().response {
            return Verdict::Next;
        }
        self.filter
            .on_response(&mut cx, &self.request, &mut self.response)
    }

    /// Shows the filter trailers, if it wants them.
    pub(crate) fn trailers(&mut self, trailers: &mut Head) {
        let mut cx = cx!(self);
        if self.filter.needs().trailers {
            self.filter.on_trailers(&mut cx, trailers);
        }
    }

    /// Ends the request.
    pub(crate) fn end(&mut self) {
        self.end_after(0);
    }

    /// Ends the request, whose response had a body of so many bytes.
    pub(crate) fn end_after(&mut self, sent: u64) {
        let outcome = Outcome {
            status: self.response.status(),
            received: 0,
            sent,
            took: 0,
            complete: true,
        };
        self.end_with(&outcome);
    }

    /// Ends the request in this way.
    pub(crate) fn end_with(&mut self, outcome: &Outcome) {
        let mut cx = cx!(self);
        assert!(self.filter.needs().done);
        self.filter.on_done(&mut cx, outcome);
    }

    /// Brings the filter an answer.
    pub(crate) fn answer(&mut self, answer: Answer<'_>) -> Verdict {
        let mut ex = Exchange {
            request: std::mem::take(&mut self.request),
            response: std::mem::take(&mut self.response),
            client: self.client.clone(),
            framing: self.framing,
            websocket: self.websocket,
        };
        let mut cx = cx!(self);
        let verdict = self.filter.on_answer(&mut cx, &mut ex, AskId(1), answer);
        (self.request, self.response) = (ex.request, ex.response);
        verdict
    }

    /// The head that the client gets after this verdict: the filter's reply, or the response that
    /// it has seen.
    pub(crate) fn answered(&mut self, verdict: Verdict) -> Head {
        let mut head = Head::new();
        match verdict {
            Verdict::Next => {
                let before = self.response.clone();
                assert!(matches!(self.respond(), Verdict::Next));
                std::mem::replace(&mut self.response, before)
            }
            Verdict::Reply(reply) => {
                reply.write(&mut head, &mut Vec::new());
                head
            }
            Verdict::Ask(ask) => panic!("{ask:?}"),
        }
    }

    /// The status of a reply.
    pub(crate) fn status_of(verdict: Verdict) -> Option<u16> {
        match verdict {
            Verdict::Reply(reply) => Some(reply.status),
            Verdict::Next | Verdict::Ask(_) => None,
        }
    }

    /// How many of `n` equal requests `filter` lets pass.
    pub(crate) fn admitted_by(filter: &dyn Filter, n: usize) -> usize {
        let mut trial = Self::of("respond", serde_json::json!({}));
        let mut head = trial.request.clone();
        (0..n)
            .filter(|_| matches!(filter.on_request(&mut cx!(trial), &mut head), Verdict::Next))
            .count()
    }

    /// `name: value` of all fields.
    pub(crate) fn fields(head: &Head) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        head.fields()
            .map(|(n, v)| format!("{}: {}", text(n), text(v)))
            .collect()
    }
}

/// Names of trials: one plugin, whose module is `./p.ts`.
fn resolved() -> Resolved {
    Resolved {
        plugins: HashMap::from([("./p.ts".to_owned(), Arc::from("p"))]),
        ..Resolved::default()
    }
}

/// A snapshot without routes: filters look at its router only.
fn empty(shared: &Shared) -> Snapshot {
    let text = r#"{ "listeners": [{ "name": "web", "bind": "127.0.0.1:0" }] }"#;
    let config = config::parse(text).unwrap_or_else(|f| panic!("{f:?}"));
    Snapshot::compile(Arc::new(config), 1, &Resolved::default(), shared)
        .unwrap_or_else(|f| panic!("{f:?}"))
}

/// Where the faults of this config are.
pub(crate) fn faults(name: &str, config: Value) -> Vec<String> {
    let mut faults = Vec::new();
    let built = made(name, &config, None, None, &mut faults);
    assert_eq!(built.is_some(), faults.is_empty(), "{config}");
    for fault in &faults {
        assert!(!fault.why.is_empty() && !fault.fix.is_empty(), "{fault:?}");
    }
    faults
        .into_iter()
        .map(|f| f.path.trim_start_matches("f.").to_owned())
        .collect()
}

fn made(
    name: &str,
    config: &Value,
    shared: Option<&Shared>,
    resolved: Option<&Resolved>,
    faults: &mut Vec<Fault>,
) -> Option<Box<dyn Filter>> {
    let object = config.as_object().expect("an object");
    let paths = [Path::parse("/{id}/{rest*}").expect("a template")];
    let mut b = Build {
        at: "f",
        route: "r",
        paths: &paths,
        ordinal: 0,
        shared,
        resolved,
        faults,
    };
    build(name, object, &mut b)
}
