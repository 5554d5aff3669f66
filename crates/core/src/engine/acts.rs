//! What filters have set in motion for one request: asks, wake-ups, pipes and taps.
//!
//! Bounds: [`MAX_ASKS`] asks open at a time, [`MAX_FORWARDS`] of them forwards.

use std::collections::VecDeque;

use crate::body::Bodies;
use crate::filter::{Ask, AskId, Join};
use crate::grpc::Web;
use crate::quota::ChargeCall;
use crate::store::LeaseCall;
use crate::Nanos;

/// What a request wants from outside. Drained by the owner of the thread after every call.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Carry out this ask; its answer goes to [`Run::answer`] unless it is detached.
    Start {
        /// Its name.
        id: AskId,
        /// What is asked.
        ask: Ask,
        /// Whether it ends with the request.
        join: Join,
    },
    /// Send this to the store; its answer goes to its own table, whatever becomes of the request.
    Lease(Box<LeaseCall>),
    /// Send this to the store; its answer goes to what the node knows of the quota, whatever becomes of the request.
    Charge(Box<ChargeCall>),
    /// Give this ask up; no answer is wanted.
    Cancel(AskId),
    /// Wake all that wait for this key.
    Wake(u64),
}

/// What filters have set in motion for one request.
#[derive(Default)]
pub struct Acts {
    /// Its pipes, taps and limits.
    pub bodies: Bodies,
    pub(crate) effects: VecDeque<Effect>,
    pub(super) open: Vec<Open>,
    pub(super) refused: Vec<(AskId, u16)>,
    /// How many were refused, over the whole request.
    pub(super) refusals: usize,
    next: u32,
    web: Option<Web>,
    /// By when the response must be whole, and whose word that is.
    deadline: Option<(Nanos, u16)>,
}

#[derive(Clone, Copy)]
pub(super) struct Open {
    pub(super) id: AskId,
    pub(super) filter: u16,
    pub(super) join: Join,
    pub(super) forward: bool,
}

impl Acts {
    pub(crate) fn start(&mut self, filter: u16, ask: Ask, join: Join) -> AskId {
        self.next += 1;
        let id = AskId(self.next);
        let forward = matches!(ask, Ask::Forward { .. });
        let forwards = self.open.iter().filter(|o| o.forward).count();
        if self.open.len() >= MAX_ASKS || (forward && forwards >= MAX_FORWARDS) {
            self.refused.push((id, filter));
            self.refusals += 1;
            return id;
        }
        self.open.push(Open {
            id,
            filter,
            join,
            forward,
        });
        self.effects.push_back(Effect::Start { id, ask, join });
        id
    }

    pub(crate) fn lease(&mut self, call: LeaseCall) {
        self.effects.push_back(Effect::Lease(Box::new(call)));
    }

    pub(crate) fn charge(&mut self, call: ChargeCall) {
        self.effects.push_back(Effect::Charge(Box::new(call)));
    }

    pub(crate) fn cancel(&mut self, id: AskId) {
        if let Some(at) = self.open.iter().position(|o| o.id == id) {
            self.open.swap_remove(at);
            self.effects.push_back(Effect::Cancel(id));
        }
    }

    pub(crate) fn wake(&mut self, key: u64) {
        self.effects.push_back(Effect::Wake(key));
    }

    /// For the filters' own tests: the first of what is wanted from outside.
    #[cfg(test)]
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    pub(crate) fn end_by(&mut self, filter: u16, at: Nanos) {
        if at < self.deadline() {
            self.deadline = Some((at, filter));
        }
    }

    /// By when the response must be whole; the largest number is never.
    pub fn deadline(&self) -> Nanos {
        self.deadline.map_or(Nanos::MAX, |(at, _)| at)
    }

    /// Takes the deadline away, and says whose it was.
    pub(super) fn take_deadline(&mut self) -> Option<u16> {
        self.deadline.take().map(|(_, filter)| filter)
    }

    pub(crate) fn bridge(&mut self, form: Web) {
        self.web = Some(form);
    }

    /// The form of gRPC-Web in which the client reads what is gRPC to the upstream.
    pub(super) fn bridged(&self) -> Option<Web> {
        self.web
    }

    /// True if the upstream is to be asked for trailers, whether or not the client did.
    pub fn asks_trailers(&self) -> bool {
        self.web.is_some()
    }

    pub(super) fn close(&mut self, id: AskId) -> Option<Open> {
        let at = self.open.iter().position(|o| o.id == id)?;
        Some(self.open.swap_remove(at))
    }

    /// Gives up joined asks: those of one filter, or all.
    pub(super) fn cancel_joined(&mut self, of: Option<u16>) {
        let effects = &mut self.effects;
        self.open.retain(|o| {
            if o.join == Join::Detached || of.is_some_and(|filter| o.filter != filter) {
                return true;
            }
            effects.push_back(Effect::Cancel(o.id));
            false
        });
    }

    pub(super) fn clear(&mut self) {
        self.bodies.clear();
        self.effects.clear();
        self.open.clear();
        self.refused.clear();
        self.refusals = 0;
        self.next = 0;
        self.web = None;
        self.deadline = None;
    }
}

/// The most asks one request may have open at a time; one more is answered `Failed`.
pub const MAX_ASKS: usize = 8;

/// The most forwards one request may have open at a time.
pub const MAX_FORWARDS: usize = 2;
