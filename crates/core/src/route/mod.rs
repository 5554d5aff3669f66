//! Which route a request takes.
//!
//! Of the routes whose host, path, method, header fields, query, PROXY header and listener all fit, it is the
//! first in this order:
//! 1. host: exact, then wildcards (`*.a.example` before `*.example`), then routes for every host;
//! 2. path: exact, then templates, then prefixes (the longest first), then regular expressions (in
//!    the order in which they first appear for that host), then `/*` and routes without a path;
//! 3. among templates, from left to right: a literal segment before `{name}` before `{name*}`;
//! 4. method, fields, query and PROXY header: the route with more conditions (a list of methods is one);
//! 5. the order of the config.
//!
//! A route that fails a condition is passed over, and the search goes on, also to less specific
//! hosts. Escaped slashes (`%2F`) never divide segments. `OPTIONS *` has no path: only routes for
//! every path take it.
//!
//! Source:  the manner of nginx (`server_name`) for hosts; none for the rest.
//! Errors:  none: patterns are checked as they are parsed ([`pattern`], [`want`]).
//! Bounds:  [`MAX_LISTENERS`]; a search allocates nothing, and its time grows with the length of host
//!          and path and with the regular expressions of the host, not with the number of routes.

pub mod pattern;
mod table;
mod tree;
pub mod want;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use self::pattern::{Host, Path, Segment, Template, MAX_CAPTURES};
use self::table::{Entry, Table};
use self::want::Wants;

pub(crate) use self::want::same as same_unescaped;
pub use self::want::{Asked, Match, Request, Want};

/// What the router needs to know of one route.
#[derive(Clone, Copy, Debug)]
pub struct RouteMatch<'a> {
    /// The listeners it is for.
    pub listeners: Listeners,
    /// The requests it wants.
    pub what: &'a Match,
}

/// A set of listeners, by their place in the config.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Listeners([u64; MAX_LISTENERS / 64]);

impl Listeners {
    /// Every listener.
    pub const ALL: Self = Self([u64::MAX; MAX_LISTENERS / 64]);

    /// True if `listener` is one of them.
    pub fn contains(&self, listener: u32) -> bool {
        let word = self.0.get(listener as usize / 64).copied().unwrap_or(0);
        word & 1 << (listener % 64) != 0
    }

    /// True if some listener is in both.
    pub fn meets(&self, other: &Self) -> bool {
        self.0.iter().zip(other.0).any(|(a, b)| a & b != 0)
    }
}

impl FromIterator<u32> for Listeners {
    /// Places from [`MAX_LISTENERS`] on are left out; the config check refuses them.
    fn from_iter<I: IntoIterator<Item = u32>>(places: I) -> Self {
        let mut set = Self([0; MAX_LISTENERS / 64]);
        for place in places {
            if let Some(word) = set.0.get_mut(place as usize / 64) {
                *word |= 1 << (place % 64);
            }
        }
        set
    }
}

/// The routes of a config, made ready to be searched.
#[derive(Debug, Default)]
pub struct Router {
    exact: HashMap<Box<[u8]>, Table, Fold>,
    /// By suffix, its dot included.
    below: HashMap<Box<[u8]>, Table, Fold>,
    /// Bytes of the longest suffix in `below`.
    longest: usize,
    any: Table,
    wants: Vec<Wants>,
    sets: Vec<Listeners>,
    templates: HashMap<u32, Vec<Template>, Fold>,
}

impl Router {
    /// Makes routes ready; what [`Router::find`] returns is an index into `routes`.
    pub fn compile(routes: &[RouteMatch]) -> Self {
        let mut router = Self::default();
        let mut sets: HashMap<Listeners, u32> = HashMap::new();
        for (route, place) in routes.iter().zip(0..) {
            let set = *sets.entry(route.listeners).or_insert_with(|| {
                router.sets.push(route.listeners);
                router.sets.len() as u32 - 1
            });
            let wants = Wants::of(route.what);
            let entry = Entry {
                route: place,
                set,
                conditions: wants.count() as u32,
            };
            router.wants.push(wants);
            router.insert(entry, route.what);
        }
        for table in router
            .exact
            .values_mut()
            .chain(router.below.values_mut())
            .chain([&mut router.any])
        {
            table.finish();
        }
        router
    }

    /// The route that a request takes, which came in by the listener at this place in the config.
    pub fn find<R: Request>(&self, listener: u32, request: &R) -> Option<u32> {
        let host = request.host();
        let host = host.strip_suffix(b".").unwrap_or(host);
        let path = request.path();
        let fits = |entries: &[Entry]| {
            let fitting = entries
                .iter()
                .find(|entry| self.fits(entry, listener, request));
            fitting.map(|entry| entry.route)
        };
        let exact = || self.exact.get(host)?.find(path, fits);
        let below = || {
            if self.below.is_empty() {
                return None;
            }
            let from = host.len().saturating_sub(self.longest).max(1);
            let dots = (from..host.len()).filter(|&at| host[at] == b'.');
            dots.filter_map(|at| self.below.get(&host[at..]))
                .find_map(|table| table.find(path, fits))
        };
        exact().or_else(below).or_else(|| self.any.find(path, fits))
    }

    /// What the path template of `route` takes from `path`. Empty if it has none that fits.
    pub fn captures<'a>(&'a self, route: u32, path: &[u8]) -> Captures<'a> {
        let templates = self.templates.get(&route).map_or(&[][..], |all| all);
        templates
            .iter()
            .find_map(|template| capture(template, path))
            .unwrap_or_default()
    }

    fn fits<R: Request>(&self, entry: &Entry, listener: u32, request: &R) -> bool {
        self.sets[entry.set as usize].contains(listener)
            && (entry.conditions == 0 || self.wants[entry.route as usize].hold(request))
    }

    fn insert(&mut self, entry: Entry, what: &Match) {
        let hosts = if what.host.is_empty() {
            &[Host::Any][..]
        } else {
            &what.host
        };
        let paths = if what.path.is_empty() {
            &[Path::Any][..]
        } else {
            &what.path
        };
        for path in paths {
            for host in hosts {
                let table = match host {
                    Host::Any => &mut self.any,
                    Host::Exact(name) => self.exact.entry(name.as_bytes().into()).or_default(),
                    Host::Below(suffix) => {
                        self.longest = self.longest.max(suffix.len());
                        self.below.entry(suffix.as_bytes().into()).or_default()
                    }
                };
                table.insert(path, entry);
            }
            if let Path::Template(template) = path {
                self.templates
                    .entry(entry.route)
                    .or_default()
                    .push(template.clone());
            }
        }
    }
}

/// Parts of a path, by the names that a template gives them.
#[derive(Clone, Debug, Default)]
pub struct Captures<'a> {
    parts: [(&'a str, u32, u32); MAX_CAPTURES],
    count: usize,
}

impl Captures<'_> {
    /// Names and the bytes of the path that they stand for, in the order of the path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.parts[..self.count]
            .iter()
            .map(|&(name, start, end)| (name, start as usize..end as usize))
    }

    /// The bytes of the path that `name` stands for.
    pub fn span(&self, name: &str) -> Option<Range<usize>> {
        self.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, span)| span)
    }
}

fn capture<'a>(template: &'a Template, path: &[u8]) -> Option<Captures<'a>> {
    let mut found = Captures::default();
    let mut at = 0; // of the slash before the segment
    for segment in &template.segments {
        if path.get(at) != Some(&b'/') {
            return None;
        }
        let start = at + 1;
        let mut end = path[start..]
            .iter()
            .position(|&b| b == b'/')
            .map_or(path.len(), |len| start + len);
        let name = match segment {
            Segment::Literal(text) if text.as_bytes() == &path[start..end] => None,
            Segment::Literal(_) => return None,
            Segment::One(_) if start == end => return None,
            Segment::One(name) => Some(name),
            Segment::Rest(name) => {
                end = path.len();
                Some(name)
            }
        };
        if let Some(name) = name {
            found.parts[found.count] = (name, start as u32, end as u32);
            found.count += 1;
        }
        at = end;
    }
    (at == path.len()).then_some(found)
}

/// A hash for keys that come from the config. What a request holds is only looked up, never stored,
/// so nobody outside can make the tables slow.
type Fold = BuildHasherDefault<FoldHasher>;

/// Multiply and rotate, eight bytes at a time, in the manner of `rustc-hash`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FoldHasher(u64);

impl FoldHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for FoldHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.add(u64::from_le_bytes(chunk.try_into().unwrap_or_default())); // always 8 bytes
        }
        let tail = chunks.remainder();
        if !tail.is_empty() {
            let mut word = [0; 8];
            word[..tail.len()].copy_from_slice(tail);
            self.add(u64::from_le_bytes(word));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.add(u64::from(number));
    }

    fn write_usize(&mut self, number: usize) {
        self.add(number as u64);
    }

    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }
}

/// Listeners of one config.
pub const MAX_LISTENERS: usize = 256;
