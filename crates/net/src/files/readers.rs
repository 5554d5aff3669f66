//! Threads that wait for disks, so that shards need not.
//!
//! They begin when something waits and end when nothing did for a while; a gateway that serves no files from disks has none. A call
//! that hangs, as of a network's file system, holds one of them; requests have deadlines of their own.
//!
//! Errors: [`Overflow`]. Bounds: [`THREADS`] of a gateway, [`MOST`] calls that wait for one, and a piece of memory for each that reads.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use gateway_core::file::FileCall;

use super::{open, read_slowly, Opened, Patience};
use crate::asks::{Answered, Brought, Overflow};
use crate::mailbox::{Mail, Mailbox};

/// The threads of one gateway.
#[derive(Clone, Default)]
pub(crate) struct Readers(Arc<Desk>);

#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

/// What a thread does, and who waits for it.
pub(crate) struct Job {
    pub work: Work,
    pub mailbox: Arc<Mailbox>,
    pub token: u64,
    pub serial: u64,
}

/// What is to be waited for.
pub(crate) enum Work {
    Open(Box<FileCall>),
    Read {
        file: Arc<File>,
        from: u64,
        len: usize,
    },
}

impl Readers {
    /// Leaves it to a thread; what comes of it is told by the mailbox.
    pub fn post(&self, job: Job) -> Result<(), Overflow> {
        let mut state = self.0.state();
        if state.jobs.len() >= MOST {
            return Err(Overflow);
        }
        let busy = state.idle <= state.jobs.len();
        if busy && state.threads < THREADS {
            let desk = self.0.clone();
            let name = "ironsluice-files".to_owned();
            let began = thread::Builder::new().name(name).spawn(move || desk.work());
            match began {
                Ok(_it_ends_by_itself) => state.threads += 1,
                Err(_) if state.threads == 0 => return Err(Overflow),
                Err(_) => {}
            }
        }
        state.jobs.push_back(job);
        drop(state);
        self.0.more.notify_one();
        Ok(())
    }
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        // What is behind this lock is never half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut state = self.state();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                job.run();
                state = self.state();
                continue;
            }
            state.idle += 1;
            let woken = self.more.wait_timeout(state, IDLE);
            let (next, late) = woken.unwrap_or_else(PoisonError::into_inner);
            state = next;
            state.idle -= 1;
            if late.timed_out() && state.jobs.is_empty() {
                state.threads -= 1;
                return;
            }
        }
    }
}

impl Job {
    fn run(self) {
        let brought = match self.work {
            Work::Open(call) => match open(&call, Patience::Any) {
                Opened::Found(found) => Brought::File(Ok(found)),
                Opened::No(why) => Brought::File(Err(why)),
                Opened::Failed | Opened::Blocked => Brought::Failed,
            },
            Work::Read { file, from, len } => Brought::Bytes(read_slowly(&file, from, len)),
        };
        self.mailbox.post(Mail::Answers(vec![Answered {
            token: self.token,
            serial: self.serial,
            brought,
        }]));
    }
}

/// Threads that wait at a time.
const THREADS: usize = 4;
/// Calls that wait for a thread.
const MOST: usize = 1024;
/// A thread that has had nothing to do for so long ends.
const IDLE: Duration = Duration::from_secs(10);
