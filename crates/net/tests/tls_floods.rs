//! Bounds of TLS handshakes: who has too many is closed before one begins, and others are not.

mod kit;

use std::sync::Arc;

use kit::tls::{self, client_config, config, one, Authority, Folder};
use kit::{metric_where, wait_until, Client, Edge, Origin};
use rustls::ClientConfig;

struct Ground {
    _origin: Origin,
    _folder: Folder,
    edge: Edge,
    client: Arc<ClientConfig>,
}

/// With these bounds, behind a peer that says who its clients are.
fn ground(bounds: &str) -> Ground {
    let authority = Authority::new("the authority");
    let origin = Origin::echo();
    let folder = Folder::new();
    folder.pair("a", &authority.server(&["a.example"]));
    let tls = one(&format!(r#", "handshakes": {bounds}"#));
    let trusting = config(origin.at, &tls, "{}").replacen(
        "\"tls\":",
        "\"proxy_protocol\": { \"trust\": [\"127.0.0.1/32\"] }, \"tls\":",
        1,
    );
    Ground {
        edge: Edge::start_in(&folder.0, &trusting),
        client: Arc::new(client_config(&authority.roots(), None)),
        _origin: origin,
        _folder: folder,
    }
}

impl Ground {
    /// A connection of this client, which says nothing more.
    fn silent(&self, client: &str) -> Client {
        let mut silent = Client::connect(self.edge.at());
        silent.send(format!("PROXY TCP4 {client} 192.0.2.1 5000 443\r\n"));
        silent
    }

    /// A whole handshake and a request of this client.
    fn asks(&self, client: &str) -> Result<u16, String> {
        let stream = self.silent(client).stream;
        let mut client = tls::over(stream, "a.example", &self.client)?;
        Ok(client.get("/").status)
    }

    fn refused(&self, code: &str) -> u64 {
        let name = "ironsluice_tls_handshake_failures_total";
        metric_where(&self.edge.gateway, name, &format!("\"{code}\""))
    }

    /// Until so many of the PROXY headers that were sent have been read.
    fn accepted(&self, n: u64) {
        let name = "ironsluice_connections_active";
        wait_until("they are accepted", || {
            kit::metric(&self.edge.gateway, name) == n
        });
    }
}

#[test]
fn one_client_has_its_number_of_handshakes_and_others_theirs() {
    let g = ground(r#"{ "concurrent_per_client": 2 }"#);
    let held = [g.silent("192.0.2.7"), g.silent("192.0.2.7")];
    g.accepted(2);
    assert!(g.silent("192.0.2.7").is_closed(), "a third");
    assert!(g.asks("192.0.2.7").is_err(), "nor a whole one");
    assert_eq!(g.refused("too_many_of_client"), 2);
    assert_eq!(g.asks("192.0.2.8"), Ok(200), "another client");
    drop(held);
    wait_until("those that left are counted no more", || {
        g.asks("192.0.2.7") == Ok(200)
    });
}

#[test]
fn a_connection_that_is_made_counts_no_more() {
    let g = ground(r#"{ "concurrent": 1, "concurrent_per_client": 1 }"#);
    let kept: Vec<_> = (0..5)
        .map(|_| {
            let stream = g.silent("192.0.2.7").stream;
            let mut client = tls::over(stream, "a.example", &g.client).expect("secure");
            assert_eq!(client.get("/").status, 200);
            client
        })
        .collect();
    assert_eq!(g.refused("too_many"), 0);
    drop(kept);
}

#[test]
fn all_clients_together_have_their_number() {
    let g = ground(r#"{ "concurrent": 3 }"#);
    let _held: Vec<_> = (1..=3).map(|n| g.silent(&format!("192.0.2.{n}"))).collect();
    g.accepted(3);
    assert!(g.silent("192.0.2.9").is_closed());
    assert_eq!(g.refused("too_many"), 1);
}

#[test]
fn one_client_begins_so_many_in_a_time() {
    let g = ground(r#"{ "rate_per_client": "3/h" }"#);
    // From idle one at once, as 3/h is less than one in a second.
    assert_eq!(g.asks("192.0.2.7"), Ok(200));
    assert!(g.asks("192.0.2.7").is_err());
    assert_eq!(g.refused("rate_of_client"), 1);
    assert_eq!(g.asks("192.0.2.8"), Ok(200), "another client");
}

#[test]
fn a_thousand_handshakes_at_once_all_come_through() {
    let g = ground("{}");
    std::thread::scope(|s| {
        for n in 0..8 {
            let g = &g;
            s.spawn(move || {
                for _ in 0..125 {
                    assert_eq!(g.asks(&format!("192.0.2.{n}")), Ok(200));
                }
            });
        }
    });
    assert_eq!(g.refused("too_many"), 0);
}
