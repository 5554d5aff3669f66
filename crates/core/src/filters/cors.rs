//! cors: says which web sites may read responses, and answers the questions that browsers ask before.
//!
//! Config:  `{ use: cors, origins: ["https://app.example.com"], methods: [GET, POST], headers: [content-type], credentials: true }`
//! Reads:   Origin, and of an OPTIONS with Access-Control-Request-Method that field and Access-Control-Request-Headers.
//! Asks:    nothing.
//! Replies: 204 to a preflight, with what is allowed: it never reaches filters behind this one, nor the upstream.
//!          403 `cors_origin`, 403 `cors_method` and 403 `cors_headers` to a preflight of what is not allowed.
//! Fails:   towards the browser's own rule: without these fields a page of another site reads nothing. Other requests pass, whatever
//!          their origin: CORS keeps no request out. What the upstream says in fields of CORS is replaced.
//! Source:  Fetch (WHATWG), sections 3.3 (CORS protocol) and 4.9 (CORS-preflight fetch); RFC 9110 section 12.5.5 (Vary).

use schemars::JsonSchema;
use serde::Deserialize;
use wire::{Head, Method, Name};

use super::cors_config::{check, joined, FieldName, Headers, Origins};
use super::origin::{find, Allowed};
use super::Build;
use crate::config::Duration;
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::reply::{Body, Reply};
use crate::route::pattern::Method as Wanted;
use crate::secure::is_by_tls;

/// Says which web sites may read responses, and answers the questions that browsers ask before.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The sites whose pages may read responses, 1 to 256, or `*` for all. Required.
    pub origins: Origins,
    /// The methods that they may use. Default: GET and POST.
    #[serde(default = "methods")]
    pub methods: Vec<Wanted>,
    /// Fields that their requests may have beside those of a form, at most 256, or `*` for all. Default: none.
    #[serde(default)]
    pub headers: Headers,
    /// Fields of responses that they may read beside Cache-Control, Content-Language, Content-Length, Content-Type, Expires, Last-Modified and
    /// Pragma. At most 256. Default: none.
    #[serde(default)]
    pub expose: Vec<FieldName>,
    /// Whether requests may have cookies, client certificates or a login that the browser knows. Not with `origins: "*"`. Default: false.
    #[serde(default)]
    pub credentials: bool,
    /// How long a browser may remember the answer to a preflight; Chromium does for 2h at most. Default: not said; browsers take 5s.
    pub max_age: Option<Duration>,
}

fn methods() -> Vec<Wanted> {
    let all = ["GET", "POST"].into_iter();
    all.filter_map(|m| m.parse().ok()).collect()
}

/// The filter.
pub struct Cors {
    /// None is any.
    origins: Option<Box<[Allowed]>>,
    /// What Access-Control-Allow-Origin says of each of these; none where the request says it.
    named: Box<[Option<Box<str>>]>,
    methods: Box<[Wanted]>,
    headers: Headers,
    credentials: bool,
    /// What answers to preflights say.
    told_methods: String,
    told_headers: String,
    max_age: Option<String>,
    expose: String,
}

/// What [`Cors`] keeps of a request in the first word of its slot: 1 for an origin that is allowed. In the second stands its place in the list.
const ALLOWED: u64 = 1;

impl Cors {
    /// From its config, if browsers can do what it says.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        check(&config, b);
        if b.faults.len() > before {
            return None;
        }
        let origins = match config.origins {
            Origins::Any => None,
            Origins::List(list) => Some(list.into_boxed_slice()),
        };
        let named = origins.iter().flatten().map(|allowed| match allowed {
            Allowed::Site { below: false, .. } => Some(allowed.to_string().into()),
            _ => None,
        });
        Some(Self {
            named: named.collect(),
            told_methods: joined(&config.methods),
            told_headers: match &config.headers {
                Headers::Any => String::new(),
                Headers::List(list) => joined(list),
            },
            expose: joined(&config.expose),
            max_age: config
                .max_age
                .map(|age| (age.nanos() / 1_000_000_000).to_string()),
            origins,
            methods: config.methods.into(),
            headers: config.headers,
            credentials: config.credentials,
        })
    }

    /// The place of the request's origin in the list; none if it is not allowed.
    fn place(&self, cx: &Cx<'_>, req: &Head) -> Option<usize> {
        match &self.origins {
            None => Some(0),
            Some(list) => find(list, req, is_by_tls(cx.client, req)),
        }
    }

    fn preflight(&self, cx: &Cx<'_>, req: &Head, method: &[u8]) -> Reply {
        let Some(place) = self.place(cx, req) else {
            let why = "Pages of this origin may not make this request.";
            return Reply::problem(403, "cors_origin", why).with("vary", PREFLIGHT_VARY);
        };
        let refuse = |code, why| self.with(Reply::problem(403, code, why), place, req);
        // Browsers ask for GET, HEAD and POST too where a field or a stream makes them ask.
        let method = if method == b"HEAD" { b"GET" } else { method };
        let bit = Wanted::bit_of(method);
        if !self.methods.iter().any(|m| m.bit() == bit) {
            return refuse("cors_method", "Pages may not use this method here.");
        }
        let asked = || req.find_all(b"access-control-request-headers");
        if let Headers::List(list) = &self.headers {
            let mut names = asked()
                .flat_map(wire::syntax::list)
                .filter(|name| !name.is_empty());
            if !names.all(|name| list.iter().any(|h| h.is(name))) {
                return refuse("cors_headers", "Pages may not send these fields here.");
            }
        }
        let reply = Reply {
            status: 204,
            code: "",
            fields: Vec::with_capacity(6),
            body: Body::Empty,
        };
        let mut reply = self
            .with(reply, place, req)
            .with("access-control-allow-methods", self.told_methods.clone());
        let headers = match &self.headers {
            // `*` would not cover Authorization, nor anything with credentials.
            Headers::Any => asked().collect::<Vec<_>>().join(&b", "[..]),
            Headers::List(_) => self.told_headers.clone().into_bytes(),
        };
        if !headers.is_empty() {
            reply = reply.with("access-control-allow-headers", headers);
        }
        if let Some(age) = &self.max_age {
            reply = reply.with("access-control-max-age", age.clone());
        }
        reply
    }

    /// A refusal with these tells pages' authors, in their browser's tools, what is wrong.
    fn with(&self, reply: Reply, place: usize, req: &Head) -> Reply {
        let reply = reply
            .with("access-control-allow-origin", self.origin(place, req))
            .with("vary", PREFLIGHT_VARY);
        if self.credentials {
            reply.with("access-control-allow-credentials", "true")
        } else {
            reply
        }
    }

    /// What Access-Control-Allow-Origin says.
    fn origin<'a>(&'a self, place: usize, req: &'a Head) -> &'a [u8] {
        match (&self.origins, self.named.get(place)) {
            (None, _) => b"*",
            (Some(_), Some(Some(name))) => name.as_bytes(),
            _ => req.get(Name::Origin).unwrap_or_default(),
        }
    }
}

impl Filter for Cors {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            response: true,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, req: &mut Head) -> Verdict {
        if req.get(Name::Origin).is_none() {
            return Verdict::Next;
        }
        if req.method() == Method::Options {
            if let Some(method) = req.find(b"access-control-request-method") {
                return Verdict::Reply(Box::new(self.preflight(cx, req, method)));
            }
        }
        if let (Some(_), Some(place)) = (&self.origins, self.place(cx, req)) {
            cx.slot.words = [ALLOWED, place as u64];
            // Filters behind may take the field away, as some upstreams want it.
            if !matches!(self.named.get(place), Some(Some(_))) {
                cx.slot.any = Some(Box::new(self.origin(place, req).to_vec()));
            }
        }
        Verdict::Next
    }

    fn on_response(&self, cx: &mut Cx<'_>, _: &Head, rsp: &mut Head) -> Verdict {
        for name in ANSWERS {
            rsp.remove(name);
        }
        // What is left to fail is the head's bound, and then the page reads nothing.
        if self.origins.is_some() {
            vary(rsp);
        }
        let [allowed, place] = cx.slot.words;
        let origin: &[u8] = match &cx.slot.any {
            _ if self.origins.is_none() => b"*",
            _ if allowed != ALLOWED => return Verdict::Next,
            Some(origin) => origin.downcast_ref::<Vec<u8>>().map_or(b"", |o| o),
            None => {
                let name = self.named.get(place as usize);
                name.and_then(Option::as_deref)
                    .unwrap_or_default()
                    .as_bytes()
            }
        };
        let _full = rsp.set(b"Access-Control-Allow-Origin", origin);
        if self.credentials {
            let _full = rsp.set(b"Access-Control-Allow-Credentials", b"true");
        }
        if !self.expose.is_empty() {
            let _full = rsp.set(b"Access-Control-Expose-Headers", self.expose.as_bytes());
        }
        Verdict::Next
    }
}

/// Responses differ by Origin, also those to a request without one.
fn vary(rsp: &mut Head) {
    let said = rsp
        .find_all(b"vary")
        .flat_map(wire::syntax::list)
        .any(|v| v == b"*" || v.eq_ignore_ascii_case(b"origin"));
    if !said {
        let _full = rsp.add(b"Vary", b"Origin");
    }
}

/// What an upstream may have said in the same matter.
const ANSWERS: [&[u8]; 3] = [
    b"access-control-allow-origin",
    b"access-control-allow-credentials",
    b"access-control-expose-headers",
];

const PREFLIGHT_VARY: &str =
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";

#[cfg(test)]
#[path = "cors_tests.rs"]
mod tests;
