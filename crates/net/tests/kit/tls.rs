//! Certificates made as tests run, clients and origins that speak TLS by rustls' own buffered API:
//! another way through the library than the gateway's.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use time::{Duration, OffsetDateTime};

use super::{Client, PATIENCE};

/// A certificate authority.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, PEM.
#[derive(Clone)]
pub struct Leaf {
    pub cert: String,
    pub key: String,
}

/// What a certificate is made with; see [`Authority::make`].
pub struct Wish<'a> {
    pub names: &'a [&'a str],
    pub uris: &'a [&'a str],
    pub usage: ExtendedKeyUsagePurpose,
    /// Ends so many days from now; less than none for one that has ended.
    pub days: i64,
    pub serial: u64,
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Self {
            names: &[],
            uris: &[],
            usage: ExtendedKeyUsagePurpose::ServerAuth,
            days: 30,
            serial: 1,
        }
    }
}

fn now() -> OffsetDateTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    OffsetDateTime::from_unix_timestamp(since.expect("a clock").as_secs() as i64).expect("a time")
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        let issuer = Issuer::new(params, key);
        Self { pem, issuer }
    }

    pub fn make(&self, wish: Wish<'_>) -> Leaf {
        let names: Vec<_> = wish.names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("names");
        for uri in wish.uris {
            let uri = SanType::URI((*uri).try_into().expect("a URI"));
            params.subject_alt_names.push(uri);
        }
        let first = wish.names.iter().chain(wish.uris).next().unwrap_or(&"none");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, *first);
        params.not_after = now() + Duration::days(wish.days);
        params.not_before = params.not_after - Duration::days(60);
        params.extended_key_usages = vec![wish.usage];
        params.serial_number = Some(SerialNumber::from(wish.serial));
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        Leaf {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A server's certificate.
    pub fn server(&self, names: &[&str]) -> Leaf {
        self.make(Wish {
            names,
            ..Wish::default()
        })
    }

    /// A client's certificate.
    pub fn client(&self, names: &[&str], uris: &[&str]) -> Leaf {
        self.make(Wish {
            names,
            uris,
            usage: ExtendedKeyUsagePurpose::ClientAuth,
            ..Wish::default()
        })
    }

    /// A list that revokes the certificate with this serial number.
    pub fn revoke(&self, serial: u64) -> String {
        let list = CertificateRevocationListParams {
            this_update: now() - Duration::days(1),
            next_update: now() + Duration::days(1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: now() - Duration::days(1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer)
            .expect("a list")
            .pem()
            .expect("a list")
    }

    pub fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        let der = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("a certificate");
        roots.add(der).expect("an authority");
        Arc::new(roots)
    }
}

impl Leaf {
    fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let certs = CertificateDer::pem_slice_iter(self.cert.as_bytes());
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key");
        (certs.map(|c| c.expect("a certificate")).collect(), key)
    }
}

/// A folder of a test, removed with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let n = COUNT.fetch_add(1, SeqCst);
        let name = format!("tls-{}-{n}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        Self(path)
    }

    /// Writes a file as one that replaces another should be: whole or not at all.
    pub fn put(&self, name: &str, text: &str) -> &Self {
        let temporary = self.0.join(format!("{name}.tmp"));
        std::fs::write(&temporary, text).expect("written");
        std::fs::rename(temporary, self.0.join(name)).expect("in place");
        self
    }

    /// Writes NAME.pem and NAME.key.
    pub fn pair(&self, name: &str, leaf: &Leaf) -> &Self {
        self.put(&format!("{name}.pem"), &leaf.cert)
            .put(&format!("{name}.key"), &leaf.key)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

/// A config with one listener with this `tls`, and one route to an upstream with these settings.
pub fn config(to: SocketAddr, tls: &str, upstream: &str) -> String {
    let all = super::config_to(&[to], upstream, "[]");
    let listener = "\"bind\": \"127.0.0.1:0\"";
    all.replacen(listener, &format!("{listener}, \"tls\": {tls}"), 1)
}

/// A `tls` with one certificate, `a.pem`, and more.
pub fn one(more: &str) -> String {
    format!("{{ \"certificates\": [{{ \"cert\": \"a.pem\", \"key\": \"a.key\" }}] {more} }}")
}

pub fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// What a client is set up with.
pub fn client_config(roots: &Arc<RootCertStore>, shows: Option<&Leaf>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots.clone());
    match shows {
        Some(leaf) => {
            let (certs, key) = leaf.parts();
            builder.with_client_auth_cert(certs, key).expect("a pair")
        }
        None => builder.with_no_client_auth(),
    }
}

/// The same, of one version only.
pub fn client_of(
    roots: &Arc<RootCertStore>,
    version: &'static rustls::SupportedProtocolVersion,
) -> ClientConfig {
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots.clone())
        .with_no_client_auth()
}

pub type Stream<S = TcpStream> = StreamOwned<ClientConnection, S>;

/// Connects; an error says what the handshake came to. With a required client certificate, TLS 1.3
/// tells a client what came of it only after its own side is done, so a byte is read for.
pub fn connect(
    at: SocketAddr,
    host: &str,
    config: &Arc<ClientConfig>,
) -> Result<Client<Stream>, String> {
    let stream = TcpStream::connect(at).expect("the gateway accepts");
    stream.set_nodelay(true).expect("nodelay");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
    over(stream, host, config)
}

/// The same over anything that moves bytes.
pub fn over<S: Read + Write>(
    stream: S,
    host: &str,
    config: &Arc<ClientConfig>,
) -> Result<Client<Stream<S>>, String> {
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let mut connection = ClientConnection::new(config.clone(), name).expect("a client");
    let mut stream = stream;
    while connection.is_handshaking() {
        connection
            .complete_io(&mut stream)
            .map_err(|e| e.to_string())?;
    }
    Ok(Client::over(StreamOwned::new(connection, stream)))
}

/// Connects, and asks for `path`.
pub fn get(
    at: SocketAddr,
    host: &str,
    config: &Arc<ClientConfig>,
) -> Result<super::Response, String> {
    let mut client = connect(at, host, config)?;
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    client.try_response("GET")
}

/// The certificate that the other side showed.
pub fn shown(client: &Client<Stream>) -> Vec<u8> {
    let certs = client
        .stream
        .conn
        .peer_certificates()
        .expect("a certificate");
    certs[0].to_vec()
}

/// A certificate as it goes over the wire.
pub fn der(pem: &str) -> Vec<u8> {
    CertificateDer::from_pem_slice(pem.as_bytes())
        .expect("a certificate")
        .to_vec()
}

/// What an origin is set up with; `clients` must show a certificate of that authority.
pub fn server_config(leaf: &Leaf, clients: Option<&Authority>) -> ServerConfig {
    let (certs, key) = leaf.parts();
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("versions");
    let builder = match clients {
        Some(authority) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(authority.roots(), provider());
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
        None => builder.with_no_client_auth(),
    };
    builder.with_single_cert(certs, key).expect("a pair")
}

/// An origin with TLS.
pub struct SecureOrigin {
    pub at: SocketAddr,
    connections: Arc<AtomicUsize>,
}

/// A connection of an origin's.
pub type Peer = StreamOwned<ServerConnection, TcpStream>;

impl SecureOrigin {
    /// Gives every connection whose handshake is done to `talk`, on a thread of its own.
    pub fn start(config: ServerConfig, talk: impl Fn(Peer) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let at = listener.local_addr().expect("an address");
        let (config, talk) = (Arc::new(config), Arc::new(talk));
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, talk, count) = (config.clone(), talk.clone(), count.clone());
                thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
                    let mut stream = stream;
                    let mut connection = ServerConnection::new(config).expect("a server");
                    while connection.is_handshaking() {
                        if connection.complete_io(&mut stream).is_err() {
                            return;
                        }
                    }
                    count.fetch_add(1, SeqCst);
                    talk(StreamOwned::new(connection, stream));
                });
            }
        });
        Self { at, connections }
    }

    /// Answers each request that has no body with this.
    pub fn answering(config: ServerConfig, answer: &'static str) -> Self {
        Self::start(config, move |mut peer| {
            while head(&mut peer).is_some() {
                if peer.write_all(answer.as_bytes()).is_err() {
                    break;
                }
                let _sent = peer.flush();
            }
        })
    }

    /// Connections whose handshakes were done.
    pub fn connections(&self) -> usize {
        self.connections.load(SeqCst)
    }
}

/// Reads a head.
pub fn head(from: &mut impl Read) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// The same, with a certificate to show.
pub fn client_of_with(
    roots: &Arc<RootCertStore>,
    version: &'static rustls::SupportedProtocolVersion,
    shows: &Leaf,
) -> ClientConfig {
    let (certs, key) = shows.parts();
    ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .expect("a version")
        .with_root_certificates(roots.clone())
        .with_client_auth_cert(certs, key)
        .expect("a pair")
}

/// An authority, and a folder whose `ca.pem` is its certificate.
pub struct Ground {
    pub authority: Authority,
    pub folder: Folder,
}

impl Ground {
    pub fn new() -> Self {
        let authority = Authority::new("the authority");
        let folder = Folder::new();
        folder.put("ca.pem", &authority.pem);
        Self { authority, folder }
    }
}
