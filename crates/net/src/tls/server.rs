//! TLS of a listener: which certificate a client is shown, and what is asked of the client.
//!
//! Everything that a handshake needs lies in one [`Served`], which is replaced as a whole when a file
//! changes: handshakes that began go on with the old one.
//!
//! A ticket is good for the host it was given for (rustls sees to that), and only where exactly the
//! same is asked of clients: its keys belong to the policy, so that a client that was let in without a
//! certificate at one host does not come in by its ticket at another.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use gateway_core::config::{
    Acme, ClientAuth, ClientAuthMode, ClientCertForward, Fault, ListenerTls, TlsServer, TlsVersion,
};
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::ServerConfig;

use super::allow::Allowed;
use super::files::{Files, Pair, Stamp};
use super::names::{Named, Names};
use super::published::Published;
use super::tickets::Tickets;
use super::{dev, provider, versions};

/// What is spoken inside of TLS, the best first. Whoever adds a protocol adds it here, and asks
/// [`crate::conns::Conns::alpn`] which was agreed on once a handshake is done.
const PROTOCOLS: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];

/// TLS of one listener.
pub(crate) struct ServerTls {
    served: RwLock<Arc<Served>>,
    published: Arc<Published>,
    /// Whether HTTP/2 is offered.
    http2: bool,
}

/// What is served until a file changes.
pub(super) struct Served {
    configs: Vec<Arc<ServerConfig>>,
    /// A name for each policy, equal for those that ask for the same, also over changes of config.
    policies: Vec<u64>,
    /// For each policy, what upstreams are told.
    forwards: Vec<ClientCertForward>,
    names: Arc<Names>,
    stamps: Vec<Stamp>,
}

/// What a client gets.
pub(super) struct Chosen {
    pub config: Arc<ServerConfig>,
    pub policy: u64,
    pub forward: ClientCertForward,
}

/// A certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Its first name.
    pub name: String,
    /// When it ends, seconds since 1970.
    pub not_after: u64,
}

/// All that certificates are made from, beside the config.
pub(super) struct Ground<'a> {
    pub folder: &'a Path,
    pub tickets: &'a Tickets,
    pub published: &'a Arc<Published>,
    /// True to refuse what is of no use to anybody, such as a certificate that has ended.
    pub strict: bool,
    /// True to make no file.
    pub trial: bool,
}

impl ServerTls {
    /// # Errors
    /// What is wrong with the files; `at` is the path of the key.
    pub(super) fn new(
        at: &str,
        tls: &ListenerTls,
        http2: bool,
        ground: &Ground<'_>,
    ) -> Result<Self, Vec<Fault>> {
        let (served, _) = Served::build(at, tls, http2, ground, None)?;
        Ok(Self {
            http2,
            served: RwLock::new(Arc::new(served)),
            published: ground.published.clone(),
        })
    }

    /// Reads files again that have changed. What cannot be used is reported, and the old stays.
    pub(super) fn look(
        &self,
        at: &str,
        tls: &ListenerTls,
        ground: &Ground<'_>,
    ) -> Option<Vec<Fault>> {
        let served = self.served();
        if !served.stamps.iter().any(Stamp::changed) {
            return None;
        }
        Some(
            match Served::build(at, tls, self.http2, ground, Some(&served)) {
                Ok((mut next, faults)) => {
                    if !faults.is_empty() {
                        // They are read again at the next look, until they are good.
                        next.stamps.clone_from(&served.stamps);
                    }
                    *self.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
                    faults
                }
                Err(faults) => faults,
            },
        )
    }

    fn served(&self) -> Arc<Served> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        served.clone()
    }

    pub(super) fn choose(&self, hello: &ClientHello<'_>) -> Chosen {
        if let Some(config) = self.published.challenge(hello) {
            return Chosen {
                config,
                policy: 0,
                forward: ClientCertForward::None,
            };
        }
        let served = self.served();
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let policy = served.names.policy(name.as_deref());
        Chosen {
            config: served.configs[usize::from(policy)].clone(),
            policy: served.policies[usize::from(policy)],
            forward: served.forwards[usize::from(policy)],
        }
    }

    /// True if a request for this host may come by a connection under this policy: what was asked
    /// of its client must be what is asked at that host.
    pub fn fits(&self, policy: u64, host: &[u8]) -> bool {
        let served = self.served();
        if let [only] = served.policies[..] {
            return only == policy;
        }
        let len = wire::authority::host_len(host).unwrap_or(host.len());
        let host = String::from_utf8_lossy(&host[..len]).to_ascii_lowercase();
        let asked = served.names.policy(Some(&host));
        served.policies[usize::from(asked)] == policy
    }

    /// The certificates that are served.
    pub fn serving(&self) -> Vec<Serving> {
        let served = self.served();
        let all = served.names.all().iter();
        all.map(|n| Serving {
            name: n
                .names
                .first()
                .map_or_else(|| "_".into(), ToString::to_string),
            not_after: n.not_after,
        })
        .collect()
    }
}

impl Served {
    /// With what is served `now`, a pair that cannot be used is replaced by what it was, and
    /// reported beside.
    fn build(
        at: &str,
        tls: &ListenerTls,
        http2: bool,
        ground: &Ground<'_>,
        now: Option<&Self>,
    ) -> Result<(Self, Vec<Fault>), Vec<Fault>> {
        let mut files = Files::of(ground.folder);
        files.strict = ground.strict;
        files.trial = ground.trial;
        let server = tls.server();
        let mut faults = Vec::new();
        let pairs = pairs(at, tls, &mut files, now, &mut faults);
        let mut policies: Vec<Policy> = Vec::new();
        let mut names = Names::default();
        let whole = policy(
            &format!("{at}.client"),
            &server.client,
            &mut files,
            &mut faults,
        );
        let mut index = |p: Policy| {
            let known = policies.iter().position(|q| q.identity == p.identity);
            known.unwrap_or_else(|| {
                policies.push(p);
                policies.len() - 1
            }) as u16
        };
        for (i, pair) in pairs.into_iter().enumerate() {
            let own = server.certificates.get(i).and_then(|c| c.client.as_ref());
            let own = own.map(|auth| {
                let at = format!("{at}.certificates[{i}].client");
                policy(&at, auth, &mut files, &mut faults)
            });
            let policy = own.unwrap_or_else(|| whole.clone()).map(&mut index);
            let (Some(mut named), Some(policy)) = (pair, policy) else {
                continue;
            };
            named.policy = policy;
            names.add(named);
        }
        if let Some(acme) = &server.acme {
            authority(&format!("{at}.acme"), acme, ground, &mut faults);
            let domains = acme.domains.iter().map(|d| d.to_ascii_lowercase().into());
            if let Some(policy) = whole.map(&mut index) {
                names.expect(domains.collect(), policy);
            }
        }
        // A client policy that cannot be read never falls back to another.
        let usable = if now.is_some() {
            faults.iter().all(|f| !f.path.contains(".client"))
                && (!names.all().is_empty() || server.acme.is_some())
        } else {
            faults.is_empty()
        };
        if !usable {
            return Err(faults);
        }
        let names = Arc::new(names);
        let configs = policies
            .iter()
            .map(|p| p.config(&server, http2, &names, ground));
        let served = Self {
            configs: configs.collect(),
            policies: policies
                .iter()
                .map(|p| algo::stable_hash(&p.identity))
                .collect(),
            forwards: policies.iter().map(|p| p.forward).collect(),
            names,
            stamps: files.stamps,
        };
        Ok((served, faults))
    }
}

/// The certificates of a listener, by their place; none where there is a fault and nothing stood.
fn pairs(
    at: &str,
    tls: &ListenerTls,
    files: &mut Files,
    now: Option<&Served>,
    faults: &mut Vec<Fault>,
) -> Vec<Option<Named>> {
    let named = |pair: Pair| Named {
        key: Arc::new(pair.key),
        policy: 0,
        names: pair.names,
        not_after: pair.not_after,
    };
    let ListenerTls::On(server) = tls else {
        if files.trial {
            // It is made at the start.
            return Vec::new();
        }
        return vec![dev::pair(files)
            .map(named)
            .map_err(|f| faults.push(Fault::new(at, f.why, f.fix)))
            .ok()];
    };
    let mut all = Vec::new();
    for (i, c) in server.certificates.iter().enumerate() {
        let at = format!("{at}.certificates[{i}]");
        let (cert, key) = (format!("{at}.cert"), format!("{at}.key"));
        let read = files.pair((&cert, &c.cert), (&key, &c.key));
        all.push(match read {
            Ok(pair) if i > 0 && pair.names.is_empty() => {
                let why = format!("the certificate in {} has no alternative name", c.cert);
                faults.push(Fault::new(
                    cert,
                    why,
                    "without one it is never chosen: remove it, or put it first",
                ));
                None
            }
            Ok(pair) => Some(named(pair)),
            Err(why) => {
                faults.extend(why);
                now.and_then(|n| n.names.all().get(i).cloned())
            }
        });
    }
    all
}

/// What vouches for the directory is read at each order: here it is looked at only.
fn authority(at: &str, acme: &Acme, ground: &Ground<'_>, faults: &mut Vec<Fault>) {
    let Some(ca) = &acme.ca else { return };
    let read = Files::of(ground.folder).roots(&format!("{at}.ca"), ca);
    faults.extend(read.err());
}

/// What is asked of clients.
#[derive(Clone)]
struct Policy {
    /// Equal for policies that ask for the same.
    identity: Vec<u8>,
    forward: ClientCertForward,
    verifier: Option<Arc<dyn rustls::server::danger::ClientCertVerifier>>,
}

fn policy(
    at: &str,
    auth: &ClientAuth,
    files: &mut Files,
    faults: &mut Vec<Fault>,
) -> Option<Policy> {
    let Some(ca) = auth
        .ca
        .as_ref()
        .filter(|_| auth.mode != ClientAuthMode::None)
    else {
        return Some(Policy {
            identity: Vec::new(),
            forward: ClientCertForward::None,
            verifier: None,
        });
    };
    let (roots, mut identity) = files
        .roots(&format!("{at}.ca"), ca)
        .map_err(|f| faults.push(f))
        .ok()?;
    let mut builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider().clone());
    if let Some(crl) = &auth.crl {
        let at = format!("{at}.crl");
        let (lists, bytes) = files.crls(&at, crl).map_err(|f| faults.push(f)).ok()?;
        identity.extend_from_slice(&bytes);
        builder = builder
            .with_crls(lists)
            .only_check_end_entity_revocation()
            .allow_unknown_revocation_status();
    }
    if auth.mode == ClientAuthMode::Optional {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build().map_err(|e| {
        faults.push(Fault::new(
            at,
            format!("it cannot be used: {e}"),
            "mend the files",
        ));
    });
    identity.extend([auth.mode as u8, auth.forward as u8]);
    for name in &auth.san {
        identity.extend_from_slice(name.as_bytes());
        identity.push(0);
    }
    Some(Policy {
        identity,
        forward: auth.forward,
        verifier: Some(Allowed::of(verifier.ok()?, &auth.san)),
    })
}

impl Policy {
    fn config(
        &self,
        tls: &TlsServer,
        http2: bool,
        names: &Arc<Names>,
        ground: &Ground<'_>,
    ) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider().clone())
            .with_protocol_versions(versions(tls.min_version == TlsVersion::V13))
            .expect("the provider has suites for both versions");
        let builder = match &self.verifier {
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
            None => builder.with_no_client_auth(),
        };
        let resolver = Resolver {
            names: names.clone(),
            published: ground.published.clone(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        let spoken = &PROTOCOLS[usize::from(!http2)..];
        config.alpn_protocols = spoken.iter().map(|p| p.to_vec()).collect();
        config.ignore_client_order = true;
        // Sessions kept here would be of one policy's config, but not survive the next: tickets do.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match tls
            .tickets
            .then(|| ground.tickets.of(&self.identity))
            .flatten()
        {
            Some(ticketer) => config.ticketer = ticketer,
            None => config.send_tls13_tickets = 0,
        }
        Arc::new(config)
    }
}

/// Finds the certificate for the host that a client asks for.
#[derive(Debug)]
struct Resolver {
    names: Arc<Names>,
    published: Arc<Published>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let speaks =
            |key: &CertifiedKey| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let best = |all: &[u16]| {
            // Of several with one name, such as ECDSA and RSA, the first that the client can verify.
            let keys = || all.iter().map(|i| &self.names.get(*i).key);
            keys()
                .find(|k| speaks(k))
                .or_else(|| keys().next())
                .cloned()
        };
        let first = || {
            let own = self.names.all().first().map(|n| n.key.clone());
            own.or_else(|| self.published.find(self.names.first_expected()?))
        };
        let Some(name) = hello.server_name().map(str::to_ascii_lowercase) else {
            return first();
        };
        let named = self.names.exact(&name).and_then(best);
        named
            .or_else(|| self.published.find(&name))
            .or_else(|| self.names.wild(&name).and_then(best))
            .or_else(first)
    }
}
