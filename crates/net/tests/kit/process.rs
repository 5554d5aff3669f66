//! What the system says of this process, and what a gateway says of itself.

use std::fs;

use net::Gateway;

/// Bytes of memory in use now: the resident set, summed over all mappings, exact where
/// `/proc/self/statm` lags behind.
pub fn resident() -> u64 {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").expect("smaps_rollup");
    let line = rollup.lines().find_map(|l| l.strip_prefix("Rss:"));
    let kib: u64 = line
        .and_then(|l| l.split_whitespace().next()?.parse().ok())
        .expect("a number of KiB");
    kib << 10
}

/// How many descriptors are open, without the one that reads the list.
pub fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").expect("fd").count() - 1
}

/// How many threads run.
pub fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("task").count()
}

/// Raises the number of descriptors that may be open to the most that is allowed, and returns it.
pub fn raise_descriptors() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the pointer is to one live struct, for both calls.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
    limit.rlim_cur
}

/// The sum of all values of a metric, whatever its labels.
pub fn metric(gateway: &Gateway, name: &str) -> u64 {
    metric_where(gateway, name, "")
}

/// The sum of a metric's values whose labels hold this text, such as `"code":"internal"`.
pub fn metric_where(gateway: &Gateway, name: &str, label: &str) -> u64 {
    let all = gateway.metrics_json();
    let at = all
        .find(&format!("\"name\":\"{name}\""))
        .unwrap_or_else(|| panic!("no metric {name}"));
    let one = &all[at + 8..];
    let one = &one[..one.find("\"name\":").unwrap_or(one.len())];
    one.split("{\"labels\":")
        .skip(1)
        .filter(|v| v.contains(label))
        .map(|v| {
            let n = v.split("\"value\":").nth(1).expect("a value");
            let end = n.find(|c: char| !c.is_ascii_digit()).unwrap_or(n.len());
            n[..end].parse::<u64>().expect("a number")
        })
        .sum()
}

/// Waits until something is so; the test fails if it does not become so in time.
pub fn wait_until(what: &str, mut so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !so() {
        assert!(began.elapsed() < super::PATIENCE, "waited for: {what}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
