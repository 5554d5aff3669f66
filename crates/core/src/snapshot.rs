//! A config made ready for traffic: immutable, published in one step, kept by the requests that
//! began under it. What must survive a change of config (resting endpoints, limiter tables,
//! counters) lives in [`Shared`] and is found again by identity.

use std::any::Any;
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use crate::config::{self, Cidr, Config, Fault};
use crate::filter::{Client, Filter};
use crate::filters::{self, Build};
use crate::metrics::{Meters, StoreFigures, MAX_PARTS};
use crate::route::{Asked, RouteMatch, Router};
use crate::secret::Secret;
use crate::Nanos;

mod shared;
mod upstream;

pub use shared::{Manner, Secure, Shared};
use upstream::{app, upstream};
pub use upstream::{Address, Endpoint, Http2Settings, Live, Upstream, UpstreamSettings};

/// Where names of the config are found: what is not in it is left out until it is known.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// The addresses of host names.
    pub hosts: HashMap<String, Vec<IpAddr>>,
    /// The Unix sockets of each app's workers.
    pub apps: HashMap<String, Vec<PathBuf>>,
    /// Where JavaScript finds the modules of plugins, by their paths as the config has them.
    pub plugins: HashMap<String, Arc<str>>,
    /// What stands in files of addresses, by their paths as the config has them.
    pub ip_lists: HashMap<String, Arc<[Cidr]>>,
    /// Where relative paths of the config begin; empty for the working directory.
    pub folder: PathBuf,
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
    /// In the order of the config.
    pub upstreams: Vec<Upstream>,
    /// Where connections of each listener are counted, in the order of the config.
    pub listener_meters: Vec<u32>,
    /// What connections of each listener are secured with, in the order of the config.
    pub listener_tls: Vec<Option<Secured>>,
    /// Where lines about requests go, and what they say.
    pub access_log: Option<(config::Sink, Arc<config::Format>)>,
    /// Where requests carry credentials that some filter looks for, each once.
    pub secrets: Arc<[Secret]>,
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
    /// True if one counts a WebSocket until it ends.
    pub counts_open: bool,
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
        let secrets = secrets(&routes);
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
                upstreams,
                listener_meters,
                listener_tls,
                access_log,
                secrets,
                config,
            })
        } else {
            Err(faults)
        }
    }

    /// The place among the upstreams of the app at whose door a listener is.
    pub fn app_at(&self, listener: usize) -> Option<u32> {
        let app = self.config.listeners.get(listener)?.app.as_ref()?;
        let at = self.config.apps.iter().position(|a| a.name == *app)?;
        Some((self.config.upstreams.len() + at) as u32)
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
        let occupied = self.routes.iter().flat_map(|r| {
            let held = r.filters.iter().filter_map(|f| f.occupancy());
            held.map(|o| (r.name.clone(), o))
        });
        Meters {
            occupied: occupied.collect(),
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
            store: StoreFigures::default(),
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
        counts_open: !which(|n| n.counts_open).is_empty(),
        forwards: which(|n| n.forwards).last().copied(),
        target: target(&r.to, upstreams),
        keep_escaped_slash: r.keep_escaped_slash,
        meter: shared.routes.of(r.name.as_str(), MAX_METERS),
        filters: built,
    }
}

fn secrets(routes: &[Route]) -> Arc<[Secret]> {
    let mut all: Vec<Secret> = Vec::new();
    for secret in routes
        .iter()
        .flat_map(|r| r.filters.iter().filter_map(|f| f.secret()))
    {
        if !all.contains(secret) {
            all.push(secret.clone());
        }
    }
    all.into()
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
        counts_open: false,
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
