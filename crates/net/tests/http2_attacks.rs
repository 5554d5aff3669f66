//! Attacks on HTTP/2: each ends with the error that is meant for it, costs the origin little, and harms nobody else.

mod kit;

use kit::frames::*;
use kit::http2::{config2, connect, fetch, get as request, run};
use kit::{resident, Client, Edge, Origin};

/// An origin that never answers, so that what is open stays open.
fn silent() -> Origin {
    Origin::start(|mut peer| {
        while let Some(head) = peer.head() {
            if head.head.starts_with("GET /ok") {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            } else {
                peer.remember(head);
            }
        }
    })
}

fn edge(origin: &Origin, http2: &str, listener: &str) -> Edge {
    Edge::start(&config2(&[origin.at], http2, listener, "", "[]"))
}

/// Another client is served as if nothing had happened.
fn others_are_served(edge: &Edge) {
    let answer = run(async {
        let (send, _) = connect(edge.at()).await;
        fetch(&send, request("/ok")).await
    });
    assert_eq!(answer.expect("an answer").text(), "ok");
}

/// Sends until the other side closes, or so many times. How often it was sent.
fn flood(client: &mut Client, most: u32, mut one: impl FnMut(u32) -> Vec<u8>) -> u32 {
    use std::io::Write;
    for n in 0..most {
        if client.stream.write_all(&one(n)).is_err() {
            return n;
        }
    }
    most
}

#[test]
fn floods_end_with_enhance_your_calm() {
    let origin = silent();
    let edge = edge(&origin, "", "");
    let before = resident();
    type One = fn(u32) -> Vec<u8>;
    let cases: [(&str, One, &[u32]); 11] = [
        // CVE-2023-44487: in one send, and each in a send of its own.
        (
            "rapid reset",
            |n| {
                let id = 2 * n + 1;
                [
                    get(id, "/"),
                    frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes()),
                ]
                .concat()
            },
            &[ENHANCE_YOUR_CALM],
        ),
        // CVE-2025-8671: the server is made to reset.
        (
            "MadeYouReset by a window of 0",
            |n| {
                let id = 2 * n + 1;
                [get(id, "/"), frame(WINDOW_UPDATE, 0, id, &[0; 4])].concat()
            },
            &[ENHANCE_YOUR_CALM, PROTOCOL_ERROR],
        ),
        (
            "MadeYouReset by too large a window",
            |n| {
                let id = 2 * n + 1;
                let update = frame(WINDOW_UPDATE, 0, id, &0x7fff_ffff_u32.to_be_bytes());
                [get(id, "/"), update].concat()
            },
            &[ENHANCE_YOUR_CALM],
        ),
        (
            "MadeYouReset by data behind the end",
            |n| {
                let id = 2 * n + 1;
                [get(id, "/"), frame(DATA, 0, id, b"x")].concat()
            },
            &[ENHANCE_YOUR_CALM, STREAM_CLOSED, PROTOCOL_ERROR],
        ),
        (
            "MadeYouReset by a wrong length",
            |n| {
                let id = 2 * n + 1;
                let head = block("POST", "/", &[("content-length", "5")]);
                [
                    frame(HEADERS, END_HEADERS, id, &head),
                    frame(DATA, END_STREAM, id, b"x"),
                ]
                .concat()
            },
            &[ENHANCE_YOUR_CALM],
        ),
        (
            "MadeYouReset by a bad head",
            |n| {
                let head = block("GET", "/", &[("x-a", " b")]);
                frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &head)
            },
            &[ENHANCE_YOUR_CALM],
        ),
        (
            "SETTINGS",
            |_| frame(SETTINGS, 0, 0, &[]),
            &[ENHANCE_YOUR_CALM],
        ),
        ("PING", |_| frame(PING, 0, 0, &[7; 8]), &[ENHANCE_YOUR_CALM]),
        (
            "PRIORITY",
            |n| frame(PRIORITY, 0, 2 * n + 1, &[0, 0, 0, 0, 9]),
            &[ENHANCE_YOUR_CALM],
        ),
        (
            "WINDOW_UPDATE",
            |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
            &[ENHANCE_YOUR_CALM],
        ),
        (
            "unknown frames",
            |_| frame(99, 0, 0, &[0; 30]),
            &[ENHANCE_YOUR_CALM],
        ),
    ];
    for (what, one, codes) in cases {
        let mut client = greet(edge.at());
        flood(&mut client, 100_000, one);
        let code = client.goaway();
        // A reset may have taken the last words along: then the metric tells.
        assert!(code.is_none_or(|c| codes.contains(&c)), "{what}: {code:?}");
        others_are_served(&edge);
        println!(
            "{what}: {code:?}, {} requests reached the origin",
            origin.take().len()
        );
    }
    for (what, kind) in [("empty DATA", DATA), ("empty CONTINUATION", CONTINUATION)] {
        let mut client = greet(edge.at());
        let head = block("POST", "/", &[]);
        let flags = if kind == DATA { END_HEADERS } else { 0 };
        client.send(frame(HEADERS, flags, 1, &head));
        flood(&mut client, 100_000, |_| frame(kind, 0, 1, &[]));
        let code = client.goaway();
        assert!(
            code.is_none_or(|c| c == ENHANCE_YOUR_CALM),
            "{what}: {code:?}"
        );
        others_are_served(&edge);
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 << 20, "{} KiB", grown >> 10);
}

#[test]
fn a_reset_cancels_the_work_and_counts() {
    let origin = silent();
    let edge = edge(&origin, r#""flood_budget": 500"#, "");
    let mut client = greet(edge.at());
    // One at a time, each seen by the origin before it is reset: the codec's own limit does not see these.
    let mut reached = 0;
    for n in 0..200 {
        let id = 2 * n + 1;
        client.send(get(id, "/"));
        if n < 40 {
            reached = origin.wait_for(n as usize + 1).len();
        }
        client.send(frame(RST_STREAM, 0, id, &CANCEL.to_be_bytes()));
    }
    assert_eq!(client.goaway(), Some(ENHANCE_YOUR_CALM));
    assert!((40..=60).contains(&reached), "{reached}");
    // No request of it is left at the origin.
    origin.wait_for_ends(40);
    let floods = kit::metric_where(
        &edge.gateway,
        "ironsluice_bad_requests_total",
        "http2_flood",
    );
    assert_eq!(floods, 1);
    others_are_served(&edge);
}

#[test]
fn heads_are_bounded_by_size_and_by_number() {
    let origin = silent();
    let edge = edge(&origin, "", "");
    let before = resident();
    // More than limits.head, as the codec counts it: each field costs 32 bytes more than its text.
    let large = "x".repeat(40_000);
    let crumbs = vec![("cookie", "a"); 2_000];
    let fields: Vec<String> = (0..150).map(|n| format!("x-{n}")).collect();
    let fields: Vec<(&str, &str)> = fields.iter().map(|f| (&f[..], "")).collect();
    let cases: [(&str, &[(&str, &str)]); 3] = [
        ("one large value", &[("x-a", &large)]),
        ("cookie crumbs", &crumbs),
        ("many fields", &fields),
    ];
    for (what, fields) in cases {
        let mut client = greet(edge.at());
        let head = block("GET", "/", fields);
        let pieces: Vec<&[u8]> = head.chunks(16_000).collect();
        for (n, piece) in pieces.iter().enumerate() {
            let last = if n + 1 == pieces.len() {
                END_HEADERS
            } else {
                0
            };
            let (kind, end) = if n == 0 {
                (HEADERS, END_STREAM)
            } else {
                (CONTINUATION, 0)
            };
            client.send(frame(kind, last | end, 1, piece));
        }
        let end = client
            .frames_until(|f| f.kind == HEADERS || f.kind == GOAWAY)
            .expect(what);
        if end.kind == GOAWAY {
            assert_eq!(end.code(), ENHANCE_YOUR_CALM, "{what}");
        } else {
            // ":status: 431", as a literal.
            assert!(
                end.payload.windows(3).any(|w| w == b"431") || end.payload.contains(&0x48),
                "{what}: {end:?}"
            );
        }
    }
    // A table entry that a byte names again and again: 4,000 bytes each time.
    let mut client = greet(edge.at());
    let mut head = block("GET", "/", &[]);
    head.extend([0x40, 1, b'x', 0x7f]);
    head.extend([0x81, 0x1e]);
    head.extend(vec![b'y'; 127 + 0x81 - 128 + (0x1e << 7)]);
    head.extend(vec![0xbe; 10_000]);
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &head));
    let end = client.frames_until(|f| f.kind == HEADERS || f.kind == GOAWAY);
    assert!(end.is_ok_and(|f| f.kind == HEADERS || f.code() == ENHANCE_YOUR_CALM));
    assert!(origin.take().is_empty(), "none of it reached the origin");
    others_are_served(&edge);
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{} KiB", grown >> 10);
}

#[test]
fn heads_of_open_requests_are_bounded_together() {
    let origin = silent();
    let edge = edge(&origin, r#""max_concurrent_streams": 1000"#, "");
    let mut client = greet(edge.at());
    let large = "x".repeat(15_000);
    let head = block("GET", "/", &[("x-a", &large)]);
    for n in 0..60 {
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 1, &head));
    }
    let refused = client
        .frames_until(|f| f.kind == RST_STREAM)
        .expect("a refusal");
    assert_eq!(refused.code(), REFUSED_STREAM);
    assert!(refused.stream > 60, "{refused:?}");
    others_are_served(&edge);
}

#[test]
fn more_streams_than_allowed_are_refused() {
    let origin = silent();
    let edge = edge(&origin, r#""max_concurrent_streams": 10"#, "");
    let mut client = greet(edge.at());
    // The limit holds once the settings were read.
    client
        .frames_until(|f| f.kind == SETTINGS && f.flags == 0)
        .expect("settings");
    client.send(frame(SETTINGS, ACK, 0, &[]));
    for n in 0..12 {
        client.send(get(2 * n + 1, "/"));
    }
    for id in [21, 23] {
        let refused = client
            .frames_until(|f| f.kind == RST_STREAM)
            .expect("a refusal");
        assert_eq!((refused.stream, refused.code()), (id, REFUSED_STREAM));
    }
    assert_eq!(origin.wait_for(10).len(), 10);
    // One that is reset makes room for one.
    client
        .send(frame(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()))
        .send(get(25, "/"));
    assert_eq!(origin.wait_for(11).len(), 11);
}

#[test]
fn broken_rules_end_the_connection() {
    let origin = silent();
    let edge = edge(&origin, "", "");
    let large = frame(DATA, 0, 1, &vec![0; 20_000]);
    let cases: [(&str, Vec<u8>, u32); 8] = [
        (
            "stream ids that go back",
            [get(5, "/"), get(3, "/")].concat(),
            PROTOCOL_ERROR,
        ),
        ("an even stream id", get(2, "/"), PROTOCOL_ERROR),
        ("stream 0", get(0, "/"), PROTOCOL_ERROR),
        ("too large a frame", large, FRAME_SIZE_ERROR),
        (
            "too large a window",
            frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
            FLOW_CONTROL_ERROR,
        ),
        (
            "a window of 0",
            frame(WINDOW_UPDATE, 0, 0, &[0; 4]),
            PROTOCOL_ERROR,
        ),
        (
            "CONTINUATION of nothing",
            frame(CONTINUATION, END_HEADERS, 1, &[]),
            PROTOCOL_ERROR,
        ),
        (
            "a PUSH_PROMISE",
            frame(5, END_HEADERS, 1, &[0, 0, 0, 2]),
            PROTOCOL_ERROR,
        ),
    ];
    for (what, bytes, code) in cases {
        let mut client = greet(edge.at());
        client.send(bytes);
        assert_eq!(client.goaway(), Some(code), "{what}");
    }
    others_are_served(&edge);
}

#[test]
fn a_wrong_preface_is_no_request() {
    let origin = silent();
    let edge = edge(&origin, "", "");
    for junk in [
        "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        "INVALID CONNECTION PREFACE\r\n\r\n",
    ] {
        let mut client = Client::connect(edge.at());
        client.send(junk);
        let rest = client.rest().expect("an end");
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 505"),
            "{junk:?}"
        );
    }
    // A preface in pieces is one, and one that stops is not waited for without end.
    let mut client = Client::connect(edge.at());
    for b in PREFACE {
        client.send([*b]);
    }
    client.send(frame(SETTINGS, 0, 0, &[])).send(get(1, "/ok"));
    assert!(client.frames_until(|f| f.ends(1)).is_ok());
}

#[test]
fn who_stalls_is_not_waited_for() {
    let origin = silent();
    let timeouts = r#""timeouts": { "head": "200ms", "idle": "300ms", "stall": "300ms" }"#;
    let edge = edge(&origin, "", timeouts);
    let cases: [(&str, Vec<u8>); 4] = [
        ("half a preface", PREFACE[..10].to_vec()),
        (
            "nothing behind the preface",
            [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat(),
        ),
        (
            "half a frame's head",
            [PREFACE, &frame(SETTINGS, 0, 0, &[]), &[0, 0]].concat(),
        ),
        (
            "half a block of fields",
            [
                PREFACE,
                &frame(SETTINGS, 0, 0, &[]),
                &frame(HEADERS, END_STREAM, 1, &block("GET", "/", &[])),
            ]
            .concat(),
        ),
    ];
    for (what, bytes) in cases {
        let mut client = Client::connect(edge.at());
        client.send(bytes);
        let begun = std::time::Instant::now();
        while client.frame().is_ok() {}
        assert!(begun.elapsed() < kit::PATIENCE / 2, "{what}");
    }
    // A body that does not come is a 408 on its stream; the connection goes on.
    let mut client = greet(edge.at());
    client.send(frame(HEADERS, END_HEADERS, 1, &block("POST", "/", &[])));
    let end = client.frames_until(|f| f.ends(1)).expect("an end");
    assert_eq!(end.kind, DATA, "with a problem for its body");
    client.send(get(3, "/ok"));
    assert!(client.frames_until(|f| f.ends(3)).is_ok());
}

#[test]
fn an_answer_that_no_window_takes_is_cut_alone() {
    let origin = Origin::serve(|r| {
        let body = if r.head.starts_with("GET /ok") {
            2
        } else {
            100
        };
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n{}",
            "x".repeat(body)
        )
        .into()
    });
    let edge = edge(&origin, "", r#""timeouts": { "stall": "300ms" }"#);
    let mut client = Client::connect(edge.at());
    // SETTINGS_INITIAL_WINDOW_SIZE of 10 bytes.
    client
        .send(PREFACE)
        .send(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 10]));
    client.send(get(1, "/"));
    let end = client.frames_until(|f| f.ends(1)).expect("an end");
    assert_eq!((end.kind, end.code()), (RST_STREAM, CANCEL));
    client.send(get(3, "/ok"));
    assert!(client
        .frames_until(|f| f.ends(3))
        .is_ok_and(|f| f.kind == DATA));
}

#[test]
fn who_never_reads_is_closed() {
    let origin = Origin::serve(|_| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 50000\r\n\r\n{}",
            "x".repeat(50_000)
        )
        .into()
    });
    let edge = edge(&origin, "", r#""timeouts": { "stall": "500ms" }"#);
    let before = resident();
    let mut client = Client::connect(edge.at());
    // Windows without end, and nobody reads.
    client
        .send(PREFACE)
        .send(frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]));
    client.send(frame(WINDOW_UPDATE, 0, 0, &0x7f00_0000_u32.to_be_bytes()));
    let sent = flood(&mut client, 20_000, |n| get(2 * n + 1, "/"));
    kit::wait_until("the connection is closed", || {
        kit::metric(&edge.gateway, "ironsluice_connections_active") == 0
    });
    let grown = resident().saturating_sub(before);
    assert!(
        grown < 40 << 20,
        "{} KiB after {sent} requests",
        grown >> 10
    );
}
