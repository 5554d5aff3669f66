//! `apps`: programs in TypeScript or JavaScript that answer requests, each in one worker per CPU.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{File, Name};
use super::units::{Duration, Size};
use super::upstream::UpstreamTimeouts;

/// A program that answers requests, run in Node workers of this process.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// What routes, metrics and logs call it.
    pub name: Name,
    /// Its module, TypeScript or JavaScript: a path, relative to the config's file.
    pub module: File,
    /// Heap of one worker, 16MiB to 64GiB; one that needs more is replaced.
    #[serde(default = "memory")]
    pub memory: Size,
    /// How long a worker's event loop may be stuck before the worker is replaced, 100ms to 1h.
    #[serde(default = "stuck_timeout")]
    pub stuck_timeout: Duration,
    /// How long the workers of a module that was replaced may go on with what they have.
    #[serde(default = "drain_timeout")]
    pub drain_timeout: Duration,
    /// How far messages on topics of WebSockets go: `process`, to all workers here, or `global`, to those of all gateways that share
    /// the `store` and have an app of this name.
    #[serde(default)]
    pub topics: TopicScope,
    /// How long an answer may take.
    #[serde(default)]
    pub timeouts: UpstreamTimeouts,
}

/// How far messages on topics go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TopicScope {
    /// To all workers of this process.
    #[default]
    Process,
    /// To all gateways that share the `store`.
    Global,
}

fn memory() -> Size {
    Size::kib(512 << 10)
}

fn stuck_timeout() -> Duration {
    Duration::secs(5)
}

fn drain_timeout() -> Duration {
    Duration::secs(30)
}
