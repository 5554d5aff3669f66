//! A gateway from a config.

use std::net::SocketAddr;

use net::Gateway;

/// A running gateway.
pub struct Edge {
    pub gateway: Gateway,
}

impl Edge {
    /// Starts one from JSON.
    pub fn start(config: &str) -> Self {
        let gateway = Gateway::start(parse(config)).expect("the gateway starts");
        Self { gateway }
    }

    /// Starts one whose paths begin in `folder`.
    pub fn start_in(folder: &std::path::Path, config: &str) -> Self {
        let prepared = net::Prepared {
            folder: folder.to_owned(),
            ..net::Prepared::default()
        };
        let gateway = Gateway::start_with(parse(config), prepared).expect("the gateway starts");
        Self { gateway }
    }

    /// One listener, one thread, and everything to one upstream of these endpoints.
    pub fn to(endpoints: &[SocketAddr]) -> Self {
        Self::start(&config_to(endpoints, "{}", "[]"))
    }

    /// Like [`Edge::to`], with settings of the upstream (a JSON object) and filters (a JSON list).
    pub fn with(endpoints: &[SocketAddr], upstream: &str, filters: &str) -> Self {
        Self::start(&config_to(endpoints, upstream, filters))
    }

    /// Where its first listener is bound.
    pub fn at(&self) -> SocketAddr {
        self.gateway.addresses()[0].1
    }

    /// The first value of a counter, by its name without prefix and `_total`.
    pub fn counter(&self, name: &str) -> u64 {
        let json = self.gateway.metrics_json();
        let at = json
            .find(&format!("\"name\":\"ironsluice_{name}_total\""))
            .unwrap_or_else(|| panic!("no counter {name}"));
        let value = json[at..].split("\"value\":").nth(1).expect("a value");
        let end = value.find('}').expect("an end");
        value[..end].parse().expect("a number")
    }

    pub fn reload(&self, config: &str) {
        self.gateway.reload(parse(config)).expect("the reload");
    }
}

/// A config with one listener and one route.
pub fn config_to(endpoints: &[SocketAddr], upstream: &str, filters: &str) -> String {
    let endpoints: Vec<_> = endpoints.iter().map(|e| format!("\"{e}\"")).collect();
    let settings = upstream
        .trim()
        .trim_start_matches('{')
        .trim_end_matches('}');
    let more = if settings.is_empty() { "" } else { "," };
    format!(
        r#"{{ "workers": 1,
  "listeners": [{{ "name": "web", "bind": "127.0.0.1:0" }}],
  "upstreams": [{{ "name": "origin", "endpoints": [{}]{more}{settings} }}],
  "routes": [{{ "name": "all", "match": {{ "path": "/*" }}, "filters": {filters}, "to": "origin" }}] }}"#,
        endpoints.join(", ")
    )
}

fn parse(config: &str) -> gateway_core::config::Config {
    gateway_core::config::parse(config).unwrap_or_else(|faults| {
        let all: Vec<_> = faults.iter().map(ToString::to_string).collect();
        panic!("{}\n{config}", all.join("\n"))
    })
}
