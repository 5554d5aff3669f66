//! Clients that go away, at each phase of a request: what they held upstream ends with them, and
//! nothing of them stays.

mod kit;

use std::os::fd::AsRawFd;
use std::time::Instant;

use kit::{full, Client, Edge, Origin, Peer};

/// Both ways in which a client goes: in good order, and with a reset.
const WAYS: [bool; 2] = [false, true];

fn leave(client: Client, reset: bool) {
    if reset {
        let linger = libc::linger {
            l_onoff: 1,
            l_linger: 0,
        };
        // SAFETY: the pointer and the length are those of one live struct.
        unsafe {
            libc::setsockopt(
                client.stream.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of::<libc::linger>() as libc::socklen_t,
            );
        }
    }
    drop(client);
}

/// Everything is counted, and with timeouts so long that none of them helps.
fn edge(to: std::net::SocketAddr) -> Edge {
    Edge::with(&[to], r#"{ "balance": "least_request" }"#, "[]")
}

/// No request is counted as open, and no client's connection.
fn nothing_stays(edge: &Edge, name: &str) {
    let deadline = Instant::now() + kit::PATIENCE;
    let open = || {
        let metrics = edge.gateway.metrics_json();
        let at = metrics
            .find("ironsluice_connections_active")
            .expect("the gauge");
        let active = !metrics[at..]
            .split("\"value\":")
            .nth(1)
            .expect("a value")
            .starts_with("0}");
        let upstreams = edge.gateway.upstreams_json();
        assert!(upstreams.contains("\"in_flight\":"), "{upstreams}");
        (active || !upstreams.contains("\"in_flight\":0")).then_some(upstreams)
    };
    while let Some(upstreams) = open() {
        assert!(Instant::now() < deadline, "{name}: {upstreams}");
        std::thread::yield_now();
    }
}

/// What an origin does with a request, what the client sends, and what it waits for before it goes.
struct Phase {
    name: &'static str,
    deed: fn(Peer),
    sends: &'static str,
    waits: fn(&mut Client, &Origin),
}

fn head_came(_: &mut Client, origin: &Origin) {
    origin.wait_for(1);
}

fn hello_came(client: &mut Client, _: &Origin) {
    client.until(b"hello").expect("a part of the answer");
}

fn remember_head(peer: &mut Peer) {
    let head = peer.head().expect("a head");
    peer.remember(head);
}

/// Until the gateway lets go.
fn stay(mut peer: Peer) {
    while peer.exactly(1).is_some() {}
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const ASK: &str = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";

const PHASES: &[Phase] = &[
    Phase {
        name: "while it waits for an answer",
        deed: |mut peer| {
            remember_head(&mut peer);
            stay(peer);
        },
        sends: GET,
        waits: head_came,
    },
    Phase {
        name: "within its body",
        deed: |mut peer| {
            remember_head(&mut peer);
            stay(peer);
        },
        sends: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
        waits: head_came,
    },
    Phase {
        name: "within its chunks",
        deed: |mut peer| {
            remember_head(&mut peer);
            stay(peer);
        },
        sends: "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        waits: head_came,
    },
    Phase {
        name: "within the answer's body",
        deed: |mut peer| {
            remember_head(&mut peer);
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            stay(peer);
        },
        sends: GET,
        waits: hello_came,
    },
    Phase {
        name: "within the answer's chunks",
        deed: |mut peer| {
            remember_head(&mut peer);
            peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
            stay(peer);
        },
        sends: GET,
        waits: hello_came,
    },
    Phase {
        name: "within both bodies",
        deed: |mut peer| {
            remember_head(&mut peer);
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
            stay(peer);
        },
        sends: "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345",
        waits: hello_came,
    },
    Phase {
        name: "while it does not read",
        deed: |mut peer| {
            remember_head(&mut peer);
            peer.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                64 << 20
            ));
            peer.send(vec![b'x'; 64 << 20]);
            stay(peer);
        },
        sends: GET,
        waits: head_came,
    },
    Phase {
        name: "with a request behind",
        deed: |mut peer| {
            remember_head(&mut peer);
            stay(peer);
        },
        sends: "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        waits: head_came,
    },
];

#[test]
fn what_a_client_held_upstream_ends_with_it() {
    for phase in PHASES {
        for reset in WAYS {
            let name = format!("{}, reset: {reset}", phase.name);
            let origin = Origin::start(phase.deed);
            let edge = edge(origin.at);
            let mut client = Client::connect(edge.at());
            client.send(phase.sends);
            (phase.waits)(&mut client, &origin);
            leave(client, reset);
            origin.wait_for_ends(1);
            nothing_stays(&edge, &name);
            assert_eq!(origin.requests().len(), 1, "{name}: nothing else was sent");
        }
    }
}

#[test]
fn a_client_that_resets_its_tunnel_ends_it() {
    let origin = Origin::start(|mut peer| {
        remember_head(&mut peer);
        peer.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nhello",
        );
        stay(peer);
    });
    for (n, reset) in WAYS.into_iter().enumerate() {
        let edge = edge(origin.at);
        let mut client = Client::connect(edge.at());
        client.send(ASK);
        hello_came(&mut client, &origin);
        leave(client, reset);
        origin.wait_for_ends(n + 1);
        nothing_stays(&edge, "a tunnel");
    }
}

#[test]
fn a_client_that_goes_before_the_connection_is_made_leaves_none() {
    let (listener, _queue) = full();
    for reset in WAYS {
        let edge = edge(listener.local_addr().expect("an address"));
        let mut client = Client::connect(edge.at());
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok");
        let deadline = Instant::now() + kit::PATIENCE;
        while !edge.gateway.upstreams_json().contains("\"in_flight\":1") {
            assert!(Instant::now() < deadline, "it never tried to connect");
            std::thread::yield_now();
        }
        leave(client, reset);
        nothing_stays(&edge, "connecting");
    }
}

#[test]
fn a_client_that_goes_within_its_head_leaves_nothing() {
    let origin = Origin::echo();
    let edge = edge(origin.at);
    for sends in ["", "\r\n", "GET / HTTP/1.1\r\nHo", "GET / HTTP/1.1\r\n\r\n"] {
        for reset in WAYS {
            let mut client = Client::connect(edge.at());
            client.send(sends);
            leave(client, reset);
            nothing_stays(&edge, sends);
        }
    }
    assert_eq!(origin.connections(), 0);
}

#[test]
fn a_thousand_that_go_at_any_moment_leave_nothing() {
    const SEED: u64 = 0x5eed_0003;
    let origin = Origin::echo();
    let edge = edge(origin.at);
    let mut random = kit::Random(SEED);
    for _ in 0..1000 {
        let mut client = Client::connect(edge.at());
        let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
        client.send(&request[..random.below(request.len() + 1)]);
        leave(client, random.below(2) == 0);
    }
    let answer = Client::connect(edge.at()).get("/after");
    assert_eq!(answer.body, b"GET /after", "seed {SEED}");
    nothing_stays(&edge, &format!("seed {SEED}"));
}
