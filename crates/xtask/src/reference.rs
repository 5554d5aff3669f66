//! The reference of the config and of the filters, in Markdown.
//!
//! Everything comes from the schema, and from the header of each filter's file.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use gateway_core::filters::NAMES;
use serde_json::Value;

use crate::schema::{alternatives, choices, definitions, keys, kind, link, resolve, text};

/// The header of each filter's file, by the filter's name.
pub fn headers(root: &Path) -> io::Result<Vec<(&'static str, String)>> {
    let read = |name: &&'static str| {
        let path = root.join(format!("crates/core/src/filters/{name}.rs"));
        let source = fs::read_to_string(&path)?;
        let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
        let header: Vec<&str> = lines
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        Ok((*name, header.join("\n")))
    };
    NAMES.iter().map(read).collect()
}

/// The keys of the config, a section for each object.
pub fn config(schema: &Value) -> String {
    let mut out = format!(
        "{MARK}\n\n# Config\n\nYAML, JSON or TypeScript. Every key that is not listed here is a fault, and all faults \
         of a config are reported at once. Filters have [a page of their own](filters.md).\n"
    );
    let mut values = BTreeSet::new();
    let mut open = vec![("the whole file".to_owned(), schema)];
    let mut at = 0;
    while let Some((path, object)) = open.get(at).cloned() {
        section(&mut out, schema, &path, object, &mut values, &mut open);
        at += 1;
    }
    out.push_str("\n## Values\n");
    for name in values {
        let definition = &definitions(schema)[&name];
        // Writing to a text does not fail.
        let _ = write!(out, "\n### {name}\n\n{}\n", flow(text(definition)));
        let words = choices(definition).unwrap_or_default();
        if !words.is_empty() {
            out.push('\n');
        }
        for (word, meaning) in words {
            let _ = writeln!(
                out,
                "- `{}`: {}",
                word.as_str().unwrap_or_default(),
                flow(meaning)
            );
        }
    }
    out
}

/// A section for each filter: what it does, from its file's header, and its keys.
pub fn filters(schema: &Value, headers: &[(&str, String)]) -> String {
    let mut out = format!(
        "{MARK}\n\n# Filters\n\nRequests pass a route's `filters` in their order, responses in reverse. `use` names \
         the filter; the other keys are its own. Values such as `30s` are described [with the config](config.md#values).\n"
    );
    for (name, header) in headers {
        let (summary, rest) = header.split_once('\n').unwrap_or((header, ""));
        let summary = summary.split_once(": ").map_or(summary, |(_, text)| text);
        let _ = write!(out, "\n## {name}\n\n{}\n\n", capital(summary));
        for (word, says) in labelled(rest) {
            let _ = writeln!(out, "- **{word}**: {}", link_free(&says));
        }
        let definition = definitions(schema).values().find(|s| uses(s, name));
        if let Some(definition) = definition {
            let mut nested = vec![(String::new(), definition)];
            let mut at = 0;
            while let Some((path, object)) = nested.get(at).cloned() {
                if !path.is_empty() {
                    let _ = write!(out, "\n`{path}`: {}\n", flow(text(object)));
                }
                let mut values = BTreeSet::new();
                let from = nested.len();
                table(
                    &mut out,
                    schema,
                    object,
                    "config.md",
                    &mut values,
                    &path,
                    &mut nested,
                );
                // An object that is used by several keys is described once.
                let mut seen: Vec<*const Value> = nested[..from]
                    .iter()
                    .map(|(_, s)| std::ptr::from_ref(*s))
                    .collect();
                let mut kept = nested.split_off(from);
                kept.retain(|(_, s)| {
                    let new = !seen.contains(&std::ptr::from_ref(*s));
                    seen.push(*s);
                    new
                });
                nested.extend(kept);
                at += 1;
            }
        }
    }
    out
}

fn section<'a>(
    out: &mut String,
    root: &'a Value,
    path: &str,
    object: &'a Value,
    values: &mut BTreeSet<String>,
    open: &mut Vec<(String, &'a Value)>,
) {
    let (title, inside) = if path.starts_with("the ") {
        (path.to_owned(), "")
    } else {
        (format!("`{path}`"), path)
    };
    let _ = write!(out, "\n## {}\n\n{}\n", capital(&title), flow(text(object)));
    table(out, root, object, "", values, inside, open);
}

/// A row for each key. `open` takes the objects that need a table of their own, `values` the names of
/// values that need an explanation; `page` is where that is found.
fn table<'a>(
    out: &mut String,
    root: &'a Value,
    object: &'a Value,
    page: &str,
    values: &mut BTreeSet<String>,
    path: &str,
    open: &mut Vec<(String, &'a Value)>,
) {
    let rows: Vec<_> = keys(object)
        .into_iter()
        .filter(|(key, ..)| *key != "use")
        .collect();
    if rows.is_empty() {
        return;
    }
    out.push_str("\n| key | value | default | what it is |\n| --- | --- | --- | --- |\n");
    for (key, value, required) in rows {
        let inside = if path.is_empty() {
            key.to_owned()
        } else {
            format!("{path}.{key}")
        };
        let kind = value_of(root, value, page, values, &inside, open);
        let (what, said) = split_default(text(value));
        let what = if what.is_empty() {
            text(resolve(root, value))
        } else {
            &what
        };
        let default = match (required, default(value), said) {
            (true, ..) => "required".to_owned(),
            (_, Some(json), _) => json,
            (_, None, Some(said)) => said,
            (_, None, None) => "none".to_owned(),
        };
        let _ = writeln!(
            out,
            "| `{key}` | {} | {} | {} |",
            cell(&kind),
            cell(&default),
            cell(&flow(what))
        );
    }
}

fn value_of<'a>(
    root: &'a Value,
    schema: &'a Value,
    page: &str,
    values: &mut BTreeSet<String>,
    path: &str,
    open: &mut Vec<(String, &'a Value)>,
) -> String {
    let there = resolve(root, schema);
    if there
        .get("oneOf")
        .and_then(|any| any.get(0))
        .is_some_and(|s| uses(resolve(root, s), ""))
    {
        return "[filter](filters.md)".to_owned();
    }
    if there.get("properties").is_some() {
        open.push((path.to_owned(), there));
        return "object".to_owned();
    }
    if let Some(name) = link(schema) {
        if choices(there).is_some() || kind(there) == Some("string") {
            values.insert(name.to_owned());
            return format!("[{name}]({page}#{})", name.to_lowercase());
        }
    }
    if let Some(word) = there.get("const") {
        return format!(
            "`{}`",
            word.as_str()
                .map_or_else(|| word.to_string(), str::to_owned)
        );
    }
    if let Some(words) = choices(there) {
        let words: Vec<String> = words
            .iter()
            .map(|(w, _)| format!("`{}`", w.as_str().unwrap_or_default()))
            .collect();
        return words.join(" or ");
    }
    if let Some(any) = alternatives(there) {
        let any: Vec<String> = any
            .into_iter()
            .map(|s| value_of(root, s, page, values, path, open))
            .collect();
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
            Some(item) => format!(
                "list of {}",
                value_of(root, item, page, values, &format!("{path}[]"), open)
            ),
            None => "list".to_owned(),
        },
        Some("object") => match there.get("additionalProperties").filter(|s| s.is_object()) {
            Some(item) => format!(
                "names, each with {}",
                value_of(root, item, page, values, path, open)
            ),
            None => "object".to_owned(),
        },
        _ => "any value".to_owned(),
    }
}

/// The default as it would be written; none where the text says it better.
fn default(schema: &Value) -> Option<String> {
    match schema.get("default")? {
        Value::Null => None,
        Value::Object(_) => Some("see there".to_owned()),
        Value::Array(items) if items.is_empty() => None,
        Value::String(text) => Some(format!("`{text}`")),
        other => Some(format!("`{other}`")),
    }
    .filter(|said| {
        said != "see there" || !schema["default"].as_object().is_some_and(|m| m.is_empty())
    })
}

/// `What it is. Default: none.` as its two halves; the word `Required.` is left out.
fn split_default(text: &str) -> (String, Option<String>) {
    let text = flow(text);
    let text = text.trim_end().trim_end_matches(" Required.");
    match text.rsplit_once("Default: ") {
        Some((what, said)) => (
            what.trim().to_owned(),
            Some(said.trim_end_matches('.').to_owned()),
        ),
        None => (text.to_owned(), None),
    }
}

/// True if `schema` is the config of the filter `name`; of any filter for no name.
fn uses(schema: &Value, name: &str) -> bool {
    let word = schema
        .get("properties")
        .and_then(|p| p.get("use")?.get("const")?.as_str());
    word.is_some_and(|word| name.is_empty() || word == name)
}

/// `Config: ...` and its continuations, as pairs.
fn labelled(header: &str) -> Vec<(String, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for line in header.lines() {
        let head = line
            .split_once(':')
            .filter(|(word, _)| LABELS.contains(word));
        match (head, pairs.last_mut()) {
            (Some((word, says)), _) => pairs.push((word.to_owned(), says.trim().to_owned())),
            (None, Some((_, says))) if !line.trim().is_empty() => {
                says.push(' ');
                says.push_str(line.trim());
            }
            _ => {}
        }
    }
    pairs
}

/// One line.
fn flow(text: &str) -> String {
    link_free(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// Links of Rust's documentation are plain words here.
fn link_free(text: &str) -> String {
    text.replace("[`", "`").replace("`]", "`")
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}

const MARK: &str = "<!-- Generated by `npm run gen` from the sources. Do not edit. -->";
const LABELS: [&str; 6] = ["Config", "Reads", "Asks", "Replies", "Fails", "Source"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_taken_apart() {
        let pairs = labelled("\nConfig:  `{ use: x }`\nFails:   never: not\n         once.\n");
        let want = [("Config", "`{ use: x }`"), ("Fails", "never: not once.")];
        assert_eq!(pairs, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn every_filter_has_its_section_with_all_labels() {
        let root = crate::root();
        let schema = crate::schema::of_config();
        let page = filters(&schema, &headers(&root).expect("the filters' sources"));
        for name in NAMES {
            let (_, section) = page.split_once(&format!("\n## {name}\n")).expect(name);
            let section = section.split("\n## ").next().unwrap_or_default();
            for label in LABELS {
                assert!(
                    section.contains(&format!("**{label}**")),
                    "{name} lacks {label}"
                );
            }
        }
    }

    #[test]
    fn every_key_has_its_words() {
        for page in [config(&crate::schema::of_config())] {
            let rows = page.lines().filter(|line| line.starts_with("| `"));
            for row in rows {
                assert!(!row.ends_with("|  |"), "{row}");
            }
        }
    }
}
