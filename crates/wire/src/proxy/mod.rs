//! The PROXY protocol: what a trusted load balancer says about the connection it passes on, read by
//! [`parse`] and written by [`write_v1`] and [`write_v2`].
//!
//! Source: HAProxy's `proxy-protocol.txt`, versions 1 and 2. Whether a peer must, may or must not
//! send a header is for the caller: [`parse`] never says "none", so what is not a header is refused.
//! Errors: [`Malformed`], at the first byte that cannot belong to a header. A header that is not
//! complete is [`Parsed::Partial`] for as long as the caller's deadline lets it.
//! Bounds: 107 bytes for version 1, [`LONGEST`] behind the fixed part for version 2.

mod crc32c;
mod tlv;
mod v1;
mod v2;
mod write;

pub use tlv::{Ssl, Tlv, Tlvs};
pub use v2::LONGEST;
pub use write::{write_v1, write_v2, Ends, Origin, Unwritable, MOST};

use std::net::SocketAddr;
use std::ops::Range;

/// What [`parse`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// The bytes so far are the beginning of a header.
    Partial,
    /// A whole header; the connection's own bytes begin at `len`.
    Done {
        /// What it says.
        header: ProxyHeader,
        /// Its size in bytes.
        len: usize,
    },
}

/// A PROXY header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Who opened the connection.
    pub command: Command,
    /// What the addresses are of.
    pub transport: Transport,
    /// The client. `None` where the header names no IP address (LOCAL, UNKNOWN, UNSPEC, UNIX): the
    /// real peer counts.
    pub source: Option<SocketAddr>,
    /// The address that the client connected to.
    pub destination: Option<SocketAddr>,
    /// Where in the header its type-length-values lie; see [`ProxyHeader::tlvs`].
    pub tlv_range: Range<usize>,
}

impl ProxyHeader {
    /// The header's type-length-values. `buf` is what was given to [`parse`], which has checked them.
    pub fn tlvs<'a>(&self, buf: &'a [u8]) -> Tlvs<'a> {
        Tlvs::new(buf.get(self.tlv_range.clone()).unwrap_or_default())
    }
}

/// Who opened the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The proxy itself, as for a health check: the real peer counts.
    Local,
    /// A client, through the proxy.
    Proxy,
}

/// What carried the client's bytes to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Not told.
    Unspecified,
    /// TCP, or a stream socket.
    Stream,
    /// UDP, or a datagram socket.
    Datagram,
}

/// Bytes that are no PROXY header. The connection cannot be used: who is behind it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Stable, snake_case.
    pub code: &'static str,
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not a PROXY header: {}", self.code)
    }
}

impl std::error::Error for Malformed {}

/// Parses the header that `buf`, all bytes that came so far, begins with.
pub fn parse(buf: &[u8]) -> Result<Parsed, Malformed> {
    match buf.first() {
        None => Ok(Parsed::Partial),
        Some(b'P') => v1::parse(buf),
        Some(b'\r') => v2::parse(buf),
        Some(_) => Err(Malformed {
            code: "no_signature",
        }),
    }
}

/// Does `buf` begin with `text`? `None`: so far it does, but it is shorter.
fn begins_with(buf: &[u8], text: &[u8]) -> Result<Option<()>, Malformed> {
    let shared = buf.len().min(text.len());
    if buf[..shared] != text[..shared] {
        return Err(Malformed {
            code: "no_signature",
        });
    }
    Ok((shared == text.len()).then_some(()))
}
