//! Clients that come back: a ticket spares them half of the handshake, and opens no other door.

mod kit;

use std::sync::Arc;

use kit::tls::{self, config, one, Authority, Folder, Leaf};
use kit::{Edge, Origin};
use rustls::client::Resumption;
use rustls::{ClientConfig, HandshakeKind};

/// Connects, asks, and says how it came in. The ticket comes behind the handshake, so something is
/// read before the client leaves.
fn come(edge: &Edge, host: &str, config: &Arc<ClientConfig>) -> Result<HandshakeKind, String> {
    let mut client = tls::connect(edge.at(), host, config)?;
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    assert_eq!(client.try_response("GET")?.status, 200);
    Ok(client.stream.conn.handshake_kind().expect("done"))
}

fn set_up(listener: &str) -> (Authority, Authority, Origin, Folder, String) {
    let servers = Authority::new("of servers");
    let clients = Authority::new("of clients");
    let folder = Folder::new();
    folder.pair("a", &servers.server(&["a.example"]));
    folder.pair("b", &servers.server(&["b.example"]));
    folder.put("ca.pem", &clients.pem);
    let origin = Origin::echo();
    let text = config(origin.at, listener, "{}");
    (servers, clients, origin, folder, text)
}

#[test]
fn a_ticket_serves_in_every_thread_and_after_a_reload() {
    let (servers, _, _origin, folder, text) = set_up(&one(""));
    let text = text.replacen("\"workers\": 1", "\"workers\": 4", 1);
    let text = text.replace("\"a.", &format!("\"{}/a.", folder.0.display()));
    let edge = Edge::start(&text);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(tls::client_of(&servers.roots(), version));
        assert_eq!(come(&edge, "a.example", &config), Ok(HandshakeKind::Full));
        for round in 0..20 {
            let kind = come(&edge, "a.example", &config);
            assert_eq!(kind, Ok(HandshakeKind::Resumed), "{version:?} {round}");
            if round == 10 {
                edge.reload(&text);
            }
        }
    }
    assert!(edge
        .gateway
        .metrics_json()
        .contains("\"code\":\"resumed\"},\"value\":40"));
}

#[test]
fn without_tickets_every_handshake_is_whole() {
    let (servers, _, _origin, folder, text) = set_up(&one(r#", "tickets": false"#));
    let edge = Edge::start_in(&folder.0, &text);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = Arc::new(tls::client_of(&servers.roots(), version));
        for _ in 0..3 {
            assert_eq!(come(&edge, "a.example", &config), Ok(HandshakeKind::Full));
        }
    }
}

/// A client that sends the tickets of one host to another: names are all the same to it.
#[derive(Debug)]
struct Mixed(Arc<dyn rustls::client::ClientSessionStore>);

mod mixed {
    use super::Mixed;
    use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
    use rustls::pki_types::ServerName;
    use rustls::NamedGroup;

    fn one() -> ServerName<'static> {
        ServerName::try_from("one.example").expect("a name")
    }

    impl ClientSessionStore for Mixed {
        fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
            self.0.set_kx_hint(one(), group);
        }
        fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
            self.0.kx_hint(&one())
        }
        fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
            self.0.set_tls12_session(one(), value);
        }
        fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
            self.0.tls12_session(&one())
        }
        fn remove_tls12_session(&self, _: &ServerName<'static>) {
            self.0.remove_tls12_session(&one());
        }
        fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
            self.0.insert_tls13_ticket(one(), value);
        }
        fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
            self.0.take_tls13_ticket(&one())
        }
    }
}

fn mixing(mut config: ClientConfig) -> Arc<ClientConfig> {
    let memory = rustls::client::ClientSessionMemoryCache::new(32);
    config.resumption = Resumption::store(Arc::new(Mixed(Arc::new(memory))));
    Arc::new(config)
}

#[test]
fn a_ticket_of_one_host_is_not_taken_at_another() {
    let open = r#"{ "certificates": [{ "cert": "a.pem", "key": "a.key" }, { "cert": "b.pem", "key": "b.key" }] }"#;
    let (servers, _, _origin, folder, text) = set_up(open);
    let edge = Edge::start_in(&folder.0, &text);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = mixing(tls::client_of(&servers.roots(), version));
        assert_eq!(come(&edge, "a.example", &config), Ok(HandshakeKind::Full));
        assert_eq!(
            come(&edge, "a.example", &config),
            Ok(HandshakeKind::Resumed),
            "the store works"
        );
        assert_eq!(
            come(&edge, "b.example", &config),
            Ok(HandshakeKind::Full),
            "{version:?}"
        );
    }
}

#[test]
fn a_ticket_is_not_taken_where_something_else_is_asked_of_clients() {
    // The same host, on listeners that differ only in what they ask: the case of CVE-2025-23419.
    let (servers, clients, origin, folder, _) = set_up("{}");
    let other = Authority::new("of other clients");
    folder.put("other.pem", &other.pem);
    let alice = clients.client(&["alice.example"], &["spiffe://td/alice"]);
    let version_of = |v, leaf: Option<&Leaf>| match leaf {
        Some(leaf) => tls::client_of_with(&servers.roots(), v, leaf),
        None => tls::client_of(&servers.roots(), v),
    };
    let asks = [
        r#"{ "mode": "none" }"#,
        r#"{ "mode": "optional", "ca": "ca.pem" }"#,
        r#"{ "mode": "required", "ca": "ca.pem" }"#,
        r#"{ "mode": "required", "ca": "other.pem" }"#,
        r#"{ "mode": "required", "ca": "ca.pem", "san": ["bob.example"] }"#,
    ];
    let listeners: Vec<_> = asks
        .iter()
        .enumerate()
        .map(|(i, ask)| {
            let tls = one(&format!(", \"client\": {ask}"));
            format!(r#"{{ "name": "l{i}", "bind": "127.0.0.1:0", "tls": {tls} }}"#)
        })
        .collect();
    let text = config(origin.at, "{}", "{}");
    let web = r#"{ "name": "web", "bind": "127.0.0.1:0", "tls": {} }"#;
    assert!(text.contains(web));
    let text = text.replacen(web, &listeners.join(", "), 1);
    let edge = Edge::start_in(&folder.0, &text);
    let at: Vec<_> = edge
        .gateway
        .addresses()
        .into_iter()
        .map(|(_, at)| at)
        .collect();
    let go = |to: usize, config: &Arc<ClientConfig>| -> Result<HandshakeKind, String> {
        let mut client = tls::connect(at[to], "a.example", config)?;
        client.send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
        client.try_response("GET")?;
        Ok(client.stream.conn.handshake_kind().expect("done"))
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        // Anonymous tickets of the open listener and of the one that leaves the choice.
        for from in [0, 1] {
            for to in (0..asks.len()).filter(|to| *to != from) {
                let config = mixing(version_of(version, None));
                assert_eq!(go(from, &config), Ok(HandshakeKind::Full));
                assert_eq!(go(from, &config), Ok(HandshakeKind::Resumed));
                let came = go(to, &config);
                match to {
                    0 | 1 => assert_eq!(came, Ok(HandshakeKind::Full), "{version:?} {from} {to}"),
                    _ => assert!(came.is_err(), "{version:?} {from} {to}: {came:?}"),
                }
            }
        }
        // A ticket of alice, where alice is not let in.
        for to in [3, 4] {
            let config = mixing(version_of(version, Some(&alice)));
            assert_eq!(go(2, &config), Ok(HandshakeKind::Full));
            assert_eq!(go(2, &config), Ok(HandshakeKind::Resumed));
            assert!(go(to, &config).is_err(), "{version:?} {to}");
        }
    }
}
