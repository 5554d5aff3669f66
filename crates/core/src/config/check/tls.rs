//! `tls`: keys that need each other. What is in the files is judged where they are read.

use std::net::IpAddr;

use super::{child, most, quote, Fault, Item, Listener, Upstream, MAX_CHOICES};
use crate::config::tls::{
    ClientAuth, ClientAuthMode, ClientCertForward, ListenerTls, UpstreamTls, MAX_CERTIFICATES,
};
use crate::config::{Address, Duration};

/// Adds to `faults` what is wrong with TLS of a listener.
pub(super) fn listener(item: &Item<'_, Listener>, faults: &mut Vec<Fault>) {
    let Some(ListenerTls::On(tls)) = item.value.as_ref().and_then(|l| l.tls.as_ref()) else {
        return;
    };
    let at = child(&item.at, "tls");
    let list = item.raw.pointer("/tls/certificates");
    let none = list
        .and_then(serde_json::Value::as_array)
        .is_none_or(Vec::is_empty);
    // What was written there may be at fault itself.
    let acme = item.raw.pointer("/tls/acme").is_some();
    if none && !acme && list.is_none_or(serde_json::Value::is_array) {
        faults.push(Fault::new(
            child(&at, "certificates"),
            "there is no certificate",
            "add one such as { cert: a.pem, key: a.key }, add acme:, or write tls: dev for localhost",
        ));
    }
    let certificates = child(&at, "certificates");
    most(
        &certificates,
        tls.certificates.len(),
        MAX_CERTIFICATES,
        faults,
    );
    client(&child(&at, "client"), &tls.client, faults);
    for (i, c) in tls.certificates.iter().enumerate() {
        if let Some(auth) = &c.client {
            client(&format!("{certificates}[{i}].client"), auth, faults);
        }
    }
    let (least, longest) = (Duration::ms(100), Duration::secs(600));
    if tls.handshake_timeout < least || tls.handshake_timeout > longest {
        faults.push(Fault::new(
            child(&at, "handshake_timeout"),
            format!("{} is not {least} to {longest}", tls.handshake_timeout),
            "write a time such as 10s",
        ));
    }
}

fn client(at: &str, auth: &ClientAuth, faults: &mut Vec<Fault>) {
    if auth.mode == ClientAuthMode::None {
        let keys = [
            ("ca", auth.ca.is_some()),
            ("crl", auth.crl.is_some()),
            ("san", !auth.san.is_empty()),
            ("forward", auth.forward != ClientCertForward::None),
        ];
        for (key, _) in keys.iter().filter(|(_, there)| *there) {
            faults.push(Fault::on_key(
                child(at, key),
                format!("without a mode no client is asked for a certificate: {key} has no effect"),
                "write mode: required or mode: optional, or remove it",
            ));
        }
        return;
    }
    if auth.ca.is_none() {
        faults.push(Fault::on_key(
            child(at, "ca"),
            "there is no authority that vouches for clients",
            "add ca: with a PEM file",
        ));
    }
    most(&child(at, "san"), auth.san.len(), MAX_CHOICES, faults);
    for (i, name) in auth.san.iter().enumerate() {
        if !is_name(name) {
            faults.push(Fault::new(
                format!("{at}.san[{i}]"),
                format!("{} is no name that a certificate has", quote(name)),
                "write a DNS name, a URI such as spiffe://a.example/ns/*, an e-mail address or an IP address",
            ));
        }
    }
}

/// Adds to `faults` what is wrong with TLS of an upstream.
pub(super) fn upstream(item: &Item<'_, Upstream>, faults: &mut Vec<Fault>) {
    let Some((upstream, tls)) = item.value.as_ref().and_then(|u| Some((u, u.tls.as_ref()?))) else {
        return;
    };
    let at = child(&item.at, "tls");
    pair(&at, tls, faults);
    if let Some(sni) = &tls.sni {
        if !is_dns(sni) && sni.parse::<IpAddr>().is_err() {
            faults.push(Fault::new(
                child(&at, "sni"),
                format!("{} is no host", quote(sni)),
                "write a DNS name or an IP address",
            ));
        }
    } else if tls.verify {
        let unix = |a: &Address| matches!(a, Address::Unix(_));
        if upstream.endpoints.iter().any(|e| unix(&e.address)) {
            faults.push(Fault::on_key(
                child(&at, "sni"),
                "a Unix socket has no host that a certificate could have",
                "add sni: with the name in the certificate",
            ));
        }
    }
    if !tls.verify && tls.ca.is_some() {
        faults.push(Fault::on_key(
            child(&at, "ca"),
            "with verify: false nobody's certificate is looked at: ca has no effect",
            "remove verify: false, or ca",
        ));
    }
}

fn pair(at: &str, tls: &UpstreamTls, faults: &mut Vec<Fault>) {
    let (has, lacks) = match (&tls.client_cert, &tls.client_key) {
        (Some(_), None) => ("client_cert", "client_key"),
        (None, Some(_)) => ("client_key", "client_cert"),
        _ => return,
    };
    faults.push(Fault::on_key(
        child(at, lacks),
        format!("{has} is of no use without {lacks}"),
        format!("add {lacks}:"),
    ));
}

fn is_name(text: &str) -> bool {
    if let Some((scheme, rest)) = text.split_once("://") {
        let stars = rest.matches('*').count();
        return !scheme.is_empty()
            && !rest.is_empty()
            && (stars == 0 || stars == 1 && rest.ends_with('*'))
            && text.is_ascii();
    }
    if let Some((user, host)) = text.split_once('@') {
        return !user.is_empty() && is_dns(host);
    }
    is_dns(text.strip_prefix("*.").unwrap_or(text)) || text.parse::<IpAddr>().is_ok()
}

pub(super) fn is_dns(text: &str) -> bool {
    let label = |l: &str| {
        let inner = l
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        (1..=63).contains(&l.len()) && inner
    };
    text.len() <= 253 && text.split('.').all(label)
}
