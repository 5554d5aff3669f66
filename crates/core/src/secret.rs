//! What of a request is a secret: a field and a parameter of the query that carry credentials. Logs never show
//! their values, whoever answered the request and whether a filter ever saw it.

use crate::route::same_unescaped;

/// Where requests carry a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The field, in lower case.
    pub header: Box<str>,
    /// The parameter of the query, unescaped.
    pub query: Option<Box<str>>,
}

/// What stands for a secret.
pub const HIDDEN: &[u8] = b"[redacted]";

/// The pairs of a query, each with its name and, if it has a `=`, its value, as they were sent.
pub fn pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
    query.split(|b| *b == b'&').map(|pair| {
        let end = pair.iter().position(|b| *b == b'=');
        end.map_or((pair, None), |at| (&pair[..at], Some(&pair[at + 1..])))
    })
}

/// True if a pair's name, unescaped, is `name`.
pub fn is_called(escaped: &[u8], name: &str) -> bool {
    same_unescaped(escaped, name.as_bytes())
}

/// True if the values of a field are hidden.
pub fn hides_header(secrets: &[Secret], name: &str) -> bool {
    secrets.iter().any(|s| s.header.eq_ignore_ascii_case(name))
}

/// Writes `query` into `out` with the values of secret parameters replaced. False, and nothing written, if there is none.
pub fn redact_query(secrets: &[Secret], query: &[u8], out: &mut Vec<u8>) -> bool {
    let is_secret = |name: &[u8]| {
        let mut names = secrets.iter().filter_map(|s| s.query.as_deref());
        names.any(|wanted| is_called(name, wanted))
    };
    if !pairs(query).any(|(name, _)| is_secret(name)) {
        return false;
    }
    for (i, (name, value)) in pairs(query).enumerate() {
        if i > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        let Some(value) = value else { continue };
        out.push(b'=');
        out.extend_from_slice(if is_secret(name) { HIDDEN } else { value });
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_secret_parameters_are_hidden() {
        let secrets = [
            Secret {
                header: "x-a".into(),
                query: None,
            },
            Secret {
                header: "x-b".into(),
                query: Some("key".into()),
            },
        ];
        for (query, want) in [
            ("", None),
            ("a=1&b", None),
            ("keys=1&akey=2&a=key", None),
            ("key=K", Some("key=[redacted]")),
            ("key=", Some("key=[redacted]")),
            ("key", Some("key")),
            (
                "a=1&key=K=K&b&key=L&c=",
                Some("a=1&key=[redacted]&b&key=[redacted]&c="),
            ),
            ("&k%65y=K&&", Some("&k%65y=[redacted]&&")),
        ] {
            let mut out = Vec::new();
            let hidden = redact_query(&secrets, query.as_bytes(), &mut out);
            assert_eq!(hidden, want.is_some(), "{query}");
            assert_eq!(String::from_utf8_lossy(&out), want.unwrap_or_default());
        }
        for (name, want) in [("x-a", true), ("X-B", true), ("x-ab", false)] {
            assert_eq!(hides_header(&secrets, name), want, "{name}");
        }
    }
}
