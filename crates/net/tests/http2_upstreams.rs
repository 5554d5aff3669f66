//! Upstreams that speak HTTP/2: requests of both kinds of clients as streams of few connections.

mod kit;

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

use http::HeaderMap;
use kit::http2::{config2, connect, fetch, get, give, map, post, request, run, take, Origin2};
use kit::{Client, Edge};

fn edge(origin: &Origin2, upstream: &str) -> Edge {
    let more = if upstream.is_empty() { "" } else { ", " };
    let upstream = format!(r#""protocol": "http2"{more}{upstream}"#);
    Edge::start(&config2(&[origin.at], "", "", &upstream, "[]"))
}

#[test]
fn clients_of_both_kinds_get_what_it_answers() {
    let origin = Origin2::echo();
    let edge = edge(&origin, "");
    let mut client = Client::connect(edge.at());
    client.send("POST /a?b HTTP/1.1\r\nHost: x.example\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-sum: 7\r\n\r\n");
    let answer = client.response();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"hello"[..]));
    assert_eq!(answer.trailers, "x-sum: 7\r\n");
    assert_eq!(answer.field("x-saw"), Some("POST http://x.example/a?b"));
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.response().body, b"abc");
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.try_response("HEAD").expect("a head").status, 200);
    assert_eq!(client.get("/").body, b"", "the connection goes on");
    let answer = run(async {
        let (send, _) = connect(edge.at()).await;
        let trailers = Some(map(&[("x-sum", "8")]));
        post(
            &send,
            request("POST", "/c", &[("te", "trailers")]),
            &[b"one", b"two"],
            trailers,
        )
        .await
    })
    .expect("an answer");
    assert_eq!(answer.text(), "onetwo");
    assert_eq!(answer.trailers.expect("trailers")["x-sum"], "8");
    let heads = origin.heads.lock().expect("the list");
    for (_, head) in heads.iter() {
        assert!(head.headers.contains_key("x-forwarded-for"));
        for name in ["connection", "host", "transfer-encoding", "keep-alive"] {
            assert!(!head.headers.contains_key(name), "{name}");
        }
    }
    drop(heads);
    assert_eq!(origin.connections(), 1, "all went by one connection");
}

#[test]
fn what_the_other_side_allows_is_kept() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (o, m) = (open.clone(), most.clone());
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(5);
    let origin = Origin2::with(builder, usize::MAX, move |turn| {
        let (o, m) = (o.clone(), m.clone());
        async move {
            let n = o.fetch_add(1, SeqCst) + 1;
            m.fetch_max(n, SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            turn.answer(HeaderMap::new(), b"ok", None).await;
            o.fetch_sub(1, SeqCst);
        }
    });
    let edge = edge(&origin, "");
    run(async {
        let (send, _) = connect(edge.at()).await;
        fetch(&send, get("/")).await.expect("an answer");
        let all: Vec<_> = (0..40)
            .map(|_| {
                let send = send.clone();
                tokio::spawn(async move { fetch(&send, get("/")).await.expect("an answer").text() })
            })
            .collect();
        for one in all {
            assert_eq!(one.await.expect("no request fails"), "ok");
        }
    });
    // Before its settings have come nobody knows them: some requests wait for their turn then.
    let (most, connections) = (most.load(SeqCst), origin.connections());
    assert!(
        connections >= 2 && most <= 5 * connections,
        "{most} by {connections}"
    );
}

#[test]
fn our_own_limit_makes_more_connections() {
    let origin = Origin2::start(|turn| async move {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        turn.answer(HeaderMap::new(), b"ok", None).await;
    });
    let edge = edge(&origin, r#""http2": { "max_concurrent_streams": 2 }"#);
    run(async {
        let (send, _) = connect(edge.at()).await;
        let all: Vec<_> = (0..6)
            .map(|_| {
                let send = send.clone();
                tokio::spawn(async move { fetch(&send, get("/")).await.expect("an answer").status })
            })
            .collect();
        for one in all {
            assert_eq!(one.await.expect("no request fails"), 200);
        }
    });
    assert_eq!(origin.connections(), 3);
}

#[test]
fn a_stream_that_was_refused_is_sent_again_once() {
    let count = Arc::new(AtomicUsize::new(0));
    let seen = count.clone();
    let origin = Origin2::start(move |mut turn| {
        let n = seen.fetch_add(1, SeqCst);
        async move {
            if n == 0 || turn.head.uri.path() == "/never" {
                turn.respond.send_reset(h2::Reason::REFUSED_STREAM);
                return;
            }
            turn.answer(HeaderMap::new(), b"ok", None).await;
        }
    });
    let edge = edge(&origin, "");
    let mut client = Client::connect(edge.at());
    client.send("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        client.response().body,
        b"ok",
        "whatever its method: nothing was done for it"
    );
    assert_eq!(count.load(SeqCst), 2);
    let answer = client.get("/never");
    assert_eq!((answer.status, &*answer.code()), (502, "upstream_reset"));
    assert_eq!(count.load(SeqCst), 4, "not for ever");
}

#[test]
fn a_connection_that_says_goodbye_is_replaced() {
    let builder = h2::server::Builder::new();
    let origin = Origin2::with(builder, 3, |turn| async move {
        turn.answer(HeaderMap::new(), b"ok", None).await;
    });
    let edge = edge(&origin, "");
    let mut client = Client::connect(edge.at());
    for n in 0..30 {
        let answer = client.get("/");
        assert_eq!(
            (answer.status, &answer.body[..]),
            (200, &b"ok"[..]),
            "request {n}"
        );
    }
    assert!(
        (10..=30).contains(&origin.connections()),
        "{}",
        origin.connections()
    );
}

#[test]
fn failures_are_told_as_those_of_http1() {
    let origin = Origin2::start(|mut turn| async move {
        match turn.head.uri.path() {
            "/reset" => turn.respond.send_reset(h2::Reason::INTERNAL_ERROR),
            "/silent" => tokio::time::sleep(kit::PATIENCE).await,
            "/cut" => {
                let mut send = turn
                    .respond
                    .send_response(http::Response::new(()), false)
                    .expect("sent");
                send.send_data("half".into(), false).expect("sent");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                send.send_reset(h2::Reason::INTERNAL_ERROR);
            }
            _ => turn.answer(HeaderMap::new(), b"ok", None).await,
        }
    });
    let edge = edge(&origin, r#""timeouts": { "response": "200ms" }"#);
    let mut client = Client::connect(edge.at());
    for (path, status, code) in [
        ("/reset", 502, "upstream_reset"),
        ("/silent", 504, "response_timeout"),
        ("/", 200, ""),
    ] {
        let answer = client.get(path);
        assert_eq!((answer.status, &*answer.code()), (status, code), "{path}");
    }
    client.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.try_response("GET").is_err(), "a cut is seen");
    // No connection at all.
    let at = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("one");
    let none = Edge::start(&config2(&[at], "", "", r#""protocol": "http2""#, "[]"));
    let answer = Client::connect(none.at()).get("/");
    assert_eq!((answer.status, &*answer.code()), (503, "upstream_refused"));
    // One that speaks HTTP/1.
    let old = kit::Origin::echo();
    let wrong = Edge::start(&config2(&[old.at], "", "", r#""protocol": "http2""#, "[]"));
    let answer = Client::connect(wrong.at()).get("/");
    assert_eq!((answer.status, &*answer.code()), (503, "upstream_refused"));
}

#[test]
fn an_idle_connection_is_closed() {
    let origin = Origin2::echo();
    let edge = edge(&origin, r#""keepalive": { "idle": "100ms" }"#);
    let mut client = Client::connect(edge.at());
    client.get("/");
    kit::wait_until("the idle connection is closed", || {
        origin.ended.load(SeqCst) == 1
    });
    client.get("/");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn a_request_that_nobody_awaits_is_reset() {
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let origin = Origin2::start(move |mut turn| {
        let tell = tell.lock().expect("the channel").clone();
        async move {
            tell.send("came").expect("it is awaited");
            let reset = std::future::poll_fn(|cx| turn.respond.poll_reset(cx)).await;
            assert_eq!(reset.expect("a reset"), h2::Reason::CANCEL);
            tell.send("reset").expect("it is awaited");
        }
    });
    let edge = edge(&origin, "");
    let mut client = Client::connect(edge.at());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(told.recv_timeout(kit::PATIENCE), Ok("came"));
    drop(client);
    assert_eq!(told.recv_timeout(kit::PATIENCE), Ok("reset"));
}

#[test]
fn an_answer_may_begin_before_its_request_has_ended() {
    let origin = Origin2::start(|mut turn| async move {
        let mut send = turn
            .respond
            .send_response(http::Response::new(()), false)
            .expect("sent");
        while let Some(data) = turn.body.data().await {
            let data = data.expect("data");
            give(&mut send, &data, false).await.expect("sent");
            let n = data.len();
            turn.body
                .flow_control()
                .release_capacity(n)
                .expect("a window");
        }
        send.send_trailers(map(&[("x-end", "yes")])).expect("sent");
    });
    let edge = edge(&origin, "");
    run(async {
        let (send, _) = connect(edge.at()).await;
        for size in [1_000, 65_535, 65_536, 100_000, 300_000, 3_000_000] {
            let all: Vec<_> = (0..5)
                .map(|_| {
                    let send = send.clone();
                    tokio::spawn(async move {
                        let body = vec![7; size];
                        let asked = request("POST", "/", &[("te", "trailers")]);
                        let mut send = send.ready().await.expect("room");
                        let (response, mut to) = send.send_request(asked, false).expect("sent");
                        let sending = tokio::spawn(async move { give(&mut to, &body, true).await });
                        let head = response.await.expect("a head");
                        let answer = kit::http2::answer(head).await.expect("an answer");
                        sending.await.expect("a task").expect("sent");
                        assert_eq!(answer.body.len(), size);
                        assert!(answer.trailers.is_some());
                    })
                })
                .collect();
            for one in all {
                one.await.expect("no request fails");
            }
        }
    });
}

#[test]
fn large_bodies_go_both_ways_in_little_memory() {
    const SIZE: usize = 32 << 20;
    let origin = Origin2::start(|mut turn| async move {
        let (body, _) = take(&mut turn.body).await.expect("a body");
        turn.answer(HeaderMap::new(), &body, None).await;
    });
    let edge = edge(&origin, "");
    let mut client = Client::connect(edge.at());
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n"
    ));
    let piece: Vec<u8> = (0..1 << 20).map(|n| (n % 251) as u8).collect();
    for _ in 0..SIZE >> 20 {
        client.send(&piece);
    }
    let answer = client.response();
    assert_eq!(answer.body.len(), SIZE);
    assert!(answer.body.chunks(1 << 20).all(|c| c == piece));
}
