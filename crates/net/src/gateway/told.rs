//! What operators are told of a gateway, as JSON.

use gateway_core::metrics;

use super::{lock, Gateway};
use crate::poll;

impl Gateway {
    /// All counters, as JSON; see [`metrics::render`].
    pub fn metrics_json(&self) -> String {
        let turned = lock(&self.turned);
        let turned: Vec<_> = turned.iter().map(|t| t.counters.clone()).collect();
        let counters = self.shards.iter().map(|s| s.counters.clone());
        let counters: Vec<_> = counters.chain(turned).collect();
        let meters = self.state().snapshot.meters();
        let core = metrics::render(&counters, &self.process, &meters);
        self.with_usage(self.with_certificates(core))
    }

    /// The upstreams and what is known of their endpoints, as JSON.
    pub fn upstreams_json(&self) -> String {
        self.state().snapshot.upstreams_json(poll::monotonic())
    }
}
