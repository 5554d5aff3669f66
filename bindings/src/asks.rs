//! Calls of plugins on their way to a thread of Node, and their verdicts on the way back.

use std::sync::Arc;

use napi::bindgen_prelude::{Buffer, Function};
use napi::threadsafe_function::ThreadsafeFunctionCallMode;
use napi_derive::napi;

use gateway_core::filter::{Ask, PluginCall};
use gateway_core::plugin::PluginVerdict;
use net::asks::{Asks, Brought, Service};

use crate::error::{Code, Result};
use crate::registry;

/// Begins to answer asks, in the place of whoever did; `wake` is called on its thread when there is something to take.
pub(crate) fn serve(asks: &Arc<Asks>, wake: Function<'_, (), ()>) -> Result<Service> {
    // Weak: it is the caller's business how long its thread lives.
    let wake = wake
        .build_threadsafe_function()
        .weak::<true>()
        .max_queue_size::<1>()
        .build()
        .map_err(|e| napi::Error::new(Code::from(e.status), e.reason.clone()))?;
    Ok(asks.serve(move || {
        // Full: it is about to be called. Closing: the service ends with the thread.
        let _told = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
    }))
}

/// A plugin that is asked about a request.
#[napi(object, object_from_js = false)]
pub struct PluginAsk {
    /// Names it in `answer`.
    pub number: f64,
    /// Where its module is found.
    pub module: String,
    /// What it is told, JSON: `{method, host, path, query?, headers: [name, value, …], client, route}`.
    pub told: String,
    /// The request's body, if the plugin wants one.
    pub body: Option<Buffer>,
    /// After this nobody wants the answer: milliseconds of `process.hrtime`.
    pub until: f64,
}

/// What a plugin said.
#[napi(object, object_to_js = false)]
pub struct PluginAnswer {
    /// Of its `PluginAsk`.
    pub number: f64,
    /// JSON: `{request?, response?, reply?}`; none if the call failed.
    pub verdict: Option<String>,
    /// True if it failed because its time was over.
    pub late: Option<bool>,
    /// The body of a reply.
    pub body: Option<Buffer>,
}

/// A verdict that is none.
#[napi(object, object_from_js = false)]
pub struct VerdictFault {
    /// Of its `PluginAsk`.
    pub number: f64,
    /// What is wrong with it.
    pub why: String,
}

/// The calls of plugins of one gateway, for the one thread that answers them.
#[napi]
pub struct PluginAsks {
    service: Option<Service>,
}

#[napi]
impl PluginAsks {
    /// Begins to answer for gateway `id`, in the place of whoever did. `wake` is called when there is something
    /// to take: once, until it is taken. Throws `closed` if there is no such gateway.
    #[napi(constructor, catch_unwind)]
    pub fn new(id: u32, wake: Function<'_, (), ()>) -> Result<Self> {
        let gateway = registry::running(id)?;
        let service = serve(gateway.plugin_asks(), wake)?;
        Ok(Self {
            service: Some(service),
        })
    }

    /// What waits, at most 256; if there is more, `wake` is called again.
    #[napi(catch_unwind)]
    pub fn take(&self) -> Vec<PluginAsk> {
        let taken = self.service.iter().flat_map(Service::take);
        let plugin = |(number, ask, until): (u64, Ask, u64)| match ask {
            Ask::Plugin(call) => {
                let PluginCall {
                    module, told, body, ..
                } = *call;
                Some(PluginAsk {
                    number: number as f64,
                    module: module.to_string(),
                    told,
                    body: body.map(Buffer::from),
                    until: until as f64 / 1e6,
                })
            }
            // Nothing else is posted among these.
            _ => None,
        };
        taken
            .filter_map(|a| plugin((a.number, a.ask, a.until)))
            .collect()
    }

    /// Answers calls. Returns what is wrong with verdicts that are none: these calls have failed.
    #[napi(catch_unwind)]
    pub fn answer(&self, answers: Vec<PluginAnswer>) -> Vec<VerdictFault> {
        let Some(service) = &self.service else {
            return Vec::new();
        };
        let mut faults = Vec::new();
        let brought: Vec<(u64, Brought)> = answers
            .into_iter()
            .map(|a| {
                let said = a.verdict.map(|text| {
                    let body = a.body.map(Vec::from).unwrap_or_default();
                    PluginVerdict::parse(&text, body)
                });
                let brought = match said {
                    Some(Ok(verdict)) => Brought::Plugin(Box::new(verdict)),
                    Some(Err(why)) => {
                        let number = a.number;
                        faults.push(VerdictFault { number, why });
                        Brought::Failed
                    }
                    None if a.late == Some(true) => Brought::Late,
                    None => Brought::Failed,
                };
                (a.number as u64, brought)
            })
            .collect();
        service.answer(brought);
        faults
    }

    /// Answers no more: what was taken has failed. The second time does nothing.
    #[napi(catch_unwind)]
    pub fn close(&mut self) {
        self.service = None;
    }
}
