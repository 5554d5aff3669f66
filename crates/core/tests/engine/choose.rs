//! Which endpoint a forward goes to, and which next when that one refuses.

use gateway_core::forward::{Choice, Failure};

use crate::kit::{Event, Gateway};

const SECOND: u64 = 1_000_000_000;

fn gateway(upstream: &str) -> Gateway {
    let text = format!(
        r#"{{
        "listeners": [{{ "name": "web", "bind": "127.0.0.1:0" }}],
        "upstreams": [{{ "name": "u", {upstream} }}],
        "routes": [{{ "name": "r", "match": {{ "path": "/*" }}, "to": "u" }}]
    }}"#
    );
    Gateway::configured(&text, vec![])
}

const THREE: &str = r#""endpoints": ["127.0.0.1:1001", "127.0.0.1:1002", "127.0.0.1:1003"]"#;

fn chosen(g: &mut Gateway) -> u32 {
    assert_eq!(g.event(Event::Get("/")), "Forward");
    endpoint(g.choose(0))
}

fn endpoint(choice: Choice) -> u32 {
    match choice {
        Choice::Endpoint(i) => i,
        Choice::Fail(failure) => panic!("{failure:?}"),
    }
}

#[test]
fn a_refusal_sends_the_request_to_the_next_endpoint_and_each_is_tried_once() {
    for balance in [
        "",
        r#""balance": "least_request","#,
        r#""balance": "maglev", "hash_key": "path","#,
    ] {
        let mut g = gateway(&format!("{balance} {THREE}"));
        let mut tried = vec![chosen(&mut g)];
        tried.push(endpoint(g.refused(0)));
        tried.push(endpoint(g.refused(0)));
        assert_eq!(g.refused(0), Choice::Fail(Failure::Refused), "{balance}");
        tried.sort_unstable();
        assert_eq!(tried, [0, 1, 2], "{balance}");
    }
}

#[test]
fn an_endpoint_that_refused_rests_and_comes_back() {
    for balance in [
        "",
        r#""balance": "least_request","#,
        r#""balance": "maglev", "hash_key": "path","#,
    ] {
        let mut g = gateway(&format!("{balance} {THREE}"));
        let down = chosen(&mut g);
        let _next = g.refused(0);
        g.now = SECOND - 1;
        assert!((0..30).all(|_| chosen(&mut g) != down), "{balance}");
        g.now = SECOND;
        let again = (0..60).any(|_| chosen(&mut g) == down);
        assert!(again, "{balance}");
    }
}

#[test]
fn when_all_rest_the_longest_rested_is_tried_first() {
    let mut g = gateway(THREE);
    let mut order = Vec::new();
    for at in 0..3 {
        g.now = at * 1000;
        order.push(chosen(&mut g));
        // Only the first refuses: the others are not tried.
        let _next = g.refused(0);
    }
    // The second request began at an endpoint that did not rest, and so did the third.
    assert_eq!(
        {
            let mut o = order.clone();
            o.sort_unstable();
            o
        },
        [0, 1, 2]
    );
    g.now = 5000;
    assert_eq!(chosen(&mut g), order[0]);
    assert_eq!(endpoint(g.refused(0)), order[1]);
    assert_eq!(endpoint(g.refused(0)), order[2]);
    assert_eq!(g.refused(0), Choice::Fail(Failure::Refused));
}

#[test]
fn an_endpoint_that_accepts_ends_its_rest() {
    let mut g = gateway(r#""endpoints": ["127.0.0.1:1001", "127.0.0.1:1002"]"#);
    let down = chosen(&mut g);
    let _next = g.refused(0);
    let live = g.snapshot.upstreams[0].endpoints[down as usize]
        .live
        .clone();
    assert!(live.rests(0));
    live.accepted();
    assert!(!live.rests(0));
}

#[test]
fn an_upstream_without_addresses_has_no_endpoint() {
    let mut g = gateway(r#""endpoints": ["not-resolved.example:80"]"#);
    assert_eq!(g.event(Event::Get("/")), "Forward");
    assert_eq!(g.choose(0), Choice::Fail(Failure::NoEndpoint));
    assert_eq!(
        g.event(Event::Failed(0, Failure::NoEndpoint)),
        "Reply 503 no_endpoint"
    );
}

#[test]
fn round_robin_keeps_to_the_weights() {
    let mut g =
        gateway(r#""endpoints": [{ "address": "127.0.0.1:1001", "weight": 3 }, "127.0.0.1:1002"]"#);
    let turns: Vec<u32> = (0..8).map(|_| chosen(&mut g)).collect();
    assert_eq!(turns.iter().filter(|e| **e == 0).count(), 6, "{turns:?}");
    // Smooth: the heavy one never has all its turns in a row.
    assert!(turns.windows(4).all(|w| w.contains(&1)), "{turns:?}");
}

#[test]
fn least_request_prefers_the_less_busy() {
    let mut g =
        gateway(r#""balance": "least_request", "endpoints": ["127.0.0.1:1001", "127.0.0.1:1002"]"#);
    let live = &g.snapshot.upstreams[0].endpoints[0].live;
    live.active.store(10, std::sync::atomic::Ordering::Relaxed);
    assert!((0..20).all(|_| chosen(&mut g) == 1));
}

#[test]
fn maglev_sends_equal_keys_to_the_same_endpoint() {
    for (key, name) in [
        ("header:x-user", "x-user"),
        ("cookie:user", "cookie"),
        ("path", ""),
        ("client_ip", ""),
    ] {
        let mut g = gateway(&format!(
            r#""balance": "maglev", "hash_key": "{key}", {THREE}"#
        ));
        let mut seen = std::collections::BTreeSet::new();
        for user in [
            "user=1", "user=2", "user=3", "user=4", "user=5", "user=6", "user=7", "user=8",
        ] {
            let target: &'static str = Box::leak(format!("/{user}").into_boxed_str());
            g.fields = if name.is_empty() {
                Vec::new()
            } else {
                vec![(name, user)]
            };
            let octet = user.as_bytes()[5];
            g.client = gateway_core::filter::Client::new(std::net::SocketAddr::from((
                [192, 0, 2, octet],
                1,
            )));
            let mut places = std::collections::BTreeSet::new();
            for _ in 0..5 {
                assert_eq!(g.event(Event::Get(target)), "Forward");
                places.insert(endpoint(g.choose(0)));
            }
            assert_eq!(places.len(), 1, "{key} {user}");
            seen.extend(places);
        }
        assert!(seen.len() > 1, "{key}: all keys on one endpoint");
    }
}
