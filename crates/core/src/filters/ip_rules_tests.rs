use std::net::IpAddr;
use std::sync::Arc;

use crate::filters::trial::{faults, Trial};
use serde_json::json;

#[test]
fn rules() {
    let office = json!({ "allow": ["10.0.0.0/8", "2001:db8::/32"] });
    let blocked = json!({ "deny": ["192.0.2.0/24", "2001:db8::1"] });
    let both =
        json!({ "allow": ["10.1.0.0/16"], "deny": ["10.0.0.0/8", "10.1.2.3"], "default": "allow" });
    let same = json!({ "allow": ["10.0.0.1"], "deny": ["10.0.0.1"] });
    for (config, address, want) in [
        (&office, "10.1.2.3", None),
        (&office, "::ffff:10.1.2.3", None),
        (&office, "2001:db8::1", None),
        (&office, "11.0.0.1", Some(403)),
        (&office, "2001:db9::1", Some(403)),
        (&blocked, "192.0.2.255", Some(403)),
        (&blocked, "192.0.3.0", None),
        (&blocked, "2001:db8::1", Some(403)),
        (&blocked, "2001:db8::2", None),
        (&both, "10.0.0.1", Some(403)),
        (&both, "10.1.0.1", None),
        (&both, "10.1.2.3", Some(403)),
        (&both, "8.8.8.8", None),
        (&same, "10.0.0.1", Some(403)),
        (&same, "10.0.0.2", Some(403)),
    ] {
        let mut trial = Trial::of("ip_rules", config.clone());
        trial.client.ip = address.parse::<IpAddr>().expect("an address");
        let verdict = trial.request();
        assert_eq!(Trial::status_of(verdict), want, "{config} {address}");
    }
}

#[test]
fn a_file_adds_to_the_list() {
    let list = ["198.51.100.0/24"].map(|t| crate::config::Cidr::parse(t).expect("a block"));
    let mut resolved = crate::snapshot::Resolved::default();
    resolved.ip_lists.insert("bad.txt".into(), Arc::from(list));
    let config = json!({ "deny": ["192.0.2.0/24"], "deny_file": "bad.txt" });
    for (address, want) in [
        ("198.51.100.7", Some(403)),
        ("192.0.2.7", Some(403)),
        ("10.0.0.1", None),
    ] {
        let mut trial = Trial::resolved("ip_rules", config.clone(), &resolved);
        trial.client.ip = address.parse().expect("an address");
        let verdict = trial.request();
        assert_eq!(Trial::status_of(verdict), want, "{address}");
    }
}

#[test]
fn what_decides_nothing_is_a_fault() {
    for (config, at) in [
        (json!({}), "deny"),
        (json!({ "default": "deny" }), "deny"),
        (json!({ "allow": ["10.1.2.3/8"] }), "allow[0]"),
        (json!({ "deny": ["a.example"] }), "deny[0]"),
        (json!({ "deny": ["::1"], "default": "drop" }), "default"),
        (json!({ "deny_file": "" }), "deny_file"),
        (json!({ "deny": vec!["::1"; 250_001] }), "deny"),
    ] {
        assert_eq!(faults("ip_rules", config.clone()), [at]);
    }
}
