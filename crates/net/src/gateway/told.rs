//! What operators are told of a gateway, as JSON.

use std::sync::Arc;

use gateway_core::metrics::{self, ShardCounters};

use super::{lock, Gateway};
use crate::poll;

impl Gateway {
    /// All counters, as JSON; see [`metrics::render`].
    pub fn metrics_json(&self) -> String {
        let mut meters = self.state().snapshot.meters();
        meters.store = self.shared.store_figures();
        let core = metrics::render(&self.counters(), &self.process, &meters);
        self.with_usage(self.with_certificates(core))
    }

    /// Untrusted peers through which many clients seem to come, as JSON; see [`metrics::suspects`].
    pub fn suspects_json(&self) -> String {
        let meters = self.state().snapshot.meters();
        metrics::suspects(&self.counters(), &meters)
    }

    /// The upstreams and what is known of their endpoints, as JSON.
    pub fn upstreams_json(&self) -> String {
        self.state().snapshot.upstreams_json(poll::monotonic())
    }

    /// Of the shards, and of those that other loops turn or turned.
    fn counters(&self) -> Vec<Arc<ShardCounters>> {
        let turned = lock(&self.turned);
        let turned = turned.iter().map(|t| t.counters.clone());
        let own = self.shards.iter().map(|s| s.counters.clone());
        own.chain(turned).collect()
    }
}
