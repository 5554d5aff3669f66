//! Sizes of HTTP/2 within what the protocol and the memory allow.

use super::{child, within, Fault, Item, Listener, Size, Upstream};
use crate::config::http2::Protocol;

/// Adds to `faults` what is wrong with `listeners[].http2`.
pub(super) fn listener(item: &Item<'_, Listener>, faults: &mut Vec<Fault>) {
    let Some(listener) = &item.value else { return };
    let (http2, at) = (&listener.http2, child(&item.at, "http2"));
    if !http2.enabled && http2.cleartext {
        let why = "HTTP/2 is off on this listener";
        let fix = "remove cleartext, or enabled: false";
        faults.push(Fault::on_key(child(&at, "cleartext"), why, fix));
    }
    windows(
        &at,
        http2.initial_stream_window_size,
        http2.initial_connection_window_size,
        faults,
    );
    let (least, most) = (Size::kib(16), Size::kib(1024));
    let at = child(&at, "max_frame_size");
    within(&at, http2.max_frame_size, least, most, faults);
}

/// Adds to `faults` what is wrong with `upstreams[].http2`.
pub(super) fn upstream(item: &Item<'_, Upstream>, faults: &mut Vec<Fault>) {
    let Some(upstream) = &item.value else { return };
    let at = child(&item.at, "http2");
    let Some(http2) = &upstream.http2 else { return };
    if upstream.protocol == Protocol::Http1 {
        let why = "only protocol: http2 has settings of HTTP/2";
        let fix = "write protocol: http2, or remove it";
        faults.push(Fault::on_key(at, why, fix));
        return;
    }
    windows(
        &at,
        http2.initial_stream_window_size,
        http2.initial_connection_window_size,
        faults,
    );
}

fn windows(at: &str, stream: Size, connection: Size, faults: &mut Vec<Fault>) {
    let least = Size::kib(64);
    let name = child(at, "initial_stream_window_size");
    within(&name, stream, least, Size::kib(16 << 10), faults);
    let name = child(at, "initial_connection_window_size");
    within(&name, connection, least, Size::kib(64 << 10), faults);
}
