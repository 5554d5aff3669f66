//! `listeners`: where clients come in, and the bounds on what they may send.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::http2::Http2;
use super::text::{Bind, Name, Whole};
use super::tls::ListenerTls;
use super::units::{Cidr, Duration, Size};

/// What reads the requests of a listener. Either way the core decides about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Door {
    /// Threads of the core; for the open internet.
    #[default]
    Edge,
    /// The workers of an app, by uWebSockets.js; for trusted networks.
    App,
}

/// A socket that clients connect to; it speaks HTTP/1.1 and HTTP/2, with or without TLS.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Listener {
    /// What routes, metrics and logs call it.
    pub name: Name,
    /// The address to listen on, `IP:PORT`; port 0 lets the system choose.
    pub bind: Bind,
    /// `edge`: threads of the core serve it. `app`: the core serves it within the workers of `app`, which answer what leads to it
    /// themselves; what no route takes leads to it.
    #[serde(default)]
    pub door: Door,
    /// The app of `door: app`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<Name>,
    /// TLS: certificates and who must show one, or `dev` for a certificate of this machine's own, for localhost. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<ListenerTls>,
    /// True to answer `/healthz` and `/readyz` here, before any route.
    #[serde(default)]
    pub health: bool,
    /// The PROXY protocol, version 1 or 2, from peers that are listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_protocol: Option<ProxyProtocol>,
    /// Connections that the system may hold until a shard accepts them.
    #[serde(default = "backlog")]
    pub backlog: Whole<1, 65_535>,
    /// How long a client may take.
    #[serde(default)]
    pub timeouts: ListenerTimeouts,
    /// How much a client may send.
    #[serde(default)]
    pub limits: ListenerLimits,
    /// HTTP/2, and its bounds.
    #[serde(default)]
    pub http2: Http2,
}

/// Who may say, ahead of a connection's first byte, whose connection it is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocol {
    /// The peers that must send a PROXY header; from all others none is read.
    pub trust: Vec<Cidr>,
}

/// How long a client may take.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerTimeouts {
    /// From the first byte of a request head to its last; then 408.
    pub head: Duration,
    /// Between two requests of a connection; then it is closed.
    pub idle: Duration,
    /// Without a byte of progress in a body, in either direction; then the connection is closed. The rest of a
    /// body whose answer came early has as long in all.
    pub stall: Duration,
    /// Without a byte in either direction of a tunnel, such as a WebSocket; then it is closed.
    pub tunnel: Duration,
}

impl Default for ListenerTimeouts {
    fn default() -> Self {
        Self {
            head: Duration::secs(10),
            idle: Duration::secs(60),
            stall: Duration::secs(30),
            tunnel: Duration::secs(3600),
        }
    }
}

/// How much a client may send.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ListenerLimits {
    /// Bytes of a request head, 1KiB to 1MiB; more is 431.
    pub head: Size,
    /// Fields of a request head; more is 431.
    pub fields: Whole<1, 256>,
    /// Bytes of a request target, at most `head`; more is 414.
    pub uri: Size,
    /// Bytes a second of a request's body, on the average of the time that is spent waiting for it, `timeouts.stall` more being allowed; slower is
    /// 408. Counted until the answer begins, and not for calls
    /// of gRPC. 0 for no limit.
    pub min_body_rate: Whole<0, 1_000_000_000>,
    /// Open connections of each thread; more wait in `backlog` until one leaves.
    pub connections: Whole<1, 10_000_000>,
    /// Requests on one connection, after which it is closed; 0 for no limit.
    pub requests_per_connection: Whole<0, 4_294_967_295>,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            head: Size::kib(32),
            fields: Whole::of(100),
            uri: Size::kib(8),
            min_body_rate: Whole::of(240),
            connections: Whole::of(65_536),
            requests_per_connection: Whole::of(0),
        }
    }
}

fn backlog() -> Whole<1, 65_535> {
    Whole::of(4096)
}
