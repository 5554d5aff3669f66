use std::net::SocketAddr;

use super::*;
use crate::proxied::Proxied;

struct Given {
    client: Client,
    request: Head,
    outcome: Outcome,
    path: Vec<u8>,
    grpc_status: Option<u32>,
    secrets: Vec<Secret>,
}

impl Given {
    fn new() -> Self {
        let mut request = Head::new();
        request.start_request(b"GET", b"/a?b=1", b"h.example");
        request
            .add(b"user-agent", b"curl/8 \"q\" \\ caf\xc3\xa9 \xff")
            .expect("a valid field");
        let outcome = Outcome {
            status: 200,
            received: 7,
            sent: 1234,
            took: 1_234_567_890,
            complete: true,
        };
        let mut client = Client::new(SocketAddr::from(([192, 0, 2, 7], 5000)));
        let tlvs = b"\x02\0\x03a\nb\xee\0\x05\x01\x01\x02\0\0";
        let proxied = Proxied::new(None, wire::proxy::Tlvs::new(tlvs));
        client.proxied = Some(std::rc::Rc::new(proxied));
        Self {
            client,
            request,
            outcome,
            path: b"/a".to_vec(),
            grpc_status: None,
            secrets: Vec::new(),
        }
    }

    fn line(&self, format: &str) -> Vec<u8> {
        let entry = Entry {
            unix_ms: 784_111_777_042,
            client: &self.client,
            listener: "web",
            method: b"GET",
            path: &self.path,
            query: self.request.query(),
            host: b"h.example",
            protocol: "HTTP/1.1",
            request: &self.request,
            outcome: &self.outcome,
            grpc_status: self.grpc_status,
            route: Some("items"),
            upstream: None,
            endpoint: None,
            code: "",
            request_id: None,
            secrets: &self.secrets,
        };
        let mut out = b"before".to_vec();
        Format::parse(format)
            .expect(format)
            .write(&entry, &mut Vec::new(), &mut out);
        assert_eq!(out.pop(), Some(b'\n'));
        assert_eq!(&out[..6], b"before");
        out[6..].to_vec()
    }

    fn text(&self, format: &str) -> String {
        String::from_utf8(self.line(format)).expect("text lines are ASCII")
    }
}

#[test]
fn every_variable_has_a_value_or_a_dash() {
    for (format, want) in [
        ("$peer $client_ip", "192.0.2.7:5000 192.0.2.7"),
        ("[$time]", "[1994-11-06T08:49:37.042Z]"),
        (
            "\"$method $path?$query $protocol\" $host",
            "\"GET /a?b=1 HTTP/1.1\" h.example",
        ),
        ("$status $request_bytes/$response_bytes", "200 7/1234"),
        ("$duration ms $listener", "1234.567 ms web"),
        (
            "$route $upstream $endpoint $grpc_status $code $request_id",
            "items - - - - -",
        ),
        (
            "$header_user_agent",
            r#"curl/8 \x22q\x22 \x5c caf\xc3\xa9 \xff"#,
        ),
        ("$header_none $consumer", "- -"),
        (
            "$proxy_authority $proxy_azure_pel_id $proxy_alpn $proxy_tlv_e0",
            r"a\x0ab 513 - -",
        ),
        ("$$status=$status", "$status=200"),
    ] {
        assert_eq!(Given::new().text(format), want, "{format}");
    }
}

#[test]
fn the_status_of_a_call_is_a_number() {
    let given = Given {
        grpc_status: Some(14),
        ..Given::new()
    };
    assert_eq!(given.text("$status $grpc_status"), "200 14");
    let value: serde_json::Value = serde_json::from_slice(&given.line("json")).expect("JSON");
    assert_eq!(value["grpc_status"], 14);
}

#[test]
fn credentials_are_hidden_and_the_consumer_is_told() {
    let mut given = Given::new();
    given.client.consumer = Some("acme \"x".into());
    given
        .request
        .start_request(b"GET", b"/a?b=1&api_key=K", b"h");
    given
        .request
        .add(b"X-Api-Key", b"K")
        .expect("a valid field");
    let query = Some("api_key".into());
    given.secrets = ["x-api-key", "authorization"]
        .map(|name| Secret {
            header: name.into(),
            query: query.clone(),
        })
        .to_vec();
    assert_eq!(
        given.text("$consumer $query $header_x_api_key $header_authorization"),
        r"acme \x22x b=1&api_key=[redacted] [redacted] -"
    );
    let value: serde_json::Value = serde_json::from_slice(&given.line("json")).expect("JSON");
    assert_eq!(value["query"], "b=1&api_key=[redacted]");
    assert_eq!(value["consumer"], "acme \"x");
}

#[test]
fn nobody_forges_a_line_or_moves_a_cursor() {
    let mut given = Given::new();
    given.path = b"/\r\n\x1b[2J\x00\"\\\xc2\x9b31m\xe2\x80\xa8\x7f".to_vec();
    assert_eq!(
        given.text("$path"),
        r#"/\x0d\x0a\x1b[2J\x00\x22\x5c\xc2\x9b31m\xe2\x80\xa8\x7f"#
    );
    let json = given.line("json");
    assert!(json.iter().all(|b| *b >= b' ' && *b != 0x7f));
    assert!(!json.windows(2).any(|w| w == [0xc2, 0x9b]));
    let value: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(value["path"], "/\r\n\u{1b}[2J\0\"\\\u{9b}31m\u{2028}\u{7f}");
}

#[test]
fn json_holds_every_key_and_null_for_what_is_missing() {
    let value: serde_json::Value =
        serde_json::from_slice(&Given::new().line("json")).expect("JSON");
    assert_eq!(
        value,
        serde_json::json!({
            "time": "1994-11-06T08:49:37.042Z", "client_ip": "192.0.2.7", "peer": "192.0.2.7:5000",
            "consumer": null, "listener": "web", "route": "items", "upstream": null, "endpoint": null, "method": "GET",
            "host": "h.example", "path": "/a", "query": "b=1", "protocol": "HTTP/1.1", "status": 200,
            "grpc_status": null, "code": null, "request_bytes": 7, "response_bytes": 1234, "duration": 1234.567, "request_id": null,
        })
    );
}

#[test]
fn a_long_line_is_cut_and_still_a_line() {
    for filler in ["a", "\"", "\u{9b}", "\u{1f30d}", "\r"] {
        let mut given = Given::new();
        given.path = filler.repeat(20_000).into_bytes();
        let json = given.line("json");
        assert!(
            json.len() < MAX_LINE && json.len() > MAX_LINE / 2,
            "{filler:?} {}",
            json.len()
        );
        let value: serde_json::Value =
            serde_json::from_slice(&json).expect("JSON in spite of the cut");
        assert!(
            value["path"].as_str().is_some_and(|p| p.ends_with("...")),
            "{filler:?}"
        );
        assert_eq!(value["status"], 200);
        let text = given.text("$status $path $status");
        assert!(
            text.len() < MAX_LINE && text.len() > MAX_LINE - 16,
            "{filler:?} {}",
            text.len()
        );
        assert!(
            text.starts_with("200 ") && text.ends_with("..."),
            "{filler:?}"
        );
    }
    let many = "$status".repeat(580);
    assert!(Given::new().text(&many).len() < MAX_LINE);
}

#[test]
fn any_bytes_make_one_line() {
    let seed = 0x5eed;
    let mut rng = algo::Rng::new(seed);
    for round in 0..2000 {
        let mut given = Given::new();
        given.path = (0..rng.below(64)).map(|_| rng.next_u64() as u8).collect();
        let text = given.line("$path");
        assert!(
            text.iter().all(|b| (b' '..0x7f).contains(b)),
            "seed {seed} round {round}"
        );
        let json = given.line("json");
        assert!(
            serde_json::from_slice::<serde_json::Value>(&json).is_ok(),
            "seed {seed} round {round}"
        );
    }
}
