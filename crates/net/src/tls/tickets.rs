//! Keys of session tickets: one set for each client policy, shared by all threads and kept over
//! changes of config. rustls replaces them every 6 hours and takes the last ones for 6 more.
//!
//! Bounds: as many sets as policies were in force; those that none uses are forgotten at the next
//! change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

/// The keys of one gateway.
#[derive(Default)]
pub(super) struct Tickets(Mutex<HashMap<Vec<u8>, Arc<dyn ProducesTickets>>>);

impl Tickets {
    /// The keys for a policy; none if the system has no random numbers.
    pub fn of(&self, policy: &[u8]) -> Option<Arc<dyn ProducesTickets>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get(policy) {
            return Some(known.clone());
        }
        all.retain(|_, t| Arc::strong_count(t) > 1);
        let made = Ticketer::new().ok()?;
        all.insert(policy.to_owned(), made.clone());
        Some(made)
    }
}
