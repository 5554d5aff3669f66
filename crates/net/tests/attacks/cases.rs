//! What only a connection can show.

/// One connection's bytes, and what they must come to.
pub struct Case {
    pub name: &'static str,
    /// The listener, by its place in [`CONFIG`].
    pub listener: usize,
    /// `HUGE` stands for 100 KiB of letters.
    pub bytes: &'static str,
    /// Status and code of each answer; `HEAD` before one that has no body.
    pub answers: &'static [&'static str],
    /// Method, target and body of what reaches the origin.
    pub reached: &'static [&'static str],
    /// Fields of the last of those; none: it must not be there.
    pub fields: &'static [(&'static str, Option<&'static str>)],
    pub then: Then,
}

/// What becomes of the connection.
#[derive(Clone, Copy)]
pub enum Then {
    /// It serves the next request.
    Serves,
    /// The answer says that it closes, and it does.
    Closes,
    /// It closes because of what came after the answer.
    BreaksOff,
}

const WEB: usize = 0;
const STRICT: usize = 1;
const SLOW: usize = 2;

/// `ORIGIN` stands for its address.
pub const CONFIG: &str = r#"{ "workers": 1,
  "listeners": [
    { "name": "web", "bind": "127.0.0.1:0" },
    { "name": "strict", "bind": "127.0.0.1:0" },
    { "name": "slow", "bind": "127.0.0.1:0", "timeouts": { "head": "300ms", "stall": "300ms" } } ],
  "upstreams": [{ "name": "origin", "endpoints": ["ORIGIN"] }],
  "routes": [
    { "name": "limited", "match": { "path": "/limited" }, "filters": [{ "use": "body_limit", "max": "16B" }], "to": "origin" },
    { "name": "early", "match": { "path": "/early" }, "filters": [{ "use": "respond", "status": 401 }] },
    { "name": "strict", "listeners": ["strict"], "match": { "host": "a", "path": "/*" }, "to": "origin" },
    { "name": "all", "listeners": ["web", "slow"], "match": { "path": "/*" }, "escaped_slash": "keep", "to": "origin" } ] }"#;

const fn case(
    name: &'static str,
    bytes: &'static str,
    answers: &'static [&'static str],
    reached: &'static [&'static str],
    then: Then,
) -> Case {
    Case {
        name,
        listener: WEB,
        bytes,
        answers,
        reached,
        fields: &[],
        then,
    }
}

pub const CASES: &[Case] = &[
    case(
        "S12 trailers go nowhere unasked",
        "POST /t HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n",
        &["200"],
        &["POST /t abc"],
        Then::Serves,
    ),
    case(
        "S13 the body comes with its expectation",
        "POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabcGET /n HTTP/1.1\r\nHost: a\r\n\r\n",
        &["200", "200"],
        &["POST /e abc", "GET /n"],
        Then::Serves,
    ),
    case(
        "S13 an early answer to an expectation ends the connection",
        "POST /early HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &["401"],
        &[],
        Then::Closes,
    ),
    case(
        "S14 GET with a body",
        "GET /g HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &["200"],
        &[r"GET /g GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"],
        Then::Serves,
    ),
    case(
        "S14 HEAD with a body",
        "HEAD /h HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &["HEAD 200"],
        &[r"HEAD /h GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"],
        Then::Serves,
    ),
    case(
        "S14 OPTIONS with a chunked body",
        "OPTIONS /o HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        &["200"],
        &["OPTIONS /o abc"],
        Then::Serves,
    ),
    case(
        "S14 DELETE with a body",
        "DELETE /d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        &["200"],
        &["DELETE /d abc"],
        Then::Serves,
    ),
    case(
        "S15 an early answer, and the body is read away",
        "POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &["401"],
        &[],
        Then::Serves,
    ),
    case(
        "S15 an early answer, and the chunks are read away",
        "POST /early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n23\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n",
        &["401"],
        &[],
        Then::Serves,
    ),
    case(
        "S15 an early answer, and the chunks are broken",
        "POST /early HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &["401"],
        &[],
        Then::BreaksOff,
    ),
    case(
        "S15 a length over the limit",
        "POST /limited HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
        &["413 body_too_large"],
        &[],
        Then::Serves,
    ),
    case(
        "S15 chunks over the limit",
        "POST /limited HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n23\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n",
        &["413 body_too_large"],
        &[],
        Then::Closes,
    ),
    case(
        "S16 an empty body, and a request",
        "POST /z HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\nGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
        &["200", "200"],
        &["POST /z", "GET /next"],
        Then::Serves,
    ),
    case(
        "S16 an empty body, and garbage",
        "POST /z HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\x01garbage",
        &["200", "400 not_http"],
        &["POST /z"],
        Then::Closes,
    ),
    case(
        "S17 a bad request behind good ones",
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\n\r\nGET /4 HTTP/1.1\r\nHost: a\r\n\r\n",
        &["200", "200", "400 missing_host"],
        &["GET /1", "GET /2"],
        Then::Closes,
    ),
    Case {
        listener: STRICT,
        ..case(
            "R22 an unknown host",
            "GET / HTTP/1.1\r\nHost: b\r\n\r\n",
            &["404 no_route"],
            &[],
            Then::Serves,
        )
    },
    Case {
        listener: STRICT,
        ..case(
            "R30 a host of somebody else's",
            "GET http://169.254.169.254/latest HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
            &["404 no_route"],
            &[],
            Then::Serves,
        )
    },
    Case {
        fields: &[("host", Some("169.254.169.254"))],
        ..case(
            "R30 the target does not say where to connect",
            "GET http://169.254.169.254/latest HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
            &["200"],
            &["GET /latest"],
            Then::Serves,
        )
    },
    Case {
        fields: &[
            ("x-forwarded-for", Some("127.0.0.1")),
            ("x-forwarded-proto", Some("http")),
            ("x-forwarded-host", Some("a")),
            ("authorization", None),
            ("x-auth-user", None),
        ],
        ..case(
            "R25 what is nominated goes before ours comes",
            "GET /n HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For, x-forwarded-proto, X-Forwarded-Host, Authorization, X-Auth-User\r\nAuthorization: b\r\nX-Auth-User: root\r\n\r\n",
            &["200"],
            &["GET /n"],
            Then::Serves,
        )
    },
    Case {
        fields: &[
            ("x-forwarded-for", Some("127.0.0.1")),
            ("x-forwarded-proto", Some("http")),
            ("x-forwarded-host", Some("a")),
            ("forwarded", None),
            ("x-real-ip", None),
            ("x-forwarded-prefix", None),
            ("x-original-url", None),
            ("x-rewrite-url", None),
        ],
        ..case(
            "R26 a stranger speaks for nobody",
            "GET /f HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.0.0.1, 10.0.0.2\r\nx-forwarded-for: unknown\r\nForwarded: for=10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\nX-Forwarded-Prefix: /admin\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\n\r\n",
            &["200"],
            &["GET /f"],
            Then::Serves,
        )
    },
    case(
        "R24 a target of 100 KiB",
        "GET /HUGE HTTP/1.1\r\nHost: a\r\n\r\n",
        &["414 uri_too_long"],
        &[],
        Then::Closes,
    ),
    case(
        "R24 a value of 100 KiB",
        "GET / HTTP/1.1\r\nHost: a\r\nA: HUGE\r\n\r\n",
        &["431 head_too_large"],
        &[],
        Then::Closes,
    ),
    case(
        "R28 TRACE",
        "TRACE /t HTTP/1.1\r\nHost: a\r\nCookie: secret\r\n\r\n",
        &["405 method_refused"],
        &[],
        Then::Serves,
    ),
    case(
        "R28 CONNECT",
        "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n",
        &["405 method_refused"],
        &[],
        Then::Serves,
    ),
    case(
        "R28 a method that nobody knows",
        "BREW /t HTTP/1.1\r\nHost: a\r\n\r\n",
        &["501 method_unknown"],
        &[],
        Then::Serves,
    ),
    case(
        "R29 a bomb of ranges",
        "GET /r HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1,0-2,0-3,0-4,0-5,0-6,0-7,0-8,0-9,0-10,0-11,0-12\r\n\r\n",
        &["200"],
        &["GET /r"],
        Then::Serves,
    ),
    Case {
        listener: SLOW,
        ..case(
            "D50 a head that does not end",
            "GET / HTTP/1.1\r\nHost: a\r\nA: ",
            &["408 head_timeout"],
            &[],
            Then::Closes,
        )
    },
    Case {
        listener: SLOW,
        ..case(
            "D51 a length, and silence",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n",
            &["408 body_timeout"],
            &[],
            Then::Closes,
        )
    },
    Case {
        listener: SLOW,
        ..case(
            "D51 a chunk, and silence",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3b9ac9ff\r\nabc",
            &["408 body_timeout"],
            &[],
            Then::Closes,
        )
    },
];
