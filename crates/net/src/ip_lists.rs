//! Reads the files of addresses that filters name.
//!
//! Errors: a fault for each file that cannot be read, is above [`MAX_IP_FILE`], or has a line that is no block.

use std::collections::HashMap;
use std::io::{Error, ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;

use gateway_core::config::{Cidr, Config, Fault};
use gateway_core::filters::{ip_files, ip_list, MAX_IP_FILE};

/// Files of addresses by their paths as the config has them.
pub(crate) type IpLists = HashMap<String, Arc<[Cidr]>>;

/// Reads all that a config names; `folder` is where relative paths begin.
pub(crate) fn read(config: &Config, folder: &Path) -> Result<IpLists, Vec<Fault>> {
    let (mut lists, mut faults) = (IpLists::new(), Vec::new());
    for named in ip_files(config) {
        let name = named.file.to_string();
        if lists.contains_key(&name) {
            continue;
        }
        let path = folder.join(named.file.path());
        let text = text(&path).map_err(|error| {
            let why = format!("{}: {error}", path.display());
            let fix = "say where the file is, which this process must be allowed to read";
            Fault::new(named.at.as_str(), why, fix)
        });
        match text.and_then(|text| ip_list(&named.at, &path, &text)) {
            Ok(list) => {
                lists.insert(name, list.into());
            }
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() {
        Ok(lists)
    } else {
        Err(faults)
    }
}

fn text(path: &Path) -> Result<String, Error> {
    let file = std::fs::File::open(path)?;
    // Of what is no plain file a read may never end.
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "not a plain file"));
    }
    let mut text = String::new();
    file.take(MAX_IP_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_IP_FILE {
        let why = format!("more than {} MiB", MAX_IP_FILE >> 20);
        return Err(Error::new(ErrorKind::InvalidData, why));
    }
    Ok(text)
}
