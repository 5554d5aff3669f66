//! Every reason for which bytes are refused, with the status a client gets and a stable code.
//!
//! Source: RFC 9110 section 15.5 for the choice of status: 400 for what has no single meaning, 414
//! and 431 for sizes, 417 for Expect, 426 for a WebSocket version, 501 for what is known but not
//! supported, 505 for versions.

/// Why bytes were refused. The connection they came on cannot be used further: after an error it is
/// not known where the next message begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status for the peer if it is a client; 502 if it is an upstream (see
    /// [`Refusal::from_upstream`]).
    pub status: u16,
    /// Stable, snake_case; for metrics, logs and problem documents.
    pub code: &'static str,
    /// One line for a reader; holds no bytes of the message.
    pub why: &'static str,
}

impl Refusal {
    /// The same fault found in an upstream's message: the client gets 502.
    pub const fn from_upstream(self) -> Self {
        Self {
            status: 502,
            ..self
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.why)
    }
}

impl std::error::Error for Refusal {}

macro_rules! refusals {
    ($($name:ident = $status:literal $code:literal $why:literal;)*) => {
        $(
            #[doc = $why]
            pub const $name: Refusal = Refusal { status: $status, code: $code, why: $why };
        )*

        /// Every refusal there is.
        pub const ALL: &[Refusal] = &[$($name),*];
    };
}

refusals! {
    // Lines and sizes.
    BAD_LINE_END = 400 "bad_line_end" "a line does not end with CR LF, or CR stands alone";
    OBSOLETE_FOLD = 400 "obsolete_fold" "a field line begins with whitespace";
    EMPTY_LINES = 400 "empty_lines" "more than one empty line before the first line";
    NOT_HTTP = 400 "not_http" "the first byte cannot begin an HTTP message";
    METHOD_TOO_LONG = 431 "method_too_long" "the method is too long";
    URI_TOO_LONG = 414 "uri_too_long" "the request target is too long";
    HEAD_TOO_LARGE = 431 "head_too_large" "the head is too large";
    TOO_MANY_FIELDS = 431 "too_many_fields" "there are too many fields";
    BAD_START_LINE = 400 "bad_start_line" "the first line is malformed";
    BAD_VERSION = 400 "bad_version" "the HTTP version is malformed";
    UNSUPPORTED_VERSION = 505 "unsupported_version" "only HTTP/1.0 and HTTP/1.1 are spoken here";
    BAD_STATUS = 400 "bad_status" "the status code is not in 100 to 599";

    // Fields.
    BAD_FIELD_NAME = 400 "bad_field_name" "a field name is not a token directly before its colon";
    UNDERSCORE_NAME = 400 "underscore_name" "a field name holds an underscore";
    BAD_FIELD_VALUE = 400 "bad_field_value" "a field value holds a control byte";
    BAD_CONNECTION = 400 "bad_connection" "Connection is not a short list of tokens";
    NOMINATED_FIELD = 400 "nominated_field" "Connection names a field that cannot be dropped";

    // Framing.
    BAD_CONTENT_LENGTH = 400 "bad_content_length" "Content-Length is not one plain number";
    REPEATED_CONTENT_LENGTH = 400 "repeated_content_length" "there is more than one Content-Length";
    BAD_TRANSFER_ENCODING = 400 "bad_transfer_encoding" "Transfer-Encoding is not exactly chunked";
    UNSUPPORTED_TRANSFER_ENCODING = 501 "unsupported_transfer_encoding" "only the transfer coding chunked is supported";
    LENGTH_AND_ENCODING = 400 "length_and_encoding" "there are both Content-Length and Transfer-Encoding";
    ENCODING_IN_OLD_VERSION = 400 "encoding_in_old_version" "Transfer-Encoding in an HTTP/1.0 message";
    UNEXPECTED_BODY = 400 "unexpected_body" "this request cannot have a body";

    // Target, Host, and what else a request says.
    MISSING_HOST = 400 "missing_host" "there is no Host";
    REPEATED_HOST = 400 "repeated_host" "there is more than one Host";
    BAD_HOST = 400 "bad_host" "Host is not one host and maybe a port";
    HOST_MISMATCH = 400 "host_mismatch" "Host differs from the authority in the target";
    BAD_TARGET = 400 "bad_target" "the request target has no form that this method allows";
    BAD_PATH_BYTE = 400 "bad_path_byte" "the target holds a byte that must be escaped";
    BAD_PATH_ESCAPE = 400 "bad_path_escape" "the path holds a malformed or forbidden escape";
    BAD_PATH_DOTS = 400 "bad_path_dots" "a dot segment has a parameter, or removes an escaped slash";
    PATH_ABOVE_ROOT = 400 "path_above_root" "the path leads above the root";
    BAD_QUERY = 400 "bad_query" "the query holds a byte that must be escaped";
    BAD_EXPECT = 417 "bad_expect" "Expect asks for something other than 100-continue";
    UPGRADE_WITH_BODY = 400 "upgrade_with_body" "a request with a body asks for an upgrade";
    BAD_WEBSOCKET = 400 "bad_websocket" "a WebSocket upgrade is not a GET with one valid key";
    WEBSOCKET_VERSION = 426 "websocket_version" "the WebSocket version is not 13";

    // Bodies.
    BAD_CHUNK_SIZE = 400 "bad_chunk_size" "a chunk size is not 1 to 16 hexadecimal digits in range";
    BAD_CHUNK_EXTENSION = 400 "bad_chunk_extension" "a chunk extension is malformed";
    CHUNK_EXTENSIONS_TOO_LARGE = 413 "chunk_extensions_too_large" "the chunk extensions are too large";
    BAD_CHUNK_END = 400 "bad_chunk_end" "chunk data does not end with CR LF";
    BAD_TRAILER = 400 "bad_trailer" "a trailer field is malformed";
    TRAILERS_TOO_LARGE = 431 "trailers_too_large" "the trailers are too large";

    // For callers that hand over something other than what was asked for.
    INCOMPLETE = 400 "incomplete" "the head is not complete";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_stable_words_and_unique() {
        for (i, refusal) in ALL.iter().enumerate() {
            assert!((400..600).contains(&refusal.status), "{refusal}");
            assert!(
                refusal
                    .code
                    .bytes()
                    .all(|b| b == b'_' || b.is_ascii_lowercase()),
                "{refusal}"
            );
            assert!(
                ALL[..i].iter().all(|other| other.code != refusal.code),
                "{refusal}"
            );
        }
    }
}
