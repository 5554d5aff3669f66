//! What processes and CPUs did up to one moment: two of these are the ends of a window.

use std::io;
use std::time::Instant;

use crate::procfs::{AllSample, CpuSample, Unused};

/// The state of the machine at one moment.
pub struct Sample {
    /// When.
    pub at: Instant,
    /// This process.
    pub own: CpuSample,
    /// Process trees, with their roots.
    pub watched: Vec<(u32, CpuSample)>,
    /// All processes.
    pub all: AllSample,
    /// What was not done.
    pub unused: Unused,
    /// How many CPUs that is of.
    pub cpus: usize,
}

impl Sample {
    /// Of the process trees `watched`, and of the CPUs.
    pub fn take(watched: &[u32], cpus: &[usize]) -> io::Result<Self> {
        let of = |pid: &u32| CpuSample::of(*pid).map(|sample| (*pid, sample));
        Ok(Self {
            watched: watched.iter().map(of).collect::<io::Result<_>>()?,
            own: CpuSample::of(std::process::id())?,
            all: AllSample::take()?,
            unused: Unused::of(cpus)?,
            cpus: cpus.len(),
            at: Instant::now(),
        })
    }
}
