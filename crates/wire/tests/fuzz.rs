//! Mutates a kept corpus and holds every mutant against the laws of `kit::laws`.
//!
//! The seed is fixed, so a run is repeatable: a failure names the seed, the round and the bytes. To
//! search further, set `WIRE_FUZZ_SEED` and `WIRE_FUZZ_ROUNDS`. An input that once failed is kept as
//! a file in `corpus/`.

mod kit;

use kit::laws::{chunked_law, forwarded_law, proxy_law, request_law, response_law};
use kit::table;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use wire::Method;

const SEED: u64 = 0x5eed_0001;
const ROUNDS: u64 = 50_000;

#[test]
fn requests() {
    let corpus = corpus("request", include_str!("cases/requests_accepted.txt"));
    fuzz(&corpus, request_law);
}

#[test]
fn responses() {
    let corpus = corpus("response", include_str!("cases/responses_accepted.txt"));
    let methods = [Method::Get, Method::Head, Method::Connect];
    fuzz(&corpus, |bytes, cuts| {
        let method = methods[cuts.first().copied().unwrap_or(0) % 3];
        response_law(bytes, method, cuts);
    });
}

#[test]
fn bodies() {
    let corpus = corpus("chunked", include_str!("cases/chunked_accepted.txt"));
    fuzz(&corpus, chunked_law);
}

#[test]
fn proxy_headers_and_forwarding_fields() {
    let corpus = corpus("proxy", "");
    fuzz(&corpus, |bytes, _| {
        proxy_law(bytes);
        forwarded_law(bytes);
    });
}

/// The files of one folder of the corpus, and the rows of a table.
fn corpus(folder: &str, cases: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(folder);
    let files = std::fs::read_dir(&path).expect("the corpus");
    let mut paths: Vec<_> = files.map(|f| f.expect("a file").path()).collect();
    paths.sort(); // the order of a folder is not the same everywhere
    let read = |p: &std::path::PathBuf| std::fs::read(p).expect("a file");
    let mut corpus: Vec<Vec<u8>> = paths.iter().map(read).collect();
    assert!(corpus.len() >= 5, "{} was read", path.display());
    if !cases.is_empty() {
        corpus.extend(table(cases).iter().map(kit::Row::bytes));
    }
    corpus
}

fn fuzz(corpus: &[Vec<u8>], law: impl Fn(&[u8], &[usize])) {
    let number = |name: &str, default: u64| {
        let text = std::env::var(name).ok();
        text.map_or(default, |t| t.parse().expect("a decimal number"))
    };
    let (seed, rounds) = (
        number("WIRE_FUZZ_SEED", SEED),
        number("WIRE_FUZZ_ROUNDS", ROUNDS),
    );
    let mut random = Random(seed);
    for round in 0..rounds {
        let mut bytes = corpus[random.below(corpus.len())].clone();
        // The first rounds run the corpus as it is.
        if let Some(kept) = usize::try_from(round).ok().and_then(|r| corpus.get(r)) {
            bytes.clone_from(kept);
        } else {
            for _ in 0..=random.below(3) {
                mutate(&mut bytes, corpus, &mut random);
            }
        }
        bytes.truncate(LONGEST);
        let cuts: Vec<usize> = match random.below(4) {
            0 => (1..bytes.len()).collect(),
            most => (0..most).map(|_| random.below(bytes.len() + 1)).collect(),
        };
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| law(&bytes, &cuts))) {
            let bytes = bytes.escape_ascii();
            eprintln!("seed {seed}, round {round}, cuts {cuts:?}, bytes: {bytes}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len() + 1);
    let end = (at + 1 + random.below(8)).min(bytes.len());
    match random.below(8) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        1 if at < bytes.len() => bytes[at] = random.below(256) as u8,
        2 => drop(bytes.drain(at..end)),
        3 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        4 => {
            let other = &corpus[random.below(corpus.len())];
            let from = random.below(other.len() + 1);
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        5 => {
            // One more line, taken from another input.
            let other = &corpus[random.below(corpus.len())];
            let lines: Vec<&[u8]> = other.split_inclusive(|&b| b == b'\n').collect();
            let starts: Vec<usize> = memchr::memchr_iter(b'\n', bytes).map(|i| i + 1).collect();
            if let (false, false) = (lines.is_empty(), starts.is_empty()) {
                let start = starts[random.below(starts.len())];
                let line = lines[random.below(lines.len())];
                bytes.splice(start..start, line.iter().copied());
            }
        }
        _ => {
            let word = WORDS[random.below(WORDS.len())];
            bytes.splice(at..end.min(at + random.below(3)), word.iter().copied());
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// A mutant is cut here.
const LONGEST: usize = 4096;

const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\r",
    b"\n",
    b"\r\n\r\n",
    b"\r\n ",
    b": ",
    b":",
    b" ",
    b"\t",
    b"\0",
    b",",
    b";",
    b"\"",
    b"\\",
    b"=",
    b"0",
    b"0\r\n\r\n",
    b"ffffffffffffffff",
    b"%2e",
    b"%2f",
    b"%",
    b"/../",
    b"//",
    b"..;",
    b"?",
    b"#",
    b"*",
    b"http://a",
    b"chunked",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Host: a\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: x\r\n",
    b"Expect: 100-continue\r\n",
    b"TE: trailers\r\n",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"OPTIONS ",
    b"CONNECT ",
    b"101",
    b"204",
    b"304",
    b"\x80",
    b"\xff",
    b"for=1.2.3.4",
    b"[::1]",
];
