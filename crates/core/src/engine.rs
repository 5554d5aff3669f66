//! Runs one request through its filters: what comes next is a [`Step`], what the filters want
//! from outside is an [`Effect`]. The engine never waits; whoever owns the thread carries out the
//! effects and comes back with the answers.
//!
//! Bounds: [`MAX_ASKS`] asks open at a time for one request, [`MAX_FORWARDS`] of them forwards.

use std::rc::Rc;
use std::sync::Arc;

use wire::{Framing, Head, Method};

use crate::body::Side;
use crate::file::FileBody;
use crate::filter::{
    Answer, AskId, Client, Cx, Exchange, Failed, Filter, Join, Outcome, Slot, Verdict, Who,
};
use crate::forward::{self, Attempt, Choice, Failure};
use crate::reply::{self, Reply};
use crate::snapshot::{Route, Snapshot};
use crate::Nanos;

mod acts;
mod answer;
mod forwards;

pub use acts::{Acts, Effect, MAX_ASKS, MAX_FORWARDS};

/// The forward that a route itself asks for, after its last filter.
pub const ROUTE_FORWARD: AskId = AskId(0);

/// What the owner of the thread hands the engine with every event.
pub struct Env<'a> {
    /// Which thread of the process this is: no other has the same number while it lives.
    pub thread: usize,
    /// The time of this tick.
    pub now: Nanos,
    /// The wall clock of this tick, seconds since 1970.
    pub unix: u64,
    /// This thread's random numbers.
    pub rng: &'a mut algo::Rng,
    /// This thread's places in the rotation of each upstream.
    pub turns: &'a mut forward::Turns,
}

/// A thread's own handle on a config: a request counts on it without touching memory that threads share.
pub type InForce = Rc<Arc<Snapshot>>;

/// What comes next for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// Send the request: ask [`Run::choose`] where to.
    Forward(AskId),
    /// Send [`Exchange::response`], and then the body that follows the head of this forward.
    Respond(AskId),
    /// Send [`Exchange::response`] and [`Run::reply_file`], or [`Run::reply_body`] without one.
    Reply,
    /// Nothing until an answer arrives.
    Wait,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Fresh,
    Request,
    /// The route's forward, or a filter's, is out.
    Forwarding,
    /// The response filters run.
    Response,
    /// The head is handed over: too late for another answer.
    Responded,
    Done,
}

/// One request on its way. Kept and used again by its connection's thread: it allocates nothing
/// once its vectors have grown.
#[derive(Default)]
pub struct Run {
    /// The heads, and who sent the request.
    pub exchange: Exchange,
    /// The body of a reply of the gateway's own.
    pub reply_body: Vec<u8>,
    /// The file that follows the head of a reply in the place of that body.
    pub reply_file: Option<Arc<FileBody>>,
    /// Pipes, taps, limits and asks.
    pub acts: Acts,
    snapshot: Option<InForce>,
    route: Option<u32>,
    phase: Phase,
    /// Index into the route's request filters; while responding, how many response filters are left.
    cursor: usize,
    /// How many request filters the request has reached, for `on_done`.
    reached: usize,
    held: Option<AskId>,
    slots: Vec<Slot>,
    attempts: Vec<(AskId, Attempt)>,
    adopted: AskId,
    /// The forward that stands: the route's from its start, a filter's from its adoption. It must be
    /// given up if the gateway answers in its stead.
    standing: Option<AskId>,
    /// Why the last forward of a filter failed.
    failure: Option<Failure>,
    /// Whether the request says for whom it is forwarded.
    announced: bool,
    code: &'static str,
}

/// TRACE would show a client's cookies to whoever made it ask, and CONNECT is for proxies of the
/// other kind. A method that no route can name is not served (RFC 9110 section 9.1).
fn refused_method(req: &Head) -> Option<Reply> {
    match req.method() {
        Method::Trace | Method::Connect => {
            let reply = Reply::problem(405, "method_refused", "This method is not served here.");
            Some(reply.with("allow", "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS"))
        }
        Method::Other if crate::route::pattern::Method::bit_of(req.method_bytes()) == 0 => Some(
            Reply::problem(501, "method_unknown", "This method is not known here."),
        ),
        _ => None,
    }
}

impl Default for AskId {
    fn default() -> Self {
        ROUTE_FORWARD
    }
}

impl Run {
    /// Steps 4 to 6: finds the route of `self.exchange.request` and starts its filters.
    pub fn begin(
        &mut self,
        env: &mut Env<'_>,
        snapshot: &InForce,
        listener: u32,
        client: Client,
    ) -> Step {
        self.exchange.client = client;
        self.phase = Phase::Request;
        if let Some(reply) = refused_method(&self.exchange.request) {
            return self.refuse(&reply);
        }
        let route = snapshot.find(listener, &self.exchange.request, &self.exchange.client);
        self.snapshot = Some(snapshot.clone());
        let Some(route) = route else {
            return self.refuse(&reply::no_route());
        };
        self.route = Some(route);
        let r = &snapshot.routes[route as usize];
        if self.exchange.request.has_escaped_slash() && !r.keep_escaped_slash {
            return self.refuse(&Reply::problem(
                400,
                "escaped_slash",
                "The path has an escaped slash.",
            ));
        }
        if self.slots.len() < r.filters.len() {
            self.slots.resize_with(r.filters.len(), Slot::default);
        }
        let snapshot = snapshot.clone();
        self.requests(env, &snapshot)
    }

    /// Step 6: the answer to an ask. An answer to one that was cancelled is dropped.
    pub fn answer(&mut self, env: &mut Env<'_>, id: AskId, answer: Answer<'_>) -> Step {
        let Some(open) = self.acts.close(id) else {
            return Step::Wait;
        };
        let Some(snapshot) = self.snapshot.clone() else {
            return Step::Wait;
        };
        self.answered(env, &snapshot, open, answer)
    }

    /// Step 8 has brought a response head, which stands in [`Exchange::response`].
    pub fn response(&mut self, env: &mut Env<'_>, id: AskId) -> Step {
        let Some(snapshot) = self.snapshot.clone() else {
            return Step::Wait;
        };
        if id == ROUTE_FORWARD {
            if self.standing != Some(id) || self.phase != Phase::Forwarding {
                return Step::Wait;
            }
            self.adopted = id;
            let route = self.route_of(&snapshot);
            self.cursor = route.response.len();
            return self.responses(env, &snapshot, Step::Respond(id));
        }
        self.answer(env, id, Answer::Response)
    }

    /// Step 8 has failed for good: no head will come from this forward.
    pub fn failed(&mut self, env: &mut Env<'_>, id: AskId, failure: Failure) -> Step {
        let reply = forward::reply(failure);
        if id == ROUTE_FORWARD {
            self.standing = None;
            let Some(snapshot) = self.snapshot.clone() else {
                return self.refuse(&reply);
            };
            let filters = self.route_of(&snapshot).filters.len();
            return self.reply(env, &snapshot, &reply, filters);
        }
        self.exchange.response.clear();
        self.failure = Some(failure);
        let may_retry = failure.may_retry();
        self.answer(
            env,
            id,
            Answer::Failed(Failed {
                who: Who::Upstream,
                may_retry,
            }),
        )
    }

    /// Step 7: where this forward goes first.
    pub fn choose(&mut self, env: &mut Env<'_>, id: AskId) -> Choice {
        let Some(snapshot) = &self.snapshot else {
            return Choice::Fail(Failure::NoEndpoint);
        };
        let Some((_, attempt)) = self.attempts.iter_mut().find(|(i, _)| *i == id) else {
            return Choice::Fail(Failure::NoEndpoint);
        };
        let upstream = &snapshot.upstreams[attempt.upstream() as usize];
        attempt.choose(env, upstream, &self.exchange)
    }

    /// Step 7 again: the endpoint that was chosen refused the connection, so nothing was sent.
    pub fn refused(&mut self, env: &mut Env<'_>, id: AskId) -> Choice {
        if let (Some(snapshot), Some((_, attempt))) = (
            &self.snapshot,
            self.attempts.iter_mut().find(|(i, _)| *i == id),
        ) {
            attempt.refused(env, &snapshot.upstreams[attempt.upstream() as usize]);
        }
        self.choose(env, id)
    }

    /// Which endpoint a forward was last given: an index into the upstream's.
    pub fn endpoint(&self, id: AskId) -> Option<u32> {
        self.attempts.iter().find(|(i, _)| *i == id)?.1.endpoint()
    }

    /// Which upstream a forward goes to.
    pub fn upstream(&self, id: AskId) -> Option<u32> {
        self.attempts
            .iter()
            .find(|(i, _)| *i == id)
            .map(|(_, a)| a.upstream())
    }

    /// Refuses a request that never reached a route, or in which a bug was caught.
    pub fn refuse(&mut self, reply: &Reply) -> Step {
        self.acts.cancel_joined(None);
        self.give_up();
        self.adopted = REPLIED;
        self.phase = Phase::Responded;
        self.cursor = 0;
        self.held = None;
        self.code = reply.code;
        self.write(reply);
        Step::Reply
    }

    /// The response's trailers are about to be written.
    pub fn trailers(&mut self, env: &mut Env<'_>, trailers: &mut Head) {
        let Some(snapshot) = self.snapshot.clone() else {
            return;
        };
        let route = self.route_of(&snapshot);
        let reached = self.reached;
        for &f in route.trailers.iter().filter(|f| usize::from(**f) < reached) {
            let (filter, mut cx, ..) = self.cx(env, &snapshot, route, f);
            filter.on_trailers(&mut cx, trailers);
        }
    }

    /// Step 11, once: tells the filters, and forgets the request. What remains in
    /// [`Run::drain_effects`] are cancellations and wake-ups to carry out.
    pub fn done(&mut self, env: &mut Env<'_>, outcome: &Outcome) {
        if self.phase == Phase::Done {
            return;
        }
        if let (Some(snapshot), Some(_)) = (self.snapshot.clone(), self.route) {
            let route = self.route_of(&snapshot);
            let reached = self.reached;
            for &f in route.done.iter().filter(|f| usize::from(**f) < reached) {
                let (filter, mut cx, ..) = self.cx(env, &snapshot, route, f);
                filter.on_done(&mut cx, outcome);
            }
        }
        self.acts.cancel_joined(None);
        self.phase = Phase::Done;
    }

    /// Makes it ready for the next request, keeping its memory.
    pub fn clear(&mut self) {
        self.exchange.request.clear();
        self.exchange.response.clear();
        self.exchange.framing = Framing::None;
        self.exchange.websocket = false;
        self.exchange.client.tls = None;
        self.exchange.client.proxied = None;
        self.exchange.client.consumer = None;
        self.reply_body.clear();
        self.reply_body.shrink_to(KEPT_BODY);
        self.reply_file = None;
        self.acts.clear();
        self.snapshot = None;
        self.route = None;
        self.phase = Phase::Fresh;
        self.cursor = 0;
        self.reached = 0;
        self.held = None;
        self.slots.iter_mut().for_each(|s| *s = Slot::default());
        self.attempts.clear();
        self.adopted = ROUTE_FORWARD;
        self.standing = None;
        self.failure = None;
        self.announced = false;
        self.code = "";
    }

    /// Takes what the request wants from outside.
    pub fn drain_effects(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.acts.effects.drain(..)
    }

    /// Takes the first of what the request wants from outside: carrying it out may bring more.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.acts.effects.pop_front()
    }

    /// True if there is something to drain.
    pub fn has_effects(&self) -> bool {
        !self.acts.effects.is_empty()
    }

    /// The config this request runs under.
    pub fn snapshot(&self) -> Option<&InForce> {
        self.snapshot.as_ref()
    }

    /// The route that was found.
    pub fn route(&self) -> Option<&Route> {
        Some(&self.snapshot.as_ref()?.routes[self.route? as usize])
    }

    /// The code of the reply, empty for an upstream's response.
    pub fn code(&self) -> &'static str {
        self.code
    }

    fn route_of<'s>(&self, snapshot: &'s Snapshot) -> &'s Route {
        // Only called once a route was found.
        &snapshot.routes[self.route.unwrap_or_default() as usize]
    }

    fn cx<'a>(
        &'a mut self,
        env: &'a mut Env<'_>,
        snapshot: &'a Snapshot,
        route: &'a Route,
        filter: u16,
    ) -> (&'a dyn Filter, Cx<'a>, &'a mut Head, &'a mut Head) {
        let Exchange {
            request,
            response,
            client,
            framing,
            websocket,
            ..
        } = &mut self.exchange;
        let cx = Cx {
            thread: env.thread,
            now: env.now,
            unix: env.unix,
            rng: env.rng,
            snapshot,
            route: self.route.unwrap_or_default(),
            client,
            framing: *framing,
            websocket: *websocket,
            slot: &mut self.slots[filter as usize],
            filter,
            acts: &mut self.acts,
        };
        (&*route.filters[filter as usize], cx, request, response)
    }

    fn requests(&mut self, env: &mut Env<'_>, snapshot: &InForce) -> Step {
        let route = self.route_of(snapshot);
        while let Some(&f) = route.request.get(self.cursor) {
            self.reached = f as usize + 1;
            let (filter, mut cx, req, _) = self.cx(env, snapshot, route, f);
            match filter.on_request(&mut cx, req) {
                Verdict::Next if route.forwards == Some(f) && self.forwards_open() => {
                    self.phase = Phase::Forwarding;
                    return self.settle(env, snapshot, Step::Wait);
                }
                Verdict::Next => self.cursor += 1,
                Verdict::Reply(r) => return self.reply(env, snapshot, &r, f as usize),
                Verdict::Ask(ask) => {
                    self.held = Some(self.acts.start(f, ask, Join::Joined));
                    return self.settle(env, snapshot, Step::Wait);
                }
            }
        }
        self.reached = route.filters.len();
        self.phase = Phase::Forwarding;
        let Some(upstream) = route.target.pick(env.rng) else {
            return self.reply(env, snapshot, &reply::no_route(), route.filters.len());
        };
        self.open_forward(ROUTE_FORWARD, upstream);
        self.standing = Some(ROUTE_FORWARD);
        self.settle(env, snapshot, Step::Forward(ROUTE_FORWARD))
    }

    /// A reply passes the response filters of the filters before `filter`.
    fn reply(
        &mut self,
        env: &mut Env<'_>,
        snapshot: &InForce,
        reply: &Reply,
        filter: usize,
    ) -> Step {
        let route = self.route_of(snapshot);
        self.give_up();
        self.code = reply.code;
        self.held = None;
        self.write(reply);
        self.cursor = route
            .response
            .iter()
            .filter(|f| (**f as usize) < filter)
            .count();
        self.adopted = REPLIED;
        self.responses(env, snapshot, Step::Reply)
    }

    fn responses(&mut self, env: &mut Env<'_>, snapshot: &InForce, step: Step) -> Step {
        let route = self.route_of(snapshot);
        self.phase = Phase::Response;
        let step = if self.adopted == REPLIED {
            Step::Reply
        } else {
            step
        };
        while self.cursor > 0 {
            self.cursor -= 1;
            let f = route.response[self.cursor];
            let (filter, mut cx, req, rsp) = self.cx(env, snapshot, route, f);
            match filter.on_response(&mut cx, req, rsp) {
                Verdict::Next => {}
                Verdict::Reply(r) => return self.reply(env, snapshot, &r, f as usize),
                Verdict::Ask(ask) => {
                    self.held = Some(self.acts.start(f, ask, Join::Joined));
                    return self.settle(env, snapshot, Step::Wait);
                }
            }
        }
        self.phase = Phase::Responded;
        if self.acts.bodies.changes(Side::Response) {
            weaken_etag(&mut self.exchange.response);
        }
        step
    }
}

/// A pipe changes the bytes, so a strong validator of the upstream no longer holds (RFC 9110, 8.8.1).
fn weaken_etag(rsp: &mut Head) {
    let Some(tag) = rsp.find(b"etag").filter(|t| t.starts_with(b"\"")) else {
        return;
    };
    let weak = [b"W/", tag].concat();
    let put = rsp.set(b"etag", &weak);
    debug_assert!(put.is_ok(), "a prefix keeps a value valid");
}

/// Stands in [`Run::adopted`] when the gateway itself answered.
const REPLIED: AskId = AskId(u32::MAX);

/// A reply body's buffer is kept up to this size, in bytes.
const KEPT_BODY: usize = 16 << 10;
