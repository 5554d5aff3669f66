//! What consumers used of their quotas: from the ledger, and to it.

use std::sync::Arc;

use gateway_core::quota::{Identity, Kept};
use napi::bindgen_prelude::AsyncTask;
use napi::{Env, Task};
use napi_derive::napi;

use crate::gateway::{Gateway, GatewayView};

/// What a consumer had used of a window, as the ledger has it.
#[napi(object)]
pub struct KeptUsage {
    /// The quota's name.
    pub quota: String,
    /// What it counts.
    pub unit: String,
    /// Its windows.
    pub per: String,
    /// Whose.
    pub consumer: String,
    /// Where the window begins, seconds since 1970.
    pub window: f64,
    /// How much.
    pub units: f64,
}

/// Numbers of JavaScript that are none of ours become 0 or the largest (`as` saturates).
pub(crate) fn kept(all: Vec<KeptUsage>) -> Vec<Kept> {
    let one = |k: KeptUsage| Kept {
        quota: Identity {
            name: k.quota.into(),
            unit: k.unit.into(),
            per: k.per.into(),
        },
        consumer: k.consumer.into(),
        window: k.window as u64,
        units: k.units as u64,
    };
    all.into_iter().map(one).collect()
}

#[napi]
impl Gateway {
    /// Takes what was charged since the last time, as lines of JSON for the ledger.
    #[napi(catch_unwind)]
    pub fn take_usage(&self) -> String {
        self.gateway.take_usage()
    }
}

#[napi]
impl GatewayView {
    /// Where those stand who used something of quotas at this node, JSON.
    #[napi(catch_unwind)]
    pub fn quotas(&self) -> String {
        self.gateway.quotas_json()
    }

    /// Where a consumer stands with each quota, JSON. Asks the store of those that all nodes count, in a thread of libuv's pool, and
    /// waits no longer than a call of it may take.
    #[napi(catch_unwind, ts_return_type = "Promise<string>")]
    pub fn quotas_of(&self, consumer: String) -> AsyncTask<QuotasOf> {
        AsyncTask::new(QuotasOf(self.gateway.clone(), consumer))
    }
}

/// Asks where a consumer stands.
pub struct QuotasOf(Arc<net::Gateway>, String);

impl Task for QuotasOf {
    type Output = String;
    type JsValue = String;

    fn compute(&mut self) -> napi::Result<String> {
        Ok(self.0.quotas_of(&self.1))
    }

    fn resolve(&mut self, _: Env, told: String) -> napi::Result<String> {
        Ok(told)
    }
}
