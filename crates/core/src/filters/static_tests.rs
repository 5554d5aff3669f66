use super::*;
use crate::file::Handle;
use crate::filters::trial::{faults, Trial};
use serde_json::{json, Value};

/// A filter before a request with these fields.
fn trial(config: Value, method: &str, target: &str, fields: &[(&str, &str)]) -> Trial {
    let mut object = json!({ "root": "/srv" });
    let (of, more) = (object.as_object_mut(), config.as_object());
    of.expect("an object")
        .extend(more.cloned().unwrap_or_default());
    let mut trial = Trial::of("static", object);
    trial.unix = NOW;
    let target = target.as_bytes();
    trial.request.start_request(method.as_bytes(), target, b"a");
    for (name, value) in fields {
        let added = trial.request.add(name.as_bytes(), value.as_bytes());
        added.expect("a field");
    }
    trial
}

/// What is asked for.
fn asked(verdict: Verdict) -> FileCall {
    match verdict {
        Verdict::Ask(Ask::File(call)) => *call,
        other => panic!("no file is asked for: {other:?}"),
    }
}

fn paths(call: &FileCall) -> Vec<String> {
    let text = |p: &[u8]| String::from_utf8_lossy(p).into_owned();
    call.paths.iter().map(|p| text(p)).collect()
}

fn found(at: usize, kind: Kind) -> Found {
    Found {
        at,
        kind,
        size: 10,
        modified: THEN,
        handle: Handle(Arc::new(())),
    }
}

/// The reply, its fields as text, and its pieces.
fn told(verdict: Verdict) -> (u16, Vec<String>, Vec<Piece>) {
    let Verdict::Reply(reply) = verdict else {
        panic!("no reply: {verdict:?}")
    };
    let pieces = reply.file().map(|f| f.pieces().to_vec());
    let mut head = Head::new();
    reply.write(&mut head, &mut Vec::new());
    let fields = Trial::fields(&head).into_iter().map(|f| f.to_lowercase());
    (reply.status, fields.collect(), pieces.unwrap_or_default())
}

const NOW: u64 = 784_200_000;
const THEN: i64 = 784_111_777;
const TAG: &str = "\"2ebc98a1-a\"";
const WHOLE: Piece = Piece::File { from: 0, len: 10 };

#[test]
fn what_is_looked_for() {
    let spa = json!({ "fallback": "/app/index.html", "index": ["a.html", "b.html"] });
    for (config, target, want, directories) in [
        (json!({}), "/a.txt", vec!["a.txt"], true),
        (json!({}), "/", vec!["index.html"], false),
        (json!({}), "/d/", vec!["d/index.html"], false),
        (json!({}), "/d/e%20f?q=1", vec!["d/e f"], true),
        (
            spa.clone(),
            "/d/",
            vec!["d/a.html", "d/b.html", "app/index.html"],
            false,
        ),
        (spa, "/x", vec!["x", "app/index.html"], true),
        (json!({ "dotfiles": true }), "/.env", vec![".env"], true),
    ] {
        let call = asked(trial(config, "GET", target, &[]).request());
        assert_eq!(paths(&call), want, "{target}");
        assert_eq!(call.directories, directories, "{target}");
        assert_eq!(&*call.root, Path::new("/srv"));
    }
}

#[test]
fn what_is_refused_before_a_file_is_looked_for() {
    for (config, method, target, want) in [
        (json!({}), "POST", "/a", 405),
        (json!({}), "OPTIONS", "/a", 405),
        (json!({}), "DELETE", "/a", 405),
        (json!({}), "GET", "/.git/config", 404),
        (json!({}), "GET", "/a%2Fetc", 404),
        (json!({ "fallback": "i.html" }), "GET", "/.env", 404),
        (json!({ "index": [] }), "GET", "/d/", 404),
    ] {
        let (status, fields, _) = told(trial(config, method, target, &[]).request());
        assert_eq!(status, want, "{method} {target}");
        let allow = fields.contains(&"allow: get, head".to_owned());
        assert_eq!(allow, want == 405);
    }
}

#[test]
fn a_file_is_answered_as_its_conditions_and_ranges_say() {
    let file = |from, len| Piece::File { from, len };
    let cases = [
        (
            &[][..],
            200,
            vec![WHOLE],
            "content-type: text/html; charset=utf-8",
        ),
        (&[], 200, vec![WHOLE], "etag: \"2ebc98a1-a\""),
        (&[], 200, vec![WHOLE], "accept-ranges: bytes"),
        (
            &[],
            200,
            vec![WHOLE],
            "last-modified: sun, 06 nov 1994 08:49:37 gmt",
        ),
        (
            &[("if-none-match", TAG)],
            304,
            vec![],
            "etag: \"2ebc98a1-a\"",
        ),
        (
            &[("if-match", "\"x\"")],
            412,
            vec![],
            "content-type: application/problem+json",
        ),
        (
            &[("range", "bytes=2-4")],
            206,
            vec![file(2, 3)],
            "content-range: bytes 2-4/10",
        ),
        (
            &[("range", "bytes=2-4"), ("if-range", TAG)],
            206,
            vec![file(2, 3)],
            "content-range: bytes 2-4/10",
        ),
        (
            &[("range", "bytes=2-4"), ("if-range", "\"x\"")],
            200,
            vec![WHOLE],
            "accept-ranges: bytes",
        ),
        (
            &[("range", "bytes=10-")],
            416,
            vec![],
            "content-range: bytes */10",
        ),
        (
            &[("range", "bytes=0-,0-")],
            200,
            vec![WHOLE],
            "accept-ranges: bytes",
        ),
        (
            &[("range", "bytes=0-1"), ("range", "bytes=2-3")],
            200,
            vec![WHOLE],
            "accept-ranges: bytes",
        ),
        // A condition that says 304 comes before a range.
        (
            &[("range", "bytes=10-"), ("if-none-match", TAG)],
            304,
            vec![],
            "etag: \"2ebc98a1-a\"",
        ),
    ];
    for (fields, status, pieces, field) in cases {
        let mut trial = trial(json!({}), "GET", "/", fields);
        let _ask = trial.request();
        let got = told(trial.answer(Answer::File(&found(0, Kind::File))));
        assert_eq!((got.0, got.2), (status, pieces), "{fields:?}");
        assert!(got.1.contains(&field.to_owned()), "{field} in {:?}", got.1);
    }
    let mut trial = trial(json!({}), "HEAD", "/", &[("range", "bytes=2-4")]);
    let _ask = trial.request();
    let got = told(trial.answer(Answer::File(&found(0, Kind::File))));
    assert_eq!((got.0, got.2), (200, vec![WHOLE]), "HEAD has no ranges");
}

#[test]
fn several_ranges_are_parts_with_heads_of_their_own() {
    let mut trial = trial(json!({}), "GET", "/a.txt", &[("range", "bytes=0-1,-1")]);
    let _ask = trial.request();
    let (status, fields, pieces) = told(trial.answer(Answer::File(&found(0, Kind::File))));
    let kind = fields.iter().find_map(|f| f.strip_prefix("content-type: "));
    let boundary = kind.and_then(|k| k.strip_prefix("multipart/byteranges; boundary="));
    let boundary = boundary.unwrap_or_else(|| panic!("{fields:?}"));
    let head = |range: &str| {
        let kind = "text/plain; charset=utf-8";
        let text = format!(
            "\r\n--{boundary}\r\nContent-Type: {kind}\r\nContent-Range: bytes {range}/10\r\n\r\n"
        );
        Piece::Text(text.into_bytes())
    };
    assert_eq!((status, boundary.len()), (206, 20));
    assert_eq!(
        pieces,
        [
            head("0-1"),
            Piece::File { from: 0, len: 2 },
            head("9-9"),
            Piece::File { from: 9, len: 1 },
            Piece::Text(format!("\r\n--{boundary}--\r\n").into_bytes()),
        ]
    );
    assert!(!fields.iter().any(|f| f.starts_with("content-range")));
}

#[test]
fn a_neighbour_in_an_accepted_coding_is_sent_in_the_place_of_the_file() {
    let config = || json!({ "precompressed": ["br", "gzip"] });
    let accept = [("accept-encoding", "gzip, br")];
    let mut there = trial(config(), "GET", "/a.js", &accept);
    let _ask = there.request();
    let call = asked(there.answer(Answer::File(&found(0, Kind::File))));
    assert_eq!(paths(&call), ["a.js.br", "a.js.gz"]);
    assert!(!call.directories);
    let small = Found {
        size: 3,
        ..found(1, Kind::File)
    };
    let (status, fields, pieces) = told(there.answer(Answer::File(&small)));
    assert_eq!(
        (status, pieces),
        (200, vec![Piece::File { from: 0, len: 3 }])
    );
    for field in [
        "content-encoding: gzip",
        "vary: accept-encoding",
        "etag: \"2ebc98a1-3-gzip\"",
        "content-type: text/javascript; charset=utf-8",
    ] {
        assert!(fields.contains(&field.to_owned()), "{field} in {fields:?}");
    }

    // None is there, or none may be read: the file itself.
    for why in [NoFile::Absent, NoFile::Denied] {
        let mut alone = trial(config(), "GET", "/a.js", &accept);
        let _ask = alone.request();
        let _ask = asked(alone.answer(Answer::File(&found(0, Kind::File))));
        let (status, fields, pieces) = told(alone.answer(Answer::NoFile(why)));
        assert_eq!((status, pieces), (200, vec![WHOLE]));
        assert!(fields.contains(&"vary: accept-encoding".to_owned()));
        assert!(!fields.iter().any(|f| f.starts_with("content-encoding")));
    }

    // None is accepted: the answer depends on it all the same.
    let mut plain = trial(config(), "GET", "/a.js", &[]);
    let _ask = plain.request();
    let (status, fields, _) = told(plain.answer(Answer::File(&found(0, Kind::File))));
    assert_eq!(status, 200);
    assert!(fields.contains(&"vary: accept-encoding".to_owned()));
}

#[test]
fn what_is_not_there_and_what_is_no_file() {
    for (config, target, answer, status, location) in [
        (json!({}), "/d", Ok(0), 301, Some("d/")),
        (json!({}), "/x/d?a=/b", Ok(0), 301, Some("d/?a=/b")),
        (json!({}), "/a:b", Ok(0), 301, Some("./a:b/")),
        (json!({}), "/a%20b", Ok(0), 301, Some("a%20b/")),
        (json!({ "fallback": "f" }), "/d", Ok(1), 404, None),
        (json!({}), "/x", Err(NoFile::Absent), 404, None),
        (json!({}), "/x", Err(NoFile::Denied), 403, None),
    ] {
        let mut trial = trial(config, "GET", target, &[]);
        let _ask = trial.request();
        let verdict = match answer {
            Ok(at) => trial.answer(Answer::File(&found(at, Kind::Directory))),
            Err(why) => trial.answer(Answer::NoFile(why)),
        };
        let (got, fields, _) = told(verdict);
        assert_eq!(got, status, "{target}");
        let to = fields.iter().find_map(|f| f.strip_prefix("location: "));
        assert_eq!(to, location, "{target}");
    }
    let mut trial = trial(json!({}), "GET", "/x", &[]);
    let _ask = trial.request();
    assert_eq!(told(trial.answer(Answer::Late)).0, 503);
}

#[test]
fn a_date_to_come_is_not_told() {
    let mut trial = trial(json!({}), "GET", "/", &[]);
    trial.unix = THEN as u64 - 1;
    let _ask = trial.request();
    let (_, fields, _) = told(trial.answer(Answer::File(&found(0, Kind::File))));
    assert!(!fields.iter().any(|f| f.starts_with("last-modified")));
}

#[test]
fn types_and_caching_are_those_of_the_config() {
    let config = json!({
        "types": { "MD": "text/x-own", "html": "text/plain" },
        "default_type": "text/unknown",
        "cache_control": "no-cache",
    });
    for (target, want) in [
        ("/a.md", "content-type: text/x-own"),
        ("/a.html", "content-type: text/plain"),
        ("/a.css", "content-type: text/css; charset=utf-8"),
        ("/a.unheard", "content-type: text/unknown"),
        ("/a", "content-type: text/unknown"),
        ("/a", "cache-control: no-cache"),
    ] {
        let mut trial = trial(config.clone(), "GET", target, &[]);
        let _ask = trial.request();
        let (_, fields, _) = told(trial.answer(Answer::File(&found(0, Kind::File))));
        assert!(fields.contains(&want.to_owned()), "{want} in {fields:?}");
    }
}

#[test]
fn what_names_no_file_is_a_fault() {
    for (config, at) in [
        (json!({ "root": "" }), "root"),
        (json!({ "root": "a", "index": ["a/b"] }), "index[0]"),
        (json!({ "root": "a", "index": ["i", ".."] }), "index[1]"),
        (json!({ "root": "a", "index": [""] }), "index[0]"),
        (
            json!({ "root": "a", "index": ["1", "2", "3", "4", "5", "6", "7", "8", "9"] }),
            "index",
        ),
        (json!({ "root": "a", "fallback": "../x" }), "fallback"),
        (json!({ "root": "a", "fallback": "d/" }), "fallback"),
        (json!({ "root": "a", "fallback": "a%20b" }), "fallback"),
        (
            json!({ "root": "a", "precompressed": ["br", "br"] }),
            "precompressed[1]",
        ),
        (
            json!({ "root": "a", "cache_control": "a\nb" }),
            "cache_control",
        ),
        (json!({ "root": "a", "default_type": "" }), "default_type"),
        (json!({ "root": "a", "types": { "md": "" } }), "types.md"),
        (
            json!({ "root": "a", "types": { ".md": "a/b" } }),
            "types..md",
        ),
    ] {
        assert_eq!(faults("static", config.clone()), [at], "{config}");
    }
}
