use std::rc::Rc;

use serde_json::json;
use wire::proxy::Tlvs;

use super::*;
use crate::filters::trial::{faults, Trial};
use crate::proxied::Proxied;
use crate::secure::{ClientCertificate, Secure};

fn from(from: &str) -> Trial {
    Trial::of("consumer", json!({ "from": from }))
}

/// Whose the request is, or why it is refused.
fn outcome(trial: &mut Trial) -> String {
    match trial.request() {
        Verdict::Next => trial
            .client
            .consumer
            .take()
            .map_or("nobody".into(), |c| c.to_string()),
        Verdict::Reply(reply) => {
            assert_eq!((reply.status, &trial.client.consumer), (401, &None));
            reply.code.to_owned()
        }
        Verdict::Ask(ask) => panic!("{ask:?}"),
    }
}

#[test]
fn the_one_name_of_a_certificate_is_the_consumer() {
    let of = |names: &[&str]| {
        names
            .iter()
            .map(|n| Box::from(*n))
            .collect::<Vec<Box<str>>>()
    };
    let shown = ClientCertificate {
        uris: of(&["spiffe://a.example/web"]),
        dns: of(&["a.example", "b.example"]),
        emails: of(&["ali baba@a.example"]),
        ips: vec!["2001:db8::1".parse().expect("an address")],
        ..Default::default()
    };
    for (kind, want) in [
        ("san:uri", "spiffe://a.example/web"),
        ("san:dns", "consumer_ambiguous"),
        ("san:email", "consumer_invalid"),
        ("san:ip", "2001:db8::1"),
    ] {
        let mut trial = from(kind);
        assert_eq!(
            outcome(&mut trial),
            "consumer_missing",
            "{kind} without TLS"
        );
        let tls = |certificate| {
            Rc::new(Secure {
                certificate,
                ..Default::default()
            })
        };
        trial.client.tls = Some(tls(None));
        assert_eq!(
            outcome(&mut trial),
            "consumer_missing",
            "{kind} without a certificate"
        );
        trial.client.tls = Some(tls(Some(shown.clone())));
        assert_eq!(outcome(&mut trial), want, "{kind}");
    }
}

#[test]
fn a_trusted_header_names_the_consumer_and_a_bad_certificate_does_not() {
    // SSL: TLS and a certificate; how it was verified; its common name.
    let ssl = |verified: u8| {
        let mut tlv = vec![0x20, 0, 13, 0b111, 0, 0, 0, verified, 0x22, 0, 5];
        tlv.extend_from_slice(b"alice");
        tlv
    };
    for (value, told, want) in [
        ("proxy:tlv_e0", &b"\xe0\0\x04acme"[..], "acme"),
        ("proxy:tlv_e0", b"\xe1\0\x04acme", "consumer_missing"),
        ("proxy:tlv_e0", b"\xe0\0\x01\0", "consumer_invalid"),
        ("proxy:tlv_e0", b"\xe0\0\0", "consumer_invalid"),
        ("proxy:aws_vpce_id", b"\xea\0\x07\x01vpce-1", "vpce-1"),
        ("proxy:ssl_cn", &ssl(0), "alice"),
        ("proxy:ssl_cn", &ssl(1), "consumer_missing"),
    ] {
        let mut trial = from(value);
        assert_eq!(
            outcome(&mut trial),
            "consumer_missing",
            "{value} without a header"
        );
        trial.client.proxied = Some(Rc::new(Proxied::new(None, Tlvs::new(told))));
        assert_eq!(outcome(&mut trial), want, "{value} {told:?}");
    }
}

#[test]
fn a_field_is_taken_as_it_is_vouched_for() {
    let mut trial = from("header:X-User");
    assert_eq!(trial.filter.believes(), Some("x-user"));
    assert_eq!(outcome(&mut trial), "consumer_missing");
    trial.request.add(b"x-user", b"ali").expect("a valid field");
    assert_eq!(outcome(&mut trial), "ali");
    trial.request.add(b"X-User", b"ali").expect("a valid field");
    assert_eq!(outcome(&mut trial), "ali");
    trial.request.add(b"x-user", b"bob").expect("a valid field");
    assert_eq!(outcome(&mut trial), "consumer_ambiguous");

    let mut open = Trial::of("consumer", json!({ "from": "san:uri", "anonymous": true }));
    assert_eq!(outcome(&mut open), "nobody");
}

#[test]
fn what_proves_nothing_is_a_fault() {
    for bad in [
        "x",
        "san:cn",
        "san:",
        "proxy:authority",
        "proxy:alpn",
        "proxy:ssl_verify",
        "proxy:unique_id",
        "proxy:x",
        "cookie:session",
        "header:",
        "header:a b",
        "header:ironsluice-consumer",
        "client_ip",
    ] {
        assert_eq!(
            faults("consumer", json!({ "from": bad })),
            ["from"],
            "{bad}"
        );
    }
    for good in ["san:uri", "proxy:ssl_cn", "proxy:tlv_e0", "header:X-User"] {
        assert!(
            faults("consumer", json!({ "from": good })).is_empty(),
            "{good}"
        );
    }
    assert_eq!(faults("consumer", json!({})), ["from"]);
}
