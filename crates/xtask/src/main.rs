//! Chores of the project.
//!
//! - `cargo run -p xtask -- gen` writes what is generated from the config's Rust structs: the JSON
//!   Schema, the TypeScript types and the reference. The same source gives the same bytes.
//! - `cargo run -p xtask -- new-filter NAME` begins a filter: its module, its two lines in the list,
//!   and its test.
//!
//! Errors: exit status 1 and what went wrong; 2 for an unknown command.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

mod new_filter;
mod page;
mod reference;
mod schema;
mod typescript;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["gen"] => generate(&root()),
        ["new-filter", name] => new_filter::write(&root(), name),
        _ => {
            eprintln!(
                "usage: cargo run -p xtask -- gen\n       cargo run -p xtask -- new-filter NAME"
            );
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn generate(root: &Path) -> io::Result<()> {
    let schema = schema::of_config();
    let headers = reference::headers(root)?;
    let edited = schema::with_variables(schema.clone());
    let text = serde_json::to_string_pretty(&edited).map_err(io::Error::other)?;
    put(
        &root.join("bindings/config.schema.json"),
        &format!("{text}\n"),
    )?;
    put(
        &root.join("ts/generated/config.ts"),
        &typescript::types(&schema),
    )?;
    put(
        &root.join("docs/reference/config.md"),
        &reference::config(&schema),
    )?;
    put(
        &root.join("docs/reference/filters.md"),
        &reference::filters(&schema, &headers),
    )
}

/// Writes a file, and says so, if that changes it.
fn put(path: &Path, text: &str) -> io::Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)?;
    println!("wrote {}", path.display());
    Ok(())
}

/// The repository's root, two folders above this crate.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new("."))
        .to_owned()
}
