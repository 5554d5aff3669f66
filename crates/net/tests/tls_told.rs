//! Client-Cert and Client-Cert-Chain (RFC 9440): what an upstream is told of a client's certificate, and
//! that nobody else can say it.

mod kit;

use std::sync::Arc;

use kit::tls::{self, client_config, config, der, one, Authority, Folder, Leaf};
use kit::{field, wait_until, Client, Edge, Origin};
use wire::structured::byte_sequences;

const LIES: &str = "Client-Cert: :AAAA:\r\nclient-cert-chain: :BBBB:\r\nCLIENT-CERT: :CCCC:\r\n";

/// The fields that reached the origin with the last request.
fn told(origin: &Origin) -> (Option<String>, Option<String>) {
    let head = origin.take().pop().expect("a request").head;
    let lower = head.to_ascii_lowercase();
    for name in ["\nclient-cert:", "\nclient-cert-chain:"] {
        assert!(lower.matches(name).count() <= 1, "{head}");
    }
    let of = |name| field(&head, name).map(str::to_owned);
    (of("client-cert"), of("client-cert-chain"))
}

#[test]
fn what_an_upstream_is_told_of_a_clients_certificate() {
    let (servers, clients) = (Authority::new("of servers"), Authority::new("of clients"));
    let folder = Folder::new();
    folder.pair("a", &servers.server(&["a.example"]));
    folder.put("ca.pem", &clients.pem);
    let alone = clients.client(&["alice.example"], &[]);
    let with_chain = Leaf {
        cert: format!("{}{}", alone.cert, clients.pem),
        key: alone.key.clone(),
    };
    let long = Leaf {
        cert: format!("{}{}", alone.cert, clients.pem.repeat(90)),
        key: alone.key.clone(),
    };
    let leaf = byte_sequences([&*der(&alone.cert)]);
    let chain = byte_sequences([&*der(&clients.pem)]);
    let (leaf, chain) = (Some(leaf), Some(chain));
    let mode = |mode: &str, forward: &str| {
        one(&format!(
            r#", "client": {{ "mode": "{mode}", "ca": "ca.pem"{forward} }}"#
        ))
    };
    let cert = r#", "forward": "certificate""#;
    let whole = r#", "forward": "chain""#;
    let none = (None, None);
    let hop = r#"[{ "use": "client_ip", "hops": 1 }]"#;
    for (what, tls, filters, shows, wanted) in [
        (
            "not asked for",
            mode("required", ""),
            "[]",
            Some(&with_chain),
            none.clone(),
        ),
        ("nobody", mode("optional", whole), "[]", None, none.clone()),
        (
            "nobody, by a trusted hop",
            mode("optional", whole),
            hop,
            None,
            none.clone(),
        ),
        (
            "the certificate",
            mode("required", cert),
            "[]",
            Some(&with_chain),
            (leaf.clone(), None),
        ),
        (
            "a chain",
            mode("required", whole),
            "[]",
            Some(&with_chain),
            (leaf.clone(), chain.clone()),
        ),
        (
            "no chain",
            mode("optional", whole),
            "[]",
            Some(&alone),
            (leaf.clone(), None),
        ),
        (
            "by a trusted hop",
            mode("required", whole),
            hop,
            Some(&with_chain),
            (leaf, chain),
        ),
    ] {
        let origin = Origin::echo();
        let text = config(origin.at, &tls, "{}");
        let text = text.replacen("\"filters\": []", &format!("\"filters\": {filters}"), 1);
        assert!(text.contains(filters), "{text}");
        let edge = Edge::start_in(&folder.0, &text);
        let secure = Arc::new(client_config(&servers.roots(), shows));
        // The second comes back with a ticket.
        for n in 0..2 {
            let mut client = tls::connect(edge.at(), "a.example", &secure).expect("secure");
            for lies in ["", LIES] {
                client.send(format!("GET / HTTP/1.1\r\nHost: a.example\r\n{lies}\r\n"));
                assert_eq!(client.response().status, 200, "{what}");
                assert_eq!(told(&origin), wanted, "{what} {n} {lies}");
            }
        }
        let told = edge.gateway.metrics_json();
        assert!(told.contains(r#""code":"resumed"}"#), "{what}: {told}");
    }

    let origin = Origin::echo();
    let edge = Edge::start_in(
        &folder.0,
        &config(origin.at, &mode("required", whole), "{}"),
    );
    let secure = Arc::new(client_config(&servers.roots(), Some(&long)));
    let refused = tls::get(edge.at(), "a.example", &secure).expect_err("no connection");
    assert_eq!(origin.requests().len(), 0);
    // The tickets that come before the refusal hold the chain too, and may be more than the client takes.
    let counted = || edge.gateway.metrics_json().contains("certificate_too_long");
    wait_until(&format!("it is counted; the client has {refused}"), counted);
}

#[test]
fn nobody_says_it_in_the_clear() {
    for filters in ["[]", r#"[{ "use": "client_ip", "hops": 1 }]"#] {
        let origin = Origin::echo();
        let edge = Edge::with(&[origin.at], "{}", filters);
        Client::connect(edge.at())
            .send(format!("GET / HTTP/1.1\r\nHost: a\r\n{LIES}\r\n"))
            .response();
        assert_eq!(told(&origin), (None, None), "{filters}");
    }
}
