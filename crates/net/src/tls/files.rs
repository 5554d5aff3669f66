//! Certificates and keys from PEM files, and what is wrong with them.
//!
//! Paths are relative to the folder of the config. Bounds: [`MAX_FILE`] bytes a file.

use std::fs::{File, Metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gateway_core::config::text;
use gateway_core::config::Fault;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::RootCertStore;

use super::{facts, provider};

/// Reads files of one config, and remembers which they were.
pub(super) struct Files {
    folder: PathBuf,
    /// True to refuse what is of no use to anybody, such as a certificate that has ended.
    pub strict: bool,
    /// True to make no file.
    pub trial: bool,
    pub stamps: Vec<Stamp>,
}

/// A file, and what tells that it was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    path: PathBuf,
    state: Option<(i64, i64, u64, u64)>,
}

impl Stamp {
    fn of(path: PathBuf) -> Self {
        let state = |m: Metadata| (m.mtime(), m.mtime_nsec(), m.len(), m.ino());
        let state = std::fs::metadata(&path).ok().map(state);
        Self { path, state }
    }

    /// True if the file is another than it was.
    pub fn changed(&self) -> bool {
        Self::of(self.path.clone()) != *self
    }
}

/// A certificate with its chain and key.
#[derive(Debug)]
pub(super) struct Pair {
    pub key: CertifiedKey,
    /// DNS names, in lower case, and IP addresses.
    pub names: Vec<Box<str>>,
    /// When it begins and ends, seconds since 1970.
    pub not_before: u64,
    pub not_after: u64,
}

impl Files {
    pub fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            strict: false,
            trial: false,
            stamps: Vec::new(),
        }
    }

    /// The bytes of a file; `at` is the key that names it.
    pub fn read(&mut self, at: &str, file: &text::File) -> Result<Vec<u8>, Fault> {
        let path = self.folder.join(file.path());
        // Noted first: a change while it is read is seen as one.
        let stamp = Stamp::of(path.clone());
        if !self.stamps.contains(&stamp) {
            self.stamps.push(stamp);
        }
        let mut bytes = Vec::new();
        let read =
            File::open(&path).and_then(|f| f.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes));
        match read {
            Ok(n) if n > MAX_FILE => Err(Fault::new(
                at,
                format!("{file} has more than {MAX_FILE} bytes"),
                "name a PEM file",
            )),
            Ok(_) => Ok(bytes),
            Err(e) => Err(Fault::new(
                at,
                format!("{file} cannot be read: {}", words(&e)),
                format!("it was looked for at {}", path.display()),
            )),
        }
    }

    /// A certificate and its key.
    pub fn pair(
        &mut self,
        (cert_at, cert): (&str, &text::File),
        (key_at, key): (&str, &text::File),
    ) -> Result<Pair, Vec<Fault>> {
        let chain = self.read(cert_at, cert);
        let secret = self.read(key_at, key);
        let (chain, secret) = match (chain, secret) {
            (Ok(chain), Ok(secret)) => (chain, secret),
            (chain, secret) => {
                return Err([chain.err(), secret.err()].into_iter().flatten().collect())
            }
        };
        let pair =
            pair(&chain, &secret).map_err(|why| vec![why.fault(cert_at, cert, key_at, key)])?;
        if self.strict && pair.not_after < facts::now() {
            let why = format!(
                "the certificate in {cert} ended on {}",
                date(pair.not_after)
            );
            return Err(vec![Fault::new(cert_at, why, "replace it and its key")]);
        }
        Ok(pair)
    }

    /// The authorities in a file.
    pub fn roots(
        &mut self,
        at: &str,
        file: &text::File,
    ) -> Result<(RootCertStore, Vec<u8>), Fault> {
        let bytes = self.read(at, file)?;
        let mut roots = RootCertStore::empty();
        for cert in CertificateDer::pem_slice_iter(&bytes) {
            let added = cert
                .map_err(|_| ())
                .and_then(|c| roots.add(c).map_err(|_| ()));
            added.map_err(|()| {
                Fault::new(
                    at,
                    format!("a certificate in {file} cannot be read"),
                    "replace it",
                )
            })?;
        }
        if roots.is_empty() {
            let why = format!("there is no certificate in {file}");
            return Err(Fault::new(
                at,
                why,
                "name a PEM file with -----BEGIN CERTIFICATE-----",
            ));
        }
        Ok((roots, bytes))
    }

    /// The revocation lists in a file.
    pub fn crls(
        &mut self,
        at: &str,
        file: &text::File,
    ) -> Result<(Vec<CertificateRevocationListDer<'static>>, Vec<u8>), Fault> {
        let bytes = self.read(at, file)?;
        let all: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&bytes).collect();
        match all {
            Ok(all) if !all.is_empty() => Ok((all, bytes)),
            _ => Err(Fault::new(
                at,
                format!("there is no revocation list in {file}"),
                "name a PEM file with -----BEGIN X509 CRL-----",
            )),
        }
    }
}

/// Why two texts are no certificate and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unpaired {
    NoCertificate,
    BadCertificate,
    NoKey,
    EncryptedKey,
    UnknownKey,
    OtherKey,
}

impl Unpaired {
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::NoCertificate => (
                "there is no certificate in",
                "name a PEM file with -----BEGIN CERTIFICATE-----",
            ),
            Self::BadCertificate => ("a certificate cannot be read in", "replace it"),
            Self::NoKey => (
                "there is no private key in",
                "name a PEM file with -----BEGIN PRIVATE KEY-----",
            ),
            Self::EncryptedKey => (
                "the private key is encrypted in",
                "decrypt it, for example with openssl pkey -in FILE -out FILE",
            ),
            Self::UnknownKey => (
                "the private key is of no known kind in",
                "use an ECDSA, Ed25519 or RSA key",
            ),
            Self::OtherKey => (
                "the private key is another certificate's in",
                "name the key that belongs to the certificate",
            ),
        }
    }

    fn fault(self, cert_at: &str, cert: &text::File, key_at: &str, key: &text::File) -> Fault {
        let of_cert = matches!(self, Self::NoCertificate | Self::BadCertificate);
        let (at, file) = if of_cert {
            (cert_at, cert)
        } else {
            (key_at, key)
        };
        let (why, fix) = self.words();
        Fault::new(at, format!("{why} {file}"), fix)
    }
}

/// A certificate chain and its key, PEM.
pub(super) fn pair(chain: &[u8], key: &[u8]) -> Result<Pair, Unpaired> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
    let chain = chain.map_err(|_| Unpaired::BadCertificate)?;
    let first = chain.first().ok_or(Unpaired::NoCertificate)?;
    let read = facts::certificate(first).ok_or(Unpaired::BadCertificate)?;
    let not_before = facts::not_before(first);
    let secret = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        let encrypted = key.windows(9).any(|w| w == b"ENCRYPTED");
        if encrypted {
            Unpaired::EncryptedKey
        } else {
            Unpaired::NoKey
        }
    })?;
    let ips = read.ips.iter().map(|ip| ip.to_string().into());
    let names = read.dns.iter().cloned().chain(ips).collect();
    let secret = provider().key_provider.load_private_key(secret);
    let key = CertifiedKey::new(chain, secret.map_err(|_| Unpaired::UnknownKey)?);
    match key.keys_match() {
        Ok(()) => {}
        Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => return Err(Unpaired::OtherKey),
        Err(_) if facts::is_proof(&key.cert[0]) => {
            // Of a critical extension that it does not know rustls says nothing but that.
            let spki = key.key.public_key();
            if spki.is_some_and(|k| !facts::has_key(&key.cert[0], &k)) {
                return Err(Unpaired::OtherKey);
            }
        }
        Err(_) => return Err(Unpaired::BadCertificate),
    }
    Ok(Pair {
        key,
        names,
        not_before,
        not_after: read.not_after,
    })
}

/// The authorities that this system trusts. They are looked up once.
pub(super) fn system_roots() -> Arc<RootCertStore> {
    static ROOTS: std::sync::OnceLock<Arc<RootCertStore>> = std::sync::OnceLock::new();
    ROOTS
        .get_or_init(|| {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            Arc::new(roots)
        })
        .clone()
}

/// A day, as people and faults write it.
pub(super) fn date(unix: u64) -> String {
    let http = wire::date::imf_fixdate(unix);
    String::from_utf8_lossy(&http[5..16]).into_owned()
}

fn words(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".into(),
        std::io::ErrorKind::PermissionDenied => "permission denied".into(),
        _ => e.to_string(),
    }
}

const MAX_FILE: usize = 4 << 20;
