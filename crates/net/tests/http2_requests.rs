//! Requests over HTTP/2: what reaches the origin, and what comes back.

mod kit;

use kit::http2::{config2, connect, connect_with, fetch, get, give, map, post, request, run};
use kit::{resident, Client, Edge, Origin};

fn edge(origin: &Origin) -> Edge {
    Edge::start(&config2(&[origin.at], "", "", "", "[]"))
}

/// Answers with the head that came, its body and its trailers.
fn mirror() -> Origin {
    Origin::serve(|r| {
        let body = [
            r.head.as_bytes(),
            b"\n",
            &r.body,
            b"\n",
            r.trailers.as_bytes(),
        ]
        .concat();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        [head.as_bytes(), &body].concat()
    })
}

#[test]
fn a_request_is_one_of_http1_to_the_origin() {
    let origin = mirror();
    let edge = edge(&origin);
    let fields = [
        ("cookie", "a=1"),
        ("cookie", "b=2"),
        ("te", "trailers"),
        ("x-a", "b"),
    ];
    let answer = run(async {
        let (send, _) = connect(edge.at()).await;
        fetch(&send, request("GET", "/p/../q?r=s", &fields)).await
    })
    .expect("an answer");
    let text = answer.text().to_lowercase();
    assert_eq!(answer.status, 200);
    for line in [
        "get /q?r=s http/1.1",
        "host: a",
        "cookie: a=1; b=2",
        "te: trailers",
        "x-a: b",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    assert!(
        !text.contains(":path") && !text.contains("content-length"),
        "{text}"
    );
    assert!(answer.field("connection").is_none());
}

#[test]
fn bodies_and_trailers_go_both_ways() {
    let origin = Origin::serve(|r| {
        let mut out =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x-end\r\n\r\n".to_vec();
        out.extend(format!("{:x}\r\n", r.body.len()).into_bytes());
        out.extend(&r.body);
        out.extend(
            format!(
                "\r\n0\r\nx-end: {}\r\n\r\n",
                r.trailers.trim().replace(": ", "-")
            )
            .bytes(),
        );
        out
    });
    let edge = edge(&origin);
    for te in [true, false] {
        let fields: &[_] = if te { &[("te", "trailers")] } else { &[] };
        let answer = run(async {
            let (send, _) = connect(edge.at()).await;
            let trailers = map(&[("x-sum", "7")]);
            let pieces: [&[u8]; 3] = [b"one", b"", b"two"];
            post(&send, request("POST", "/", fields), &pieces, Some(trailers)).await
        })
        .expect("an answer");
        assert_eq!(answer.text(), "onetwo");
        // As with HTTP/1: only who says that it takes trailers gets them.
        let end = answer.trailers.as_ref().and_then(|t| t.get("x-end"));
        assert_eq!(end.map(|v| v.as_bytes()), te.then_some(&b"x-sum-7"[..]));
    }
}

#[test]
fn a_length_is_said_on() {
    let origin = mirror();
    let edge = edge(&origin);
    let answer = run(async {
        let (send, _) = connect(edge.at()).await;
        post(
            &send,
            request("PUT", "/", &[("content-length", "5")]),
            &[b"hello"],
            None,
        )
        .await
    })
    .expect("an answer");
    let text = answer.text().to_lowercase();
    assert!(
        text.contains("content-length: 5") && !text.contains("chunked"),
        "{text}"
    );
    assert_eq!(
        answer.field("content-length"),
        Some(&*answer.body.len().to_string())
    );
}

#[test]
fn answers_without_a_body_have_none() {
    let origin = Origin::serve(|r| {
        let path = r.head.split(' ').nth(1).expect("a target").to_owned();
        match &path[..] {
            "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
            "/0" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "/chunks" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n",
        }
        .into()
    });
    let edge = edge(&origin);
    run(async {
        let (send, _) = connect(edge.at()).await;
        for (method, path, status, length) in [
            ("GET", "/204", 204, None),
            ("GET", "/304", 304, Some("9")),
            ("GET", "/0", 200, Some("0")),
            ("GET", "/chunks", 200, None),
            ("HEAD", "/head", 200, Some("7")),
        ] {
            let answer = fetch(&send, request(method, path, &[])).await.expect(path);
            assert_eq!(
                (answer.status, answer.field("content-length")),
                (status, length),
                "{path}"
            );
            assert!(answer.body.is_empty());
        }
    });
}

#[test]
fn interim_responses_pass() {
    let origin = Origin::start(|mut peer| {
        while peer.request().is_some() {
            peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let edge = edge(&origin);
    run(async {
        let (mut send, _) = connect(edge.at()).await;
        let (mut response, _) = send.send_request(get("/"), true).expect("a stream");
        let interim = std::future::poll_fn(|cx| response.poll_informational(cx)).await;
        let interim = interim.expect("one").expect("a head");
        assert_eq!(interim.status(), 103);
        assert_eq!(interim.headers()["link"], "</a>");
        assert_eq!(
            kit::http2::answer(response.await.expect("a head"))
                .await
                .expect("a body")
                .text(),
            "ok"
        );
    });
}

#[test]
fn http1_is_spoken_on_the_same_port() {
    let origin = Origin::echo();
    let edge = edge(&origin);
    let mut client = Client::connect(edge.at());
    assert_eq!(client.get("/x").body, b"GET /x");
    client.send("GET /y HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n");
    assert_eq!(
        client.response().status,
        200,
        "h2c by Upgrade is not followed"
    );
    let last = origin
        .requests()
        .pop()
        .expect("a request")
        .head
        .to_lowercase();
    assert!(
        !last.contains("upgrade") && !last.contains("http2-settings"),
        "{last}"
    );
    // PRI is a method like any other where a request of HTTP/1 begins so.
    let mut client = Client::connect(edge.at());
    client.send("PRI /z HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().status, 501);
}

#[test]
fn where_it_is_not_said_http2_is_not_spoken() {
    let origin = Origin::echo();
    let edge = Edge::to(&[origin.at]);
    let mut client = Client::connect(edge.at());
    client.send(kit::frames::PREFACE);
    assert_eq!(client.response().status, 505);
}

#[test]
fn a_thousand_requests_at_a_time() {
    let origin = Origin::echo();
    let config = config2(
        &[origin.at],
        r#""max_concurrent_streams": 1000"#,
        "",
        "",
        "[]",
    );
    let edge = Edge::start(&config);
    run(async {
        let (send, _) = connect(edge.at()).await;
        let all: Vec<_> = (0..1000)
            .map(|n| {
                let send = send.clone();
                tokio::spawn(async move {
                    let path = format!("/{n}");
                    let answer = fetch(&send, get(&path)).await.expect("an answer");
                    assert_eq!(answer.text(), format!("GET {path}"));
                })
            })
            .collect();
        for one in all {
            one.await.expect("no request fails");
        }
    });
}

#[test]
fn large_bodies_with_slow_readers_take_little_memory() {
    const SIZE: usize = 64 << 20;
    let origin = Origin::start(|mut peer| {
        while let Some(head) = peer.head() {
            if head.head.starts_with("POST") {
                // Reads slowly: in pieces, the gateway must wait.
                let mut left = SIZE;
                while left > 0 {
                    let Some(piece) = peer.exactly(left.min(1 << 20)) else {
                        return;
                    };
                    left -= piece.len();
                    std::thread::yield_now();
                }
                peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
            let piece = vec![7; 1 << 20];
            for _ in 0..SIZE >> 20 {
                peer.send(&piece);
            }
        }
    });
    let edge = edge(&origin);
    run(async {
        let (mut send, _) = connect(edge.at()).await;
        let before = resident();
        // Nobody reads: what the windows allow comes, and no more is taken from the origin.
        let (response, _) = send.send_request(get("/"), true).expect("a stream");
        let mut body = response.await.expect("a head").into_body();
        let mut got = 0;
        while let Some(data) = body.data().await {
            let n = data.expect("data").len();
            got += n;
            body.flow_control().release_capacity(n).expect("a window");
            if got % (4 << 20) < n {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(got, SIZE);
        let mut send = send.ready().await.expect("room");
        let upload = request("POST", "/", &[("content-length", &SIZE.to_string())]);
        let (response, mut to) = send.send_request(upload, false).expect("a stream");
        let piece = vec![7; 1 << 20];
        for n in 0..SIZE >> 20 {
            give(&mut to, &piece, n + 1 == SIZE >> 20)
                .await
                .expect("sent");
        }
        assert_eq!(response.await.expect("a head").status(), 200);
        let grown = resident().saturating_sub(before);
        assert!(grown < 24 << 20, "{} KiB", grown >> 10);
    });
}

#[test]
fn a_window_that_stays_shut_stops_the_upstream() {
    let origin = Origin::start(|mut peer| {
        if peer.head().is_some() {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            let piece = vec![7; 1 << 16];
            // Until the gateway takes no more, and then closes.
            while std::io::Write::write_all(&mut peer.stream, &piece).is_ok() {}
        }
    });
    let listener = r#""timeouts": { "stall": "500ms" }"#;
    let edge = Edge::start(&config2(&[origin.at], "", listener, "", "[]"));
    let before = resident();
    run(async {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(10_000);
        let (mut send, _) = connect_with(edge.at(), &builder).await;
        let (response, _) = send.send_request(get("/"), true).expect("a stream");
        let mut body = response.await.expect("a head").into_body();
        let mut got = 0;
        let end = loop {
            match body.data().await {
                Some(Ok(data)) => got += data.len(),
                Some(Err(e)) => break e,
                None => panic!("it was not whole"),
            }
        };
        assert!(end.is_reset(), "{end}");
        assert_eq!(got, 10_000);
        // The connection goes on.
        let answer = fetch(&send, request("TRACE", "/", &[])).await;
        assert_eq!(answer.expect("an answer").status, 405);
    });
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{} KiB", grown >> 10);
    origin.wait_for_ends(1);
}
