//! What the tests share: tables of cases in text files, and readers driven by pieces of any size.
#![allow(dead_code)] // each test file uses its own part

pub mod laws;

use wire::http1::{ChunkReader, Step};
use wire::{parse_request, parse_response, Head, Limits, Method, Refusal, RequestInfo};
use wire::{ResponseInfo, Scan};

/// A head that was parsed, what else it says, and how many bytes it took.
#[derive(Debug)]
pub struct Parsed<I> {
    pub info: I,
    pub head: Head,
    pub len: usize,
}

/// Feeds a request's head in pieces that end at `cuts` and at the end; `None` if it is not whole.
pub fn request(bytes: &[u8], cuts: &[usize]) -> Result<Option<Parsed<RequestInfo>>, Refusal> {
    let limits = Limits::default();
    let Some(len) = scan(bytes, cuts, &limits)? else {
        return Ok(None);
    };
    let mut head = Head::new();
    let info = parse_request(&bytes[..len], &limits, &mut head)?;
    Ok(Some(Parsed { info, head, len }))
}

/// As [`request`], for the head of the answer to a request with `method`.
pub fn response(
    bytes: &[u8],
    method: Method,
    cuts: &[usize],
) -> Result<Option<Parsed<ResponseInfo>>, Refusal> {
    let limits = Limits::default();
    let Some(len) = scan(bytes, cuts, &limits).map_err(Refusal::from_upstream)? else {
        return Ok(None);
    };
    let mut head = Head::new();
    let info = parse_response(&bytes[..len], method, &limits, &mut head)?;
    Ok(Some(Parsed { info, head, len }))
}

fn scan(bytes: &[u8], cuts: &[usize], limits: &Limits) -> Result<Option<usize>, Refusal> {
    let mut scan = Scan::default();
    for end in ends(bytes.len(), cuts) {
        if let Some(len) = scan.advance(&bytes[..end], limits)? {
            return Ok(Some(len));
        }
    }
    Ok(None)
}

/// A body that was decoded.
#[derive(Debug, PartialEq)]
pub struct Body {
    pub data: Vec<u8>,
    pub trailers: Vec<String>,
    /// Bytes up to its end; `None` if it did not end.
    pub len: Option<usize>,
}

/// Feeds a chunked body in pieces that end at `cuts` and at the end.
pub fn chunked(bytes: &[u8], cuts: &[usize], limits: &Limits) -> Result<Body, Refusal> {
    let mut reader = ChunkReader::new(limits);
    let (mut data, mut at, mut len) = (Vec::new(), 0, None);
    for end in ends(bytes.len(), cuts) {
        while at < end && len.is_none() {
            match reader.next(&bytes[at..end])? {
                Step::Data { skip, len } => {
                    assert!(len > 0, "a step of data has data");
                    data.extend_from_slice(&bytes[at + skip..at + skip + len]);
                    at += skip + len;
                }
                Step::More { consumed } => {
                    assert_eq!(consumed, end - at, "all is taken before more is asked for");
                    at = end;
                }
                Step::End { consumed } => len = Some(at + consumed),
            }
        }
    }
    let trailers = reader
        .trailers()
        .map(|head| lines(head))
        .unwrap_or_default();
    Ok(Body {
        data,
        trailers,
        len,
    })
}

/// The fields of a head as text, bytes that are none escaped.
pub fn lines(head: &Head) -> Vec<String> {
    let line = |(name, value): (&[u8], &[u8])| {
        format!("{}: {}", name.escape_ascii(), value.escape_ascii()).replace("\\\"", "\"")
    };
    head.fields().map(line).collect()
}

/// The ends of the pieces, in order, the last one at `len`.
fn ends(len: usize, cuts: &[usize]) -> Vec<usize> {
    let inside = cuts.iter().copied().filter(|&cut| cut < len);
    let mut ends: Vec<usize> = inside.chain([len]).collect();
    ends.sort_unstable();
    ends
}

/// No cut, one behind each byte, and one behind every seventh: the ways each case is fed.
pub fn ways(len: usize) -> [Vec<usize>; 3] {
    [
        Vec::new(),
        (1..len).collect(),
        (1..len).step_by(7).collect(),
    ]
}

/// One row of a table: its columns, and its second line if it has one.
pub struct Row<'a> {
    pub columns: Vec<&'a str>,
    pub then: Option<&'a str>,
}

impl Row<'_> {
    /// What the row is about.
    pub fn name(&self) -> &str {
        self.columns[0]
    }

    /// The bytes, which are the last column.
    pub fn bytes(&self) -> Vec<u8> {
        unescape(self.columns[self.columns.len() - 1])
    }
}

/// The rows of a table of cases; `#` begins a comment line.
pub fn table(text: &str) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        if let Some(then) = line.strip_prefix("  => ") {
            rows.last_mut().expect("a row before its second line").then = Some(then);
        } else {
            let columns = line.split(" :: ").collect();
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
                    let digits = [rest.next(), rest.next()].map(|d| d.expect("two digits"));
                    let digits = std::str::from_utf8(&digits).expect("digits");
                    u8::from_str_radix(digits, 16).expect("digits")
                }
                other => panic!("no such escape: {other:?} in {text}"),
            },
            plain => plain,
        });
    }
    bytes
}
