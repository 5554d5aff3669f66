//! PROXY headers, versions 1 and 2.

use std::net::{IpAddr, SocketAddr};

use napi::bindgen_prelude::{Buffer, Either, Undefined};
use napi_derive::napi;
use wire::proxy::{parse, write_v1, write_v2, Command, Ends, Origin, Parsed, Tlv, Transport};

use super::{bytes, whole, Bytes};
use crate::error::{error, Code, Result};

/// One end of a connection.
#[napi(object)]
pub struct ProxyEndpoint {
    /// An IPv4 or IPv6 address.
    pub address: String,
    /// 0 to 65 535.
    pub port: f64,
}

/// A type-length-value of a version 2 header, as it was read.
#[napi(object, object_from_js = false)]
pub struct ProxyTlv {
    /// Its type; see `TLV`.
    #[napi(js_name = "type")]
    pub kind: u32,
    /// Its value, copied.
    pub value: Buffer,
}

/// A type-length-value to write.
#[napi(object, object_to_js = false)]
pub struct ProxyTlvOptions {
    /// Its type, 0 to 255; see `TLV`.
    #[napi(js_name = "type")]
    pub kind: f64,
    /// Its value: text as UTF-8, or bytes.
    #[napi(ts_type = "string | Uint8Array")]
    pub value: Bytes,
}

/// A PROXY header.
#[napi(object, object_from_js = false)]
pub struct ProxyHeader {
    /// Of the protocol.
    #[napi(ts_type = "1 | 2")]
    pub version: u32,
    /// `local`: the proxy's own connection, as for a health check.
    #[napi(ts_type = "'proxy' | 'local'")]
    pub command: &'static str,
    /// What carried the client's bytes.
    #[napi(ts_type = "'stream' | 'datagram' | 'unspecified'")]
    pub transport: &'static str,
    /// The client; not there if the header names no IP address: then the real peer counts.
    pub source: Option<ProxyEndpoint>,
    /// The address that the client connected to.
    pub destination: Option<ProxyEndpoint>,
    /// In their order; none in version 1. A checksum among them was right.
    pub tlvs: Vec<ProxyTlv>,
    /// Bytes of the header; what is behind them is the connection's own.
    pub length: u32,
}

/// A PROXY header to write. Without `source` and `destination` it tells of no client.
#[napi(object, object_to_js = false)]
pub struct ProxyHeaderOptions {
    /// Default: 2. Version 1 is text, of TCP only and without values.
    #[napi(ts_type = "1 | 2")]
    pub version: Option<f64>,
    /// `local` says that the connection is the proxy's own, and leaves the addresses out. Default: `proxy`.
    #[napi(ts_type = "'proxy' | 'local'")]
    pub command: Option<String>,
    /// Default: `stream`. `unspecified` leaves the addresses out.
    #[napi(ts_type = "'stream' | 'datagram' | 'unspecified'")]
    pub transport: Option<String>,
    /// The client.
    pub source: Option<ProxyEndpoint>,
    /// The address that the client connected to.
    pub destination: Option<ProxyEndpoint>,
    /// In their order. Not the checksum.
    pub tlvs: Option<Vec<ProxyTlvOptions>>,
    /// Ends the header with a CRC-32C over all of it. Default: false.
    pub checksum: Option<bool>,
}

/// Reads the PROXY header (HAProxy's `proxy-protocol.txt`) that the bytes of a connection begin with.
///
/// `undefined` while it is not complete: call again with more. Throws `bad_proxy_header` at the first byte
/// that cannot belong to one; the message names why. At most 107 bytes in version 1 and 4112 in version 2.
#[napi(catch_unwind, ts_return_type = "ProxyHeader | undefined")]
pub fn parse_proxy_header(buffer: &[u8]) -> Result<Either<ProxyHeader, Undefined>> {
    let parsed = parse(buffer).map_err(bad)?;
    let Parsed::Done { header, len } = parsed else {
        return Ok(Either::B(()));
    };
    let tlvs = header.tlvs(buffer).map(|tlv| ProxyTlv {
        kind: tlv.kind.into(),
        value: tlv.value.into(),
    });
    Ok(Either::A(ProxyHeader {
        version: if buffer[0] == b'P' { 1 } else { 2 },
        command: match header.command {
            Command::Local => "local",
            Command::Proxy => "proxy",
        },
        transport: match header.transport {
            Transport::Unspecified => "unspecified",
            Transport::Stream => "stream",
            Transport::Datagram => "datagram",
        },
        source: header.source.map(told),
        destination: header.destination.map(told),
        tlvs: tlvs.collect(),
        length: len as u32,
    }))
}

/// Writes a PROXY header, to be sent before the first byte of a connection.
///
/// Throws `bad_proxy_header` for what cannot be said in one: one address without the other, values or
/// datagrams in version 1, a unique id above 128 bytes, a checksum given as a value, more than 65 535 bytes
/// in all. Receivers may take less; `parseProxyHeader` takes 4096 behind the fixed 16.
#[napi(catch_unwind)]
pub fn write_proxy_header(options: ProxyHeaderOptions) -> Result<Buffer> {
    let origin = origin(&options)?;
    let given = options.tlvs.unwrap_or_default();
    let checksum = options.checksum.unwrap_or_default();
    let mut out = Vec::new();
    match options.version.unwrap_or(2.0) {
        1.0 if checksum || !given.is_empty() => return Err(bad("version 1 has no values")),
        1.0 => write_v1(&origin, &mut out).map_err(bad)?,
        2.0 => {
            let tlvs: Result<Vec<Tlv<'_>>> = given
                .iter()
                .map(|tlv| {
                    Ok(Tlv {
                        kind: whole(BAD, "a type", tlv.kind, u8::MAX.into())? as u8,
                        value: bytes(&tlv.value),
                    })
                })
                .collect();
            write_v2(&origin, &tlvs?, checksum, &mut out).map_err(bad)?;
        }
        version => return Err(bad(format!("there is no version {version}"))),
    }
    Ok(out.into())
}

fn origin(options: &ProxyHeaderOptions) -> Result<Origin> {
    match options.command.as_deref() {
        None | Some("proxy") => {}
        Some("local") => return Ok(Origin::Local),
        Some(other) => return Err(bad(format!("there is no command {other:?}"))),
    }
    let make: fn(Ends) -> Origin = match options.transport.as_deref() {
        None | Some("stream") => Origin::Stream,
        Some("datagram") => Origin::Datagram,
        Some("unspecified") => |_| Origin::Unknown,
        Some(other) => return Err(bad(format!("there is no transport {other:?}"))),
    };
    match (&options.source, &options.destination) {
        (None, None) => Ok(Origin::Unknown),
        (Some(source), Some(destination)) => Ok(make(Ends {
            source: address(source)?,
            destination: address(destination)?,
        })),
        _ => Err(bad("source and destination come together")),
    }
}

fn address(end: &ProxyEndpoint) -> Result<SocketAddr> {
    let ip: IpAddr = end
        .address
        .parse()
        .map_err(|_| bad(format!("{:?} is no IP address", end.address)))?;
    let port = whole(BAD, "a port", end.port, u16::MAX.into())?;
    Ok(SocketAddr::new(ip, port as u16))
}

fn told(address: SocketAddr) -> ProxyEndpoint {
    ProxyEndpoint {
        address: address.ip().to_string(),
        port: address.port().into(),
    }
}

fn bad(why: impl ToString) -> napi::Error<Code> {
    error(BAD, why)
}

const BAD: &str = "bad_proxy_header";
