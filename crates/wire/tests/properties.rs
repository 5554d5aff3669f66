//! Properties over generated values. The seed is fixed; a failure shows the least input it found.

mod kit;

use kit::laws::{
    chunked_law, forwarded_law, proxy_law, request_framing, request_law, response_law,
};
use kit::{chunked, lines, request};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed};
use wire::http1::write::LAST_CHUNK;
use wire::http1::{chunk_head, write_request, write_trailers};
use wire::path::normalise;
use wire::{Head, Limits, Method, Name};

const SEED: u64 = 0x5eed_0002;

fn config() -> Config {
    Config {
        cases: 2_000,
        rng_seed: RngSeed::Fixed(SEED),
        failure_persistence: None,
        ..Config::default()
    }
}

/// Bytes of which a good part mean something in HTTP.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    let special = proptest::sample::select(b"\r\n\r\n\r\n :/.;%?,=\"\\\t\0ab19".to_vec());
    vec(prop_oneof![3 => special, 1 => any::<u8>()], 0..most)
}

fn cuts(indexes: &[Index], len: usize) -> Vec<usize> {
    indexes.iter().map(|i| i.index(len + 1)).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes_have_one_verdict(tail in bytes(200), at in vec(any::<Index>(), 0..5)) {
        let starts: [&[u8]; 6] = [
            b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET /", b"POST / HTTP/1.1\r\nTransfer-",
            b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-",
        ];
        for start in starts {
            let whole = [start, &tail, b"\r\n\r\n"].concat();
            let cuts = cuts(&at, whole.len());
            request_law(&whole, &cuts);
            response_law(&whole, Method::Get, &cuts);
            chunked_law(&whole, &cuts);
            forwarded_law(&whole);
        }
        for start in [&b""[..], b"0\r\n", b"1\r\na\r\n", b"5;"] {
            let whole = [start, &tail].concat();
            chunked_law(&whole, &cuts(&at, whole.len()));
        }
        for start in [&b""[..], b"PROXY TCP4 ", b"\r\n\r\n\0\r\nQUIT\n\x21\x11"] {
            proxy_law(&[start, &tail].concat());
        }
    }

    #[test]
    fn a_request_comes_back_as_it_was_written(
        method in "[A-Z]{1,10}",
        path in "(/[a-zA-Z0-9_.~%!$&'()*+,;=:@-]{0,8}){1,4}",
        query in proptest::option::of("[a-z0-9=&%/?.]{0,12}"),
        host in "[a-zA-Z0-9-]{1,10}(\\.[a-z]{1,5}){0,2}(:[1-9][0-9]{0,3})?",
        fields in vec(("[A-Za-z][A-Za-z0-9-]{0,12}", "([!-~]([ -~\\t\u{e9}]{0,12}[!-~])?)?"), 0..8),
        framing in any::<u64>(),
        te in any::<bool>(),
    ) {
        let mut head = Head::new();
        head.start_request(method.as_bytes(), b"/", host.as_bytes());
        if method == "CONNECT" || method == "TRACE" || head.set_path(path.as_bytes()).is_err() {
            return Ok(()); // not every path of this pattern has a normal form
        }
        head.set_query(query.as_ref().map(String::as_bytes)).expect("a valid query");
        for (name, value) in &fields {
            // Framing fields cannot be added, and Expect means something.
            if Name::of(name.as_bytes()) != Name::Expect {
                let _refused = head.add(name.as_bytes(), value.as_bytes());
            }
        }
        let framing = request_framing(framing);
        let mut sent = Vec::new();
        write_request(&head, framing, None, te, &mut sent);
        let parsed = request(&sent, &[]).expect("strict").expect("whole");
        prop_assert_eq!(parsed.head.method_bytes(), head.method_bytes());
        prop_assert_eq!(parsed.head.target(), head.target());
        prop_assert_eq!(parsed.head.path(), head.path());
        prop_assert_eq!(parsed.head.query(), head.query());
        prop_assert_eq!(parsed.head.authority(), head.authority());
        prop_assert_eq!(parsed.head.host(), head.host());
        prop_assert_eq!(lines(&parsed.head), lines(&head));
        prop_assert_eq!(parsed.info.framing, framing);
        prop_assert_eq!(parsed.info.te_trailers, te);
        prop_assert!(parsed.info.keep_alive);
    }

    #[test]
    fn a_path_has_one_normal_form(raw in "/([a.;/~]|%2[EeFf5]|%41|%c3%a9|%7e|\\.\\.){0,12}") {
        let mut once = Vec::new();
        let Ok(flags) = normalise(raw.as_bytes(), &mut once) else {
            return Ok(());
        };
        if !flags.changed {
            once = raw.clone().into_bytes();
        }
        let mut twice = Vec::new();
        let again = normalise(&once, &mut twice).expect("a normal form has a normal form");
        let twice = if again.changed { &twice } else { &once };
        prop_assert_eq!(&once, twice);
        prop_assert_eq!(flags.escaped_slash, again.escaped_slash);
        prop_assert!(once.len() <= raw.len());
        let text = String::from_utf8(once).expect("ASCII");
        prop_assert!(text.starts_with('/') && !text.contains("//"), "{}", text);
        prop_assert!(text.split('/').all(|s| s != "." && s != ".."), "{}", text);
        prop_assert_eq!(text.contains("%2F"), flags.escaped_slash);
    }

    #[test]
    fn what_is_chunked_comes_back(
        data in vec(vec(any::<u8>(), 1..300), 0..6),
        trailers in vec(("x-[a-z]{1,5}", "[a-z]{0,9}"), 0..4),
        at in vec(any::<Index>(), 0..6),
    ) {
        let mut sent = Vec::new();
        for piece in &data {
            sent.extend_from_slice(chunk_head(piece.len(), &mut [0; 18]));
            sent.extend_from_slice(piece);
            sent.extend_from_slice(b"\r\n");
        }
        let mut fields = Head::new();
        for (name, value) in &trailers {
            fields.add(name.as_bytes(), value.as_bytes()).expect("a valid field");
        }
        if trailers.is_empty() {
            sent.extend_from_slice(LAST_CHUNK);
        } else {
            write_trailers(&fields, &mut sent);
        }
        let body = chunked(&sent, &cuts(&at, sent.len()), &Limits::default()).expect("strict");
        prop_assert_eq!(body.data, data.concat());
        prop_assert_eq!(body.trailers, lines(&fields));
        prop_assert_eq!(body.len, Some(sent.len()));
    }

    #[test]
    fn patched_heads_hold_what_was_set(
        changes in vec((0..6u8, "[a-cA-C]{1,2}", "[a-z]{0,3}"), 0..30),
    ) {
        // The model: a list of lines.
        let mut model: Vec<(String, String)> = Vec::new();
        let mut head = Head::new();
        head.start_request(b"GET", b"/", b"a");
        for (what, name, value) in &changes {
            let other = |line: &(String, String)| !line.0.eq_ignore_ascii_case(name);
            match what {
                0 | 1 => {
                    head.add(name.as_bytes(), value.as_bytes()).expect("valid");
                    model.push((name.clone(), value.clone()));
                }
                2 | 3 => {
                    head.set(name.as_bytes(), value.as_bytes()).expect("valid");
                    model.retain(other);
                    model.push((name.clone(), value.clone()));
                }
                4 => {
                    let before = model.len();
                    model.retain(other);
                    prop_assert_eq!(head.remove(name.as_bytes()), model.len() < before);
                }
                _ => head.set_path(format!("/{name}").as_bytes()).expect("valid"),
            }
            let first = model.iter().find(|line| !other(line)).map(|l| l.1.as_bytes());
            prop_assert_eq!(head.find(name.as_bytes()), first);
        }
        let want: Vec<String> = model.iter().map(|(n, v)| format!("{n}: {v}")).collect();
        prop_assert_eq!(lines(&head), want);
    }
}
