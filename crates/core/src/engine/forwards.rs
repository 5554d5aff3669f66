//! Forwards of a request: begun, sent elsewhere, announced.

use super::Run;
use crate::filter::AskId;
use crate::forward::{self, Attempt};

impl Run {
    /// Begins a forward that an effect asks for.
    pub fn open_forward(&mut self, id: AskId, upstream: u32) {
        self.attempts.push((id, Attempt::new(upstream)));
    }

    /// Sends a forward elsewhere, before anything of it was sent.
    pub fn redirect(&mut self, id: AskId, to: u32) {
        self.attempts.retain(|(i, _)| *i != id);
        forward::withdraw(&mut self.exchange);
        self.open_forward(id, to);
    }

    /// Step 7 begins: writes into the request's head for whom it is forwarded.
    pub fn announce(&mut self, id: AskId) {
        if !self.announced {
            self.announced = true;
            forward::announce(&mut self.exchange);
        }
        let to = self.snapshot.as_ref().zip(self.upstream(id));
        let to = to.map(|(s, u)| (s.clone(), &s.upstreams[u as usize]));
        if let Some((snapshot, app)) = to.filter(|(_, u)| u.app) {
            let (timeout, route) = (app.settings.response, self.route_of(&snapshot));
            forward::introduce(&mut self.exchange, &route.name, timeout);
        }
    }
}
