//! What JavaScript may call: conversions, and a guard that no panic crosses into Node.
//!
//! Nothing here decides about a request or a config; [`parts`] hands out single parts of the core. Every export catches panics (a bug becomes an
//! `Error` with code `internal`); every error has a stable `code`. There is no async runtime: what
//! blocks runs as a task of libuv's pool ([`drain`]).
#![cfg_attr(test, allow(dead_code, reason = "exports are reached from Node only"))]

mod apps;
mod asks;
mod calls;
mod certificates;
mod config;
mod drain;
mod error;
mod gateway;
mod guard;
mod parts;
mod reactor;
mod registry;
mod store;
mod text;
mod usage;
mod uv;
mod watch;

use napi_derive::napi;

/// The version of the core, as `MAJOR.MINOR.PATCH`.
#[napi(catch_unwind)]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}
