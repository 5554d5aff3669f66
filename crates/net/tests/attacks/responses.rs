//! Responses of every row of the tables: an upstream that is hostile in its head.

use std::sync::Arc;

use super::Stand;
use crate::kit::table::{rows, unescape, Row};
use crate::kit::{Client, Origin, Peer, Pieces};

const CONFIG: &str = r#"{ "workers": 1,
  "listeners": [{ "name": "web", "bind": "127.0.0.1:0" }],
  "upstreams": [{ "name": "origin", "endpoints": ["ORIGIN"] }],
  "routes": [{ "name": "all", "match": { "path": "/*" }, "to": "origin" }] }"#;

/// What an upstream answers to the request whose path is its number.
struct Script {
    bytes: Vec<u8>,
    /// It closes behind them.
    closes: bool,
}

/// Answers with all rows, each to a client of its own.
pub fn run(pieces: Pieces) {
    let refused = rows(include_str!(
        "../../../wire/tests/cases/responses_refused.txt"
    ));
    let accepted = rows(include_str!(
        "../../../wire/tests/cases/responses_accepted.txt"
    ));
    let mut scripts: Vec<Script> = Vec::new();
    for row in &refused {
        scripts.push(Script {
            bytes: row.bytes(),
            closes: false,
        });
    }
    scripts.extend(accepted.iter().map(script));
    let scripts = Arc::new(scripts);
    let origin = Origin::start(move |peer| talk(peer, pieces, &scripts));
    let mut stand = Stand::new(origin, CONFIG);
    for (i, row) in refused.iter().enumerate() {
        let name = format!("{} ({pieces:?})", row.name());
        let mut client = stand.client(0);
        let before = stand.origin.connections();
        let answer = client.get(&format!("/{i}"));
        assert_eq!(
            (answer.status, &*answer.code()),
            (502, "upstream_protocol"),
            "{name}"
        );
        assert_eq!(
            answer.field("connection"),
            None,
            "{name}: the client did no wrong"
        );
        is_served(&mut client, "/next", &name);
        let made = stand.origin.connections() - before;
        assert_eq!(
            made,
            usize::from(i > 0) + usize::from(i == 0) * 2,
            "{name}: discarded"
        );
        stand.bystander_is_served(&name);
    }
    for (i, row) in accepted.iter().enumerate() {
        taken(&mut stand, row, refused.len() + i, pieces);
    }
}

/// A row that is taken: its head as the row says, its body, and the connection serves the next.
fn taken(stand: &mut Stand, row: &Row, i: usize, pieces: Pieces) {
    let name = format!("{} ({pieces:?})", row.name());
    let method = row.columns[1].as_str();
    if method == "CONNECT" {
        return; // it goes to no upstream
    }
    let mut client = stand.client(0);
    let upgrade = row.columns[2].contains("websocket");
    let fields = if upgrade {
        "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    } else {
        ""
    };
    client.send(format!("{method} /{i} HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
    let mut answer = client.try_response(method).expect(&name);
    if upgrade {
        // Its proof is none.
        assert_eq!(
            (answer.status, &*answer.code()),
            (502, "upstream_protocol"),
            "{name}"
        );
        return is_served(&mut client, "/next", &name);
    }
    let want = unescape(row.then.as_ref().expect("what is sent"));
    let mut want = String::from_utf8_lossy(&want)
        .trim_end_matches("\r\n")
        .to_owned();
    if row.columns[2].starts_with("close") {
        want += "\r\nTransfer-Encoding: chunked";
    }
    assert_eq!(without_date(&answer.head), want, "{name}");
    if answer.status == 103 {
        answer = client.try_response(method).expect(&name);
        assert_eq!(answer.status, 200, "{name}: behind the hints");
    } else {
        let body = body(row);
        assert_eq!(answer.body, body.as_bytes(), "{name}");
    }
    is_served(&mut client, "/next", &name);
    stand.bystander_is_served(&name);
}

fn is_served(client: &mut Client, path: &str, name: &str) {
    let answer = client.get(path);
    let got = (
        answer.status,
        String::from_utf8_lossy(&answer.body).into_owned(),
    );
    assert_eq!(
        got,
        (200, format!("GET {path}")),
        "{name}: whoever comes next"
    );
}

fn talk(mut peer: Peer, pieces: Pieces, scripts: &[Script]) {
    peer.pieces = pieces;
    while let Some(request) = peer.request() {
        let line = request.head.lines().next().unwrap_or_default();
        let target = line.split(' ').nth(1).unwrap_or_default();
        let script = target
            .trim_start_matches('/')
            .parse()
            .ok()
            .and_then(|i: usize| scripts.get(i));
        match script {
            Some(script) => {
                peer.send(&script.bytes);
                if script.closes {
                    return peer.close();
                }
            }
            None => {
                let body = format!("GET {target}");
                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
                peer.send(head + &body);
            }
        }
    }
}

fn script(row: &Row) -> Script {
    let framing = row.columns[2].as_str();
    let mut bytes = row.bytes();
    if row.columns[1] == "HEAD" && bytes.starts_with(b"HTTP/1.1 103") {
        bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    }
    match framing.split(' ').next() {
        Some("chunked") => bytes.extend_from_slice(b"3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"),
        _ => bytes.extend_from_slice(body(row).as_bytes()),
    }
    Script {
        bytes,
        closes: framing.contains("close"),
    }
}

fn body(row: &Row) -> &'static str {
    match row.columns[2].split(' ').next() {
        Some("5" | "chunked" | "close") => "hello",
        _ => "",
    }
}

/// A head without its Date, of which there is one.
fn without_date(head: &str) -> String {
    let lines = head.split("\r\n");
    let kept: Vec<_> = lines.filter(|l| !l.starts_with("Date: ")).collect();
    kept.join("\r\n")
}
