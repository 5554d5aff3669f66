//! Why a gateway does not start.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use gateway_core::config::Fault;

/// Why a gateway did not start, or a config was not published. What ran before still runs.
#[derive(Debug)]
pub enum StartError {
    /// A listener's address cannot be had.
    Bind {
        /// The listener.
        listener: String,
        /// What it should be bound to.
        address: SocketAddr,
        /// The system's word.
        source: io::Error,
    },
    /// The access log cannot be written.
    Log(io::Error),
    /// The config has faults that show only when its filters are built.
    Config(Vec<Fault>),
    /// The system gave no descriptor or thread.
    System(io::Error),
    /// The gateway is closing.
    Closing,
}

impl StartError {
    /// A word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Bind { .. } => "bind_failed",
            Self::Log(_) => "access_log_failed",
            Self::Config(_) => "config_invalid",
            Self::System(_) => "system",
            Self::Closing => "closing",
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind {
                listener,
                address,
                source,
            } => {
                let fix = match source.kind() {
                    io::ErrorKind::AddrInUse => "another program listens there: stop it, or bind another port",
                    io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege: bind a higher one, or grant CAP_NET_BIND_SERVICE",
                    io::ErrorKind::AddrNotAvailable => "no interface of this machine has this address",
                    _ => "check the address",
                };
                write!(
                    f,
                    "listener \"{listener}\" cannot listen on {address}: {source} ({fix})"
                )
            }
            Self::Log(e) => write!(
                f,
                "the access log cannot be written: {e} (check access_log.to)"
            ),
            Self::Config(faults) => write!(f, "the config has {} fault(s)", faults.len()),
            Self::System(e) => write!(
                f,
                "the system refused a descriptor or a thread: {e} (raise the limits)"
            ),
            Self::Closing => f.write_str("the gateway is closing"),
        }
    }
}

impl std::error::Error for StartError {}
