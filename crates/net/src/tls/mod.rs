//! TLS: certificates of listeners, trust in upstreams, and the transport under a connection.
//!
//! # Layout
//! - `transport` is one connection's TLS, over its socket, and `records` what it has of rustls; `hello`
//!   reads its first words.
//! - `server` and `client` are what a listener and an upstream are secured with; `names`, `allow`,
//!   `tickets` and `published` are parts of a listener's.
//! - `files` reads PEM; `facts` says what a handshake proved; `dev` makes certificates for localhost.
//!
//! Cryptography is that of aws-lc-rs, handed to rustls explicitly: no default of the process is
//! touched. Early data is never offered, for a replay could be taken for a request.

mod allow;
mod client;
mod dev;
mod facts;
mod files;
mod hello;
mod names;
mod published;
mod records;
mod server;
mod store;
mod tickets;
mod transport;

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use rustls::SupportedProtocolVersion;

pub use self::dev::{dev_certificate, DevCertificate};
pub use self::published::Unpublished;
pub use self::server::Serving;
pub use self::store::{check_files, Looked};

pub(crate) use self::client::ClientTls;
pub(crate) use self::server::ServerTls;
pub(crate) use self::store::Store;
pub(crate) use self::transport::{Scratch, Shake, Tls, Unshaken};

/// The cryptography in use.
fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

fn versions(only_new: bool) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] =
        [&rustls::version::TLS13, &rustls::version::TLS12];
    if only_new {
        &BOTH[..1]
    } else {
        &BOTH
    }
}

impl Tls {
    /// The side of a listener, for a connection that came in.
    pub fn accept(tls: Arc<ServerTls>) -> Box<Self> {
        let hello = Box::new(hello::Hello::new(tls));
        Self::new(
            records::Session::Hello(hello),
            gateway_core::secure::Secure::default(),
        )
    }
}
