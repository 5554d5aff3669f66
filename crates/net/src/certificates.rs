//! What is asked of a gateway about its certificates, from outside its threads.

use crate::gateway::Gateway;
use crate::tls::{Looked, Serving, Unpublished};

impl Gateway {
    /// Looks whether files of certificates, keys and authorities have changed, and if so reads them
    /// again: handshakes that begin from now on use what they hold. What cannot be used is reported,
    /// and the old stays; a pair of which only one half was replaced yet is such a case.
    ///
    /// It reads files: not for a thread that carries traffic.
    pub fn look_at_certificates(&self) -> Vec<Looked> {
        let (config, folder, resolved) = {
            let state = self.state();
            let config = state.snapshot.config.clone();
            (config, state.folder.clone(), state.resolved.clone())
        };
        self.tls.look(&config, &folder, &resolved)
    }

    /// The certificates in use, by listener; those that were published have none (an empty name).
    pub fn certificates(&self) -> Vec<(String, Serving)> {
        let resolved = self.state().resolved.clone();
        self.tls.serving(&resolved)
    }

    /// Serves a certificate (PEM, with its chain) to clients of any listener with TLS that ask for
    /// `name`, from the next handshake on. It replaces one published for that name before; certificates
    /// of the config that have the very name go first. It stays over reloads, not over a restart.
    ///
    /// # Errors
    /// [`Unpublished`]; then all stays as it was.
    pub fn publish_certificate(
        &self,
        name: &str,
        chain: &[u8],
        key: &[u8],
    ) -> Result<(), Unpublished> {
        self.tls.publish(name, chain, key)
    }

    /// Serves what was published for `name` no more. False if there was nothing.
    pub fn withdraw_certificate(&self, name: &str) -> bool {
        self.tls.withdraw(name)
    }

    /// Answers TLS-ALPN-01 challenges (RFC 8737) for `name` with this certificate.
    ///
    /// # Errors
    /// [`Unpublished`]; then all stays as it was.
    pub fn set_challenge(&self, name: &str, chain: &[u8], key: &[u8]) -> Result<(), Unpublished> {
        self.tls.set_challenge(name, chain, key)
    }

    /// Answers challenges for `name` no more. False if there was nothing.
    pub fn clear_challenge(&self, name: &str) -> bool {
        self.tls.clear_challenge(name)
    }

    /// Answers requests for `/.well-known/acme-challenge/TOKEN` with `answer`, at all listeners of the
    /// edge (RFC 8555 section 8.3). False if there are too many, or this is no token.
    pub fn set_http_challenge(&self, token: &str, answer: &str) -> bool {
        self.acme.set(token, answer)
    }

    /// Answers requests for this token no more. False if there was nothing.
    pub fn clear_http_challenge(&self, token: &str) -> bool {
        self.acme.clear(token)
    }

    /// Counts an order of a certificate that has ended; one that failed has a code, a word for metrics.
    pub fn count_order(&self, failure: Option<&str>) {
        self.acme.count(failure);
    }

    /// Adds what is known of certificates to the metrics, a list as JSON.
    pub(crate) fn with_certificates(&self, mut metrics: String) -> String {
        let value = |(listener, s): (String, Serving)| {
            serde_json::json!({
                "labels": { "listener": listener, "name": s.name },
                "value": s.not_after,
            })
        };
        let values: Vec<_> = self.certificates().into_iter().map(value).collect();
        let metric = serde_json::json!({
            "name": "ironsluice_certificate_not_after_seconds",
            "type": "gauge",
            "help": "When a certificate ends, in seconds since 1970.",
            "values": values,
        });
        // The core's text is a list that is never empty.
        metrics.truncate(metrics.len() - 1);
        for metric in [metric].iter().chain(&self.acme.metrics()) {
            metrics.push_str(&format!(",{metric}"));
        }
        metrics.push(']');
        metrics
    }
}
