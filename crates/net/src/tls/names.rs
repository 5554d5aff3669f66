//! Certificates by the names in them: a whole name first, then a wildcard for its first label, then
//! the first certificate of all.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rustls::sign::CertifiedKey;

/// Certificates, found by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: Vec<Named>,
    exact: HashMap<Box<str>, Vec<u16>>,
    /// By what follows `*.`.
    wild: HashMap<Box<str>, Vec<u16>>,
    /// Names whose certificates are published, and their policy.
    published: HashSet<Box<str>>,
    first_published: Option<Box<str>>,
    published_policy: u16,
}

/// A certificate, and which client policy holds at its names.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub key: Arc<CertifiedKey>,
    pub policy: u16,
    pub names: Vec<Box<str>>,
    pub not_after: u64,
}

impl Names {
    pub fn add(&mut self, named: Named) {
        let at = self.all.len() as u16;
        for name in &named.names {
            let (map, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wild, parent),
                None => (&mut self.exact, &**name),
            };
            map.entry(name.into()).or_default().push(at);
        }
        self.all.push(named);
    }

    /// Names of which certificates come from elsewhere, in lower case, and the policy that holds at them.
    pub fn expect(&mut self, names: Vec<Box<str>>, policy: u16) {
        self.first_published = names.first().cloned();
        self.published = names.into_iter().collect();
        self.published_policy = policy;
    }

    /// The first of the names that [`Self::expect`] was told of.
    pub fn first_expected(&self) -> Option<&str> {
        self.first_published.as_deref()
    }

    pub fn all(&self) -> &[Named] {
        &self.all
    }

    /// Those with this whole name, in lower case.
    pub fn exact(&self, name: &str) -> Option<&[u16]> {
        self.exact.get(name).map(Vec::as_slice)
    }

    /// Those with a wildcard for this name.
    pub fn wild(&self, name: &str) -> Option<&[u16]> {
        let (_, parent) = name.split_once('.')?;
        self.wild.get(parent).map(Vec::as_slice)
    }

    /// Which policy holds for a client that asks for this name.
    pub fn policy(&self, name: Option<&str>) -> u16 {
        let exact = name.and_then(|n| self.exact(n));
        if exact.is_none() && name.is_some_and(|n| self.published.contains(n)) {
            return self.published_policy;
        }
        let found = exact.or_else(|| self.wild(name?));
        let at = found.and_then(<[u16]>::first).copied().unwrap_or(0);
        self.all.get(usize::from(at)).map_or(0, |n| n.policy)
    }

    pub fn get(&self, at: u16) -> &Named {
        &self.all[usize::from(at)]
    }
}
