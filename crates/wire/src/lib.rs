//! Bytes to values and back: HTTP/1 heads and chunks, paths, PROXY protocol, `Forwarded`, cookies,
//! and the WebSocket handshake.
//!
//! Nothing here does I/O, reads a clock or a random number, or contains unsafe code. Every reader
//! gives bytes exactly one meaning or refuses them, and its verdict does not depend on how the
//! bytes were cut into reads. Every writer is canonical: what is sent on is written anew from the
//! parsed values, never copied with the sender's quirks.
//!
//! # Layout
//!
//! - [`head`]: the head of a request or a response, the value everything else works on.
//! - [`http1`]: find, parse and write heads; decode and encode chunks.
//! - [`name`], [`method`], [`status`], [`syntax`]: the small vocabularies.
//! - [`path`], [`authority`]: the two halves of a target, normalised once.
//! - [`forwarded`], [`proxy`]: who the client is, according to a peer that is trusted.
//! - [`cookie`], [`websocket`], [`date`]: single fields.
//! - [`grpc_web`]: bodies of gRPC-Web.
#![forbid(unsafe_code)]

pub mod authority;
pub mod cookie;
pub mod date;
pub mod forwarded;
pub mod grpc_web;
pub mod head;
pub mod http1;
mod line;
pub mod method;
pub mod name;
pub mod path;
pub mod proxy;
pub mod span;
pub mod status;
pub mod structured;
pub mod syntax;
pub mod websocket;

pub use head::{BadField, Head};
pub use http1::{
    parse_request, parse_response, take_request, take_response, Connection, Framing, Limits,
    Refusal, RequestInfo, ResponseInfo, Scan,
};
pub use line::Line;
pub use method::{Method, Version};
pub use name::{Name, Names};
pub use span::Span;
pub use syntax::{valid_name, valid_value};
