//! TLS towards upstreams: whose certificates are believed, and that nothing goes out in the clear.

mod kit;

use std::sync::Arc;

use kit::tls::{
    self, client_config, config, one, server_config, Authority, Ground, SecureOrigin, Wish,
};
use kit::{Client, Edge, Origin, Response};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure";

fn edge(g: &Ground, to: std::net::SocketAddr, tls: &str) -> Edge {
    let up = format!("{{ \"tls\": {tls} }}");
    Edge::start_in(&g.folder.0, &kit::config_to(&[to], &up, "[]"))
}

fn ask(edge: &Edge) -> Response {
    Client::connect(edge.at()).get("/")
}

#[test]
fn whose_certificates_are_believed() {
    let g = Ground::new();
    let other = Authority::new("of others");
    g.folder.put("other.pem", &other.pem);
    let here = g.authority.server(&["127.0.0.1"]);
    let name = g.authority.server(&["api.internal"]);
    let ended = g.authority.make(Wish {
        names: &["127.0.0.1"],
        days: -1,
        ..Wish::default()
    });
    let of_client = g.authority.client(&["127.0.0.1"], &[]);
    let certificate = (502, "upstream_certificate", "tls_certificate_error");
    let fine = (200, "", "");
    for (what, leaf, tls, wanted) in [
        ("its address", &here, r#"{ "ca": "ca.pem" }"#, fine),
        ("another name", &name, r#"{ "ca": "ca.pem" }"#, certificate),
        (
            "the name that is wanted",
            &name,
            r#"{ "ca": "ca.pem", "sni": "api.internal" }"#,
            fine,
        ),
        (
            "the same in capitals",
            &name,
            r#"{ "ca": "ca.pem", "sni": "API.Internal" }"#,
            fine,
        ),
        (
            "not the name that is wanted",
            &name,
            r#"{ "ca": "ca.pem", "sni": "db.internal" }"#,
            certificate,
        ),
        (
            "another authority",
            &here,
            r#"{ "ca": "other.pem" }"#,
            certificate,
        ),
        ("the system's authorities", &here, "{}", certificate),
        (
            "one that has ended",
            &ended,
            r#"{ "ca": "ca.pem" }"#,
            certificate,
        ),
        (
            "a client's",
            &of_client,
            r#"{ "ca": "ca.pem" }"#,
            certificate,
        ),
        ("anybody", &ended, r#"{ "verify": false }"#, fine),
        (
            "anybody by another name",
            &name,
            r#"{ "verify": false }"#,
            fine,
        ),
    ] {
        let origin = SecureOrigin::answering(server_config(leaf, None), OK);
        let edge = edge(&g, origin.at, tls);
        let answer = ask(&edge);
        let told = answer.field("proxy-status").unwrap_or_default().to_owned();
        let (status, code, error) = wanted;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{what}"
        );
        assert!(told.ends_with(error), "{what}: {told}");
        assert_eq!(
            edge.counter("upstream_tls_failures"),
            u64::from(status != 200),
            "{what}"
        );
    }
}

#[test]
fn an_upstream_without_tls_gets_nothing_in_the_clear() {
    let g = Ground::new();
    let origin = Origin::start(|mut peer| {
        let _first = peer.exactly(1);
        peer.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        peer.is_closed();
    });
    let edge = edge(&g, origin.at, r#"{ "ca": "ca.pem" }"#);
    let answer = ask(&edge);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "upstream_tls")
    );
    assert!(answer
        .field("proxy-status")
        .expect("why")
        .ends_with("tls_protocol_error"));
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn one_that_is_silent_runs_into_the_connect_timeout() {
    let g = Ground::new();
    let origin = Origin::start(|mut peer| while peer.exactly(1).is_some() {});
    let up = r#"{ "tls": { "ca": "ca.pem" }, "timeouts": { "connect": "300ms" } }"#;
    let edge = Edge::start_in(&g.folder.0, &kit::config_to(&[origin.at], up, "[]"));
    let answer = ask(&edge);
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "connect_timeout")
    );
}

#[test]
fn the_next_endpoint_is_tried() {
    let g = Ground::new();
    let good =
        SecureOrigin::answering(server_config(&g.authority.server(&["127.0.0.1"]), None), OK);
    let bad = SecureOrigin::answering(server_config(&g.authority.server(&["a.example"]), None), OK);
    let up = r#"{ "tls": { "ca": "ca.pem" } }"#;
    let edge = Edge::start_in(&g.folder.0, &kit::config_to(&[bad.at, good.at], up, "[]"));
    for _ in 0..6 {
        assert_eq!(ask(&edge).status, 200);
    }
    assert_eq!(good.connections(), 1, "it is kept and used again");
}

#[test]
fn a_certificate_is_shown_if_one_is_asked_for() {
    let g = Ground::new();
    let us = g.authority.client(&["gateway.example"], &[]);
    g.folder.pair("us", &us);
    let leaf = g.authority.server(&["127.0.0.1"]);
    let origin = SecureOrigin::answering(server_config(&leaf, Some(&g.authority)), OK);
    let with = r#"{ "ca": "ca.pem", "client_cert": "us.pem", "client_key": "us.key" }"#;
    assert_eq!(ask(&edge(&g, origin.at, with)).status, 200);
    let without = ask(&edge(&g, origin.at, r#"{ "ca": "ca.pem" }"#));
    assert_eq!(without.status, 502, "{}", without.head);
}

#[test]
fn connections_are_shared_only_by_what_has_the_same_settings() {
    let g = Ground::new();
    let leaf = g.authority.server(&["127.0.0.1", "api.internal"]);
    let origin = SecureOrigin::answering(server_config(&leaf, None), OK);
    let upstream = |name: &str, tls: &str| {
        format!(
            r#"{{ "name": "{name}", "endpoints": ["{}"], "tls": {tls} }}"#,
            origin.at
        )
    };
    let all = [
        ("a", r#"{ "ca": "ca.pem" }"#),
        ("b", r#"{ "ca": "ca.pem" }"#),
        ("c", r#"{ "ca": "ca.pem", "sni": "api.internal" }"#),
        ("d", r#"{ "verify": false }"#),
    ];
    let upstreams: Vec<_> = all.iter().map(|(name, tls)| upstream(name, tls)).collect();
    let routes: Vec<_> = all
        .iter()
        .map(|(n, _)| format!(r#"{{ "name": "{n}", "match": {{ "path": "/{n}" }}, "to": "{n}" }}"#))
        .collect();
    let text = format!(
        r#"{{ "workers": 1, "listeners": [{{ "name": "web", "bind": "127.0.0.1:0" }}],
        "upstreams": [{}], "routes": [{}] }}"#,
        upstreams.join(","),
        routes.join(",")
    );
    let edge = Edge::start_in(&g.folder.0, &text);
    let mut client = Client::connect(edge.at());
    for _ in 0..3 {
        for (path, connections) in [("/a", 1), ("/b", 1), ("/c", 2), ("/d", 3)] {
            assert_eq!(client.get(path).status, 200);
            assert!(origin.connections() >= connections, "{path}");
        }
    }
    assert_eq!(origin.connections(), 3);
}

#[test]
fn tls_on_both_sides() {
    let g = Ground::new();
    g.folder.pair("a", &g.authority.server(&["a.example"]));
    let leaf = g.authority.server(&["127.0.0.1"]);
    let origin = SecureOrigin::answering(server_config(&leaf, None), OK);
    let up = r#"{ "tls": { "ca": "ca.pem" } }"#;
    let edge = Edge::start_in(&g.folder.0, &config(origin.at, &one(""), up));
    let client = Arc::new(client_config(&g.authority.roots(), None));
    let mut client = tls::connect(edge.at(), "a.example", &client).expect("secure");
    for _ in 0..10 {
        assert_eq!(client.get("/").body, b"secure");
    }
    assert_eq!(
        origin.connections(),
        1,
        "tickets and the like do not end a kept connection"
    );
}
