//! How HTTP/2 connections and their requests end: GOAWAY, resets in both directions, reloads under load.

mod kit;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::Arc;
use std::time::Duration;

use kit::frames::{self, frame, greet, GOAWAY, PING, SETTINGS};
use kit::http2::{config2, connect, fetch, get, request, run};
use kit::{Edge, Origin};

fn edge(origin: &Origin, http2: &str, listener: &str) -> Edge {
    Edge::start(&config2(&[origin.at], http2, listener, "", "[]"))
}

#[test]
fn an_upstream_that_breaks_off_resets_the_stream_alone() {
    let origin = Origin::start(|mut peer| {
        while let Some(r) = peer.request() {
            if r.head.starts_with("GET /cut") {
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc");
                return;
            }
            if r.head.starts_with("GET /chunks") {
                peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
                return;
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let edge = edge(&origin, "", "");
    run(async {
        let (send, _) = connect(edge.at()).await;
        for path in ["/cut", "/chunks"] {
            let end = fetch(&send, get(path)).await;
            let end = end.map(|a| (a.status, a.text()));
            match end {
                // Nothing had been sent: the client can still be told.
                Ok((status, _)) => assert_eq!(status, 502, "{path}"),
                Err(e) => assert!(e.is_reset() && e.is_remote(), "{path}: {e}"),
            }
            assert_eq!(
                fetch(&send, get("/")).await.expect("an answer").text(),
                "ok"
            );
        }
    });
}

#[test]
fn a_client_that_resets_lets_the_upstream_go() {
    let origin = Origin::start(|mut peer| {
        if let Some(r) = peer.head() {
            peer.remember(r);
            assert!(peer.is_closed());
        }
    });
    let edge = edge(&origin, "", "");
    run(async {
        let (mut send, _) = connect(edge.at()).await;
        let (response, mut stream) = send.send_request(get("/"), true).expect("a stream");
        tokio::task::spawn_blocking({
            let n = 1;
            let all = origin.requests();
            move || (n, all)
        })
        .await
        .expect("a thread");
        for _ in 0..200 {
            if !origin.requests().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stream.send_reset(h2::Reason::CANCEL);
        assert!(response.await.is_err());
    });
    origin.wait_for_ends(1);
}

#[test]
fn an_early_answer_ends_the_body() {
    let origin = Origin::echo();
    let filters = r#"[{ "use": "respond", "status": 403 }]"#;
    let edge = Edge::start(&config2(&[origin.at], "", "", "", filters));
    let mut client = greet(edge.at());
    let head = frames::block("POST", "/", &[]);
    client.send(frame(frames::HEADERS, frames::END_HEADERS, 1, &head));
    client.frames_until(|f| f.ends(1)).expect("an answer");
    let reset = client
        .frames_until(|f| f.kind == frames::RST_STREAM)
        .expect("a reset");
    assert_eq!(
        reset.code(),
        frames::NO_ERROR,
        "no more of the body is wanted"
    );
    client.send(frames::get(3, "/"));
    client.frames_until(|f| f.ends(3)).expect("another answer");
}

#[test]
fn draining_says_goodbye_in_two_steps() {
    let origin = Origin::start(|mut peer| {
        while let Some(r) = peer.request() {
            // Answers when the gateway drains already.
            while !r.head.starts_with("GET /now") && !GO.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(2));
            }
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    static GO: AtomicBool = AtomicBool::new(false);
    let edge = edge(&origin, "", "");
    let mut client = greet(edge.at());
    client
        .frames_until(|f| f.kind == SETTINGS && f.flags == 0)
        .expect("settings");
    client.send(frame(SETTINGS, frames::ACK, 0, &[]));
    client.send(frames::get(1, "/wait"));
    origin.wait_for(1);
    let gateway = std::thread::spawn(move || {
        edge.gateway.drain(Duration::from_secs(8));
        edge
    });
    let first = client.frames_until(|f| f.kind == GOAWAY).expect("a GOAWAY");
    assert_eq!(
        (&first.payload[..4], first.code()),
        (&[0x7f, 0xff, 0xff, 0xff][..], 0)
    );
    // What was on its way is still answered.
    client.send(frames::get(3, "/now"));
    client.frames_until(|f| f.ends(3)).expect("an answer");
    // The round trip: only now is it known which streams counted.
    let mut second = None;
    client.send(frame(
        PING,
        frames::ACK,
        0,
        &[0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54],
    ));
    GO.store(true, SeqCst);
    while let Ok(f) = client.frame() {
        if f.kind == GOAWAY {
            second = Some(u32::from_be_bytes(
                f.payload[..4].try_into().expect("an id"),
            ));
        }
        if f.ends(1) {
            assert_eq!(f.kind, frames::DATA);
        }
    }
    assert_eq!(second, Some(3));
    gateway.join().expect("it drains");
}

#[test]
fn an_idle_connection_is_told_and_closed() {
    let origin = Origin::echo();
    let edge = edge(&origin, "", r#""timeouts": { "idle": "200ms" }"#);
    run(async {
        let (send, connection) = connect(edge.at()).await;
        fetch(&send, get("/")).await.expect("an answer");
        connection.await.expect("a task").expect("a good end");
        assert!(fetch(&send, get("/")).await.is_err());
    });
}

#[test]
fn a_connection_has_its_number_of_requests() {
    let origin = Origin::echo();
    let edge = edge(&origin, "", r#""limits": { "requests_per_connection": 3 }"#);
    run(async {
        let (send, connection) = connect(edge.at()).await;
        for _ in 0..3 {
            fetch(&send, get("/")).await.expect("an answer");
        }
        connection.await.expect("a task").expect("a good end");
    });
}

#[test]
fn reloads_under_load_harm_nobody() {
    let origin = Origin::echo();
    let config = |n: usize| {
        config2(&[origin.at], "", "", "", "[]")
            .replace("\"routes\": [", &format!("\"routes\": [{{ \"name\": \"r{n}\", \"match\": {{ \"path\": \"/r{n}\" }}, \"to\": \"origin\" }}, "))
    };
    let edge = Edge::start(&config(0));
    let (over, count) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let load: Vec<_> = (0..2)
        .map(|_| {
            let (over, count, at) = (over.clone(), count.clone(), edge.at());
            std::thread::spawn(move || {
                run(async {
                    // One connection for all: one that ends fails the test.
                    let (send, _) = connect(at).await;
                    let all: Vec<_> = (0..20)
                        .map(|n| {
                            let (send, over, count) = (send.clone(), over.clone(), count.clone());
                            tokio::spawn(async move {
                                while !over.load(SeqCst) {
                                    let path = format!("/{n}");
                                    let answer = fetch(&send, get(&path)).await.expect("an answer");
                                    assert_eq!(answer.text(), format!("GET {path}"));
                                    count.fetch_add(1, SeqCst);
                                }
                            })
                        })
                        .collect();
                    for one in all {
                        one.await.expect("no request fails");
                    }
                });
            })
        })
        .collect();
    for n in 1..=40 {
        edge.reload(&config(n));
        // The pace is the test's subject; nothing is waited for.
        std::thread::sleep(Duration::from_millis(25));
    }
    over.store(true, SeqCst);
    for thread in load {
        thread.join().expect("no request fails");
    }
    assert!(count.load(SeqCst) > 400, "{}", count.load(SeqCst));
}

#[test]
fn a_listener_that_goes_takes_leave_of_its_clients() {
    let origin = Origin::echo();
    let with = config2(&[origin.at], "", "", "", "[]");
    let without = with.replace("\"name\": \"web\"", "\"name\": \"other\"");
    let edge = Edge::start(&with);
    run(async {
        let (send, connection) = connect(edge.at()).await;
        fetch(&send, get("/")).await.expect("an answer");
        edge.reload(&without);
        connection.await.expect("a task").expect("a good end");
        let (send, _) = connect(edge.at()).await;
        fetch(&send, request("GET", "/", &[]))
            .await
            .expect("an answer");
    });
}
