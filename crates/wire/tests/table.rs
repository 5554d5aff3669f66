//! The tables in `cases/`: what an attacker or a hostile upstream sends and what is made of it, each
//! case in one piece, byte after byte, and in pieces of seven.

mod kit;

use kit::{chunked, lines, request, response, table, unescape, ways, Parsed};
use wire::http1::{write_request, write_response};
use wire::{Connection, Framing, Limits, Method, RequestInfo, Version};

#[test]
fn requests_refused() {
    for row in table(include_str!("cases/requests_refused.txt")) {
        refused(row.name(), &row.bytes(), row.columns[1]);
    }
}

#[test]
fn requests_too_large() {
    let a = |count| "a".repeat(count);
    let get = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\n{fields}\r\n");
    let cases = [
        (
            "100 KiB target",
            get(&format!("/{}", a(100 << 10)), "Host: a\r\n"),
            "414 uri_too_long",
        ),
        (
            "8 KiB + 1 target",
            get(&format!("/{}", a(8192)), "Host: a\r\n"),
            "414 uri_too_long",
        ),
        (
            "100 KiB method",
            a(100 << 10) + " / HTTP/1.1\r\n\r\n",
            "431 method_too_long",
        ),
        (
            "33 byte method",
            a(33) + " / HTTP/1.1\r\nHost: a\r\n\r\n",
            "431 method_too_long",
        ),
        (
            "100 KiB name",
            get("/", &(a(100 << 10) + ": a\r\n")),
            "431 head_too_large",
        ),
        (
            "100 KiB value",
            get("/", &format!("a: {}\r\n", a(100 << 10))),
            "431 head_too_large",
        ),
        (
            "101 fields",
            get("/", &"a: b\r\n".repeat(101)),
            "431 too_many_fields",
        ),
        (
            "10,000 fields",
            get("/", &"a:\r\n".repeat(10_000)),
            "431 too_many_fields",
        ),
        (
            "256 byte host",
            get("/", &format!("Host: {}\r\n", a(256))),
            "400 bad_host",
        ),
        (
            "33 options",
            get(
                "/",
                &format!("Host: a\r\nConnection: {}\r\n", "a,".repeat(33)),
            ),
            "400 bad_connection",
        ),
    ];
    for (name, text, want) in cases {
        refused(name, text.as_bytes(), want);
    }
    let target = format!("/{}", a(8191));
    let largest = get(&target, &format!("Host: a\r\n{}", "a: b\r\n".repeat(99)));
    assert!(matches!(request(largest.as_bytes(), &[]), Ok(Some(_))));
}

fn refused(name: &str, bytes: &[u8], want: &str) {
    for cuts in ways(bytes.len()) {
        let verdict = request(bytes, &cuts).map(|p| p.is_some());
        let verdict = verdict.map_err(|r| format!("{} {}", r.status, r.code));
        assert_eq!(verdict, Err(want.to_owned()), "{name}");
    }
}

#[test]
fn requests_accepted() {
    for row in table(include_str!("cases/requests_accepted.txt")) {
        let (name, bytes) = (row.name(), row.bytes());
        for cuts in ways(bytes.len()) {
            let parsed = request(&bytes, &cuts);
            let Ok(Some(parsed)) = parsed else {
                panic!("{name}: {parsed:?}");
            };
            let want = unescape(row.then.expect("what is sent"));
            assert_eq!(text(&forwarded(&parsed)), text(&want), "{name}");
            assert_eq!(parsed.len, bytes.len(), "{name}");
        }
        for end in 0..bytes.len() {
            let part = request(&bytes[..end], &[]);
            assert!(
                matches!(part, Ok(None)),
                "{name}: a part is no head: {part:?}"
            );
        }
    }
}

fn forwarded(parsed: &Parsed<RequestInfo>) -> Vec<u8> {
    let Parsed { info, head, .. } = parsed;
    let mut out = Vec::new();
    let upgrade = info.upgrade.map(|span| head.slice(span));
    write_request(head, info.framing, upgrade, info.te_trailers, &mut out);
    out
}

#[test]
fn what_a_request_says_beside_its_list() {
    let keep = RequestInfo {
        framing: Framing::None,
        keep_alive: true,
        expect_continue: false,
        upgrade: None,
        te_trailers: false,
    };
    let close = RequestInfo {
        keep_alive: false,
        ..keep
    };
    let te = RequestInfo {
        te_trailers: true,
        ..keep
    };
    let length = Framing::Length;
    let most = RequestInfo {
        framing: length(i64::MAX as u64),
        expect_continue: true,
        ..keep
    };
    let old = RequestInfo {
        framing: length(1),
        ..close
    };
    let cases = [
        ("GET / HTTP/1.1\r\nHost: a\r\n", keep),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n", close),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, close\r\n", close),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: b,\r\nConnection: ,close\r\n", close),
        ("GET / HTTP/1.0\r\n", close),
        ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n", keep),
        ("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n", close),
        ("GET / HTTP/1.0\r\nProxy-Connection: keep-alive\r\n", close),
        ("GET / HTTP/1.1\r\nHost: a\r\nTE: gzip, Trailers\r\n", te),
        ("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers-x\r\n", keep),
        (
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\nExpect: 100-Continue\r\n",
            most,
        ),
        ("PUT / HTTP/1.0\r\nContent-Length: 1\r\nExpect: 100-continue\r\n", old),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n", keep),
        ("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n", keep),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\n", keep),
    ];
    for (text, want) in cases {
        let parsed = request(format!("{text}\r\n").as_bytes(), &[]);
        let parsed = parsed.ok().flatten().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(parsed.info, want, "{text}");
    }
}

#[test]
fn responses_refused() {
    for row in table(include_str!("cases/responses_refused.txt")) {
        let bytes = row.bytes();
        for cuts in ways(bytes.len()) {
            let verdict = response(&bytes, Method::Get, &cuts).map(|p| p.is_some());
            let verdict = verdict.map_err(|r| format!("{} {}", r.status, r.code));
            let want = format!("502 {}", row.columns[1]);
            assert_eq!(verdict, Err(want), "{}", row.name());
        }
    }
}

#[test]
fn responses_accepted() {
    let date = b"Sun, 06 Nov 1994 08:49:37 GMT";
    for row in table(include_str!("cases/responses_accepted.txt")) {
        let (name, bytes) = (row.name(), row.bytes());
        let method = Method::of(row.columns[1].as_bytes());
        for cuts in ways(bytes.len()) {
            let parsed = response(&bytes, method, &cuts);
            let Ok(Some(Parsed { info, head, len })) = parsed else {
                panic!("{name}: {parsed:?}");
            };
            assert_eq!(len, bytes.len(), "{name}");
            let framing = match info.framing {
                Framing::None => "none".to_owned(),
                Framing::Length(length) => length.to_string(),
                Framing::Chunked => "chunked".to_owned(),
                Framing::UntilClose => "close".to_owned(),
            };
            let stays = if info.keep_alive { "keep" } else { "close" };
            let declared = info
                .declared_length
                .map_or("-".to_owned(), |n| n.to_string());
            let upgrade = info.upgrade.map(|span| head.slice(span));
            let said = format!(
                "{framing} {stays} {declared} {}",
                text(upgrade.unwrap_or_default())
            );
            assert_eq!(said.trim_end(), row.columns[2], "{name}");

            let connection = upgrade.map_or(Connection::KeepAlive, Connection::Upgrade);
            let mut out = Vec::new();
            let declared = info.declared_length;
            write_response(
                &head,
                Version::Http11,
                info.framing,
                declared,
                connection,
                date,
                &mut out,
            );
            let sent = text(&out).replace("Date: Sun, 06 Nov 1994 08:49:37 GMT\\r\\n", "");
            assert_eq!(
                sent,
                text(&unescape(row.then.expect("what is sent"))),
                "{name}"
            );
        }
    }
}

#[test]
fn chunked_refused() {
    let limits = Limits::default();
    for row in table(include_str!("cases/chunked_refused.txt")) {
        let bytes = row.bytes();
        for cuts in ways(bytes.len()) {
            let verdict = chunked(&bytes, &cuts, &limits);
            let verdict = verdict.map_err(|r| format!("{} {}", r.status, r.code));
            assert_eq!(verdict, Err(row.columns[1].to_owned()), "{}", row.name());
        }
    }
}

#[test]
fn chunked_accepted() {
    let limits = Limits::default();
    for row in table(include_str!("cases/chunked_accepted.txt")) {
        let (name, bytes) = (row.name(), row.bytes());
        let next = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
        for cuts in ways(next.len()) {
            let body = chunked(&next, &cuts, &limits).expect(name);
            let (data, trailers) = row.then.and_then(|t| t.split_once('|')).expect(name);
            assert_eq!(text(&body.data), text(&unescape(data.trim())), "{name}");
            assert_eq!(body.trailers.join(", "), trailers.trim(), "{name}");
            assert_eq!(body.len, Some(bytes.len()), "{name}");
        }
        for end in 0..bytes.len() {
            let body = chunked(&bytes[..end], &[], &limits).expect(name);
            assert_eq!(body.len, None, "{name}: a part is no whole");
        }
    }
}

#[test]
fn chunked_too_large() {
    let limits = Limits::default();
    let endless = format!("5;{}\r\nhello\r\n", "a".repeat(100 << 10));
    let many = format!("1;{}\r\nx\r\n", "a".repeat(50)).repeat(400);
    let trailer = format!("0\r\na: {}\r\n\r\n", "b".repeat(40 << 10));
    let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(101));
    let cases = [
        (
            "S10 endless extension",
            endless,
            "413 chunk_extensions_too_large",
        ),
        (
            "S10 extensions in many chunks",
            many,
            "413 chunk_extensions_too_large",
        ),
        ("S12 endless trailer", trailer, "431 trailers_too_large"),
        ("S12 many trailers", trailers, "431 trailers_too_large"),
    ];
    for (name, text, want) in cases {
        for cuts in ways(text.len()) {
            let verdict = chunked(text.as_bytes(), &cuts, &limits);
            let verdict = verdict.map_err(|r| format!("{} {}", r.status, r.code));
            assert_eq!(verdict, Err(want.to_owned()), "{name}");
        }
    }
    let most = format!("0\r\n{}\r\n", "a: b\r\n".repeat(100));
    let body = chunked(most.as_bytes(), &[], &limits).expect("as many as allowed");
    assert_eq!(body.trailers.len(), 100);
}

#[test]
fn values_keep_bytes_that_are_no_text() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nA: caf\xe9 \xff\r\n\r\n";
    let parsed = request(bytes, &[])
        .ok()
        .flatten()
        .expect("obs-text is allowed");
    assert_eq!(lines(&parsed.head), [r"A: caf\xe9 \xff"]);
    assert_eq!(text(&forwarded(&parsed)), text(bytes));
}

/// Bytes in a form that a failed test can show.
fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
