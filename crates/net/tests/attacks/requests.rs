//! Requests of every row of the tables.

use super::cases::{Case, Then, CASES, CONFIG};
use super::Stand;
use crate::kit::table::{rows, Row};
use crate::kit::{field, Client, Origin, Pieces, Request, Response};

/// Sends all rows, each over a connection of its own.
pub fn run(pieces: Pieces) {
    let mut stand = Stand::new(Origin::echo(), CONFIG);
    for row in rows(include_str!(
        "../../../wire/tests/cases/requests_refused.txt"
    )) {
        refused(&mut stand, pieces, &row, &row.bytes());
    }
    for row in rows(include_str!(
        "../../../wire/tests/cases/chunked_refused.txt"
    )) {
        let head = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        refused(
            &mut stand,
            pieces,
            &row,
            &[&head[..], &row.bytes()].concat(),
        );
    }
    for row in rows(include_str!(
        "../../../wire/tests/cases/requests_accepted.txt"
    )) {
        accepted(&mut stand, pieces, &row);
    }
    for row in rows(include_str!(
        "../../../wire/tests/cases/chunked_accepted.txt"
    )) {
        chunked(&mut stand, pieces, &row);
    }
    for case in CASES {
        exchange(&mut stand, pieces, case);
    }
}

/// One answer, then the end in good order; the origin sees nothing.
fn refused(stand: &mut Stand, pieces: Pieces, row: &Row, bytes: &[u8]) {
    let name = format!("{} ({pieces:?})", row.name());
    let mut client = stand.client(0);
    client.send_in(pieces, bytes);
    let answer = answer(&mut client, "GET", &name);
    assert_eq!(verdict(&answer), row.columns[1], "{name}");
    closes(&mut client, &answer, &name);
    if answer.status == 426 {
        // RFC 6455 section 4.2.2.
        assert_eq!(answer.field("sec-websocket-version"), Some("13"), "{name}");
    }
    assert_eq!(seen(&stand.reached()), [""; 0], "{name}: smuggled");
    stand.bystander_is_served(&name);
}

/// The origin sees exactly what the row says, and whoever comes next is served.
fn accepted(stand: &mut Stand, pieces: Pieces, row: &Row) {
    let name = format!("{} ({pieces:?})", row.name());
    let bytes = row.bytes();
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let method = head.trim_start().split(' ').next().unwrap_or_default();
    let want = crate::kit::table::unescape(row.then.as_ref().expect("what is sent"));
    let want = String::from_utf8_lossy(&want)
        .trim_end_matches("\r\n")
        .to_owned();
    let body: &[u8] = match field(&want, "content-length") {
        Some(n) => &b"0123456789"[..n.parse().expect("a length")],
        None if want.contains("Transfer-Encoding") => b"0\r\n\r\n",
        None => b"",
    };
    let mut client = stand.client(0);
    client.send_in(pieces, [&bytes, body].concat());
    let answer = answer(&mut client, method, &name);
    let got = stand.reached();
    if method == "CONNECT" {
        assert_eq!(verdict(&answer), "405 method_refused", "{name}");
        assert_eq!(seen(&got), [""; 0], "{name}");
    } else {
        assert_eq!(verdict(&answer), "200", "{name}");
        let heads: Vec<_> = got.iter().map(|r| without_ours(&r.head)).collect();
        assert_eq!(heads, [want], "{name}");
        let data = if body == b"0\r\n\r\n" { b"" } else { body };
        assert_eq!(got[0].body, data, "{name}");
    }
    serves_or_closes(stand, &mut client, &answer, &name);
}

fn chunked(stand: &mut Stand, pieces: Pieces, row: &Row) {
    let name = format!("{} ({pieces:?})", row.name());
    let head = "POST /x HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (data, trailers) = row
        .then
        .as_ref()
        .and_then(|t| t.split_once('|'))
        .expect(&name);
    let mut client = stand.client(0);
    client.send_in(pieces, [head.as_bytes(), &row.bytes()].concat());
    let answer = answer(&mut client, "POST", &name);
    assert_eq!(verdict(&answer), "200", "{name}");
    let got = stand.reached();
    assert_eq!(got.len(), 1, "{name}");
    let data = crate::kit::table::unescape(data.trim());
    assert_eq!(
        got[0].body.escape_ascii().to_string(),
        data.escape_ascii().to_string(),
        "{name}"
    );
    let passed: Vec<_> = got[0].trailers.lines().collect();
    assert_eq!(passed.join(", "), trailers.trim(), "{name}");
    serves_or_closes(stand, &mut client, &answer, &name);
}

fn exchange(stand: &mut Stand, pieces: Pieces, case: &Case) {
    let name = format!("{} ({pieces:?})", case.name);
    let mut client = stand.client(case.listener);
    let bytes = case.bytes.replace("HUGE", &"a".repeat(100 << 10));
    client.send_in(pieces, bytes);
    let mut last = None;
    for want in case.answers {
        let (method, want) = match want.strip_prefix("HEAD ") {
            Some(want) => ("HEAD", want),
            None => ("GET", *want),
        };
        let answer = answer(&mut client, method, &name);
        assert_eq!(verdict(&answer), want, "{name}");
        last = Some(answer);
    }
    let got = stand.reached();
    assert_eq!(seen(&got), case.reached, "{name}");
    for (field_name, want) in case.fields {
        let found = got.last().and_then(|r| field(&r.head, field_name));
        assert_eq!(found, *want, "{name}: {field_name}");
    }
    let answer = last.expect("at least one answer");
    match case.then {
        Then::Closes => closes(&mut client, &answer, &name),
        Then::BreaksOff => {
            assert_eq!(answer.field("connection"), None, "{name}");
            assert_eq!(client.ends(), Ok(()), "{name}");
        }
        Then::Serves => {
            assert_eq!(answer.field("connection"), None, "{name}");
            serves_or_closes(stand, &mut client, &answer, &name);
        }
    }
    stand.bystander_is_served(&name);
}

fn answer(client: &mut Client, method: &str, name: &str) -> Response {
    client
        .try_response(method)
        .unwrap_or_else(|e| panic!("{name}: no whole answer: {e}"))
}

fn closes(client: &mut Client, answer: &Response, name: &str) {
    assert_eq!(answer.field("connection"), Some("close"), "{name}");
    assert_eq!(client.ends(), Ok(()), "{name}: a close in good order");
}

/// An answer that says so ends the connection; else it serves the next request, and only that.
fn serves_or_closes(stand: &mut Stand, client: &mut Client, answer: &Response, name: &str) {
    if answer.field("connection") == Some("close") {
        return closes(client, answer, name);
    }
    let after = client.get("/after");
    let got = (
        after.status,
        String::from_utf8_lossy(&after.body).into_owned(),
    );
    assert_eq!(
        got,
        (200, "GET /after".into()),
        "{name}: whoever comes next"
    );
    assert_eq!(seen(&stand.reached()), ["GET /after"], "{name}: smuggled");
}

/// The status, and the code of a refusal.
fn verdict(answer: &Response) -> String {
    format!("{} {}", answer.status, answer.code())
        .trim_end()
        .to_owned()
}

/// What an origin got, in a form that a table can hold: method, target, body.
fn seen(requests: &[Request]) -> Vec<String> {
    let line = |r: &Request| {
        let line = r.head.lines().next().unwrap_or_default();
        let line = line.trim_end_matches(" HTTP/1.1");
        format!("{line} {}", r.body.escape_ascii())
            .trim_end()
            .to_owned()
    };
    requests.iter().map(line).collect()
}

/// A head without what the gateway adds to every one.
fn without_ours(head: &str) -> String {
    let ours = [
        "X-Forwarded-For: 127.0.0.1",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host:",
    ];
    let mut met = 0;
    let kept: Vec<_> = head
        .split("\r\n")
        .filter(|line| {
            let is_ours = ours.iter().any(|o| {
                line.to_ascii_lowercase()
                    .starts_with(&o.to_ascii_lowercase())
            });
            met += usize::from(is_ours);
            !is_ours
        })
        .collect();
    assert_eq!(met, ours.len(), "each once: {head}");
    kept.join("\r\n")
}
