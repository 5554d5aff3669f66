//! The gateways of this process by number, so that every thread of Node can find them.
//!
//! The addon is loaded once a process, however many threads import it; a `static` is shared by all.
//! Bounds: as many entries as gateways were started and not closed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use net::Gateway;

use crate::error::{error, Result};

/// Gives `gateway` a number that no other has had.
pub(crate) fn add(gateway: Arc<Gateway>) -> u32 {
    let mut all = all();
    all.last += 1;
    let id = all.last;
    all.gateways.insert(id, gateway);
    id
}

/// The gateway with that number, if it was not removed.
pub(crate) fn find(id: u32) -> Option<Arc<Gateway>> {
    all().gateways.get(&id).cloned()
}

/// The gateway with that number. Fails with `closed` if there is none.
pub(crate) fn running(id: u32) -> Result<Arc<Gateway>> {
    find(id).ok_or_else(|| error("closed", format!("no gateway {id} runs")))
}

/// Forgets the number; who holds the gateway keeps it.
pub(crate) fn remove(id: u32) {
    // Dropped after the lock: the last drop closes sockets and joins threads.
    let gone = all().gateways.remove(&id);
    drop(gone);
}

fn all() -> MutexGuard<'static, All> {
    // A panic between two statements above leaves nothing half done.
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

struct All {
    last: u32,
    gateways: HashMap<u32, Arc<Gateway>>,
}

static ALL: std::sync::LazyLock<Mutex<All>> = std::sync::LazyLock::new(|| {
    Mutex::new(All {
        last: 0,
        gateways: HashMap::new(),
    })
});
