//! A drain waits, so it runs on a thread of libuv's pool.

use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::AsyncTask;
use napi::{Env, Task};
use net::Gateway;

/// One drain; resolves with true if all requests ended in time.
pub struct Drain {
    gateway: Arc<Gateway>,
    timeout: Duration,
}

impl Drain {
    pub(crate) fn task(gateway: Arc<Gateway>, timeout: Duration) -> AsyncTask<Self> {
        AsyncTask::new(Self { gateway, timeout })
    }
}

impl Task for Drain {
    type Output = bool;
    type JsValue = bool;

    fn compute(&mut self) -> napi::Result<bool> {
        Ok(self.gateway.drain(self.timeout))
    }

    fn resolve(&mut self, _env: Env, in_time: bool) -> napi::Result<bool> {
        Ok(in_time)
    }
}
