//! The order of routes: by cases, and against a search that looks at every route.

use std::cmp::Reverse;

use super::*;
use crate::config::text::Many;
use crate::proxied::Proxied;

/// A request without a buffer behind it.
#[derive(Clone, Debug, Default)]
struct Plain {
    host: String,
    path: String,
    method: String,
    query: Option<String>,
    fields: Vec<(String, String)>,
}

impl Request for Plain {
    fn host(&self) -> &[u8] {
        self.host.as_bytes()
    }

    fn path(&self) -> &[u8] {
        self.path.as_bytes()
    }

    fn method(&self) -> &[u8] {
        self.method.as_bytes()
    }

    fn query(&self) -> Option<&[u8]> {
        self.query.as_ref().map(|q| q.as_bytes())
    }

    fn any_field(&self, name: &[u8], is: impl Fn(&[u8]) -> bool) -> bool {
        let called = |n: &str| n.as_bytes().eq_ignore_ascii_case(name);
        self.fields
            .iter()
            .any(|(n, value)| called(n) && is(value.as_bytes()))
    }
}

/// `GET a.example/x?q X-A:1`
fn request(text: &str) -> Plain {
    let mut words = text.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default();
    let (target, query) = target
        .split_once('?')
        .map_or((target, None), |(t, q)| (t, Some(q.to_owned())));
    let at = target.find(['/', '*']).unwrap_or(target.len());
    let fields = words
        .filter_map(|w| w.split_once(':'))
        .map(|(n, v)| (n.to_owned(), v.to_owned()))
        .collect();
    Plain {
        host: target[..at].to_owned(),
        path: target[at..].to_owned(),
        method,
        query,
        fields,
    }
}

fn matches(json: serde_json::Value) -> Match {
    serde_json::from_value(json).expect("a match")
}

fn router(routes: &[Match]) -> Router {
    let all: Vec<RouteMatch> = routes
        .iter()
        .map(|what| RouteMatch {
            listeners: Listeners::ALL,
            what,
        })
        .collect();
    Router::compile(&all)
}

/// One route for each text: `host path METHOD header=value ?name=value`, `-` for nothing said.
fn routes(texts: &[&str]) -> Vec<Match> {
    let one = |text: &&str| {
        let mut words = text.split(' ');
        let mut what = Match::default();
        if let Some(host) = words.next().filter(|w| *w != "-") {
            what.host = Many(vec![Host::parse(host).expect(host)]);
        }
        if let Some(path) = words.next().filter(|w| *w != "-") {
            what.path = Many(vec![Path::parse(path).expect(path)]);
        }
        if let Some(methods) = words.next().filter(|w| *w != "-") {
            what.method = Many(
                methods
                    .split(',')
                    .map(|m| pattern::Method::parse(m).expect(m))
                    .collect(),
            );
        }
        for word in words {
            let (name, value) = word.split_once('=').expect(word);
            let want = match value {
                "yes" => Want::Present,
                "no" => Want::Absent,
                value => Want::Value(value.into()),
            };
            match name.strip_prefix('?') {
                Some(name) => what.query.insert(name.to_owned(), want),
                None => what
                    .headers
                    .insert(want::FieldName::parse(name).expect(name), want),
            };
        }
        what
    };
    texts.iter().map(one).collect()
}

#[test]
fn the_order_is_the_stated_one() {
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, Option<u32>)]);
    let cases: &[Case<'_>] = &[
        (
            &["- /*", "*.example /*", "*.b.example /*", "a.b.example /*"],
            &[
                ("GET a.b.example/", Some(3)),
                ("GET a.b.example./", Some(3)),
                ("GET c.b.example/", Some(2)),
                ("GET d.c.b.example/", Some(2)),
                ("GET b.example/", Some(1)),
                ("GET example/", Some(0)),
                ("GET xb.example/", Some(1)),
                ("GET /", Some(0)),
            ],
        ),
        (
            &["- /*", "- ~^/a", "- /a/*", "- /{x}/b", "- /a/b"],
            &[
                ("GET /a/b", Some(4)),
                ("GET /c/b", Some(3)),
                ("GET /a/c", Some(2)),
                ("GET /a", Some(2)),
                ("GET /a/", Some(2)),
                ("GET /ab", Some(1)),
                ("GET /x", Some(0)),
                ("OPTIONS *", Some(0)),
                ("CONNECT ", Some(0)),
            ],
        ),
        (
            &["- /a/*", "- /a/b/*", "- /a/b/c/*"],
            &[
                ("GET /a/b/c", Some(2)),
                ("GET /a/b/cd", Some(1)),
                ("GET /a/bc", Some(0)),
                ("GET /ab", None),
                ("GET /", None),
                ("OPTIONS *", None),
            ],
        ),
        (
            &[
                "- /{a}/{b*}",
                "- /{a}/{b}",
                "- /{a}/x",
                "- /x/{a*}",
                "- /x/{a}/",
            ],
            &[
                ("GET /x/x", Some(3)),
                ("GET /x/", Some(3)),
                ("GET /x/y/", Some(4)),
                ("GET /y/x", Some(2)),
                ("GET /y/z", Some(1)),
                ("GET /y/z/z", Some(0)),
                ("GET /y/", Some(0)),
                ("GET /y", None),
                ("GET /", None),
            ],
        ),
        (
            &["- ~b$", "- ~^/a", "- ~b$ POST"],
            &[
                ("GET /ab", Some(0)),
                ("POST /ab", Some(2)),
                ("GET /ac", Some(1)),
                ("GET /c", None),
            ],
        ),
        (
            &[
                "- /a",
                "- /a GET",
                "- /a GET x-a=1",
                "- /a GET x-a=yes ?q=1",
                "- /a - x-b=no",
            ],
            &[
                ("POST /a x-b:1", Some(0)),
                ("GET /a x-b:1", Some(1)),
                ("HEAD /a x-b:1", Some(1)),
                ("GET /a X-A:1", Some(2)),
                ("GET /a?q=1 X-A:2", Some(3)),
                ("POST /a", Some(4)),
                ("BREW /a x-b:1", Some(0)),
            ],
        ),
        (
            &["a.example /x POST", "*.example /* DELETE", "- /x GET"],
            &[
                ("GET a.example/x", Some(2)),
                ("DELETE a.example/x", Some(1)),
                ("POST a.example/x", Some(0)),
                ("PUT a.example/x", None),
            ],
        ),
        (
            &["- /a - x=1", "- /a - y=1"],
            &[("GET /a x:1 y:1", Some(0)), ("GET /a y:1", Some(1))],
        ),
    ];
    for (texts, wants) in cases {
        let all = routes(texts);
        let router = router(&all);
        for (text, want) in *wants {
            assert_eq!(router.find(0, &request(text)), *want, "{text} in {texts:?}");
        }
    }
}

#[test]
fn a_route_is_taken_only_on_its_listeners() {
    let all = routes(&["- /a", "- /a", "- /*"]);
    let sets = [
        [3].into_iter().collect(),
        [200, 255].into_iter().collect(),
        Listeners::ALL,
    ];
    let all: Vec<RouteMatch> = all
        .iter()
        .zip(sets)
        .map(|(what, listeners)| RouteMatch { listeners, what })
        .collect();
    let router = Router::compile(&all);
    for (listener, want) in [(3, 0), (200, 1), (255, 1), (0, 2), (199, 2)] {
        assert_eq!(
            router.find(listener, &request("GET /a")),
            Some(want),
            "{listener}"
        );
    }
}

#[test]
fn a_head_is_a_request() {
    let all = routes(&["a.example /x/{id} GET x-a=1 ?q=yes"]);
    let mut head = wire::Head::new();
    head.start_request(b"GET", b"/x/7?q", b"A.example:8080");
    head.add(b"X-A", b"0").expect("a field");
    assert_eq!(router(&all).find(0, &head), None);
    head.add(b"X-A", b"1").expect("a field");
    assert_eq!(router(&all).find(0, &head), Some(0));
}

#[test]
fn captures_are_where_the_template_says() {
    let all = routes(&["- /users/{id}/posts/{rest*}", "- /a"]);
    let router = router(&all);
    for (path, want) in [
        ("/users/7/posts/a/b", vec![("id", "7"), ("rest", "a/b")]),
        ("/users/7/posts/", vec![("id", "7"), ("rest", "")]),
        ("/users/7/posts", vec![]),
        ("/users//posts/a", vec![]),
        ("/users/7/post/a", vec![]),
        ("*", vec![]),
    ] {
        let captures = router.captures(0, path.as_bytes());
        let found: Vec<(&str, &str)> = captures
            .iter()
            .map(|(name, span)| (name, &path[span]))
            .collect();
        assert_eq!(found, want, "{path}");
    }
    assert_eq!(router.captures(1, b"/a").iter().count(), 0);
    assert_eq!(
        router.captures(0, b"/users/7/posts/x").span("rest"),
        Some(15..16)
    );
}

#[test]
fn the_router_agrees_with_a_search_through_all_routes() {
    for seed in 0..3000 {
        let mut rng = algo::Rng::new(seed);
        let texts: Vec<String> = (0..1 + pick(&mut rng, 12))
            .map(|_| random_route(&mut rng))
            .collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let all = routes(&texts);
        let router = router(&all);
        for _ in 0..20 {
            let text = random_request(&mut rng);
            let request = request(&text);
            assert_eq!(
                router.find(0, &request),
                naive(&all, &request),
                "seed {seed}: {text} in {texts:#?}"
            );
        }
    }
}

#[test]
fn many_routes_agree_too() {
    for seed in 0..10 {
        let mut rng = algo::Rng::new(seed);
        let texts: Vec<String> = (0..600).map(|_| random_route(&mut rng)).collect();
        let all = routes(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let router = router(&all);
        for _ in 0..200 {
            let text = random_request(&mut rng);
            let request = request(&text);
            assert_eq!(
                router.find(0, &request),
                naive(&all, &request),
                "seed {seed}: {text}"
            );
        }
    }
}

/// The stated order, said once more without any table: the best of all that fit.
fn naive(routes: &[Match], request: &Plain) -> Option<u32> {
    let mut best = None;
    for (place, route) in routes.iter().enumerate() {
        if !holds(route, request) {
            continue;
        }
        let hosts = if route.host.is_empty() {
            &[Host::Any][..]
        } else {
            &route.host
        };
        let paths = if route.path.is_empty() {
            &[Path::Any][..]
        } else {
            &route.path
        };
        for host in hosts {
            let Some(host_rank) = host_rank(host, &request.host) else {
                continue;
            };
            for path in paths {
                let Some(path_rank) = path_rank(path, &request.path, routes, host) else {
                    continue;
                };
                let conditions =
                    usize::from(!route.method.is_empty()) + route.headers.len() + route.query.len();
                let rank = (host_rank, path_rank, Reverse(conditions), place as u32);
                if best.as_ref().is_none_or(|b| rank < *b) {
                    best = Some(rank);
                }
            }
        }
    }
    best.map(|(.., place)| place)
}

fn host_rank(host: &Host, given: &str) -> Option<(u8, Reverse<usize>)> {
    match host {
        Host::Exact(name) => (**name == *given).then_some((0, Reverse(0))),
        Host::Below(suffix) => {
            let below = given.len() > suffix.len() && given.ends_with(&**suffix);
            below.then_some((1, Reverse(suffix.len())))
        }
        Host::Any => Some((2, Reverse(0))),
    }
}

type PathRank = (u8, Vec<u8>, Reverse<usize>, usize);

fn path_rank(path: &Path, given: &str, routes: &[Match], host: &Host) -> Option<PathRank> {
    let rank = |class| (class, Vec::new(), Reverse(0), 0);
    if matches!(path, Path::Any) {
        return Some(rank(4));
    }
    let segments: Vec<&str> = given.strip_prefix('/')?.split('/').collect();
    match path {
        Path::Exact(text) => (**text == *given).then(|| rank(0)),
        Path::Template(template) => {
            let mut kinds = Vec::new();
            let mut rest = &segments[..];
            for segment in &template.segments {
                let (first, behind) = rest.split_first()?;
                let (fits, kind) = match segment {
                    Segment::Literal(text) => (**text == **first, 0),
                    Segment::One(_) => (!first.is_empty(), 1),
                    Segment::Rest(_) => {
                        kinds.push(2);
                        return Some((1, kinds, Reverse(0), 0));
                    }
                };
                if !fits {
                    return None;
                }
                kinds.push(kind);
                rest = behind;
            }
            rest.is_empty().then_some((1, kinds, Reverse(0), 0))
        }
        Path::Prefix(text) => {
            let fits = *given == **text || given.starts_with(&format!("{text}/"));
            fits.then(|| (2, Vec::new(), Reverse(text.len()), 0))
        }
        Path::Regex(regex) => {
            let source = regex.as_str();
            let says = |m: &Match| {
                let here = m.host.contains(host) || (m.host.is_empty() && *host == Host::Any);
                here && m
                    .path
                    .iter()
                    .any(|p| matches!(p, Path::Regex(r) if r.as_str() == source))
            };
            let first = routes.iter().position(says)?;
            regex
                .is_match(given.as_bytes())
                .then(|| (3, Vec::new(), Reverse(0), first))
        }
        Path::Any => None,
    }
}

fn holds(route: &Match, request: &Plain) -> bool {
    let method = request.method.as_str();
    let takes = |m: &pattern::Method| {
        let name = m.to_string();
        name == method || (name == "GET" && method == "HEAD")
    };
    let said = |want: &Want, values: &[&str]| match want {
        Want::Present => !values.is_empty(),
        Want::Absent => values.is_empty(),
        Want::Value(text) => values.contains(&&**text),
    };
    let pairs: Vec<(&str, &str)> = request
        .query
        .iter()
        .flat_map(|q| q.split('&'))
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    (route.method.is_empty() || route.method.iter().any(takes))
        && route.headers.iter().all(|(name, want)| {
            let called = |n: &str| n.eq_ignore_ascii_case(&name.to_string());
            let values: Vec<&str> = request
                .fields
                .iter()
                .filter(|(n, _)| called(n))
                .map(|(_, v)| v.as_str())
                .collect();
            said(want, &values)
        })
        && route.query.iter().all(|(name, want)| {
            let values: Vec<&str> = pairs
                .iter()
                .filter(|(n, _)| n == name)
                .map(|(_, v)| *v)
                .collect();
            said(want, &values)
        })
}

/// A small vocabulary, so that routes and requests often meet.
fn random_route(rng: &mut algo::Rng) -> String {
    let mut text = one(
        rng,
        &["-", "-", "a.x", "b.x", "*.x", "*.a.x", "a", "*.b.a.x"],
    )
    .to_owned();
    text.push(' ');
    text.push_str(&random_path(rng, true));
    text.push(' ');
    text.push_str(one(rng, &["-", "-", "-", "GET", "POST", "HEAD", "GET,PUT"]));
    if pick(rng, 4) == 0 {
        text.push_str(one(rng, &[" h=1", " h=yes", " h=no", " h=1 g=yes"]));
    }
    if pick(rng, 4) == 0 {
        text.push_str(one(rng, &[" ?q=1", " ?q=yes", " ?q=no"]));
    }
    text
}

fn random_path(rng: &mut algo::Rng, pattern: bool) -> String {
    if pattern && pick(rng, 8) == 0 {
        return one(
            rng,
            &[
                "-",
                "/*",
                "~^/a",
                "~b$",
                "~^/a/(a|b)$",
                "~.",
                "~^/b/?$",
                "~/a/",
            ],
        )
        .to_owned();
    }
    let mut path = String::new();
    let count = 1 + pick(rng, 4);
    for i in 0..count {
        path.push('/');
        let last = i + 1 == count;
        path.push_str(match pick(rng, if pattern { 7 } else { 4 }) {
            0 => "a",
            1 => "b",
            2 => "ab",
            3 if last => "",
            3 => "c",
            4 if last && i > 0 => "{r*}",
            _ => ["{p}", "{q}", "{s}", "{t}"][i],
        });
    }
    let plain = !path.contains('{') && !path.ends_with('/');
    if pattern && plain && pick(rng, 2) == 0 {
        path.push_str("/*");
    }
    path
}

fn random_request(rng: &mut algo::Rng) -> String {
    let method = one(rng, &["GET", "POST", "HEAD", "PUT", "BREW"]);
    let host = one(
        rng,
        &["", "a.x", "b.x", "b.a.x", "c.b.a.x", "a", "x", "d.x"],
    );
    let path = if pick(rng, 20) == 0 {
        "*".to_owned()
    } else {
        random_path(rng, false)
    };
    let query = one(rng, &["", "", "?q=1", "?q=2", "?p=1&q=1", "?q"]);
    let fields = one(rng, &["", "", " h:1", " h:2", " H:1 G:x", " h:2 h:1"]);
    format!("{method} {host}{path}{query}{fields}")
}

fn one<'a>(rng: &mut algo::Rng, of: &[&'a str]) -> &'a str {
    of[pick(rng, of.len())]
}

fn pick(rng: &mut algo::Rng, below: usize) -> usize {
    (rng.next_u64() >> 33) as usize % below
}

#[test]
fn a_match_is_read_from_the_config() {
    let what = matches(
        serde_json::json!({ "host": "A.example", "path": ["/a", "/b/*"], "method": "GET" }),
    );
    let router = router(std::slice::from_ref(&what));
    assert_eq!(router.find(0, &request("HEAD a.example/b/c")), Some(0));
}

#[test]
fn what_the_proxy_header_said_is_a_condition() {
    let all: Vec<Match> = [
        serde_json::json!({}),
        serde_json::json!({ "proxy": { "unique_id": true } }),
        serde_json::json!({ "proxy": { "authority": "a.example" } }),
        serde_json::json!({ "proxy": { "authority": "a.example", "ssl_verify": "none" } }),
    ]
    .map(matches)
    .into();
    let router = router(&all);
    let mut head = wire::Head::new();
    head.start_request(b"GET", b"/", b"b.example");
    let cases: [(Option<&[u8]>, u32); 7] = [
        (None, 0),
        (Some(b""), 0),
        (Some(b"\x05\0\x01x"), 1),
        (Some(b"\x02\0\x09A.example"), 2),
        (Some(b"\x02\0\x09b.example"), 0),
        (Some(b"\x02\0\x09A.example\x20\0\x05\x01\0\0\0\0"), 3),
        (Some(b"\x02\0\x09A.example\x20\0\x05\x07\0\0\0\0"), 2),
    ];
    for (tlvs, want) in cases {
        let said = tlvs.map(|t| Proxied::new(None, wire::proxy::Tlvs::new(t)));
        let asked = Asked {
            request: &head,
            proxied: said.as_ref(),
        };
        assert_eq!(router.find(0, &asked), Some(want), "{tlvs:?}");
    }
}
