//! One request and its answer through the filter, as bodies and heads.

use serde_json::json;
use wire::Head;

use crate::body::Side;
use crate::filter::Verdict;
use crate::filters::trial::Trial;

const FRAME: &[u8] = b"\0\0\0\0\x03abc";
const STATUS: &[u8] = b"\x80\0\0\0\x10grpc-status: 0\r\n";

fn trial(fields: &[(&str, &str)]) -> Trial {
    let mut trial = Trial::of("grpc_web", json!({}));
    for (name, value) in fields {
        let put = trial.request.add(name.as_bytes(), value.as_bytes());
        put.expect("a field");
    }
    assert!(matches!(trial.request(), Verdict::Next));
    trial
}

fn kind(head: &Head) -> String {
    let kind = head.find(b"content-type").unwrap_or_default();
    String::from_utf8_lossy(kind).into_owned()
}

/// The answer of an upstream: its type, and whether its head is its own trailers.
fn answered(trial: &mut Trial, of: &str, alone: bool) -> String {
    let mut head = Head::new();
    head.start_response(200);
    head.set(b"content-type", of.as_bytes()).expect("a field");
    if alone {
        head.set(b"grpc-status", b"5").expect("a field");
    }
    trial.response = head;
    assert!(matches!(trial.respond(), Verdict::Next));
    kind(&trial.response)
}

fn pass(trial: &mut Trial, side: Side, input: &[u8], end: bool) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let passed = trial.acts.bodies.pass(side, input, end, &mut out);
    passed.is_ok().then_some(out)
}

#[test]
fn types_there_and_back() {
    for (sent, accept, upstream, answer) in [
        (
            "application/grpc-web",
            "",
            "application/grpc",
            "application/grpc-web",
        ),
        (
            "application/grpc-web+proto",
            "*/*",
            "application/grpc+proto",
            "application/grpc-web+proto",
        ),
        (
            "Application/gRPC-Web+json; charset=utf-8",
            "",
            "application/grpc+json",
            "application/grpc-web+json",
        ),
        (
            "application/grpc-web-text",
            "",
            "application/grpc",
            "application/grpc-web-text",
        ),
        (
            "application/grpc-web-text+thrift",
            "application/grpc-web-text+thrift",
            "application/grpc+thrift",
            "application/grpc-web-text+thrift",
        ),
        (
            "application/grpc-web+proto",
            "text/html, application/grpc-web-text",
            "application/grpc+proto",
            "application/grpc-web-text+proto",
        ),
        (
            "application/grpc-web-text+proto",
            "application/grpc-web+proto;q=1",
            "application/grpc+proto",
            "application/grpc-web+proto",
        ),
    ] {
        let mut fields = vec![("content-type", sent)];
        if !accept.is_empty() {
            fields.push(("accept", accept));
        }
        let mut trial = trial(&fields);
        assert_eq!(kind(&trial.request), upstream, "{sent}");
        assert!(trial.acts.asks_trailers(), "{sent}");
        let text = sent.contains("-text");
        assert_eq!(trial.acts.bodies.changes(Side::Request), text, "{sent}");
        assert_eq!(answered(&mut trial, upstream, false), answer, "{sent}");
    }
}

#[test]
fn what_is_no_grpc_web_passes_as_it_is() {
    for sent in [
        "application/grpc",
        "application/grpc+proto",
        "application/grpc-webx",
        "application/grpc-web-textual",
        "application/json",
        "application/connect+proto",
    ] {
        let mut trial = trial(&[("content-type", sent)]);
        assert_eq!(kind(&trial.request), sent);
        assert_eq!(
            answered(&mut trial, "application/grpc", false),
            "application/grpc"
        );
        let bodies = &trial.acts.bodies;
        assert!(!bodies.changes(Side::Request) && !bodies.changes(Side::Response));
        assert!(!trial.acts.asks_trailers());
    }
    // An answer that is none of gRPC's.
    for of in [
        "text/html",
        "application/grpc-web+proto",
        "application/problem+json",
    ] {
        let mut trial = trial(&[("content-type", "application/grpc-web-text")]);
        assert_eq!(answered(&mut trial, of, false), of);
        assert!(!trial.acts.bodies.changes(Side::Response));
    }
}

#[test]
fn trailers_end_the_body() {
    let text = "AAAAAANhYmM=gAAAABBncnBjLXN0YXR1czogMA0K";
    for (sent, want) in [
        ("application/grpc-web", [FRAME, STATUS].concat()),
        ("application/grpc-web-text", text.as_bytes().to_vec()),
    ] {
        let mut trial = trial(&[("content-type", sent)]);
        answered(&mut trial, "application/grpc", false);
        let mut body = Vec::new();
        for byte in FRAME {
            body.extend(pass(&mut trial, Side::Response, &[*byte], false).expect("a body"));
        }
        let mut trailers = Head::new();
        trailers.add(b"Grpc-Status", b"0").expect("a field");
        trial.trailers(&mut trailers);
        assert_eq!(trailers.fields().count(), 0);
        body.extend(pass(&mut trial, Side::Response, b"", true).expect("an end"));
        assert_eq!(
            body.escape_ascii().to_string(),
            want.escape_ascii().to_string()
        );
    }
}

#[test]
fn without_trailers_there_is_no_frame_of_them() {
    let mut trial = trial(&[("content-type", "application/grpc-web-text")]);
    answered(&mut trial, "application/grpc", false);
    let cut = pass(&mut trial, Side::Response, b"\0\0\0\0\x03ab", true);
    assert_eq!(cut.as_deref(), Some(&b"AAAAAANhYg=="[..]));
}

#[test]
fn a_head_that_is_its_own_trailers_has_no_body() {
    for sent in ["application/grpc-web", "application/grpc-web-text"] {
        let mut trial = trial(&[("content-type", sent)]);
        assert_eq!(answered(&mut trial, "application/grpc", true), sent);
        assert!(!trial.acts.bodies.changes(Side::Response));
        assert_eq!(trial.response.find(b"grpc-status"), Some(&b"5"[..]));
    }
}

#[test]
fn text_of_a_request_is_read_in_any_pieces() {
    for (pieces, want) in [
        (&["AAAAAANhYmM="][..], Some(FRAME)),
        (&["AAAAA", "ANhYm", "M="], Some(FRAME)),
        (&["AAAAAA==", "", "A2FiYw=="], Some(FRAME)),
        (&["AAAAAANhYmM"], None),
        (&["AAAA", "\r\n"], None),
        (&[], Some(b"")),
    ] {
        let mut trial = trial(&[("content-type", "application/grpc-web-text")]);
        let mut body = Some(Vec::new());
        for (piece, end) in pieces.iter().map(|p| (*p, false)).chain([("", true)]) {
            let passed = pass(&mut trial, Side::Request, piece.as_bytes(), end);
            body = body.zip(passed).map(|(a, b)| [a, b].concat());
        }
        assert_eq!(body.as_deref(), want, "{pieces:?}");
    }
}
