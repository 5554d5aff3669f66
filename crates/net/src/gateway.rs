//! A gateway: its shards, and what is asked of it from outside their threads.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use gateway_core::config::{Config, Door, Workers};
use gateway_core::metrics::{ProcessCounters, ShardCounters};
use gateway_core::snapshot::{Resolved, Shared, Snapshot};

use crate::acme::Acme;
use crate::asks::Outside;
use crate::bind::{bind, Bound, Place};
use crate::ip_lists;
use crate::listener::Binding;
use crate::log::{Files, Lines};
use crate::mailbox::{Mail, Mailbox};
use crate::poll;
use crate::prepared::{Modules, Prepared};
use crate::reactor::Reactor;
use crate::shard::Shard;
use crate::tls::Store;

mod error;
mod outside;
mod told;

/// A running gateway. Dropping it ends it at once; [`Gateway::drain`] ends it in good order.
pub struct Gateway {
    shards: Vec<Handle>,
    pub(crate) shared: Arc<Shared>,
    process: ProcessCounters,
    /// Shards that other loops turn, and those that were.
    turned: Mutex<Vec<Turned>>,
    outside: Outside,
    pub(crate) acme: Arc<Acme>,
    state: Mutex<State>,
    /// The shards own what is open: it ends with the last of them.
    files: Weak<Files>,
    pub(crate) tls: Store,
}

struct Handle {
    mailbox: Arc<Mailbox>,
    counters: Arc<ShardCounters>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// A shard that another loop turns. Its counters outlive it: the next one counts on.
struct Turned {
    mailbox: Weak<Mailbox>,
    counters: Arc<ShardCounters>,
}

pub(crate) struct State {
    pub snapshot: Arc<Snapshot>,
    pub resolved: Resolved,
    /// Where relative paths of the config begin.
    pub folder: PathBuf,
    addresses: Vec<Place>,
    /// Hold the ports of doors whose sockets are others'.
    reserved: Vec<(String, OwnedFd)>,
    modules: Modules,
    draining: bool,
}

pub use error::StartError;

impl Gateway {
    /// Binds the listeners and starts the shards.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running then.
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::start_with(config, Prepared::default())
    }

    /// [`Gateway::start`], with what is ready for it.
    ///
    /// # Errors
    /// As there.
    pub fn start_with(config: Config, prepared: Prepared) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let count = workers(config.workers);
        let shared = Arc::new(Shared::new(poll::random()));
        crate::usage::keep(&shared.usage, prepared.usage);
        let mut modules = Modules::default();
        let mut resolved = Resolved {
            apps: prepared.apps,
            plugins: modules.hold(prepared.plugins),
            folder: prepared.folder.clone(),
            ..Resolved::default()
        };
        let tls = Store::default();
        tls.resolve(&config, &prepared.folder, &mut resolved)
            .map_err(StartError::Config)?;
        resolved.ip_lists =
            ip_lists::read(&config, &prepared.folder).map_err(StartError::Config)?;
        tls.publish_all(&prepared.certificates);
        let outside = Outside::default();
        let acme = Arc::new(Acme::default());
        let snapshot =
            Arc::new(Snapshot::compile(config, 1, &resolved, &shared).map_err(StartError::Config)?);
        let files = Arc::new(Files::default());
        prepare(&files, &snapshot)?;
        let Bound {
            addresses,
            bindings,
            reserved,
        } = bind(&snapshot.config, &[], count)?;
        let mut shards = Vec::new();
        for bindings in bindings {
            shards.push(
                spawn(shards.len(), &snapshot, (&files, &outside, &acme), bindings)
                    .map_err(StartError::System)?,
            );
        }
        let mailboxes: Vec<_> = shards.iter().map(|s| s.mailbox.clone()).collect();
        Mailbox::join(&mailboxes);
        let process = ProcessCounters::default();
        process.reloads.store(1, Relaxed);
        process.revision.store(1, Relaxed);
        let state = Mutex::new(State {
            snapshot,
            resolved,
            modules,
            folder: prepared.folder,
            addresses,
            reserved,
            draining: false,
        });
        Ok(Self {
            shards,
            turned: Mutex::default(),
            shared,
            process,
            outside,
            acme,
            state,
            files: Arc::downgrade(&files),
            tls,
        })
    }

    /// Where each listener is bound.
    pub fn addresses(&self) -> Vec<(String, SocketAddr)> {
        self.state()
            .addresses
            .iter()
            .map(|p| (p.name.clone(), p.at))
            .collect()
    }

    /// Publishes another config. Connections stay; requests on their way finish under theirs.
    ///
    /// # Errors
    /// [`StartError`]; the config in force stays.
    pub fn reload(&self, config: Config) -> Result<u64, StartError> {
        self.reload_with(config, None)
    }

    /// [`Gateway::reload`], and in the same step what is ready for it.
    ///
    /// # Errors
    /// As there.
    pub fn reload_with(
        &self,
        config: Config,
        prepared: Option<Prepared>,
    ) -> Result<u64, StartError> {
        let published = self.publish(Arc::new(config), prepared);
        let counter = if published.is_ok() {
            &self.process.reloads
        } else {
            &self.process.reloads_refused
        };
        counter.fetch_add(1, Relaxed);
        published
    }

    fn publish(&self, config: Arc<Config>, prepared: Option<Prepared>) -> Result<u64, StartError> {
        let mut state = self.state();
        let state = &mut *state;
        if state.draining {
            return Err(StartError::Closing);
        }
        let revision = state.snapshot.revision + 1;
        let mut resolved = state.resolved.clone();
        let mut folder = state.folder.clone();
        let (mut certificates, mut usage) = (Vec::new(), None);
        if let Some(prepared) = prepared {
            (certificates, usage) = (prepared.certificates, prepared.usage);
            resolved.apps = prepared.apps;
            resolved.plugins = state.modules.hold(prepared.plugins);
            folder = prepared.folder;
            resolved.folder.clone_from(&folder);
        }
        self.tls
            .resolve(&config, &folder, &mut resolved)
            .map_err(StartError::Config)?;
        resolved.ip_lists = ip_lists::read(&config, &folder).map_err(StartError::Config)?;
        let snapshot = Snapshot::compile(config, revision, &resolved, &self.shared)
            .map_err(StartError::Config)?;
        let snapshot = Arc::new(snapshot);
        let files = self.files.upgrade().ok_or(StartError::Closing)?;
        prepare(&files, &snapshot)?;
        let bound = bind(&snapshot.config, &state.addresses, self.shards.len())?;
        self.tls.publish_all(&certificates);
        crate::usage::keep(&self.shared.usage, usage);
        for (shard, bindings) in self.shards.iter().zip(bound.bindings) {
            shard
                .mailbox
                .post(Mail::Publish(snapshot.clone(), bindings));
        }
        self.tell_turned(|| Mail::Publish(snapshot.clone(), Vec::new()));
        let doors = snapshot.config.listeners.iter();
        let doors: Vec<_> = doors.filter(|l| l.door == Door::App).collect();
        let moved = |name: &str| bound.reserved.iter().any(|(n, _)| n == name);
        state.reserved.retain(|(name, _)| {
            doors.iter().any(|l| l.name.as_str() == name.as_str()) && !moved(name)
        });
        state.reserved.extend(bound.reserved);
        state.addresses = bound.addresses;
        state.snapshot = snapshot;
        state.resolved = resolved;
        state.folder = folder;
        self.process.revision.store(revision, Relaxed);
        self.shared.sweep();
        Ok(revision)
    }

    /// Host names of endpoints, whose addresses [`Gateway::resolved`] wants to know.
    pub fn hosts(&self) -> Vec<String> {
        self.state().snapshot.config.hosts()
    }

    /// Says what a host name resolves to. An empty list keeps the last good one.
    pub fn resolved(&self, host: &str, mut addresses: Vec<IpAddr>) {
        addresses.sort_unstable();
        addresses.dedup();
        let mut state = self.state();
        if addresses.is_empty() || state.resolved.hosts.get(host) == Some(&addresses) {
            return;
        }
        state.resolved.hosts.insert(host.to_owned(), addresses);
        self.again(&mut state);
    }

    /// Says at which Unix sockets the workers of an app listen now; an empty list leaves it without.
    pub fn app_sockets(&self, app: &str, sockets: Vec<PathBuf>) {
        let mut state = self.state();
        if state.resolved.apps.get(app) == Some(&sockets) {
            return;
        }
        state.resolved.apps.insert(app.to_owned(), sockets);
        self.again(&mut state);
    }

    /// Publishes the config in force once more, with other addresses for its names.
    fn again(&self, state: &mut State) {
        if state.draining {
            return;
        }
        let (config, revision) = (state.snapshot.config.clone(), state.snapshot.revision);
        // The config was compiled before: other addresses bring no new faults.
        let Ok(snapshot) = Snapshot::compile(config, revision, &state.resolved, &self.shared)
        else {
            return;
        };
        state.snapshot = Arc::new(snapshot);
        for shard in &self.shards {
            shard
                .mailbox
                .post(Mail::Publish(state.snapshot.clone(), Vec::new()));
        }
        self.tell_turned(|| Mail::Publish(state.snapshot.clone(), Vec::new()));
    }

    /// A shard for the calling thread to turn.
    ///
    /// # Errors
    /// [`StartError::Closing`], and the system's when it has no descriptor left.
    pub fn reactor(self: &Arc<Self>) -> Result<Reactor, StartError> {
        let state = self.state();
        let files = self.files.upgrade().filter(|_| !state.draining);
        let files = files.ok_or(StartError::Closing)?;
        let mailbox = Arc::new(Mailbox::new().map_err(StartError::System)?);
        let mut turned = lock(&self.turned);
        let free = turned.iter().position(|t| t.mailbox.strong_count() == 0);
        let at = free.unwrap_or(turned.len());
        if free.is_none() {
            turned.push(Turned {
                mailbox: Weak::new(),
                counters: Arc::default(),
            });
        }
        turned[at].mailbox = Arc::downgrade(&mailbox);
        let counters = turned[at].counters.clone();
        let lines = Lines::new(files);
        let snapshot = state.snapshot.clone();
        let asked = (self.outside.clone(), self.acme.clone());
        let mut shard = Shard::new(mailbox.clone(), snapshot, counters, lines, asked)
            .map_err(StartError::System)?;
        shard.thread = self.shards.len() + at;
        let _none_yet = shard.lines.configure(&state.snapshot);
        shard.know_listeners(&state.snapshot);
        self.introduce(&turned);
        Ok(Reactor::new(shard, Arc::downgrade(self), mailbox))
    }

    /// A socket that listens at an app's door, beside those of other threads.
    ///
    /// # Errors
    /// [`StartError::Bind`]; [`StartError::Closing`] also when no such listener is in the config.
    pub(crate) fn door(&self, listener: &str) -> Result<OwnedFd, StartError> {
        let state = self.state();
        let mut places = state.addresses.iter();
        let place = places.find(|p| p.name == listener && p.door == Door::App);
        let place = place
            .filter(|_| !state.draining)
            .ok_or(StartError::Closing)?;
        let mut listeners = state.snapshot.config.listeners.iter();
        let config = listeners.find(|l| l.name.as_str() == listener);
        let backlog = config.map_or(0, |l| l.backlog.get() as i32);
        poll::listen(place.at, backlog).map_err(|source| StartError::Bind {
            listener: listener.to_owned(),
            address: place.at,
            source,
        })
    }

    /// A turned shard has ended.
    pub(crate) fn left(&self, mailbox: &Arc<Mailbox>) {
        let mut turned = lock(&self.turned);
        for t in turned.iter_mut() {
            if std::ptr::eq(t.mailbox.as_ptr(), Arc::as_ptr(mailbox)) {
                t.mailbox = Weak::new();
            }
        }
        self.introduce(&turned);
    }

    fn introduce(&self, turned: &[Turned]) {
        let turned = turned.iter().filter_map(|t| t.mailbox.upgrade());
        let all: Vec<_> = self
            .shards
            .iter()
            .map(|s| s.mailbox.clone())
            .chain(turned)
            .collect();
        Mailbox::join(&all);
    }

    fn tell_turned(&self, mail: impl Fn() -> Mail) {
        for one in lock(&self.turned)
            .iter()
            .filter_map(|t| t.mailbox.upgrade())
        {
            one.post(mail());
        }
    }

    /// The revision in force.
    pub fn revision(&self) -> u64 {
        self.state().snapshot.revision
    }

    /// True while requests are welcome.
    pub fn ready(&self) -> bool {
        !self.state().draining
    }

    /// Opens log files again under their names, after they were moved away.
    pub fn reopen_logs(&self) {
        // All shards write to the same files: one is enough.
        if let Some(shard) = self.shards.first() {
            shard.mailbox.post(Mail::ReopenLog);
        }
    }

    /// Stops accepting, lets requests finish, and ends; blocks. After the timeout the rest is cut. True if nothing was cut.
    pub fn drain(&self, timeout: Duration) -> bool {
        self.state().draining = true;
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX / 2);
        let by = poll::monotonic().saturating_add(nanos);
        for shard in &self.shards {
            shard.mailbox.post(Mail::Drain(by));
        }
        self.tell_turned(|| Mail::Drain(by));
        self.join();
        poll::monotonic() < by
    }

    /// Ends at once.
    pub fn close(&self) {
        self.state().draining = true;
        for shard in &self.shards {
            shard.mailbox.post(Mail::Stop);
        }
        self.tell_turned(|| Mail::Stop);
        self.join();
    }

    fn join(&self) {
        for shard in &self.shards {
            let thread = shard
                .thread
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(thread) = thread {
                let _panicked = thread.join();
            }
        }
    }

    pub(crate) fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.close();
    }
}

/// How many threads a config asks for: as many as CPUs that this process may use, or a number.
pub fn workers(workers: Workers) -> usize {
    match workers {
        Workers::Auto => poll::cpus(),
        Workers::Count(n) => n as usize,
    }
}

fn spawn(
    n: usize,
    snapshot: &Arc<Snapshot>,
    (files, outside, acme): (&Arc<Files>, &Outside, &Arc<Acme>),
    bindings: Vec<Binding>,
) -> io::Result<Handle> {
    let mailbox = Arc::new(Mailbox::new()?);
    let counters = Arc::new(ShardCounters::default());
    let lines = Lines::new(files.clone());
    let (to_shard, given) = (mailbox.clone(), counters.clone());
    let asked = (outside.clone(), acme.clone());
    let snapshot = snapshot.clone();
    let (told, ready) = std::sync::mpsc::sync_channel(1);
    let thread = std::thread::Builder::new()
        .name(format!("shard-{n}"))
        .spawn(move || {
            let mut shard = match Shard::new(to_shard, snapshot.clone(), given, lines, asked) {
                Ok(shard) => shard,
                Err(e) => return drop(told.send(Err(e))),
            };
            shard.thread = n;
            let _none_yet = shard.lines.configure(&snapshot);
            shard.listen(&snapshot, bindings);
            let _gone = told.send(Ok(()));
            drop(snapshot);
            shard.run();
        })?;
    ready
        .recv()
        .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::Other)))?;
    Ok(Handle {
        mailbox,
        counters,
        thread: Mutex::new(Some(thread)),
    })
}

fn lock<T>(m: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

fn prepare(files: &Files, snapshot: &Snapshot) -> Result<(), StartError> {
    let sink = snapshot.access_log.as_ref().map(|(sink, _)| sink);
    files.prepare(sink).map_err(StartError::Log)
}
