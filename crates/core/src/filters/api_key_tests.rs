use serde_json::{json, Value};

use super::super::api_key_ring::{MAX_KEYS, MAX_OF_PREFIX};
use super::*;
use crate::filters::trial::{faults, Trial};
use crate::reply::Body;

const ALI: &str = "acme_live_7Zq3";
const ELSE: &str = "acme_live_other";
const OLD: &str = "old_1";

/// `printf %s KEY | sha256sum`.
const HASHES: [(&str, &str); 3] = [
    (
        ALI,
        "79696dbe1ccbad74f96afc17a00c6b98c459c1ee1306fd86e7c15a83e27c0e1f",
    ),
    (
        ELSE,
        "6a984a76dffb3f2d5225f456d6135b757f74c119db41879b81448616f8258fd3",
    ),
    (
        OLD,
        "8444c39746c1c8390ca0304abed11590673fa1ea37ebdef6ac928fe50b3c125e",
    ),
];

fn keys() -> Value {
    json!([
        { "prefix": "acme_live", "hash": HASHES[1].1, "consumer": "else" },
        { "prefix": "old", "hash": HASHES[2].1, "consumer": "old", "expires": "1970-01-01T01:01:40+01:00" },
        { "prefix": "acme_live", "hash": HASHES[0].1, "consumer": "ali", "expires": "1970-01-01T00:01:41Z" },
    ])
}

fn with(more: Value) -> Trial {
    let mut config = json!({ "keys": keys() });
    for (key, value) in more.as_object().expect("an object") {
        config[key] = value.clone();
    }
    let mut trial = Trial::of("api_key", config);
    trial.unix = 100;
    trial
}

/// What comes of a request: the consumer, or the status, the code and the challenge.
fn outcome(trial: &mut Trial) -> String {
    match trial.request() {
        Verdict::Next => trial
            .client
            .consumer
            .take()
            .expect("a consumer")
            .to_string(),
        Verdict::Reply(r) => {
            assert!(trial.client.consumer.is_none());
            let Body::Problem(why) = &r.body else {
                panic!("{r:?}")
            };
            assert!(!why.contains("acme") && !why.contains("old"), "{why}");
            let challenge = r
                .fields
                .iter()
                .map(|(_, v)| String::from_utf8_lossy(v).into_owned());
            format!("{} {} {}", r.status, r.code, challenge.collect::<String>())
        }
        Verdict::Ask(ask) => panic!("{ask:?}"),
    }
}

#[test]
fn who_is_let_in_and_what_is_left_of_the_request() {
    const CHALLENGE: &str = "ApiKey realm=\"r\", header=\"x-api-key\"";
    let long = format!("acme_live_{}", "x".repeat(300));
    let unknown = format!("401 api_key_unknown {CHALLENGE}");
    let missing = format!("401 api_key_missing {CHALLENGE}");
    let expired = format!("401 api_key_expired {CHALLENGE}");
    let several = format!("401 api_key_ambiguous {CHALLENGE}");
    let cases: [(&str, &[&str], &str, &str); 20] = [
        ("/", &[ALI], "ali", "/"),
        ("/", &[ELSE], "else", "/"),
        ("/", &[ALI, ALI], "ali", "/"),
        ("/", &[], &missing, "/"),
        ("/", &[""], &unknown, "/"),
        ("/", &["acme_live_"], &unknown, "/"),
        ("/", &["acme_live_7Zq"], &unknown, "/"),
        ("/", &["acme_live_7Zq34"], &unknown, "/"),
        ("/", &["acme_7Zq3"], &unknown, "/"),
        ("/", &["7Zq3"], &unknown, "/"),
        ("/", &["_"], &unknown, "/"),
        ("/", &["ACME_live_7Zq3"], &unknown, "/"),
        ("/", &[&long], &unknown, "/"),
        ("/", &[OLD], &expired, "/"),
        ("/", &[ALI, ELSE], &several, "/"),
        ("/?a=1&k=acme_live_7Zq3&b", &[], "ali", "/?a=1&b"),
        ("/?k=acme_live_7Zq3&%6B=acme_live_7Zq3", &[ALI], "ali", "/"),
        (
            "/?k=acme_live_other",
            &[ALI],
            &several,
            "/?k=acme_live_other",
        ),
        ("/?k", &[], &unknown, "/?k"),
        ("/?kk=1&j=k", &[], &missing, "/?kk=1&j=k"),
    ];
    for (target, sent, want, left) in cases {
        let mut trial = with(json!({ "query": "k" }));
        trial.request.start_request(b"GET", target.as_bytes(), b"h");
        for value in sent {
            trial
                .request
                .add(b"X-API-Key", value.as_bytes())
                .expect("room");
        }
        assert_eq!(outcome(&mut trial), want, "{target} {sent:?}");
        assert_eq!(trial.request.target(), left.as_bytes(), "{target} {sent:?}");
        let is_left = trial.request.find(b"x-api-key").is_some();
        assert_eq!(
            is_left,
            want.starts_with("401") && !sent.is_empty(),
            "{target} {sent:?}"
        );
    }
}

#[test]
fn a_bearer_is_a_key_and_other_schemes_are_not() {
    const REALM: &str = "Bearer realm=\"r\"";
    let unknown = format!("401 api_key_unknown {REALM}, error=\"invalid_token\"");
    let missing = format!("401 api_key_missing {REALM}");
    let several = format!("401 api_key_ambiguous {REALM}, error=\"invalid_request\"");
    let cases: [(&[&str], &str); 9] = [
        (&["Bearer acme_live_7Zq3"], "ali"),
        (&["bEARER   acme_live_7Zq3"], "ali"),
        (&["Basic YTpi", "Bearer acme_live_7Zq3"], "ali"),
        (&["Bearer acme_live_7Zq3, Bearer acme_live_other"], &unknown),
        (
            &["Bearer acme_live_7Zq3", "Bearer acme_live_other"],
            &several,
        ),
        (&["Basic YTpi"], &missing),
        (&["Bearer"], &missing),
        (&["Beareracme_live_7Zq3"], &missing),
        (&["acme_live_7Zq3"], &missing),
    ];
    for (sent, want) in cases {
        let mut trial = with(json!({ "header": "Authorization" }));
        for value in sent {
            trial
                .request
                .add(b"authorization", value.as_bytes())
                .expect("room");
        }
        assert_eq!(outcome(&mut trial), want, "{sent:?}");
        let is_left = trial.request.find(b"authorization").is_some();
        assert_eq!(is_left, want.starts_with("401"), "{sent:?}");
    }
}

#[test]
fn a_credential_of_another_scheme_stays_if_the_key_came_by_the_query() {
    let mut trial = with(json!({ "header": "authorization", "query": "k" }));
    trial
        .request
        .start_request(b"GET", b"/?k=acme_live_7Zq3", b"h");
    trial
        .request
        .add(b"authorization", b"Basic YTpi")
        .expect("room");
    assert_eq!(outcome(&mut trial), "ali");
    assert_eq!(Trial::fields(&trial.request), ["authorization: Basic YTpi"]);
}

#[test]
fn forward_leaves_the_request_as_it_is() {
    let mut trial = with(json!({ "forward": true, "query": "k" }));
    trial
        .request
        .start_request(b"GET", b"/?k=acme_live_7Zq3", b"h");
    trial
        .request
        .add(b"x-api-key", ALI.as_bytes())
        .expect("room");
    assert_eq!(outcome(&mut trial), "ali");
    assert_eq!(trial.request.target(), b"/?k=acme_live_7Zq3");
    assert!(trial.request.find(b"x-api-key").is_some());
}

#[test]
fn a_key_expires_at_its_second() {
    for (unix, want) in [(0, "ali"), (100, "ali"), (101, "401"), (u64::MAX, "401")] {
        let mut trial = with(json!({}));
        trial.unix = unix;
        trial
            .request
            .add(b"x-api-key", ALI.as_bytes())
            .expect("room");
        assert_eq!(outcome(&mut trial).split(' ').next(), Some(want), "{unix}");
    }
}

#[test]
fn what_cannot_be_told_apart_or_found_is_a_fault() {
    let key = |prefix: &str, n: usize| json!({ "prefix": prefix, "hash": format!("{n:064x}"), "consumer": "a" });
    let many = |n: usize, prefix: &dyn Fn(usize) -> String| -> Value {
        (0..n).map(|i| key(&prefix(i), i)).collect()
    };
    let one = |prefix: &str, hash: &str, consumer: &str| json!([{ "prefix": prefix, "hash": hash, "consumer": consumer }]);
    let hash = "0".repeat(64);
    let dated = |expires: &str| json!([{ "prefix": "p", "hash": hash, "consumer": "a", "expires": expires }]);
    let cases: [(Value, &[&str]); 20] = [
        (json!([]), &["keys"]),
        (many(MAX_KEYS, &|i| i.to_string()), &[]),
        (many(MAX_KEYS + 1, &|i| i.to_string()), &["keys"]),
        (many(MAX_OF_PREFIX, &|_| "p".into()), &[]),
        (
            many(MAX_OF_PREFIX + 2, &|_| "p".into()),
            &["keys[64].prefix"],
        ),
        (
            json!([key("p", 1), key("q", 1), key("p", 1)]),
            &["keys[2].hash"],
        ),
        (one("", &hash, "a"), &["keys[0].prefix"]),
        (one("a b", &hash, "a"), &["keys[0].prefix"]),
        (one("p", &hash[1..], "a"), &["keys[0].hash"]),
        (one("p", &format!("{hash}0"), "a"), &["keys[0].hash"]),
        (one("p", &hash.replace('0', "g"), "a"), &["keys[0].hash"]),
        (one("p", &"é".repeat(32), "a"), &["keys[0].hash"]),
        (one("p", &"Ab".repeat(32), "a"), &[]),
        (one("p", &hash, ""), &["keys[0].consumer"]),
        (one("p", &hash, "a b"), &["keys[0].consumer"]),
        (one("p", &hash, &"a".repeat(129)), &["keys[0].consumer"]),
        (dated("2027-01-31T00:00:00.5+02:00"), &[]),
        (dated("2027-01-31"), &["keys[0].expires"]),
        (dated("2027-02-30T00:00:00Z"), &["keys[0].expires"]),
        (dated("1969-12-31T23:59:59Z"), &["keys[0].expires"]),
    ];
    for (keys, want) in cases {
        let told = keys.to_string();
        assert_eq!(
            faults("api_key", json!({ "keys": keys })),
            want,
            "{}",
            &told[..told.len().min(200)]
        );
    }
    for (more, want) in [
        (json!({ "header": "a b" }), "header"),
        (json!({ "header": "cookie" }), "header"),
        (json!({ "header": "Proxy-Authorization" }), "header"),
        (json!({ "header": "Ironsluice-Consumer" }), "header"),
        (json!({ "query": "" }), "query"),
    ] {
        let mut config = json!({ "keys": keys() });
        config
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        assert_eq!(faults("api_key", config), [want]);
    }
}

#[test]
fn a_fault_does_not_show_what_may_be_a_key() {
    for key in ["hash", "prefix"] {
        let mut one = json!({ "prefix": "p", "hash": "0".repeat(64), "consumer": "a" });
        one[key] = json!("sk_live_ C4n4ry");
        let config = json!({
            "listeners": [{ "name": "web", "bind": "127.0.0.1:1" }],
            "routes": [{ "name": "r", "filters": [{ "use": "api_key", "keys": [one] }, { "use": "respond" }] }],
        });
        let faults = crate::config::parse(&config.to_string()).expect_err("a fault");
        assert!(!format!("{faults:?}").contains("C4n4ry"), "{faults:?}");
    }
}

#[test]
fn requests_without_a_key_pass_as_nobodys_where_the_config_says_so() {
    const CORS: &[(&str, &str)] = &[
        ("origin", "https://a.example"),
        ("access-control-request-method", "PUT"),
    ];
    // (config, method, fields, whose it is or the refusal)
    let pass = json!({ "preflight": "pass" });
    let anonymous = json!({ "anonymous": true });
    type Case<'a> = (
        &'a Value,
        &'a str,
        &'a [(&'a str, &'a str)],
        Result<Option<&'a str>, &'a str>,
    );
    let cases: [Case<'_>; 12] = [
        (&json!({}), "OPTIONS", CORS, Err("api_key_missing")),
        (&pass, "OPTIONS", CORS, Ok(None)),
        (&pass, "GET", CORS, Err("api_key_missing")),
        (&pass, "OPTIONS", &CORS[..1], Err("api_key_missing")),
        (&pass, "OPTIONS", &CORS[1..], Err("api_key_missing")),
        (
            &pass,
            "OPTIONS",
            &[CORS[0], CORS[1], ("x-api-key", "x")],
            Err("api_key_unknown"),
        ),
        (
            &pass,
            "OPTIONS",
            &[CORS[0], CORS[1], ("x-api-key", ALI)],
            Ok(Some("ali")),
        ),
        (&anonymous, "GET", &[], Ok(None)),
        (&anonymous, "OPTIONS", CORS, Ok(None)),
        (
            &anonymous,
            "GET",
            &[("x-api-key", "x")],
            Err("api_key_unknown"),
        ),
        (
            &anonymous,
            "GET",
            &[("x-api-key", ALI), ("x-api-key", ELSE)],
            Err("api_key_ambiguous"),
        ),
        (&anonymous, "GET", &[("x-api-key", ALI)], Ok(Some("ali"))),
    ];
    for (config, method, fields, want) in cases {
        let mut trial = with(config.clone());
        trial
            .request
            .start_request(method.as_bytes(), b"/", b"a.example");
        for (name, value) in fields {
            trial
                .request
                .add(name.as_bytes(), value.as_bytes())
                .expect("a valid field");
        }
        let got = match trial.request() {
            Verdict::Next => Ok(trial.client.consumer.as_deref()),
            Verdict::Reply(reply) => Err(reply.code),
            Verdict::Ask(ask) => panic!("{ask:?}"),
        };
        assert_eq!(got, want, "{config} {method} {fields:?}");
    }
    assert_eq!(
        faults("api_key", json!({ "keys": keys(), "preflight": "ignore" })),
        ["preflight"]
    );
}
