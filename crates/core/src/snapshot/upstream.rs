//! Upstreams of a snapshot: their endpoints, what is known of each, and how requests are spread over them.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

use algo::Maglev;

use super::{Manner, Resolved, Secure, Secured, Shared};
use crate::config;
use crate::forward::Balance;
use crate::metrics::MAX_PARTS;
use crate::Nanos;

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
    pub(super) rests_until: AtomicU64,
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

/// An app is an upstream whose endpoints are the sockets of its workers.
pub(super) fn app(a: &config::App, resolved: &Resolved, shared: &Shared) -> Upstream {
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

pub(super) fn upstream(u: &config::Upstream, resolved: &Resolved, shared: &Shared) -> Upstream {
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
