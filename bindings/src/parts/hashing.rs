//! Consistent hashing over named nodes.

use std::collections::{HashMap, HashSet};

use algo::{stable_hash, Bounded};
use napi::bindgen_prelude::Either;
use napi_derive::napi;

use super::{bytes, whole, Bytes, SAFE};
use crate::error::{error, Result};

/// A node with a weight.
#[napi(object)]
pub struct HashNode {
    /// Its name, unlike that of any other node; by it the node is known on every machine.
    pub name: String,
    /// Its share beside those of the others, a whole number up to 2^32 - 1. Default: 1; 0 takes it out.
    pub weight: Option<f64>,
}

type Given = Vec<Either<String, HashNode>>;

/// The nodes of one hash, in the caller's order.
struct Nodes {
    names: Vec<String>,
    weights: Vec<u32>,
}

impl Nodes {
    fn new(given: Given) -> Result<Self> {
        let mut nodes = Self {
            names: Vec::with_capacity(given.len()),
            weights: Vec::with_capacity(given.len()),
        };
        for node in given {
            let (name, weight) = match node {
                Either::A(name) => (name, 1.0),
                Either::B(node) => (node.name, node.weight.unwrap_or(1.0)),
            };
            let weight = whole("bad_nodes", "a weight", weight, u32::MAX.into())?;
            nodes.names.push(name);
            nodes.weights.push(weight as u32);
        }
        let mut seen = HashSet::new();
        if let Some(twin) = nodes.names.iter().find(|name| !seen.insert(*name)) {
            return Err(error("bad_nodes", format!("two nodes are called {twin}")));
        }
        Ok(nodes)
    }

    fn hashed(&self) -> Vec<(u64, u32)> {
        let ids = self.names.iter().map(|name| stable_hash(name.as_bytes()));
        ids.zip(self.weights.iter().copied()).collect()
    }

    fn name(&self, node: usize) -> String {
        self.names[node].clone()
    }

    /// The name of what `pick` takes of the nodes that have room.
    fn bounded(
        &self,
        loads: &HashMap<String, f64>,
        eps: f64,
        pick: impl FnOnce(&dyn Fn(usize) -> bool) -> Option<usize>,
    ) -> Result<String> {
        let load = |name| loads.get(name).copied().unwrap_or(0.0);
        let loads: Result<Vec<u64>> = self
            .names
            .iter()
            .map(|name| {
                whole(
                    "bad_argument",
                    &format!("the load of {name}"),
                    load(name),
                    SAFE,
                )
            })
            .collect();
        let loads = loads?;
        let bounded = Bounded::new(&self.weights, eps).map_err(|why| error("bad_argument", why))?;
        let room = bounded.room(|node| loads[node]);
        match pick(&room) {
            Some(node) => Ok(self.name(node)),
            // All capacities together are more than all loads.
            None => Err(error("internal", "no node has room")),
        }
    }
}

fn bad_nodes(why: impl ToString) -> napi::Error<crate::error::Code> {
    error("bad_nodes", why)
}

/// Maglev (Eisenbud et al. 2016): a table that gives each key a node, evenly, and moves few keys when
/// nodes change. Every machine with the same nodes and size gives the same answers.
#[napi]
pub struct Maglev {
    nodes: Nodes,
    table: algo::Maglev,
}

#[napi]
impl Maglev {
    /// `size`, a prime up to 5 000 011, is the number of slots, of 2 bytes each. Default: 65 537, good to
    /// 650 nodes; at most 65 535 nodes. Throws `bad_nodes`, `bad_size`.
    #[napi(
        constructor,
        catch_unwind,
        ts_args_type = "nodes: Array<string | HashNode>, size?: number"
    )]
    pub fn new(nodes: Given, size: Option<f64>) -> Result<Self> {
        let nodes = Nodes::new(nodes)?;
        let size = size.unwrap_or(algo::Maglev::DEFAULT_SIZE as f64);
        let size = whole("bad_size", "size", size, algo::Maglev::MAX_SIZE as u64)?;
        let table = algo::Maglev::new(&nodes.hashed(), size as usize).map_err(|why| match why {
            algo::BadMaglev::BadSize => error("bad_size", why),
            _ => bad_nodes(why),
        })?;
        Ok(Self { nodes, table })
    }

    /// The name of the node that owns a key.
    #[napi(catch_unwind, ts_args_type = "key: string | Uint8Array")]
    pub fn pick(&self, key: Bytes) -> String {
        self.nodes.name(self.table.pick(stable_hash(bytes(&key))))
    }

    /// The same with bounded loads (Mirrokni et al. 2016): no node takes a key if it would then hold more
    /// than `1 + eps` times its share of all `loads`, which are whole numbers by name, 0 for what is not
    /// named; the next one does. Throws `bad_argument` for a load, and unless `eps` is above 0 and at
    /// most 1000.
    #[napi(
        catch_unwind,
        ts_args_type = "key: string | Uint8Array, loads: Record<string, number>, eps: number"
    )]
    pub fn pick_bounded(
        &self,
        key: Bytes,
        loads: HashMap<String, f64>,
        eps: f64,
    ) -> Result<String> {
        let key = stable_hash(bytes(&key));
        let pick = |ok: &dyn Fn(usize) -> bool| self.table.pick_where(key, ok);
        self.nodes.bounded(&loads, eps, pick)
    }
}

/// Ketama's ring: the node that libketama and clients of memcached that speak it would pick. 160 points
/// a node of average weight, from MD5.
#[napi]
pub struct KetamaRing {
    nodes: Nodes,
    ring: algo::KetamaRing,
}

#[napi]
impl KetamaRing {
    /// At most 16 384 nodes; libketama's names are `IP:port`. A weight below 1/40 of the average has no
    /// point. Throws `bad_nodes`.
    #[napi(
        constructor,
        catch_unwind,
        ts_args_type = "nodes: Array<string | HashNode>"
    )]
    pub fn new(nodes: Given) -> Result<Self> {
        let mut nodes = Nodes::new(nodes)?;
        let weights = nodes.weights.iter().copied();
        let named: Vec<_> = nodes.names.iter().zip(weights).collect();
        let ring = algo::KetamaRing::new(&named).map_err(bad_nodes)?;
        // What has no point is never met, so it has no share to leave to others either.
        let mut on_ring = vec![false; nodes.names.len()];
        ring.owners().for_each(|node| on_ring[node] = true);
        for (weight, on_ring) in nodes.weights.iter_mut().zip(on_ring) {
            *weight *= u32::from(on_ring);
        }
        Ok(Self { nodes, ring })
    }

    /// The name of the node that owns a key.
    #[napi(catch_unwind, ts_args_type = "key: string | Uint8Array")]
    pub fn pick(&self, key: Bytes) -> String {
        let place = algo::KetamaRing::hash(bytes(&key));
        self.nodes.name(self.ring.pick(place))
    }

    /// The same with bounded loads: see `Maglev.pickBounded`.
    #[napi(
        catch_unwind,
        ts_args_type = "key: string | Uint8Array, loads: Record<string, number>, eps: number"
    )]
    pub fn pick_bounded(
        &self,
        key: Bytes,
        loads: HashMap<String, f64>,
        eps: f64,
    ) -> Result<String> {
        let place = algo::KetamaRing::hash(bytes(&key));
        let pick = |ok: &dyn Fn(usize) -> bool| self.ring.pick_where(place, ok);
        self.nodes.bounded(&loads, eps, pick)
    }
}

/// Rendezvous hashing (Thaler and Ravishankar 1998), with weights by the logarithmic method: shares are
/// exactly by weight, and a change moves only keys of the node that changed. A pick looks at every
/// node: for tens of them.
#[napi]
pub struct Rendezvous {
    nodes: Nodes,
    bids: algo::Rendezvous,
}

#[napi]
impl Rendezvous {
    /// At most 65 535 nodes. Throws `bad_nodes`.
    #[napi(
        constructor,
        catch_unwind,
        ts_args_type = "nodes: Array<string | HashNode>"
    )]
    pub fn new(nodes: Given) -> Result<Self> {
        let nodes = Nodes::new(nodes)?;
        let bids = algo::Rendezvous::new(&nodes.hashed()).map_err(bad_nodes)?;
        Ok(Self { nodes, bids })
    }

    /// The name of the node that owns a key.
    #[napi(catch_unwind, ts_args_type = "key: string | Uint8Array")]
    pub fn pick(&self, key: Bytes) -> String {
        self.nodes.name(self.bids.pick(stable_hash(bytes(&key))))
    }

    /// The same with bounded loads: see `Maglev.pickBounded`.
    #[napi(
        catch_unwind,
        ts_args_type = "key: string | Uint8Array, loads: Record<string, number>, eps: number"
    )]
    pub fn pick_bounded(
        &self,
        key: Bytes,
        loads: HashMap<String, f64>,
        eps: f64,
    ) -> Result<String> {
        let key = stable_hash(bytes(&key));
        let pick = |ok: &dyn Fn(usize) -> bool| self.bids.pick_where(key, ok);
        self.nodes.bounded(&loads, eps, pick)
    }
}

/// Jump hash (Lamping and Veach 2014): which of `buckets`, numbered from 0, owns a key, without any
/// table. Buckets come and go at the end only. Throws `bad_argument` unless `buckets` is 1 to 2^32 - 1.
#[napi(
    catch_unwind,
    ts_args_type = "key: string | Uint8Array, buckets: number"
)]
pub fn jump_hash(key: Bytes, buckets: f64) -> Result<u32> {
    let buckets = whole("bad_argument", "buckets", buckets, u32::MAX.into())?;
    let bucket = algo::jump(stable_hash(bytes(&key)), buckets as u32);
    bucket.ok_or_else(|| error("bad_argument", "buckets must be at least 1"))
}
