//! The routes of one host, by the form of their path.
//!
//! Bounds: a search costs one hash for the whole path, one for each of its segments in each of two
//! trees, and, only if all of that finds nothing, a comparison or a search for each regular expression.

use std::collections::HashMap;

use regex::bytes::Regex;

use super::pattern::Path;
use super::tree::Tree;
use super::Fold;

/// A route at one of its places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Its place in the config.
    pub(super) route: u32,
    /// Its listeners: a place in the router's sets.
    pub(super) set: u32,
    /// How many conditions it has beside host and path.
    pub(super) conditions: u32,
}

/// The routes of one host.
#[derive(Debug, Default)]
pub(super) struct Table {
    exact: HashMap<Box<[u8]>, Vec<Entry>, Fold>,
    templates: Tree,
    prefixes: Tree,
    regexes: Vec<Pattern>,
    /// Place in `regexes` by the expression's text.
    places: HashMap<Box<str>, usize>,
    any: Vec<Entry>,
}

#[derive(Debug)]
struct Pattern {
    /// What every path that it finds begins with.
    lead: Box<[u8]>,
    regex: Regex,
    entries: Vec<Entry>,
}

impl Table {
    pub(super) fn insert(&mut self, path: &Path, entry: Entry) {
        let entries = match path {
            Path::Exact(path) => self.exact.entry(path.as_bytes().into()).or_default(),
            Path::Template(template) => self.templates.template(template),
            Path::Prefix(path) => self.prefixes.prefix(path),
            Path::Regex(regex) => {
                let place = *self.places.entry(regex.as_str().into()).or_insert_with(|| {
                    let pattern = Pattern {
                        lead: lead(regex.as_str()),
                        regex: regex.clone(),
                        entries: Vec::new(),
                    };
                    self.regexes.push(pattern);
                    self.regexes.len() - 1
                });
                &mut self.regexes[place].entries
            }
            Path::Any => &mut self.any,
        };
        entries.push(entry);
    }

    /// Puts the entries of each path in their order, once all are there.
    pub(super) fn finish(&mut self) {
        let regexes = self.regexes.iter_mut().map(|p| &mut p.entries);
        let plain = self
            .exact
            .values_mut()
            .chain(regexes)
            .chain([&mut self.any]);
        for entries in plain
            .chain(self.templates.entries())
            .chain(self.prefixes.entries())
        {
            entries.sort_by_key(|e| (std::cmp::Reverse(e.conditions), e.route));
            entries.dedup_by_key(|e| e.route);
            entries.shrink_to_fit();
        }
        self.places = HashMap::new();
    }

    /// The first route whose path fits and whose entry `fits` takes.
    pub(super) fn find(
        &self,
        path: &[u8],
        fits: impl Fn(&[Entry]) -> Option<u32> + Copy,
    ) -> Option<u32> {
        if path.first() == Some(&b'/') {
            let exact = self.exact.get(path).and_then(|entries| fits(entries));
            let found = exact
                .or_else(|| self.templates.find(path, fits))
                .or_else(|| self.prefixes.longest(path, fits))
                .or_else(|| self.by_regex(path, fits));
            if found.is_some() {
                return found;
            }
        }
        fits(&self.any)
    }

    fn by_regex(&self, path: &[u8], fits: impl Fn(&[Entry]) -> Option<u32> + Copy) -> Option<u32> {
        // The conditions are asked first: they cost less than an expression.
        let leading = self.regexes.iter().filter(|p| path.starts_with(&p.lead));
        leading
            .filter_map(|p| fits(&p.entries).filter(|_| p.regex.is_match(path)))
            .next()
    }
}

/// The text that begins every path which `^text...` finds; empty where that is not sure.
fn lead(source: &str) -> Box<[u8]> {
    let Some(rest) = source.strip_prefix('^').filter(|_| !source.contains('|')) else {
        return Box::default();
    };
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"/_-~%,;:@!&='".contains(b);
    let mut end = rest.as_bytes().iter().take_while(|b| plain(b)).count();
    // A repetition can make the sign before it optional, `+` too if another follows it.
    if matches!(rest.as_bytes().get(end), Some(b'?' | b'*' | b'{' | b'+')) {
        end = end.saturating_sub(1);
    }
    rest.as_bytes()[..end].into()
}

#[cfg(test)]
mod tests {
    use super::lead;

    #[test]
    fn only_what_is_sure_leads() {
        for (source, want) in [
            ("^/a/b$", "/a/b"),
            ("^/a/[0-9]+", "/a/"),
            ("^/ab?c", "/a"),
            ("^/ab*", "/a"),
            ("^/ab{0,2}", "/a"),
            ("^/ab+*c", "/a"),
            ("^/a.b", "/a"),
            ("^/a|^/b", ""),
            ("^(?i)/a", ""),
            ("/a", ""),
            ("^?/a", ""),
            ("(?x)^/a", ""),
            ("^", ""),
        ] {
            assert_eq!(&*lead(source), want.as_bytes(), "{source}");
        }
    }
}
