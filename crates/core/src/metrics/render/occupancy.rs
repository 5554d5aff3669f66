//! What filters hold that limit requests in flight.

use super::{Labels, Metric, Sample, Value};
use crate::filter::Occupancy;

type Held = (Box<str>, Occupancy);

/// The metrics of all such filters; none of a config that has none.
pub(super) fn metrics(all: &[Held]) -> Vec<Metric> {
    if all.is_empty() {
        return Vec::new();
    }
    let gauge = |name, help, read: fn(&Occupancy) -> u64| Metric {
        name,
        r#type: "gauge",
        help,
        values: merged(all.iter().map(|(route, o)| (labels(route, o), read(o)))),
    };
    let refused = all.iter().flat_map(|(route, o)| {
        o.refused.iter().map(move |(code, n)| {
            let mut labels = labels(route, o);
            labels.insert("code", (*code).to_owned());
            (labels, *n)
        })
    });
    vec![
        gauge(
            "ironsluice_concurrency_in_flight",
            "Requests in flight behind a filter that limits them.",
            |o| o.in_flight,
        ),
        gauge(
            "ironsluice_concurrency_queued",
            "Requests that wait for their turn.",
            |o| o.queued,
        ),
        gauge(
            "ironsluice_concurrency_limit",
            "How many requests of one key may be in flight now.",
            |o| o.limit,
        ),
        Metric {
            name: "ironsluice_concurrency_refused_total",
            r#type: "counter",
            help: "Requests that were refused by such a filter, by code.",
            values: merged(refused),
        },
    ]
}

fn labels(route: &str, o: &Occupancy) -> Labels {
    Labels::from([
        ("route", route.to_owned()),
        ("filter", o.filter.to_owned()),
        ("key", o.key.clone()),
    ])
}

/// Two filters of one route that count the same apart have one line.
fn merged(all: impl Iterator<Item = (Labels, u64)>) -> Vec<Sample> {
    let mut values: Vec<Sample> = Vec::new();
    for (labels, n) in all {
        let same = values.iter_mut().find(|s| s.labels == labels);
        match same.map(|s| &mut s.value) {
            Some(Value::Number { value }) => *value += n,
            _ => values.push(Sample {
                labels,
                value: Value::Number { value: n },
            }),
        }
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_that_count_the_same_apart_have_one_line() {
        let held = |key: &str, n| {
            let o = Occupancy {
                filter: "concurrency",
                key: key.to_owned(),
                in_flight: n,
                queued: 2 * n,
                limit: 3 * n,
                refused: vec![("a", n), ("b", 0)],
            };
            (Box::from("r"), o)
        };
        let all = metrics(&[held("route", 1), held("client_ip", 10), held("route", 100)]);
        let got = serde_json::to_value(&all).expect("JSON");
        let numbers = |i: usize| -> Vec<u64> {
            let values = got[i]["values"].as_array().expect("a list");
            values.iter().filter_map(|v| v["value"].as_u64()).collect()
        };
        assert_eq!(numbers(0), [101, 10]);
        assert_eq!(numbers(1), [202, 20]);
        assert_eq!(numbers(2), [303, 30]);
        assert_eq!(numbers(3), [101, 0, 10, 0]);
        assert_eq!(got[3]["values"][0]["labels"]["code"], "a");
        assert!(metrics(&[]).is_empty());
    }
}
