//! Asks that JavaScript answers: a bounded queue from the shards to one server, and the way back.
//!
//! A shard posts an [`Ask`] and holds a [`Ticket`]. The server, a thread of Node, is woken once for
//! all that waits, takes it in one batch, and answers each by its number, in any order; answers go
//! into the mailbox of the shard that asked, one wake-up for each shard and batch. The deadline is the
//! shard's own: it drops the ticket when the time is over or the client has gone, and what has not
//! been taken by then never is. While there is no server, asks wait for one until their deadlines.
//!
//! Errors: [`Overflow`]. A server that leaves fails what it had.
//! An ask of a lease has no shard that waits: its answer goes to its table, by the server's own thread. So does that of a charge of
//! a quota. Under load a server would be woken for nearly every one; so after a batch it comes by itself within [`LINGER`], and is woken
//! before only for asks that are waited for.
//!
//! Bounds: [`MOST`] asks of one kind of a gateway on their way, with [`MOST_BYTES`] bytes of what they carry;
//! each counts until it is answered, or given up before it was taken.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gateway_core::file::{Found, NoFile};
use gateway_core::filter::Ask;
use gateway_core::plugin::PluginVerdict;
use gateway_core::quota::ChargeCall;
use gateway_core::store::LeaseCall;
use gateway_core::Nanos;

use crate::files::readers::Readers;
use crate::mailbox::{Mail, Mailbox};
use crate::poll::monotonic;

/// The asks of one kind of one gateway. One server at a time answers them.
#[derive(Default)]
pub struct Asks {
    state: Mutex<State>,
    used: Arc<Used>,
}

/// The asks of a gateway, by who answers them.
#[derive(Clone, Default)]
pub(crate) struct Outside {
    /// Calls of plugins.
    pub plugins: Arc<Asks>,
    /// Calls of the store.
    pub store: Arc<Asks>,
    /// Files that are not in memory.
    pub files: Readers,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Taken by the server, by their numbers.
    taken: HashMap<u64, Sender>,
    /// Who answers, and its number among all that ever did.
    server: Option<(u64, Wake)>,
    servers: u64,
    told: Told,
    /// Among those that wait are some that somebody waits for.
    urgent: bool,
    last: u64,
}

/// What the server knows of what waits.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Told {
    #[default]
    Nothing,
    /// It comes by itself, and soon enough for leases.
    Leases,
    All,
}

type Wake = Arc<dyn Fn() + Send + Sync>;

struct Waiting {
    asked: Asked,
    sender: Sender,
}

/// Where an answer goes, and the room that its ask takes.
struct Sender {
    to: Goal,
    /// Whoever asked has given it up.
    gone: bool,
    _room: Room,
}

enum Goal {
    Shard {
        mailbox: Arc<Mailbox>,
        token: u64,
        serial: u64,
    },
    Lease(Box<LeaseCall>),
    Charge(Box<ChargeCall>),
}

impl Goal {
    fn is_waited_for(&self) -> bool {
        matches!(self, Self::Shard { .. })
    }
}

/// An ask, as the server takes it.
#[derive(Debug)]
pub struct Asked {
    /// Names it in [`Service::answer`].
    pub number: u64,
    /// What is asked.
    pub ask: Ask,
    /// The moment after which nobody wants the answer: `CLOCK_MONOTONIC`.
    pub until: Nanos,
}

/// What a server brings.
#[derive(Debug)]
pub enum Brought {
    /// What a script of the store returned.
    Store(Vec<i64>),
    /// A plugin's verdict.
    Plugin(Box<PluginVerdict>),
    /// A file, or why there is none.
    File(Result<Found, NoFile>),
    /// Bytes of a file; none if they are not there any more.
    Bytes(Option<Vec<u8>>),
    /// Nothing: the call failed.
    Failed,
    /// Nothing, and nobody should wait for it any more.
    Late,
}

/// An answer on its way to the shard that asked.
pub(crate) struct Answered {
    /// The connection.
    pub token: u64,
    /// The ask: no other of this shard has the same.
    pub serial: u64,
    pub brought: Brought,
}

/// There is no room for another ask.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// An ask that is on its way. Dropping it gives the ask up.
pub(crate) struct Ticket {
    asks: Arc<Asks>,
    number: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.asks.state();
        // They wait in the order of their numbers.
        let found = state
            .waiting
            .binary_search_by_key(&self.number, |w| w.asked.number);
        if let Ok(at) = found {
            state.waiting.remove(at);
        } else if let Some(sender) = state.taken.get_mut(&self.number) {
            sender.gone = true;
        }
    }
}

impl Asks {
    /// Sends an ask on its way; its answer comes into `mailbox` for `token` and `serial`.
    pub(crate) fn post(
        self: &Arc<Self>,
        ask: Ask,
        until: Nanos,
        (mailbox, token, serial): (&Arc<Mailbox>, u64, u64),
    ) -> Result<Ticket, Overflow> {
        let to = Goal::Shard {
            mailbox: mailbox.clone(),
            token,
            serial,
        };
        let number = self.send(ask, until, to)?;
        Ok(Ticket {
            asks: self.clone(),
            number,
        })
    }

    /// Sends an ask of a lease on its way; its answer goes to its table. What cannot leave fails at once.
    pub(crate) fn post_lease(&self, call: Box<LeaseCall>, now: Nanos) {
        let until = now.saturating_add(LINGER).saturating_add(call.call.timeout);
        let ask = Ask::Store(Box::new(call.call.clone()));
        if self.send(ask, until, Goal::Lease(call.clone())).is_err() {
            call.settle(now, None);
        }
    }

    /// Sends a charge of a quota on its way; its answer goes to what the node knows of the quota. What cannot leave fails at once.
    pub(crate) fn post_charge(&self, call: Box<ChargeCall>, now: Nanos) {
        let until = now.saturating_add(LINGER).saturating_add(call.call.timeout);
        let ask = Ask::Store(Box::new(call.call.clone()));
        if self.send(ask, until, Goal::Charge(call.clone())).is_err() {
            call.settle(None);
        }
    }

    fn send(&self, ask: Ask, until: Nanos, to: Goal) -> Result<u64, Overflow> {
        let room = Room::of(&ask, &self.used).ok_or(Overflow)?;
        let mut state = self.state();
        state.last += 1;
        state.urgent |= to.is_waited_for();
        let number = state.last;
        state.waiting.push_back(Waiting {
            asked: Asked { number, ask, until },
            sender: Sender {
                to,
                gone: false,
                _room: room,
            },
        });
        let wake = state.wake_due();
        drop(state);
        if let Some(wake) = wake {
            wake();
        }
        Ok(number)
    }

    /// Becomes the server, in the place of any other. `wake` is called, from any thread, when there is
    /// something to take: once, until it is taken.
    pub fn serve(self: &Arc<Self>, wake: impl Fn() + Send + Sync + 'static) -> Service {
        let mut state = self.state();
        let lost = state.forget_taken();
        state.servers += 1;
        let server = state.servers;
        state.server = Some((server, Arc::new(wake)));
        state.told = Told::Nothing;
        let wake = state.wake_due();
        drop(state);
        deliver(lost);
        if let Some(wake) = wake {
            wake();
        }
        Service {
            asks: self.clone(),
            server,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is behind this lock is never half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn serves(&self, server: u64) -> bool {
        self.server.as_ref().is_some_and(|(s, _)| *s == server)
    }

    /// The server, if something waits of which it does not know.
    fn wake_due(&mut self) -> Option<Wake> {
        let is_known = match self.told {
            Told::Nothing => false,
            Told::Leases => !self.urgent,
            Told::All => true,
        };
        if is_known || self.waiting.is_empty() {
            return None;
        }
        let (_, wake) = self.server.as_ref()?;
        self.told = Told::All;
        Some(wake.clone())
    }

    /// What the server has taken will not be answered by it.
    fn forget_taken(&mut self) -> Vec<(Sender, Brought)> {
        let all = std::mem::take(&mut self.taken);
        all.into_values().map(|s| (s, Brought::Failed)).collect()
    }

    /// Asks for which no shard waits have nobody whose time runs out.
    fn forget_waiting(&mut self) -> Vec<(Sender, Brought)> {
        let all = std::mem::take(&mut self.waiting);
        let (ours, others): (VecDeque<_>, VecDeque<_>) =
            all.into_iter().partition(|w| !w.sender.to.is_waited_for());
        self.waiting = others;
        ours.into_iter()
            .map(|w| (w.sender, Brought::Failed))
            .collect()
    }
}

/// A server's hold on its asks. Dropping it leaves: what was taken and not answered fails.
pub struct Service {
    asks: Arc<Asks>,
    server: u64,
}

impl Service {
    /// True unless another has taken its place.
    pub fn serves(&self) -> bool {
        self.asks.state().serves(self.server)
    }

    /// Takes what waits, at most [`BATCH`]; if there is more, the server is woken again. After a batch that is not empty it
    /// takes again within [`LINGER`], woken or not.
    pub fn take(&self) -> Vec<Asked> {
        let mut state = self.asks.state();
        if !state.serves(self.server) {
            return Vec::new();
        }
        let n = state.waiting.len().min(BATCH);
        let batch: Vec<Waiting> = state.waiting.drain(..n).collect();
        let asked = batch.into_iter().map(|w| {
            state.taken.insert(w.asked.number, w.sender);
            w.asked
        });
        let asked = asked.collect();
        state.urgent = state.waiting.iter().any(|w| w.sender.to.is_waited_for());
        state.told = match state.waiting.is_empty() && n > 0 {
            true => Told::Leases,
            false => Told::Nothing,
        };
        let wake = state.wake_due();
        drop(state);
        if let Some(wake) = wake {
            wake();
        }
        asked
    }

    /// Answers asks by their numbers. A number that is not open is passed over.
    pub fn answer(&self, answers: impl IntoIterator<Item = (u64, Brought)>) {
        let mut state = self.asks.state();
        if !state.serves(self.server) {
            return;
        }
        let answers = answers.into_iter();
        let found = answers.filter_map(|(n, brought)| Some((state.taken.remove(&n)?, brought)));
        let found = found.collect();
        drop(state);
        deliver(found);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let mut state = self.asks.state();
        if !state.serves(self.server) {
            return;
        }
        let server = state.server.take();
        let mut lost = state.forget_taken();
        lost.append(&mut state.forget_waiting());
        drop(state);
        drop(server);
        deliver(lost);
    }
}

/// One message for each shard.
fn deliver(mut answers: Vec<(Sender, Brought)>) {
    answers.retain(|(sender, _)| !sender.gone);
    let now = monotonic();
    let mut shards: Vec<(Arc<Mailbox>, Vec<Answered>)> = Vec::new();
    for (sender, brought) in answers {
        let values = match &brought {
            Brought::Store(values) => Some(values.as_slice()),
            _ => None,
        };
        let (mailbox, answered) = match sender.to {
            Goal::Lease(call) => {
                call.settle(now, values);
                continue;
            }
            Goal::Charge(call) => {
                call.settle(values);
                continue;
            }
            Goal::Shard {
                mailbox,
                token,
                serial,
            } => {
                let answered = Answered {
                    token,
                    serial,
                    brought,
                };
                (mailbox, answered)
            }
        };
        match shards.iter_mut().find(|(m, _)| Arc::ptr_eq(m, &mailbox)) {
            Some((_, own)) => own.push(answered),
            None => shards.push((mailbox, vec![answered])),
        }
    }
    for (mailbox, own) in shards {
        mailbox.post(Mail::Answers(own));
    }
}

/// What asks that are on their way take.
#[derive(Default)]
struct Used {
    asks: AtomicUsize,
    bytes: AtomicUsize,
}

/// A place among the asks, given back when it is dropped.
struct Room {
    used: Arc<Used>,
    bytes: usize,
}

impl Room {
    fn of(ask: &Ask, used: &Arc<Used>) -> Option<Self> {
        let bytes = match ask {
            Ask::Plugin(call) => call.told.len() + call.body.as_ref().map_or(0, Vec::len),
            Ask::Store(call) => {
                let more = call.more.iter().map(Vec::len).sum::<usize>();
                call.key.len() + more + 8 * call.args.len()
            }
            _ => 0,
        };
        // Taken first, then looked at: two that race for the last place cannot both have it.
        let room = Self {
            used: used.clone(),
            bytes,
        };
        let number = used.asks.fetch_add(1, Relaxed);
        let before = used.bytes.fetch_add(bytes, Relaxed);
        (number < MOST && before + bytes <= MOST_BYTES).then_some(room)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.used.asks.fetch_sub(1, Relaxed);
        self.used.bytes.fetch_sub(self.bytes, Relaxed);
    }
}

/// Asks of one kind that are on their way at a time.
pub const MOST: usize = 1024;
/// What these carry, in bytes.
pub const MOST_BYTES: usize = 64 << 20;
/// Asks that a server takes at a time.
pub const BATCH: usize = 256;
/// How long an ask that nobody waits for may lie while the server is busy with others: 10 ms. What was granted before lasts 25 ms more.
pub const LINGER: Nanos = 10_000_000;

#[cfg(test)]
#[path = "asks_tests.rs"]
mod tests;
