//! What consumers used of their quotas, for who asks and for who writes it down.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use gateway_core::quota::{Kept, Usage};
use serde_json::json;

use crate::{poll, Gateway};

/// Takes over what was written down, if there is a ledger, and collects what is to be from now on.
pub(crate) fn keep(usage: &Usage, kept: Option<Vec<Kept>>) {
    if let Some(kept) = kept {
        usage.restore(kept);
        usage.ledger().open();
    }
}

impl Gateway {
    /// Takes what was charged since the last time, as lines of JSON for the ledger.
    pub fn take_usage(&self) -> String {
        self.shared.usage.ledger().take()
    }

    /// The quotas, and where those who used something at this node stand, as JSON.
    pub fn quotas_json(&self) -> String {
        let snapshot = self.state().snapshot.clone();
        snapshot.quotas_json((poll::monotonic(), wall()))
    }

    /// Where a consumer stands with each quota, as JSON. Waits for the store's word of those that all nodes count, no longer than a
    /// call of it may take.
    pub fn quotas_of(&self, consumer: &str) -> String {
        let snapshot = self.state().snapshot.clone();
        let now = poll::monotonic();
        let (told, hears) = mpsc::channel();
        let timeout = snapshot
            .config
            .store
            .redis()
            .map_or(0, |r| r.timeout.nanos());
        for call in snapshot.looks(consumer, now, wall(), &told) {
            self.store_asks().post_charge(Box::new(call), now);
        }
        // What is left of it are the calls on their way.
        drop(told);
        let mut asked = Vec::new();
        let until = Instant::now() + Duration::from_nanos(timeout) + LATE;
        while let Ok(number) = hears.recv_timeout(until.saturating_duration_since(Instant::now())) {
            asked.push(number);
        }
        snapshot.quotas_of(consumer, (poll::monotonic(), wall()), &asked)
    }

    /// What the store's clock shows now, microseconds since 1970; and gives the store what was used here and it does not know, of
    /// [`GIVEN`] consumers at most. To be called at each of its heartbeats.
    pub fn store_beats(&self, clock: u64) {
        let now = poll::monotonic();
        self.store_state().timed(clock, now);
        if self.store_state().is_up() {
            let snapshot = self.state().snapshot.clone();
            for call in snapshot.owed(now, wall(), GIVEN) {
                self.store_asks().post_charge(Box::new(call), now);
            }
        }
    }

    /// These metrics, and those of quotas and their ledger.
    pub(crate) fn with_usage(&self, mut metrics: String) -> String {
        let usage = &self.shared.usage;
        let counter = |name: &str, help: &str, value: u64| json!({ "name": name, "type": "counter", "help": help, "values": [{ "labels": {}, "value": value }] });
        let owed = usage.owed().into_iter().map(|(quota, units)| {
            json!({ "labels": { "quota": quota.name, "unit": quota.unit, "per": quota.per }, "value": units })
        });
        let all = [
            counter(
                "ironsluice_ledger_lost_charges_total",
                "Charges of quotas that the ledger has without their consumer, because too many waited to be written.",
                usage.ledger().lost(),
            ),
            counter(
                "ironsluice_quota_fallback_total",
                "Requests about whose quota was decided without the store.",
                usage.fell_back(),
            ),
            json!({
                "name": "ironsluice_quota_owed",
                "type": "gauge",
                "help": "What was used of quotas of scope global here and the store does not know yet, in the quota's unit.",
                "values": owed.collect::<Vec<_>>(),
            }),
        ];
        // The core's text is a list that is never empty.
        metrics.truncate(metrics.len() - 1);
        for metric in all {
            metrics.push_str(&format!(",{metric}"));
        }
        metrics.push(']');
        metrics
    }
}

/// Seconds since 1970.
fn wall() -> u64 {
    poll::wall() / 1_000_000_000
}

/// Consumers of whom is given at one heartbeat, beside those that come.
const GIVEN: usize = 256;
/// The store's thread may be busy for as long when a call's time is over.
const LATE: Duration = Duration::from_millis(100);
