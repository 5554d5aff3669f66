//! Requests without a client's socket, in a reactor that the test turns.

mod kit;

use std::sync::Arc;
use std::time::Instant;

use kit::{Origin, PATIENCE};
use net::outbox::said;
use net::{Arrival, Arrived, Exchange, Gateway, Local, Reactor};

/// What was said of one request, put together.
#[derive(Debug, Default)]
struct Told {
    said: u32,
    block: String,
    body: Vec<u8>,
    request: Vec<u8>,
    length: u64,
}

struct Stand {
    gateway: Arc<Gateway>,
    reactor: Reactor,
    _origin: Origin,
}

fn stand(filters: &str, answer: &'static [u8]) -> Stand {
    let origin = Origin::serve(move |r| match answer {
        b"echo" => {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                r.body.len()
            );
            [head.as_bytes(), &r.body].concat()
        }
        bytes => bytes.to_vec(),
    });
    let config = kit::config_to(&[origin.at], "{}", filters);
    let config = gateway_core::config::parse(&config).expect("a good config");
    let gateway = Arc::new(Gateway::start(config).expect("the gateway starts"));
    let reactor = gateway.reactor().expect("a reactor");
    Stand {
        gateway,
        reactor,
        _origin: origin,
    }
}

impl Stand {
    fn begin(&mut self, head: &str, local: Local) -> u32 {
        let arrived = self.reactor.arrive(Arrival {
            listener: 0,
            peer: "192.0.2.1:1".parse().expect("an address"),
            head: head.as_bytes(),
            local,
        });
        match arrived {
            Arrived::As { key, .. } => key,
            other => panic!("{other:?}"),
        }
    }

    /// Begins a request that the owner answers, and returns under which names it does.
    fn begin_local(&mut self, head: &str) -> (u32, Exchange) {
        let key = self.begin(head, Local::One(0));
        let place = key & 0x1f_ffff;
        let outbox = self.reactor.outbox();
        let mine = |e: &&net::outbox::Event| e.said & said::LOCAL != 0 && e.key == place;
        let event = outbox.events.iter().find(mine);
        let serial = event.expect("the owner is asked").serial;
        (key, Exchange { place, serial })
    }

    /// Turns until one of these bits is said of a request.
    fn until(&mut self, key: u32, bits: u32) -> Told {
        let mut told = Told::default();
        let began = Instant::now();
        loop {
            let outbox = self.reactor.outbox();
            let own = |e: &&net::outbox::Event| {
                let (place, local) = (key & 0x1f_ffff, e.serial != 0);
                e.key == if local { place } else { key }
            };
            for e in outbox.events.iter().filter(own) {
                let text =
                    |(from, to): (u32, u32)| outbox.bytes[from as usize..to as usize].to_vec();
                told.said |= e.said;
                told.block += &String::from_utf8(text(e.head)).expect("text");
                if e.said & said::LENGTH != 0 {
                    told.length = e.length;
                }
                if e.said & said::REQUEST == 0 {
                    told.body.extend(text(e.body));
                } else {
                    told.request.extend(text(e.body));
                }
            }
            outbox.clear();
            if told.said & bits != 0 {
                return told;
            }
            assert!(began.elapsed() < PATIENCE, "{bits} is not said: {told:?}");
            std::thread::yield_now();
            self.reactor.turn();
        }
    }
}

const GET: &str = "GET /a HTTP/1.1\r\nhost: a\r\n\r\n";
const POST: &str = "POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

#[test]
fn a_request_goes_upstream_and_its_answer_comes_back_whole() {
    let mut s = stand(
        "[]",
        b"HTTP/1.1 201 Made\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    );
    for _ in 0..3 {
        let key = s.begin(GET, Local::None);
        let told = s.until(key, said::END | said::CUT);
        assert_eq!(
            told.said & (said::CUT | said::LENGTH | said::BODILESS),
            0,
            "{told:?}"
        );
        assert_eq!(
            (told.block.as_str(), told.body.as_slice()),
            ("201 Made\r\nX-A: b", &b"abc"[..])
        );
    }
}

#[test]
fn a_body_is_pushed_in_parts_and_framed_here() {
    let mut s = stand("[]", b"echo");
    let key = s.begin(POST, Local::None);
    let part = vec![b'x'; 100_000];
    let mut waits = s.reactor.push(key, &part, false);
    for _ in 0..20 {
        if waits > 65_536 {
            s.until(key, said::PUSH);
        }
        waits = s.reactor.push(key, &part, false);
    }
    s.reactor.push(key, b"end", true);
    let told = s.until(key, said::END | said::CUT);
    assert_eq!(
        (told.body.len(), told.length),
        (2_100_003, 2_100_003),
        "{}",
        told.said
    );
    assert!(told.body.ends_with(b"xend"));
}

#[test]
fn an_owner_that_takes_nothing_holds_the_upstream() {
    let mut s = stand("[]", b"echo");
    let key = s.begin(POST, Local::None);
    s.reactor.set_writable(key, false);
    s.reactor.push(key, &vec![b'x'; 60_000], true);
    for _ in 0..50 {
        s.reactor.turn();
        assert_eq!(s.reactor.outbox().bytes.len(), 0);
    }
    s.reactor.set_writable(key, true);
    assert_eq!(s.until(key, said::END).body.len(), 60_000);
}

#[test]
fn the_owner_answers_and_reads_the_head() {
    let mut s = stand("[]", b"echo");
    let (key, x) = s.begin_local(GET);
    let mut head = Vec::new();
    s.reactor.head(x, &mut head);
    let head = String::from_utf8(head).expect("text");
    assert!(head.starts_with("GET /a HTTP/1.1\r\nHost: a\r\n"), "{head}");
    assert!(head.contains("X-Forwarded-For: 192.0.2.1\r\n"), "{head}");
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    assert!(s.reactor.respond(x, answer, Some(b"hello")));
    let told = s.until(key, said::END | said::CUT);
    assert_eq!((told.said & said::GONE, &told.body[..]), (0, &b"hello"[..]));
    // A number that is gone is nobody's.
    assert!(!s.reactor.respond(x, answer, Some(b"again")));
    assert!(s.gateway.metrics_json().contains("\"route\":\"all\""));
}

#[test]
fn an_answer_passes_filters_that_look_at_it() {
    let filters = r#"[{ "use": "headers", "response": { "set": { "x-f": "1" } } }, { "use": "body_limit", "max": "5B" }]"#;
    let mut s = stand(filters, b"echo");
    let (key, x) = s.begin_local(POST);
    assert_eq!(s.until(key, said::LOCAL).said, said::LOCAL | said::BODY);
    s.reactor.push(key, b"12345", true);
    s.reactor.set_deaf(x, false);
    assert_eq!(s.until(key, said::REQUEST_END).request, b"12345");
    let head = b"HTTP/1.1 203 Other\r\nX-B: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert!(s.reactor.respond(x, head, None));
    assert!(
        !s.reactor.respond(x, b"HTTP/1.1 200 OK\r\n\r\n", None),
        "an answer begins once"
    );
    s.reactor.answer(x, b"one", false);
    s.reactor.answer(x, b"two", true);
    let told = s.until(key, said::END | said::CUT);
    assert_eq!(
        (told.block.as_str(), told.body.as_slice()),
        ("203 Other\r\nX-B: 2\r\nx-f: 1", &b"onetwo"[..])
    );
    assert_eq!(told.said & said::CUT, 0);

    let (key, x) = s.begin_local(POST);
    s.until(key, said::LOCAL);
    s.reactor.set_deaf(x, false);
    s.reactor.push(key, b"123456", true);
    let told = s.until(key, said::END | said::CUT);
    assert!(told.block.starts_with("413 "), "{told:?}");
    assert_ne!(
        told.said & said::GONE,
        0,
        "the owner hears that it need not answer"
    );
}

#[test]
fn an_answer_that_breaks_its_word_is_no_answer() {
    let mut s = stand(
        r#"[{ "use": "headers", "response": { "set": { "x-f": "1" } } }]"#,
        b"echo",
    );
    for (head, body, want) in [
        (
            &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n"[..],
            &b""[..],
            said::END,
        ),
        (b"HTTP/1.1 101 Switching\r\n\r\n", b"", said::END),
        (b"nonsense", b"", said::END),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            b"1",
            said::CUT | said::END,
        ),
    ] {
        let (key, x) = s.begin_local(GET);
        s.until(key, said::LOCAL);
        s.reactor.respond(x, head, None);
        s.reactor.answer(x, body, true);
        let told = s.until(key, said::END | said::CUT);
        assert_ne!(told.said & want, 0, "{told:?}");
        assert!(
            told.said & said::CUT != 0 || told.block.starts_with("502 "),
            "{told:?}"
        );
    }
}

#[test]
fn an_owner_sends_on_what_it_was_to_answer() {
    let mut s = stand("[]", b"echo");
    let (key, x) = s.begin_local(POST);
    s.until(key, said::LOCAL);
    assert_eq!(s.reactor.send_on(x, "nobody"), None);
    assert_eq!(s.reactor.send_on(x, "origin"), Some(true));
    s.reactor.push(key, b"body", true);
    assert_eq!(s.until(key, said::END).body, b"body");
    assert_eq!(s.reactor.send_on(x, "origin"), None, "it is over");
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let mut s = stand("[]", b"echo");
    for local in [Local::None, Local::One(0)] {
        let key = s.begin(POST, local);
        s.reactor.push(key, b"part", false);
        s.reactor.turn();
        s.reactor.abort(key);
        s.reactor.outbox().clear();
        s.reactor.push(key, b"more", true);
        s.reactor.turn();
        assert!(s.reactor.outbox().events.is_empty());
    }
    s.gateway.close();
    s.reactor.turn();
    assert!(s.reactor.is_stopped());
}

#[test]
fn a_head_with_a_fault_is_refused_and_closes() {
    let mut s = stand("[]", b"echo");
    for (head, status) in [
        ("GET /a HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", "400 "),
        ("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n", "400 "),
        ("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n", "400 "),
        ("GET /%2e%2e/a HTTP/1.1\r\nhost: a\r\n\r\n", "400 "),
    ] {
        let key = s.begin(head, Local::One(0));
        let told = s.until(key, said::END | said::CUT);
        assert!(told.block.starts_with(status), "{head:?}: {told:?}");
        assert_ne!(told.said & said::CLOSE, 0, "{head:?}: what follows cannot be trusted");
    }
}

#[test]
fn a_guest_is_introduced_by_its_address_and_keeps_no_connection() {
    // The line stands before the request's, in what is read as its head.
    let origin = Origin::start(|mut peer| {
        while let Some(request) = peer.head() {
            peer.remember(request);
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let config = kit::config_to(&[origin.at], r#"{ "proxy_protocol": "v1" }"#, "[]");
    let config = gateway_core::config::parse(&config).expect("a good config");
    let gateway = Arc::new(Gateway::start(config).expect("the gateway starts"));
    let reactor = gateway.reactor().expect("a reactor");
    let mut s = Stand {
        gateway,
        reactor,
        _origin: origin,
    };
    for _ in 0..2 {
        let key = s.begin(GET, Local::None);
        assert_eq!(s.until(key, said::END | said::CUT).said & said::CUT, 0);
    }
    s._origin.wait_for_ends(2);
    for request in s._origin.take() {
        let line = request.head.lines().next();
        assert_eq!(line, Some("PROXY TCP4 192.0.2.1 127.0.0.1 1 0"));
    }
}
