//! What one request may set in motion at most.

use gateway_core::engine::{MAX_ASKS, MAX_FORWARDS};
use gateway_core::filter::{Answer, Ask, Failed, Join, Verdict, Who};

use crate::kit::{Event, Gateway, Probe};

#[test]
fn one_ask_too_many_is_answered_by_failed_at_once() {
    let mut g = Gateway::of(vec![Probe::new("a").request(|cx, _| {
        for _ in 0..=MAX_ASKS {
            cx.start(Ask::Sleep(1), Join::Joined);
        }
        Verdict::Next
    })]);
    let told = g.event(Event::Get("/"));
    assert!(told.starts_with("Forward; start 1 "), "{told}");
    assert_eq!(told.matches("start").count(), MAX_ASKS);
    let failed = Answer::Failed(Failed {
        who: Who::Gateway,
        may_retry: true,
    });
    assert_eq!(
        g.calls(),
        [
            "a.request",
            &format!("a.answer {} {failed:?}", MAX_ASKS + 1)
        ]
    );
}

#[test]
fn a_held_ask_beyond_the_bound_is_answered_too_and_the_request_goes_on() {
    let mut g = Gateway::of(vec![
        Probe::new("a").request(|cx, _| {
            for _ in 0..MAX_ASKS {
                cx.start(Ask::Sleep(1), Join::Joined);
            }
            Verdict::Ask(Ask::Sleep(2))
        }),
        Probe::new("b").response(|_, _, _| Verdict::Ask(Ask::Sleep(3))),
    ]);
    assert!(g.event(Event::Get("/")).starts_with("Forward; start 1 "));
    g.play(&[(Event::Response(0, 200), "Respond 0 200")]);
    let calls = g.calls();
    assert_eq!(
        calls.iter().filter(|c| c.contains("Failed")).count(),
        2,
        "{calls:?}"
    );
    assert_eq!(calls.last().map(String::as_str), Some("a.response 200"));
}

#[test]
fn an_ask_that_ended_makes_room_for_another() {
    let mut g = Gateway::of(vec![Probe::new("a")
        .request(|cx, _| {
            for _ in 0..MAX_ASKS {
                cx.start(Ask::Sleep(1), Join::Joined);
            }
            Verdict::Next
        })
        .answer(|cx, _, _, _| {
            cx.start(Ask::Sleep(9), Join::Joined);
            Verdict::Next
        })]);
    assert!(g.event(Event::Get("/")).starts_with("Forward"));
    g.play(&[(Event::Answer(1, Answer::Slept), "Wait; start 9 Sleep(9)")]);
}

#[test]
fn one_forward_too_many_is_refused() {
    let mut g = Gateway::of(vec![Probe::new("a").forwards().request(|cx, _| {
        for _ in 0..=MAX_FORWARDS {
            cx.start(Ask::Forward { upstream: 1 }, Join::Joined);
        }
        Verdict::Next
    })]);
    let told = g.event(Event::Get("/"));
    assert_eq!(told.matches("start").count(), MAX_FORWARDS, "{told}");
    assert!(told.starts_with("Wait"), "{told}");
    assert_eq!(g.calls().len(), 2);
}

#[test]
fn a_filter_that_asks_again_whatever_it_hears_ends_in_500() {
    let mut g = Gateway::of(vec![Probe::new("a")
        .request(|cx, _| {
            for _ in 0..MAX_ASKS {
                cx.start(Ask::Sleep(1), Join::Detached);
            }
            Verdict::Ask(Ask::Sleep(1))
        })
        .answer(|_, _, _, _| Verdict::Ask(Ask::Sleep(1)))]);
    let told = g.event(Event::Get("/"));
    assert!(told.starts_with("Reply 500 internal; start 1 "), "{told}");
}
