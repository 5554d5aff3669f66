//! What must hold of [`super::Lease`].

use super::*;

const SEC: u64 = 1_000_000_000;

#[test]
fn what_is_stated_of_a_limit() {
    // count, period, burst, nodes: opening, bound.
    for (count, period, burst, nodes, opening, bound) in [
        (1000, SEC, 1000, 1, 1000, 200 + 1000 + 32),
        (1000, SEC, 1000, 2, 500, 200 + 1000 + 64),
        (1000, SEC, 1, 2, 1, 99 + 200 + 2 + 2),
        (10, SEC, 10, 3, 3, 2 + 9 + 3),
        (1, SEC, 1, 2, 1, 1 + 2 + 2),
        (5, 60 * SEC, 5, 2, 2, 1 + 4 + 2),
        (5, 60 * SEC, 5, 10, 1, 1 + 10 + 10),
    ] {
        let lease = Lease::new(count, period, burst, Fallback::FairShare).expect("a lease");
        let case = format!("{count} in {period} ns, burst {burst}, {nodes} nodes");
        assert_eq!(lease.opening(nodes), opening, "{case}");
        assert_eq!(lease.bound(nodes), bound, "{case}");
    }
}

#[test]
fn what_no_script_could_count_is_refused() {
    for (count, period, burst, fault) in [
        (0, SEC, 1, BadRate::ZeroCount),
        (1, 0, 1, BadRate::ZeroPeriod),
        (1, SEC, 0, BadRate::ZeroBurst),
        (20_000_000, SEC, 1, BadRate::TooFast),
        (1, 27 * 86_400 * SEC, 1, BadRate::TooLong),
        (1, SEC, u64::MAX, BadRate::TooLong),
    ] {
        let made = Lease::new(count, period, burst, Fallback::Open);
        assert_eq!(made, Err(fault), "{count} in {period} ns, burst {burst}");
    }
}
