//! HTTP/1.0 and HTTP/1.1 messages: find the head, give it one meaning or refuse it, write it anew.
//!
//! Source: RFC 9112. Where it allows leniency, this takes the strict side.
//!
//! ```text
//! bytes ─► scan (lines, sizes) ─► request | response (meaning) ─► Head + framing
//!                                                 body bytes ─► chunked
//! Head + framing ─► write ─► bytes
//! ```

pub mod chunked;
mod fields;
pub mod refusal;
pub mod request;
pub mod response;
pub mod scan;
pub mod write;

pub use chunked::{ChunkReader, Step};
pub use refusal::Refusal;
pub use request::{parse_request, take_request, RequestInfo};
pub use response::{parse_response, take_response, ResponseInfo};
pub use scan::{Limits, Scan};
pub use write::{
    chunk_head, write_request, write_response, write_response_block, write_trailers, Connection,
};

/// How the end of a message's body is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is no body, and no field says so.
    #[default]
    None,
    /// Exactly so many bytes follow. Zero is said with a field.
    Length(u64),
    /// The chunked transfer coding.
    Chunked,
    /// All bytes up to the end of the connection. Responses only.
    UntilClose,
}

impl Framing {
    /// Is it certain that no body byte follows?
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}
