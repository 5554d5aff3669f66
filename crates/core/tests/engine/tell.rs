//! What an upstream is told of the client, whoever forwards.

use gateway_core::filter::{Ask, Client, Verdict};
use wire::Name;

use crate::kit::{Event, Gateway, Probe};

const SPOOFED: [(&str, &str); 8] = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Port", "1"),
    ("X-Forwarded-Prefix", "/evil"),
    ("Forwarded", "for=6.6.6.6"),
    ("X-Real-IP", "6.6.6.6"),
    ("X-Original-URL", "/admin"),
];

fn told(g: &Gateway) -> Vec<Option<String>> {
    SPOOFED.iter().map(|(name, _)| g.sent(name)).collect()
}

fn truth() -> Vec<Option<String>> {
    let some = |text: &str| Some(text.to_owned());
    vec![
        some("192.0.2.1"),
        some("http"),
        some("example.com"),
        None,
        None,
        None,
        None,
        None,
    ]
}

#[test]
fn nothing_that_a_client_says_of_itself_passes() {
    let mut g = Gateway::of(vec![]);
    g.fields = SPOOFED.to_vec();
    g.play(&[(Event::Get("/"), "Forward")]);
    assert_eq!(told(&g), truth());
}

#[test]
fn a_filter_s_own_forward_tells_the_same_and_once() {
    let mut g = Gateway::of(vec![Probe::new("a")
        .forwards()
        .request(|_, _| Verdict::Ask(Ask::Forward { upstream: 0 }))
        .answer(|cx, _, _, _| {
            cx.slot.words[0] += 1;
            if cx.slot.words[0] < 2 {
                Verdict::Ask(Ask::Forward { upstream: 1 })
            } else {
                Verdict::Next
            }
        })]);
    g.fields = SPOOFED.to_vec();
    g.play(&[(Event::Get("/"), "Wait; start 1 Forward { upstream: 0 }")]);
    assert_eq!(told(&g), truth());
    g.play(&[(
        Event::Response(1, 503),
        "Wait; cancel 1; start 2 Forward { upstream: 1 }",
    )]);
    assert_eq!(told(&g), truth());
}

#[test]
fn from_a_trusted_hop_the_proved_part_is_kept() {
    // X-Forwarded-For, trusted hops, and what the upstream is told.
    for (values, hops, want) in [
        (&[][..], 0, "10.0.0.1"),
        (&["8.8.8.8"], 0, "8.8.8.8, 10.0.0.1"),
        (&["6.6.6.6, 8.8.8.8"], 0, "8.8.8.8, 10.0.0.1"),
        (
            &["6.6.6.6", "8.8.8.8,10.0.0.2"],
            1,
            "8.8.8.8, 10.0.0.2, 10.0.0.1",
        ),
    ] {
        let mut g = Gateway::of(vec![Probe::new("id").request(move |cx, req| {
            for value in values {
                req.add_known(Name::XForwardedFor, value.as_bytes())
                    .expect("a valid field");
            }
            cx.client.trusted_peer = true;
            cx.client.trusted_hops = hops;
            Verdict::Next
        })]);
        g.client = Client::new(std::net::SocketAddr::from(([10, 0, 0, 1], 1)));
        g.fields = vec![
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "public.example"),
        ];
        g.play(&[(Event::Get("/"), "Forward")]);
        assert_eq!(g.sent("x-forwarded-for").as_deref(), Some(want));
        assert_eq!(
            g.run.exchange.request.get_all(Name::XForwardedFor).count(),
            1
        );
        assert_eq!(g.sent("x-forwarded-proto").as_deref(), Some("https"));
        assert_eq!(
            g.sent("x-forwarded-host").as_deref(),
            Some("public.example")
        );
    }
}

#[test]
fn an_app_is_told_what_the_core_knows_and_nothing_that_a_client_says() {
    let text = r#"{
        "listeners": [{ "name": "web", "bind": "127.0.0.1:0" }],
        "apps": [{ "name": "site", "module": "site.ts", "timeouts": { "response": "3s" } }],
        "upstreams": [{ "name": "two", "endpoints": ["127.0.0.1:1001"] }],
        "routes": [{ "name": "all", "match": { "path": "/*" }, "to": { "app": "site" } }]
    }"#;
    let mut g = Gateway::configured(text, vec![]);
    g.fields = vec![
        ("Ironsluice-Client", "6.6.6.6"),
        ("IRONSLUICE-ROUTE", "admin"),
        ("Ironsluice-Timeout", "1"),
    ];
    g.play(&[(Event::Get("/"), "Forward")]);
    let told = [
        "ironsluice-client",
        "ironsluice-route",
        "ironsluice-timeout",
    ]
    .map(|n| g.sent(n));
    let want = ["192.0.2.1", "all", "3000"].map(|v| Some(v.to_owned()));
    assert_eq!(told, want);
}

#[test]
fn nobody_but_the_gateway_says_whose_a_request_is() {
    let text = r#"{
        "listeners": [{ "name": "web", "bind": "127.0.0.1:0" }],
        "upstreams": [{ "name": "two", "endpoints": ["127.0.0.1:1001"] }],
        "routes": [{ "name": "all", "match": { "path": "/open" }, "to": "two" },
            { "name": "keys", "to": "two", "filters": [{ "use": "api_key", "keys": [
                { "prefix": "k", "consumer": "ali", "hash": "HASH" }] }] }]
    }"#;
    let text = text.replace(
        "HASH",
        "1bdfdabfb7ccb3ecd072390b4f954b97ccb686ade76289f056d4630fd427c804",
    );
    for (path, want) in [("/open", None), ("/", Some("ali"))] {
        let mut g = Gateway::configured(&text, vec![]);
        g.fields = vec![
            ("Ironsluice-Consumer", "admin"),
            ("IRONSLUICE-CONSUMER", "root"),
            ("X-Api-Key", "k_1"),
        ];
        g.play(&[(Event::Get(path), "Forward")]);
        assert_eq!(g.sent("ironsluice-consumer").as_deref(), want, "{path}");
        let count = g
            .run
            .exchange
            .request
            .find_all(b"ironsluice-consumer")
            .count();
        assert_eq!(count, usize::from(want.is_some()));
    }
}
