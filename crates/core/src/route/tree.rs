//! Paths by their segments: one tree for templates, one for prefixes.
//!
//! Bounds: a search visits each node at most once, and of those only the ones whose segments begin
//! the path; it goes no deeper than the deepest template ([`super::pattern::MAX_SEGMENTS`]) or prefix.

use std::collections::HashMap;

use super::pattern::{Segment, Template};
use super::table::Entry;
use super::Fold;

/// A tree of segments. An empty tree has no node.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    parent: u32,
    literal: HashMap<Box<[u8]>, u32, Fold>,
    /// Below `{name}`.
    one: Option<u32>,
    /// Routes whose path ends here; in the tree of prefixes, those that take all below.
    end: Vec<Entry>,
    /// Routes that take all below by `{name*}`.
    rest: Vec<Entry>,
}

impl Tree {
    /// The entries of a template.
    pub(super) fn template(&mut self, template: &Template) -> &mut Vec<Entry> {
        let mut at = self.root();
        for segment in &template.segments {
            at = match segment {
                Segment::Literal(text) => self.literal(at, text.as_bytes()),
                Segment::One(_) => match self.nodes[at].one {
                    Some(next) => next as usize,
                    None => {
                        let next = self.add(at);
                        self.nodes[at].one = Some(next as u32);
                        next
                    }
                },
                Segment::Rest(_) => return &mut self.nodes[at].rest,
            };
        }
        &mut self.nodes[at].end
    }

    /// The entries of a prefix, which has no slash at its end.
    pub(super) fn prefix(&mut self, path: &str) -> &mut Vec<Entry> {
        let mut at = self.root();
        for segment in path.split('/').skip(1) {
            at = self.literal(at, segment.as_bytes());
        }
        &mut self.nodes[at].end
    }

    /// The entries of every node.
    pub(super) fn entries(&mut self) -> impl Iterator<Item = &mut Vec<Entry>> {
        self.nodes
            .iter_mut()
            .flat_map(|node| [&mut node.end, &mut node.rest])
    }

    /// Among templates: the first that fits, in the order of [`super`].
    pub(super) fn find(
        &self,
        path: &[u8],
        fits: impl Fn(&[Entry]) -> Option<u32> + Copy,
    ) -> Option<u32> {
        let root = self.nodes.first()?;
        self.search(root, path.strip_prefix(b"/"), fits)
    }

    /// Among prefixes: the longest that fits.
    pub(super) fn longest(
        &self,
        path: &[u8],
        fits: impl Fn(&[Entry]) -> Option<u32>,
    ) -> Option<u32> {
        let mut node = self.nodes.first()?;
        let mut rest = path.strip_prefix(b"/");
        while let Some(here) = rest {
            let (segment, below) = cut(here);
            let Some(&next) = node.literal.get(segment) else {
                break;
            };
            node = &self.nodes[next as usize];
            rest = below;
        }
        loop {
            let found = fits(&node.end);
            if found.is_some() || std::ptr::eq(node, &self.nodes[0]) {
                return found;
            }
            node = &self.nodes[node.parent as usize];
        }
    }

    /// `rest` is what follows the next slash; none at the end of the path.
    fn search(
        &self,
        node: &Node,
        rest: Option<&[u8]>,
        fits: impl Fn(&[Entry]) -> Option<u32> + Copy,
    ) -> Option<u32> {
        let Some(rest) = rest else {
            return fits(&node.end);
        };
        let (segment, below) = cut(rest);
        let literal = || {
            self.search(
                &self.nodes[*node.literal.get(segment)? as usize],
                below,
                fits,
            )
        };
        let one = || {
            let next = node.one.filter(|_| !segment.is_empty())?;
            self.search(&self.nodes[next as usize], below, fits)
        };
        literal().or_else(one).or_else(|| fits(&node.rest))
    }

    fn root(&mut self) -> usize {
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        0
    }

    fn literal(&mut self, at: usize, segment: &[u8]) -> usize {
        if let Some(next) = self.nodes[at].literal.get(segment) {
            return *next as usize;
        }
        let next = self.add(at);
        self.nodes[at].literal.insert(segment.into(), next as u32);
        next
    }

    fn add(&mut self, parent: usize) -> usize {
        self.nodes.push(Node {
            parent: parent as u32,
            ..Node::default()
        });
        self.nodes.len() - 1
    }
}

/// The first segment, and what follows the slash behind it.
fn cut(path: &[u8]) -> (&[u8], Option<&[u8]>) {
    match path.iter().position(|&b| b == b'/') {
        Some(at) => (&path[..at], Some(&path[at + 1..])),
        None => (path, None),
    }
}
