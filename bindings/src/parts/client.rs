//! Who the client is behind proxies.

use std::net::IpAddr;

use gateway_core::config::Cidr;
use gateway_core::trust::Trust;
use napi::bindgen_prelude::{Either3, Undefined};
use napi_derive::napi;
use wire::forwarded::hops_from_right;

use crate::error::{error, Result};

/// The address of the client behind trusted proxies, by the walk of the filter `client_ip`: from the right
/// of X-Forwarded-For, up to the first address that is not trusted; at an entry that is no address it is
/// the last trusted one. A peer that is not trusted is the client itself. At most 64 entries are walked.
///
/// `peer` is the address of the connection, `xForwardedFor` the field's value or values in order, and
/// `trustedCidrs` are blocks such as `10.0.0.0/8`, or single addresses. Throws `bad_address`, `bad_cidr`.
#[napi(
    catch_unwind,
    ts_args_type = "peer: string, xForwardedFor: string | Array<string> | undefined, trustedCidrs: Array<string>"
)]
pub fn client_ip(
    peer: String,
    x_forwarded_for: Either3<String, Vec<String>, Undefined>,
    trusted_cidrs: Vec<String>,
) -> Result<String> {
    let ip: IpAddr = peer
        .parse()
        .map_err(|_| error("bad_address", format!("{peer:?} is no IP address")))?;
    let ip = ip.to_canonical();
    let values = match x_forwarded_for {
        Either3::A(value) => vec![value],
        Either3::B(values) => values,
        Either3::C(()) => Vec::new(),
    };
    let blocks: std::result::Result<Vec<_>, _> =
        trusted_cidrs.iter().map(|text| Cidr::parse(text)).collect();
    let blocks = blocks.map_err(|why| error("bad_cidr", format!("{}: {}", why.why, why.fix)))?;
    let hops = hops_from_right(values.iter().map(String::as_bytes));
    let walk = Trust::new(blocks, None).walk(ip, hops);
    Ok(walk.map_or(ip, |walk| walk.ip).to_string())
}
