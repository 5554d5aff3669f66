//! One running gateway: the thread that made it holds [`Gateway`], others look through [`GatewayView`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;

use crate::config::{lines, parse};
use crate::drain::Drain;
use crate::error::{error, Code, Result};
use crate::registry;
use crate::usage::{self, KeptUsage};

/// A listener, as bound.
#[napi(object)]
pub struct Bound {
    /// The listener's name in the config.
    pub name: String,
    /// `IP:port`.
    pub address: String,
}

/// Where the workers of an app listen.
#[napi(object)]
pub struct AppSockets {
    /// The app's name.
    pub app: String,
    /// Paths of Unix sockets.
    pub sockets: Vec<String>,
}

/// Where the module of a plugin is found.
#[napi(object)]
pub struct PluginModule {
    /// Its path, as the config has it.
    pub module: String,
    /// What `PluginAsk.module` calls it.
    pub address: String,
}

/// What this side has made ready for a config.
#[napi(object)]
pub struct Prepared {
    /// Where workers of its apps listen.
    pub apps: Vec<AppSockets>,
    /// Where the modules of its plugins are found.
    pub plugins: Vec<PluginModule>,
    /// Where relative paths of files of `tls` begin; by default the working directory.
    pub folder: Option<String>,
    /// Certificates that an authority issued before.
    pub certificates: Option<Vec<KeptCertificate>>,
    /// What consumers had used before, as the ledger has it; given if the ledger is kept from now on.
    pub usage: Option<Vec<KeptUsage>>,
}

/// A certificate that an authority issued before.
#[napi(object)]
pub struct KeptCertificate {
    /// The name that clients ask for.
    pub name: String,
    /// With its chain, PEM.
    pub cert: String,
    /// Its key, PEM.
    pub key: String,
}

impl From<Prepared> for net::Prepared {
    fn from(from: Prepared) -> Self {
        let paths = |of: Vec<String>| of.into_iter().map(Into::into).collect();
        let apps = from.apps.into_iter().map(|a| (a.app, paths(a.sockets)));
        let plugins = from.plugins.into_iter().map(|p| (p.module, p.address));
        let certificates = from.certificates.unwrap_or_default().into_iter();
        let kept = |k: KeptCertificate| net::Kept {
            name: k.name,
            cert: k.cert,
            key: k.key,
        };
        Self {
            apps: apps.collect(),
            plugins: plugins.collect(),
            folder: from.folder.map(Into::into).unwrap_or_default(),
            certificates: certificates.map(kept).collect(),
            usage: from.usage.map(usage::kept),
        }
    }
}

/// A gateway whose listeners are bound and whose threads run.
#[napi]
pub struct Gateway {
    id: u32,
    pub(crate) gateway: Arc<net::Gateway>,
}

#[napi]
impl Gateway {
    /// Starts a gateway with the config, JSON, and what is ready for it.
    /// Throws `config_invalid` (`checkConfig` names the faults), `bind_failed`, `access_log_failed`, `system`.
    #[napi(constructor, catch_unwind)]
    pub fn new(json: String, prepared: Option<Prepared>) -> Result<Self> {
        let prepared = prepared.map(net::Prepared::from).unwrap_or_default();
        let started = net::Gateway::start_with(parse(&json)?, prepared).map_err(refused)?;
        let gateway = Arc::new(started);
        Ok(Self {
            id: registry::add(gateway.clone()),
            gateway,
        })
    }

    /// The number under which other threads of the process find it with `attach`.
    #[napi(getter, catch_unwind)]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The listeners, as bound.
    #[napi(catch_unwind)]
    pub fn addresses(&self) -> Vec<Bound> {
        let all = self.gateway.addresses();
        all.into_iter()
            .map(|(name, address)| Bound {
                name,
                address: address.to_string(),
            })
            .collect()
    }

    /// Publishes a config, JSON, and in the same step what is ready for it (by default that stays),
    /// and returns its revision. Throws as the constructor does; then the old config stays.
    #[napi(catch_unwind)]
    pub fn reload(&self, json: String, prepared: Option<Prepared>) -> Result<u32> {
        let config = parse(&json)?;
        let prepared = prepared.map(net::Prepared::from);
        let revision = self.gateway.reload_with(config, prepared);
        Ok(narrow(revision.map_err(refused)?))
    }

    /// Host names of endpoints, which this side resolves.
    #[napi(catch_unwind)]
    pub fn hosts(&self) -> Vec<String> {
        self.gateway.hosts()
    }

    /// The addresses of a host name; without any the last ones stay.
    #[napi(catch_unwind)]
    pub fn resolved(&self, host: String, addresses: Vec<String>) -> Result<()> {
        let parsed: std::result::Result<Vec<IpAddr>, _> =
            addresses.iter().map(|a| a.parse()).collect();
        let addresses = parsed.map_err(|e| error("internal", format!("{addresses:?}: {e}")))?;
        self.gateway.resolved(&host, addresses);
        Ok(())
    }

    /// The counters, JSON.
    #[napi(catch_unwind)]
    pub fn metrics(&self) -> String {
        metrics(self.id, &self.gateway)
    }

    /// Untrusted peers through which many clients of a route seem to come, JSON: `[{route, peer}]`.
    #[napi(catch_unwind)]
    pub fn suspects(&self) -> String {
        self.gateway.suspects_json()
    }

    /// Endpoints and their health, JSON.
    #[napi(catch_unwind)]
    pub fn upstreams(&self) -> String {
        self.gateway.upstreams_json()
    }

    /// Counts published configs.
    #[napi(catch_unwind)]
    pub fn revision(&self) -> u32 {
        narrow(self.gateway.revision())
    }

    /// True while traffic is taken.
    #[napi(catch_unwind)]
    pub fn ready(&self) -> bool {
        self.gateway.ready()
    }

    /// Opens the files of access logs anew.
    #[napi(catch_unwind)]
    pub fn reopen_logs(&self) {
        self.gateway.reopen_logs();
    }

    /// Stops accepting and resolves when all requests have ended, or after `timeoutMs`, when what is
    /// left is cut off. True if nothing was.
    #[napi(catch_unwind, ts_return_type = "Promise<boolean>")]
    pub fn drain(&self, timeout_ms: u32) -> AsyncTask<Drain> {
        Drain::task(
            self.gateway.clone(),
            Duration::from_millis(timeout_ms.into()),
        )
    }

    /// Closes everything at once. The second time does nothing.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        registry::remove(self.id);
        self.gateway.close();
    }
}

/// A program that ends without `close` still gets its sockets closed and its threads joined.
impl Drop for Gateway {
    fn drop(&mut self) {
        registry::remove(self.id);
        self.gateway.close();
    }
}

/// What any thread may read of a gateway.
#[napi]
pub struct GatewayView {
    id: u32,
    pub(crate) gateway: Arc<net::Gateway>,
}

/// The gateway of this process with that number. Throws `closed` if there is none.
#[napi(catch_unwind)]
pub fn attach(id: u32) -> Result<GatewayView> {
    let gateway = registry::running(id)?;
    Ok(GatewayView { id, gateway })
}

#[napi]
impl GatewayView {
    /// The counters, JSON.
    #[napi(catch_unwind)]
    pub fn metrics(&self) -> String {
        metrics(self.id, &self.gateway)
    }

    /// Endpoints and their health, JSON.
    #[napi(catch_unwind)]
    pub fn upstreams(&self) -> String {
        self.gateway.upstreams_json()
    }

    /// Counts published configs.
    #[napi(catch_unwind)]
    pub fn revision(&self) -> u32 {
        narrow(self.gateway.revision())
    }

    /// The Unix sockets at which the workers of an app listen now; none leaves it without.
    #[napi(catch_unwind)]
    pub fn app_sockets(&self, app: String, sockets: Vec<String>) {
        let sockets = sockets.into_iter().map(Into::into).collect();
        self.gateway.app_sockets(&app, sockets);
    }

    /// The modules of plugins, by `PluginModule.address`, that requests may still name.
    #[napi(catch_unwind)]
    pub fn plugin_modules(&self) -> Vec<String> {
        self.gateway.plugin_modules()
    }

    /// True while traffic is taken.
    #[napi(catch_unwind)]
    pub fn ready(&self) -> bool {
        self.gateway.ready()
    }
}

/// The core's counters, and those of the apps.
fn metrics(id: u32, gateway: &net::Gateway) -> String {
    let mut all = gateway.metrics_json();
    let apps = crate::apps::metrics(id);
    for metric in apps {
        // The core's text is a list that is never empty.
        all.truncate(all.len() - 1);
        all.push_str(&format!(",{metric}]"));
    }
    all
}

/// JavaScript's integers end at 2^53; four thousand million reloads are enough.
fn narrow(revision: u64) -> u32 {
    u32::try_from(revision).unwrap_or(u32::MAX)
}

fn refused(why: net::StartError) -> napi::Error<Code> {
    match &why {
        net::StartError::Config(faults) => error(why.code(), lines(faults)),
        _ => error(why.code(), &why),
    }
}
