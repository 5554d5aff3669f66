use base64::engine::general_purpose::STANDARD;
use base64::Engine;
use serde_json::{json, Value};
use sha2::{Digest, Sha256};

use crate::filters::trial::{faults, Trial};

fn user(name: &str, password: &str) -> String {
    let salt = b"12345678";
    let hash = Sha256::new().chain_update(password).chain_update(salt);
    let bytes = [&hash.finalize()[..], salt].concat();
    format!("{name}:{{SSHA256}}{}", STANDARD.encode(bytes))
}

fn users() -> Value {
    json!([
        user("else", "ä:b"),
        user("ali", "open sesame"),
        user("void", "")
    ])
}

fn basic(login: &str) -> String {
    format!("Basic {}", STANDARD.encode(login))
}

fn asked(trial: &mut Trial, values: &[String]) -> String {
    for value in values {
        let put = trial.request.add(b"authorization", value.as_bytes());
        put.expect("room");
    }
    match trial.request() {
        crate::filter::Verdict::Next => match &trial.client.consumer {
            Some(consumer) => consumer.to_string(),
            None => "nobody".to_owned(),
        },
        crate::filter::Verdict::Reply(reply) => format!("{} {}", reply.status, reply.code),
        crate::filter::Verdict::Ask(ask) => panic!("{ask:?}"),
    }
}

#[test]
fn logins() {
    let refused = "401 basic_auth_refused";
    let missing = "401 basic_auth_missing";
    let long = "x".repeat(600);
    for (values, want) in [
        (vec![basic("ali:open sesame")], "ali"),
        (
            vec![basic("ali:open sesame").replace("Basic", "bAsIc")],
            "ali",
        ),
        (vec![basic("ali:open sesame"); 2], "ali"),
        (vec![basic("else:ä:b")], "else"),
        (vec![basic("void:")], "void"),
        (vec![basic("ali:Open sesame")], refused),
        (vec![basic("ali:")], refused),
        (vec![basic("ali")], refused),
        (vec![basic(":")], refused),
        (vec![basic("ALI:open sesame")], refused),
        (vec![basic("nobody:open sesame")], refused),
        // The first of the list is whom an unknown name is compared with.
        (vec![basic("aaa:open sesame")], refused),
        (vec![basic(":open sesame")], refused),
        (vec![basic(&format!("ali:{long}"))], refused),
        (vec!["Basic !".to_owned()], refused),
        (vec!["Basic ".to_owned() + "YWxpOm9wZW4gc2VzYW1l="], refused),
        (vec![basic("ali:open sesame"), basic("else:ä:b")], refused),
        (vec![basic("ali:open sesame"), basic("ali:x")], refused),
        (vec![], missing),
        (vec!["Bearer abc".to_owned()], missing),
        (vec!["Basic".to_owned()], missing),
    ] {
        let mut trial = Trial::of("basic_auth", json!({ "users": users() }));
        assert_eq!(asked(&mut trial, &values), want, "{values:?}");
        if !want.starts_with("401") {
            assert_eq!(trial.request.find(b"authorization"), None);
        }
    }
}

#[test]
fn nobody_and_preflights() {
    let anonymous = json!({ "users": users(), "anonymous": true });
    let preflight = json!({ "users": users(), "preflight": "pass" });
    for (config, method, values, want) in [
        (&anonymous, "GET", vec![], "nobody"),
        (
            &anonymous,
            "GET",
            vec![basic("ali:x")],
            "401 basic_auth_refused",
        ),
        (&preflight, "OPTIONS", vec![], "nobody"),
        (&preflight, "GET", vec![], "401 basic_auth_missing"),
    ] {
        let mut trial = Trial::of("basic_auth", config.clone());
        trial.request.start_request(method.as_bytes(), b"/", b"a");
        for name in ["origin", "access-control-request-method"] {
            trial.request.add(name.as_bytes(), b"a").expect("room");
        }
        assert_eq!(asked(&mut trial, &values), want, "{config} {method}");
    }
}

#[test]
fn a_refusal_asks_for_a_login_and_forwarding_keeps_it() {
    for (realm, want) in [(None, "r"), (Some("Staff only"), "Staff only")] {
        let mut config = json!({ "users": users(), "forward": true });
        if let Some(realm) = realm {
            config["realm"] = realm.into();
        }
        let mut trial = Trial::of("basic_auth", config);
        let verdict = trial.request();
        let head = trial.answered(verdict);
        let want = format!("Basic realm=\"{want}\", charset=\"UTF-8\"");
        assert_eq!(head.find(b"www-authenticate"), Some(want.as_bytes()));
        assert_eq!(asked(&mut trial, &[basic("ali:open sesame")]), "ali");
        assert!(trial.request.find(b"authorization").is_some());
    }
}

#[test]
fn what_lets_nobody_in_is_a_fault() {
    let one = |line: &str| json!({ "users": [line] });
    let short = format!("a:{{SSHA256}}{}", STANDARD.encode([0; 39]));
    let long = format!("a:{{SSHA256}}{}", STANDARD.encode([0; 97]));
    let spaced = user("a b", "x");
    let cases = [
        (json!({ "users": [] }), "users"),
        (
            json!({ "users": [user("a", "x"), user("b", "x"), user("a", "y")] }),
            "users[2]",
        ),
        (one("ali"), "users[0]"),
        (one("ali:password"), "users[0]"),
        (
            one("ali:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC"),
            "users[0]",
        ),
        (one("ali:$apr1$a$b"), "users[0]"),
        (one("ali:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE="), "users[0]"),
        (one("ali:{SSHA256}!"), "users[0]"),
        (one(&short), "users[0]"),
        (one(&long), "users[0]"),
        (one(&spaced), "users[0]"),
        (json!({ "users": users(), "realm": "a\"b" }), "realm"),
        (json!({ "users": users(), "realm": "" }), "realm"),
    ];
    for (config, at) in cases {
        assert_eq!(faults("basic_auth", config.clone()), [at], "{config}");
    }
}

#[test]
fn a_fault_says_why_and_never_what_was_written() {
    use super::super::basic_auth_users::User;
    for (line, why) in [
        ("ali:$2y$05$SECRETSECRET", "slow"),
        ("ali:$argon2id$SECRET", "slow"),
        ("ali:$apr1$SECRET", "weak"),
        ("ali:SECRET", "no {SSHA256}"),
        ("ali:{SSHA256}SECRET", "no hash"),
        ("SECRET", "no NAME"),
    ] {
        let fault = User::parse(line).expect_err(line);
        assert!(fault.why.contains(why), "{line}: {}", fault.why);
        assert!(
            !format!("{} {}", fault.why, fault.fix).contains("SECRET"),
            "{line}"
        );
        assert!(fault.fix.contains("ironsluice key basic"), "{}", fault.fix);
    }
    let line = user("ali", "x");
    assert_eq!(User::parse(&line).expect("a user").to_string(), line);
}
