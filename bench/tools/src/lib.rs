//! Parts shared by the measuring programs: sockets, TLS, answers, chunked bodies, WebSocket frames, `/proc`, arguments.
//!
//! The programs are `origin` (the upstream), `load` (the client), `floor` (the least a proxy can do)
//! and `idle` (connections that rest). They are never part of the product. All four are one thread
//! each, so that `taskset` decides where their work happens, and all say `ready PORT` or one line of
//! JSON on standard output, which is what `bench/load` reads.

pub mod answer;
pub mod args;
pub mod channel;
pub mod chunk;
pub mod frame;
pub mod http2;
pub mod procfs;
pub mod sys;
