//! TLS towards an upstream: whose certificates are believed, and which is shown.

use std::sync::{Arc, PoisonError, RwLock};

use gateway_core::config::{Fault, TlsVersion, UpstreamTls};
use gateway_core::secure::Secure;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::UnbufferedClientConnection;
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::files::{system_roots, Files, Stamp};
use super::records::Session;
use super::server::Ground;
use super::transport::Tls;
use super::{provider, versions};

/// TLS of one upstream.
pub(crate) struct ClientTls {
    used: RwLock<Arc<Used>>,
    /// Equal for equal settings and files.
    pub identity: u64,
}

struct Used {
    config: Arc<ClientConfig>,
    /// The same for HTTP/2.
    http2: Arc<ClientConfig>,
    stamps: Vec<Stamp>,
}

impl ClientTls {
    /// # Errors
    /// What is wrong with the files; `at` is the path of the key.
    pub(super) fn new(
        at: &str,
        tls: &UpstreamTls,
        ground: &Ground<'_>,
    ) -> Result<Self, Vec<Fault>> {
        let (used, identity) = Used::build(at, tls, ground)?;
        Ok(Self {
            used: RwLock::new(Arc::new(used)),
            identity,
        })
    }

    /// Reads files again that have changed. What cannot be used is reported, and the old stays.
    pub(super) fn look(
        &self,
        at: &str,
        tls: &UpstreamTls,
        ground: &Ground<'_>,
    ) -> Option<Vec<Fault>> {
        if !self.used().stamps.iter().any(Stamp::changed) {
            return None;
        }
        Some(match Used::build(at, tls, ground) {
            Ok((next, _)) => {
                *self.used.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
                Vec::new()
            }
            Err(faults) => faults,
        })
    }

    fn used(&self) -> Arc<Used> {
        let used = self.used.read().unwrap_or_else(PoisonError::into_inner);
        used.clone()
    }

    /// Begins a connection to this host, for HTTP/2 or for HTTP/1.1; none if nobody can be called so.
    pub fn connect(&self, host: &str, http2: bool) -> Option<Box<Tls>> {
        let name = ServerName::try_from(host.to_owned()).ok()?;
        let used = self.used();
        let config = if http2 {
            used.http2.clone()
        } else {
            used.config.clone()
        };
        let connection = UnbufferedClientConnection::new(config, name).ok()?;
        Some(Tls::new(
            Session::Client(Box::new(connection)),
            Secure::default(),
        ))
    }
}

impl Used {
    fn build(at: &str, tls: &UpstreamTls, ground: &Ground<'_>) -> Result<(Self, u64), Vec<Fault>> {
        let mut files = Files::of(ground.folder);
        files.strict = ground.strict;
        let mut identity = serde_json::to_vec(tls).unwrap_or_default();
        let builder = ClientConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(versions(tls.min_version == TlsVersion::V13))
            .expect("the provider has suites for both versions");
        let builder = match &tls.ca {
            _ if !tls.verify => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Anybody)),
            None => builder.with_root_certificates(system_roots()),
            Some(ca) => {
                let (roots, bytes) = files.roots(&format!("{at}.ca"), ca).map_err(|f| vec![f])?;
                identity.extend_from_slice(&bytes);
                builder.with_root_certificates(roots)
            }
        };
        let mut config = match (&tls.client_cert, &tls.client_key) {
            (Some(cert), Some(key)) => {
                let (cert_at, key_at) = (format!("{at}.client_cert"), format!("{at}.client_key"));
                // Both are judged as a listener's are.
                let pair = files.pair((&cert_at, cert), (&key_at, key))?;
                for der in &pair.key.cert {
                    identity.extend_from_slice(der);
                }
                let shown = SingleCertAndKey::from(pair.key);
                builder.with_client_cert_resolver(Arc::new(shown))
            }
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let mut http2 = config.clone();
        http2.alpn_protocols = vec![b"h2".to_vec()];
        let used = Self {
            config: Arc::new(config),
            http2: Arc::new(http2),
            stamps: files.stamps,
        };
        Ok((used, algo::stable_hash(&identity)))
    }
}

/// Believes anybody's certificate: `verify: false`. That the other side holds its key is still proved.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &provider().signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
