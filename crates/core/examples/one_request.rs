//! What wire and core do for one proxied request, again and again: `one_request N [ROUTES]`.
//!
//! A request's head is parsed, finds its route, passes three filters, is given an endpoint and
//! written for it; the response's head is parsed, passes the filters back, and is written for the
//! client. Beside its route there may be many others, of all kinds. No socket, no clock: two runs of different N differ by exactly the instructions of the
//! requests between them, which a test reads from callgrind.

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;

use gateway_core::engine::{Env, Run, Step};
use gateway_core::filter::{Client, Outcome};
use gateway_core::forward::{Choice, Turns};
use gateway_core::snapshot::{Resolved, Shared, Snapshot};
use wire::http1::{take_request, take_response, write_request, write_response};
use wire::{Connection, Framing, Limits, Version};

const CONFIG: &str = r#"{
  "listeners": [{ "name": "web", "bind": "127.0.0.1:8080" }],
  "upstreams": [{ "name": "api", "endpoints": ["127.0.0.1:9001", "127.0.0.1:9002"] }],
  "routes": [{
    "name": "items",
    "match": { "host": "api.example.com", "path": "/api/*", "method": ["GET", "POST"] },
    "filters": [
      { "use": "client_ip", "trust": ["10.0.0.0/8"] },
      { "use": "rate_limit", "rate": "1000000/s", "burst": 1000000, "key": "client_ip" },
      { "use": "headers", "request": { "set": { "X-Tier": "gold" } }, "response": { "set": { "X-Served-By": "edge" } } }
    ],
    "to": "api"
  }]
}"#;

const REQUEST: &[u8] = b"GET /api/items/17?full=1 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
Accept: application/json\r\nAccept-Encoding: gzip, br\r\nAccept-Language: en\r\nCookie: session=0123456789abcdef\r\n\
X-Forwarded-For: 203.0.113.9\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n\
ETag: \"17\"\r\nContent-Length: 128\r\n\r\n";

/// Routes that lie beside the one that is taken: exact, prefix and template paths, up to 50 regular
/// expressions, a tenth of them under hosts of their own.
fn others(n: u64) -> String {
    let route = |i: u64| {
        let path = match i % 4 {
            0 => format!("/api/v{i}/items"),
            1 => format!("/api/v{i}/*"),
            2 => format!("/api/{{version}}/things-{i}/{{id}}"),
            _ if i / 4 < 50 => format!("~^/api/v{i}/[0-9]+$"),
            _ => format!("/other/{i}"),
        };
        let host = if i.is_multiple_of(10) {
            format!(r#""host": "h{i}.example.com", "#)
        } else {
            r#""host": "api.example.com", "#.into()
        };
        format!(r#"{{ "name": "r{i}", "match": {{ {host}"path": "{path}" }}, "to": "api" }},"#)
    };
    (0..n).map(route).collect()
}

fn main() {
    let number = |i| std::env::args().nth(i).map(|n| n.parse::<u64>());
    let n = number(1)
        .and_then(Result::ok)
        .expect("usage: one_request N [ROUTES]");
    let routes = number(2).and_then(Result::ok).unwrap_or(0);
    let config = CONFIG.replace("\"routes\": [", &format!("\"routes\": [{}", others(routes)));
    let config = gateway_core::config::parse(&config).unwrap_or_else(|f| panic!("{f:?}"));
    let shared = Shared::new(1);
    let snapshot = Snapshot::compile(Arc::new(config), 1, &Resolved::default(), &shared)
        .unwrap_or_else(|f| panic!("{f:?}"));
    let snapshot = Rc::new(Arc::new(snapshot));
    let mut rng = algo::Rng::new(1);
    let mut turns = Turns::default();
    let (mut run, mut out, limits) = (Run::default(), Vec::new(), Limits::default());
    let date = wire::date::imf_fixdate(784_111_777);
    let client = Client::new("10.1.2.3:40000".parse().expect("an address"));
    let mut sent = 0;
    for i in 0..n {
        let mut env = Env {
            thread: 0,
            now: 1_000_000_000 + i * 1000,
            unix: 784_111_777,
            rng: &mut rng,
            turns: &mut turns,
        };
        let request = &mut run.exchange.request;
        let (_, info) = take_request(black_box(REQUEST), &limits, request).expect("a request");
        run.exchange.framing = info.framing;
        let Step::Forward(id) = run.begin(&mut env, &snapshot, 0, client.clone()) else {
            panic!("not forwarded");
        };
        let Choice::Endpoint(_) = run.choose(&mut env, id) else {
            panic!("no endpoint");
        };
        out.clear();
        write_request(
            &run.exchange.request,
            info.framing,
            None,
            info.te_trailers,
            &mut out,
        );
        sent += out.len() as u64;
        let method = run.exchange.request.method();
        let response = &mut run.exchange.response;
        take_response(black_box(RESPONSE), method, &limits, response).expect("a response");
        let Step::Respond(_) = run.response(&mut env, id) else {
            panic!("not answered");
        };
        out.clear();
        write_response(
            &run.exchange.response,
            Version::Http11,
            Framing::Length(128),
            None,
            Connection::KeepAlive,
            &date,
            &mut out,
        );
        sent += out.len() as u64;
        run.done(
            &mut env,
            &Outcome {
                status: 200,
                received: 0,
                sent: 128,
                took: 0,
                complete: true,
            },
        );
        run.clear();
    }
    println!("{n} requests, {sent} bytes of heads");
}
