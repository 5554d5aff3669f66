//! Whose turn it is: connections whose streams have something for them.

use crate::conns::Role;
use crate::pipe::Then;
use crate::shard::Shard;

impl Shard {
    /// Lets every HTTP/2 connection look at those of its streams that did something.
    pub(crate) fn turn_stirred(&mut self) {
        while !self.conns.stirred.is_empty() {
            let mut turns: Vec<u32> = Vec::new();
            for (owner, stream) in std::mem::take(&mut self.conns.stirred) {
                let Some(i) = self.conns.of_token(owner) else {
                    continue;
                };
                let stirred = match &mut self.conns[i].role {
                    Role::Server(_, Some(s)) if s.is_stirred(stream) => &mut s.stirred,
                    Role::Mux(Some(m)) if m.is_stirred(stream) => &mut m.stirred,
                    _ => continue,
                };
                if stirred.is_empty() {
                    turns.push(i);
                }
                stirred.push(stream);
            }
            for i in turns {
                match self.conns[i].role {
                    Role::Server(..) => self.guarded(i, Self::turn_server),
                    _ => self.guarded(i, Self::turn_mux),
                }
            }
        }
    }

    /// Goes on with a connection that had its share of an earlier turn.
    pub(crate) fn resume(&mut self, i: u32) {
        match self.conns[i].role {
            Role::Server(..) => self.turn_server(i),
            Role::Mux(_) => self.turn_mux(i),
            Role::Upstream(_) => self.upstream_event(i),
            _ => self.drive(i),
        }
    }

    /// A bug was caught while a connection was in hand: it is closed, and its streams' connections with it.
    #[cold]
    pub(crate) fn abandon_http2(&mut self, i: u32) {
        let owner = self.conns.token(i);
        for k in self.conns.indices() {
            let Some(pipe) = self.conns.pipe(k).cloned() else {
                continue;
            };
            if pipe.borrow().owner().0 != owner {
                continue;
            }
            pipe.borrow_mut().then = Then::Cut;
            let conn = &mut self.conns[k];
            (conn.readable, conn.writable, conn.read_closed) = (true, true, true);
            self.later(k);
        }
        let listener = match self.conns[i].role {
            Role::Server(listener, _) => Some(listener),
            _ => None,
        };
        self.leave_bound(i);
        self.remove(i);
        if let Some(listener) = listener {
            self.left(listener);
        }
    }
}
