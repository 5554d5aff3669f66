//! Connections by an app's door, in a reactor that the test turns: what the owner hears, and what the client gets.

mod kit;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use kit::{Client, Origin, PATIENCE};
use net::outbox::{said, Event};
use net::{Exchange, Gateway, Reactor};

struct Door {
    gateway: Arc<Gateway>,
    reactor: Reactor,
    at: SocketAddr,
    _origin: Origin,
}

impl Door {
    fn open(timeouts: &str) -> Self {
        let origin = Origin::echo();
        let config = format!(
            r#"{{ "workers": 1,
                "listeners": [{{ "name": "door", "bind": "127.0.0.1:0", "door": "app", "app": "site", "timeouts": {timeouts} }}],
                "apps": [{{ "name": "site", "module": "site.ts", "timeouts": {{ "response": "300ms" }} }}],
                "upstreams": [{{ "name": "origin", "endpoints": ["{}"] }}] }}"#,
            origin.at
        );
        let config = gateway_core::config::parse(&config).expect("a good config");
        let gateway = Arc::new(Gateway::start(config).expect("the gateway starts"));
        let mut reactor = gateway.reactor().expect("a reactor");
        reactor.open("door", 7).expect("the port is ours");
        let at = gateway.addresses()[0].1;
        Self {
            gateway,
            reactor,
            at,
            _origin: origin,
        }
    }

    /// Turns while `client` runs. `app` hears all that is said.
    fn serve<T: Send + 'static>(
        &mut self,
        mut app: impl FnMut(&mut Reactor, Event, &[u8]),
        client: impl FnOnce(SocketAddr) -> T + Send + 'static,
    ) -> T {
        let at = self.at;
        let client = thread::spawn(move || client(at));
        let began = Instant::now();
        while !client.is_finished() {
            assert!(began.elapsed() < 2 * PATIENCE, "the client does not end");
            self.turn(&mut app);
        }
        client.join().expect("the client is content")
    }

    fn turn(&mut self, app: &mut impl FnMut(&mut Reactor, Event, &[u8])) {
        self.reactor.turn();
        let outbox = self.reactor.outbox();
        let (events, bytes) = (outbox.events.clone(), outbox.bytes.clone());
        outbox.clear();
        for event in events {
            let body = &bytes[event.body.0 as usize..event.body.1 as usize];
            app(&mut self.reactor, event, body);
        }
        thread::yield_now();
    }

    /// Turns until the owner has heard this.
    fn until(&mut self, word: u32) -> Event {
        let (began, mut found) = (Instant::now(), None);
        while found.is_none() {
            assert!(began.elapsed() < PATIENCE, "{word} is not said");
            self.turn(&mut |_, event, _| {
                if event.said & word != 0 {
                    found = Some(event);
                }
            });
        }
        found.expect("it was said")
    }
}

fn name(event: Event) -> Exchange {
    Exchange {
        place: event.key,
        serial: event.serial,
    }
}

/// Answers with what was asked for: the target, and the body once all of it is there.
fn echo() -> impl FnMut(&mut Reactor, Event, &[u8]) {
    let mut bodies = std::collections::HashMap::<u32, Vec<u8>>::new();
    move |reactor, event, body| {
        let x = name(event);
        if event.said & said::LOCAL != 0 {
            if event.said & said::BODY != 0 {
                reactor.set_deaf(x, false);
                return;
            }
            let mut head = Vec::new();
            reactor.head(x, &mut head);
            let head = String::from_utf8(head).expect("text");
            answer(
                reactor,
                x,
                head.split(' ').nth(1).expect("a target").as_bytes(),
            );
        } else if event.said & said::REQUEST != 0 {
            let all = bodies.entry(event.serial).or_default();
            all.extend_from_slice(body);
            if event.said & said::REQUEST_END != 0 {
                let all = bodies.remove(&event.serial).expect("it was begun");
                answer(reactor, x, &all);
            }
        }
    }
}

fn answer(reactor: &mut Reactor, x: Exchange, body: &[u8]) {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    assert!(reactor.respond(x, head.as_bytes(), Some(body)), "{x:?}");
}

#[test]
fn requests_are_answered_one_after_the_other_and_all_at_once() {
    let mut door = Door::open("{}");
    door.serve(echo(), |at| {
        let mut client = Client::connect(at);
        for path in ["/a", "/b?c=d"] {
            let response = client.get(path);
            assert_eq!(response.body, path.as_bytes(), "{response:?}");
            assert!(response.field("date").is_some(), "{response:?}");
        }
        client.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nHEAD /2 HTTP/1.1\r\nhost: a\r\n\r\nGET /3 HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(client.response().body, b"/1");
        let head = client.try_response("HEAD").expect("a head");
        assert_eq!((head.field("content-length"), head.body.len()), (Some("2"), 0));
        assert_eq!(client.response().body, b"/3");
    });
}

#[test]
fn a_body_comes_when_it_is_asked_for_and_whole() {
    let mut door = Door::open("{}");
    door.serve(echo(), |at| {
        let mut client = Client::connect(at);
        let body = vec![b'x'; 700_000];
        client.send("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 700000\r\n\r\n");
        client.send(&body);
        assert_eq!(client.response().body, body);
        client
            .send("POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n");
        client.send("2\r\nde\r\n0\r\n\r\nGET /next HTTP/1.1\r\nhost: a\r\n\r\n");
        assert_eq!(client.response().body, b"abcde");
        assert_eq!(client.response().body, b"/next");
        client.send(
            "POST /a HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n",
        );
        let told = client.until(b"\r\n\r\n").expect("an invitation");
        assert!(told.starts_with(b"HTTP/1.1 100 "), "{told:?}");
        client.send("ok");
        assert_eq!(client.response().body, b"ok");
    });
}

#[test]
fn an_answer_in_parts_waits_for_its_client() {
    const PART: usize = 50_000;
    const PARTS: usize = 200;
    let mut door = Door::open("{}");
    let (mut sent, mut pauses) = (0, 0);
    let app = |reactor: &mut Reactor, event: Event, _: &[u8]| {
        let x = name(event);
        if event.said & said::LOCAL != 0 {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
            assert!(reactor.respond(x, head, None));
        } else if event.said & said::ANSWER == 0 {
            return;
        }
        while sent < PARTS {
            sent += 1;
            if reactor.answer(x, &[b'x'; PART], sent == PARTS) > 64 << 10 {
                pauses += 1;
                break;
            }
        }
    };
    let length = door.serve(app, |at| Client::connect(at).get("/").body.len());
    assert_eq!(length, PARTS * PART);
    assert!(pauses > 1, "it was told to wait {pauses} times");
}

#[test]
fn a_client_that_leaves_is_told_and_a_late_answer_is_nobodys() {
    let mut door = Door::open("{}");
    let mut client = Client::connect(door.at);
    client.send("GET /a HTTP/1.1\r\nhost: a\r\n\r\n");
    let asked = door.until(said::LOCAL);
    drop(client);
    let gone = door.until(said::GONE);
    assert_eq!(name(gone), name(asked));
    assert!(!door
        .reactor
        .respond(name(asked), b"HTTP/1.1 200 OK\r\n\r\n", Some(b"")));
    assert_eq!(door.reactor.answer(name(asked), b"x", true), 0);
}

#[test]
fn an_answer_that_does_not_begin_in_time_is_given_up() {
    let mut door = Door::open("{}");
    let mut gone = false;
    let app = |_: &mut Reactor, event: Event, _: &[u8]| gone |= event.said & said::GONE != 0;
    let (first, second) = door.serve(app, |at| {
        let mut client = Client::connect(at);
        (client.get("/a").status, client.get("/a").status)
    });
    assert_eq!((first, second), (504, 504));
    assert!(gone, "the owner hears of it");
}

#[test]
fn a_client_that_owes_its_body_is_told_so() {
    let mut door = Door::open(r#"{ "stall": "200ms" }"#);
    let status = door.serve(echo(), |at| {
        let mut client = Client::connect(at);
        client.send("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nsome");
        client.response().status
    });
    assert_eq!(status, 408);
}

#[test]
fn what_is_sent_on_is_answered_by_the_upstream() {
    let mut door = Door::open("{}");
    let app = |reactor: &mut Reactor, event: Event, _: &[u8]| {
        if event.said & said::LOCAL != 0 {
            assert_eq!(reactor.send_on(name(event), "nobody"), None);
            assert_eq!(reactor.send_on(name(event), "origin"), Some(true));
        }
    };
    door.serve(app, |at| {
        let mut client = Client::connect(at);
        for _ in 0..2 {
            client.send("POST /a HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nbody");
            let response = client.response();
            assert_eq!(response.body, b"POST /a", "{response:?}");
        }
    });
}

#[test]
fn an_answer_that_is_broken_off_is_seen_not_to_be_whole() {
    let mut door = Door::open("{}");
    let app = |reactor: &mut Reactor, event: Event, _: &[u8]| {
        if event.said & said::LOCAL != 0 {
            let x = name(event);
            reactor.respond(
                x,
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                None,
            );
            reactor.answer(x, b"part", false);
            reactor.break_off(x);
        }
    };
    let answer = door.serve(app, |at| {
        let mut client = Client::connect(at);
        client.send("GET /a HTTP/1.1\r\nhost: a\r\n\r\n");
        client.try_response("GET")
    });
    assert!(answer.is_err(), "{answer:?}");
}

#[test]
fn a_door_that_is_left_ends_with_its_last_request() {
    let mut door = Door::open("{}");
    let mut idle = Client::connect(door.at);
    let mut busy = Client::connect(door.at);
    busy.send("GET /a HTTP/1.1\r\nhost: a\r\n\r\n");
    let asked = door.until(said::LOCAL);
    door.reactor.leave("door");
    door.reactor.turn();
    assert!(idle.is_closed());
    assert!(!door
        .reactor
        .outbox()
        .events
        .iter()
        .any(|e| e.said & said::LEFT != 0));
    answer(&mut door.reactor, name(asked), b"done");
    let response = busy.response();
    assert_eq!(
        (response.field("connection"), &response.body[..]),
        (Some("close"), &b"done"[..])
    );
    drop(busy);
    assert_eq!(door.until(said::LEFT).key, 7);
    // The place is free for another.
    door.reactor.open("door", 8).expect("the port is ours");
    let response = door.serve(echo(), |at| Client::connect(at).get("/new"));
    assert_eq!(response.body, b"/new");
}

#[test]
fn a_gateway_that_drains_leaves_its_doors() {
    let mut door = Door::open("{}");
    let mut client = Client::connect(door.at);
    client.send("GET /a HTTP/1.1\r\nhost: a\r\n\r\n");
    let asked = door.until(said::LOCAL);
    let gateway = door.gateway.clone();
    let drained = thread::spawn(move || gateway.drain(PATIENCE));
    while !drained.is_finished() {
        door.reactor.turn();
    }
    door.reactor.turn(); // the word to drain is in the mail now
    answer(&mut door.reactor, name(asked), b"done");
    assert_eq!(client.response().body, b"done");
    let mut rest = Vec::new();
    assert_eq!(client.stream.read_to_end(&mut rest).expect("an end"), 0);
    let refused = std::net::TcpStream::connect(door.at).and_then(|mut s| {
        s.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")?;
        s.read(&mut [0; 1])
    });
    assert!(!matches!(refused, Ok(1)), "{refused:?}");
}
