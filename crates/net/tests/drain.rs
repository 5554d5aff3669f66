//! The end of a gateway: requests on their way finish, idle connections are let go of, nothing new
//! is taken in, and what does not finish is cut at the deadline. Nothing stays open behind it.

mod kit;

use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use kit::{config_to, descriptors, metric, wait_until, Client, Edge, Origin, PATIENCE};

#[test]
fn requests_on_their_way_finish_and_all_else_is_let_go() {
    let _alone = alone();
    let (origin, go) = held_origin();
    let edge = Edge::to(&[origin.at]);
    let at = edge.at();
    let mut idle = Client::connect(at);
    assert_eq!(idle.get("/now").status, 200);
    let mut silent = Client::connect(at);
    let mut waits = Client::connect(at);
    waits.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut begun = Client::connect(at);
    begun.send("GET /begun HTTP/1.1\r\nHost: a\r\n\r\n");
    let head = begun.until(b"12345").expect("the response begins");
    assert!(!String::from_utf8_lossy(&head).contains("onnection: close"));
    let mut half = Client::connect(at);
    half.send("GET /now HTTP/1.1\r\nHo");
    origin.wait_for(3);
    wait_until("all connections", || {
        metric(&edge.gateway, "ironsluice_connections_active") == 5
    });

    let ended = drain(edge, PATIENCE);
    assert!(idle.is_closed(), "an idle connection");
    assert!(silent.is_closed(), "a connection that never asked");
    assert!(
        std::net::TcpStream::connect(at).is_err(),
        "nothing new is taken in"
    );
    half.send("st: a\r\n\r\n");
    let r = half.response();
    assert_eq!((r.status, r.field("connection")), (200, Some("close")));
    assert!(half.is_closed());
    go.send(()).expect("the origin waits");
    go.send(()).expect("the origin waits");
    let r = waits.response();
    assert_eq!((r.status, r.field("connection")), (200, Some("close")));
    assert!(waits.is_closed());
    // Its head was out before: it could not say that it was the last.
    assert_eq!(begun.exactly(5).expect("the rest"), b"67890");
    assert!(begun.is_closed());
    let (whole, took) = ended.join().expect("the end");
    assert!(whole, "something was cut");
    assert!(took < PATIENCE / 2, "it took {took:?}");
}

#[test]
fn what_does_not_finish_is_cut_at_the_deadline() {
    let _alone = alone();
    let (origin, _go) = held_origin();
    let log = std::env::temp_dir().join(format!("ironsluice-cut-{}.log", std::process::id()));
    let to = log.display();
    let format = format!(r#"{{ "access_log": {{ "to": "{to}", "format": "$path $status" }}, "#);
    let edge = Edge::start(&config_to(&[origin.at], "{}", "[]").replacen('{', &format, 1));
    let mut waits = Client::connect(edge.at());
    waits.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut begun = Client::connect(edge.at());
    // To a client of 1.0 the end of the connection would be the end of the body.
    begun.send("GET /until-close HTTP/1.0\r\nHost: a\r\n\r\n");
    begun.until(b"12345").expect("the response begins");
    let mut tunnel = Client::connect(edge.at());
    tunnel.send("GET /tunnel HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\n");
    assert_eq!(tunnel.try_response("HEAD").expect("a head").status, 101);
    origin.wait_for(3);
    let (whole, took) = drain(edge, Duration::from_millis(300))
        .join()
        .expect("the end");
    assert!(!whole, "nothing was cut");
    assert!(took >= Duration::from_millis(300), "cut early: {took:?}");
    assert!(took < Duration::from_secs(3), "cut late: {took:?}");
    assert!(waits.is_closed());
    assert_eq!(begun.rest().expect_err("a visible cut"), "reset");
    assert!(tunnel.is_closed());
    let lines = std::fs::read_to_string(&log).expect("the log");
    std::fs::remove_file(&log).expect("removed");
    let mut lines: Vec<_> = lines.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["/held 499", "/tunnel 101", "/until-close 200"]);
}

#[test]
fn a_close_is_at_once_and_leaves_nothing_open() {
    let _alone = alone();
    let (origin, _go) = held_origin();
    // The first gateway of a process may leave something behind that others use again.
    Edge::to(&[origin.at]).gateway.close();
    for (name, end) in [
        ("close", (|e: Edge| e.gateway.close()) as fn(Edge)),
        ("drop", |e: Edge| drop(e)),
        ("drain", |e: Edge| {
            e.gateway.drain(Duration::from_millis(50));
        }),
        ("close twice", |e: Edge| {
            e.gateway.close();
            e.gateway.close();
        }),
    ] {
        let before = descriptors();
        let edge = Edge::start(
            &config_to(&[origin.at], "{}", "[]").replace("\"workers\": 1", "\"workers\": 2"),
        );
        let mut clients: Vec<_> = (0..4).map(|_| Client::connect(edge.at())).collect();
        let had = origin.requests().len();
        for (client, path) in clients.iter_mut().zip(["/now", "/held", "/begun", "/now"]) {
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
        origin.wait_for(had + 4);
        let began = Instant::now();
        end(edge);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "{name}: {took:?}");
        for client in &mut clients {
            // Whatever was answered, it has ended.
            while client.exactly(1).is_ok() {}
        }
        drop(clients);
        // The origin's threads see the end a little later; the gateway's own went with it.
        wait_until(name, || descriptors() <= before);
    }
}

/// Ends a gateway on a thread of its own; tells whether all finished, and how long it took.
fn drain(edge: Edge, within: Duration) -> thread::JoinHandle<(bool, Duration)> {
    thread::spawn(move || {
        let began = Instant::now();
        let whole = edge.gateway.drain(within);
        (whole, began.elapsed())
    })
}

/// `/held` and `/begun` are answered, and finished, when the test says so; they hear of the end of
/// their connection too.
fn held_origin() -> (Origin, Sender<()>) {
    let (go, gone) = channel();
    let gone = Arc::new(Mutex::new(gone));
    let origin = Origin::start(move |mut peer| {
        while let Some(request) = peer.head() {
            let path = request
                .head
                .split(' ')
                .nth(1)
                .unwrap_or_default()
                .to_owned();
            peer.remember(request);
            match &*path {
                "/held" => {
                    if !told(&gone, &mut peer) {
                        return;
                    }
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody");
                }
                "/begun" => {
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
                    if !told(&gone, &mut peer) {
                        return;
                    }
                    peer.send("67890");
                }
                "/until-close" => {
                    peer.send("HTTP/1.1 200 OK\r\n\r\n12345");
                    peer.is_closed();
                    return;
                }
                "/tunnel" => {
                    peer.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: test\r\n\r\n");
                    peer.is_closed();
                    return;
                }
                _ => {
                    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody");
                }
            }
        }
    });
    (origin, go)
}

/// Waits for the test's word; false if the connection ends before.
fn told(gone: &Mutex<Receiver<()>>, peer: &mut kit::Peer) -> bool {
    peer.stream
        .set_read_timeout(Some(Duration::from_millis(5)))
        .expect("timeout");
    let began = Instant::now();
    while began.elapsed() < PATIENCE {
        if gone.lock().expect("the word").try_recv().is_ok() {
            peer.stream
                .set_read_timeout(Some(PATIENCE))
                .expect("timeout");
            return true;
        }
        let mut byte = [0];
        if peer.stream.peek(&mut byte).is_ok_and(|n| n == 0) {
            return false;
        }
    }
    false
}

/// Descriptors are the process's.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}
