//! `tls: dev`: an authority of this machine's own, and a certificate by it for localhost.
//!
//! The authority can vouch for names of this machine only (RFC 5280 section 4.2.1.10), so that a
//! browser that trusts it loses nothing if its key is stolen. It lasts 10 years, the certificate 397
//! days, which is the most that browsers take; 30 days before its end it is replaced.
//!
//! Both lie in `$XDG_STATE_HOME/ironsluice/dev`, by default `~/.local/state/ironsluice/dev`, a folder
//! of mode 0700; keys have mode 0600.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use gateway_core::config::text::File;
use gateway_core::config::Fault;
use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use time::{Duration, OffsetDateTime};

use super::facts;
use super::files::{self, Files, Pair};

/// Where the parts of this machine's development certificate lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevCertificate {
    /// The authority's certificate, which clients are to trust.
    pub ca: PathBuf,
    /// The certificate for localhost.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// True if the authority was made just now.
    pub new: bool,
}

/// Makes what is not there yet, or ends soon.
///
/// # Errors
/// The system's, and that there is no home folder.
pub fn dev_certificate() -> io::Result<DevCertificate> {
    let folder = folder()?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)?;
    let at = |name: &str| folder.join(name);
    let dev = DevCertificate {
        ca: at("ca.pem"),
        cert: at("localhost.pem"),
        key: at("localhost.key"),
        new: false,
    };
    let authority = authority(&dev.ca, &at("ca.key"));
    let (ca, issuer, new) = match authority {
        Some((ca, issuer)) => (ca, issuer, false),
        None => {
            let (ca, issuer) = make_authority(&dev.ca, &at("ca.key"))?;
            (ca, issuer, true)
        }
    };
    if new || !stands(&dev, &ca) {
        make_leaf(&dev, &ca, &issuer)?;
    }
    Ok(DevCertificate { new, ..dev })
}

/// The certificate for localhost.
pub(super) fn pair(files: &mut Files) -> Result<Pair, Fault> {
    let failed = |why: String| {
        Fault::new(
            "",
            why,
            "name certificates of your own, or make the folder writable",
        )
    };
    let dev = dev_certificate()
        .map_err(|e| failed(format!("there can be no development certificate: {e}")))?;
    let file = |path: &Path| File::parse(&path.to_string_lossy()).map_err(|w| failed(w.why));
    let (cert, key) = (file(&dev.cert)?, file(&dev.key)?);
    let read = files.pair(("", &cert), ("", &key));
    read.map_err(|mut faults| faults.remove(0))
}

fn folder() -> io::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
    let state = set("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(set("HOME")?).join(".local/state")))
        .ok_or_else(|| io::Error::other("neither XDG_STATE_HOME nor HOME is set"))?;
    Ok(state.join("ironsluice/dev"))
}

type Authority = Issuer<'static, KeyPair>;

fn authority(cert: &Path, key: &Path) -> Option<(String, Authority)> {
    let ca = fs::read_to_string(cert).ok()?;
    let key = fs::read_to_string(key).ok()?;
    let pair = files::pair(ca.as_bytes(), key.as_bytes()).ok()?;
    if pair.not_after < facts::now() + RENEW {
        return None;
    }
    let issuer = Issuer::from_ca_cert_pem(&ca, KeyPair::from_pem(&key).ok()?).ok()?;
    Some((ca, issuer))
}

fn make_authority(cert: &Path, key: &Path) -> io::Result<(String, Authority)> {
    let mut params = params(Vec::new(), 3650)?;
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = format!("Ironsluice development authority of {}", host.trim());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let below = |ip: &str, prefix| {
        let ip: IpAddr = ip.parse().expect("an address");
        GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(ip, prefix))
    };
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![
            GeneralSubtree::DnsName("localhost".into()),
            below("127.0.0.0", 8),
            below("::1", 128),
        ],
        excluded_subtrees: Vec::new(),
    });
    let secret = KeyPair::generate().map_err(io::Error::other)?;
    let ca = params.self_signed(&secret).map_err(io::Error::other)?.pem();
    write(key, &secret.serialize_pem(), 0o600)?;
    write(cert, &ca, 0o644)?;
    Ok((ca, Issuer::new(params, secret)))
}

/// True if the certificate is the authority's and good for a while.
fn stands(dev: &DevCertificate, ca: &str) -> bool {
    let read = |p: &Path| fs::read(p).unwrap_or_default();
    let chain = read(&dev.cert);
    let pair = files::pair(&chain, &read(&dev.key));
    // The chain ends with the authority that made it.
    chain.ends_with(ca.as_bytes())
        && pair.is_ok_and(|p| {
            p.not_after > facts::now() + RENEW && p.names.iter().map(AsRef::as_ref).eq(NAMES)
        })
}

fn make_leaf(dev: &DevCertificate, ca: &str, issuer: &Authority) -> io::Result<()> {
    let mut params = params(NAMES.map(str::to_owned).to_vec(), 397)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let secret = KeyPair::generate().map_err(io::Error::other)?;
    let leaf = params
        .signed_by(&secret, issuer)
        .map_err(io::Error::other)?;
    write(&dev.key, &secret.serialize_pem(), 0o600)?;
    write(&dev.cert, &(leaf.pem() + ca), 0o644)
}

fn params(names: Vec<String>, days: i64) -> io::Result<CertificateParams> {
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    let now = OffsetDateTime::from_unix_timestamp(facts::now() as i64).map_err(io::Error::other)?;
    // Clocks differ a little.
    params.not_before = now - Duration::hours(1);
    params.not_after = params.not_before + Duration::days(days);
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params)
}

/// A file is whole or not there.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    let _left_over = fs::remove_file(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}

/// What the certificate is for. `*.localhost` is not among them: verifiers want two labels behind a star, and
/// one such name makes webpki, which checks all names against the authority's constraints, refuse the others too.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// Seconds before its end at which a certificate is replaced: 30 days.
const RENEW: u64 = 30 * 86_400;
