//! A filter that forwards by itself: two forwards, the first response stands, the loser is cancelled.

use gateway_core::filter::{Answer, Ask, Join, Verdict};
use gateway_core::forward::Failure;

use crate::kit::{refuse, Event, Gateway, Probe};

/// Sends a request to upstream 0, and once 50 have passed or that has failed to upstream 1 too.
fn hedge() -> Probe {
    Probe::new("hedge")
        .forwards()
        .request(|cx, _| {
            cx.start(Ask::Forward { upstream: 0 }, Join::Joined);
            cx.slot.words[0] = u64::from(cx.start(Ask::Sleep(50), Join::Joined).0);
            Verdict::Next
        })
        .answer(|cx, _, _, a| {
            if a == Answer::Response || cx.slot.words[1] == 1 {
                return Verdict::Next;
            }
            cx.slot.words[1] = 1;
            cx.cancel(gateway_core::filter::AskId(cx.slot.words[0] as u32));
            cx.start(Ask::Forward { upstream: 1 }, Join::Joined);
            Verdict::Next
        })
}

const BEGUN: (Event, &str) = (
    Event::Get("/"),
    "Wait; start 1 Forward { upstream: 0 }; start 2 Sleep(50)",
);
const HEDGED: (Event, &str) = (
    Event::Answer(2, Answer::Slept),
    "Wait; start 3 Forward { upstream: 1 }",
);

#[test]
fn the_first_response_stands_and_the_loser_is_cancelled() {
    let cases: &[&[(Event, &str)]] = &[
        &[BEGUN, (Event::Response(1, 200), "Respond 1 200; cancel 2")],
        &[
            BEGUN,
            HEDGED,
            (Event::Response(1, 200), "Respond 1 200; cancel 3"),
            (Event::Response(3, 200), "Wait"),
        ],
        &[
            BEGUN,
            HEDGED,
            (Event::Response(3, 201), "Respond 3 201; cancel 1"),
            (Event::Failed(1, Failure::Reset), "Wait"),
        ],
        &[
            BEGUN,
            (
                Event::Failed(1, Failure::Refused),
                "Wait; cancel 2; start 3 Forward { upstream: 1 }",
            ),
            (Event::Response(3, 200), "Respond 3 200"),
        ],
        &[
            BEGUN,
            HEDGED,
            (Event::Failed(1, Failure::Reset), "Wait"),
            (Event::Response(3, 200), "Respond 3 200"),
        ],
        &[
            BEGUN,
            HEDGED,
            (Event::Failed(3, Failure::Reset), "Wait"),
            (Event::Response(1, 200), "Respond 1 200"),
        ],
        &[
            BEGUN,
            HEDGED,
            (Event::Failed(1, Failure::Reset), "Wait"),
            (
                Event::Failed(3, Failure::Refused),
                "Reply 503 upstream_refused",
            ),
        ],
        &[
            BEGUN,
            HEDGED,
            (Event::Failed(3, Failure::Refused), "Wait"),
            (Event::Failed(1, Failure::Reset), "Reply 502 upstream_reset"),
        ],
        &[BEGUN, HEDGED, (Event::Done(499), "-; cancel 1; cancel 3")],
    ];
    for script in cases {
        Gateway::of(vec![hedge()]).play(script);
    }
}

#[test]
fn an_adopted_response_passes_the_filters_before() {
    let mut g = Gateway::of(vec![Probe::new("a"), hedge()]);
    g.play(&[
        BEGUN,
        HEDGED,
        (Event::Response(3, 200), "Respond 3 200; cancel 1"),
        (Event::Done(200), "-"),
    ]);
    assert_eq!(
        g.calls(),
        [
            "a.request",
            "hedge.request",
            "hedge.answer 2 Slept",
            "hedge.answer 3 Response",
            "a.response 200",
            "a.done 200",
            "hedge.done 200",
        ]
    );
}

#[test]
fn adopting_a_response_leaves_the_asks_of_others_alone() {
    let timer = Probe::new("timer").request(|cx, _| {
        cx.start(Ask::Sleep(1000), Join::Joined);
        Verdict::Next
    });
    let mut g = Gateway::of(vec![timer, hedge()]);
    g.play(&[
        (
            Event::Get("/"),
            "Wait; start 1 Sleep(1000); start 2 Forward { upstream: 0 }; start 3 Sleep(50)",
        ),
        (Event::Response(2, 200), "Respond 2 200; cancel 3"),
        (Event::Answer(1, Answer::Slept), "Wait"),
    ]);
    assert!(g.calls().contains(&"timer.answer 1 Slept".to_owned()));
}

#[test]
fn an_adopted_response_may_still_be_replaced() {
    let mut g = Gateway::of(vec![
        Probe::new("a").response(|_, _, rsp| {
            if rsp.status() == 500 {
                refuse(502)
            } else {
                Verdict::Next
            }
        }),
        hedge(),
    ]);
    g.play(&[
        BEGUN,
        (
            Event::Response(1, 500),
            "Reply 502 test; cancel 2; cancel 1",
        ),
    ]);
}

/// Tries again, up to three times, when the response is a 503: it must then give up what it has.
fn retry() -> Probe {
    Probe::new("retry")
        .forwards()
        .request(|_, _| Verdict::Ask(Ask::Forward { upstream: 0 }))
        .answer(|cx, ex, _, a| {
            cx.slot.words[0] += 1;
            let again = a != Answer::Response || ex.response.status() == 503;
            if again && cx.slot.words[0] < 3 {
                Verdict::Ask(Ask::Forward { upstream: 1 })
            } else {
                Verdict::Next
            }
        })
}

#[test]
fn a_response_that_is_not_adopted_is_given_up() {
    let begun = (Event::Get("/"), "Wait; start 1 Forward { upstream: 0 }");
    let cases: &[&[(Event, &str)]] = &[
        &[begun, (Event::Response(1, 200), "Respond 1 200")],
        &[
            begun,
            (
                Event::Response(1, 503),
                "Wait; cancel 1; start 2 Forward { upstream: 1 }",
            ),
            (Event::Response(2, 200), "Respond 2 200"),
        ],
        &[
            begun,
            (
                Event::Failed(1, Failure::Refused),
                "Wait; start 2 Forward { upstream: 1 }",
            ),
            (
                Event::Failed(2, Failure::ConnectTimeout),
                "Wait; start 3 Forward { upstream: 1 }",
            ),
            (
                Event::Failed(3, Failure::ConnectTimeout),
                "Reply 504 connect_timeout",
            ),
        ],
        &[
            begun,
            (
                Event::Response(1, 503),
                "Wait; cancel 1; start 2 Forward { upstream: 1 }",
            ),
            (
                Event::Response(2, 503),
                "Wait; cancel 2; start 3 Forward { upstream: 1 }",
            ),
            (Event::Response(3, 503), "Respond 3 503"),
        ],
    ];
    for script in cases {
        Gateway::of(vec![retry()]).play(script);
    }
}

#[test]
fn a_reply_to_the_answer_of_a_forward_gives_it_up() {
    let strict = Probe::new("strict")
        .forwards()
        .request(|_, _| Verdict::Ask(Ask::Forward { upstream: 0 }))
        .answer(|_, _, _, _| refuse(502));
    Gateway::of(vec![strict]).play(&[
        (Event::Get("/"), "Wait; start 1 Forward { upstream: 0 }"),
        (Event::Response(1, 200), "Reply 502 test; cancel 1"),
    ]);
}

#[test]
fn a_filter_that_may_forward_and_does_not_leaves_it_to_the_route() {
    Gateway::of(vec![Probe::new("a").forwards()]).play(&[(Event::Get("/"), "Forward")]);
}

#[test]
fn each_forward_has_endpoints_of_its_own_upstream() {
    use gateway_core::forward::Choice;
    let mut g = Gateway::of(vec![hedge()]);
    g.play(&[BEGUN, HEDGED]);
    assert!(matches!(g.choose(1), Choice::Endpoint(_)));
    assert_eq!(g.choose(3), Choice::Endpoint(0));
    assert_eq!(g.refused(3), Choice::Fail(Failure::Refused));
    assert!(matches!(g.refused(1), Choice::Endpoint(_)));
    assert_eq!(g.refused(1), Choice::Fail(Failure::Refused));
    assert_eq!(g.choose(99), Choice::Fail(Failure::NoEndpoint));
}
