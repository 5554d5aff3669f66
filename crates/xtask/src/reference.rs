//! The reference of the config and of the filters, in Markdown.
//!
//! Everything comes from the schema, and from the header of each filter's file.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use gateway_core::filters::NAMES;
use serde_json::Value;

use crate::page::{capital, flow, link_free, uses, Page};
use crate::schema::{definitions, text};

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
    let mut page = Page::new(
        schema,
        "# Config\n\nYAML, JSON or TypeScript. Every key that is not listed here is a fault, and all faults of a \
         config are reported at once. Filters have [a page of their own](filters.md).\n",
    );
    page.open(String::new(), schema);
    while let Some((path, object)) = page.next() {
        let title = match path.as_str() {
            "" => "The whole file".to_owned(),
            path => format!("`{path}`"),
        };
        // Writing to a text does not fail.
        let _ = write!(page.out, "\n## {title}\n\n{}\n", flow(text(object)));
        page.table(object, &path);
    }
    page.explain("## Values", |_| false);
    page.out
}

/// A section for each filter: what it does, from its file's header, and its keys.
pub fn filters(schema: &Value, headers: &[(&str, String)]) -> String {
    let mut page = Page::new(
        schema,
        "# Filters\n\nRequests pass a route's `filters` in their order, responses in reverse. `use` names the filter; \
         the other keys are its own.\n",
    );
    for (name, header) in headers {
        let (summary, rest) = header.split_once('\n').unwrap_or((header, ""));
        let summary = summary.split_once(": ").map_or(summary, |(_, text)| text);
        let _ = write!(page.out, "\n## {name}\n\n{}\n\n", capital(summary));
        for (word, says) in labelled(rest) {
            let _ = writeln!(page.out, "- **{word}**: {}", link_free(&says));
        }
        if let Some(definition) = definitions(schema).values().find(|s| uses(s, name)) {
            page.open(String::new(), definition);
        }
        while let Some((path, object)) = page.next() {
            if !path.is_empty() {
                let _ = write!(page.out, "\n`{path}`: {}\n", flow(text(object)));
            }
            page.table(object, &path);
        }
    }
    page.explain("## Values", |name| NAMES.contains(&name));
    page.out
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

const LABELS: [&str; 6] = ["Config", "Reads", "Asks", "Replies", "Fails", "Source"];

#[cfg(test)]
mod tests {
    use super::*;

    fn pages() -> [String; 2] {
        let schema = crate::schema::of_config();
        let headers = headers(&crate::root()).expect("the filters' sources");
        [config(&schema), filters(&schema, &headers)]
    }

    #[test]
    fn a_header_is_taken_apart() {
        let pairs = labelled("\nConfig:  `{ use: x }`\nFails:   never: not\n         once.\n");
        let want = [("Config", "`{ use: x }`"), ("Fails", "never: not once.")];
        assert_eq!(pairs, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn every_filter_has_its_section_with_all_labels() {
        let [_, page] = pages();
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
    fn every_key_says_what_it_is_and_every_link_leads_somewhere() {
        for page in pages() {
            for row in page.lines().filter(|line| line.starts_with("| `")) {
                let cells: Vec<&str> = row.split(" | ").map(str::trim).collect();
                let all = cells.len() >= 4 && cells.iter().all(|cell| !matches!(*cell, "" | "|"));
                assert!(all, "{row}");
            }
            for link in page.split("](#").skip(1) {
                let anchor = link.split(')').next().unwrap_or_default();
                let leads =
                    |line: &str| line.trim_start_matches('#').trim().to_lowercase() == anchor;
                let headings = page.lines().filter(|line| line.starts_with('#'));
                assert!(headings.into_iter().any(leads), "{anchor}");
            }
        }
    }
}
