//! Request methods and HTTP versions.
//!
//! Source: RFC 9110 section 9 (methods are case-sensitive; safe and idempotent methods), RFC 5789
//! (PATCH), RFC 9112 section 2.3 (version).

/// A request method; what is not named here is [`Method::Other`], and the head keeps its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(missing_docs)] // the variants are the methods' own names
pub enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Delete,
    Patch,
    Options,
    Trace,
    Connect,
    Other,
}

impl Method {
    /// The method spelt `token`, compared case-sensitively.
    pub fn of(token: &[u8]) -> Self {
        match token {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"PATCH" => Self::Patch,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }

    /// Asks for no change on the server (RFC 9110 section 9.2.1). Unknown methods are not safe.
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    /// Twice is as once (RFC 9110 section 9.2.2). Unknown methods are not idempotent.
    pub fn is_idempotent(self) -> bool {
        self.is_safe() || matches!(self, Self::Put | Self::Delete)
    }
}

/// The HTTP version of a head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0: no chunked coding, no Host required, closes unless it says otherwise.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_case_sensitive_and_classified() {
        let cases: [(&[u8], Method, bool, bool); 12] = [
            (b"GET", Method::Get, true, true),
            (b"HEAD", Method::Head, true, true),
            (b"OPTIONS", Method::Options, true, true),
            (b"TRACE", Method::Trace, true, true),
            (b"PUT", Method::Put, false, true),
            (b"DELETE", Method::Delete, false, true),
            (b"POST", Method::Post, false, false),
            (b"PATCH", Method::Patch, false, false),
            (b"CONNECT", Method::Connect, false, false),
            (b"get", Method::Other, false, false),
            (b"QUERY", Method::Other, false, false),
            (b"", Method::Other, false, false),
        ];
        for (token, method, safe, idempotent) in cases {
            assert_eq!(Method::of(token), method, "{token:?}");
            assert_eq!(method.is_safe(), safe, "{token:?}");
            assert_eq!(method.is_idempotent(), idempotent, "{token:?}");
        }
    }
}
