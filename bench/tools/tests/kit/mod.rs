//! What tests of the programs share.

use std::process::Command;

/// The line that `load` prints for `args`, of the first window in which anything happened: on a busy machine a short
/// one may pass before the first connection is served.
#[allow(dead_code)]
pub fn load(args: &[&str]) -> String {
    let usual = ["--warmup", "0.05", "--cpus", "0"];
    let mut line = String::new();
    for secs in ["0.2", "1", "5", "20"] {
        let output = Command::new(env!("CARGO_BIN_EXE_load"))
            .args(usual)
            .args(["--secs", secs])
            .args(args)
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{output:?}");
        line = String::from_utf8(output.stdout).expect("it is text");
        if ["requests", "cut"].iter().any(|key| number(&line, key) > 0) {
            break;
        }
    }
    line
}

/// The number of `key` in a line of JSON.
pub fn number(line: &str, key: &str) -> u64 {
    let key = format!("\"{key}\":");
    let at = line
        .find(&key)
        .unwrap_or_else(|| panic!("no {key} in {line}"));
    let text = &line[at + key.len()..];
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text[..end]
        .parse()
        .unwrap_or_else(|_| panic!("{key} in {line}"))
}
