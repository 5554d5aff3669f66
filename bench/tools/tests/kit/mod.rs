//! What tests of the programs share.

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
