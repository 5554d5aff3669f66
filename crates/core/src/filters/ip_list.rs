//! Files of blocks of addresses that filters name, for whoever reads files.
//!
//! Bounds: [`MAX_IP_FILE`] bytes a file.

use std::path::Path;

use crate::config::fault::{quote, Fault};
use crate::config::text::File;
use crate::config::units::Cidr;
use crate::config::Config;

/// A file that a filter wants to have read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpFile {
    /// Where it is named: `routes[0].filters[1].deny_file`.
    pub at: String,
    /// As it is named.
    pub file: File,
}

/// The files of addresses that a config names.
pub fn ip_files(config: &Config) -> Vec<IpFile> {
    let mut all = Vec::new();
    for (r, route) in config.routes.iter().enumerate() {
        let mine = route.filters.iter().enumerate();
        for (f, filter) in mine.filter(|(_, f)| f.name == "ip_rules") {
            for key in ["allow_file", "deny_file"] {
                let text = filter.object.get(key).and_then(|v| v.as_str());
                let file = text.and_then(|text| File::parse(text).ok());
                all.extend(file.map(|file| IpFile {
                    at: format!("routes[{r}].filters[{f}].{key}"),
                    file,
                }));
            }
        }
    }
    all
}

/// The blocks of a file's text: one a line, `#` begins a comment.
///
/// # Errors
/// The first line that is no block.
pub fn ip_list(at: &str, path: &Path, text: &str) -> Result<Vec<Cidr>, Fault> {
    let lines = text.lines().zip(1_usize..);
    let lines = lines.map(|(line, n)| (line.split('#').next().unwrap_or_default().trim(), n));
    let blocks = lines.filter(|(line, _)| !line.is_empty()).map(|(line, n)| {
        Cidr::parse(line).map_err(|why| {
            let place = format!(
                "line {n} of {}: {}",
                quote(&path.display().to_string()),
                why.why
            );
            Fault::new(at, place, why.fix)
        })
    });
    blocks.collect()
}

/// The most bytes of such a file.
pub const MAX_IP_FILE: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let path = Path::new("a.txt");
        for (text, want) in [
            ("", Ok(vec![])),
            ("10.0.0.0/8\n", Ok(vec!["10.0.0.0/8"])),
            (
                "# all\r\n\r\n ::1 # me\r\n1.2.3.4",
                Ok(vec!["::1/128", "1.2.3.4/32"]),
            ),
            (
                "10.0.0.0/8\n10.1.2.3/8\n",
                Err("line 2 of \"a.txt\": \"10.1.2.3/8\" is not the first address of its block"),
            ),
            (
                "1.2.3.4, 5.6.7.8",
                Err("line 1 of \"a.txt\": \"1.2.3.4, 5.6.7.8\" is not a block of addresses"),
            ),
        ] {
            let got = ip_list("f.deny_file", path, text);
            let got = got.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
            let want = want.map(|all| all.into_iter().map(str::to_owned).collect());
            assert_eq!(
                got.map_err(|f| f.why),
                want.map_err(str::to_owned),
                "{text:?}"
            );
        }
    }
}
