//! What a filter is: a pure decision about one request, and the few words it may answer with.
//!
//! The life of a request, the same list as in `ARCHITECTURE.md`:
//! ```text
//!  1 accept            net/shard        PROXY header, TLS, ALPN         bad: close
//!  2 read the head     wire/http1|h2    strict: one meaning or 400      slow: 408, large: 431
//!  3 who is it         core/client_ip   trusted hops, PROXY, mTLS
//!  4 route             core/route       host, path, method, headers     none: 404
//!  5 filters, in the order of the config        core/filters/*          Reply: to 9
//!  6 an Ask            net (fetch, sleep, body) or ts (store, plugin)    failed: the filter decides
//!  7 choose            core/forward     balance, breaker, retry budget  none healthy: 503
//!  8 exchange          net/upstream     pool, timeouts, streaming with backpressure, both ways
//!  9 response filters, in reverse order
//! 10 write             net or ts/app    one send where it fits
//! 11 done              core/engine      metrics, access log, trace, release: exactly once, also when the client went away
//! ```

use std::any::Any;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use wire::Head;

use crate::body::{Pipe, Side, Tap};
use crate::engine::Acts;
use crate::file::{FileCall, Found, NoFile};
use crate::grpc::Web;
use crate::hops::Said;
use crate::plugin::PluginVerdict;
use crate::proxied::Proxied;
use crate::quota::{ChargeCall, Quota};
use crate::reply::Reply;
use crate::secret::Secret;
use crate::secure::Secure;
use crate::snapshot::Snapshot;
use crate::store::LeaseCall;
use crate::Nanos;

/// A decision about a request. Most filters implement [`Filter::on_request`] only.
///
/// A filter is shared by all threads and holds no state of a request: that lives in its [`Slot`].
pub trait Filter: Send + Sync {
    /// Which of the calls below this filter wants. What is not asked for is never called.
    fn needs(&self) -> Needs;

    /// Where requests carry a credential that this filter looks for; logs show none of it.
    fn secret(&self) -> Option<&Secret> {
        None
    }

    /// What it holds now, if it limits what is in flight; metrics show it.
    fn occupancy(&self) -> Option<Occupancy> {
        None
    }

    /// The quota that it keeps, for who asks what was used.
    fn quota(&self) -> Option<&Quota> {
        None
    }

    /// Where in its config it reads whose a request is, from the filter's own object: `key`, `limits[1].key`. A filter before it must
    /// prove that.
    fn consumer_keys(&self) -> Vec<String> {
        Vec::new()
    }

    /// Fields of requests that nobody but this filter says: what a client sent under these names is gone behind it.
    fn vouches(&self) -> &[Box<str>] {
        &[]
    }

    /// The field, in small letters, that this filter takes for proof: a filter before it must vouch for it.
    fn believes(&self) -> Option<&str> {
        None
    }

    /// Step 5. The request head may be changed; the verdict says what comes next.
    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        let _ = (cx, req);
        Verdict::Next
    }

    /// Step 6, in either phase: the answer to an [`Ask`] this filter returned or started.
    fn on_answer(&self, cx: &mut Cx<'_>, ex: &mut Exchange, id: AskId, a: Answer<'_>) -> Verdict {
        let _ = (cx, ex, id, a);
        Verdict::Next
    }

    /// Step 9. A [`Verdict::Reply`] replaces the response; an [`Ask`] holds its head.
    fn on_response(&self, cx: &mut Cx<'_>, req: &Head, rsp: &mut Head) -> Verdict {
        let _ = (cx, req, rsp);
        Verdict::Next
    }

    /// The response's trailers, before they are written.
    fn on_trailers(&self, cx: &mut Cx<'_>, trailers: &mut Head) {
        let _ = (cx, trailers);
    }

    /// Step 11, exactly once for each request that reached this filter.
    fn on_done(&self, cx: &mut Cx<'_>, outcome: &Outcome) {
        let _ = (cx, outcome);
    }
}

/// What a filter that limits requests in flight holds now, over all its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occupancy {
    /// The filter's name.
    pub filter: &'static str,
    /// What it counts apart, as in the config.
    pub key: String,
    /// Requests in flight.
    pub in_flight: u64,
    /// Requests that wait for their turn.
    pub queued: u64,
    /// How many of one key may be in flight.
    pub limit: u64,
    /// How many were refused, by code.
    pub refused: Vec<(&'static str, u64)>,
}

/// Which calls a filter wants, and what it may do besides. Unused ones cost nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Wants [`Filter::on_request`].
    pub request: bool,
    /// Wants [`Filter::on_response`].
    pub response: bool,
    /// Wants [`Filter::on_trailers`].
    pub trailers: bool,
    /// Wants [`Filter::on_done`].
    pub done: bool,
    /// Forwards by itself (a hedge, a cache): it must then be the last filter of its route.
    pub forwards: bool,
    /// Answers every request, so the route needs no `to`.
    pub replies: bool,
    /// Establishes who the client is, so that keys on the client's address mean something.
    pub identifies: bool,
    /// Says whose the requests are that it lets pass: see [`Client::consumer`].
    pub proves_consumer: bool,
    /// Counts a WebSocket until it ends, so the thread that counted it must see that end.
    pub counts_open: bool,
}

/// What a filter answers. Small: nothing is boxed on `Next`.
#[derive(Debug)]
pub enum Verdict {
    /// Go on with the next filter.
    Next,
    /// Answer the client with this; the filters before this one still see the response.
    Reply(Box<Reply>),
    /// Hold the request until the answer is there.
    Ask(Ask),
}

/// What the core wants from outside. Every ask ends in exactly one [`Answer`], unless the client
/// went away or the filter cancelled it.
#[derive(Clone, Debug, PartialEq)]
pub enum Ask {
    /// Send the request to an upstream; answered by [`Answer::Response`].
    Forward {
        /// Index into [`Snapshot::upstreams`].
        upstream: u32,
    },
    /// Run a script of the shared store.
    Store(Box<StoreCall>),
    /// Make a request of the gateway's own.
    Fetch(Box<FetchCall>),
    /// Call a plugin.
    Plugin(Box<PluginCall>),
    /// Open a file.
    File(Box<FileCall>),
    /// Wait for this long.
    Sleep(Nanos),
    /// Collect a whole body of at most `max` bytes.
    Body {
        /// Whose body.
        side: Side,
        /// Bytes; a longer one is answered by [`Answer::TooLarge`].
        max: usize,
    },
    /// Wait until somebody wakes `key`, or until the moment `until`.
    Wait {
        /// What [`Cx::wake`] names.
        key: u64,
        /// The moment at which [`Answer::Late`] is the answer.
        until: Nanos,
    },
}

/// A call of a store script: one key, or several of one hash slot; integer arguments, integer results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreCall {
    /// The script's name, as in `ts/store/NAME.lua`.
    pub script: &'static str,
    /// The key it touches.
    pub key: Vec<u8>,
    /// Further keys, of the same hash slot.
    pub more: Vec<Vec<u8>>,
    /// Its arguments.
    pub args: Vec<i64>,
    /// How long the answer may take.
    pub timeout: Nanos,
}

/// A request of the gateway's own to an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchCall {
    /// Index into [`Snapshot::upstreams`].
    pub upstream: u32,
    /// `GET`, `POST`, ...
    pub method: &'static str,
    /// Path and query.
    pub target: Vec<u8>,
    /// The request's body.
    pub body: Vec<u8>,
    /// The most bytes of response body to collect.
    pub max: usize,
    /// How long the whole exchange may take.
    pub timeout: Nanos,
}

/// A call of a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginCall {
    /// Where JavaScript finds its module.
    pub module: Arc<str>,
    /// What it is told, as JSON; see [`crate::plugin::told`].
    pub told: String,
    /// The request's body, if it wants one.
    pub body: Option<Vec<u8>>,
    /// How long the answer may take.
    pub timeout: Nanos,
}

/// Names one ask of one exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AskId(pub u32);

/// What came back. Failure is an answer too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer<'a> {
    /// A response head has arrived and stands in [`Exchange::response`].
    Response,
    /// What the store script returned.
    Store(&'a [i64]),
    /// What a fetch brought.
    Fetched {
        /// The response's status.
        status: u16,
        /// Its whole body.
        body: &'a [u8],
    },
    /// What the plugin said.
    Plugin(&'a PluginVerdict),
    /// The file that was opened.
    File(&'a Found),
    /// There is no such file.
    NoFile(NoFile),
    /// The time is over.
    Slept,
    /// The whole body.
    Body(&'a [u8]),
    /// The body is longer than the ask allowed; nothing of it is lost.
    TooLarge,
    /// The body ended early.
    Aborted,
    /// The key was woken.
    Woken,
    /// The deadline passed first.
    Late,
    /// The call failed.
    Failed(Failed),
}

/// Who failed a call, and whether the same call may be made again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The part that failed.
    pub who: Who,
    /// True if nothing of the call can have had an effect.
    pub may_retry: bool,
}

/// A part outside the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The upstream of a forward or fetch.
    Upstream,
    /// The shared store, or the lack of one.
    Store,
    /// A plugin, or the lack of one.
    Plugin,
    /// The file system.
    Files,
    /// A bound of the gateway itself.
    Gateway,
}

/// The two heads of a request and who sent it.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The request's head.
    pub request: Head,
    /// The response's head: the upstream's, or a reply's.
    pub response: Head,
    /// Who sent the request.
    pub client: Client,
    /// How the request's body is framed.
    pub framing: wire::Framing,
    /// Whether it asks for a WebSocket, by an upgrade or by an extended CONNECT.
    pub websocket: bool,
}

/// Who sent a request, as far as it is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// The other end of the connection, or what a trusted PROXY header said of it.
    pub peer: SocketAddr,
    /// The client's address: [`Client::peer`] until `client_ip` proves another.
    pub ip: IpAddr,
    /// How many fields of X-Forwarded-For (from the right) come from trusted hops.
    pub trusted_hops: u16,
    /// True if the peer is a trusted hop, so that what it says of proto and host is kept.
    pub trusted_peer: bool,
    /// What it said of proxies, believed or not: for counting only.
    pub said: Said,
    /// What TLS proves of its connection; none if that is plain.
    pub tls: Option<Rc<Secure>>,
    /// What a trusted PROXY header said of its connection beside the peer; none without such a header.
    pub proxied: Option<Rc<Proxied>>,
    /// Whose the request is, once a filter such as `api_key` has proved it.
    pub consumer: Option<Arc<str>>,
}

impl Client {
    /// A client of which only the connection is known.
    pub fn new(peer: SocketAddr) -> Self {
        Self {
            peer,
            ip: peer.ip().to_canonical(),
            trusted_hops: 0,
            trusted_peer: false,
            said: Said::default(),
            tls: None,
            proxied: None,
            consumer: None,
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new(SocketAddr::from(([0, 0, 0, 0], 0)))
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status sent to the client; 499 if it went away before one was.
    pub status: u16,
    /// Body bytes received from the client.
    pub received: u64,
    /// Body bytes sent to the client.
    pub sent: u64,
    /// From the request head's first byte to the response's last.
    pub took: Nanos,
    /// True if the response was whole.
    pub complete: bool,
}

/// State of one filter for one request. Numbers cost nothing; anything else is a box.
#[derive(Default)]
pub struct Slot {
    /// Two numbers of the filter's own, zero at the start.
    pub words: [u64; 2],
    /// Anything larger.
    pub any: Option<Box<dyn Any>>,
}

/// What a filter is handed beside the head.
pub struct Cx<'a> {
    /// Which thread of the process this is: no other has the same number while it lives.
    pub thread: usize,
    /// The time of this tick.
    pub now: Nanos,
    /// The wall clock of this tick, seconds since 1970: for dates that people read, never for limits but those of the calendar.
    pub unix: u64,
    /// A random number source, seeded by the thread's owner.
    pub rng: &'a mut algo::Rng,
    /// The config in force for this request.
    pub snapshot: &'a Snapshot,
    /// Index of the route into [`Snapshot::routes`].
    pub route: u32,
    /// Who sent the request.
    pub client: &'a mut Client,
    /// How the request's body is framed.
    pub framing: wire::Framing,
    /// Whether it asks for a WebSocket, by an upgrade or by an extended CONNECT.
    pub websocket: bool,
    /// This filter's state for this request.
    pub slot: &'a mut Slot,
    pub(crate) filter: u16,
    pub(crate) acts: &'a mut Acts,
}

impl Cx<'_> {
    /// Starts an ask without holding the request; its answer comes to `on_answer`. At most
    /// [`crate::engine::MAX_ASKS`] are open at a time: one more is answered by `Failed` at once.
    /// A joined ask is cancelled with its request; a detached one outlives it.
    pub fn start(&mut self, ask: Ask, join: Join) -> AskId {
        self.acts.start(self.filter, ask, join)
    }

    /// Sends an ask of a lease to the store. No request waits for it, and it outlives this one; its answer goes to its table.
    pub fn lease(&mut self, call: LeaseCall) {
        self.acts.lease(call);
    }

    /// Gives the store what was used of a quota. No request waits for it, and it outlives this one.
    pub fn charge(&mut self, call: ChargeCall) {
        self.acts.charge(call);
    }

    /// Cancels an ask of this request; no answer will come.
    pub fn cancel(&mut self, id: AskId) {
        self.acts.cancel(id);
    }

    /// Wakes every request that waits for `key`, on every thread.
    pub fn wake(&mut self, key: u64) {
        self.acts.wake(key);
    }

    /// Changes a body on its way. Request pipes must be added in `on_request`, response pipes by
    /// the end of `on_response`.
    pub fn pipe(&mut self, side: Side, pipe: Box<dyn Pipe>) {
        self.acts.bodies.pipe(side, pipe);
    }

    /// Watches a body on its way.
    pub fn tap(&mut self, side: Side, tap: Box<dyn Tap>) {
        self.acts.bodies.tap(side, tap);
    }

    /// The request is gRPC from here on, and its client reads gRPC-Web: the upstream is asked for trailers (`TE: trailers`), which
    /// [`Filter::on_trailers`] is to put elsewhere, and refusals are told in this form.
    pub fn bridge(&mut self, form: Web) {
        self.acts.bridge(form);
    }

    /// The response must be whole by then, or is 504, or cut once it has begun. Of several deadlines the soonest counts; a tunnel has none.
    pub fn end_by(&mut self, at: Nanos) {
        self.acts.end_by(self.filter, at);
    }

    /// The most bytes of request body that may pass: more is 413, or an abort once a response began.
    pub fn limit_body(&mut self, bytes: u64) {
        self.acts.bodies.limit(bytes);
    }
}

/// Whether an ask ends with its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Cancelled when the request ends.
    Joined,
    /// Goes on after it.
    Detached,
}
