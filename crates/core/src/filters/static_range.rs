//! Which bytes of a file a request wants.
//!
//! Source: RFC 9110 section 14. Ranges that cost more than they save are not answered (section 14.2): more than [`MOST`], any that
//! overlap, or more bytes than the file has; then the whole file is.

/// What a field Range asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ranges {
    /// Nothing that is answered: the whole file is sent.
    Whole,
    /// None of it is there.
    Unsatisfiable,
    /// These, as `(from, len)`, in the order in which they were asked for; at least one.
    Parts(Vec<(u64, u64)>),
}

impl Ranges {
    /// What `value` asks of a file of so many bytes. Of an empty file there are no ranges, and it is sent whole, as nginx does.
    pub fn of(value: &[u8], size: u64) -> Self {
        let Some(set) = value
            .split_at_checked(UNIT.len())
            .filter(|(unit, _)| unit.eq_ignore_ascii_case(UNIT))
            .map(|(_, set)| set)
            .filter(|set| !set.is_empty() && size > 0)
        else {
            return Self::Whole;
        };
        let mut parts: Vec<(u64, u64)> = Vec::new();
        let mut asked = 0;
        let mut sum = 0_u64;
        for spec in wire::syntax::list(set) {
            asked += 1;
            if asked > MOST {
                return Self::Whole;
            }
            let Some(part) = part(spec, size) else {
                return Self::Unsatisfiable; // it is none: nobody can know what was meant
            };
            let Some((from, len)) = part else {
                continue;
            };
            let overlaps = |&(f, l): &(u64, u64)| from < f + l && f < from + len;
            sum += len;
            if sum > size || parts.iter().any(overlaps) {
                return Self::Whole;
            }
            parts.push((from, len));
        }
        if parts.is_empty() {
            Self::Unsatisfiable
        } else {
            Self::Parts(parts)
        }
    }
}

/// `first-last`, `first-` or `-suffix`, as `(from, len)`: none if it is no range, `Some(None)` if nothing of it is there.
fn part(spec: &[u8], size: u64) -> Option<Option<(u64, u64)>> {
    let dash = spec.iter().position(|&b| b == b'-')?;
    let (first, last) = (wire::syntax::trim(&spec[..dash]), &spec[dash + 1..]);
    let last = wire::syntax::trim(last);
    if first.is_empty() {
        let len = number(last)?.min(size);
        return Some((len > 0).then(|| (size - len, len)));
    }
    let first = number(first)?;
    let last = if last.is_empty() {
        u64::MAX
    } else {
        number(last)?
    };
    if last < first {
        return None;
    }
    if first >= size {
        return Some(None);
    }
    Some(Some((first, last.min(size - 1) - first + 1)))
}

/// Beyond what fits it is as good as endless.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |n, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        Some(n.saturating_mul(10).saturating_add(digit))
    })
}

const UNIT: &[u8] = b"bytes=";
/// The most ranges of one request.
pub(super) const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_of_ten_bytes() {
        use Ranges::{Parts, Unsatisfiable, Whole};
        let parts = |all: &[(u64, u64)]| Parts(all.to_vec());
        let many = |n: u64| {
            let all: Vec<_> = (0..n).map(|i| format!("{i}-{i}")).collect();
            format!("bytes={}", all.join(","))
        };
        let cases = [
            ("bytes=0-0", parts(&[(0, 1)])),
            ("bytes=2-4", parts(&[(2, 3)])),
            ("BYTES=2-4", parts(&[(2, 3)])),
            ("bytes=2-", parts(&[(2, 8)])),
            ("bytes=0-", parts(&[(0, 10)])),
            ("bytes=0-99", parts(&[(0, 10)])),
            ("bytes=9-9", parts(&[(9, 1)])),
            ("bytes=-3", parts(&[(7, 3)])),
            ("bytes=-10", parts(&[(0, 10)])),
            ("bytes=-99", parts(&[(0, 10)])),
            ("bytes=-18446744073709551616", parts(&[(0, 10)])),
            ("bytes=0-99999999999999999999999999", parts(&[(0, 10)])),
            ("bytes=10-", Unsatisfiable),
            ("bytes=10-12", Unsatisfiable),
            ("bytes=18446744073709551615-", Unsatisfiable),
            ("bytes=99999999999999999999-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=", Whole),
            ("bytes=,", Unsatisfiable),
            ("bytes=-", Unsatisfiable),
            ("bytes=a-b", Unsatisfiable),
            ("bytes=5-2", Unsatisfiable),
            ("bytes=0-1,5-2", Unsatisfiable),
            ("bytes=+1-2", Unsatisfiable),
            ("bytes=1-2-3", Unsatisfiable),
            ("bytes=0x1-2", Unsatisfiable),
            ("bytes=1", Unsatisfiable),
            ("bytes=0-1, 4-5", parts(&[(0, 2), (4, 2)])),
            ("bytes= 4 - 5 ,\t0-1", parts(&[(4, 2), (0, 2)])),
            ("bytes=0-1,20-", parts(&[(0, 2)])),
            ("bytes=0-1,,4-5,", parts(&[(0, 2), (4, 2)])),
            ("bytes=0-4,5-9", parts(&[(0, 5), (5, 5)])),
            ("bytes=0-4,4-9", Whole),
            ("bytes=0-,0-", Whole),
            ("bytes=0-0,0-0", Whole),
            ("bytes=0-,-1", Whole),
            ("items=0-1", Whole),
            ("bytes", Whole),
            ("bytes 0-1", Whole),
            ("", Whole),
        ];
        for (value, want) in cases {
            assert_eq!(Ranges::of(value.as_bytes(), 10), want, "{value}");
        }
        let Parts(got) = Ranges::of(many(16).as_bytes(), 100) else {
            panic!("16 are answered")
        };
        assert_eq!(got.len(), 16);
        assert_eq!(Ranges::of(many(17).as_bytes(), 100), Whole);
        for value in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            assert_eq!(Ranges::of(value.as_bytes(), 0), Whole, "{value}");
        }
        assert_eq!(
            Ranges::of(b"bytes=1-", u64::MAX),
            parts(&[(1, u64::MAX - 1)])
        );
    }
}
