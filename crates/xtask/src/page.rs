//! One page of the reference: tables of keys, and the values that they take.
//!
//! Tables are aligned as the project's formatter aligns them, so that it leaves the pages alone.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

use serde_json::Value;

use crate::schema::{
    alternatives, choices, definitions, keys, kind, link, resolve, text, values_of_map,
};

/// A page in the making.
pub struct Page<'a> {
    /// What is written so far.
    pub out: String,
    root: &'a Value,
    /// Objects that wait for a table of their own, and where in the config they are.
    waiting: VecDeque<(String, &'a Value)>,
    /// Those that had one, so that an object used by several keys is described once.
    seen: Vec<*const Value>,
    /// Names of values that the tables link to.
    values: BTreeSet<&'a str>,
}

impl<'a> Page<'a> {
    /// A page that begins with `intro`.
    pub fn new(root: &'a Value, intro: &str) -> Self {
        Self {
            out: format!("{MARK}\n\n{intro}"),
            root,
            waiting: VecDeque::new(),
            seen: Vec::new(),
            values: BTreeSet::new(),
        }
    }

    /// Asks for a table of `object`, unless there is one.
    pub fn open(&mut self, path: String, object: &'a Value) {
        let place = std::ptr::from_ref(object);
        if !self.seen.contains(&place) {
            self.seen.push(place);
            self.waiting.push_back((path, object));
        }
    }

    /// The next object that wants a table, and its path.
    pub fn next(&mut self) -> Option<(String, &'a Value)> {
        self.waiting.pop_front()
    }

    /// A table of the keys of the object at `path`.
    pub fn table(&mut self, object: &'a Value, path: &str) {
        let mut rows = vec![["key", "value", "default", "what it is"].map(str::to_owned)];
        for (key, value, required) in keys(object) {
            if key == "use" {
                continue;
            }
            let inside = if path.is_empty() {
                key.to_owned()
            } else {
                format!("{path}.{key}")
            };
            let kind = self.value(value, &inside);
            let (what, said) = split_default(text(value));
            let what = if what.is_empty() {
                flow(text(resolve(self.root, value)))
            } else {
                what
            };
            let default = match (required, said, default(value)) {
                (true, ..) => "required".to_owned(),
                (_, _, Some(written)) => written,
                (_, Some(said), None) => said,
                (_, None, None) if value.get("default").is_some_and(Value::is_object) => {
                    "as below".to_owned()
                }
                (_, None, None) => "none".to_owned(),
            };
            rows.push(
                [format!("`{key}`"), kind, default, what].map(|cell| cell.replace('|', "\\|")),
            );
        }
        if rows.len() > 1 {
            self.out.push('\n');
            self.out.push_str(&aligned(&rows));
        }
    }

    /// A section for the values that the tables named; `heads` tells names whose heading is taken.
    pub fn explain(&mut self, title: &str, heads: impl Fn(&str) -> bool) {
        let values = std::mem::take(&mut self.values);
        // Writing to a text does not fail.
        let _ = write!(self.out, "\n{title}\n");
        for name in values {
            assert!(!heads(&name.to_lowercase()), "{name} has two headings");
            let definition = &definitions(self.root)[name];
            let _ = write!(self.out, "\n### {name}\n\n{}\n", flow(text(definition)));
            let words = choices(definition).unwrap_or_default();
            if !words.is_empty() {
                self.out.push('\n');
            }
            for (word, meaning) in words {
                let word = word.as_str().unwrap_or_default();
                let _ = writeln!(self.out, "- `{word}`: {}", flow(meaning));
            }
        }
    }

    /// What a value is, in words; what needs more words is put aside for later.
    fn value(&mut self, schema: &'a Value, path: &str) -> String {
        let there = resolve(self.root, schema);
        let first = there.get("oneOf").and_then(|any| any.get(0));
        if first.is_some_and(|s| uses(resolve(self.root, s), "")) {
            return "[filter](filters.md)".to_owned();
        }
        if there.get("properties").is_some() {
            self.open(path.to_owned(), there);
            return "object".to_owned();
        }
        if let Some(name) = link(schema) {
            if choices(there).is_some() || kind(there) == Some("string") {
                self.values.insert(name);
                return format!("[{name}](#{})", name.to_lowercase());
            }
        }
        if let Some(word) = there.get("const") {
            let word = word
                .as_str()
                .map_or_else(|| word.to_string(), str::to_owned);
            return format!("`{word}`");
        }
        if let Some(any) = alternatives(there) {
            let any: Vec<String> = any.into_iter().map(|s| self.value(s, path)).collect();
            return any.join(" or ");
        }
        match kind(there) {
            Some("string") => "text".to_owned(),
            Some("boolean") => "`true` or `false`".to_owned(),
            Some("integer") => match (there.get("minimum"), there.get("maximum")) {
                (Some(least), Some(most)) => format!("whole number, {least} to {most}"),
                _ => "whole number".to_owned(),
            },
            Some("number") => "number".to_owned(),
            Some("array") => match there.get("items") {
                Some(item) => format!("list of {}", self.value(item, &format!("{path}[]"))),
                None => "list".to_owned(),
            },
            Some("object") => match values_of_map(there) {
                Some(item) => format!("names, each with {}", self.value(item, path)),
                None => "object".to_owned(),
            },
            _ => "any value".to_owned(),
        }
    }
}

/// True if `schema` is the config of the filter `name`; of any filter for no name.
pub fn uses(schema: &Value, name: &str) -> bool {
    let properties = schema.get("properties");
    let word = properties.and_then(|p| p.get("use")?.get("const")?.as_str());
    word.is_some_and(|word| name.is_empty() || word == name)
}

/// One line.
pub fn flow(text: &str) -> String {
    link_free(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Links of Rust's documentation are plain words here.
pub fn link_free(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`")
}

/// With a capital at its front.
pub fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.collect::<String>() + letters.as_str()
}

/// The default as it would be written; none for what is better said in words.
fn default(schema: &Value) -> Option<String> {
    match schema.get("default")? {
        Value::Null | Value::Object(_) | Value::Array(_) => None,
        Value::String(text) => Some(format!("`{text}`")),
        other => Some(format!("`{other}`")),
    }
}

/// `What it is. Default: none.` as its two halves; the word `Required.` is left out.
fn split_default(text: &str) -> (String, Option<String>) {
    let text = flow(text);
    let text = text.trim_end().trim_end_matches(" Required.");
    match text.rsplit_once("Default: ") {
        Some((what, said)) => {
            let said = said.trim_end_matches('.').to_owned();
            (what.trim().to_owned(), Some(said))
        }
        None => (text.to_owned(), None),
    }
}

fn aligned(rows: &[[String; 4]]) -> String {
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.max().unwrap_or(0).max(3)
    };
    let widths: Vec<usize> = (0..4).map(width).collect();
    let mut out = String::new();
    for (place, row) in rows.iter().enumerate() {
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(out, "| {cell:width$} ");
        }
        out.push_str("|\n");
        if place == 0 {
            for width in &widths {
                let _ = write!(out, "| {} ", "-".repeat(*width));
            }
            out.push_str("|\n");
        }
    }
    out
}

const MARK: &str = "<!-- Generated by `npm run gen` from the sources. Do not edit. -->";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "b", "c", "d"], ["`aä`", "", "12345", "x"]];
        let rows = rows.map(|row| row.map(str::to_owned));
        assert_eq!(
            aligned(&rows),
            "| a    | b   | c     | d   |\n| ---- | --- | ----- | --- |\n| `aä` |     | 12345 | x   |\n"
        );
    }

    #[test]
    fn a_default_that_is_said_stands_in_its_column() {
        for (text, what, said) in [
            ("A b.\nc. Default: as\nmuch.", "A b. c.", Some("as much")),
            ("A. Required.", "A.", None),
            ("A.", "A.", None),
        ] {
            let want = (what.to_owned(), said.map(str::to_owned));
            assert_eq!(split_default(text), want, "{text}");
        }
    }
}
