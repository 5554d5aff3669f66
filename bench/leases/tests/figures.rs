//! The figures that are kept are what the simulation gives, and the guide says of the bound what the code does.

use std::fs::read_to_string;
use std::path::Path;

use algo::{Fallback, Lease};
use bench_leases::figures;
use bench_leases::scene::SECOND;

const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/leases.md");

#[test]
fn the_figures_are_those_of_this_simulation() {
    let guide = read_to_string(GUIDE).expect("the guide");
    for figure in figures::all() {
        let path = Path::new(figures::folder())
            .join(figure.name)
            .with_extension("svg");
        let kept = read_to_string(&path).expect("a figure");
        let now = figure.svg().expect("a figure");
        let name = figure.name;
        assert!(kept == now, "{name}.svg is old: cargo run -p bench-leases");
        assert!(
            guide.contains(&format!("results/lease/{name}.svg)")),
            "the guide shows {name}.svg"
        );
    }
}

#[test]
fn the_guide_states_the_bound() {
    // | rate | burst | nodes | tokens |
    let guide = read_to_string(GUIDE).expect("the guide");
    let rows: Vec<Vec<&str>> = guide
        .lines()
        .filter(|line| ["/s |", "/m |"].iter().any(|unit| line.contains(unit)))
        .map(|line| {
            line.split('|')
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect()
        })
        .collect();
    assert!(rows.len() >= 5, "{rows:?}");
    for row in rows {
        let [rate, burst, nodes, tokens] = row[..] else {
            panic!("{row:?} has four cells");
        };
        let (count, unit) = rate.split_once('/').expect("a rate");
        let period = if unit == "m" { 60 * SECOND } else { SECOND };
        let [count, burst, nodes, tokens] = [count, burst, nodes, tokens]
            .map(|cell| cell.replace(',', "").parse::<u64>().expect("a number"));
        let lease = Lease::new(count, period, burst, Fallback::FairShare).expect("a limit");
        assert_eq!(lease.bound(nodes), tokens, "{row:?}");
    }
}
