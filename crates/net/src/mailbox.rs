//! How other threads speak to a shard: a bounded queue and a descriptor that wakes it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use gateway_core::snapshot::Snapshot;

use crate::asks::Answered;
use crate::listener::Binding;
use crate::poll::Wake;

/// A message to a shard.
pub(crate) enum Mail {
    /// This config is in force from now on; these sockets are new.
    Publish(Arc<Snapshot>, Vec<Binding>),
    /// Requests on another thread woke these keys.
    Woken(Vec<u64>),
    /// What has come from outside for asks of this thread.
    Answers(Vec<Answered>),
    /// Open the log files again, under the same names.
    ReopenLog,
    /// Take nothing new, and end when all is done, or at this moment.
    Drain(u64),
    /// End now.
    Stop,
}

/// One shard's mailbox.
pub(crate) struct Mailbox {
    pub wake: Wake,
    mail: Mutex<Vec<Mail>>,
    others: Mutex<Vec<Weak<Mailbox>>>,
}

impl Mailbox {
    /// # Errors
    /// The system's, when it has no descriptor left.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            wake: Wake::new()?,
            mail: Mutex::default(),
            others: Mutex::default(),
        })
    }

    /// Introduces all mailboxes to each other.
    pub fn join(all: &[Arc<Self>]) {
        for one in all {
            let others = all
                .iter()
                .filter(|o| !Arc::ptr_eq(o, one))
                .map(Arc::downgrade)
                .collect();
            *one.others.lock().unwrap_or_else(PoisonError::into_inner) = others;
        }
    }

    /// Puts a message in. Wake-ups and answers beyond the bound are dropped: whoever waits has a deadline.
    pub fn post(&self, mail: Mail) {
        let mut all = self.mail.lock().unwrap_or_else(PoisonError::into_inner);
        match mail {
            Mail::Woken(_) | Mail::Answers(_) if all.len() >= MOST => return,
            Mail::Publish(snapshot, bindings) => publish(&mut all, snapshot, bindings),
            mail => all.push(mail),
        }
        drop(all);
        self.wake.wake();
    }

    /// Takes all messages out.
    pub fn take(&self) -> Vec<Mail> {
        std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the other shards which keys were woken.
    pub fn tell_others(&self, keys: &[u64]) {
        let others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        for other in others.iter().filter_map(Weak::upgrade) {
            other.post(Mail::Woken(keys.to_vec()));
        }
    }
}

/// A config that waits is replaced by the next, whose sockets are added to its own: however fast
/// configs come, one waits at most.
fn publish(all: &mut Vec<Mail>, snapshot: Arc<Snapshot>, mut bindings: Vec<Binding>) {
    for mail in all.iter_mut() {
        if let Mail::Publish(waiting, sockets) = mail {
            sockets.retain(|s| bindings.iter().all(|b| b.name != s.name));
            sockets.append(&mut bindings);
            *waiting = snapshot;
            return;
        }
    }
    all.push(Mail::Publish(snapshot, bindings));
}

/// Messages that wait at most, beside those that must not be lost.
const MOST: usize = 1024;
