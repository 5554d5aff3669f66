//! Command-line arguments of the form `--name value` and `--flag`.
//!
//! Errors: an argument that nobody asked for, a missing value and a value that does not parse all
//! end the program with status 2 and the program's usage line.

use std::fmt::Display;
use std::str::FromStr;

/// The arguments not yet taken, and the usage line to show when one is wrong.
pub struct Args {
    rest: Vec<String>,
    usage: &'static str,
}

impl Args {
    /// The arguments of this process.
    pub fn new(usage: &'static str) -> Self {
        Self {
            rest: std::env::args().skip(1).collect(),
            usage,
        }
    }

    /// Takes `--name value`.
    pub fn value<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        let at = self.rest.iter().position(|arg| arg == name)?;
        if at + 1 >= self.rest.len() {
            self.fail(&format!("{name} needs a value"));
        }
        let text = self.rest.remove(at + 1);
        self.rest.remove(at);
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => self.fail(&format!("{name} {text}: {error}")),
        }
    }

    /// Takes `--name value` that must be there.
    pub fn required<T: FromStr<Err: Display>>(&mut self, name: &str) -> T {
        match self.value(name) {
            Some(value) => value,
            None => self.fail(&format!("{name} is missing")),
        }
    }

    /// Takes `--name a,b,c`; empty when absent.
    pub fn list<T: FromStr<Err: Display>>(&mut self, name: &str) -> Vec<T> {
        let text: String = self.value(name).unwrap_or_default();
        let mut items = Vec::new();
        for item in text.split(',').filter(|item| !item.is_empty()) {
            match item.parse() {
                Ok(item) => items.push(item),
                Err(error) => self.fail(&format!("{name} {item}: {error}")),
            }
        }
        items
    }

    /// Takes `--name`.
    pub fn flag(&mut self, name: &str) -> bool {
        let at = self.rest.iter().position(|arg| arg == name);
        at.map(|at| self.rest.remove(at)).is_some()
    }

    /// Refuses whatever nobody took.
    pub fn finish(self) {
        if let Some(first) = self.rest.first() {
            self.fail(&format!("unknown argument {first}"));
        }
    }

    fn fail(&self, why: &str) -> ! {
        eprintln!("{why}\nusage: {}", self.usage);
        std::process::exit(2);
    }
}
