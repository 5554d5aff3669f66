//! Clients that must, or may, show certificates: who comes in, and that nobody else reaches an
//! upstream.

mod kit;

use std::sync::Arc;

use kit::tls::{self, client_config, config, one, Authority, Folder, Leaf, Wish};
use kit::{Edge, Origin};
use rcgen::ExtendedKeyUsagePurpose::ServerAuth;

struct Ground {
    servers: Authority,
    clients: Authority,
    origin: Origin,
    folder: Folder,
}

fn ground() -> Ground {
    let servers = Authority::new("of servers");
    let clients = Authority::new("of clients");
    let folder = Folder::new();
    folder.pair("a", &servers.server(&["a.example"]));
    folder.put("ca.pem", &clients.pem);
    Ground {
        servers,
        clients,
        origin: Origin::echo(),
        folder,
    }
}

impl Ground {
    fn edge(&self, client: &str) -> Edge {
        let tls = one(&format!(", \"client\": {client}"));
        Edge::start_in(&self.folder.0, &config(self.origin.at, &tls, "{}"))
    }

    /// 200, or how it was refused.
    fn ask(&self, edge: &Edge, shows: Option<&Leaf>, old: bool) -> Result<u16, String> {
        let mut config = client_config(&self.servers.roots(), shows);
        if old {
            let (roots, version) = (self.servers.roots(), &rustls::version::TLS12);
            config = match shows {
                None => tls::client_of(&roots, version),
                Some(leaf) => tls::client_of_with(&roots, version, leaf),
            };
        }
        tls::get(edge.at(), "a.example", &Arc::new(config)).map(|r| r.status)
    }
}

#[test]
fn who_comes_in() {
    let g = ground();
    let other = Authority::new("of others");
    // The same name as the right one, but another key.
    let twin = Authority::new("of clients");
    let good = g
        .clients
        .client(&["alice.example"], &["spiffe://td/ns/alice"]);
    let expired = g.clients.make(Wish {
        names: &["old.example"],
        usage: rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        days: -1,
        ..Wish::default()
    });
    let early = g.clients.make(Wish {
        names: &["early.example"],
        usage: rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        days: 90,
        ..Wish::default()
    });
    let wrong_use = g.clients.make(Wish {
        names: &["server.example"],
        usage: ServerAuth,
        ..Wish::default()
    });
    let wrong_ca = other.client(&["alice.example"], &[]);
    let wrong_key = twin.client(&["alice.example"], &[]);
    let long = Leaf {
        cert: format!("{}{}", good.cert, g.clients.pem.repeat(12)),
        key: good.key.clone(),
    };
    let revoked = g.clients.make(Wish {
        names: &["gone.example"],
        usage: rcgen::ExtendedKeyUsagePurpose::ClientAuth,
        serial: 77,
        ..Wish::default()
    });
    let uri_as_dns = g.clients.client(&["spiffe.td"], &["https://alice.example"]);
    g.folder.put("crl.pem", &g.clients.revoke(77));

    let required = g.edge(r#"{ "mode": "required", "ca": "ca.pem", "crl": "crl.pem" }"#);
    let optional = g.edge(r#"{ "mode": "optional", "ca": "ca.pem", "crl": "crl.pem" }"#);
    let listed = g.edge(
        r#"{ "mode": "required", "ca": "ca.pem", "san": ["spiffe://td/ns/*", "alice.example"] }"#,
    );
    let none = g.edge(r#"{ "mode": "none" }"#);
    let refused = |why: &'static str| Err(why);
    for (what, shows, in_required, in_optional, in_listed) in [
        (
            "nobody",
            None,
            refused("CertificateRequired"),
            Ok(200),
            refused("CertificateRequired"),
        ),
        ("a good one", Some(&good), Ok(200), Ok(200), Ok(200)),
        (
            "one that has ended",
            Some(&expired),
            refused("Expired"),
            refused("Expired"),
            refused("Expired"),
        ),
        (
            "one to come",
            Some(&early),
            refused("Certificate"),
            refused("Certificate"),
            refused("Certificate"),
        ),
        (
            "a server's",
            Some(&wrong_use),
            refused("Certificate"),
            refused("Certificate"),
            refused("Certificate"),
        ),
        (
            "another authority's",
            Some(&wrong_ca),
            refused("UnknownCA"),
            refused("UnknownCA"),
            refused("UnknownCA"),
        ),
        (
            "a twin authority's",
            Some(&wrong_key),
            refused("Decrypt"),
            refused("Decrypt"),
            refused("Decrypt"),
        ),
        (
            "a revoked one",
            Some(&revoked),
            refused("Revoked"),
            refused("Revoked"),
            refused("AccessDenied"),
        ),
        (
            "a URI for a name",
            Some(&uri_as_dns),
            Ok(200),
            Ok(200),
            refused("AccessDenied"),
        ),
        ("a long chain", Some(&long), Ok(200), Ok(200), Ok(200)),
    ] {
        for old in [false, true] {
            let asked = [
                (&required, &in_required),
                (&optional, &in_optional),
                (&listed, &in_listed),
            ];
            for (n, (edge, wanted)) in asked.into_iter().enumerate() {
                let before = g.origin.requests().len();
                let got = g.ask(edge, shows, old);
                let reached = g.origin.requests().len() - before;
                match (wanted, &got) {
                    (Ok(status), Ok(got)) => {
                        assert_eq!((status, reached), (got, 1), "{what} {n} {old}");
                    }
                    // TLS 1.2 has other words for some.
                    (Err(why), Err(e)) => {
                        assert!(old || e.contains(why), "{what} {n}: {e}");
                        assert_eq!(reached, 0, "{what} {n} {old}: nothing reaches the upstream");
                    }
                    _ => panic!("{what} {n} {old}: {got:?} where {wanted:?} was to be"),
                }
            }
            assert_eq!(g.ask(&none, shows, old), Ok(200), "nobody is asked: {what}");
        }
    }
    let told = required.gateway.metrics_json();
    for code in [
        "certificate_missing",
        "certificate_expired",
        "certificate_revoked",
        "certificate_unknown",
    ] {
        assert!(
            told.contains(&format!("\"code\":\"{code}\"")),
            "{code} is counted: {told}"
        );
    }
}

#[test]
fn two_policies_on_one_listener_do_not_mix() {
    let g = ground();
    g.folder
        .pair("b", &g.servers.server(&["b.example", "c.example"]));
    let tls = r#"{ "certificates": [{ "cert": "a.pem", "key": "a.key" },
        { "cert": "b.pem", "key": "b.key", "client": { "mode": "required", "ca": "ca.pem" } }] }"#;
    let edge = Edge::start_in(&g.folder.0, &config(g.origin.at, tls, "{}"));
    let good = g.clients.client(&["alice.example"], &[]);
    let open = Arc::new(client_config(&g.servers.roots(), None));
    let known = Arc::new(client_config(&g.servers.roots(), Some(&good)));
    assert!(
        tls::get(edge.at(), "b.example", &open).is_err(),
        "b asks for a certificate"
    );
    for (sni, config, host, status) in [
        ("a.example", &open, "a.example", 200),
        ("a.example", &open, "A.Example:8443", 200),
        ("a.example", &open, "elsewhere.example", 200),
        ("a.example", &open, "b.example", 421),
        ("a.example", &open, "B.example:443", 421),
        ("a.example", &open, "c.example", 421),
        ("b.example", &known, "b.example", 200),
        ("b.example", &known, "c.example", 200),
        ("b.example", &known, "a.example", 421),
        ("b.example", &known, "elsewhere.example", 421),
    ] {
        let what = format!("{sni} {host}");
        let mut client = tls::connect(edge.at(), sni, config).expect("secure");
        let before = g.origin.requests().len();
        client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let answer = client.response();
        assert_eq!(answer.status, status, "{what}");
        let reached = g.origin.requests().len() - before;
        assert_eq!(reached, usize::from(status == 200), "{what}");
        if status == 421 {
            assert_eq!(answer.code(), "misdirected");
        }
    }
}

#[test]
fn who_came_before_more_was_asked_must_come_again() {
    let g = ground();
    g.folder.pair("b", &g.servers.server(&["b.example"]));
    let path = |name: &str| g.folder.0.join(name).display().to_string();
    let whole = |tls: &str| {
        let text = config(g.origin.at, tls, "{}");
        ["a.pem", "a.key", "b.pem", "b.key", "ca.pem"]
            .iter()
            .fold(text, |t, n| {
                t.replace(&format!("\"{n}\""), &format!("\"{}\"", path(n)))
            })
    };
    let asks = r#"{ "mode": "required", "ca": "ca.pem" }"#;
    let open = whole(&one(""));
    let strict = whole(&one(&format!(", \"client\": {asks}")));
    // The places of certificates and of policies change: what counts is what was asked.
    let of = |first: &str, second: &str| {
        whole(&format!(
            r#"{{ "certificates": [{{ "cert": "b.pem", "key": "b.key" {first} }},
                {{ "cert": "a.pem", "key": "a.key" {second} }}] }}"#
        ))
    };
    let client = format!(", \"client\": {asks}");
    let (a_strict, b_strict) = (of("", &client), of(&client, ""));
    let edge = Edge::start(&open);
    let anonymous = Arc::new(client_config(&g.servers.roots(), None));
    let mut kept = tls::connect(edge.at(), "a.example", &anonymous).expect("secure");
    let mut ask = || {
        kept.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        kept.response().status
    };
    assert_eq!(ask(), 200);
    for (config, status) in [
        (&strict, 421),
        (&open, 200),
        (&a_strict, 421),
        (&b_strict, 200),
        (&open, 200),
    ] {
        let before = g.origin.requests().len();
        edge.reload(config);
        // The threads hear of it on their own time: a new connection tells that they have.
        kit::wait_until("the config is in force", || {
            let came = tls::get(edge.at(), "a.example", &anonymous);
            came.is_ok() == (status == 200)
        });
        let between = g.origin.requests().len();
        assert_eq!(ask(), status, "{config}");
        assert_eq!(
            g.origin.requests().len() - between,
            usize::from(status == 200)
        );
        assert!(between >= before);
    }
}

#[test]
fn a_connection_without_tls_is_not_served_once_tls_is_asked_for() {
    let g = ground();
    let plain = kit::config_to(&[g.origin.at], "{}", "[]");
    let edge = Edge::start(&plain);
    let mut kept = kit::Client::connect(edge.at());
    assert_eq!(kept.get("/").status, 200);
    let path = |name: &str| g.folder.0.join(name).display().to_string();
    let tls = one("")
        .replace("a.pem", &path("a.pem"))
        .replace("a.key", &path("a.key"));
    edge.reload(&config(g.origin.at, &tls, "{}"));
    let client = Arc::new(client_config(&g.servers.roots(), None));
    kit::wait_until("TLS is in force", || {
        let stream = std::net::TcpStream::connect(edge.at()).expect("accepted");
        stream
            .set_read_timeout(Some(kit::PATIENCE))
            .expect("timeout");
        tls::over(stream, "a.example", &client).is_ok()
    });
    let before = g.origin.requests().len();
    let answer = kept.get("/");
    assert_eq!((answer.status, &*answer.code()), (421, "misdirected"));
    assert_eq!(kept.ends(), Ok(()));
    assert_eq!(g.origin.requests().len(), before);
}
