//! Pipes, taps and limits that filters set.

use std::sync::{Arc, Mutex};

use gateway_core::body::{Abort, Done, End, Keep, Pipe, Side, Tap};
use gateway_core::filter::Verdict;

use crate::kit::{refuse, Event, Gateway, Probe};

struct Upper;

impl Pipe for Upper {
    fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Abort> {
        out.extend(input.iter().map(u8::to_ascii_uppercase));
        Ok(input.len())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Done, Abort> {
        out.push(b'!');
        Ok(Done::Finished)
    }
}

/// Collects up to 8 bytes, and says how the stream ended.
struct Copy(Arc<Mutex<String>>);

impl Tap for Copy {
    fn see(&mut self, bytes: &[u8]) -> Keep {
        let mut seen = self.0.lock().expect("no test panics while it holds this");
        seen.push_str(&String::from_utf8_lossy(bytes));
        if seen.len() > 8 {
            Keep::Stop
        } else {
            Keep::Watching
        }
    }

    fn end(&mut self, how: End) {
        self.0
            .lock()
            .expect("no test panics while it holds this")
            .push_str(&format!("|{how:?}"));
    }
}

fn pass(g: &mut Gateway, side: Side, input: &str, end: bool) -> String {
    let mut out = Vec::new();
    g.run
        .acts
        .bodies
        .pass(side, input.as_bytes(), end, &mut out)
        .expect("no pipe here aborts");
    String::from_utf8(out).expect("text")
}

#[test]
fn a_request_pipe_changes_only_the_request_s_body() {
    let mut g = Gateway::of(vec![Probe::new("a").request(|cx, _| {
        cx.pipe(Side::Request, Box::new(Upper));
        Verdict::Next
    })]);
    g.play(&[(Event::Get("/"), "Forward")]);
    assert!(g.run.acts.bodies.changes(Side::Request) && !g.run.acts.bodies.wants(Side::Response));
    assert_eq!(pass(&mut g, Side::Request, "ab", false), "AB");
    assert_eq!(pass(&mut g, Side::Request, "c", true), "C!");
    assert_eq!(pass(&mut g, Side::Response, "abc", true), "abc");
}

#[test]
fn a_response_pipe_makes_a_strong_validator_weak() {
    for (etag, want) in [("\"v1\"", "W/\"v1\""), ("W/\"v1\"", "W/\"v1\"")] {
        for piped in [true, false] {
            let mut g = Gateway::of(vec![Probe::new("a").response(move |cx, _, rsp| {
                rsp.set(b"etag", etag.as_bytes()).expect("a valid field");
                if piped {
                    cx.pipe(Side::Response, Box::new(Upper));
                }
                Verdict::Next
            })]);
            g.play(&[
                (Event::Get("/"), "Forward"),
                (Event::Response(0, 200), "Respond 0 200"),
            ]);
            let after = g
                .run
                .exchange
                .response
                .find(b"etag")
                .map(|v| String::from_utf8_lossy(v).into_owned());
            assert_eq!(after.as_deref(), Some(if piped { want } else { etag }));
        }
    }
}

#[test]
fn a_tap_sees_what_leaves_the_pipes_and_commits_only_a_whole_stream() {
    for (input, end, want) in [
        ("abc", true, "ABC!|Complete"),
        ("abc", false, "ABC|Aborted"),
        ("", true, "!|Complete"),
        ("", false, "|Aborted"),
        ("0123456789", true, "0123456789!"),
    ] {
        let seen = Arc::new(Mutex::new(String::new()));
        let tapped = seen.clone();
        let mut g = Gateway::of(vec![Probe::new("a").response(move |cx, _, _| {
            cx.tap(Side::Response, Box::new(Copy(tapped.clone())));
            cx.pipe(Side::Response, Box::new(Upper));
            Verdict::Next
        })]);
        g.play(&[
            (Event::Get("/"), "Forward"),
            (Event::Response(0, 200), "Respond 0 200"),
        ]);
        assert!(g.run.acts.bodies.wants(Side::Response));
        let _out = pass(&mut g, Side::Response, input, end);
        g.event(Event::Done(200));
        g.run.clear();
        assert_eq!(*seen.lock().expect("no panic"), want, "{input:?} {end}");
    }
}

#[test]
fn the_least_of_several_limits_counts() {
    let limit = |name, bytes| {
        Probe::new(name).request(move |cx, _| {
            cx.limit_body(bytes);
            Verdict::Next
        })
    };
    let mut g = Gateway::of(vec![limit("a", 100), limit("b", 10), limit("c", 50)]);
    g.play(&[(Event::Get("/"), "Forward")]);
    assert_eq!(g.run.acts.bodies.request_limit(), Some(10));
}

#[test]
fn a_refused_request_has_no_pipes_of_filters_it_never_reached() {
    let piping = Probe::new("b").request(|cx, _| {
        cx.pipe(Side::Response, Box::new(Upper));
        Verdict::Next
    });
    let mut g = Gateway::of(vec![Probe::new("a").request(|_, _| refuse(403)), piping]);
    g.play(&[(Event::Get("/"), "Reply 403 test")]);
    assert!(!g.run.acts.bodies.wants(Side::Response));
}
