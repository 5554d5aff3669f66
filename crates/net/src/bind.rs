//! Sockets for the listeners of a config.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use gateway_core::config::{Config, Door};

use crate::gateway::StartError;
use crate::listener::Binding;
use crate::poll;

/// What a config's listeners are bound to.
pub(crate) struct Bound {
    pub addresses: Vec<Place>,
    /// New sockets, for each shard.
    pub bindings: Vec<Vec<Binding>>,
    /// New sockets that only hold a port.
    pub reserved: Vec<(String, OwnedFd)>,
}

/// Where a listener is.
pub(crate) struct Place {
    pub name: String,
    wish: SocketAddr,
    pub at: SocketAddr,
    pub door: Door,
}

/// Sockets for the listeners that are new or moved, one each for every shard. `had` lists those that
/// stand.
pub(crate) fn bind(config: &Config, had: &[Place], shards: usize) -> Result<Bound, StartError> {
    let mut addresses = Vec::new();
    let mut bindings: Vec<Vec<Binding>> = (0..shards).map(|_| Vec::new()).collect();
    let mut reserved = Vec::new();
    for l in &config.listeners {
        let wish = l.bind.address();
        let name = l.name.as_str().to_owned();
        let door = l.door;
        let place = |at| Place {
            name: name.clone(),
            wish,
            at,
            door,
        };
        let same = |p: &&Place| p.name == name && p.wish == wish;
        let stood = had.iter().find(same);
        if let Some(p) = stood.filter(|p| p.door == door) {
            addresses.push(place(p.at));
            continue;
        }
        let failed = |source| StartError::Bind {
            listener: name.clone(),
            address: wish,
            source,
        };
        // Our own listeners share their port; another program's must not be joined unawares.
        let ours = had.iter().any(|p| p.at == wish);
        if !ours && poll::taken(wish) {
            return Err(failed(io::Error::from(io::ErrorKind::AddrInUse)));
        }
        if l.door == Door::App {
            let fd = poll::reserve(stood.map_or(wish, |p| p.at)).map_err(failed)?;
            let at = poll::local_address(&fd).map_err(failed)?;
            reserved.push((name.clone(), fd));
            addresses.push(place(at));
            continue;
        }
        let mut at = stood.map_or(wish, |p| p.at);
        for bindings in &mut bindings {
            let fd = poll::listen(at, l.backlog.get() as i32).map_err(failed)?;
            at = poll::local_address(&fd).map_err(failed)?;
            bindings.push(Binding {
                name: name.clone(),
                fd,
            });
        }
        addresses.push(place(at));
    }
    Ok(Bound {
        addresses,
        bindings,
        reserved,
    })
}
