//! Field names that are known by number, so that a look-up compares one byte, not a string.
//!
//! Source: the IANA registry of HTTP field names; RFC 9110 section 5.1 (case-insensitive).
//! Bound:  at most 63 names, one bit each in the head's mask (a `u64`), checked when this is compiled. It is
//!         full: one more name needs another's place, or a wider mask.

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
    ClientCert = "Client-Cert",
    ClientCertChain = "Client-Cert-Chain",
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
    XForwardedPort = "X-Forwarded-Port",
    XForwardedPrefix = "X-Forwarded-Prefix",
    XForwardedProto = "X-Forwarded-Proto",
    XForwardedServer = "X-Forwarded-Server",
    XOriginalUrl = "X-Original-URL",
    XRealIp = "X-Real-IP",
    XRequestId = "X-Request-Id",
    XRewriteUrl = "X-Rewrite-URL",
}

impl Name {
    /// The name spelt `bytes` in any case.
    #[inline]
    pub fn of(bytes: &[u8]) -> Self {
        if bytes.len() < 2 {
            return Self::Other;
        }
        let at = slot(bytes);
        match Self::ALL.get(usize::from(SLOTS[at])) {
            Some(name) if same(name.as_str().as_bytes(), bytes) => *name,
            _ => Self::Other,
        }
    }

    /// Belongs to one connection, frames its messages, or has a place of its own in the head
    /// (Host): such a field is never in a head's list, and never forwarded from it.
    ///
    /// Source: RFC 9110 section 7.6.1, RFC 9113 section 3.2.1 (HTTP2-Settings). The two `Proxy-`
    /// authentication fields concern this hop only.
    pub fn is_hop_by_hop(self) -> bool {
        self.bit() & HOP_BY_HOP.0 != 0
    }

    /// This name's bit in a mask of known names; none for [`Name::Other`].
    pub(crate) const fn bit(self) -> u64 {
        if matches!(self, Self::Other) {
            0
        } else {
            1 << self as u8
        }
    }
}

/// A set of known names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names(pub(crate) u64);

impl Names {
    /// The set of `names`, without [`Name::Other`].
    pub const fn new(names: &[Name]) -> Self {
        let mut mask = 0;
        let mut i = 0;
        while i < names.len() {
            mask |= names[i].bit();
            i += 1;
        }
        Self(mask)
    }
}

const HOP_BY_HOP: Names = Names::new(&[
    Name::Connection,
    Name::ContentLength,
    Name::Host,
    Name::Http2Settings,
    Name::KeepAlive,
    Name::ProxyAuthenticate,
    Name::ProxyAuthorization,
    Name::ProxyConnection,
    Name::Te,
    Name::TransferEncoding,
    Name::Upgrade,
]);

const COUNT: usize = Name::ALL.len();
const _: () = assert!(COUNT < 64, "one bit each");

/// Equal but for the case of letters. Most senders spell a name as it is registered.
fn same(text: &[u8], bytes: &[u8]) -> bool {
    text == bytes || text.eq_ignore_ascii_case(bytes)
}

/// Where a name is looked up, whatever the case of its letters. No two names share a place, which
/// `slots` proves when it is compiled.
const fn slot(name: &[u8]) -> usize {
    let len = name.len();
    let (first, second_last, last) = (name[0], name[len - 2], name[len - 1]);
    let letters = first as u32 & 31 | (second_last as u32 & 31) << 5 | (last as u32 & 31) << 10;
    let key = letters | (len as u32) << 15;
    (key.wrapping_mul(FACTOR) >> (32 - BITS)) as usize
}

/// Chosen by trial, so that no two names meet.
const FACTOR: u32 = 0x3f17_b80b;
const BITS: u32 = 8;
const EMPTY: u8 = u8::MAX;
/// Indexes into `ALL`.
static SLOTS: [u8; 1 << BITS] = slots();

const fn slots() -> [u8; 1 << BITS] {
    let mut places = [EMPTY; 1 << BITS];
    let mut i = 0;
    while i < COUNT {
        let text = Name::ALL[i].as_str().as_bytes();
        let at = slot(text);
        assert!(places[at] == EMPTY, "two names meet: choose another factor");
        places[at] = i as u8;
        i += 1;
    }
    places
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
