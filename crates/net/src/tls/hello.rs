//! The first words of a client: who is asked for decides which certificate is shown and who must
//! show one back. So they are read before the connection is begun, and then once more by it.

use std::sync::Arc;

use gateway_core::config::ClientCertForward;
use rustls::server::{Acceptor, UnbufferedServerConnection};

use super::server::ServerTls;
use super::transport::Unshaken;

/// A client's greeting on its way in.
pub(super) struct Hello {
    acceptor: Acceptor,
    /// How much of what has come the acceptor has.
    fed: usize,
    tls: Arc<ServerTls>,
}

/// A greeting that was understood.
pub(super) struct Greeted {
    pub connection: UnbufferedServerConnection,
    pub sni: Option<Box<str>>,
    pub policy: u64,
    pub forward: ClientCertForward,
}

impl Hello {
    pub fn new(tls: Arc<ServerTls>) -> Self {
        Self {
            acceptor: Acceptor::default(),
            fed: 0,
            tls,
        }
    }

    /// Reads on; `came` is all that has come. An error has an alert to send.
    pub fn read(&mut self, came: &[u8]) -> Result<Option<Greeted>, (Unshaken, Vec<u8>)> {
        if speaks_http(came) {
            return Err((Unshaken::new("plain_http"), Vec::new()));
        }
        let failed = |code| (Unshaken::new(code), Vec::new());
        while self.fed < came.len() {
            let mut rest = &came[self.fed..];
            match self.acceptor.read_tls(&mut rest) {
                Ok(n) if n > 0 => self.fed += n,
                _ => return Err(failed("too_long")),
            }
            let accepted = match self.acceptor.accept() {
                Ok(Some(accepted)) => accepted,
                Ok(None) => continue,
                Err((error, mut alert)) => {
                    let mut bytes = Vec::new();
                    let _never_fails = alert.write_all(&mut bytes);
                    return Err((Unshaken::of(&error), bytes));
                }
            };
            let hello = accepted.client_hello();
            let chosen = self.tls.choose(&hello);
            let sni = hello.server_name().map(|n| n.to_ascii_lowercase().into());
            let connection = UnbufferedServerConnection::new(chosen.config);
            return Ok(Some(Greeted {
                connection: connection.map_err(|_| failed("internal"))?,
                sni,
                policy: chosen.policy,
                forward: chosen.forward,
            }));
        }
        Ok(None)
    }
}

/// True for the beginning of a request without TLS: no record begins with a letter.
fn speaks_http(came: &[u8]) -> bool {
    came.first().is_some_and(u8::is_ascii_uppercase)
}
