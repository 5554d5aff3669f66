//! All TLS of one gateway: made with a config, looked at again when files may have changed.

use std::any::Any;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use gateway_core::config::{Config, Fault};
use gateway_core::snapshot::{Resolved, Secured};

use crate::prepared::Kept;

use super::client::ClientTls;
use super::published::{Published, Unpublished};
use super::server::{Ground, ServerTls, Serving};
use super::tickets::Tickets;

/// What outlives a config.
#[derive(Default)]
pub(crate) struct Store {
    tickets: Tickets,
    published: Arc<Published>,
}

/// What a look at the files of certificates brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// `listeners[0].tls`, or another `tls` of the config.
    pub at: String,
    /// What is wrong with files that changed; for these the old certificates stay. Empty if all that
    /// changed is in use now.
    pub faults: Vec<Fault>,
}

impl Store {
    /// Makes what the `tls` of a config say.
    ///
    /// # Errors
    /// What is wrong with their files.
    pub fn resolve(
        &self,
        config: &Config,
        folder: &Path,
        resolved: &mut Resolved,
    ) -> Result<(), Vec<Fault>> {
        let made = make(config, &self.ground(folder))?;
        (resolved.listener_tls, resolved.upstream_tls) = made;
        Ok(())
    }

    /// Reads files again that have changed, for the handshakes to come.
    pub fn look(&self, config: &Config, folder: &Path, resolved: &Resolved) -> Vec<Looked> {
        let ground = self.ground(folder);
        let mut all = Vec::new();
        for (i, l) in config.listeners.iter().enumerate() {
            let served = resolved.listener_tls.get(l.name.as_str());
            let served = served.and_then(|s| s.with.downcast_ref::<ServerTls>());
            if let (Some(tls), Some(served)) = (&l.tls, served) {
                let at = format!("listeners[{i}].tls");
                let faults = served.look(&at, tls, &ground);
                all.extend(faults.map(|faults| Looked { at, faults }));
            }
        }
        for (i, u) in config.upstreams.iter().enumerate() {
            let used = resolved.upstream_tls.get(u.name.as_str());
            let used = used.and_then(|s| s.with.downcast_ref::<ClientTls>());
            if let (Some(tls), Some(used)) = (&u.tls, used) {
                let at = format!("upstreams[{i}].tls");
                let faults = used.look(&at, tls, &ground);
                all.extend(faults.map(|faults| Looked { at, faults }));
            }
        }
        all
    }

    /// Certificates in use: those of listeners by the listener's name, those published by none.
    pub fn serving(&self, resolved: &Resolved) -> Vec<(String, Serving)> {
        let listeners = resolved.listener_tls.iter().flat_map(|(listener, s)| {
            let served = s.with.downcast_ref::<ServerTls>();
            let all = served.map(ServerTls::serving).unwrap_or_default();
            all.into_iter().map(|s| (listener.clone(), s))
        });
        let published = self.published.serving().into_iter();
        let mut all: Vec<_> = listeners
            .chain(published.map(|s| (String::new(), s)))
            .collect();
        all.sort_by(|a, b| (&a.0, &a.1.name).cmp(&(&b.0, &b.1.name)));
        all
    }

    /// See [`crate::Gateway::publish_certificate`].
    pub fn publish(&self, name: &str, chain: &[u8], key: &[u8]) -> Result<(), Unpublished> {
        self.published.publish(name, chain, key)
    }

    /// Publishes what can be used. Of the others nothing is said: whoever has them publishes them again.
    pub fn publish_all(&self, kept: &[Kept]) {
        for k in kept {
            let _unusable = self.publish(&k.name, k.cert.as_bytes(), k.key.as_bytes());
        }
    }

    /// See [`crate::Gateway::withdraw_certificate`].
    pub fn withdraw(&self, name: &str) -> bool {
        self.published.withdraw(name)
    }

    /// See [`crate::Gateway::set_challenge`].
    pub fn set_challenge(&self, name: &str, chain: &[u8], key: &[u8]) -> Result<(), Unpublished> {
        self.published.set_challenge(name, chain, key)
    }

    /// See [`crate::Gateway::clear_challenge`].
    pub fn clear_challenge(&self, name: &str) -> bool {
        self.published.clear_challenge(name)
    }

    fn ground<'a>(&'a self, folder: &'a Path) -> Ground<'a> {
        Ground {
            folder,
            tickets: &self.tickets,
            published: &self.published,
            strict: false,
            trial: false,
        }
    }
}

/// What is wrong with the files that a config names: certificates and keys that cannot be read, or do not
/// belong together, and lists of addresses. A certificate that has ended is a fault only if `strict`: a start takes it, for an
/// old certificate is better than none. `folder` is where relative paths begin.
pub fn check_files(config: &Config, folder: &Path, strict: bool) -> Vec<Fault> {
    let store = Store::default();
    let ground = Ground {
        strict,
        trial: true,
        ..store.ground(folder)
    };
    let mut faults = make(config, &ground).err().unwrap_or_default();
    faults.extend(
        crate::ip_lists::read(config, folder)
            .err()
            .unwrap_or_default(),
    );
    faults
}

type Made = HashMap<String, Secured>;

fn make(config: &Config, ground: &Ground<'_>) -> Result<(Made, Made), Vec<Fault>> {
    let mut faults = Vec::new();
    let (mut listeners, mut upstreams) = (Made::new(), Made::new());
    for (i, l) in config.listeners.iter().enumerate() {
        let Some(tls) = &l.tls else { continue };
        match ServerTls::new(&format!("listeners[{i}].tls"), tls, l.http2.enabled, ground) {
            Ok(made) => {
                listeners.insert(l.name.as_str().to_owned(), secured(0, made));
            }
            Err(why) => faults.extend(why),
        }
    }
    for (i, u) in config.upstreams.iter().enumerate() {
        let Some(tls) = &u.tls else { continue };
        match ClientTls::new(&format!("upstreams[{i}].tls"), tls, ground) {
            Ok(made) => {
                upstreams.insert(u.name.as_str().to_owned(), secured(made.identity, made));
            }
            Err(why) => faults.extend(why),
        }
    }
    if faults.is_empty() {
        Ok((listeners, upstreams))
    } else {
        Err(faults)
    }
}

fn secured(identity: u64, made: impl Any + Send + Sync) -> Secured {
    Secured {
        identity,
        with: Arc::new(made),
    }
}
