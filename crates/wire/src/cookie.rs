//! Reads one cookie of a request.
//!
//! Source: RFC 6265 sections 4.2 and 5.4. Names are case-sensitive; where a name occurs twice the
//! first counts, as in most servers. Quotes around a value belong to it.

use crate::head::Head;
use crate::name::Name;
use crate::syntax::trim;

/// The value of the first cookie called `name`.
pub fn cookie<'a>(head: &'a Head, name: &[u8]) -> Option<&'a [u8]> {
    head.get_all(Name::Cookie)
        .find_map(|line| value(line, name))
}

fn value<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    line.split(|&b| b == b';').find_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        (trim(&pair[..at]) == name).then(|| trim(&pair[at + 1..]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_that_name() {
        let mut head = Head::new();
        head.start_request(b"GET", b"/", b"a");
        head.add(b"Cookie", b"a=1; b=x=y;c=\"q\";; d ; e=").unwrap();
        head.add(b"cookie", b"a=2; f=6").unwrap();
        let cases: [(&[u8], Option<&[u8]>); 9] = [
            (b"a", Some(b"1")),
            (b"b", Some(b"x=y")),
            (b"c", Some(b"\"q\"")),
            (b"d", None),
            (b"e", Some(b"")),
            (b"f", Some(b"6")),
            (b"A", None),
            (b"x", None),
            (b"", None),
        ];
        for (name, value) in cases {
            assert_eq!(cookie(&head, name), value, "{name:?}");
        }
    }
}
