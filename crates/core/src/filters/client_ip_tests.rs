use super::*;
use crate::filters::trial::{faults, Trial};
use serde_json::{json, Value};

/// Config, peer, field values, and: the client, trusted hops, whether the peer is trusted.
type Case<'a> = (Value, &'a str, &'a [&'a str], (&'a str, u16, bool));

fn run(case: &Case<'_>, field: &str) -> Trial {
    let (config, peer, values, want) = case;
    let mut trial = Trial::of("client_ip", config.clone());
    trial.client = Client::new(format!("{peer}:1000").parse().expect("an address"));
    for value in *values {
        trial
            .request
            .add(field.as_bytes(), value.as_bytes())
            .expect("a valid field");
    }
    assert!(matches!(trial.request(), Verdict::Next));
    let got = (
        trial.client.ip.to_string(),
        trial.client.trusted_hops,
        trial.client.trusted_peer,
    );
    assert_eq!(
        (got.0.as_str(), got.1, got.2),
        *want,
        "{config} {peer} {values:?}"
    );
    trial
}

#[test]
fn the_rightmost_untrusted_address_is_the_client() {
    let net = json!({ "trust": ["10.0.0.0/8", "2001:db8::/32"] });
    let one = json!({ "hops": 1 });
    let two = json!({ "hops": 2 });
    let both = json!({ "trust": ["10.0.0.0/8"], "hops": 1 });
    let long = vec!["10.0.0.1"; 200].join(",");
    for case in [
        (
            net.clone(),
            "192.0.2.1",
            &["8.8.8.8"][..],
            ("192.0.2.1", 0, false),
        ),
        (net.clone(), "10.0.0.1", &[], ("10.0.0.1", 0, true)),
        (
            net.clone(),
            "[::ffff:10.0.0.1]",
            &["8.8.8.8"],
            ("8.8.8.8", 0, true),
        ),
        (
            net.clone(),
            "10.0.0.1",
            &["1.1.1.1, 8.8.8.8"],
            ("8.8.8.8", 0, true),
        ),
        (
            net.clone(),
            "10.0.0.1",
            &["1.1.1.1", "8.8.8.8, 10.0.0.9"],
            ("8.8.8.8", 1, true),
        ),
        (
            net.clone(),
            "10.0.0.1",
            &["10.0.0.3,10.0.0.2"],
            ("10.0.0.3", 1, true),
        ),
        (
            net.clone(),
            "[2001:db8::1]",
            &["[2001:db9::7]:443"],
            ("2001:db9::7", 0, true),
        ),
        (
            net.clone(),
            "10.0.0.1",
            &["::ffff:8.8.8.8"],
            ("8.8.8.8", 0, true),
        ),
        (
            net.clone(),
            "10.0.0.1",
            &["8.8.8.8, junk, 10.0.0.9"],
            ("10.0.0.9", 0, true),
        ),
        (
            net.clone(),
            "10.0.0.1",
            &["8.8.8.8, unknown"],
            ("10.0.0.1", 0, true),
        ),
        (
            net.clone(),
            "10.0.0.1",
            &["8.8.8.8,"],
            ("10.0.0.1", 0, true),
        ),
        (
            net.clone(),
            "10.0.0.1",
            &[long.as_str()],
            ("10.0.0.1", 63, true),
        ),
        (
            one.clone(),
            "192.0.2.1",
            &["1.1.1.1, 8.8.8.8"],
            ("8.8.8.8", 0, true),
        ),
        (
            two,
            "192.0.2.1",
            &["1.1.1.1, 8.8.8.8"],
            ("1.1.1.1", 1, true),
        ),
        (
            both.clone(),
            "10.0.0.1",
            &["1.1.1.1, 10.0.0.2"],
            ("10.0.0.2", 0, true),
        ),
        (both, "192.0.2.1", &["1.1.1.1"], ("192.0.2.1", 0, false)),
    ] {
        run(&case, "X-Forwarded-For");
    }
}

#[test]
fn forwarded_is_read_where_it_is_named_and_passed_on_as_x_forwarded_for() {
    let net = json!({ "trust": ["10.0.0.0/8"], "header": "forwarded" });
    for (value, want, xff) in [
        (
            "for=1.1.1.1, for=8.8.8.8;proto=https, for=10.0.0.2",
            ("8.8.8.8", 1, true),
            Some("8.8.8.8, 10.0.0.2"),
        ),
        (
            "for=\"[2001:db8::1]:8080\"",
            ("2001:db8::1", 0, true),
            Some("2001:db8::1"),
        ),
        ("for=8.8.8.8, for=_hidden", ("10.0.0.1", 0, true), None),
    ] {
        let trial = run(&(net.clone(), "10.0.0.1", &[value], want), "Forwarded");
        assert_eq!(
            trial.request.get(Name::XForwardedFor),
            xff.map(str::as_bytes),
            "{value}"
        );
        assert_eq!(trial.request.get(Name::Forwarded), None);
    }
}

#[test]
fn what_no_trusted_hop_vetted_is_not_passed_on() {
    let net = json!({ "trust": ["10.0.0.0/8"] });
    let trial = run(
        &(net.clone(), "10.0.0.1", &["junk"], ("10.0.0.1", 0, true)),
        "X-Forwarded-For",
    );
    assert_eq!(trial.request.get(Name::XForwardedFor), None);
    let trial = run(
        &(net, "10.0.0.1", &["for=8.8.8.8"], ("10.0.0.1", 0, true)),
        "Forwarded",
    );
    assert_eq!(trial.request.get(Name::Forwarded), None);
}

#[test]
fn a_config_that_trusts_nobody_is_a_fault() {
    for (config, at) in [
        (json!({}), "trust"),
        (json!({ "trust": [] }), "trust"),
        (json!({ "hops": 0 }), "hops"),
        (json!({ "hops": 65 }), "hops"),
    ] {
        assert_eq!(faults("client_ip", config.clone()), [at], "{config}");
    }
}

#[test]
fn what_is_said_is_compared_with_what_is_believed() {
    use crate::hops::Seen::{self, Fewer, Fits, More, Nothing, Untrusted};
    let hops = |n: u16| json!({ "hops": n });
    let net = json!({ "trust": ["10.0.0.0/8"] });
    let cases: [(Value, &str, &str, Seen, u16); 15] = [
        (hops(1), "10.0.0.1", "8.8.8.8", Fits, 1),
        (hops(1), "10.0.0.1", "8.8.8.8, 9.9.9.9", More, 2),
        (hops(1), "10.0.0.1", "-", Fewer, 0),
        (hops(2), "10.0.0.1", "8.8.8.8, 10.0.0.2", Fits, 2),
        (hops(2), "10.0.0.1", "8.8.8.8", Fewer, 1),
        (hops(2), "10.0.0.1", "8.8.8.8, 8.8.4.4, 10.0.0.2", More, 3),
        (net.clone(), "10.0.0.1", "8.8.8.8", Fits, 1),
        (net.clone(), "10.0.0.1", "8.8.8.8, 10.0.0.2", Fits, 2),
        (net.clone(), "10.0.0.1", "8.8.8.8, 9.9.9.9", More, 2),
        (net.clone(), "10.0.0.1", "8.8.8.8, junk", More, 2),
        (net.clone(), "10.0.0.1", "10.0.0.2", Fewer, 1),
        (net.clone(), "10.0.0.1", "-", Fewer, 0),
        (net.clone(), "192.0.2.1", "8.8.8.8", Untrusted, 0),
        (net.clone(), "192.0.2.1", "-", Nothing, 0),
        (
            json!({ "hops": 1, "header": "forwarded" }),
            "10.0.0.1",
            "for=8.8.8.8, for=9.9.9.9",
            More,
            2,
        ),
    ];
    for (config, peer, value, seen, entries) in cases {
        let mut trial = Trial::of("client_ip", config.clone());
        trial.client = Client::new(format!("{peer}:1000").parse().expect("an address"));
        let name = match config.get("header") {
            Some(_) => "forwarded",
            None => "x-forwarded-for",
        };
        if value != "-" {
            trial
                .request
                .add(name.as_bytes(), value.as_bytes())
                .expect("a valid field");
        }
        assert!(matches!(trial.request(), Verdict::Next));
        let said = trial.client.said;
        assert_eq!(
            (said.seen, said.entries),
            (seen, entries),
            "{config} {peer} {value}"
        );
    }
}
