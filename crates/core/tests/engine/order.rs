//! In which order filters are called, and which of them.

use gateway_core::filter::{Needs, Verdict};
use gateway_core::forward::Failure;
use wire::Head;

use crate::kit::{refuse, Event, Gateway, Probe};

fn three(b: Probe) -> Gateway {
    Gateway::of(vec![Probe::new("a"), b, Probe::new("c")])
}

#[test]
fn requests_go_down_and_responses_come_up() {
    let mut g = three(Probe::new("b"));
    g.play(&[
        (Event::Get("/"), "Forward"),
        (Event::Response(0, 200), "Respond 0 200"),
    ]);
    g.trailers(&mut Head::new());
    g.play(&[(Event::Done(200), "-"), (Event::Done(200), "-")]);
    assert_eq!(
        g.calls(),
        [
            "a.request",
            "b.request",
            "c.request",
            "c.response 200",
            "b.response 200",
            "a.response 200",
            "c.trailers",
            "b.trailers",
            "a.trailers",
            "a.done 200",
            "b.done 200",
            "c.done 200",
        ]
    );
}

#[test]
fn a_reply_passes_the_response_filters_of_those_before_it() {
    let mut g = three(Probe::new("b").request(|_, _| refuse(403)));
    g.play(&[(Event::Get("/"), "Reply 403 test"), (Event::Done(403), "-")]);
    assert_eq!(
        g.calls(),
        [
            "a.request",
            "b.request",
            "a.response 403",
            "a.done 403",
            "b.done 403"
        ]
    );
    assert!(String::from_utf8_lossy(&g.run.reply_body).contains("A test refuses."));
}

#[test]
fn a_reply_to_a_response_replaces_it_and_gives_up_its_forward() {
    let mut g = three(Probe::new("b").response(|_, _, _| refuse(502)));
    g.play(&[
        (Event::Get("/"), "Forward"),
        (Event::Response(0, 200), "Reply 502 test; cancel 0"),
        (Event::Done(502), "-"),
    ]);
    assert_eq!(
        g.calls(),
        [
            "a.request",
            "b.request",
            "c.request",
            "c.response 200",
            "b.response 200",
            "a.response 502",
            "a.done 502",
            "b.done 502",
            "c.done 502",
        ]
    );
}

#[test]
fn a_failed_forward_is_a_reply_that_all_filters_see() {
    for (failure, want) in [
        (Failure::NoEndpoint, "Reply 503 no_endpoint"),
        (Failure::Refused, "Reply 503 upstream_refused"),
        (Failure::ConnectTimeout, "Reply 504 connect_timeout"),
        (Failure::Reset, "Reply 502 upstream_reset"),
        (Failure::BadResponse, "Reply 502 upstream_protocol"),
        (Failure::ResponseTimeout, "Reply 504 response_timeout"),
    ] {
        let mut g = Gateway::of(vec![Probe::new("a")]);
        g.play(&[
            (Event::Get("/"), "Forward"),
            (Event::Failed(0, failure), want),
        ]);
        let seen = &g.calls()[1];
        assert!(seen.starts_with("a.response 50"), "{seen}");
        let proxy = String::from_utf8_lossy(
            g.run
                .exchange
                .response
                .find(b"proxy-status")
                .unwrap_or_default(),
        )
        .into_owned();
        assert!(proxy.starts_with("ironsluice; error="), "{proxy}");
    }
}

#[test]
fn what_a_filter_does_not_need_is_not_called() {
    for (needs, calls) in [
        (Needs::default(), vec![]),
        (
            Needs {
                request: true,
                ..Needs::default()
            },
            vec!["b.request"],
        ),
        (
            Needs {
                response: true,
                ..Needs::default()
            },
            vec!["b.response 200"],
        ),
        (
            Needs {
                trailers: true,
                ..Needs::default()
            },
            vec!["b.trailers"],
        ),
        (
            Needs {
                done: true,
                ..Needs::default()
            },
            vec!["b.done 200"],
        ),
    ] {
        let mut g = Gateway::of(vec![Probe::new("b").needs(needs)]);
        g.play(&[
            (Event::Get("/"), "Forward"),
            (Event::Response(0, 200), "Respond 0 200"),
        ]);
        g.trailers(&mut Head::new());
        g.play(&[(Event::Done(200), "-")]);
        assert_eq!(g.calls(), calls, "{needs:?}");
    }
}

#[test]
fn a_filter_behind_a_refusal_is_not_told_of_the_end() {
    let only_done = Needs {
        done: true,
        ..Needs::default()
    };
    let mut g = Gateway::of(vec![
        Probe::new("a").needs(only_done),
        Probe::new("b").request(|_, _| refuse(429)),
        Probe::new("c").needs(only_done),
    ]);
    g.play(&[(Event::Get("/"), "Reply 429 test"), (Event::Done(429), "-")]);
    assert_eq!(g.calls(), ["b.request", "a.done 429", "b.done 429"]);
}

#[test]
fn a_request_without_a_route_meets_no_filter() {
    let text = r#"{
        "listeners": [{ "name": "web", "bind": "127.0.0.1:0" }],
        "upstreams": [{ "name": "u", "endpoints": ["127.0.0.1:1001"] }],
        "routes": [{ "name": "r", "match": { "path": "/only" }, "to": "u" }]
    }"#;
    let mut g = Gateway::configured(text, vec![Probe::new("a")]);
    g.play(&[
        (Event::Get("/other"), "Reply 404 no_route"),
        (Event::Done(404), "-"),
    ]);
    assert!(g.calls().is_empty());
}

#[test]
fn an_escaped_slash_is_refused_unless_the_route_keeps_it() {
    for (keep, want) in [("reject", "Reply 400 escaped_slash"), ("keep", "Forward")] {
        let text = format!(
            r#"{{
            "listeners": [{{ "name": "web", "bind": "127.0.0.1:0" }}],
            "upstreams": [{{ "name": "u", "endpoints": ["127.0.0.1:1001"] }}],
            "routes": [{{ "name": "r", "match": {{ "path": "/*" }}, "escaped_slash": "{keep}", "to": "u" }}]
        }}"#
        );
        let mut g = Gateway::configured(&text, vec![]);
        g.play(&[(Event::Get("/a%2fb"), want)]);
    }
}

#[test]
fn a_run_forgets_one_request_before_the_next() {
    let mut g = Gateway::of(vec![Probe::new("a").request(|cx, _| {
        assert_eq!((cx.slot.words, cx.slot.any.is_some()), ([0, 0], false));
        cx.slot.words = [1, 2];
        cx.slot.any = Some(Box::new("state"));
        cx.limit_body(7);
        Verdict::Next
    })]);
    for _ in 0..3 {
        g.play(&[
            (Event::Get("/"), "Forward"),
            (Event::Response(0, 204), "Respond 0 204"),
            (Event::Done(204), "-"),
        ]);
        assert_eq!(g.run.acts.bodies.request_limit(), Some(7));
        g.run.clear();
        assert_eq!(g.run.acts.bodies.request_limit(), None);
    }
}
