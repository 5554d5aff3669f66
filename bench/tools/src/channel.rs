//! A client's connection, in the clear or with TLS; non-blocking.
//!
//! TLS is 1.3 with the one suite and the key exchanges of [`secure`], so that all servers do the same work. Every
//! handshake is a whole one: tickets are not kept. Only one certificate is taken, byte for byte; its signature is not
//! verified, because that would cost the client more than it says about a server under test.
//!
//! Bounds: one receive brings at most [`SCRATCH`]; what is sent and not taken by the socket, at most [`UNSENT`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::{self, cipher_suite, kx_group};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, HandshakeKind,
    SignatureScheme,
};

/// The name that is asked for, and that requests have as their host.
pub const HOST: &str = "bench.test";

/// What a client offers in TLS, and the one certificate that it takes: the first in the PEM file `certificate`. The one
/// protocol that it offers by ALPN is HTTP/1.1.
pub fn secure(certificate: &Path) -> io::Result<Arc<ClientConfig>> {
    offer(pinned(certificate)?, b"http/1.1")
}

/// The same of a client that speaks HTTP/2 only.
pub fn secure_http2(certificate: &Path) -> io::Result<Arc<ClientConfig>> {
    offer(pinned(certificate)?, b"h2")
}

/// The same offer by a client that takes no certificate: for handshakes that nobody means to complete.
pub fn trusting_nobody() -> io::Result<Arc<ClientConfig>> {
    offer(CertificateDer::from(Vec::new()), b"http/1.1")
}

fn pinned(certificate: &Path) -> io::Result<CertificateDer<'static>> {
    CertificateDer::from_pem_file(certificate)
        .map_err(|error| io::Error::other(format!("{}: {error}", certificate.display())))
}

fn offer(only: CertificateDer<'static>, protocol: &[u8]) -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519, kx_group::SECP256R1],
        ..aws_lc_rs::default_provider()
    });
    let schemes = provider
        .signature_verification_algorithms
        .supported_schemes();
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned { only, schemes }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

/// A new connection's part of TLS.
pub fn session(config: &Arc<ClientConfig>) -> io::Result<ClientConnection> {
    let name = ServerName::try_from(HOST).map_err(io::Error::other)?;
    ClientConnection::new(config.clone(), name).map_err(io::Error::other)
}

/// One connection.
pub struct Channel {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

/// Memory that all connections of a thread receive into.
pub struct Scratch {
    wire: Vec<u8>,
    plain: Vec<u8>,
}

/// What one receive brought.
pub struct Received<'a> {
    /// What the server says; empty if it was a part of a record, or of TLS itself.
    pub bytes: &'a [u8],
    /// The socket has no more for now.
    pub dry: bool,
    /// The handshake was completed by it, so that there is something to send.
    pub shaken: bool,
}

/// What was agreed on in a handshake.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Agreed {
    suite: rustls::CipherSuite,
    group: rustls::NamedGroup,
    kind: HandshakeKind,
}

impl Channel {
    /// Over a non-blocking socket; with a `config`, the handshake begins at the first [`Channel::send`].
    pub fn new(stream: TcpStream, config: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let tls = config.map(session).transpose()?;
        Ok(Self {
            stream,
            tls: tls.map(|mut tls| {
                tls.set_buffer_limit(Some(UNSENT));
                Box::new(tls)
            }),
        })
    }

    /// Sends a part of `bytes`; `WouldBlock` when the socket takes no more, or the handshake is under way. With TLS some of what counts as
    /// sent may wait here for the socket: see [`Channel::flush`].
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return (&self.stream).write(bytes);
        };
        if tls.is_handshaking() {
            self.flush()?;
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut sent = tls.writer().write(bytes)?;
        self.flush()?;
        if sent == 0 {
            // There was no room before it was flushed. If there is none now the socket is full.
            sent = self
                .tls
                .as_mut()
                .map_or(Ok(0), |tls| tls.writer().write(bytes))?;
            self.flush()?;
        }
        if sent == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        Ok(sent)
    }

    /// Sends what waits, as far as the socket takes it.
    pub fn flush(&mut self) -> io::Result<()> {
        let Some(tls) = &mut self.tls else {
            return Ok(());
        };
        while tls.wants_write() {
            match tls.write_tls(&mut &self.stream) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if would_block(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Receives once. `WouldBlock` when there is nothing, `UnexpectedEof` at the end.
    pub fn receive<'a>(&mut self, scratch: &'a mut Scratch) -> io::Result<Received<'a>> {
        let n = (&self.stream).read(&mut scratch.wire)?;
        if n == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let dry = n < scratch.wire.len();
        let mut wire = &scratch.wire[..n];
        let Some(tls) = &mut self.tls else {
            let (bytes, shaken) = (wire, false);
            return Ok(Received { bytes, dry, shaken });
        };
        let was_handshaking = tls.is_handshaking();
        scratch.plain.clear();
        while !wire.is_empty() {
            tls.read_tls(&mut wire)?;
            let state = tls.process_new_packets().map_err(io::Error::other)?;
            let (start, more) = (scratch.plain.len(), state.plaintext_bytes_to_read());
            scratch.plain.resize(start + more, 0);
            if more > 0 {
                tls.reader().read_exact(&mut scratch.plain[start..])?;
            }
            if state.peer_has_closed() && scratch.plain.is_empty() {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Received {
            bytes: &scratch.plain,
            dry,
            shaken: was_handshaking && !tls.is_handshaking(),
        })
    }

    /// Says that no more is sent, which is nothing without TLS. The connection is closed by dropping it.
    pub fn say_goodbye(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        self.flush()
    }

    /// What the handshake came to; nothing before its end, and without TLS.
    pub fn agreed(&self) -> Option<Agreed> {
        let tls = self.tls.as_ref()?;
        Some(Agreed {
            suite: tls.negotiated_cipher_suite()?.suite(),
            group: tls.negotiated_key_exchange_group()?.name(),
            kind: tls.handshake_kind()?,
        })
    }
}

impl Scratch {
    /// Room for what one receive brings.
    #[allow(clippy::new_without_default)] // a buffer of a fixed size, not a neutral value
    pub fn new() -> Self {
        Self {
            wire: vec![0; SCRATCH],
            plain: Vec::new(),
        }
    }
}

impl std::fmt::Display for Agreed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self.kind {
            HandshakeKind::Full => "",
            HandshakeKind::FullWithHelloRetryRequest => " after a retry",
            _ => " resumed",
        };
        write!(f, "{:?} {:?}{kind}", self.suite, self.group)
    }
}

/// Whether it is no error, but that the socket is not ready.
pub fn would_block(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::NotConnected
    )
}

#[derive(Debug)]
struct Pinned {
    only: CertificateDer<'static>,
    schemes: Vec<SignatureScheme>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.only {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::UnknownIssuer.into())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 was not offered".into()))
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.schemes.clone()
    }
}

const SCRATCH: usize = 64 * 1024;
const UNSENT: usize = 64 * 1024;
