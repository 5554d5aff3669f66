//! What a gateway does for an ACME authority, and for certificates that are still to come.

mod kit;

use std::sync::Arc;

use kit::tls::{self, client_config, Authority, Folder, Leaf};
use kit::{config_to, Client, Edge, Origin};
use rcgen::{CertificateParams, CustomExtension, KeyPair};

/// TLS with domains of which the certificates are to come, and more.
fn acme(more: &str) -> String {
    format!(
        r#"{{ "acme": {{ "domains": ["b.example", "C.example"], "terms": "accepted" }} {more} }}"#
    )
}

fn kept(config: &str) -> String {
    config.replacen('{', r#"{ "state_dir": "never-written", "#, 1)
}

fn publish(edge: &Edge, name: &str, leaf: &Leaf) {
    let published =
        edge.gateway
            .publish_certificate(name, leaf.cert.as_bytes(), leaf.key.as_bytes());
    published.unwrap_or_else(|e| panic!("{name}: {e}"));
}

#[test]
fn tokens_that_are_known_are_answered_ahead_of_routes() {
    let origin = Origin::echo();
    let edge = Edge::start(&config_to(&[origin.at], "{}", "[]"));
    let g = &edge.gateway;
    assert!(g.set_http_challenge("abc-_9", "abc-_9.print"));
    for bad in ["", "a/b", "a.b", "ä", &"a".repeat(257)] {
        assert!(!g.set_http_challenge(bad, "answer"), "{bad}");
    }
    assert!(!g.set_http_challenge("long", &"a".repeat(1025)));

    let at = "/.well-known/acme-challenge/";
    let known = format!("{at}abc-_9");
    // The same connection for all: an answer leaves it as it was.
    let mut client = Client::connect(edge.at());
    for (method, path, is_answered) in [
        ("GET", known.clone(), true),
        ("HEAD", known.clone(), true),
        ("POST", known.clone(), false),
        ("GET", format!("{known}?query"), true),
        ("GET", format!("{known}/"), false),
        ("GET", format!("{at}abc"), false),
        ("GET", at.to_owned(), false),
        ("GET", "/.well-known/acme-challeng".to_owned(), false),
        ("GET", known.clone(), true),
    ] {
        let before = origin.requests().len();
        client.send(format!(
            "{method} {path} HTTP/1.1\r\nHost: any.example\r\nContent-Length: 0\r\n\r\n"
        ));
        let answer = client.try_response(method).expect("an answer");
        assert_eq!(answer.status, 200, "{method} {path}");
        let reached = origin.requests().len() - before;
        assert_eq!(reached, usize::from(!is_answered), "{method} {path}");
        if is_answered {
            let body: &[u8] = if method == "GET" {
                b"abc-_9.print"
            } else {
                b""
            };
            assert_eq!(answer.body, body, "{method} {path}");
            assert_eq!(
                answer.field("content-type"),
                Some("application/octet-stream")
            );
        }
    }
    assert!(g.clear_http_challenge("abc-_9") && !g.clear_http_challenge("abc-_9"));
    client.get(&known);
    assert_eq!(
        origin.requests().last().map(|r| r.head.contains(&known)),
        Some(true)
    );
}

#[test]
fn before_a_certificate_is_there_handshakes_are_refused() {
    let authority = Authority::new("the authority");
    let origin = Origin::echo();
    let edge = Edge::start(&kept(&tls::config(origin.at, &acme(""), "{}")));
    let trusting = Arc::new(client_config(&authority.roots(), None));
    let ask = |host: &str| tls::get(edge.at(), host, &trusting).map(|r| r.status);
    for host in ["b.example", "z.example"] {
        let refused = ask(host).expect_err("there is none");
        assert!(refused.contains("AccessDenied"), "{refused}");
    }
    let told = edge.gateway.metrics_json();
    assert!(
        told.contains(r#"{"labels":{"code":"no_certificate"},"value":2}"#),
        "{told}"
    );

    publish(
        &edge,
        "b.example",
        &authority.server(&["b.example", "z.example"]),
    );
    assert_eq!(ask("b.example"), Ok(200));
    assert_eq!(
        ask("z.example"),
        Ok(200),
        "the first domain's is for all others"
    );
    publish(&edge, "c.example", &authority.server(&["c.example"]));
    assert_eq!(ask("c.example"), Ok(200));
}

#[test]
fn what_was_issued_before_is_served_from_the_start() {
    let authority = Authority::new("the authority");
    let origin = Origin::echo();
    let leaf = authority.server(&["b.example"]);
    let of = |name: &str, cert: &str| net::Kept {
        name: name.into(),
        cert: cert.into(),
        key: leaf.key.clone(),
    };
    let config = kept(&tls::config(origin.at, &acme(""), "{}"));
    let prepared = net::Prepared {
        // One that cannot be used stops nothing.
        certificates: vec![
            of("c.example", "no certificate"),
            of("b.example", &leaf.cert),
        ],
        ..net::Prepared::default()
    };
    let parsed = gateway_core::config::parse(&config).expect("a config");
    let gateway = net::Gateway::start_with(parsed, prepared).expect("it starts");
    let at = gateway.addresses()[0].1;
    let trusting = Arc::new(client_config(&authority.roots(), None));
    assert_eq!(
        tls::get(at, "b.example", &trusting).map(|r| r.status),
        Ok(200)
    );
}

#[test]
fn at_domains_to_come_the_listener_asks_for_certificates_of_clients() {
    let authority = Authority::new("the authority");
    let clients = Authority::new("the authority of clients");
    let origin = Origin::echo();
    let folder = Folder::new();
    folder
        .pair("a", &authority.server(&["a.example"]))
        .put("ca.pem", &clients.pem);
    let open = r#", "certificates": [{ "cert": "a.pem", "key": "a.key", "client": { "mode": "none" } }],
        "client": { "mode": "required", "ca": "ca.pem" }"#;
    let config = kept(&tls::config(origin.at, &acme(open), "{}"));
    let edge = Edge::start_in(&folder.0, &config);
    publish(&edge, "b.example", &authority.server(&["b.example"]));

    let nobody = Arc::new(client_config(&authority.roots(), None));
    let known = clients.client(&["alice.example"], &[]);
    let known = Arc::new(client_config(&authority.roots(), Some(&known)));
    let ask = |host: &str, who: &Arc<_>| tls::get(edge.at(), host, who).map(|r| r.status);
    assert_eq!(ask("a.example", &nobody), Ok(200));
    let refused = ask("b.example", &nobody).expect_err("a certificate is required");
    assert!(refused.contains("CertificateRequired"), "{refused}");
    assert_eq!(ask("b.example", &known), Ok(200));
    // Nor is the one the way to the other.
    let mut client = tls::connect(edge.at(), "a.example", &nobody).expect("secure");
    client.send("GET / HTTP/1.1\r\nHost: b.example\r\n\r\n");
    assert_eq!(client.response().status, 421);
}

#[test]
fn a_proof_has_an_extension_that_nothing_else_knows() {
    let origin = Origin::echo();
    let edge = Edge::start(&kept(&tls::config(origin.at, &acme(""), "{}")));
    let mut params = CertificateParams::new(vec!["b.example".to_owned()]).expect("a name");
    let digest = CustomExtension::new_acme_identifier(&[7; 32]);
    params.custom_extensions = vec![digest];
    let (key, other) = (KeyPair::generate(), KeyPair::generate());
    let (key, other) = (key.expect("a key"), other.expect("a key"));
    let cert = params.self_signed(&key).expect("a certificate").pem();
    let set = |key: &KeyPair| {
        let key = key.serialize_pem();
        edge.gateway
            .set_challenge("b.example", cert.as_bytes(), key.as_bytes())
    };
    assert!(matches!(set(&other), Err(net::Unpublished::Bad(_))));
    assert_eq!(set(&key), Ok(()));
}

#[test]
fn orders_are_counted() {
    let origin = Origin::echo();
    let edge = Edge::start(&config_to(&[origin.at], "{}", "[]"));
    assert_eq!(edge.counter("acme_orders"), 0);
    for failure in [
        None,
        Some("directory"),
        Some("challenge"),
        Some("directory"),
    ] {
        edge.gateway.count_order(failure);
    }
    assert_eq!(edge.counter("acme_orders"), 4);
    let told = edge.gateway.metrics_json();
    for (code, n) in [("challenge", 1), ("directory", 2)] {
        let row = format!(r#"{{"labels":{{"code":"{code}"}},"value":{n}}}"#);
        assert!(told.contains(&row), "{row} in {told}");
    }
    for n in 0..40 {
        edge.gateway.count_order(Some(&format!("code{n}")));
    }
    let told = edge.gateway.metrics_json();
    assert!(
        told.contains(r#"{"labels":{"code":"_other"},"value":10}"#),
        "{told}"
    );
}
