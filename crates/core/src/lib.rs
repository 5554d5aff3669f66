//! The gateway's mind: every decision about a request, whichever door it came in by.
//!
//! # Layout
//! - [`config`] reads the one schema; [`route`] finds a route; [`snapshot`] is what both become.
//! - [`filter`] says what a filter is; [`filters`] holds them, one file each.
//! - [`secret`] says what logs must not show.
//! - [`trust`] walks the hops of proxies to the client.
//! - [`engine`] runs a request through its filters; [`forward`] chooses where it goes.
//! - [`file`] is what is asked and told of files.
//! - [`plugin`] is what a plugin is told and may say.
//! - [`quota`] counts what consumers used of windows of the calendar.
//! - [`metrics`] names what is counted; [`error`] and [`reply`] say what a client is told.
//!
//! Nothing here reads a clock, a socket, a file, the environment or randomness: time is [`Nanos`]
//! handed in, and what the core wants from outside it returns as an [`filter::Ask`].
#![forbid(unsafe_code)]

pub mod access_log;
pub mod body;
pub mod config;
pub mod engine;
pub mod file;
pub mod filter;
pub mod filters;
pub mod forward;
pub mod grpc;
pub mod hops;
pub mod metrics;
pub mod plugin;
pub mod proxied;
pub mod quota;
pub mod reply;
pub mod route;
pub mod secret;
pub mod secure;
pub mod snapshot;
pub mod store;
pub mod trust;

/// Nanoseconds since the process started, read once a tick by whoever owns the thread.
pub type Nanos = u64;
