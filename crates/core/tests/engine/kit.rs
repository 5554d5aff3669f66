//! One request in an engine of its own, driven by events, and filters that do what a test says.

use std::rc::Rc;
use std::sync::{Arc, Mutex};

use gateway_core::engine::{Effect, Env, InForce, Run, Step, ROUTE_FORWARD};
use gateway_core::filter::{Answer, AskId, Client, Cx, Exchange, Filter, Needs, Outcome, Verdict};
use gateway_core::forward::{Choice, Failure, Turns};
use gateway_core::reply::Reply;
use gateway_core::snapshot::{Resolved, Shared, Snapshot};
use wire::Head;

/// What happens to a request.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// It has arrived: `GET` of this target.
    Get(&'static str),
    /// An answer has come.
    Answer(u32, Answer<'static>),
    /// A response head of this status has come.
    Response(u32, u16),
    /// A forward has failed for good.
    Failed(u32, Failure),
    /// It has ended, or its client went away.
    Done(u16),
}

/// The engine, one request, and all that was heard.
pub struct Gateway {
    pub snapshot: InForce,
    pub run: Run,
    pub now: u64,
    pub client: Client,
    /// Fields of the request, before it arrives.
    pub fields: Vec<(&'static str, &'static str)>,
    rng: algo::Rng,
    turns: Turns,
    calls: Calls,
}

/// What filters were called with, in order.
pub type Calls = Arc<Mutex<Vec<String>>>;

impl Gateway {
    /// One route for every request, with these filters, to an upstream of two endpoints; a second
    /// upstream has one endpoint, and a third none.
    pub fn of(filters: Vec<Probe>) -> Self {
        let text = r#"{
            "listeners": [{ "name": "web", "bind": "127.0.0.1:0" }],
            "upstreams": [
                { "name": "two", "endpoints": ["127.0.0.1:1001", "127.0.0.1:1002"] },
                { "name": "one", "endpoints": ["127.0.0.1:1003"] },
                { "name": "none", "endpoints": ["not-resolved.example:80"] }
            ],
            "routes": [{ "name": "all", "match": { "path": "/*" }, "to": "two" }]
        }"#;
        Self::configured(text, filters)
    }

    /// The first route of this config, with these filters in place of its own if there are any.
    pub fn configured(text: &str, filters: Vec<Probe>) -> Self {
        let config = gateway_core::config::parse(text).unwrap_or_else(|f| panic!("{f:?}"));
        let shared = Shared::new(7);
        let mut snapshot = Snapshot::compile(Arc::new(config), 1, &Resolved::default(), &shared)
            .unwrap_or_else(|f| panic!("{f:?}"));
        let calls = Calls::default();
        if !filters.is_empty() {
            let route = &mut snapshot.routes[0];
            let which = |want: fn(&Needs) -> bool| -> Vec<u16> {
                filters
                    .iter()
                    .zip(0..)
                    .filter(|(f, _)| want(&f.needs))
                    .map(|(_, k)| k)
                    .collect()
            };
            route.request = which(|n| n.request).into();
            route.response = which(|n| n.response).into();
            route.trailers = which(|n| n.trailers).into_iter().rev().collect();
            route.done = which(|n| n.done).into();
            route.forwards = which(|n| n.forwards).last().copied();
            let told = filters.into_iter().map(|f| {
                Box::new(Probe {
                    calls: calls.clone(),
                    ..f
                }) as Box<dyn Filter>
            });
            route.filters = told.collect();
        }
        Self {
            snapshot: Rc::new(Arc::new(snapshot)),
            run: Run::default(),
            now: 0,
            client: Client::new(std::net::SocketAddr::from(([192, 0, 2, 1], 1000))),
            fields: Vec::new(),
            rng: algo::Rng::new(1),
            turns: Turns::default(),
            calls,
        }
    }

    /// Lets this happen. `Step; effect; effect` is what the engine wants next.
    pub fn event(&mut self, event: Event) -> String {
        let mut env = Env {
            thread: 0,
            now: self.now,
            unix: 0,
            rng: &mut self.rng,
            turns: &mut self.turns,
        };
        let step = match event {
            Event::Get(target) => {
                self.run.clear();
                let request = &mut self.run.exchange.request;
                request.start_request(b"GET", target.as_bytes(), b"example.com");
                for (name, value) in &self.fields {
                    request
                        .add(name.as_bytes(), value.as_bytes())
                        .expect("a valid field");
                }
                Some(
                    self.run
                        .begin(&mut env, &self.snapshot, 0, self.client.clone()),
                )
            }
            Event::Answer(id, answer) => Some(self.run.answer(&mut env, AskId(id), answer)),
            Event::Response(id, status) => {
                self.run.exchange.response.start_response(status);
                Some(self.run.response(&mut env, AskId(id)))
            }
            Event::Failed(id, failure) => Some(self.run.failed(&mut env, AskId(id), failure)),
            Event::Done(status) => {
                let complete = status != 499;
                self.run.done(
                    &mut env,
                    &Outcome {
                        status,
                        received: 0,
                        sent: 0,
                        took: 0,
                        complete,
                    },
                );
                None
            }
        };
        if let Some(Step::Forward(id)) = step {
            self.run.announce(id);
        }
        let mut told = match step {
            Some(Step::Forward(ROUTE_FORWARD)) => "Forward".to_owned(),
            Some(Step::Forward(AskId(id))) => format!("Forward {id}"),
            Some(Step::Respond(AskId(id))) => {
                format!("Respond {id} {}", self.run.exchange.response.status())
            }
            Some(Step::Reply) => format!(
                "Reply {} {}",
                self.run.exchange.response.status(),
                self.run.code()
            ),
            Some(Step::Wait) => "Wait".to_owned(),
            None => "-".to_owned(),
        };
        let effects: Vec<Effect> = self.run.drain_effects().collect();
        for effect in effects {
            told += &match effect {
                Effect::Start { id, ask, join } => {
                    if let gateway_core::filter::Ask::Forward { upstream } = ask {
                        self.run.open_forward(id, upstream);
                        self.run.announce(id);
                    }
                    let detached = if join == gateway_core::filter::Join::Detached {
                        " detached"
                    } else {
                        ""
                    };
                    format!("; start {} {ask:?}{detached}", id.0)
                }
                Effect::Cancel(id) => format!("; cancel {}", id.0),
                Effect::Lease(call) => format!("; {call:?}"),
                Effect::Charge(call) => format!("; {call:?}"),
                Effect::Wake(key) => format!("; wake {key}"),
            };
        }
        told
    }

    /// Lets all of this happen, and compares what the engine wants each time.
    pub fn play(&mut self, script: &[(Event, &str)]) {
        for (i, (event, want)) in script.iter().enumerate() {
            assert_eq!(self.event(*event), *want, "event {i}: {event:?}");
        }
    }

    /// What filters were called with since the last look.
    pub fn calls(&self) -> Vec<String> {
        std::mem::take(
            &mut self
                .calls
                .lock()
                .expect("no test panics while it holds this"),
        )
    }

    pub fn choose(&mut self, id: u32) -> Choice {
        let mut env = Env {
            thread: 0,
            now: self.now,
            unix: 0,
            rng: &mut self.rng,
            turns: &mut self.turns,
        };
        self.run.choose(&mut env, AskId(id))
    }

    pub fn refused(&mut self, id: u32) -> Choice {
        let mut env = Env {
            thread: 0,
            now: self.now,
            unix: 0,
            rng: &mut self.rng,
            turns: &mut self.turns,
        };
        self.run.refused(&mut env, AskId(id))
    }

    pub fn trailers(&mut self, trailers: &mut Head) {
        let mut env = Env {
            thread: 0,
            now: self.now,
            unix: 0,
            rng: &mut self.rng,
            turns: &mut self.turns,
        };
        self.run.trailers(&mut env, trailers);
    }

    /// The first value of a field of the request as it goes upstream.
    pub fn sent(&self, name: &str) -> Option<String> {
        let value = self.run.exchange.request.find(name.as_bytes())?;
        Some(String::from_utf8_lossy(value).into_owned())
    }
}

type OnRequest = Box<dyn Fn(&mut Cx<'_>, &mut Head) -> Verdict + Send + Sync>;
type OnAnswer = Box<dyn Fn(&mut Cx<'_>, &mut Exchange, AskId, Answer<'_>) -> Verdict + Send + Sync>;
type OnResponse = Box<dyn Fn(&mut Cx<'_>, &Head, &mut Head) -> Verdict + Send + Sync>;

/// A filter that does what a test says, and notes each call.
pub struct Probe {
    name: &'static str,
    pub needs: Needs,
    calls: Calls,
    request: OnRequest,
    answer: OnAnswer,
    response: OnResponse,
}

impl Probe {
    /// A filter that wants every call and lets everything pass.
    pub fn new(name: &'static str) -> Self {
        let all = Needs {
            request: true,
            response: true,
            trailers: true,
            done: true,
            ..Needs::default()
        };
        Self {
            name,
            needs: all,
            calls: Calls::default(),
            request: Box::new(|_, _| Verdict::Next),
            answer: Box::new(|_, _, _, _| Verdict::Next),
            response: Box::new(|_, _, _| Verdict::Next),
        }
    }

    pub fn needs(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// Makes it a filter that forwards by itself.
    pub fn forwards(mut self) -> Self {
        self.needs.forwards = true;
        self
    }

    pub fn request(
        mut self,
        f: impl Fn(&mut Cx<'_>, &mut Head) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        self.request = Box::new(f);
        self
    }

    pub fn answer(
        mut self,
        f: impl Fn(&mut Cx<'_>, &mut Exchange, AskId, Answer<'_>) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        self.answer = Box::new(f);
        self
    }

    pub fn response(
        mut self,
        f: impl Fn(&mut Cx<'_>, &Head, &mut Head) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        self.response = Box::new(f);
        self
    }

    fn note(&self, call: String) {
        self.calls
            .lock()
            .expect("no test panics while it holds this")
            .push(format!("{}.{call}", self.name));
    }
}

impl Filter for Probe {
    fn needs(&self) -> Needs {
        self.needs
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        self.note("request".into());
        (self.request)(cx, req)
    }

    fn on_answer(&self, cx: &mut Cx<'_>, ex: &mut Exchange, id: AskId, a: Answer<'_>) -> Verdict {
        self.note(format!("answer {} {a:?}", id.0));
        (self.answer)(cx, ex, id, a)
    }

    fn on_response(&self, cx: &mut Cx<'_>, req: &Head, rsp: &mut Head) -> Verdict {
        self.note(format!("response {}", rsp.status()));
        (self.response)(cx, req, rsp)
    }

    fn on_trailers(&self, _: &mut Cx<'_>, _: &mut Head) {
        self.note("trailers".into());
    }

    fn on_done(&self, _: &mut Cx<'_>, outcome: &Outcome) {
        self.note(format!("done {}", outcome.status));
    }
}

/// A refusal for tests.
pub fn refuse(status: u16) -> Verdict {
    Verdict::Reply(Box::new(Reply::problem(status, "test", "A test refuses.")))
}
