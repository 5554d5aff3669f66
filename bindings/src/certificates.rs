//! Certificates: looked at, listed, published, and made for development.

use std::sync::Arc;

use napi::bindgen_prelude::AsyncTask;
use napi::{Env, Task};
use napi_derive::napi;

use crate::config::{fault, Fault};
use crate::error::{error, Result};
use crate::gateway::{Gateway, GatewayView};

/// What a look at the files of one `tls` of the config brought.
#[napi(object)]
pub struct LookedAt {
    /// Which: `listeners[0].tls`.
    pub at: String,
    /// What is wrong with files that changed: for these the old ones stay in use. Empty if all are in use.
    pub faults: Vec<Fault>,
}

/// A certificate that is served.
#[napi(object)]
pub struct ServedCertificate {
    /// The listener; empty for one that was published.
    pub listener: String,
    /// Its first name; `_` if it has none.
    pub name: String,
    /// When it ends, in seconds since 1970.
    pub not_after: f64,
}

/// Where this machine's certificate for development lies.
#[napi(object)]
pub struct DevCertificate {
    /// The authority's certificate, which clients are to trust.
    pub ca: String,
    /// The certificate for localhost.
    pub cert: String,
    /// Its key.
    pub key: String,
    /// True if the authority was made just now.
    pub is_new: bool,
}

#[napi]
impl Gateway {
    /// Looks whether files of certificates have changed and reads those that have, in a thread of libuv's
    /// pool. Resolves with what changed.
    #[napi(catch_unwind, ts_return_type = "Promise<LookedAt[]>")]
    pub fn look_at_certificates(&self) -> AsyncTask<Look> {
        AsyncTask::new(Look(self.gateway.clone()))
    }

    /// The certificates that are served.
    #[napi(catch_unwind)]
    pub fn certificates(&self) -> Vec<ServedCertificate> {
        let all = self.gateway.certificates().into_iter();
        all.map(|(listener, s)| ServedCertificate {
            listener,
            name: s.name,
            not_after: s.not_after as f64,
        })
        .collect()
    }
}

/// For the thread that orders certificates.
#[napi]
impl GatewayView {
    /// Serves a certificate with its chain and key, PEM, to clients that ask for `name`, from the next
    /// handshake on, at all listeners with TLS. Throws `certificate_refused`.
    #[napi(catch_unwind)]
    pub fn publish_certificate(&self, name: String, cert: String, key: String) -> Result<()> {
        let published = self
            .gateway
            .publish_certificate(&name, cert.as_bytes(), key.as_bytes());
        published.map_err(|why| error("certificate_refused", why))
    }

    /// Serves what was published for `name` no more. False if there was nothing.
    #[napi(catch_unwind)]
    pub fn withdraw_certificate(&self, name: String) -> bool {
        self.gateway.withdraw_certificate(&name)
    }

    /// Answers TLS-ALPN-01 challenges (RFC 8737) for `name` with this certificate, PEM. Throws
    /// `certificate_refused`.
    #[napi(catch_unwind)]
    pub fn set_challenge(&self, name: String, cert: String, key: String) -> Result<()> {
        let set = self
            .gateway
            .set_challenge(&name, cert.as_bytes(), key.as_bytes());
        set.map_err(|why| error("certificate_refused", why))
    }

    /// Answers challenges for `name` no more. False if there was nothing.
    #[napi(catch_unwind)]
    pub fn clear_challenge(&self, name: String) -> bool {
        self.gateway.clear_challenge(&name)
    }

    /// Answers HTTP-01 challenges (RFC 8555 section 8.3) for this token. False if it is none, or there are
    /// too many.
    #[napi(catch_unwind)]
    pub fn set_http_challenge(&self, token: String, answer: String) -> bool {
        self.gateway.set_http_challenge(&token, &answer)
    }

    /// Answers them no more. False if there was nothing.
    #[napi(catch_unwind)]
    pub fn clear_http_challenge(&self, token: String) -> bool {
        self.gateway.clear_http_challenge(&token)
    }

    /// Counts an order that has ended; one that failed has a code, a word for metrics.
    #[napi(catch_unwind)]
    pub fn count_order(&self, failure: Option<String>) {
        self.gateway.count_order(failure.as_deref());
    }
}

/// One look.
pub struct Look(Arc<net::Gateway>);

impl Task for Look {
    type Output = Vec<net::Looked>;
    type JsValue = Vec<LookedAt>;

    fn compute(&mut self) -> napi::Result<Self::Output> {
        Ok(self.0.look_at_certificates())
    }

    fn resolve(&mut self, _env: Env, looked: Self::Output) -> napi::Result<Vec<LookedAt>> {
        let looked_at = |l: net::Looked| LookedAt {
            at: l.at,
            faults: l.faults.into_iter().map(fault).collect(),
        };
        Ok(looked.into_iter().map(looked_at).collect())
    }
}

/// The certificate of `tls: dev`: made if it is not there or ends soon. Throws `system`.
#[napi(catch_unwind)]
pub fn dev_certificate() -> Result<DevCertificate> {
    let dev = net::dev_certificate().map_err(|why| error("system", why))?;
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    Ok(DevCertificate {
        ca: text(dev.ca),
        cert: text(dev.cert),
        key: text(dev.key),
        is_new: dev.new,
    })
}
