//! TLS on its way: a client's connection before its first request, and an upstream's before it gets
//! one.

use gateway_core::forward::{Choice, Failure};
use gateway_core::metrics::bump;
use gateway_core::reply::Reply;
use wire::Head;

use super::body::Reader;
use super::drive::Next;
use super::txn::{Stage, Txn};
use crate::meter::Upstream as Count;
use crate::shard::{env, Shard};
use crate::tls::{ClientTls, Shake, Tls, Unshaken};

impl Shard {
    /// The connection is accepted ([`Shard::may_shake`] allows it), and its PROXY header read if there must be one: TLS comes next.
    /// What lies in `t.input` is its beginning.
    pub(crate) fn begin_handshake(&mut self, i: u32, t: &mut Txn) {
        let listener = self.listener_of(i);
        let (tls, timeout) = (listener.tls.clone(), listener.handshake);
        debug_assert!(
            tls.is_some(),
            "a config with TLS comes with its certificates"
        );
        t.stage = Stage::Handshake;
        if let Some(tls) = tls {
            self.conns.secure(i, Tls::accept(tls), t.input.as_slice());
        }
        t.input.clear();
        self.wheel.set(i, self.now + timeout);
    }

    pub(super) fn shake_client(&mut self, i: u32, t: &mut Txn) -> Next {
        if !self.conns.is_secure(i) {
            // There was nothing to secure it with: it is not served in the clear.
            return Next::Close;
        }
        let shake = match self.shake(i) {
            Ok(shake) => shake,
            Err(next) => return next,
        };
        if !matches!(shake, Shake::Wait) {
            self.shaken(i);
        }
        match shake {
            Shake::Wait => {
                let listener = self.listener_of(i);
                let leaving = listener.retired || self.draining();
                if leaving && self.conns.untouched(i) {
                    return Next::Close;
                }
                Next::Wait
            }
            Shake::Failed(why) => self.handshake_failed(i, t, &why),
            Shake::Done => {
                let facts = self.conns.proved(i);
                let resumed = facts.is_some_and(|(f, _)| f.resumed);
                let kind = if resumed { "resumed" } else { "full" };
                bump(self.counters.handshakes.of(kind), 1);
                t.stage = Stage::Head;
                t.started = 0;
                let head = self.listener_of(i).head;
                self.wheel.set(i, self.now + head);
                match self.conns.alpn(i) {
                    // RFC 8737 section 3: the handshake was all there is.
                    Some(b"acme-tls/1") => Next::Close,
                    Some(b"h2") => Next::Http2,
                    _ => Next::Again,
                }
            }
        }
    }

    /// Tells the other side why, as far as there is a word for it, and closes.
    fn handshake_failed(&mut self, i: u32, t: &mut Txn, why: &Unshaken) -> Next {
        self.count_handshake_failure(why.code);
        let alert = self.conns.give_up_security(i);
        if why.code == "closed" {
            return Next::Close;
        }
        t.out.append(&alert);
        if why.plain_http {
            t.out.append(PLAIN_HTTP);
        }
        // Whatever follows is read away, so that no reset destroys what was said.
        t.request.reader = Reader::UntilClose;
        self.conns[i].readable = true;
        self.close_gently(i, t)
    }

    pub(super) fn count_handshake_failure(&self, code: &'static str) {
        bump(self.counters.failed_handshakes.of(code), 1);
    }

    /// A request for a host at which something else is asked of clients than was of this one
    /// (RFC 9110 section 15.5.20).
    pub(super) fn misdirected(&mut self, i: u32, policy: u64, request: &Head) -> Option<Reply> {
        let tls = self.listener_of(i).tls.clone()?;
        if tls.fits(policy, request.authority()) {
            return None;
        }
        Some(misdirected())
    }

    /// An upstream's connection is made: TLS comes next.
    pub(super) fn secure_upstream(&mut self, i: u32, up: u32, t: &mut Txn) -> Next {
        let found = t.run.snapshot().zip(t.run.upstream(t.forward));
        let secured = found.and_then(|(s, u)| s.upstreams[u as usize].tls.as_ref());
        let tls = secured.and_then(|s| s.with.downcast_ref::<ClientTls>());
        let host = self.conns.up(up).and_then(|u| u.live.secure.clone());
        let begun = tls
            .zip(host)
            .and_then(|(tls, host)| tls.connect(&host, false));
        let Some(begun) = begun else {
            // Nothing is sent in the clear that was meant to be secure.
            return self.upstream_insecure(i, t, Failure::Tls);
        };
        if !self.introduce_at_once(up) {
            return self.connection_refused(i, t);
        }
        self.conns.secure(up, begun, &[]);
        if let Some(u) = self.conns.up(up) {
            u.shaking = true;
        }
        self.shake_upstream(i, up, t)
    }

    pub(super) fn shake_upstream(&mut self, i: u32, up: u32, t: &mut Txn) -> Next {
        match self.conns.handshake(up) {
            Shake::Wait => Next::Wait,
            Shake::Failed(why) if why.certificate => {
                self.upstream_insecure(i, t, Failure::TlsCertificate)
            }
            Shake::Failed(_) => self.upstream_insecure(i, t, Failure::Tls),
            Shake::Done => {
                if let Some(u) = self.conns.up(up) {
                    u.shaking = false;
                }
                self.connection_made(i, up, t)
            }
        }
    }

    /// Nothing of the request was sent: another endpoint may have it.
    pub(super) fn upstream_insecure(&mut self, i: u32, t: &mut Txn, why: Failure) -> Next {
        self.count_upstream(t, Count::Insecure);
        self.drop_upstream(t);
        t.stage = Stage::Asking;
        let choice = t.run.refused(&mut env!(self), t.forward);
        let failure = match choice {
            Choice::Endpoint(_) => match self.connect(i, t, choice) {
                Ok(()) => return Next::Again,
                Err(failure) => failure,
            },
            // Why the last of them failed says more than that all did.
            Choice::Fail(_) => why,
        };
        self.forward_failed(i, t, failure)
    }
}

/// What a request gets that came by a connection that is not good for it.
pub(super) fn misdirected() -> Reply {
    let why = "This host is not served on this connection: make another.";
    Reply::problem(421, "misdirected", why)
}

/// As nginx has it: whoever reads this can mend their URL.
const PLAIN_HTTP: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/problem+json\r\n\
Content-Length: 126\r\nConnection: close\r\n\r\n\
{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"code\":\"plain_http\",\"detail\":\"This port speaks HTTPS: use https://.\"}";
