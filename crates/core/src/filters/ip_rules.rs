//! ip_rules: lets clients in, or refuses them, by their addresses.
//!
//! Config:  `{ use: ip_rules, allow: [10.0.0.0/8], deny: [10.66.0.0/16] }`, or `deny_file: blocked.txt`
//! Reads:   the client's address: behind proxies put the filter client_ip first. Files are read at a start and at each reload.
//! Asks:    nothing. A look-up is one binary search, about 18 steps in 100,000 blocks.
//! Replies: 403 `ip_denied`.
//! Fails:   never open. The most specific block decides, in whatever order they are written; a block that is allowed and denied is denied.
//!          What no block has is decided by `default`. A file that is missing, too large or has a line that is no block is a fault of the config.
//! Source:  RFC 4632 section 3.1, RFC 4291 section 2.3 (blocks); longest match as routers do it (RFC 1812 section 5.2.4.3).

use schemars::JsonSchema;
use serde::Deserialize;
use wire::Head;

use super::ip_table::{IpTable, MAX_BLOCKS};
use super::Build;
use crate::config::text::File;
use crate::config::units::Cidr;
use crate::filter::{Cx, Filter, Needs, Verdict};
use crate::reply::Reply;

/// Lets clients in, or refuses them, by their addresses.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Blocks of addresses that are let in. At most 250000 in all lists of the filter. Default: none.
    #[serde(default)]
    pub allow: Vec<Cidr>,
    /// Blocks of addresses that are refused. Default: none.
    #[serde(default)]
    pub deny: Vec<Cidr>,
    /// A file with more to let in: a block a line, `#` begins a comment; at most 16 MiB. Default: none.
    pub allow_file: Option<File>,
    /// A file with more to refuse. Default: none.
    pub deny_file: Option<File>,
    /// What becomes of an address that is in no list. Default: `deny` if there is `allow` or `allow_file`, else `allow`.
    pub default: Option<Otherwise>,
}

/// What becomes of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "IpDefault")]
pub enum Otherwise {
    /// They are let in.
    Allow,
    /// They are refused.
    Deny,
}

/// The filter.
pub struct IpRules {
    table: IpTable,
}

impl IpRules {
    /// From its config, if it decides anything.
    pub fn build(config: Config, b: &mut Build<'_>) -> Option<Self> {
        let before = b.faults.len();
        let allows = !config.allow.is_empty() || config.allow_file.is_some();
        let denies = !config.deny.is_empty() || config.deny_file.is_some();
        if !allows && !denies {
            let fix = "add allow, deny, allow_file or deny_file";
            b.fault("deny", "no address is listed", fix);
        }
        let allow = whole(config.allow, "allow_file", config.allow_file, b);
        let deny = whole(config.deny, "deny_file", config.deny_file, b);
        let count = allow.len() + deny.len();
        if count > MAX_BLOCKS {
            let why = format!("{count} blocks are above the most, {MAX_BLOCKS}");
            let key = if allow.len() > deny.len() {
                "allow"
            } else {
                "deny"
            };
            b.fault(key, why, "write larger blocks for neighbours");
        }
        let otherwise = config.default.map_or(!allows, |d| d == Otherwise::Allow);
        (b.faults.len() == before).then(|| Self {
            table: IpTable::new(&allow, &deny, otherwise),
        })
    }
}

/// A list, and what the file of `key` adds to it. While a config is only checked, files are somebody else's to look at.
fn whole(mut list: Vec<Cidr>, key: &str, file: Option<File>, b: &mut Build<'_>) -> Vec<Cidr> {
    let (Some(file), Some(resolved)) = (file, b.resolved) else {
        return list;
    };
    match resolved.ip_lists.get(&file.to_string()) {
        Some(more) => list.extend_from_slice(more),
        None => b.fault(key, format!("{file} was not read"), "say where the file is"),
    }
    list
}

impl Filter for IpRules {
    fn needs(&self) -> Needs {
        Needs {
            request: true,
            ..Needs::default()
        }
    }

    fn on_request(&self, cx: &mut Cx<'_>, _: &mut Head) -> Verdict {
        if self.table.allows(cx.client.ip) {
            return Verdict::Next;
        }
        let why = "Requests from this address are not served here.";
        Verdict::Reply(Box::new(Reply::problem(403, "ip_denied", why)))
    }
}

#[cfg(test)]
#[path = "ip_rules_tests.rs"]
mod tests;
