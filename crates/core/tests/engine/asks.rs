//! Asks and their answers, in both phases.

use gateway_core::body::Side;
use gateway_core::filter::{
    Answer, Ask, AskId, Failed, FetchCall, Join, PluginCall, StoreCall, Verdict, Who,
};

use gateway_core::plugin::PluginVerdict;

use crate::kit::{refuse, Event, Gateway, Probe};

const FAILED: Answer<'static> = Answer::Failed(Failed {
    who: Who::Store,
    may_retry: true,
});

/// One ask of each kind, with an answer it may get.
fn each() -> Vec<(Ask, Answer<'static>)> {
    let store = StoreCall {
        script: "gcra",
        key: b"k".to_vec(),
        more: Vec::new(),
        args: vec![1],
        timeout: 20,
    };
    let fetch = FetchCall {
        upstream: 1,
        method: "GET",
        target: b"/".to_vec(),
        body: Vec::new(),
        max: 9,
        timeout: 20,
    };
    let plugin = PluginCall {
        module: "p".into(),
        told: "{}".into(),
        body: None,
        timeout: 20,
    };
    // Answers of a table are static.
    let said: &'static PluginVerdict = Box::leak(Box::default());
    vec![
        (Ask::Sleep(5), Answer::Slept),
        (
            Ask::Body {
                side: Side::Request,
                max: 9,
            },
            Answer::Body(b"body"),
        ),
        (
            Ask::Body {
                side: Side::Request,
                max: 9,
            },
            Answer::TooLarge,
        ),
        (
            Ask::Body {
                side: Side::Request,
                max: 9,
            },
            Answer::Aborted,
        ),
        (Ask::Wait { key: 7, until: 100 }, Answer::Woken),
        (Ask::Wait { key: 7, until: 100 }, Answer::Late),
        (Ask::Store(Box::new(store)), Answer::Store(&[1, 2])),
        (
            Ask::Fetch(Box::new(fetch)),
            Answer::Fetched {
                status: 200,
                body: b"x",
            },
        ),
        (Ask::Plugin(Box::new(plugin)), Answer::Plugin(said)),
    ]
}

/// Lets good answers pass and refuses with 503 what failed.
fn judge(probe: Probe) -> Probe {
    probe.answer(|_, _, _, a| match a {
        Answer::Failed(_) | Answer::TooLarge | Answer::Aborted => refuse(503),
        _ => Verdict::Next,
    })
}

#[test]
fn every_ask_holds_a_request_until_its_answer() {
    for (ask, answer) in each() {
        let start = format!("Wait; start 1 {ask:?}");
        let asked = ask.clone();
        let mut g = Gateway::of(vec![
            Probe::new("a"),
            judge(Probe::new("b").request(move |_, _| Verdict::Ask(asked.clone()))),
            Probe::new("c"),
        ]);
        let good = !matches!(answer, Answer::TooLarge | Answer::Aborted);
        g.play(&[
            (Event::Get("/"), &start),
            (
                Event::Answer(1, answer),
                if good { "Forward" } else { "Reply 503 test" },
            ),
        ]);
        assert_eq!(g.calls().iter().any(|c| c == "c.request"), good, "{ask:?}");
        g.play(&[
            (Event::Get("/"), &start),
            (Event::Answer(1, FAILED), "Reply 503 test"),
        ]);
        assert_eq!(
            g.calls().last().map(String::as_str),
            Some("a.response 503"),
            "{ask:?}"
        );
    }
}

#[test]
fn every_ask_holds_a_response_until_its_answer() {
    for (ask, answer) in each() {
        let start = format!("Wait; start 1 {ask:?}");
        let asked = ask.clone();
        let mut g = Gateway::of(vec![
            Probe::new("a"),
            judge(Probe::new("b").response(move |_, _, _| Verdict::Ask(asked.clone()))),
            Probe::new("c"),
        ]);
        let good = !matches!(answer, Answer::TooLarge | Answer::Aborted);
        let then = if good {
            "Respond 0 200"
        } else {
            "Reply 503 test; cancel 0"
        };
        g.play(&[
            (Event::Get("/"), "Forward"),
            (Event::Response(0, 200), &start),
            (Event::Answer(1, answer), then),
        ]);
        let responses: Vec<String> = g
            .calls()
            .into_iter()
            .filter(|c| c.contains(".response"))
            .collect();
        let status = if good { 200 } else { 503 };
        assert_eq!(
            responses,
            [
                "c.response 200",
                "b.response 200",
                &format!("a.response {status}")
            ],
            "{ask:?}"
        );
    }
}

#[test]
fn a_held_reply_is_still_a_reply() {
    let mut g = Gateway::of(vec![
        Probe::new("a").response(|_, _, _| Verdict::Ask(Ask::Sleep(5))),
        Probe::new("b").request(|_, _| refuse(401)),
    ]);
    g.play(&[
        (Event::Get("/"), "Wait; start 1 Sleep(5)"),
        (Event::Answer(1, Answer::Slept), "Reply 401 test"),
    ]);
}

#[test]
fn an_answer_may_ask_again_and_the_request_stays_held() {
    let mut g = Gateway::of(vec![Probe::new("a")
        .request(|_, _| Verdict::Ask(Ask::Sleep(1)))
        .answer(|cx, _, _, _| {
            cx.slot.words[0] += 1;
            if cx.slot.words[0] < 3 {
                Verdict::Ask(Ask::Sleep(cx.slot.words[0] + 1))
            } else {
                Verdict::Next
            }
        })]);
    g.play(&[
        (Event::Get("/"), "Wait; start 1 Sleep(1)"),
        (Event::Answer(1, Answer::Slept), "Wait; start 2 Sleep(2)"),
        (Event::Answer(1, Answer::Slept), "Wait"),
        (Event::Answer(2, Answer::Slept), "Wait; start 3 Sleep(3)"),
        (Event::Answer(3, Answer::Slept), "Forward"),
    ]);
}

#[test]
fn a_started_ask_does_not_hold_the_request_and_ends_with_it_unless_detached() {
    let mut g = Gateway::of(vec![Probe::new("a").request(|cx, _| {
        cx.start(Ask::Sleep(1), Join::Joined);
        cx.start(Ask::Sleep(2), Join::Detached);
        cx.start(Ask::Sleep(3), Join::Joined);
        Verdict::Next
    })]);
    g.play(&[
        (
            Event::Get("/"),
            "Forward; start 1 Sleep(1); start 2 Sleep(2) detached; start 3 Sleep(3)",
        ),
        (Event::Answer(1, Answer::Slept), "Wait"),
        (Event::Response(0, 200), "Respond 0 200"),
        (Event::Done(200), "-; cancel 3"),
        (Event::Answer(3, Answer::Slept), "Wait"),
    ]);
    assert_eq!(
        g.calls(),
        [
            "a.request",
            "a.answer 1 Slept",
            "a.response 200",
            "a.done 200"
        ]
    );
}

#[test]
fn a_started_ask_may_end_the_request_while_its_forward_is_out() {
    let deadline = Probe::new("deadline")
        .request(|cx, _| {
            cx.start(Ask::Sleep(9), Join::Joined);
            Verdict::Next
        })
        .answer(|_, _, _, _| refuse(504));
    let mut g = Gateway::of(vec![
        deadline,
        Probe::new("b").request(|_, _| Verdict::Ask(Ask::Sleep(99))),
    ]);
    g.play(&[
        (Event::Get("/"), "Wait; start 1 Sleep(9); start 2 Sleep(99)"),
        (Event::Answer(1, Answer::Slept), "Reply 504 test; cancel 2"),
    ]);
    g.play(&[
        (Event::Get("/"), "Wait; start 1 Sleep(9); start 2 Sleep(99)"),
        (Event::Answer(2, Answer::Slept), "Forward"),
    ]);
}

#[test]
fn a_reply_that_comes_while_the_forward_is_out_gives_the_forward_up() {
    let deadline = Probe::new("deadline")
        .request(|cx, _| {
            cx.start(Ask::Sleep(9), Join::Joined);
            Verdict::Next
        })
        .answer(|_, _, _, _| refuse(504));
    let mut g = Gateway::of(vec![deadline]);
    g.play(&[
        (Event::Get("/"), "Forward; start 1 Sleep(9)"),
        (Event::Answer(1, Answer::Slept), "Reply 504 test; cancel 0"),
        // A response that was already on its way.
        (Event::Response(0, 200), "Wait"),
    ]);
}

#[test]
fn after_the_head_is_handed_over_no_verdict_changes_it() {
    for verdict in ["reply", "forward", "next"] {
        let late = Probe::new("late")
            .request(|cx, _| {
                cx.start(Ask::Sleep(9), Join::Joined);
                Verdict::Next
            })
            .answer(move |_, _, _, a| match (verdict, a) {
                ("reply", _) => refuse(500),
                ("forward", Answer::Slept) => Verdict::Ask(Ask::Forward { upstream: 1 }),
                _ => Verdict::Next,
            });
        let mut g = Gateway::of(vec![late]);
        let want = if verdict == "forward" {
            "Wait; start 2 Forward { upstream: 1 }"
        } else {
            "Wait"
        };
        g.play(&[
            (Event::Get("/"), "Forward; start 1 Sleep(9)"),
            (Event::Response(0, 200), "Respond 0 200"),
            (Event::Answer(1, Answer::Slept), want),
        ]);
        if verdict == "forward" {
            g.play(&[(Event::Response(2, 200), "Wait; cancel 2")]);
        }
        let calls = g.calls();
        assert_eq!(
            calls.iter().filter(|c| c.contains(".response")).count(),
            1,
            "{verdict}: {calls:?}"
        );
    }
}

#[test]
fn a_cancelled_ask_is_not_answered() {
    let mut g = Gateway::of(vec![Probe::new("a").request(|cx, _| {
        let first = cx.start(Ask::Sleep(1), Join::Joined);
        cx.cancel(first);
        cx.cancel(AskId(99));
        Verdict::Ask(Ask::Sleep(2))
    })]);
    g.play(&[
        (
            Event::Get("/"),
            "Wait; start 1 Sleep(1); cancel 1; start 2 Sleep(2)",
        ),
        (Event::Answer(1, Answer::Slept), "Wait"),
        (Event::Answer(2, Answer::Slept), "Forward"),
    ]);
    assert_eq!(g.calls(), ["a.request", "a.answer 2 Slept"]);
}

#[test]
fn one_request_waits_until_another_wakes_its_key() {
    let waiter = || {
        Probe::new("w").request(|cx, _| {
            Verdict::Ask(Ask::Wait {
                key: 42,
                until: cx.now + 50,
            })
        })
    };
    let mut g = Gateway::of(vec![waiter()]);
    g.now = 100;
    g.play(&[
        (
            Event::Get("/"),
            "Wait; start 1 Wait { key: 42, until: 150 }",
        ),
        (Event::Answer(1, Answer::Woken), "Forward"),
    ]);
    let mut other = Gateway::of(vec![Probe::new("r").response(|cx, _, _| {
        cx.wake(42);
        Verdict::Next
    })]);
    other.play(&[
        (Event::Get("/"), "Forward"),
        (Event::Response(0, 200), "Respond 0 200; wake 42"),
    ]);
}

#[test]
fn a_client_that_goes_away_cancels_what_its_request_waits_for() {
    let mut g = Gateway::of(vec![
        Probe::new("a").request(|_, _| Verdict::Ask(Ask::Sleep(5)))
    ]);
    g.play(&[
        (Event::Get("/"), "Wait; start 1 Sleep(5)"),
        (Event::Done(499), "-; cancel 1"),
        (Event::Answer(1, Answer::Slept), "Wait"),
        (Event::Done(499), "-"),
    ]);
    assert_eq!(g.calls(), ["a.request", "a.done 499"]);
}
