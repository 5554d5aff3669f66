//! `new-filter NAME`: a module with the form of a filter, its two lines in `filters/mod.rs`, and a
//! test that fails until it says what must hold.
//!
//! Errors: a name that is not one, or that is taken; nothing is written then.

use std::path::Path;
use std::{fs, io};

/// Begins the filter called `name`.
pub fn write(root: &Path, name: &str) -> io::Result<()> {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    if !name.starts_with(|c: char| c.is_ascii_lowercase())
        || !name.bytes().all(fits)
        || name.ends_with('_')
    {
        return Err(io::Error::other(format!(
            "{name:?} is no name: write it in snake_case, such as body_limit"
        )));
    }
    let folder = root.join("crates/core/src/filters");
    let module = folder.join(format!("{name}.rs"));
    let test = root.join(format!("test/filters/{name}.test.ts"));
    if let Some(taken) = [&module, &test].into_iter().find(|path| path.exists()) {
        return Err(io::Error::other(format!(
            "{} is there already",
            taken.display()
        )));
    }
    let list = folder.join("mod.rs");
    let listed = enlist(&fs::read_to_string(&list)?, name).ok_or_else(|| {
        io::Error::other(
            "filters/mod.rs has no block of `mod NAME;` lines, or no `filters! {` block",
        )
    })?;
    crate::put(&module, &fill(MODULE, name))?;
    crate::put(&list, &listed)?;
    crate::put(&test, &fill(TEST, name))
}

/// The list with the filter's two lines, each where the alphabet puts it.
fn enlist(source: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = source.lines().collect();
    let first_mod = lines.iter().position(|line| line.starts_with("mod "))?;
    let block = lines.iter().position(|line| *line == "filters! {")?;
    let end = block + lines[block..].iter().position(|line| *line == "}")?;
    let module = format!("mod {name};");
    // An attribute belongs to the line behind it, so the block of modules ends before one.
    let at_mod = (first_mod..block)
        .find(|&i| !lines[i].starts_with("mod ") || lines[i] > module.as_str())?;
    let entry = format!("    {name} => {},", camel(name));
    let at_entry = (block + 1..=end).find(|&i| i == end || lines[i] > entry.as_str())?;
    let mut out: Vec<&str> = lines.clone();
    out.insert(at_entry, &entry);
    out.insert(at_mod, &module);
    Some(out.join("\n") + "\n")
}

fn fill(form: &str, name: &str) -> String {
    form.replace("NAME", name).replace("TYPE", &camel(name))
}

fn camel(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_')
        .filter(|word| !word.is_empty())
        .map(capital)
        .collect()
}

const MODULE: &str = r#"//! NAME: what it does to a request, in one sentence.
//!
//! Config:  `{ use: NAME }`
//! Reads:   what it looks at.
//! Asks:    nothing.
//! Replies: nothing.
//! Fails:   what happens then.
//! Source:  the RFC or paper.

use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::Build;
use crate::filter::{Cx, Filter, Needs, Verdict};

/// What it does to a request, in one sentence.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {}

/// The filter.
pub struct TYPE {}

impl TYPE {
    /// From its config.
    pub fn build(_: Config, _: &mut Build<'_>) -> Option<Self> {
        Some(Self {})
    }
}

impl Filter for TYPE {
    fn needs(&self) -> Needs {
        Needs { request: true, ..Needs::default() }
    }

    fn on_request(&self, _: &mut Cx<'_>, _: &mut Head) -> Verdict {
        Verdict::Next
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_must_hold() {
        panic!("say what NAME must do, as a table of requests and verdicts");
    }
}
"#;

const TEST: &str = r"/**
 * NAME: what it does to real requests.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gateway } from '../kit/gateway.js';

test('what must hold', async (t) => {
  const routes = [{ name: 'all', filters: [{ use: 'NAME' as const }, { use: 'respond' as const }] }];
  const { get } = await gateway(t, { routes });
  assert.equal((await get('/')).status, 200);
  assert.fail('say what NAME must do');
});
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_stand_where_the_alphabet_puts_them() {
        let source = "use a;\n\nmod body;\nmod rate;\n#[cfg(test)]\nmod trial;\n\nfilters! {\n    body => Body,\n    rate => Rate,\n}\n";
        for (name, want) in [
            ("cache", "mod body;\nmod cache;\nmod rate;"),
            ("a_b", "mod a_b;\nmod body;"),
            ("zip", "mod rate;\nmod zip;\n#[cfg(test)]\nmod trial;"),
            ("zip", "    rate => Rate,\n    zip => Zip,\n}"),
            ("a_b", "filters! {\n    a_b => AB,\n    body => Body,"),
        ] {
            let listed = enlist(source, name).expect("a list");
            assert!(listed.contains(want), "{listed}");
        }
    }

    #[test]
    fn a_name_that_is_taken_or_none_is_refused() {
        for name in ["", "Cache", "1a", "a-b", "a_", "../x", "rate_limit"] {
            assert!(write(&crate::root(), name).is_err(), "{name}");
        }
    }
}
