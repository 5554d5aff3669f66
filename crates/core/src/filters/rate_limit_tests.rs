use serde_json::json;

use super::*;
use crate::filters::trial::{faults, Trial};

fn limited(config: serde_json::Value) -> Trial {
    Trial::of("rate_limit", config)
}

fn text(head: &Head, name: &str) -> String {
    String::from_utf8_lossy(head.find(name.as_bytes()).unwrap_or(b"-")).into_owned()
}

#[test]
fn so_many_at_once_then_one_an_interval() {
    // (when in ms, admitted, RateLimit, Retry-After)
    let mut trial = limited(json!({ "rate": "2/s", "burst": 3, "name": "p" }));
    for (ms, admitted, left, retry) in [
        (0, true, "\"p\";r=2;t=1", "-"),
        (0, true, "\"p\";r=1;t=1", "-"),
        (0, true, "\"p\";r=0;t=1", "-"),
        (0, false, "\"p\";r=0;t=1", "1"),
        (499, false, "\"p\";r=0;t=1", "1"),
        (500, true, "\"p\";r=0;t=1", "-"),
        (501, false, "\"p\";r=0;t=1", "1"),
        (10_000, true, "\"p\";r=2;t=1", "-"),
    ] {
        trial.now = ms * 1_000_000;
        let verdict = trial.request();
        let rsp = trial.answered(verdict);
        assert_eq!(rsp.status() != 429, admitted, "{ms}");
        assert_eq!(text(&rsp, "ratelimit"), left, "{ms}");
        assert_eq!(text(&rsp, "retry-after"), retry, "{ms}");
        assert_eq!(text(&rsp, "ratelimit-policy"), "\"p\";q=2;w=1", "{ms}");
    }
}

#[test]
fn retry_after_is_rounded_up_to_whole_seconds() {
    for (rate, retry) in [
        ("1/s", "1"),
        ("1/10s", "10"),
        ("7/m", "9"),
        ("1/h", "3600"),
        ("1000/s", "1"),
    ] {
        let mut trial = limited(json!({ "rate": rate, "burst": 1 }));
        assert!(matches!(trial.request(), Verdict::Next), "{rate}");
        let verdict = trial.request();
        assert_eq!(
            text(&trial.answered(verdict), "retry-after"),
            retry,
            "{rate}"
        );
    }
}

#[test]
fn a_policy_has_whole_seconds() {
    for (rate, want) in [
        ("100/s", "\"100/s\";q=100;w=1"),
        ("5/m", "\"5/m\";q=5;w=60"),
        ("1000/10s", "\"1000/10s\";q=1000;w=10"),
        ("10/250ms", "\"10/250ms\";q=40;w=1"),
        ("10/1500ms", "\"10/1500ms\";q=20;w=3"),
    ] {
        let mut trial = limited(json!({ "rate": rate }));
        let verdict = trial.request();
        assert_eq!(text(&trial.answered(verdict), "ratelimit-policy"), want);
    }
}

#[test]
fn the_default_burst_is_one_second_of_the_rate() {
    for (rate, burst) in [("100/s", 100), ("5/m", 1), ("600/m", 10), ("1/h", 1)] {
        let mut trial = limited(json!({ "rate": rate }));
        let admitted = (0..200)
            .take_while(|_| matches!(trial.request(), Verdict::Next))
            .count();
        assert_eq!(admitted, burst, "{rate}");
    }
}

/// Two requests, by peer and header `a`, with a burst of 1: does the second count with the first?
#[test]
fn keys_say_who_counts_together() {
    let (one, two) = (("192.0.2.1", Some("x")), ("192.0.2.2", Some("x")));
    for (key, first, second, together) in [
        (json!("client_ip"), one, one, true),
        (json!("client_ip"), one, two, false),
        (
            json!("client_ip"),
            ("[2001:db8::1]", None),
            ("[2001:db8::ffff]", None),
            true,
        ),
        (
            json!("client_ip"),
            ("[2001:db8::1]", None),
            ("[2001:db8:0:1::1]", None),
            false,
        ),
        (
            json!("client_ip"),
            ("[::ffff:192.0.2.1]", None),
            ("192.0.2.1", None),
            true,
        ),
        (json!("header:A"), one, two, true),
        (json!("header:a"), one, ("192.0.2.1", Some("y")), false),
        (
            json!("header:a"),
            ("192.0.2.1", None),
            ("192.0.2.2", None),
            true,
        ),
        (json!("route"), one, ("192.0.2.2", None), true),
        (json!(["client_ip", "header:a"]), one, one, true),
        (json!(["client_ip", "header:a"]), one, two, false),
        (
            json!(["client_ip", "header:a"]),
            one,
            ("192.0.2.1", Some("y")),
            false,
        ),
    ] {
        let mut trial = limited(json!({ "rate": "1/h", "key": key }));
        let mut send = |(peer, header): (&str, Option<&str>)| {
            trial.client =
                crate::filter::Client::new(format!("{peer}:1").parse().expect("an address"));
            trial.request.remove(b"a");
            if let Some(value) = header {
                trial
                    .request
                    .add(b"A", value.as_bytes())
                    .expect("a valid field");
            }
            matches!(trial.request(), Verdict::Next)
        };
        assert!(send(first), "{key}");
        assert_eq!(!send(second), together, "{key} {first:?} {second:?}");
    }
}

#[test]
fn a_value_of_the_proxy_header_is_a_key_and_hosts_have_no_case() {
    let from = |tlvs: &[u8]| {
        let said = crate::proxied::Proxied::new(None, wire::proxy::Tlvs::new(tlvs));
        Some(std::rc::Rc::new(said))
    };
    let (host, upper, other) = (b"\x02\0\x01a", b"\x02\0\x01A", b"\x02\0\x01b");
    let (id, upper_id) = (b"\x05\0\x01a", b"\x05\0\x01A");
    for (key, first, second, together) in [
        ("proxy:authority", from(host), from(host), true),
        ("proxy:authority", from(host), from(upper), true),
        ("proxy:authority", from(host), from(other), false),
        ("proxy:authority", from(host), None, false),
        ("proxy:authority", None, from(id), true),
        ("proxy:unique_id", from(id), from(upper_id), false),
        ("proxy:tlv_e0", from(host), from(other), true),
    ] {
        let mut trial = limited(json!({ "rate": "1/h", "key": key }));
        trial.client.proxied = first;
        assert!(matches!(trial.request(), Verdict::Next), "{key}");
        trial.client.proxied = second;
        let passes = matches!(trial.request(), Verdict::Next);
        assert_eq!(!passes, together, "{key}");
    }
}

#[test]
fn without_headers_only_a_refusal_says_when() {
    let mut trial = limited(json!({ "rate": "1/s", "headers": false }));
    assert!(!trial.filter.needs().response);
    assert!(matches!(trial.request(), Verdict::Next));
    let verdict = trial.request();
    let rsp = trial.answered(verdict);
    assert_eq!(
        (text(&rsp, "retry-after"), text(&rsp, "ratelimit")),
        ("1".into(), "-".into())
    );
}

#[test]
fn an_upstream_s_own_policies_stay() {
    let mut trial = limited(json!({ "rate": "1/s" }));
    trial
        .response
        .add(b"RateLimit", b"\"theirs\";r=5")
        .expect("a valid field");
    let verdict = trial.request();
    let rsp = trial.answered(verdict);
    assert_eq!(rsp.find_all(b"ratelimit").count(), 2);
}

#[test]
fn the_count_survives_a_reload_that_keeps_the_limit_and_not_one_that_changes_it() {
    let kept = json!({ "rate": "1/h", "name": "a" });
    for (next, survives) in [
        (json!({ "rate": "1/h", "name": "b" }), true),
        (json!({ "rate": "2/h" }), false),
        (json!({ "rate": "1/h", "burst": 2 }), false),
        (json!({ "rate": "1/h", "key": "route" }), false),
    ] {
        let mut trial = limited(kept.clone());
        assert!(matches!(trial.request(), Verdict::Next));
        trial.rebuild("rate_limit", next.clone());
        assert_eq!(
            !matches!(trial.request(), Verdict::Next),
            survives,
            "{next}"
        );
    }
}

#[test]
fn threads_together_admit_what_one_would() {
    let trial = limited(json!({ "rate": "1/h", "burst": 1000, "key": "route" }));
    let filter = &*trial.filter;
    let admitted: usize = std::thread::scope(|s| {
        let count = || Trial::admitted_by(filter, 1000);
        let threads: Vec<_> = (0..4).map(|_| s.spawn(count)).collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("no panic"))
            .sum()
    });
    assert_eq!(admitted, 1000);
}

#[test]
fn what_cannot_be_counted_is_a_fault() {
    for (config, at) in [
        (json!({}), "rate"),
        (json!({ "rate": "0/s" }), "rate"),
        (json!({ "rate": "1/h", "burst": 0 }), "burst"),
        (json!({ "rate": "1/h", "burst": 4_000_000_000u32 }), "burst"),
        (json!({ "rate": "1/s", "max_keys": 0 }), "max_keys"),
        (json!({ "rate": "1/s", "max_keys": 1u64 << 40 }), "max_keys"),
        (json!({ "rate": "1/s", "name": "a\"b" }), "name"),
        (json!({ "rate": "1/s", "name": "" }), "name"),
        (json!({ "rate": "1/s", "key": "header:" }), "key"),
        (json!({ "rate": "1/s", "key": "proxy:host" }), "key"),
        (json!({ "rate": "1/s", "key": [] }), "key"),
        (json!({ "rate": "1/s", "key": ["route", "ip"] }), "key[1]"),
        (json!({ "rate": "1/s", "scope": "everywhere" }), "scope"),
    ] {
        assert_eq!(faults("rate_limit", config.clone()), [at], "{config}");
    }
}

#[test]
fn consumers_are_counted_apart() {
    let mut trial = Trial::of(
        "rate_limit",
        json!({ "rate": "1/m", "burst": 1, "key": "consumer" }),
    );
    for (consumer, admitted) in [
        ("a", true),
        ("b", true),
        ("a", false),
        ("", true),
        ("b", false),
    ] {
        trial.client.consumer = (!consumer.is_empty()).then(|| consumer.into());
        let is_admitted = Trial::status_of(trial.request()).is_none();
        assert_eq!(is_admitted, admitted, "{consumer}");
    }
}
