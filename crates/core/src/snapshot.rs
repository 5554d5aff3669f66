//! A config made ready for traffic: immutable, published in one step, kept by the requests that
//! began under it. What must survive a change of config (resting endpoints, limiter tables,
//! counters) lives in [`Shared`] and is found again by identity.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use algo::Maglev;

use crate::config::{self, Config, Fault};
use crate::filter::Filter;
use crate::filters::{self, Build};
use crate::forward::Balance;
use crate::metrics::{Meters, MAX_PARTS};
use crate::route::{RouteMatch, Router};
use crate::Nanos;

/// A config made ready for traffic.
pub struct Snapshot {
    /// Counts the configs that this process published, from 1.
    pub revision: u64,
    /// What it was made from.
    pub config: Arc<Config>,
    /// Finds a route; what it returns is an index into `routes`.
    pub router: Router,
    /// In the order of the config.
    pub routes: Vec<Route>,
    /// In the order of the config.
    pub upstreams: Vec<Upstream>,
    /// Where connections of each listener are counted, in the order of the config.
    pub listener_meters: Vec<u32>,
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

/// What outlives a config: found again by identity when the next one is compiled.
#[derive(Default)]
pub struct Shared {
    endpoints: Mutex<Endpoints>,
    tables: Mutex<HashMap<String, Arc<algo::GcraTable>>>,
    routes: Meter,
    upstreams: Meter,
    listeners: Meter,
    seed: u64,
}

#[derive(Default)]
struct Endpoints {
    live: HashMap<Address, Weak<Live>>,
    /// Which slots are taken, by whom.
    slots: Vec<Weak<Live>>,
}

impl Shared {
    /// `seed` keys the hashes of tables whose keys clients choose; it must be hard to guess.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// The secret that keys hashes of what clients choose.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// What is known of the endpoint at this address.
    pub fn live(&self, address: Address) -> Arc<Live> {
        let mut e = lock(&self.endpoints);
        if let Some(live) = e.live.get(&address).and_then(Weak::upgrade) {
            return live;
        }
        let free = e.slots.iter().position(|w| w.strong_count() == 0);
        let slot = free.unwrap_or(e.slots.len());
        let live = Arc::new(Live {
            address: address.clone(),
            slot: slot as u32,
            active: AtomicU32::new(0),
            rests_until: AtomicU64::new(0),
        });
        match free {
            Some(i) => e.slots[i] = Arc::downgrade(&live),
            None => e.slots.push(Arc::downgrade(&live)),
        }
        if e.live.len() > 2 * e.slots.len() {
            e.live.retain(|_, w| w.strong_count() > 0);
        }
        e.live.insert(address, Arc::downgrade(&live));
        live
    }

    /// The limiter table of this identity; made at its first use, with room for `capacity` keys.
    pub fn table(&self, identity: &str, capacity: usize) -> Arc<algo::GcraTable> {
        let mut tables = lock(&self.tables);
        if let Some(t) = tables.get(identity).filter(|t| t.capacity() >= capacity) {
            return t.clone();
        }
        let within = capacity.clamp(1, algo::GcraTable::MAX_CAPACITY);
        let table = Arc::new(
            algo::GcraTable::new(within, self.seed).expect("a capacity within its bounds"),
        );
        tables.insert(identity.to_owned(), table.clone());
        table
    }

    /// Forgets tables that no snapshot uses any more.
    pub fn sweep(&self) {
        lock(&self.tables).retain(|_, t| Arc::strong_count(t) > 1);
    }
}

/// Which name is counted where. A name keeps its place over all configs.
#[derive(Default)]
struct Meter(Mutex<HashMap<Box<str>, u32>>);

impl Meter {
    /// The place of a name; [`OTHER_ROUTES`] once there are `most`.
    fn of(&self, name: &str, most: u32) -> u32 {
        let mut all = lock(&self.0);
        if let Some(place) = all.get(name) {
            return *place;
        }
        let next = all.len() as u32 + 1;
        if next >= most {
            return OTHER_ROUTES;
        }
        all.insert(name.into(), next);
        next
    }
}

/// The meter of requests without a route, and of routes beyond [`MAX_METERS`].
pub const OTHER_ROUTES: u32 = 0;

/// The most routes that are counted each by itself, over the life of the process.
pub const MAX_METERS: u32 = 1 << 14;

impl Snapshot {
    /// Makes a config ready. `resolved` gives the addresses of host names; one that is missing
    /// leaves its endpoint out until it is known.
    ///
    /// # Errors
    /// Faults that only building the filters shows; none for a config that was checked.
    pub fn compile(
        config: Arc<Config>,
        revision: u64,
        resolved: &HashMap<String, Vec<IpAddr>>,
        shared: &Shared,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let upstreams: Vec<Upstream> = config
            .upstreams
            .iter()
            .map(|u| upstream(u, resolved, shared))
            .collect();
        let index: HashMap<&str, u32> = config
            .upstreams
            .iter()
            .zip(0..)
            .map(|(u, i)| (u.name.as_str(), i))
            .collect();
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
        let routes = config
            .routes
            .iter()
            .enumerate()
            .map(|(i, r)| route(i, r, &index, shared, &mut faults))
            .collect();
        let access_log = config
            .access_log
            .as_ref()
            .map(|a| (a.to.clone(), Arc::new(a.format.clone())));
        let listener_meters = config
            .listeners
            .iter()
            .map(|l| shared.listeners.of(l.name.as_str(), MAX_PARTS))
            .collect();
        if faults.is_empty() {
            Ok(Self {
                revision,
                router,
                routes,
                upstreams,
                listener_meters,
                access_log,
                config,
            })
        } else {
            Err(faults)
        }
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
    upstreams: &HashMap<&str, u32>,
    shared: &Shared,
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

fn target(to: &[config::Share], upstreams: &HashMap<&str, u32>) -> Target {
    let index = |s: &config::Share| upstreams.get(s.upstream.as_str()).copied();
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

fn upstream(
    u: &config::Upstream,
    resolved: &HashMap<String, Vec<IpAddr>>,
    shared: &Shared,
) -> Upstream {
    let mut endpoints = Vec::new();
    for e in &u.endpoints {
        let mut add = |address| {
            endpoints.push(Endpoint {
                weight: e.weight.get() as u32,
                live: shared.live(address),
            })
        };
        match &e.address {
            config::Address::Ip(a) => add(Address::Ip(*a)),
            config::Address::Unix(p) => add(Address::Unix(p.clone())),
            config::Address::Host(name, port) => {
                for ip in resolved.get(name).into_iter().flatten() {
                    add(Address::Ip(SocketAddr::new(*ip, *port)));
                }
            }
        }
    }
    Upstream {
        name: u.name.as_str().into(),
        meter: shared.upstreams.of(u.name.as_str(), MAX_PARTS),
        balance: balance(u, &endpoints),
        endpoints,
        rest: u.rest.nanos(),
        settings: UpstreamSettings {
            connect: u.timeouts.connect.nanos(),
            response: u.timeouts.response.nanos(),
            stall: u.timeouts.stall.nanos(),
            idle: u.keepalive.idle.nanos(),
            lifetime: u.keepalive.lifetime.nanos(),
            connections: u.keepalive.connections.get() as u32,
            requests: u.keepalive.requests.get() as u32,
        },
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

/// A panic while holding one of these locks left plain data behind: it is still good.
fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}
