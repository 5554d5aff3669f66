//! Calls of the shared store on their way to a thread of Node, and the answers on the way back.

use std::sync::Arc;

use napi::bindgen_prelude::{Buffer, Function};
use napi_derive::napi;

use gateway_core::filter::{Ask, StoreCall};
use gateway_core::store::StoreState;
use net::asks::{Asked, Brought, Service, LINGER};

use crate::asks::serve;
use crate::error::Result;
use crate::registry;

/// A script of the store that is to run.
#[napi(object, object_from_js = false)]
pub struct StoreAsk {
    /// Names it in `answer`.
    pub number: f64,
    /// The script's name: `ts/store/NAME.lua`.
    pub script: String,
    /// The key it touches.
    pub key: Buffer,
    /// Further keys, of the same hash slot; none if there are none.
    pub more: Option<Vec<Buffer>>,
    /// Its arguments, whole numbers.
    pub args: Vec<f64>,
    /// After this nobody wants the answer: milliseconds of `process.hrtime`.
    pub until: f64,
}

/// What a script returned.
#[napi(object, object_to_js = false)]
pub struct StoreAnswer {
    /// Of its `StoreAsk`.
    pub number: f64,
    /// Whole numbers; none if the call failed.
    pub values: Option<Vec<f64>>,
    /// True if it failed because its time was over.
    pub late: Option<bool>,
}

/// What is known of the store.
#[napi(object, object_to_js = false)]
pub struct StoreNote {
    /// Whether it answers.
    pub up: bool,
    /// How many nodes live, this one among them.
    pub nodes: f64,
    /// Its clock, microseconds since 1970; 0 if nobody knows.
    pub clock: f64,
}

/// The calls of the store of one gateway, for the one thread that answers them.
#[napi]
pub struct StoreAsks {
    gateway: u32,
    service: Option<Service>,
    state: Arc<StoreState>,
}

#[napi]
impl StoreAsks {
    /// Begins to answer for gateway `id`, in the place of whoever did. `wake` is called when there is something
    /// to take: once, until it is taken. Throws `closed` if there is no such gateway.
    #[napi(constructor, catch_unwind)]
    pub fn new(id: u32, wake: Function<'_, (), ()>) -> Result<Self> {
        let gateway = registry::running(id)?;
        let service = serve(gateway.store_asks(), wake)?;
        Ok(Self {
            gateway: id,
            service: Some(service),
            state: gateway.store_state().clone(),
        })
    }

    /// Milliseconds within which to take again after something was taken: calls that no request waits for wake nobody until then.
    #[napi(getter, catch_unwind)]
    pub fn linger(&self) -> f64 {
        LINGER as f64 / 1e6
    }

    /// What waits, at most 256; if there is more, `wake` is called again.
    #[napi(catch_unwind)]
    pub fn take(&self) -> Vec<StoreAsk> {
        let taken = self.service.iter().flat_map(Service::take);
        taken.filter_map(told).collect()
    }

    /// Answers calls.
    #[napi(catch_unwind)]
    pub fn answer(&self, answers: Vec<StoreAnswer>) {
        let Some(service) = &self.service else {
            return;
        };
        service.answer(answers.into_iter().map(|a| {
            let brought = match a.values {
                Some(values) => Brought::Store(values.into_iter().map(|n| n as i64).collect()),
                None if a.late == Some(true) => Brought::Late,
                None => Brought::Failed,
            };
            (a.number as u64, brought)
        }));
    }

    /// Says what is known of the store; limits of several nodes go by it.
    #[napi(catch_unwind)]
    pub fn note(&self, note: StoreNote) {
        if self.service.as_ref().is_some_and(Service::serves) {
            self.state
                .note(note.up, note.nodes as u64, note.clock as u64);
            // It may be closing.
            if let Some(gateway) = registry::find(self.gateway) {
                gateway.store_beats(note.clock as u64);
            }
        }
    }

    /// Answers no more: what was taken has failed, and the store counts as gone. The second time does nothing.
    #[napi(catch_unwind)]
    pub fn close(&mut self) {
        if self.service.take().is_some_and(|service| service.serves()) {
            self.state.left();
        }
    }
}

/// A thread that died says nothing more.
impl Drop for StoreAsks {
    fn drop(&mut self) {
        self.close();
    }
}

fn told(Asked { number, ask, until }: Asked) -> Option<StoreAsk> {
    let Ask::Store(call) = ask else {
        // Nothing else is posted among these.
        return None;
    };
    let StoreCall {
        script,
        key,
        more,
        args,
        ..
    } = *call;
    let more = more.into_iter().map(Buffer::from).collect::<Vec<_>>();
    Some(StoreAsk {
        number: number as f64,
        script: script.to_owned(),
        key: key.into(),
        more: (!more.is_empty()).then_some(more),
        args: args.into_iter().map(|n| n as f64).collect(),
        until: until as f64 / 1e6,
    })
}
