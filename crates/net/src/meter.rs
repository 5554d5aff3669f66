//! What a shard counts, and when.

use gateway_core::filter::Outcome;
use gateway_core::forward::Failure;
use gateway_core::metrics::{bump, ShardCounters};

use crate::http1::Txn;
use crate::shard::Shard;

/// Short words for the places that count.
pub(crate) trait Count {
    fn accepted(&self, listener: u32);
    fn left(&self, listener: u32);
    fn refused_connection(&self, listener: u32);
    fn bad_request(&self, code: &'static str);
}

impl Count for ShardCounters {
    fn accepted(&self, listener: u32) {
        bump(&self.listener(listener).accepted, 1);
    }
    fn left(&self, listener: u32) {
        bump(&self.listener(listener).closed, 1);
    }
    fn refused_connection(&self, listener: u32) {
        bump(&self.listener(listener).refused, 1);
    }
    fn bad_request(&self, code: &'static str) {
        bump(self.bad_requests.of(code), 1);
    }
}

impl Shard {
    /// Counts and logs a request that has ended.
    pub(crate) fn record(&mut self, i: u32, t: &Txn, outcome: &Outcome) {
        let meter = t
            .run
            .route()
            .map_or(gateway_core::snapshot::OTHER_ROUTES, |r| r.meter);
        let route = self.counters.route(meter);
        route.done(outcome);
        route.hops.count(&t.run.exchange.client);
        let code = t.run.code();
        if !code.is_empty() {
            bump(self.counters.replies.of(code), 1);
        }
        if self.lines.on() {
            let unix_ms = (self.now + self.offset) / 1_000_000;
            let slot = self.conns.client(i).map_or(0, |c| c.listener);
            let listener = &self.listeners[usize::from(slot)].name;
            let http2 = self.conns.is_pipe(i);
            self.lines.write(unix_ms, listener, http2, t, outcome);
        }
    }

    /// Counts what became of a forward to the upstream of this request.
    pub(crate) fn count_upstream(&self, t: &Txn, what: Upstream) {
        let Some(meter) = t
            .run
            .snapshot()
            .zip(t.run.upstream(t.forward))
            .map(|(s, u)| s.upstreams[u as usize].meter)
        else {
            return;
        };
        let c = self.counters.upstream(meter);
        match what {
            Upstream::Connected => bump(&c.connects, 1),
            Upstream::Reused => bump(&c.reuses, 1),
            Upstream::Refused => bump(&c.refused, 1),
            Upstream::Retried => bump(&c.retries, 1),
            Upstream::Insecure => bump(&c.tls_failures, 1),
            Upstream::Failed(failure) => c.failed(failure),
        }
    }
}

/// What became of a forward.
#[derive(Clone, Copy)]
pub(crate) enum Upstream {
    Connected,
    Reused,
    Refused,
    Retried,
    Insecure,
    Failed(Failure),
}
