//! Field names that are known by number, so that a look-up compares one byte, not a string.
//!
//! Source: the IANA registry of HTTP field names; RFC 9110 section 5.1 (case-insensitive).
//! Bound:  at most 63 names, one bit each in the head's mask.

macro_rules! names {
    ($($variant:ident = $text:literal),* $(,)?) => {
        /// A field name; [`Name::Other`] is every name that is not in this list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(missing_docs)] // the variants are the names themselves
        pub enum Name {
            $($variant,)*
            Other,
        }

        impl Name {
            /// Every known name.
            pub const ALL: &'static [Name] = &[$(Name::$variant),*];

            /// How this project spells the name; empty for [`Name::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Name::$variant => $text,)*
                    Name::Other => "",
                }
            }
        }
    };
}

names! {
    Accept = "Accept",
    AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language",
    AcceptRanges = "Accept-Ranges",
    Age = "Age",
    Allow = "Allow",
    Authorization = "Authorization",
    CacheControl = "Cache-Control",
    Connection = "Connection",
    ContentEncoding = "Content-Encoding",
    ContentLength = "Content-Length",
    ContentRange = "Content-Range",
    ContentType = "Content-Type",
    Cookie = "Cookie",
    Date = "Date",
    ETag = "ETag",
    Expect = "Expect",
    Expires = "Expires",
    Forwarded = "Forwarded",
    Host = "Host",
    Http2Settings = "HTTP2-Settings",
    IfMatch = "If-Match",
    IfModifiedSince = "If-Modified-Since",
    IfNoneMatch = "If-None-Match",
    IfRange = "If-Range",
    IfUnmodifiedSince = "If-Unmodified-Since",
    KeepAlive = "Keep-Alive",
    LastModified = "Last-Modified",
    Location = "Location",
    Origin = "Origin",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyConnection = "Proxy-Connection",
    Range = "Range",
    Referer = "Referer",
    RetryAfter = "Retry-After",
    SecWebSocketAccept = "Sec-WebSocket-Accept",
    SecWebSocketKey = "Sec-WebSocket-Key",
    SecWebSocketVersion = "Sec-WebSocket-Version",
    Server = "Server",
    SetCookie = "Set-Cookie",
    Te = "TE",
    Traceparent = "traceparent",
    Tracestate = "tracestate",
    Trailer = "Trailer",
    TransferEncoding = "Transfer-Encoding",
    Upgrade = "Upgrade",
    UserAgent = "User-Agent",
    Vary = "Vary",
    Via = "Via",
    WwwAuthenticate = "WWW-Authenticate",
    XForwardedFor = "X-Forwarded-For",
    XForwardedHost = "X-Forwarded-Host",
    XForwardedProto = "X-Forwarded-Proto",
    XRealIp = "X-Real-IP",
    XRequestId = "X-Request-Id",
}

impl Name {
    /// The name spelt `bytes` in any case.
    pub fn of(bytes: &[u8]) -> Self {
        let len = bytes.len();
        if len == 0 || len > LONGEST {
            return Self::Other;
        }
        let initial = bytes[0] | 0x20;
        for &index in &BY_LENGTH[STARTS[len] as usize..STARTS[len + 1] as usize] {
            let name = Self::ALL[index as usize];
            let text = name.as_str().as_bytes();
            if text[0] | 0x20 == initial && text.eq_ignore_ascii_case(bytes) {
                return name;
            }
        }
        Self::Other
    }

    /// Belongs to one connection, frames its messages, or has a place of its own in the head
    /// (Host): such a field is never in a head's list, and never forwarded from it.
    ///
    /// Source: RFC 9110 section 7.6.1, RFC 9113 section 3.2.1 (HTTP2-Settings). The two `Proxy-`
    /// authentication fields concern this hop only.
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::ContentLength
                | Self::Host
                | Self::Http2Settings
                | Self::KeepAlive
                | Self::ProxyAuthenticate
                | Self::ProxyAuthorization
                | Self::ProxyConnection
                | Self::Te
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }

    /// This name's bit in a mask of known names; none for [`Name::Other`].
    pub(crate) fn bit(self) -> u64 {
        if matches!(self, Self::Other) {
            0
        } else {
            1 << self as u8
        }
    }
}

const COUNT: usize = Name::ALL.len();
const _: () = assert!(COUNT < 64, "one bit each");

const LONGEST: usize = longest();
/// Indexes into `ALL`, shortest names first.
static BY_LENGTH: [u8; COUNT] = by_length();
/// `BY_LENGTH[STARTS[n]..STARTS[n + 1]]` are the names of `n` bytes.
static STARTS: [u8; LONGEST + 2] = starts();

const fn longest() -> usize {
    let mut most = 0;
    let mut i = 0;
    while i < COUNT {
        if Name::ALL[i].as_str().len() > most {
            most = Name::ALL[i].as_str().len();
        }
        i += 1;
    }
    most
}

const fn by_length() -> [u8; COUNT] {
    let mut order = [0; COUNT];
    let mut filled = 0;
    let mut len = 0;
    while len <= LONGEST {
        let mut i = 0;
        while i < COUNT {
            if Name::ALL[i].as_str().len() == len {
                order[filled] = i as u8;
                filled += 1;
            }
            i += 1;
        }
        len += 1;
    }
    order
}

const fn starts() -> [u8; LONGEST + 2] {
    let mut starts = [0; LONGEST + 2];
    let mut i = 0;
    while i < COUNT {
        let mut longer = Name::ALL[i].as_str().len() + 1;
        while longer < LONGEST + 2 {
            starts[longer] += 1;
            longer += 1;
        }
        i += 1;
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for &name in Name::ALL {
            let text = name.as_str();
            assert_eq!(Name::of(text.as_bytes()), name, "{text}");
            assert_eq!(Name::of(text.to_ascii_lowercase().as_bytes()), name);
            assert_eq!(Name::of(text.to_ascii_uppercase().as_bytes()), name);
        }
    }

    #[test]
    fn near_misses_are_other() {
        let cases: [&[u8]; 8] = [
            b"",
            b"Hos",
            b"Hosts",
            b"Content_Length",
            b"Content-Lengtl",
            b"Ho\x53\xf4",
            b"X-Very-Long-Name-That-Nobody-Registered-Anywhere",
            b"\x48\x0fst",
        ];
        for name in cases {
            assert_eq!(Name::of(name), Name::Other, "{name:?}");
        }
    }
}
