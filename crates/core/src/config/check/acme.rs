//! `tls.acme`: what the domains, the authority and the other listeners have to be.

use std::collections::HashMap;

use super::tls::is_dns;
use super::{child, most, quote, Config, Fault, Item, Listener};
use crate::config::acme::{Acme, Challenge, MAX_DOMAINS, SECRET};
use crate::config::tls::ListenerTls;

/// Adds to `faults` what is wrong with `acme` of all listeners. Without a `config`, which has other faults, nothing is
/// said of what its parts lack.
pub(super) fn check(
    config: Option<&Config>,
    listeners: &[Item<'_, Listener>],
    faults: &mut Vec<Fault>,
) {
    let mut asked: HashMap<String, (String, &Acme)> = HashMap::new();
    for item in listeners {
        let Some(acme) = item.value.as_ref().and_then(of) else {
            continue;
        };
        let at = format!("{}.tls.acme", item.at);
        one(&at, acme, faults);
        for (i, domain) in acme.domains.iter().enumerate() {
            let at = format!("{at}.domains[{i}]");
            let domain = domain.to_ascii_lowercase();
            match asked.get(&domain) {
                Some((first, other)) if !alike(acme, other) => {
                    faults.push(Fault::new(
                        at,
                        format!(
                            "{} is asked of an authority in another way at {first}",
                            quote(&domain)
                        ),
                        "write the same email, directory, challenge, ca and share, or name it once",
                    ));
                }
                Some(_) => {}
                None => {
                    asked.insert(domain, (at, acme));
                }
            }
        }
        if let Some(config) = config {
            whole(&at, acme, config, listeners, faults);
        }
    }
}

fn of(listener: &Listener) -> Option<&Acme> {
    match listener.tls.as_ref()? {
        ListenerTls::On(tls) => tls.acme.as_ref(),
        ListenerTls::Dev => None,
    }
}

fn one(at: &str, acme: &Acme, faults: &mut Vec<Fault>) {
    let domains = child(at, "domains");
    if acme.domains.is_empty() {
        faults.push(Fault::new(
            &domains,
            "there is no domain",
            "add one such as example.org",
        ));
    }
    most(&domains, acme.domains.len(), MAX_DOMAINS, faults);
    for (i, domain) in acme.domains.iter().enumerate() {
        let at = format!("{domains}[{i}]");
        if domain.starts_with("*.") {
            let why = format!(
                "{} is a wildcard: neither challenge proves one",
                quote(domain)
            );
            let fix =
                "name each host, or get the certificate elsewhere and list it in certificates";
            faults.push(Fault::new(at, why, fix));
        } else if !is_domain(domain) {
            let why = format!("{} is no domain", quote(domain));
            faults.push(Fault::new(at, why, "write a DNS name such as example.org"));
        }
    }
    if let Some(email) = acme.email.as_deref().filter(|e| !is_email(e)) {
        let why = format!("{} is no e-mail address", quote(email));
        faults.push(Fault::new(
            child(at, "email"),
            why,
            "write one such as ops@example.org",
        ));
    }
    if let Some(share) = &acme.share {
        if !SECRET.contains(&share.secret.len()) {
            faults.push(Fault::new(
                format!("{at}.share.secret"),
                format!("is not {} to {} bytes", SECRET.start(), SECRET.end()),
                "make one with: openssl rand -base64 32",
            ));
        }
    }
    if !is_https(&acme.directory) {
        let why = format!("{} is no URL of a directory", quote(&acme.directory));
        let fix = "write one such as https://acme-v02.api.letsencrypt.org/directory";
        faults.push(Fault::new(child(at, "directory"), why, fix));
    }
}

fn whole(
    at: &str,
    acme: &Acme,
    config: &Config,
    listeners: &[Item<'_, Listener>],
    faults: &mut Vec<Fault>,
) {
    if config.state_dir.is_none() {
        faults.push(Fault::on_key(
            at,
            "there is no place to keep keys and certificates in",
            "add state_dir: with a directory of the gateway's own",
        ));
    }
    if acme.share.is_some() && config.store.redis().is_none() {
        faults.push(Fault::on_key(
            child(at, "share"),
            "certificates are shared in a store that several gateways have, and store is memory",
            "write store: { redis: redis://127.0.0.1:6379 } at the top, or remove share",
        ));
    }
    let plain = |l: &Listener| l.tls.is_none();
    if acme.challenge == Challenge::Http01
        && !listeners.iter().filter_map(|l| l.value.as_ref()).any(plain)
    {
        faults.push(Fault::new(
            child(at, "challenge"),
            "http-01 is asked at port 80 without TLS, and there is no such listener",
            "add a listener without tls that port 80 leads to, or write challenge: tls-alpn-01",
        ));
    }
}

/// True if one order would do for both.
fn alike(a: &Acme, b: &Acme) -> bool {
    let all = |acme: &Acme| {
        let Acme {
            email,
            directory,
            challenge,
            ca,
            share,
            ..
        } = acme.clone();
        (email, directory, challenge, ca, share)
    };
    all(a) == all(b)
}

fn is_domain(text: &str) -> bool {
    // An IP address would be a name too, by its characters.
    let last = text.rsplit('.').next().unwrap_or(text);
    is_dns(text) && !last.bytes().all(|b| b.is_ascii_digit())
}

fn is_email(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_graphic() && !matches!(b, b',' | b'?' | b'&');
    text.split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && user.bytes().all(fits) && is_dns(host))
}

fn is_https(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().is_ok()),
        None => (authority, true),
    };
    port && is_dns(host) && url.bytes().all(|b| b.is_ascii_graphic()) && url.len() <= MAX_URL
}

const MAX_URL: usize = 2048;
