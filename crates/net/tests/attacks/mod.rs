//! The table of attacks, through sockets: what `crates/wire/tests/cases` keeps, and what only a
//! connection can show. Every test file that includes this runs all of it in its own manner of
//! sending and receiving; the expectations are the same, so the verdicts are.
//!
//! The oracles: status and code, a close in good order where nothing that follows can be trusted,
//! an origin that saw exactly what it should, and a bystander whom nothing touches.

mod cases;
mod requests;
mod responses;

pub use requests::run as requests;
pub use responses::run as responses;

use crate::kit::{Client, Edge, Origin, Request};

/// A gateway under attack, what stands behind it, and somebody else who uses it.
pub struct Stand {
    pub edge: Edge,
    pub origin: Origin,
    bystander: Client,
    rounds: usize,
}

impl Stand {
    pub fn new(origin: Origin, config: &str) -> Self {
        let edge = Edge::start(&config.replace("ORIGIN", &origin.at.to_string()));
        let bystander = Client::connect(edge.at());
        Self {
            edge,
            origin,
            bystander,
            rounds: 0,
        }
    }

    /// A connection to a listener, by its place in the config.
    pub fn client(&self, listener: usize) -> Client {
        Client::connect(self.edge.gateway.addresses()[listener].1)
    }

    /// The bystander is served as ever.
    pub fn bystander_is_served(&mut self, name: &str) {
        self.rounds += 1;
        let path = format!("/bystander/{}", self.rounds);
        let answer = self.bystander.get(&path);
        let want = format!("GET {path}");
        let got = (answer.status, String::from_utf8_lossy(&answer.body));
        assert_eq!(got, (200, want.into()), "{name}: the bystander");
    }

    /// What reached the origin since this was last called, without the bystander's.
    pub fn reached(&self) -> Vec<Request> {
        let mut all = self.origin.take();
        all.retain(|r| !r.head.starts_with("GET /bystander/"));
        all
    }
}
