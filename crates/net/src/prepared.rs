//! What JavaScript has made ready for a config: where its apps listen, and where modules are found.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use gateway_core::quota;

/// The Unix sockets of each app's workers, by the app's name.
pub type Sockets = HashMap<String, Vec<PathBuf>>;

/// What JavaScript has made ready for a config.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    /// The sockets at which workers of its apps listen.
    pub apps: Sockets,
    /// Where the modules of its plugins are found, by their paths as the config has them.
    pub plugins: HashMap<String, String>,
    /// Where relative paths of the config begin; empty for the working directory.
    pub folder: PathBuf,
    /// Certificates that were published before this start or reload: they are at hand when the first client comes.
    pub certificates: Vec<Kept>,
    /// What consumers had used before this process, as the ledger has it; some only if the ledger is kept.
    pub usage: Option<Vec<quota::Kept>>,
}

/// A certificate for [`crate::Gateway::publish_certificate`].
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The name that clients ask for.
    pub name: String,
    /// With its chain, PEM.
    pub cert: String,
    /// Its key, PEM.
    pub key: String,
}

/// Modules that a request may still name: each is noted for as long as anyone holds it.
#[derive(Default)]
pub(crate) struct Modules(Vec<Weak<str>>);

impl Modules {
    /// A handle on each module; one that is known keeps its own.
    pub fn hold(&mut self, named: HashMap<String, String>) -> HashMap<String, Arc<str>> {
        self.0.retain(|m| m.strong_count() > 0);
        let mut all = HashMap::with_capacity(named.len());
        for (path, at) in named {
            let known = self.0.iter().filter_map(Weak::upgrade).find(|m| **m == *at);
            let module = known.unwrap_or_else(|| {
                let fresh: Arc<str> = at.into();
                self.0.push(Arc::downgrade(&fresh));
                fresh
            });
            all.insert(path, module);
        }
        all
    }

    /// Those that are held.
    pub fn held(&mut self) -> Vec<String> {
        self.0.retain(|m| m.strong_count() > 0);
        let held = self.0.iter().filter_map(Weak::upgrade);
        held.map(|m| m.to_string()).collect()
    }
}
