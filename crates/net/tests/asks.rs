//! Calls of plugins on their way out of a shard and back, with a server that does what a test says in
//! the place of JavaScript.

mod kit;

use std::collections::HashMap;
use std::sync::mpsc::{channel, Receiver};
use std::time::{Duration, Instant};

use gateway_core::filter::{Ask, PluginCall};
use gateway_core::plugin::PluginVerdict;
use kit::{config_to, wait_until, Client, Edge, Origin, PATIENCE};
use net::asks::{Asked, Brought, Service};
use net::{Gateway, Prepared};

/// A gateway with these filters, and whoever answers its plugins.
struct Stand {
    edge: Edge,
    origin: Origin,
    service: Option<Service>,
    woken: Receiver<()>,
}

impl Stand {
    fn of(filters: &str) -> Self {
        let origin = Origin::echo();
        let config = config_to(&[origin.at], "{}", filters);
        let config = gateway_core::config::parse(&config).unwrap_or_else(|f| panic!("{f:?}"));
        let prepared = Prepared {
            plugins: HashMap::from([("p.ts".to_owned(), "file:///p.mjs".to_owned())]),
            ..Prepared::default()
        };
        let gateway = Gateway::start_with(config, prepared).expect("the gateway starts");
        let edge = Edge { gateway };
        let (told, woken) = channel();
        let service = edge.gateway.plugin_asks().serve(move || {
            let _over = told.send(());
        });
        Self {
            edge,
            origin,
            service: Some(service),
            woken,
        }
    }

    fn client(&self) -> Client {
        Client::connect(self.edge.at())
    }

    fn service(&self) -> &Service {
        self.service.as_ref().expect("it has not left")
    }

    /// The next call.
    fn next(&self) -> (u64, PluginCall) {
        let Asked { number, ask, .. } = loop {
            self.woken.recv_timeout(PATIENCE).expect("a wake-up");
            if let Some(asked) = self.service().take().pop() {
                break asked;
            }
        };
        match ask {
            Ask::Plugin(call) => (number, *call),
            other => panic!("{other:?}"),
        }
    }

    /// Lets it set a field of the request.
    fn set(&self, number: u64, value: &str) {
        let text = format!(r#"{{"request":{{"set":{{"x-said":"{value}"}}}}}}"#);
        let verdict = PluginVerdict::parse(&text, Vec::new()).expect("a verdict");
        self.service()
            .answer([(number, Brought::Plugin(Box::new(verdict)))]);
    }

    fn failures(&self, kind: &str) -> u64 {
        let json = self.edge.gateway.metrics_json();
        let at = json
            .find("ironsluice_plugin_failures_total")
            .expect("the counter");
        let label = format!("{{\"kind\":\"{kind}\"}},\"value\":");
        let Some(found) = json[at..].find(&label) else {
            return 0;
        };
        let value = &json[at + found + label.len()..];
        let end = value.find('}').expect("an end");
        value[..end].parse().expect("a number")
    }
}

const PLUGIN: &str = r#"[{ "use": "plugin", "module": "p.ts", "timeout": "10s" }]"#;
const SHORT: &str = r#"[{ "use": "plugin", "module": "p.ts", "timeout": "200ms" }]"#;
const BODY: &str = r#"[{ "use": "plugin", "module": "p.ts", "timeout": "10s", "body": "16B" }]"#;

#[test]
fn a_call_holds_its_request_and_its_verdict_lets_it_go() {
    let stand = Stand::of(PLUGIN);
    let mut client = stand.client();
    for word in ["one", "two"] {
        client.send(format!("GET /{word}?q HTTP/1.1\r\nHost: a\r\n\r\n"));
        let (number, call) = stand.next();
        assert_eq!(&*call.module, "file:///p.mjs");
        for part in [&format!("\"path\":\"/{word}\""), "\"route\":\"all\""] {
            assert!(call.told.contains(part), "{}", call.told);
        }
        stand.set(number, word);
        assert_eq!(client.response().status, 200);
        let last = stand.origin.requests().pop().expect("a request");
        assert!(
            last.head.contains(&format!("x-said: {word}")),
            "{}",
            last.head
        );
    }
    assert_eq!(stand.edge.counter("plugin_calls"), 2);
}

#[test]
fn what_waits_is_taken_by_one_wake_up() {
    let stand = Stand::of(PLUGIN);
    let mut clients: Vec<Client> = (0..20).map(|_| stand.client()).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    wait_until("all calls", || stand.edge.counter("plugin_calls") == 20);
    let taken = stand.service().take();
    assert_eq!((taken.len(), stand.woken.try_iter().count()), (20, 1));
    let fail = taken.into_iter().map(|a| (a.number, Brought::Failed));
    stand.service().answer(fail);
    for client in &mut clients {
        let r = client.response();
        assert_eq!((r.status, r.code()), (503, "plugin_failed".into()));
    }
    assert_eq!(stand.failures("error"), 20);
}

#[test]
fn a_deadline_is_kept_by_the_shard_and_a_late_answer_hits_no_later_request() {
    let stand = Stand::of(SHORT);
    let mut client = stand.client();
    let began = Instant::now();
    client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    let (late, _) = stand.next();
    let r = client.response();
    assert_eq!((r.status, r.code()), (503, "plugin_failed".into()));
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert_eq!(stand.failures("timeout"), 1);
    // The same connection, whose next ask has the same name within its request.
    client.send("GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    let (number, _) = stand.next();
    stand.set(late, "late");
    stand.set(number, "own");
    assert_eq!(client.response().status, 200);
    let head = &stand.origin.requests()[0].head;
    assert!(
        head.starts_with("GET /second ") && head.contains("x-said: own"),
        "{head}"
    );
}

#[test]
fn open_lets_pass_what_closed_refuses() {
    let open = SHORT.replace("\"timeout\"", "\"on_fail\": \"open\", \"timeout\"");
    let stand = Stand::of(&open);
    assert_eq!(stand.client().get("/").status, 200);
    assert_eq!(stand.failures("timeout"), 1);
}

#[test]
fn a_client_that_goes_away_takes_its_ask_along() {
    let mut stand = Stand::of(PLUGIN);
    stand.service = None;
    let mut client = stand.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the call", || stand.edge.counter("plugin_calls") == 1);
    drop(client);
    wait_until("the end of the request", || {
        stand
            .edge
            .gateway
            .metrics_json()
            .contains(r#""class":"4xx","route":"all"},"value":1"#)
    });
    let service = stand.edge.gateway.plugin_asks().serve(|| {});
    assert!(service.take().is_empty());
}

#[test]
fn a_server_that_leaves_fails_what_it_had_and_the_next_one_takes_what_waits() {
    let mut stand = Stand::of(PLUGIN);
    let mut client = stand.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    stand.next();
    stand.service = None;
    assert_eq!(client.response().status, 503);
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the call", || stand.edge.counter("plugin_calls") == 2);
    let (told, woken) = channel();
    stand.woken = woken;
    stand.service = Some(stand.edge.gateway.plugin_asks().serve(move || {
        let _over = told.send(());
    }));
    let (number, _) = stand.next();
    stand.set(number, "back");
    assert_eq!(client.response().status, 200);
}

#[test]
fn a_body_is_handed_over_and_goes_on_to_the_upstream() {
    let stand = Stand::of(BODY);
    let mut client = stand.client();
    for (framed, body) in [
        ("\r\n", ""),
        ("Content-Length: 0\r\n\r\n", ""),
        ("Content-Length: 5\r\n\r\nhello", "hello"),
        (
            "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            "abcde",
        ),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""),
        (
            "Content-Length: 16\r\n\r\n0123456789abcdef",
            "0123456789abcdef",
        ),
    ] {
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framed}"));
        let (number, call) = stand.next();
        assert_eq!(call.body.as_deref(), Some(body.as_bytes()), "{framed:?}");
        stand.set(number, "x");
        assert_eq!(client.response().status, 200, "{framed:?}");
        let last = stand.origin.requests().pop().expect("a request");
        assert_eq!(last.body, body.as_bytes(), "{framed:?}");
    }
    for framed in [
        "Content-Length: 17\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n11\r\n0123456789abcdefg\r\n",
    ] {
        let mut client = stand.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{framed}"));
        let r = client.response();
        assert_eq!(
            (r.status, r.code()),
            (413, "plugin_body_too_large".into()),
            "{framed:?}"
        );
    }
    assert_eq!(stand.origin.requests().len(), 6);
}

#[test]
fn a_client_that_waits_to_be_asked_for_its_body_is_asked_once() {
    let stand = Stand::of(BODY);
    let mut client = stand.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.response().status, 100);
    client.send("hello");
    let (number, _) = stand.next();
    stand.set(number, "x");
    assert_eq!(client.response().status, 200);
    let last = stand.origin.requests().pop().expect("a request");
    assert_eq!(
        (kit::field(&last.head, "expect"), &last.body[..]),
        (None, &b"hello"[..])
    );
}

#[test]
fn a_second_plugin_gets_the_body_too_unless_it_is_too_long_for_it() {
    let two = |second: &str| {
        let first = BODY.trim_end_matches(']');
        format!(
            "{first}, {}]",
            BODY.trim_matches(['[', ']']).replace("16B", second)
        )
    };
    for (second, status) in [("16B", 200), ("4B", 413)] {
        let stand = Stand::of(&two(second));
        let mut client = stand.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let (number, _) = stand.next();
        stand.set(number, "one");
        if status == 200 {
            let (number, call) = stand.next();
            assert_eq!(call.body.as_deref(), Some(&b"hello"[..]));
            assert!(call.told.contains("\"x-said\",\"one\""), "{}", call.told);
            stand.set(number, "two");
        }
        assert_eq!(client.response().status, status, "{second}");
    }
}

#[test]
fn the_deadline_of_a_call_is_no_deadline_of_the_upload_behind_it() {
    let stand = Stand::of(SHORT);
    let mut client = stand.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n");
    let (number, _) = stand.next();
    stand.set(number, "x");
    for piece in ["a", "b", "c", "d"] {
        // The client's own slowness is what is tested: it pauses, nothing is waited for.
        std::thread::sleep(Duration::from_millis(80));
        client.send(piece);
    }
    assert_eq!(client.response().status, 200);
}

#[test]
fn an_answer_to_a_request_before_is_not_held_back_by_a_call() {
    let stand = Stand::of(PLUGIN);
    let mut client = stand.client();
    // Refused without a plugin, in one batch with one that asks.
    client.send("GET /%2F HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.response().code(), "escaped_slash");
    let (number, _) = stand.next();
    stand.set(number, "x");
    assert_eq!(client.response().status, 200);
}
