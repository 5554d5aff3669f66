//! gRPC through the gateway: trailers, refusals that its clients read, and deadlines.

mod kit;

use http::{HeaderMap, Request};
use kit::http2::{config2, connect, map, post, request, run, take, Answer, Origin2};
use kit::Edge;

const CALL: [(&str, &str); 2] = [("content-type", "application/grpc"), ("te", "trailers")];

fn call(path: &str, more: &[(&str, &str)]) -> Request<()> {
    request("POST", path, &[&CALL, more].concat())
}

/// Answers a message and a status in trailers; `/silent` never.
fn origin() -> Origin2 {
    Origin2::start(|mut turn| async move {
        if turn.head.uri.path() == "/silent" {
            tokio::time::sleep(kit::PATIENCE).await;
            return;
        }
        let (body, _) = take(&mut turn.body).await.expect("a body");
        let fields = map(&[
            ("content-type", "application/grpc"),
            ("content-length", "8"),
        ]);
        let trailers = map(&[("grpc-status", "0"), ("grpc-message", "fine")]);
        turn.answer(fields, &body, Some(trailers)).await;
    })
}

fn edge(origin: &Origin2, filters: &str) -> Edge {
    Edge::start(&config2(
        &[origin.at],
        "",
        "",
        r#""protocol": "http2""#,
        filters,
    ))
}

fn one(edge: &Edge, request: Request<()>) -> Answer {
    run(async {
        let (send, _) = connect(edge.at()).await;
        post(&send, request, &[b"\0\0\0\0\x03abc"], None).await
    })
    .expect("an answer")
}

fn status(fields: &HeaderMap) -> &str {
    fields
        .get("grpc-status")
        .map_or("", |v| v.to_str().expect("text"))
}

#[test]
fn a_status_comes_in_trailers_also_beside_a_length() {
    let origin = origin();
    let edge = edge(&origin, "[]");
    let answer = one(&edge, call("/a.B/C", &[]));
    assert_eq!(
        (answer.status, &answer.body[..]),
        (200, &b"\0\0\0\0\x03abc"[..])
    );
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(
        (status(&trailers), &trailers["grpc-message"]),
        ("0", &"fine".parse().expect("a value"))
    );
}

#[test]
fn refusals_are_a_status() {
    let origin = origin();
    for (filters, want) in [
        (r#"[{ "use": "respond", "status": 403 }]"#, "7"),
        (r#"[{ "use": "respond", "status": 503 }]"#, "14"),
        (r#"[{ "use": "body_limit", "max": "1B" }]"#, "2"),
    ] {
        let edge = edge(&origin, filters);
        let answer = one(&edge, call("/a.B/C", &[]));
        assert_eq!(
            (answer.status, status(&answer.fields)),
            (200, want),
            "{filters}"
        );
        assert!(answer.body.is_empty() && answer.trailers.is_none());
        assert_eq!(answer.field("content-type"), Some("application/grpc"));
        // Others get what they always get.
        let answer = one(&edge, request("POST", "/", &[]));
        assert!(answer.status >= 400 && status(&answer.fields).is_empty());
    }
}

#[test]
fn a_deadline_of_the_client_bounds_the_wait() {
    let origin = origin();
    let edge = edge(&origin, "[]");
    let begun = std::time::Instant::now();
    let answer = one(&edge, call("/silent", &[("grpc-timeout", "150m")]));
    assert_eq!((answer.status, status(&answer.fields)), (200, "4"));
    assert!(begun.elapsed() < kit::PATIENCE / 2);
    let answer = one(&edge, call("/a.B/C", &[("grpc-timeout", "5S")]));
    assert_eq!(status(&answer.trailers.expect("trailers")), "0");
}
