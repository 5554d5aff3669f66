//! HTTP/2, by the `h2` codec on buffers that this thread's loop fills and empties.
//!
//! - A stream of a client is an inner connection: its request becomes the bytes of an HTTP/1.1 request in a
//!   [`pipe`](crate::pipe), goes the way of every request through [`http1`](crate::http1), and what that answers becomes
//!   frames. So routes, filters, limits, retries and upstreams know one kind of request.
//! - An upstream that speaks HTTP/2 is the same the other way round: a connection of the pool that is a stream of a
//!   [`Mux`].
//! - [`server`] and [`mux`] drive a connection, [`stream`] and [`call`] one request of it; [`head`] and [`body`]
//!   convert; [`line`] stands between socket and codec; [`frames`] counts what floods.

mod body;
mod call;
mod frames;
mod head;
mod line;
mod mux;
mod server;
mod stream;
mod turn;

pub(crate) use frames::PREFACE;
pub(crate) use mux::{Mux, Muxes, To};
pub(crate) use server::Server;
