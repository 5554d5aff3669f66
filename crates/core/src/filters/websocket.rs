//! websocket: says which sites may open WebSockets, and how many a client may have open.
//!
//! Config:  `{ use: websocket, origins: [same, "https://*.example.com"], connections_per_client: 10 }`
//! Reads:   Origin and Host; the client's address, so behind proxies put the filter client_ip first.
//!          Only of requests for a WebSocket, by HTTP/1.1 or by HTTP/2 (RFC 8441); others pass untouched.
//! Asks:    nothing: the count is this process's own, exact over all its threads.
//! Replies: 403 `websocket_origin` if Origin is not of the list, is missing or is there twice.
//!          429 `websocket_quota` if the client has as many open as it may, without Retry-After: nobody
//!          knows when it closes one. 503 `websocket_clients` if `max_clients` others have some open.
//! Fails:   never open. Nothing has gone to an upstream when it refuses. A WebSocket counts from its
//!          request to its end, however it ends; a request that comes to none counts no more once
//!          it is answered. The count survives a reload.
//! Source:  RFC 6455 section 10.2 (Origin), RFC 6585 section 4 (429).

use std::net::IpAddr;
use std::sync::Arc;

use algo::{Claim, QuotaTable};
use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::origin::{is_allowed, Allowed};
use super::Build;
use crate::filter::{Cx, Filter, Needs, Outcome, Verdict};
use crate::reply::Reply;

/// Says which sites may open WebSockets, and how many a client may have open.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The sites whose pages may open one, 1 to 64. Default: all, and programs without an Origin too.
    pub origins: Option<Vec<Allowed>>,
    /// The most that a client, an address (IPv6: its /64), may have open on this route. Default: no bound.
    pub connections_per_client: Option<u32>,
    /// The most clients that may have some open at a time, about 50 bytes each. Default: 65536.
    #[serde(default = "max_clients")]
    pub max_clients: usize,
}

fn max_clients() -> usize {
    QuotaTable::DEFAULT_CAPACITY
}

/// The filter.
pub struct Websocket {
    origins: Option<Vec<Allowed>>,
    quota: Option<(u32, Arc<QuotaTable>)>,
}

/// One that is counted, until this is dropped.
struct Held {
    table: Arc<QuotaTable>,
    key: u128,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.table.release(self.key);
    }
}

impl Websocket {
    /// From its config, if it asks for something.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        match config.origins.as_ref().map(Vec::len) {
            Some(0) => b.fault(
                "origins",
                "a list without an origin lets nobody in",
                "write same, or remove the key",
            ),
            Some(n) if n > MAX_ORIGINS => b.fault(
                "origins",
                format!("{n} are more than {MAX_ORIGINS}"),
                "write https://*.example.com for many hosts of one domain",
            ),
            _ => {}
        }
        if config.connections_per_client == Some(0) {
            b.fault(
                "connections_per_client",
                "a client that may have none open gets none",
                "write 1 or more",
            );
        }
        if config.origins.is_none() && config.connections_per_client.is_none() {
            b.fault(
                "origins",
                "the filter has nothing to say",
                "write origins, connections_per_client, or remove the filter",
            );
        }
        let most = QuotaTable::MAX_CAPACITY;
        if config.max_clients == 0 || config.max_clients > most {
            let why = format!("{} is not 1 to {most}", config.max_clients);
            b.fault("max_clients", why, "write 65536, or the clients you expect");
        }
        if b.faults.len() > before {
            return None;
        }
        let quota = config.connections_per_client.map(|most| {
            let table = match b.shared {
                Some(shared) => shared.quota(b.route, config.max_clients),
                None => Arc::new(QuotaTable::new(1)),
            };
            (most, table)
        });
        Some(Self {
            origins: config.origins,
            quota,
        })
    }
}

/// A client of IPv6 is a /64: a site has that to itself at least.
fn key(ip: IpAddr) -> u128 {
    match ip.to_canonical() {
        IpAddr::V4(ip) => V4 | u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip) >> 64,
    }
}

fn refuse(status: u16, code: &'static str, why: &'static str) -> Verdict {
    Verdict::Reply(Box::new(Reply::problem(status, code, why)))
}

impl Filter for Websocket {
    fn needs(&self) -> Needs {
        let counts = self.quota.is_some();
        Needs {
            request: true,
            response: counts,
            done: counts,
            counts_open: counts,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        if !cx.websocket {
            return Verdict::Next;
        }
        if let Some(list) = &self.origins {
            if !is_allowed(list, req, cx.client.tls.is_some()) {
                let why = "A page of this origin may not open a WebSocket here.";
                return refuse(403, "websocket_origin", why);
            }
        }
        let Some((most, table)) = &self.quota else {
            return Verdict::Next;
        };
        let key = key(cx.client.ip);
        match table.claim(key, *most) {
            Claim::Held => {
                let table = table.clone();
                cx.slot.any = Some(Box::new(Held { table, key }));
                Verdict::Next
            }
            Claim::Over => refuse(
                429,
                "websocket_quota",
                "This client has as many WebSockets open as it may.",
            ),
            Claim::NoRoom => refuse(
                503,
                "websocket_clients",
                "As many clients as there is room for have WebSockets open.",
            ),
        }
    }

    fn on_response(&self, cx: &mut Cx<'_>, _: &Head, rsp: &mut Head) -> Verdict {
        if rsp.status() != 101 {
            cx.slot.any = None;
        }
        Verdict::Next
    }

    fn on_done(&self, cx: &mut Cx<'_>, _: &Outcome) {
        cx.slot.any = None;
    }
}

const MAX_ORIGINS: usize = 64;
/// Keeps addresses of IPv4 apart from prefixes of IPv6.
const V4: u128 = 1 << 64;

#[cfg(test)]
#[path = "websocket_tests.rs"]
mod tests;
