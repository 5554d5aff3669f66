//! The figures of the guide: curves of simulated scenes.

use plotters::prelude::*;

use crate::scene::SECOND;
use crate::{Outcome, Scene};

/// A picture, and what it shows.
pub struct Figure {
    /// Of its file, without `.svg`.
    pub name: &'static str,
    /// Above it.
    pub title: &'static str,
    /// Below it.
    pub across: &'static str,
    /// Left of it.
    pub upwards: &'static str,
    /// Its lines.
    pub curves: Vec<Curve>,
}

/// A line of a [`Figure`].
pub struct Curve {
    /// In the legend.
    pub name: String,
    /// Across, upwards.
    pub points: Vec<(f64, f64)>,
}

/// All figures, simulated anew: about 200 scenes.
pub fn all() -> Vec<Figure> {
    vec![overshoot(), delay(), losses(), skew(), calls()]
}

/// By how much nodes that all begin at once exceed a burst of 1000 and of 1, and what is stated.
fn overshoot() -> Figure {
    let mut curves = Vec::new();
    for burst in [1000, 100, 1] {
        let of = |nodes: u64| Scene {
            burst,
            ..spread(nodes, 4000)
        };
        let nodes = || [1, 2, 4, 8, 12, 16].into_iter();
        curves.push(curve(&format!("burst {burst}"), nodes(), |nodes| {
            most(&of(nodes), |out| out.overshoot as f64)
        }));
        curves.push(curve(&format!("bound, burst {burst}"), nodes(), |nodes| {
            of(nodes).lease().bound(nodes) as f64
        }));
    }
    Figure {
        name: "overshoot",
        title: "1000/s, offered 4000/s: tokens above the burst and the rate, at most",
        across: "nodes",
        upwards: "tokens",
        curves,
    }
}

/// The same, and what is left of the limit, by how far the store is away.
fn delay() -> Figure {
    let curves = [2, 8].map(|nodes| {
        curve(&format!("{nodes} nodes"), [0, 2, 4, 6, 8, 10, 12], |ms| {
            let delay = ms * SECOND / 1000;
            most(
                &Scene {
                    delay,
                    ..spread(nodes, 4000)
                },
                |out| out.overshoot as f64,
            )
        })
    });
    Figure {
        name: "delay",
        title: "1000/s, burst 1000, offered 4000/s: tokens above the burst and the rate, at most",
        across: "round trip to the store, ms",
        upwards: "tokens",
        curves: curves.into(),
    }
}

/// What of a limit is admitted when answers of the store are lost.
fn losses() -> Figure {
    let curves = [2, 8].map(|nodes| {
        curve(
            &format!("{nodes} nodes"),
            [0, 1, 2, 5, 10, 15, 20, 30],
            |percent| {
                let scene = Scene {
                    lost: percent * 10,
                    ..spread(nodes, 4000)
                };
                mean(&scene, |out| {
                    out.total() as f64 * 100.0 / out.one_process as f64
                })
            },
        )
    });
    Figure {
        name: "losses",
        title: "1000/s, burst 1000, offered 4000/s: admitted, of what one process admits",
        across: "answers of the store that are lost, %",
        upwards: "%",
        curves: curves.into(),
    }
}

/// What two nodes get of a limit by their part of the traffic.
fn skew() -> Figure {
    let parts = || [50, 60, 70, 80, 90, 95, 99].into_iter();
    let of = |percent: u64, offered: u64| Scene {
        offered: vec![percent * offered * 10, (100 - percent) * offered * 10],
        ..Scene::new()
    };
    let of_one =
        |out: &Outcome, node: usize| out.admitted[node] as f64 * 100.0 / out.offered[node] as f64;
    let mut curves = Vec::new();
    for offered in [1500, 4000] {
        for (node, which) in ["busy", "quiet"].into_iter().enumerate() {
            curves.push(curve(
                &format!("{offered}/s, {which} node"),
                parts(),
                |percent| mean(&of(percent, offered), |out| of_one(out, node)),
            ));
        }
        curves.push(curve(
            &format!("{offered}/s, both, of the limit"),
            parts(),
            |percent| {
                mean(&of(percent, offered), |out| {
                    out.total() as f64 * 100.0 / out.one_process as f64
                })
            },
        ));
    }
    Figure {
        name: "skew",
        title: "1000/s, two nodes: part of each node's requests that is admitted",
        across: "part of the traffic at the busy node, %",
        upwards: "%",
        curves,
    }
}

/// Calls of the store for a request.
fn calls() -> Figure {
    let curves = [2, 8].map(|nodes| {
        let offered = [200, 400, 600, 800, 1000, 1500, 2000, 3000, 4000];
        curve(&format!("{nodes} nodes"), offered, |offered| {
            mean(&spread(nodes, offered), |out| {
                out.calls as f64 * 100.0 / out.requests as f64
            })
        })
    });
    Figure {
        name: "calls",
        title: "1000/s, burst 1000: calls of the store for 100 requests",
        across: "offered, requests a second",
        upwards: "calls",
        curves: curves.into(),
    }
}

/// So many requests a second, over nodes alike; a short scene.
fn spread(nodes: u64, offered: u64) -> Scene {
    Scene {
        offered: (0..nodes).map(|_| offered * 1000 / nodes).collect(),
        length: 5 * SECOND,
        ..Scene::new()
    }
}

fn curve(name: &str, across: impl IntoIterator<Item = u64>, upwards: impl Fn(u64) -> f64) -> Curve {
    Curve {
        name: name.into(),
        points: across.into_iter().map(|x| (x as f64, upwards(x))).collect(),
    }
}

fn outcomes(scene: &Scene) -> impl Iterator<Item = Outcome> + '_ {
    (1..=SEEDS).map(|seed| {
        Scene {
            seed,
            ..scene.clone()
        }
        .run()
    })
}

fn most(scene: &Scene, of: impl Fn(&Outcome) -> f64) -> f64 {
    outcomes(scene).map(|out| of(&out)).fold(0.0, f64::max)
}

fn mean(scene: &Scene, of: impl Fn(&Outcome) -> f64) -> f64 {
    outcomes(scene).map(|out| of(&out)).sum::<f64>() / SEEDS as f64
}

impl Figure {
    /// As SVG. Fails only if the curves have no point.
    pub fn svg(&self) -> Result<String, Box<dyn std::error::Error>> {
        let mut svg = String::new();
        {
            let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            root.fill(&WHITE)?;
            let points = || self.curves.iter().flat_map(|curve| &curve.points);
            let right = points().map(|point| point.0).fold(1.0, f64::max);
            let left = points().map(|point| point.0).fold(right, f64::min);
            let top = points().map(|point| point.1).fold(1.0, f64::max) * 1.05;
            let mut chart = ChartBuilder::on(&root)
                .caption(self.title, ("sans-serif", 16))
                .margin(12)
                .x_label_area_size(40)
                .y_label_area_size(56)
                .build_cartesian_2d(left..right, 0.0..top)?;
            chart
                .configure_mesh()
                .x_desc(self.across)
                .y_desc(self.upwards)
                .light_line_style(WHITE)
                .draw()?;
            for (i, curve) in self.curves.iter().enumerate() {
                let color = COLORS[i % COLORS.len()];
                let line = LineSeries::new(curve.points.iter().copied(), color.stroke_width(2));
                chart
                    .draw_series(line.point_size(3))?
                    .label(curve.name.as_str())
                    .legend(move |(x, y)| {
                        PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2))
                    });
            }
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::MiddleRight)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK)
                .draw()?;
            root.present()?;
        }
        Ok(svg)
    }
}

/// For each point of a curve.
const SEEDS: u64 = 2;
/// Pixels.
const SIZE: (u32, u32) = (760, 420);
/// Okabe and Ito: told apart by everybody.
const COLORS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];

/// Where the figures are kept.
pub fn folder() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../results/lease")
}
