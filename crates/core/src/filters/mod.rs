//! The filters, one file each. A feature is one name: the file, `use:` in the config, the section
//! of the reference, the test, the metric label and the prefix of its reply codes.
//!
//! To add one: `cargo run -p xtask -- new-filter NAME`, which writes the module, the two lines
//! below and the test.

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value};

use crate::config::{self, Fault};
use crate::filter::Filter;
use crate::route::pattern::Path;
use crate::snapshot::{Resolved, Shared};

pub use body_limit::too_large as body_too_large;
pub(crate) use headers::name_fault;
pub use ip_list::{ip_files, ip_list, IpFile, MAX_IP_FILE};
pub use r#static::unreadable as file_unreadable;
pub use timeout::timed_out;

/// A filter's name without the mark of one that is a word of Rust.
const fn plain(name: &'static str) -> &'static str {
    if let [b'r', b'#', rest @ ..] = name.as_bytes() {
        if let Ok(rest) = std::str::from_utf8(rest) {
            return rest;
        }
    }
    name
}

macro_rules! filters {
    ($($name:ident => $filter:ident,)*) => {
        /// Every filter's name, in the order of the alphabet.
        pub const NAMES: &[&str] = &[$(plain(stringify!($name))),*];

        /// Builds the filter called `name` from its object in the config. None if it has a fault,
        /// which is then reported, or if no filter has this name.
        pub fn build(name: &str, object: &Map<String, Value>, b: &mut Build<'_>) -> Option<Box<dyn Filter>> {
            $(if name == plain(stringify!($name)) {
                let config = config::object::<$name::Config>(object, b.at, b.faults)?;
                return Some(Box::new($name::$filter::build(config, b)?));
            })*
            None
        }

        /// The schema of every filter's config.
        pub fn schemas(generator: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
            vec![$((plain(stringify!($name)), generator.subschema_for::<$name::Config>())),*]
        }
    };
}

mod adaptive_concurrency;
mod api_key;
mod api_key_ring;
mod basic_auth;
mod basic_auth_users;
mod body_limit;
mod client_ip;
mod concurrency;
mod concurrency_lines;
mod consumer;
mod cors;
mod cors_config;
mod credential;
mod csrf;
mod deadline;
mod grpc_web;
mod headers;
mod ip_list;
mod ip_rules;
mod ip_table;
mod maintenance;
mod origin;
mod plugin;
mod priority;
mod quota;
mod quota_global;
mod quota_unit;
mod rate_field;
mod rate_global;
mod rate_key;
mod rate_limit;
mod rate_limits;
mod rate_mixed;
mod rate_one;
mod rate_plan;
mod rate_queue;
mod rate_round;
mod rate_spent;
mod rate_store;
mod rate_table;
mod rate_told;
mod redirect;
mod request_id;
mod respond;
mod rewrite;
mod rewrite_path;
mod security_headers;
mod security_policies;
mod r#static;
mod static_conditions;
mod static_path;
mod static_range;
mod static_types;
mod timeout;
#[cfg(test)]
pub(crate) mod trial;
mod websocket;

filters! {
    adaptive_concurrency => AdaptiveConcurrency,
    api_key => ApiKey,
    basic_auth => BasicAuth,
    body_limit => BodyLimit,
    client_ip => ClientIp,
    concurrency => Concurrency,
    consumer => Consumer,
    cors => Cors,
    csrf => Csrf,
    grpc_web => GrpcWeb,
    headers => Headers,
    ip_rules => IpRules,
    maintenance => Maintenance,
    plugin => Plugin,
    quota => QuotaFilter,
    rate_limit => RateLimit,
    redirect => Redirect,
    request_id => RequestId,
    respond => Respond,
    rewrite => Rewrite,
    security_headers => SecurityHeaders,
    r#static => Static,
    timeout => Timeout,
    websocket => Websocket,
}

/// What a filter is built from, beside its own config.
pub struct Build<'a> {
    /// Where it stands in the config: `routes[0].filters[1]`.
    pub at: &'a str,
    /// Its route's name.
    pub route: &'a str,
    /// The paths that the route wants, whose templates capture names.
    pub paths: &'a [Path],
    /// Its place among the route's filters.
    pub ordinal: usize,
    /// What outlives a config; none while a config is only checked.
    pub shared: Option<&'a Shared>,
    /// Where names of the config are found; none while a config is only checked.
    pub resolved: Option<&'a Resolved>,
    /// Takes the faults that are found.
    pub faults: &'a mut Vec<Fault>,
}

impl Build<'_> {
    /// Reports a fault of one key of this filter.
    pub fn fault(&mut self, key: &str, why: impl Into<String>, fix: impl Into<String>) {
        self.faults
            .push(Fault::new(format!("{}.{key}", self.at), why, fix));
    }
}
