//! `proxy_protocol` of upstreams, and routes that look at PROXY headers.

use super::{child, most, quote, Fault, Item, Listener, Route, Upstream};
use crate::config::http2::Protocol;
use crate::config::proxy_protocol::{ProxyVersion, MAX_VALUES};
use crate::route::Want;

/// Adds to `faults` what is wrong with the PROXY header of an upstream.
pub(super) fn upstream(item: &Item<'_, Upstream>, faults: &mut Vec<Fault>) {
    let proxy = item.value.as_ref().and_then(|u| u.proxy_protocol.as_ref());
    let Some(proxy) = proxy else { return };
    let at = format!("{}.tlvs", child(&item.at, "proxy_protocol"));
    if proxy.version == ProxyVersion::V1 && !proxy.tlvs.is_empty() {
        faults.push(Fault::on_key(
            &at,
            "version 1 of the PROXY protocol carries no values",
            "write version: v2, or remove tlvs",
        ));
    }
    let http2 = item
        .value
        .as_ref()
        .is_some_and(|u| u.protocol == Protocol::Http2);
    if http2 {
        faults.push(Fault::on_key(
            child(&item.at, "proxy_protocol"),
            "a connection of HTTP/2 carries requests of many clients, and a PROXY header names one",
            "write protocol: http1, or remove proxy_protocol",
        ));
    }
    most(&at, proxy.tlvs.len(), MAX_VALUES, faults);
    for (place, value) in proxy.tlvs.iter().enumerate() {
        if proxy.tlvs[..place].contains(value) {
            let why = format!("{} is there twice", quote(&value.to_string()));
            faults.push(Fault::new(format!("{at}[{place}]"), why, "write it once"));
        }
    }
}

/// Adds a fault for a route that wants something of a PROXY header where none is read.
pub(super) fn route(
    item: &Item<'_, Route>,
    listeners: &[Item<'_, Listener>],
    faults: &mut Vec<Fault>,
) {
    let Some(route) = &item.value else { return };
    let wanted = route.what.proxy.iter().find(|(_, w)| **w != Want::Absent);
    let Some((value, _)) = wanted else { return };
    // A listener that could not be read has its own faults.
    let fits = |l: &Item<'_, Listener>| {
        let Some(name) = l.name() else { return true };
        let mine = route.listeners.is_empty() || route.listeners.iter().any(|n| n.as_str() == name);
        mine && l.value.as_ref().is_none_or(|l| l.proxy_protocol.is_some())
    };
    if !listeners.iter().any(fits) {
        faults.push(Fault::on_key(
            format!("{}.match.proxy.{value}", item.at),
            "no listener of this route reads PROXY headers: no request would match",
            "add proxy_protocol: { trust: [...] } to the listener, or remove it",
        ));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;
    use serde_json::json;

    #[test]
    fn faults() {
        let proxy = |value| json!({ "name": "up", "endpoints": ["a:1"], "proxy_protocol": value });
        let fine = proxy(json!("v2"));
        let here = "upstreams[0].proxy_protocol";
        let many: Vec<_> = (0x80..0xa1).map(|k| format!("tlv_{k:x}")).collect();
        for (upstream, what, path, why) in [
            (
                proxy(json!("v3")),
                json!({}),
                here.to_owned(),
                "\"v3\" is not v1, v2 or { version: v2, tlvs: [authority, crc32c] }",
            ),
            (
                proxy(json!({ "version": "v1", "tlvs": ["alpn"] })),
                json!({}),
                format!("{here}.tlvs"),
                "version 1 of the PROXY protocol carries no values",
            ),
            (
                proxy(json!({ "version": "v2", "tlvs": ["ssl", "ssl"] })),
                json!({}),
                format!("{here}.tlvs[1]"),
                "\"ssl\" is there twice",
            ),
            (
                proxy(json!({ "version": "v2", "tlvs": ["tlv_02"] })),
                json!({}),
                format!("{here}.tlvs[0]"),
                "\"tlv_02\" has a name",
            ),
            (
                proxy(json!({ "version": "v2", "tlvs": many })),
                json!({}),
                format!("{here}.tlvs"),
                "33 tlvs are above the most, 32",
            ),
            (
                proxy(json!({ "tlvs": ["alpn"] })),
                json!({}),
                format!("{here}.version"),
                "version is missing",
            ),
            (
                json!({ "name": "up", "endpoints": ["a:1"], "proxy_protocol": "v1", "protocol": "http2" }),
                json!({}),
                here.to_owned(),
                "a connection of HTTP/2 carries requests of many clients, and a PROXY header names one",
            ),
            (
                fine.clone(),
                json!({ "proxy": { "authority": "a", "alpn": false } }),
                "routes[0].match.proxy.authority".to_owned(),
                "no listener of this route reads PROXY headers: no request would match",
            ),
            (
                fine.clone(),
                json!({ "proxy": { "tlv_2": true } }),
                "routes[0].match.proxy.tlv_2".to_owned(),
                "no value of a PROXY header is called \"tlv_2\"",
            ),
        ] {
            let config = json!({
                "listeners": [
                    { "name": "plain", "bind": "127.0.0.1:0" },
                    { "name": "behind", "bind": "127.0.0.1:0", "proxy_protocol": { "trust": ["::1"] } },
                ],
                "upstreams": [upstream],
                "routes": [{ "name": "a", "listeners": ["plain"], "match": what, "to": "up" }],
            });
            let faults = parse(&config.to_string()).expect_err(&path);
            let found: Vec<_> = faults.iter().map(|f| (&*f.path, &*f.why)).collect();
            assert_eq!(found, [(&*path, why)]);
            // Behind the other listener the route is good, and so is one that wants none.
            let mut good = config;
            good["upstreams"] = json!([fine]);
            good["routes"][0]["match"] = json!({ "proxy": { "authority": false } });
            parse(&good.to_string()).expect("a good config");
            good["routes"][0]["listeners"] = json!(["behind"]);
            good["routes"][0]["match"] = json!({ "proxy": { "authority": "a" } });
            parse(&good.to_string()).expect("a good config");
        }
    }
}
