//! Configs on their way in, and faults on their way out.

use std::collections::HashSet;

use napi_derive::napi;

use gateway_core::config::{self, Admin, Config, ListenerTls};

use crate::error::{error, Result};

/// One thing wrong with a config.
#[napi(object)]
pub struct Fault {
    /// Where: `routes[0].filters[1].rate`; empty for the whole text.
    pub path: String,
    /// True if the key itself is at fault and not its value.
    pub on_key: bool,
    /// What is wrong, without the path.
    pub why: String,
    /// What to do about it; may be empty.
    pub fix: String,
}

/// What a config says to the side that speaks TypeScript.
#[napi(object)]
pub struct Settings {
    /// `admin.bind`, `IP:port`; none if `admin` is `off`.
    pub admin_bind: Option<String>,
    /// `admin.allow_hosts`: Host values that are answered beside those of loopback.
    pub admin_allow_hosts: Vec<String>,
    /// `state_dir`: where the last good config is kept, if it is.
    pub state_dir: Option<String>,
    /// `history.revisions`: how many published configs are kept there.
    pub history_revisions: u32,
    /// `history.size`, in bytes.
    pub history_bytes: f64,
    /// `drain_timeout`, in milliseconds.
    pub drain_timeout_ms: u32,
    /// `apps`.
    pub apps: Vec<AppSettings>,
    /// The modules of `plugin` filters.
    pub plugins: Vec<PluginSettings>,
    /// `workers`: how many of each app; one a CPU if the config says `auto`.
    pub workers: u32,
    /// True if a listener or an upstream has `tls`: there are files to look at.
    pub has_tls: bool,
    /// True if a route has a quota: what is used of it goes to the ledger.
    pub has_quotas: bool,
    /// Certificates that `acme` of listeners asks for, each once.
    pub acme: Vec<AcmeSettings>,
    /// `store`, if it is not the memory of this process.
    pub store: Option<StoreSettings>,
}

/// A Redis or Valkey.
#[napi(object)]
pub struct StoreSettings {
    /// URLs, as written.
    pub urls: Vec<String>,
    /// True if it is a cluster, also with one URL.
    pub is_cluster: bool,
    /// Sentinels that know the primary.
    pub sentinel: Option<SentinelSettings>,
    /// The ACL user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<String>,
    /// TLS; paths as written.
    pub tls: Option<StoreTlsSettings>,
    /// How long a call may take, milliseconds.
    pub timeout_ms: u32,
    /// What all keys begin with.
    pub prefix: String,
}

/// Sentinels.
#[napi(object)]
pub struct SentinelSettings {
    /// What they call the primary.
    pub name: String,
    /// `HOST` or `HOST:PORT`.
    pub nodes: Vec<String>,
    /// Their own ACL user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<String>,
}

/// How connections to the store are secured; files are PEM.
#[napi(object)]
pub struct StoreTlsSettings {
    /// The file of the authorities.
    pub ca: Option<String>,
    /// The file of the certificate that is shown.
    pub cert: Option<String>,
    /// The file of its key.
    pub key: Option<String>,
    /// The name in the store's certificate.
    pub server_name: Option<String>,
}

/// A certificate that is to be had from an ACME authority.
#[napi(object)]
pub struct AcmeSettings {
    /// Its only name, in lower case.
    pub domain: String,
    /// Where the authority writes to.
    pub email: Option<String>,
    /// The URL of the authority's directory.
    pub directory: String,
    /// `tls-alpn-01` or `http-01`.
    pub challenge: String,
    /// A PEM file of what vouches for the directory, as written.
    pub ca: Option<String>,
    /// What it is encrypted with in the store, if it is shared there.
    pub secret: Option<String>,
}

/// An app, as this side runs it.
#[napi(object)]
pub struct AppSettings {
    /// Its name.
    pub name: String,
    /// Its module's path, as written.
    pub module: String,
    /// Heap of one worker, in MiB.
    pub memory_mib: u32,
    /// How long its event loop may be stuck, in milliseconds.
    pub stuck_timeout_ms: u32,
    /// How long workers that were replaced may go on, in milliseconds.
    pub drain_timeout_ms: u32,
    /// True if its topics go to all gateways with the same store.
    pub has_global_topics: bool,
    /// Listeners whose door it is.
    pub doors: Vec<DoorSettings>,
}

/// A listener with `door: app`.
#[napi(object)]
pub struct DoorSettings {
    /// Its name.
    pub listener: String,
}

/// The module of one `plugin` filter.
#[napi(object)]
pub struct PluginSettings {
    /// Where it is named: `routes[0].filters[1].module`.
    pub path: String,
    /// Its path, as written.
    pub module: String,
}

/// The judgement of a config: faults, or settings.
#[napi(object)]
pub struct Check {
    /// All faults at once.
    pub faults: Vec<Fault>,
    /// There if and only if there are no faults.
    pub settings: Option<Settings>,
}

/// All faults of a config, JSON, and of the certificates that it names, or what it says to this side. `folder` is where
/// relative paths begin, by default the working directory. A certificate that has ended is a fault only if
/// `is_strict`. Never throws for a config's sake.
#[napi(catch_unwind)]
pub fn check_config(json: String, folder: Option<String>, is_strict: Option<bool>) -> Check {
    let (faults, settings) = match config::parse(&json) {
        Ok(config) => {
            let folder = folder.unwrap_or_else(|| ".".into());
            let strict = is_strict.unwrap_or(false);
            let faults = net::check_files(&config, folder.as_ref(), strict);
            let sound = faults.is_empty();
            (faults, sound.then(|| settings(&config)))
        }
        Err(faults) => (faults, None),
    };
    Check {
        faults: faults.into_iter().map(fault).collect(),
        settings,
    }
}

/// A config to run. The caller asks [`check_config`] for the faults.
pub(crate) fn parse(json: &str) -> Result<Config> {
    config::parse(json).map_err(|faults| error("config_invalid", lines(&faults)))
}

/// Faults as text, one a line.
pub(crate) fn lines(faults: &[config::Fault]) -> String {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn settings(config: &Config) -> Settings {
    let (admin_bind, admin_allow_hosts) = match &config.admin {
        Admin::Off => (None, Vec::new()),
        Admin::On(listener) => (
            Some(listener.bind.to_string()),
            listener.allow_hosts.clone(),
        ),
    };
    let drain_timeout_ms = ms(config.drain_timeout);
    let apps = config.apps.iter().map(|app| AppSettings {
        name: app.name.as_str().to_owned(),
        module: app.module.to_string(),
        memory_mib: u32::try_from(app.memory.bytes() >> 20).unwrap_or(u32::MAX),
        stuck_timeout_ms: ms(app.stuck_timeout),
        drain_timeout_ms: ms(app.drain_timeout),
        has_global_topics: app.topics == config::app::TopicScope::Global,
        doors: doors(config, &app.name),
    });
    let plugins = config.plugins().into_iter();
    let plugins = plugins.map(|(path, module)| PluginSettings { path, module });
    let state_dir = config.state_dir.as_ref().map(ToString::to_string);
    Settings {
        admin_bind,
        admin_allow_hosts,
        state_dir,
        history_revisions: config.history.revisions.get() as u32,
        history_bytes: config.history.size.bytes() as f64,
        drain_timeout_ms,
        apps: apps.collect(),
        plugins: plugins.collect(),
        workers: net::workers(config.workers) as u32,
        has_tls: has_tls(config),
        has_quotas: has_quotas(config),
        acme: acme(config),
        store: config.store.redis().map(store),
    }
}

fn store(redis: &config::RedisStore) -> StoreSettings {
    let text = |file: &Option<config::text::File>| file.as_ref().map(ToString::to_string);
    StoreSettings {
        urls: redis.redis.iter().map(ToString::to_string).collect(),
        is_cluster: redis.cluster,
        sentinel: redis.sentinel.as_ref().map(|s| SentinelSettings {
            name: s.name.clone(),
            nodes: s.nodes.clone(),
            username: s.username.clone(),
            password: s.password.clone(),
        }),
        username: redis.username.clone(),
        password: redis.password.clone(),
        tls: redis.tls.as_ref().map(|tls| StoreTlsSettings {
            ca: text(&tls.ca),
            cert: text(&tls.client_cert),
            key: text(&tls.client_key),
            server_name: tls.sni.clone(),
        }),
        timeout_ms: ms(redis.timeout),
        prefix: redis.prefix.clone(),
    }
}

fn acme(config: &Config) -> Vec<AcmeSettings> {
    let mut seen = HashSet::new();
    let mut all = Vec::new();
    for listener in &config.listeners {
        let Some(ListenerTls::On(tls)) = &listener.tls else {
            continue;
        };
        for (acme, domain) in tls
            .acme
            .iter()
            .flat_map(|a| a.domains.iter().map(move |d| (a, d)))
        {
            let domain = domain.to_ascii_lowercase();
            if seen.insert(domain.clone()) {
                all.push(AcmeSettings {
                    domain,
                    email: acme.email.clone(),
                    directory: acme.directory.clone(),
                    challenge: acme.challenge.name().to_owned(),
                    ca: acme.ca.as_ref().map(ToString::to_string),
                    secret: acme.share.as_ref().map(|share| share.secret.clone()),
                });
            }
        }
    }
    all
}

fn has_tls(config: &Config) -> bool {
    config.listeners.iter().any(|l| l.tls.is_some())
        || config.upstreams.iter().any(|u| u.tls.is_some())
}

fn has_quotas(config: &Config) -> bool {
    let mut filters = config.routes.iter().flat_map(|r| &r.filters);
    filters.any(|f| f.name == "quota")
}

fn doors(config: &Config, app: &config::Name) -> Vec<DoorSettings> {
    let listeners = config.listeners.iter();
    listeners
        .filter(|l| l.app.as_ref() == Some(app))
        .map(|l| DoorSettings {
            listener: l.name.as_str().to_owned(),
        })
        .collect()
}

fn ms(time: config::Duration) -> u32 {
    u32::try_from(time.nanos() / 1_000_000).unwrap_or(u32::MAX)
}

pub(crate) fn fault(fault: config::Fault) -> Fault {
    let config::Fault {
        path,
        on_key,
        why,
        fix,
    } = fault;
    Fault {
        path,
        on_key,
        why,
        fix,
    }
}
