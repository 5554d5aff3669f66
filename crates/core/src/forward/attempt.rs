//! One forward: which endpoint, which next if that one refuses, and what the client is told when
//! none is left.
//!
//! - A refused connection sends the request to the next endpoint at once, whatever its method:
//!   nothing was sent. The endpoint rests for a while (default 1 s).
//! - If all rest, the one that has rested longest is tried first; each endpoint is tried once.
//! - All refused: 503. No connection in time: 504. Reset before a response head: 502.

use crate::engine::Env;
use crate::filter::Exchange;
use crate::reply::Reply;
use crate::snapshot::Upstream;

/// The most endpoints that one request tries.
pub const MAX_TRIES: usize = 16;

/// Where a forward goes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// To this endpoint: an index into [`Upstream::endpoints`].
    Endpoint(u32),
    /// Nowhere.
    Fail(Failure),
}

/// Why a forward brought no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The upstream has no endpoint, or none has an address yet.
    NoEndpoint,
    /// Every endpoint refused the connection.
    Refused,
    /// No connection within the connect timeout.
    ConnectTimeout,
    /// The connection ended before a response head.
    Reset,
    /// What the upstream sent is no response.
    BadResponse,
    /// No response head within the response timeout.
    ResponseTimeout,
    /// There is no TLS with the upstream: what it speaks is none, or none that is spoken here.
    Tls,
    /// The upstream's certificate is not good, or is another host's.
    TlsCertificate,
}

impl Failure {
    /// True if nothing of the request can have reached an upstream.
    pub fn may_retry(self) -> bool {
        matches!(
            self,
            Self::NoEndpoint
                | Self::Refused
                | Self::ConnectTimeout
                | Self::Tls
                | Self::TlsCertificate
        )
    }
}

/// What a client is told of a failure (RFC 9110 section 15.6; error types of RFC 9209 section 2.3).
pub fn reply(failure: Failure) -> Reply {
    let (status, code, why, proxy) = match failure {
        Failure::NoEndpoint => (
            503,
            "no_endpoint",
            "No upstream is available.",
            "destination_unavailable",
        ),
        Failure::Refused => (
            503,
            "upstream_refused",
            "No upstream is available.",
            "connection_refused",
        ),
        Failure::ConnectTimeout => (
            504,
            "connect_timeout",
            "The upstream did not accept a connection in time.",
            "connection_timeout",
        ),
        Failure::Reset => (
            502,
            "upstream_reset",
            "The upstream closed the connection.",
            "connection_terminated",
        ),
        Failure::BadResponse => (
            502,
            "upstream_protocol",
            "The upstream sent no valid response.",
            "http_protocol_error",
        ),
        Failure::ResponseTimeout => (
            504,
            "response_timeout",
            "The upstream did not answer in time.",
            "http_response_timeout",
        ),
        Failure::Tls => (
            502,
            "upstream_tls",
            "There is no secure connection to the upstream.",
            "tls_protocol_error",
        ),
        Failure::TlsCertificate => (
            502,
            "upstream_certificate",
            "There is no secure connection to the upstream.",
            "tls_certificate_error",
        ),
    };
    Reply::problem(status, code, why).with("proxy-status", format!("ironsluice; error={proxy}"))
}

/// One forward on its way.
#[derive(Clone, Debug)]
pub struct Attempt {
    upstream: u32,
    tried: [u32; MAX_TRIES],
    tries: u8,
}

impl Attempt {
    /// A forward to this upstream: an index into the snapshot's.
    pub fn new(upstream: u32) -> Self {
        Self {
            upstream,
            tried: [0; MAX_TRIES],
            tries: 0,
        }
    }

    /// The upstream it goes to.
    pub fn upstream(&self) -> u32 {
        self.upstream
    }

    /// The endpoint in hand, if one was chosen.
    pub fn endpoint(&self) -> Option<u32> {
        Some(self.tried[usize::from(self.tries.checked_sub(1)?)])
    }

    /// Chooses an endpoint that this request has not tried.
    pub fn choose(&mut self, env: &mut Env<'_>, upstream: &Upstream, ex: &Exchange) -> Choice {
        if upstream.endpoints.is_empty() {
            return Choice::Fail(Failure::NoEndpoint);
        }
        if usize::from(self.tries) >= MAX_TRIES.min(upstream.endpoints.len()) {
            return Choice::Fail(Failure::Refused);
        }
        let now = env.now;
        let untried = |i: usize| !self.tried[..usize::from(self.tries)].contains(&(i as u32));
        let fit = |i: usize| untried(i) && !upstream.endpoints[i].live.rests(now);
        let choice = upstream
            .balance
            .pick(env, self.upstream, &upstream.endpoints, ex, &fit)
            .or_else(|| {
                // All that are left rest: the one whose rest ends first has rested longest.
                (0..upstream.endpoints.len())
                    .filter(|i| untried(*i))
                    .min_by_key(|i| upstream.endpoints[*i].live.rests_until())
            });
        match choice {
            Some(i) => {
                self.tried[usize::from(self.tries)] = i as u32;
                self.tries += 1;
                Choice::Endpoint(i as u32)
            }
            None => Choice::Fail(Failure::Refused),
        }
    }

    /// The endpoint in hand refused, or did not answer, a connection: it rests.
    pub fn refused(&mut self, env: &Env<'_>, upstream: &Upstream) {
        if let Some(at) = self.endpoint() {
            upstream.endpoints[at as usize]
                .live
                .rest(env.now + upstream.rest);
        }
    }

    /// A reused connection was dead: the same endpoint may be tried again on a new one.
    pub fn again(&self) -> Choice {
        self.endpoint()
            .map_or(Choice::Fail(Failure::Reset), Choice::Endpoint)
    }
}
