//! `listeners[].http2` and `upstreams[].http2`: bounds of connections that carry many requests at a time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::Whole;
use super::units::Size;

/// HTTP/2 between clients and a listener; with `tls`, clients choose it by ALPN.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Http2 {
    /// False to speak HTTP/1.1 only: inside of TLS, ALPN then offers no `h2`.
    pub enabled: bool,
    /// True to take HTTP/2 without TLS too (h2c): a connection whose first bytes are HTTP/2's preface speaks it, all others
    /// speak HTTP/1.1. `Upgrade: h2c` is never followed.
    pub cleartext: bool,
    /// Requests that one connection may have open at a time; one more is refused and may be sent again.
    pub max_concurrent_streams: Whole<1, 10_000>,
    /// Bytes of one request's body that a client may send ahead, 64KiB to 16MiB.
    pub initial_stream_window_size: Size,
    /// The same of all bodies of a connection together, 64KiB to 64MiB.
    pub initial_connection_window_size: Size,
    /// Bytes of one frame that a client may send, 16KiB to 1MiB.
    pub max_frame_size: Size,
    /// What a client may cost that sends frames other than requests and bodies, in points that come back with time and
    /// with traffic; then the connection ends with `ENHANCE_YOUR_CALM`.
    pub flood_budget: Whole<100, 1_000_000>,
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            enabled: true,
            cleartext: false,
            max_concurrent_streams: Whole::of(128),
            initial_stream_window_size: Size::kib(256),
            initial_connection_window_size: Size::kib(1024),
            max_frame_size: Size::kib(16),
            flood_budget: Whole::of(2000),
        }
    }
}

/// The protocol that an upstream speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1: one request at a time on a connection.
    #[default]
    Http1,
    /// HTTP/2, by prior knowledge, or with `tls` by ALPN: many requests at a time on a connection.
    Http2,
}

/// HTTP/2 towards an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamHttp2 {
    /// Requests open at a time on one connection, or fewer if the upstream says so; one more makes another connection.
    pub max_concurrent_streams: Whole<1, 10_000>,
    /// Bytes of one response's body that the upstream may send ahead, 64KiB to 16MiB.
    pub initial_stream_window_size: Size,
    /// The same of all bodies of a connection together, 64KiB to 64MiB.
    pub initial_connection_window_size: Size,
}

impl Default for UpstreamHttp2 {
    fn default() -> Self {
        Self {
            max_concurrent_streams: Whole::of(100),
            initial_stream_window_size: Size::kib(256),
            initial_connection_window_size: Size::kib(1024),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, Value};

    use crate::config::parse;

    fn config(listener: Value, upstream: Value) -> String {
        let mut config = json!({
            "listeners": [{ "name": "web", "bind": "127.0.0.1:8080" }],
            "upstreams": [{ "name": "api", "endpoints": ["127.0.0.1:9001"] }],
            "routes": [{ "name": "all", "to": "api" }],
        });
        for (list, part) in [("listeners", listener), ("upstreams", upstream)] {
            for (key, value) in part.as_object().expect("an object") {
                config[list][0][key] = value.clone();
            }
        }
        config.to_string()
    }

    #[test]
    fn every_key_is_read_and_all_have_defaults() {
        let all = json!({
            "enabled": true, "cleartext": true, "max_concurrent_streams": 7, "initial_stream_window_size": "64KiB",
            "initial_connection_window_size": "64MiB", "max_frame_size": "1MiB", "flood_budget": 100,
        });
        let up = json!({
            "max_concurrent_streams": 9, "initial_stream_window_size": "16MiB",
            "initial_connection_window_size": "64KiB",
        });
        let upstream = json!({ "protocol": "http2", "http2": up });
        let text = config(json!({ "http2": all }), upstream);
        let read = parse(&text).expect("a good config");
        assert_eq!(json!(read.listeners[0].http2), all);
        assert_eq!(json!(read.upstreams[0].http2), up);
        let plain = parse(&config(json!({}), json!({}))).expect("a good config");
        assert!(!plain.listeners[0].http2.cleartext && plain.upstreams[0].http2.is_none());
    }

    #[test]
    fn faults_say_where() {
        let listener = |http2: Value| config(json!({ "http2": http2 }), json!({}));
        let upstream = |part: Value| config(json!({}), part);
        let cases = [
            (
                listener(json!({ "enabled": false, "cleartext": true })),
                "listeners[0].http2.cleartext",
            ),
            (
                listener(json!({ "max_frame_size": "15KiB" })),
                "listeners[0].http2.max_frame_size",
            ),
            (
                listener(json!({ "max_frame_size": "2MiB" })),
                "listeners[0].http2.max_frame_size",
            ),
            (
                listener(json!({ "initial_stream_window_size": "1KiB" })),
                "listeners[0].http2.initial_stream_window_size",
            ),
            (
                listener(json!({ "initial_connection_window_size": "65MiB" })),
                "listeners[0].http2.initial_connection_window_size",
            ),
            (
                listener(json!({ "max_concurrent_streams": 0 })),
                "listeners[0].http2.max_concurrent_streams",
            ),
            (
                listener(json!({ "flood_budget": 1 })),
                "listeners[0].http2.flood_budget",
            ),
            (
                listener(json!({ "upgrade": true })),
                "listeners[0].http2.upgrade",
            ),
            (
                upstream(json!({ "protocol": "h2" })),
                "upstreams[0].protocol",
            ),
            (upstream(json!({ "http2": {} })), "upstreams[0].http2"),
            (
                upstream(
                    json!({ "protocol": "http2", "http2": { "initial_stream_window_size": "17MiB" } }),
                ),
                "upstreams[0].http2.initial_stream_window_size",
            ),
        ];
        for (text, path) in cases {
            let faults = parse(&text).expect_err(path);
            let paths: Vec<&str> = faults.iter().map(|f| f.path.as_str()).collect();
            assert_eq!(paths, [path], "{text}");
        }
    }
}
