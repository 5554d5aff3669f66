//! Connections to upstreams: when they are used again, and when they must not be.

mod kit;

use kit::{Client, Edge, Origin, Pieces};

#[test]
fn an_idle_connection_outlives_a_late_word_that_it_is_writable() {
    let origin = Origin::start(|mut peer| {
        peer.pieces = Pieces::Bytes;
        while peer.request().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let edge = Edge::to(&[origin.at]);
    let at = edge.at();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let mut client = Client::connect(at);
                for _ in 0..200 {
                    assert_eq!(client.get("/").status, 200);
                }
            })
        })
        .collect();
    let most = clients.len();
    for client in clients {
        client.join().expect("a client");
    }
    assert!(origin.connections() <= most, "{}", origin.connections());
}
