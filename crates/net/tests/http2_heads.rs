//! Heads of HTTP/2 that have no single meaning: each is refused, and nothing of it reaches the origin.

mod kit;

use kit::http2::config2;
use kit::{Edge, Origin};

fn edge(origin: &Origin) -> Edge {
    Edge::start(&config2(&[origin.at], "", "", "", "[]"))
}

#[test]
fn hostile_heads_reach_nobody() {
    use kit::frames::{block, frame, greet, literal, END_HEADERS, END_STREAM, HEADERS};
    let origin = Origin::echo();
    let edge = edge(&origin);
    let plain = |fields: &[(&str, &str)]| block("GET", "/", fields);
    let whole = |pairs: &[(&str, &str)]| -> Vec<u8> {
        pairs.iter().flat_map(|(n, v)| literal(n, v)).collect()
    };
    let base = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/"),
        (":authority", "a"),
    ];
    let without = |name: &str| -> Vec<u8> {
        whole(
            &base
                .into_iter()
                .filter(|(n, _)| *n != name)
                .collect::<Vec<_>>(),
        )
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("CR in a value", plain(&[("x-a", "b\rc")])),
        ("LF in a value", plain(&[("x-a", "b\nc")])),
        ("NUL in a value", plain(&[("x-a", "b\0c")])),
        (
            "a smuggled line",
            plain(&[("x-a", "b\r\nTransfer-Encoding: chunked")]),
        ),
        ("colon in a name", plain(&[("x:a", "b")])),
        ("space in a name", plain(&[("x a", "b")])),
        ("empty name", plain(&[("", "b")])),
        ("upper case", plain(&[("X-A", "b")])),
        ("leading space", plain(&[("x-a", " b")])),
        ("trailing tab", plain(&[("x-a", "b\t")])),
        ("underscore", plain(&[("content_length", "5")])),
        (
            "transfer-encoding",
            plain(&[("transfer-encoding", "chunked")]),
        ),
        ("connection", plain(&[("connection", "close")])),
        ("keep-alive", plain(&[("keep-alive", "1")])),
        ("proxy-connection", plain(&[("proxy-connection", "close")])),
        ("upgrade", plain(&[("upgrade", "h2c")])),
        ("te", plain(&[("te", "gzip")])),
        (
            "two lengths",
            plain(&[("content-length", "0"), ("content-length", "5")]),
        ),
        ("a length and no body", plain(&[("content-length", "5")])),
        ("another host", plain(&[("host", "b")])),
        ("two hosts", plain(&[("host", "a"), ("host", "a")])),
        (
            "user in the authority",
            whole(&[base[0], base[1], base[2], (":authority", "u@a")]),
        ),
        (
            "two in the authority",
            whole(&[base[0], base[1], base[2], (":authority", "a,b")]),
        ),
        (
            "space in the authority",
            whole(&[base[0], base[1], base[2], (":authority", "a b")]),
        ),
        (
            "a path in the authority",
            whole(&[base[0], base[1], base[2], (":authority", "a/b")]),
        ),
        (
            "two authorities",
            whole(&[base[0], base[1], base[2], base[3], base[3]]),
        ),
        ("space at the end of a value", plain(&[("x-a", "b ")])),
        (
            "chunked, and a length",
            plain(&[("transfer-encoding", "chunked"), ("content-length", "5")]),
        ),
        ("space in the path", block("GET", "/a b", &[])),
        ("CR LF in the path", block("GET", "/a\r\nX: y", &[])),
        ("empty path", block("GET", "", &[])),
        ("relative path", block("GET", "a", &[])),
        ("path above the root", block("GET", "/../a", &[])),
        ("NUL in the path", block("GET", "/%00", &[])),
        ("bad method", block("GE T", "/", &[])),
        ("no method", without(":method")),
        ("no path", without(":path")),
        ("no scheme", without(":scheme")),
        ("no authority", without(":authority")),
        (
            "late pseudo-header",
            whole(&[base[0], base[1], base[2], ("x-a", "b"), base[3]]),
        ),
        (
            "two paths",
            whole(&[base[0], base[1], base[2], base[2], base[3]]),
        ),
        (
            "unknown pseudo-header",
            whole(&[base[0], base[1], base[2], base[3], (":x", "y")]),
        ),
        (
            "a status",
            whole(&[base[0], base[1], base[2], base[3], (":status", "200")]),
        ),
        (
            "CONNECT",
            whole(&[(":method", "CONNECT"), (":authority", "a:80")]),
        ),
        ("TRACE", block("TRACE", "/", &[])),
    ];
    for (what, head) in cases {
        for split in [false, true] {
            let mut client = greet(edge.at());
            let bytes = frame(HEADERS, END_HEADERS | END_STREAM, 1, &head);
            if split {
                for b in bytes {
                    client.send([b]);
                }
            } else {
                client.send(bytes);
            }
            let end = client
                .frames_until(|f| f.kind == HEADERS || f.ends(1) || f.kind == kit::frames::GOAWAY);
            let end = end.unwrap_or_else(|e| panic!("{what}: {e}"));
            if end.kind == HEADERS {
                // ":status" of 400 or 404 from the static table, or as a literal of its name.
                let refused = matches!(end.payload[0], 0x8c | 0x8d | 0x48);
                assert!(refused, "{what}: {end:?}");
            } else {
                assert_eq!(end.code(), kit::frames::PROTOCOL_ERROR, "{what}");
            }
            let seen = origin.take();
            assert!(seen.is_empty(), "{what}: {seen:?}");
        }
    }
}

#[test]
fn a_length_that_lies_is_cut() {
    use kit::frames::{
        block, frame, greet, DATA, END_HEADERS, END_STREAM, HEADERS, PROTOCOL_ERROR, RST_STREAM,
    };
    let origin = Origin::echo();
    let edge = edge(&origin);
    for body in ["abc", "abcdefgh"] {
        let mut client = greet(edge.at());
        let head = block("POST", "/", &[("content-length", "5")]);
        client.send(frame(HEADERS, END_HEADERS, 1, &head));
        client.send(frame(DATA, END_STREAM, 1, body.as_bytes()));
        let end = client.frames_until(|f| f.ends(1)).expect("an end");
        assert_eq!(
            (end.kind, end.code()),
            (RST_STREAM, PROTOCOL_ERROR),
            "{body}"
        );
    }
    assert!(origin.take().is_empty());
}
