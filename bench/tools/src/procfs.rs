//! CPU time and memory of process trees, and how busy the CPUs were, from `/proc`.
//!
//! Units: nanoseconds of CPU, kibibytes of memory. CPU time is the sum of `schedstat` (its first field is
//! time on a CPU in ns) over all threads, because `stat` counts in clock ticks of 10 ms. It lags by at most
//! one scheduler tick for a thread that is running. Threads are also summed by their names, so that parts
//! of one process can be told apart. What a thread that ended within the window
//! used after the first sample is lost; no server under test ends threads under load.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::Path;

/// CPU time used so far by each thread of some process trees.
pub struct CpuSample(HashMap<u32, Thread>);

struct Thread {
    name: String,
    used: u64,
}

impl CpuSample {
    /// The threads of `root` and of everything it started.
    pub fn of(root: u32) -> io::Result<Self> {
        let mut threads = HashMap::new();
        for pid in tree(root)? {
            let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
                continue; // ended since `tree`
            };
            for task in tasks.flatten() {
                let tid = task.file_name().to_string_lossy().parse();
                let text = fs::read_to_string(task.path().join("schedstat"));
                if let (Ok(tid), Ok(text)) = (tid, text) {
                    let used = first_number(&text).ok_or_else(|| odd("schedstat"))?;
                    let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
                    let name = name.trim_end().into();
                    threads.insert(tid, Thread { name, used });
                }
            }
        }
        if threads.is_empty() {
            return Err(io::Error::other(format!("process {root} is not there")));
        }
        Ok(Self(threads))
    }

    /// Nanoseconds used since `earlier`.
    pub fn since(&self, earlier: &Self) -> u64 {
        self.by_name(earlier).values().sum()
    }

    /// Nanoseconds used since `earlier`, by the names of threads.
    pub fn by_name(&self, earlier: &Self) -> BTreeMap<&str, u64> {
        let mut sums = BTreeMap::new();
        for (tid, thread) in &self.0 {
            let before = earlier.0.get(tid).map_or(0, |thread| thread.used);
            *sums.entry(thread.name.as_str()).or_default() += thread.used.saturating_sub(before);
        }
        sums
    }
}

/// CPU time used so far by every process that `/proc` shows, threads of the kernel included, and by those of their
/// children that have ended.
pub struct AllSample(HashMap<u32, Process>);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Process {
    /// By all of its threads.
    used: u64,
    /// By children that ended, and by theirs.
    children: u64,
}

impl AllSample {
    /// Reads `/proc/PID/stat` of all. It counts in ticks of 10 ms, which are of the exact time and no samples.
    pub fn take() -> io::Result<Self> {
        let mut all = HashMap::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
                continue;
            };
            let stat = fs::read_to_string(entry.path().join("stat"));
            if let Some(process) = stat.ok().as_deref().and_then(process) {
                all.insert(pid, process);
            }
        }
        Ok(Self(all))
    }

    /// Nanoseconds used since `earlier`. What ended since then was counted by its parent, and is not counted twice.
    pub fn since(&self, earlier: &Self) -> u64 {
        let (mut used, mut children) = (0, 0);
        for (pid, now) in &self.0 {
            let then = earlier.0.get(pid).copied();
            let then = then.unwrap_or(Process {
                used: 0,
                children: 0,
            });
            used += now.used.saturating_sub(then.used);
            children += now.children.saturating_sub(then.children);
        }
        let gone = earlier
            .0
            .iter()
            .filter(|(pid, _)| !self.0.contains_key(pid));
        let before: u64 = gone.map(|(_, p)| p.used + p.children).sum();
        used + children.saturating_sub(before)
    }
}

/// `root` and its descendants, `root` first.
pub fn tree(root: u32) -> io::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat"));
        if let Some(parent) = stat.ok().as_deref().and_then(parent) {
            parents.push((pid, parent));
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let above = found[at];
        let children = parents.iter().filter(|(_, parent)| *parent == above);
        found.extend(children.map(|(pid, _)| *pid));
        at += 1;
    }
    Ok(found)
}

/// Memory of a process tree: each page's size divided by the number of processes that share it (Pss).
pub fn memory_kib(root: u32) -> io::Result<u64> {
    let mut sum = 0;
    for pid in tree(root)? {
        let path = format!("/proc/{pid}/smaps_rollup");
        let Ok(text) = fs::read_to_string(Path::new(&path)) else {
            continue; // ended since `tree`
        };
        let pss = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        sum += pss.and_then(first_number).ok_or_else(|| odd(&path))?;
    }
    Ok(sum)
}

/// What the named CPUs did not do for this machine's processes, since boot, in ns summed over them.
#[derive(Clone, Copy)]
pub struct Unused {
    /// Nothing to do. Counted when a CPU leaves idle, so not sampled; shown in ticks of 10 ms.
    pub idle: u64,
    /// Taken by the host for others. Kernels without paravirtual time accounting count it as the
    /// running thread's time too, so no sum of threads shows it.
    pub steal: u64,
}

impl Unused {
    /// Reads `/proc/stat`.
    pub fn of(cpus: &[usize]) -> io::Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let mut sum = Self { idle: 0, steal: 0 };
        for cpu in cpus {
            let name = format!("cpu{cpu} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&name));
            let (idle, steal) = line.and_then(ticks).ok_or_else(|| odd(&name))?;
            sum.idle += idle * NS_PER_TICK;
            sum.steal += steal * NS_PER_TICK;
        }
        Ok(sum)
    }
}

/// user nice system IDLE IOWAIT irq softirq STEAL
fn ticks(line: &str) -> Option<(u64, u64)> {
    let mut fields = line.split_ascii_whitespace().map(str::parse::<u64>);
    let mut next = |skip| fields.nth(skip)?.ok();
    let idle = next(3)? + next(0)?;
    Some((idle, next(2)?))
}

/// The times of a `stat` line: user and system, its own and its children's.
fn process(stat: &str) -> Option<Process> {
    let after = &stat[stat.rfind(')')? + 1..];
    let mut fields = after.split_ascii_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<u64>().ok();
    let [user, system, children_user, children_system] = [next()?, next()?, next()?, next()?];
    Some(Process {
        used: (user + system) * NS_PER_TICK,
        children: (children_user + children_system) * NS_PER_TICK,
    })
}

/// The parent's pid of a `stat` line; the command's name is in brackets and may hold brackets itself.
fn parent(stat: &str) -> Option<u32> {
    let after = &stat[stat.rfind(')')? + 1..];
    after.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

fn odd(what: &str) -> io::Error {
    io::Error::other(format!("{what} does not read as expected"))
}

/// USER_HZ is 100 on every Linux.
const NS_PER_TICK: u64 = 10_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        assert_eq!(parent("12 (a) b) S 7 12 0"), Some(7));
        assert_eq!(parent("nonsense"), None);
        assert_eq!(
            ticks("887 0 1261 153296 23 0 14 528 0 0"),
            Some((153_319, 528))
        );
        assert_eq!(ticks("887 0 1261"), None);
        assert_eq!(first_number(" 97492 1 2\n"), Some(97_492));
    }

    #[test]
    fn what_ended_is_counted_once() {
        let stat = |own: u64, children: u64| {
            let line = format!("7 (a b) S 1 1 1 0 -1 0 0 0 0 0 {own} 0 {children} 0 20 0");
            process(&line).expect("a line")
        };
        let sample = |all: &[(u32, Process)]| AllSample(all.iter().copied().collect());
        let before = sample(&[(1, stat(5, 2)), (2, stat(40, 3)), (3, stat(1, 0))]);
        for (after, ticks) in [
            (
                sample(&[(1, stat(6, 2)), (2, stat(42, 3)), (3, stat(1, 0))]),
                3,
            ),
            // 2 used 4 more, ended, and was waited for by 1.
            (sample(&[(1, stat(5, 49)), (3, stat(1, 0))]), 4),
            // It was waited for by nobody: what it used is not known, and takes nothing from the others.
            (sample(&[(1, stat(11, 2)), (3, stat(1, 0))]), 6),
            // 4 is new.
            (
                sample(&[(1, stat(5, 2)), (2, stat(40, 3)), (4, stat(8, 0))]),
                8,
            ),
        ] {
            assert_eq!(after.since(&before), ticks * NS_PER_TICK);
        }
        assert_eq!(process("7 (a) S 1"), None);
    }

    #[test]
    fn the_own_process_is_seen() {
        let own = std::process::id();
        assert_eq!(tree(own).unwrap()[0], own);
        let before = CpuSample::of(own).unwrap();
        let all_before = AllSample::take().unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_millis(60);
        let mut spun = 0u64;
        while std::time::Instant::now() < until {
            spun = std::hint::black_box(spun + 1);
        }
        let after = CpuSample::of(own).unwrap();
        let used = after.since(&before);
        assert!(used > 5_000_000, "60 ms of spinning counted as {used} ns");
        let all = AllSample::take().unwrap().since(&all_before);
        assert!(all > 5_000_000, "all processes used {all} ns");
        let by_name = after.by_name(&before);
        assert_eq!(by_name.values().sum::<u64>(), used);
        let most = by_name.iter().max_by_key(|(_, used)| **used);
        assert!(most.is_some_and(|(name, used)| !name.is_empty() && *used > 5_000_000));
        assert!(memory_kib(own).unwrap() > 100);
        assert!(Unused::of(&[0]).unwrap().idle > 0);
        assert!(Unused::of(&[usize::MAX]).is_err());
        assert!(CpuSample::of(u32::MAX).is_err());
    }
}
