//! A config made ready for traffic: immutable, published in one step, kept by the requests that
//! began under it. What must survive a change of config (resting endpoints, limiter tables,
//! counters) lives in [`Shared`] and is found again by identity.

use std::any::Any;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use algo::Maglev;

use crate::config::{self, Config, Fault};
use crate::filter::{Client, Filter};
use crate::filters::{self, Build};
use crate::forward::Balance;
use crate::metrics::{Meters, MAX_PARTS};
use crate::route::{Asked, RouteMatch, Router};
use crate::Nanos;

mod shared;

pub use shared::{Manner, Secure, Shared};

/// Where names of the config are found: what is not in it is left out until it is known.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// The addresses of host names.
    pub hosts: HashMap<String, Vec<IpAddr>>,
    /// The Unix sockets of each app's workers.
    pub apps: HashMap<String, Vec<PathBuf>>,
    /// Where JavaScript finds the modules of plugins, by their paths as the config has them.
    pub plugins: HashMap<String, Arc<str>>,
    /// What was made of `tls` of each upstream.
    pub upstream_tls: HashMap<String, Secured>,
    /// What was made of `tls` of each listener.
    pub listener_tls: HashMap<String, Secured>,
}

/// What the owner of the sockets made of a `tls` of the config. The core hands it back and looks at
/// its identity only: connections are shared by what has the same.
#[derive(Clone)]
pub struct Secured {
    /// Equal for equal settings and files.
    pub identity: u64,
    /// The owner's own.
    pub with: Arc<dyn Any + Send + Sync>,
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secured")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// A config made ready for traffic.
pub struct Snapshot {
    /// Counts the configs that this process published, from 1.
    pub revision: u64,
    /// What it was made from.
    pub config: Arc<Config>,
    /// Finds a route; what it returns is an index into `routes`.
    pub router: Router,
    /// In the order of the config; behind them one for each app at whose door it is.
    pub routes: Vec<Route>,
    /// Where each listener sends what no route takes, by its place.
    strays: Vec<Option<u32>>,
    plain: bool,
    /// In the order of the config.
    pub upstreams: Vec<Upstream>,
    /// Where connections of each listener are counted, in the order of the config.
    pub listener_meters: Vec<u32>,
    /// What connections of each listener are secured with, in the order of the config.
    pub listener_tls: Vec<Option<Secured>>,
    /// Where lines about requests go, and what they say.
    pub access_log: Option<(config::Sink, Arc<config::Format>)>,
}

/// One route.
pub struct Route {
    /// Its name in the config.
    pub name: Box<str>,
    /// All its filters, in the order of the config.
    pub filters: Vec<Box<dyn Filter>>,
    /// Those that want the request, in order.
    pub request: Box<[u16]>,
    /// Those that want the response, in order; they run from the last to the first.
    pub response: Box<[u16]>,
    /// Those that want the trailers, from the last to the first.
    pub trailers: Box<[u16]>,
    /// Those that want to know how it ended.
    pub done: Box<[u16]>,
    /// The last filter, if it forwards by itself.
    pub forwards: Option<u16>,
    /// Where requests go after the filters.
    pub target: Target,
    /// True if `%2F` in a path is passed on instead of refused.
    pub keep_escaped_slash: bool,
    /// Where its requests are counted.
    pub meter: u32,
}

/// Where a route's requests go.
pub enum Target {
    /// Nowhere: a filter always replies.
    None,
    /// To one upstream.
    One(u32),
    /// To several, by weight: upper ends of each one's share, and the upstream.
    Split(Box<[(u32, u32)]>),
}

impl Target {
    /// The upstream for one request.
    pub fn pick(&self, rng: &mut algo::Rng) -> Option<u32> {
        match self {
            Self::None => None,
            Self::One(u) => Some(*u),
            Self::Split(parts) => {
                let total = parts.last()?.0;
                let at = (((rng.next_u64() >> 32) * u64::from(total)) >> 32) as u32;
                parts.iter().find(|(end, _)| at < *end).map(|(_, u)| *u)
            }
        }
    }
}

/// One upstream.
pub struct Upstream {
    /// Its name in the config.
    pub name: Box<str>,
    /// Its endpoints, host names replaced by the addresses they resolve to.
    pub endpoints: Vec<Endpoint>,
    /// How requests are spread over them.
    pub balance: Balance,
    /// How long a refusing endpoint rests.
    pub rest: Nanos,
    /// Timeouts and limits of its connections.
    pub settings: UpstreamSettings,
    /// Where its connections are counted.
    pub meter: u32,
    /// True if it is an app of this process, which is told what the core knows of a request.
    pub app: bool,
    /// What its connections are secured with. None for one with `tls` means that nothing may be sent.
    pub tls: Option<Secured>,
    /// What its connections begin with.
    pub proxy_protocol: Option<Arc<config::UpstreamProxy>>,
}

/// Timeouts and limits of an upstream's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// For a connection, over all attempts of a request.
    pub connect: Nanos,
    /// From the request's last byte to the response head.
    pub response: Nanos,
    /// The longest silence within a body.
    pub stall: Nanos,
    /// How long an unused connection is kept.
    pub idle: Nanos,
    /// How long any connection is used.
    pub lifetime: Nanos,
    /// Unused connections kept by each thread and endpoint.
    pub connections: u32,
    /// Requests on one connection; 0 is no limit.
    pub requests: u32,
    /// True if a connection begins with a PROXY header, and is its client's only.
    pub introduces: bool,
    /// Set if its endpoints speak HTTP/2.
    pub http2: Option<Http2Settings>,
}

/// Limits of HTTP/2 connections to an upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Http2Settings {
    /// Requests open at a time on one connection.
    pub streams: u32,
    /// Bytes of one response that may be sent ahead.
    pub stream_window: u32,
    /// Bytes of all responses of a connection that may be sent ahead.
    pub connection_window: u32,
}

/// One address of an upstream.
#[derive(Clone)]
pub struct Endpoint {
    /// Its weight, at least 1.
    pub weight: u32,
    /// What is known of it, shared by all threads and kept over changes of config.
    pub live: Arc<Live>,
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Ip(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(a) => a.fmt(f),
            Self::Unix(p) => write!(f, "unix:{}", p.display()),
        }
    }
}

/// What is known of an endpoint.
pub struct Live {
    /// Where it is.
    pub address: Address,
    /// Names its connection pool in every thread. Not given to another address while anyone holds this.
    pub slot: u32,
    /// The host that TLS asks for and verifies; none for a plain connection.
    pub secure: Option<Box<str>>,
    /// Requests in flight; counted only for upstreams that balance by it.
    pub active: AtomicU32,
    rests_until: AtomicU64,
}

impl Live {
    /// True if it refused lately.
    pub fn rests(&self, now: Nanos) -> bool {
        now < self.rests_until()
    }

    /// The moment its rest ends; 0 if it never refused.
    pub fn rests_until(&self) -> Nanos {
        self.rests_until.load(Relaxed)
    }

    /// It refused: let it rest.
    pub fn rest(&self, until: Nanos) {
        self.rests_until.store(until, Relaxed);
    }

    /// It accepted: its rest is over.
    pub fn accepted(&self) {
        if self.rests_until() != 0 {
            self.rests_until.store(0, Relaxed);
        }
    }
}

/// A worker that refuses is about to be replaced: it is passed over for a tenth of a second.
const WORKER_REST: Nanos = 100_000_000;

/// The meter of requests without a route, and of routes beyond [`MAX_METERS`].
pub const OTHER_ROUTES: u32 = 0;

/// The most routes that are counted each by itself, over the life of the process.
pub const MAX_METERS: u32 = 1 << 14;

impl Snapshot {
    /// Makes a config ready. A name that `resolved` lacks leaves its endpoints out.
    ///
    /// # Errors
    /// Faults that only building the filters shows; none for a config that was checked.
    pub fn compile(
        config: Arc<Config>,
        revision: u64,
        resolved: &Resolved,
        shared: &Shared,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let apps = config.apps.iter().map(|a| app(a, resolved, shared));
        let upstreams: Vec<Upstream> = config
            .upstreams
            .iter()
            .map(|u| upstream(u, resolved, shared))
            .chain(apps)
            .collect();
        let index = Index::of(&config);
        let listeners: HashMap<&str, u32> = config
            .listeners
            .iter()
            .zip(0..)
            .map(|(l, i)| (l.name.as_str(), i))
            .collect();
        let matches: Vec<RouteMatch> = config
            .routes
            .iter()
            .map(|r| r.matcher(&listeners))
            .collect();
        let router = Router::compile(&matches);
        let mut routes: Vec<Route> = config
            .routes
            .iter()
            .enumerate()
            .map(|(i, r)| route(i, r, &index, (resolved, shared), &mut faults))
            .collect();
        let strays = config
            .listeners
            .iter()
            .map(|l| {
                let at = index.apps.get(l.app.as_ref()?.as_str()).copied()?;
                let to = |r: &Route| matches!(r.target, Target::One(u) if u == at);
                let first = config.routes.len();
                let place = match routes[first..].iter().position(to) {
                    Some(k) => first + k,
                    None => {
                        routes.push(stray(&upstreams[at as usize], at, shared));
                        routes.len() - 1
                    }
                };
                Some(place as u32)
            })
            .collect();
        let access_log = config
            .access_log
            .as_ref()
            .map(|a| (a.to.clone(), Arc::new(a.format.clone())));
        let plain = access_log.is_none() && routes.iter().all(|r| r.filters.is_empty());
        let listener_meters = config
            .listeners
            .iter()
            .map(|l| shared.listeners.of(l.name.as_str(), MAX_PARTS))
            .collect();
        let listener_tls = config
            .listeners
            .iter()
            .map(|l| resolved.listener_tls.get(l.name.as_str()).cloned())
            .collect();
        if faults.is_empty() {
            Ok(Self {
                revision,
                router,
                routes,
                strays,
                plain,
                upstreams,
                listener_meters,
                listener_tls,
                access_log,
                config,
            })
        } else {
            Err(faults)
        }
    }

    /// True if nobody looks at who sent a request that is answered here.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// The route of a request on this listener.
    pub fn find(&self, listener: u32, request: &wire::Head, client: &Client) -> Option<u32> {
        let proxied = client.proxied.as_deref();
        self.router
            .find(listener, &Asked { request, proxied })
            .or_else(|| *self.strays.get(listener as usize)?)
    }

    /// The names in force and where each is counted. Names that left the config are not shown any
    /// more, so that routes that come and go do not grow the page; one that comes back counts on.
    pub fn meters(&self) -> Meters {
        let listeners = self.config.listeners.iter().map(|l| l.name.as_str().into());
        Meters {
            routes: self
                .routes
                .iter()
                .map(|r| (r.name.clone(), r.meter))
                .collect(),
            upstreams: self
                .upstreams
                .iter()
                .map(|u| (u.name.clone(), u.meter))
                .collect(),
            listeners: listeners
                .zip(self.listener_meters.iter().copied())
                .collect(),
        }
    }

    /// The upstreams and what is known of their endpoints, as JSON.
    pub fn upstreams_json(&self, now: Nanos) -> String {
        let endpoint = |u: &Upstream, e: &Endpoint| {
            let mut known = serde_json::json!({
                "address": e.live.address.to_string(),
                "weight": e.weight,
                "resting": e.live.rests(now),
            });
            // Only balancing by it needs the count, so only then is there one.
            if u.balance.counts() {
                known["in_flight"] = e.live.active.load(Relaxed).into();
            }
            known
        };
        let all: Vec<_> = self
            .upstreams
            .iter()
            .map(|u| {
                let endpoints: Vec<_> = u.endpoints.iter().map(|e| endpoint(u, e)).collect();
                serde_json::json!({ "name": u.name, "endpoints": endpoints })
            })
            .collect();
        serde_json::Value::from(all).to_string()
    }
}

fn route(
    i: usize,
    r: &config::Route,
    upstreams: &Index<'_>,
    (resolved, shared): (&Resolved, &Shared),
    faults: &mut Vec<Fault>,
) -> Route {
    let mut built: Vec<Box<dyn Filter>> = Vec::with_capacity(r.filters.len());
    for (k, raw) in r.filters.iter().enumerate() {
        let at = format!("routes[{i}].filters[{k}]");
        let mut b = Build {
            at: &at,
            route: &r.name,
            paths: &r.what.path,
            ordinal: k,
            shared: Some(shared),
            resolved: Some(resolved),
            faults,
        };
        built.extend(filters::build(&raw.name, &raw.object, &mut b));
    }
    let which = |want: fn(&crate::filter::Needs) -> bool| -> Vec<u16> {
        built
            .iter()
            .zip(0..)
            .filter(|(f, _)| want(&f.needs()))
            .map(|(_, k)| k)
            .collect()
    };
    let mut trailers = which(|n| n.trailers);
    trailers.reverse();
    Route {
        name: r.name.as_str().into(),
        request: which(|n| n.request).into(),
        response: which(|n| n.response).into(),
        trailers: trailers.into(),
        done: which(|n| n.done).into(),
        forwards: which(|n| n.forwards).last().copied(),
        target: target(&r.to, upstreams),
        keep_escaped_slash: r.keep_escaped_slash,
        meter: shared.routes.of(r.name.as_str(), MAX_METERS),
        filters: built,
    }
}

/// What leads from a door to its app where no route does.
fn stray(app: &Upstream, at: u32, shared: &Shared) -> Route {
    Route {
        name: app.name.clone(),
        filters: Vec::new(),
        request: Box::default(),
        response: Box::default(),
        trailers: Box::default(),
        done: Box::default(),
        forwards: None,
        target: Target::One(at),
        keep_escaped_slash: false,
        meter: shared.routes.of(&app.name, MAX_METERS),
    }
}

/// Which upstream a name means: apps stand behind the upstreams of the config.
struct Index<'a> {
    upstreams: HashMap<&'a str, u32>,
    apps: HashMap<&'a str, u32>,
}

impl<'a> Index<'a> {
    fn of(config: &'a Config) -> Self {
        let upstreams = config.upstreams.iter().map(|u| u.name.as_str());
        let apps = config.apps.iter().map(|a| a.name.as_str());
        Self {
            apps: apps.zip(config.upstreams.len() as u32..).collect(),
            upstreams: upstreams.zip(0..).collect(),
        }
    }

    fn get(&self, share: &config::Share) -> Option<u32> {
        match (&share.upstream, &share.app) {
            (Some(name), _) => self.upstreams.get(name.as_str()).copied(),
            (None, Some(name)) => self.apps.get(name.as_str()).copied(),
            (None, None) => None,
        }
    }
}

fn target(to: &[config::Share], upstreams: &Index<'_>) -> Target {
    let index = |s: &config::Share| upstreams.get(s);
    match to {
        [] => Target::None,
        [one] => index(one).map_or(Target::None, Target::One),
        many => {
            let mut end = 0;
            let parts: Vec<(u32, u32)> = many
                .iter()
                .filter_map(|s| {
                    end += s.weight;
                    index(s).map(|u| (end, u))
                })
                .collect();
            Target::Split(parts.into())
        }
    }
}

/// An app is an upstream whose endpoints are the sockets of its workers.
fn app(a: &config::App, resolved: &Resolved, shared: &Shared) -> Upstream {
    let sockets = resolved.apps.get(a.name.as_str());
    let endpoints = sockets.into_iter().flatten().map(|path| Endpoint {
        weight: 1,
        live: shared.live(Address::Unix(path.clone()), Manner::default()),
    });
    let name = format!("app:{}", a.name.as_str());
    Upstream {
        meter: shared.upstreams.of(&name, MAX_PARTS),
        name: name.into(),
        endpoints: endpoints.collect(),
        balance: Balance::LeastRequest,
        rest: WORKER_REST,
        settings: settings(&a.timeouts, &config::Keepalive::default(), None),
        app: true,
        tls: None,
        proxy_protocol: None,
    }
}

fn settings(
    timeouts: &config::UpstreamTimeouts,
    keepalive: &config::Keepalive,
    http2: Option<config::UpstreamHttp2>,
) -> UpstreamSettings {
    UpstreamSettings {
        connect: timeouts.connect.nanos(),
        response: timeouts.response.nanos(),
        stall: timeouts.stall.nanos(),
        idle: keepalive.idle.nanos(),
        lifetime: keepalive.lifetime.nanos(),
        connections: keepalive.connections.get() as u32,
        requests: keepalive.requests.get() as u32,
        introduces: false,
        http2: http2.map(|h| Http2Settings {
            streams: h.max_concurrent_streams.get() as u32,
            stream_window: h.initial_stream_window_size.bytes() as u32,
            connection_window: h.initial_connection_window_size.bytes() as u32,
        }),
    }
}

fn upstream(u: &config::Upstream, resolved: &Resolved, shared: &Shared) -> Upstream {
    let secured = resolved.upstream_tls.get(u.name.as_str()).cloned();
    let mut endpoints = Vec::new();
    for e in &u.endpoints {
        let secure = u.tls.as_ref().map(|tls| Secure {
            identity: secured.as_ref().map_or(0, |s| s.identity),
            host: tls.host(&e.address),
        });
        let manner = Manner {
            secure,
            introduced: u.proxy_protocol.is_some(),
        };
        let mut add = |address| {
            endpoints.push(Endpoint {
                weight: e.weight.get() as u32,
                live: shared.live(address, manner.clone()),
            })
        };
        match &e.address {
            config::Address::Ip(a) => add(Address::Ip(*a)),
            config::Address::Unix(p) => add(Address::Unix(p.clone())),
            config::Address::Host(name, port) => {
                for ip in resolved.hosts.get(name).into_iter().flatten() {
                    add(Address::Ip(SocketAddr::new(*ip, *port)));
                }
            }
        }
    }
    let speaks = u.protocol == config::Protocol::Http2;
    let http2 = speaks.then(|| u.http2.clone().unwrap_or_default());
    Upstream {
        name: u.name.as_str().into(),
        meter: shared.upstreams.of(u.name.as_str(), MAX_PARTS),
        balance: balance(u, &endpoints),
        endpoints,
        rest: u.rest.nanos(),
        settings: UpstreamSettings {
            introduces: u.proxy_protocol.is_some(),
            ..settings(&u.timeouts, &u.keepalive, http2)
        },
        app: false,
        tls: secured,
        proxy_protocol: u.proxy_protocol.clone().map(Arc::new),
    }
}

fn balance(u: &config::Upstream, endpoints: &[Endpoint]) -> Balance {
    let turns = || Balance::RoundRobin {
        turns: turns(endpoints),
    };
    match u.balance {
        config::Balance::RoundRobin => turns(),
        config::Balance::LeastRequest => Balance::LeastRequest,
        config::Balance::Maglev => {
            let nodes: Vec<(u64, u32)> = endpoints
                .iter()
                .map(|e| {
                    (
                        algo::stable_hash(e.live.address.to_string().as_bytes()),
                        e.weight,
                    )
                })
                .collect();
            // Without an endpoint there is no table, and nothing could be picked by any rule.
            Maglev::new(&nodes, Maglev::DEFAULT_SIZE).map_or_else(
                |_| turns(),
                |table| Balance::Maglev {
                    table: Box::new(table),
                    key: u.hash_key.clone().unwrap_or(config::HashKey::ClientIp),
                },
            )
        }
    }
}

/// One whole rotation, as long as the weights' sum over their common divisor, within [`MAX_TURNS`].
fn turns(endpoints: &[Endpoint]) -> Box<[u32]> {
    let divisor = endpoints.iter().fold(0, |d, e| gcd(d, e.weight)).max(1);
    let weights: Vec<u32> = endpoints.iter().map(|e| e.weight / divisor).collect();
    let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
    if weights.windows(2).all(|w| w[0] == w[1]) {
        return (0..endpoints.len() as u32).collect();
    }
    let Ok(mut rotation) = algo::SmoothRoundRobin::new(&weights) else {
        return Box::default();
    };
    let len = sum.min(MAX_TURNS.max(endpoints.len() as u64));
    (0..len)
        .filter_map(|_| rotation.pick())
        .map(|i| i as u32)
        .collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 {
        a
    } else {
        gcd(b, a % b)
    }
}

/// The longest rotation: with more turns, shares are right to one part in 65,536.
const MAX_TURNS: u64 = 1 << 16;
