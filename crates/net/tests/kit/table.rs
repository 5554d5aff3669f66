//! Reads the tables of cases that `crates/wire/tests/cases` keeps: the same rows go through sockets.

/// One row: its columns, and its second line if it has one.
pub struct Row {
    pub columns: Vec<String>,
    pub then: Option<String>,
}

impl Row {
    /// What it is about.
    pub fn name(&self) -> &str {
        &self.columns[0]
    }

    /// The bytes, which are the last column.
    pub fn bytes(&self) -> Vec<u8> {
        unescape(self.columns.last().expect("columns"))
    }
}

/// The rows of a table; `#` begins a comment.
pub fn rows(text: &str) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        if let Some(then) = line.strip_prefix("  => ") {
            rows.last_mut().expect("a row before").then = Some(then.to_owned());
        } else {
            let columns = line.split(" :: ").map(str::to_owned).collect();
            rows.push(Row {
                columns,
                then: None,
            });
        }
    }
    assert!(rows.len() > 5, "the table was read");
    rows
}

/// The bytes that `text` spells with `\r \n \t \0 \\ \xNN`.
pub fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                Some(b'\\') => b'\\',
                Some(b'x') => {
                    let digits: String = rest.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&digits, 16).expect("two digits")
                }
                other => panic!("no such escape: {other:?} in {text}"),
            },
            plain => plain,
        });
    }
    bytes
}
