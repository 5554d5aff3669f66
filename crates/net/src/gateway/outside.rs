//! What is answered outside of the shards, for whoever answers it.

use std::sync::Arc;

use gateway_core::store::StoreState;

use super::Gateway;
use crate::asks::Asks;

impl Gateway {
    /// The calls of plugins, for whoever answers them.
    pub fn plugin_asks(&self) -> &Arc<Asks> {
        &self.outside.plugins
    }

    /// The calls of the store, for whoever answers them.
    pub fn store_asks(&self) -> &Arc<Asks> {
        &self.outside.store
    }

    /// What is known of the store, for whoever knows.
    pub fn store_state(&self) -> &Arc<StoreState> {
        self.shared.store()
    }

    /// The modules of plugins that requests may still name: those of the config in force, and of
    /// configs under which requests are on their way.
    pub fn plugin_modules(&self) -> Vec<String> {
        self.state().modules.held()
    }
}
