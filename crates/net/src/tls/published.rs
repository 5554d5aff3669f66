//! Certificates that come from elsewhere than the config while the gateway runs, such as from an
//! ACME authority: for all listeners with TLS, found after those of the config that have the very
//! name, and before wildcards.
//!
//! Bounds: [`MOST`] names, and as many challenges.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::ServerConfig;

use super::files::{self, Unpaired};
use super::server::Serving;
use super::{provider, versions};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Published {
    all: RwLock<All>,
}

#[derive(Debug, Default)]
struct All {
    names: HashMap<Box<str>, (Arc<CertifiedKey>, u64)>,
    challenges: HashMap<Box<str>, Arc<ServerConfig>>,
}

/// Why a certificate was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpublished {
    /// What is wrong with it.
    Bad(&'static str),
    /// It is not, or no longer, valid.
    NotNow,
    /// It has no such name.
    OtherName,
    /// There are too many.
    Full,
}

impl std::fmt::Display for Unpublished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bad(why) => write!(f, "{why} what was given"),
            Self::NotNow => f.write_str("the certificate is not valid at this time"),
            Self::OtherName => f.write_str("the certificate does not have this name"),
            Self::Full => write!(f, "{MOST} certificates are published already"),
        }
    }
}

impl std::error::Error for Unpublished {}

impl From<Unpaired> for Unpublished {
    fn from(why: Unpaired) -> Self {
        Self::Bad(why.words().0)
    }
}

impl Published {
    /// Serves this certificate to clients that ask for `name` (which may be `*.PARENT`). New
    /// handshakes get it from now on.
    pub fn publish(&self, name: &str, chain: &[u8], key: &[u8]) -> Result<(), Unpublished> {
        let pair = files::pair(chain, key)?;
        let name: Box<str> = name.to_ascii_lowercase().into();
        let now = super::facts::now();
        if now < pair.not_before || pair.not_after < now {
            return Err(Unpublished::NotNow);
        }
        let (_, parent) = name.split_once('.').unwrap_or_default();
        let wild = |n: &str| n.strip_prefix("*.").is_some_and(|p| p == parent);
        if !pair.names.iter().any(|n| *n == name || wild(n)) {
            return Err(Unpublished::OtherName);
        }
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        if all.names.len() >= MOST && !all.names.contains_key(&name) {
            return Err(Unpublished::Full);
        }
        all.names.insert(name, (Arc::new(pair.key), pair.not_after));
        Ok(())
    }

    /// Serves it no more.
    pub fn withdraw(&self, name: &str) -> bool {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.names.remove(&*name.to_ascii_lowercase()).is_some()
    }

    /// Answers TLS-ALPN-01 challenges for `name` with this certificate (RFC 8737).
    pub fn set_challenge(&self, name: &str, chain: &[u8], key: &[u8]) -> Result<(), Unpublished> {
        let pair = files::pair(chain, key)?;
        let mut config = ServerConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(versions(false))
            .expect("the provider has suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(One(Arc::new(pair.key))));
        config.alpn_protocols = vec![ACME.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        if all.challenges.len() >= MOST {
            return Err(Unpublished::Full);
        }
        all.challenges
            .insert(name.to_ascii_lowercase().into(), Arc::new(config));
        Ok(())
    }

    /// Answers them no more.
    pub fn clear_challenge(&self, name: &str) -> bool {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.challenges.remove(&*name.to_ascii_lowercase()).is_some()
    }

    pub fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        let wild = || {
            let (_, parent) = name.split_once('.')?;
            all.names.get(format!("*.{parent}").as_str())
        };
        all.names
            .get(name)
            .or_else(wild)
            .map(|(key, _)| key.clone())
    }

    /// What answers a client that asks for nothing but the proof of a name.
    pub fn challenge(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut asked = hello.alpn()?;
        if asked.next() != Some(ACME) || asked.next().is_some() {
            return None;
        }
        let name = hello.server_name()?.to_ascii_lowercase();
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.challenges.get(name.as_str()).cloned()
    }

    pub fn serving(&self) -> Vec<Serving> {
        let all = self.all.read().unwrap_or_else(PoisonError::into_inner);
        all.names
            .iter()
            .map(|(name, (_, not_after))| Serving {
                name: name.to_string(),
                not_after: *not_after,
            })
            .collect()
    }
}

#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}

/// The protocol of RFC 8737 section 6.2. Nothing is spoken in it: the connection is closed.
pub(super) const ACME: &[u8] = b"acme-tls/1";
const MOST: usize = 10_000;
