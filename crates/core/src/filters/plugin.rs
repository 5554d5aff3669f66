//! plugin: asks a module of yours, in TypeScript, about each request.
//!
//! Config:  `{ use: plugin, module: ./auth.ts, on_fail: closed, timeout: 50ms, body: 64KiB }`
//! Reads:   the request's head without the fields in `claims`, who sent it, the route's name; with `body` its body too.
//! Asks:    the plugin, outside of the threads that carry traffic; with `body` first for the body.
//! Replies: 503 `plugin_failed` if it gave no verdict and `on_fail` is `closed`; 413
//!          `plugin_body_too_large` for a body beyond `body`, whatever `on_fail` says; else what the
//!          plugin says.
//! Fails:   no verdict within `timeout`, too many calls at once, an exception, a verdict that is none:
//!          `on_fail` decides.
//! Source:  RFC 9110 sections 5.5 (field values) and 15.5.14 (413).

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use wire::{Framing, Head};

use super::{name_fault, Build};
use crate::body::Side;
use crate::config::text::File;
use crate::config::units::{Duration, Size};
use crate::filter::{Answer, Ask, AskId, Client, Cx, Exchange, Filter, Needs, PluginCall, Verdict};
use crate::plugin::{told, Fields, PluginVerdict};
use crate::reply::Reply;

/// Asks a module of yours, in TypeScript, about each request.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The module, TypeScript or JavaScript: a path, relative to the config's file. Required.
    pub module: File,
    /// What happens to a request about which there is no verdict: `closed` refuses it, `open` lets it
    /// pass. Default: `closed`.
    #[serde(default)]
    pub on_fail: OnFail,
    /// How long a verdict may take, 1ms to 1m; kept to within 34 ms.
    #[serde(default = "timeout")]
    pub timeout: Duration,
    /// The most bytes of body that the plugin is handed, 1B to 1MiB; a longer body is refused.
    /// Default: the plugin gets no body, and bodies of any length pass.
    pub body: Option<Size>,
    /// Fields of the request that only the plugin says, at most 16: what a client sends under these names is taken out before the plugin
    /// is asked. So a filter behind it can believe them, as `consumer` does. Default: none.
    #[serde(default)]
    pub claims: Vec<String>,
}

/// What a failure means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "PluginOnFail")]
pub enum OnFail {
    /// The request is refused.
    #[default]
    Closed,
    /// The request passes.
    Open,
}

fn timeout() -> Duration {
    Duration::ms(50)
}

/// The filter.
pub struct Plugin {
    /// Where JavaScript finds the module; none while a config is only checked.
    module: Option<Arc<str>>,
    on_fail: OnFail,
    timeout: Duration,
    /// Bytes.
    body: Option<usize>,
    claims: Box<[Box<str>]>,
}

impl Plugin {
    /// From its config, if its bounds are kept.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        if config.timeout > LONGEST {
            let why = format!("\"{}\" is above the most, {LONGEST}", config.timeout);
            b.fault("timeout", why, format!("write {LONGEST} or less"));
        }
        let body = config.body.map(Size::bytes);
        if body.is_some_and(|bytes| bytes == 0 || bytes > MOST_BODY.bytes()) {
            b.fault(
                "body",
                format!("the bound is from 1B to {MOST_BODY}"),
                "write such as 64KiB, or remove it: then the plugin gets no body",
            );
        }
        if config.claims.len() > MOST_CLAIMS {
            let why = format!("{} are above the most, {MOST_CLAIMS}", config.claims.len());
            b.fault("claims", why, "write fewer");
        }
        for (i, name) in config.claims.iter().enumerate() {
            if let Some((why, fix)) = name_fault(name, true) {
                b.fault(&format!("claims[{i}]"), why, fix);
            }
        }
        let claims = config.claims.iter().map(|n| n.to_ascii_lowercase().into());
        let module = config.module.to_string();
        let modules = b.resolved.map(|resolved| &resolved.plugins);
        (b.faults.len() == before).then(|| Self {
            module: modules.and_then(|all| all.get(&module).cloned()),
            on_fail: config.on_fail,
            timeout: config.timeout,
            body: body.map(|bytes| bytes as usize),
            claims: claims.collect(),
        })
    }

    fn call(&self, cx: &Cx<'_>, req: &Head, client: &Client, body: Option<Vec<u8>>) -> Verdict {
        let Some(module) = &self.module else {
            return self.failed();
        };
        let route = cx.snapshot.routes.get(cx.route as usize);
        let route = route.map_or("", |r| &*r.name);
        Verdict::Ask(Ask::Plugin(Box::new(PluginCall {
            module: module.clone(),
            told: told(req, client, route),
            body,
            timeout: self.timeout.nanos(),
        })))
    }

    fn failed(&self) -> Verdict {
        match self.on_fail {
            OnFail::Open => Verdict::Next,
            OnFail::Closed => Verdict::Reply(Box::new(Reply::problem(
                503,
                "plugin_failed",
                "A check of this request could not be made.",
            ))),
        }
    }

    fn said(&self, cx: &mut Cx<'_>, ex: &mut Exchange, verdict: &PluginVerdict) -> Verdict {
        if let Some(reply) = &verdict.reply {
            return Verdict::Reply(Box::new(reply.clone()));
        }
        if verdict.request.apply(&mut ex.request).is_err() {
            return self.failed(); // what it wanted the upstream to know does not fit
        }
        if !verdict.response.is_empty() {
            cx.slot.any = Some(Box::new(verdict.response.clone()));
        }
        Verdict::Next
    }
}

impl Filter for Plugin {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            response: true,
            ..Needs::default()
        }
    }

    fn vouches(&self) -> &[Box<str>] {
        &self.claims
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        for name in &self.claims {
            req.remove(name.as_bytes());
        }
        let client = cx.client.clone();
        match (self.body, cx.framing) {
            (None, _) => self.call(cx, req, &client, None),
            (Some(_), Framing::None) => self.call(cx, req, &client, Some(Vec::new())),
            (Some(max), Framing::Length(n)) if n > max as u64 => too_large(),
            (Some(max), _) => Verdict::Ask(Ask::Body {
                side: Side::Request,
                max,
            }),
        }
    }

    fn on_answer(&self, cx: &mut Cx<'_>, ex: &mut Exchange, _: AskId, a: Answer<'_>) -> Verdict {
        match a {
            Answer::Plugin(verdict) => self.said(cx, ex, verdict),
            Answer::Body(bytes) => {
                let client = cx.client.clone();
                self.call(cx, &ex.request, &client, Some(bytes.to_vec()))
            }
            // A check that a longer body could go around would be none.
            Answer::TooLarge => too_large(),
            _ => self.failed(),
        }
    }

    fn on_response(&self, cx: &mut Cx<'_>, _: &Head, rsp: &mut Head) -> Verdict {
        let changes = cx
            .slot
            .any
            .as_ref()
            .and_then(|any| any.downcast_ref::<Fields>());
        if let Some(changes) = changes {
            let _full = changes.apply(rsp);
        }
        Verdict::Next
    }
}

fn too_large() -> Verdict {
    Verdict::Reply(Box::new(Reply::problem(
        413,
        "plugin_body_too_large",
        "The request body is larger than this route takes.",
    )))
}

/// The longest that a request may wait for a plugin.
const LONGEST: Duration = Duration::secs(60);
/// Fields that one plugin vouches for.
const MOST_CLAIMS: usize = 16;
/// The largest body that is handed over.
const MOST_BODY: Size = Size::kib(1024);

#[cfg(test)]
#[path = "plugin_tests.rs"]
mod tests;
