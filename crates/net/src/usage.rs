//! What consumers used of their quotas, for who asks and for who writes it down.

use gateway_core::quota::{Kept, Usage};

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

    /// Where a consumer stands with each quota, as JSON; without one all that used something.
    pub fn quotas_json(&self, consumer: Option<&str>) -> String {
        let unix = poll::wall() / 1_000_000_000;
        let snapshot = self.state().snapshot.clone();
        match consumer {
            Some(consumer) => snapshot.quotas_of(consumer, unix),
            None => snapshot.quotas_json(unix),
        }
    }

    /// These metrics and how much the ledger lost.
    pub(crate) fn with_usage(&self, mut metrics: String) -> String {
        let metric = serde_json::json!({
            "name": "ironsluice_ledger_lost_charges_total",
            "type": "counter",
            "help": "Charges of quotas that the ledger has without their consumer, because too many waited to be written.",
            "values": [{ "labels": {}, "value": self.shared.usage.ledger().lost() }],
        });
        // The core's text is a list that is never empty.
        metrics.truncate(metrics.len() - 1);
        metrics.push_str(&format!(",{metric}]"));
        metrics
    }
}
