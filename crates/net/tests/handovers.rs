//! WebSockets that come by an app's door, handed over to the server beside the reactor: here a Unix socket of the test, whose
//! descriptors are the loop's.

mod kit;

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kit::{Client, PATIENCE};
use net::outbox::said;
use net::{Gateway, Reactor};

struct Stand {
    gateway: Arc<Gateway>,
    reactor: Reactor,
    server: UnixListener,
    path: PathBuf,
}

impl Drop for Stand {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn stand(name: &str) -> Stand {
    stand_with(name, "")
}

/// With more keys of the config.
fn stand_with(name: &str, more: &str) -> Stand {
    let path = std::env::temp_dir().join(format!("handover-{}-{name}", std::process::id()));
    let server = UnixListener::bind(&path).expect("a socket");
    let config = r#"{ "workers": 1, MORE
        "listeners": [{ "name": "door", "bind": "127.0.0.1:0", "door": "app", "app": "site", "limits": { "connections": 1 } }],
        "apps": [{ "name": "site", "module": "site.ts" }] }"#;
    let config = gateway_core::config::parse(&config.replace("MORE", more)).expect("a good config");
    let gateway = Arc::new(Gateway::start(config).expect("the gateway starts"));
    gateway.app_sockets("site", vec![path.clone()]);
    let mut reactor = gateway.reactor().expect("a reactor");
    reactor.stand_beside(&path);
    reactor.open("door", 7).expect("the port is ours");
    Stand {
        gateway,
        reactor,
        server,
        path,
    }
}

impl Stand {
    /// A client with a WebSocket, and the server's end of it: a tunnel still, that is silent.
    fn open(&mut self) -> (Client, UnixStream) {
        let (mut client, server) = self.ask();
        self.turn_until(|s| s.reactor.has_silent().then_some(()));
        let answer = client.until(b"\r\n\r\n").expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{answer:?}");
        (client, server)
    }

    /// A client that asks for one, and the server's end, which has said yes.
    fn ask(&mut self) -> (Client, UnixStream) {
        let mut client = Client::connect(self.gateway.addresses()[0].1);
        client.send(
            "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        self.server.set_nonblocking(true).expect("it can be set");
        let mut server = self.turn_until(|s| s.server.accept().ok()).0;
        server.set_nonblocking(true).expect("it can be set");
        let mut head = Vec::new();
        self.turn_until(|_| {
            read_some(&mut server, &mut head);
            head.ends_with(b"\r\n\r\n").then_some(())
        });
        server
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
                  sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            )
            .expect("there is room");
        (client, server)
    }

    /// Turns until `server` names its client's connection.
    fn give(&mut self, polled: &[RawFd], server: RawFd) {
        self.turn_until(|s| s.hand_over(polled).contains(&server).then_some(()));
    }

    /// The loop's own descriptor is none that watches.
    fn hand_over(&mut self, polled: &[RawFd]) -> Vec<RawFd> {
        if self.reactor.has_silent() {
            self.reactor.hand_over(polled, -1)
        } else {
            Vec::new()
        }
    }

    fn turn_until<T>(&mut self, mut then: impl FnMut(&mut Self) -> Option<T>) -> T {
        let began = Instant::now();
        loop {
            self.reactor.turn();
            if let Some(found) = then(self) {
                return found;
            }
            assert!(began.elapsed() < PATIENCE, "it does not come");
            std::thread::yield_now();
        }
    }
}

fn read_some(from: &mut UnixStream, into: &mut Vec<u8>) {
    let mut room = [0; 1024];
    match from.read(&mut room) {
        Ok(n) => into.extend_from_slice(&room[..n]),
        Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
    }
}

#[test]
fn the_server_speaks_with_the_client_itself() {
    let mut s = stand("direct");
    let (mut client, mut server) = s.open();
    let fd = server.as_raw_fd();
    s.give(&[fd], fd);
    // Nobody turns the reactor any more.
    client.send("from the client");
    let mut came = Vec::new();
    let began = Instant::now();
    while came != b"from the client" {
        read_some(&mut server, &mut came);
        assert!(began.elapsed() < PATIENCE, "{came:?}");
    }
    server.write_all(b"from the server").expect("there is room");
    assert_eq!(client.exactly(15).expect("all"), b"from the server");
    drop(server);
    assert!(client.is_closed());
}

#[test]
fn what_the_server_has_not_taken_is_not_lost() {
    let mut s = stand("untaken");
    let (mut client, mut server) = s.open();
    let fd = server.as_raw_fd();
    client.send("early");
    // It lies in the server's end, which would be closed with it.
    for _ in 0..20 {
        s.reactor.turn();
        assert_eq!(s.hand_over(&[fd]), [] as [RawFd; 0], "bytes wait in it");
    }
    let mut came = Vec::new();
    s.turn_until(|s| {
        read_some(&mut server, &mut came);
        assert!(
            came == b"early" || s.hand_over(&[fd]).is_empty(),
            "bytes were lost"
        );
        (came == b"early").then_some(())
    });
    s.give(&[fd], fd);
    server.write_all(b"late").expect("there is room");
    assert_eq!(client.exactly(4).expect("all"), b"late");
}

#[test]
fn what_a_quota_counts_stays_a_tunnel() {
    let mut s = stand_with(
        "quota",
        r#""routes": [{ "name": "all", "to": { "app": "site" },
            "filters": [{ "use": "websocket", "connections_per_client": 1 }] }],"#,
    );
    let (mut client, mut server) = s.ask();
    for word in ["one", "two"] {
        client.send(word);
        let mut came = Vec::new();
        s.turn_until(|s| {
            assert!(!s.reactor.has_silent(), "it is counted");
            read_some(&mut server, &mut came);
            (came == word.as_bytes()).then_some(())
        });
        for _ in 0..20 {
            s.reactor.turn();
            assert!(!s.reactor.has_silent(), "it is counted");
        }
    }
    let answer = client.until(b"\r\n\r\n").expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{answer:?}");
    drop(server);
    // The core sees its end, and passes it on.
    let client = std::thread::spawn(move || client.is_closed());
    s.turn_until(|_| client.is_finished().then_some(()));
    assert!(client.join().expect("no panic"));
}

#[test]
fn a_door_that_was_left_counts_nothing_for_the_next() {
    let mut s = stand("counted");
    let (_first, one) = s.open();
    let first = one.as_raw_fd();
    s.give(&[first], first);
    s.reactor.leave("door");
    let left = |e: &net::outbox::Event| e.said & said::LEFT != 0;
    assert!(s.reactor.outbox().events.iter().any(left));
    s.reactor.open("door", 8).expect("the port is ours");
    let (_second, two) = s.open();
    let second = two.as_raw_fd();
    s.give(&[first, second], second);
    // The first ends, which came by another door: this one is as full as before.
    drop(one);
    let mut third = Client::connect(s.gateway.addresses()[0].1);
    third.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    // A full listener looks again every 50 ms.
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(200) {
        s.reactor.turn();
        s.hand_over(&[second]);
        let asked = |e: &net::outbox::Event| e.said & said::LOCAL != 0;
        assert!(!s.reactor.outbox().events.iter().any(asked), "one too many");
    }
    drop(two);
    s.turn_until(|s| {
        s.hand_over(&[]);
        let asked = |e: &net::outbox::Event| e.said & said::LOCAL != 0;
        s.reactor.outbox().events.iter().any(asked).then_some(())
    });
}
