//! Parts shared by the measuring programs: sockets, TLS, answers, chunked bodies, WebSocket frames, `/proc`, arguments.
//!
//! The programs are `origin` (the upstream), `load` (the client), `floor` (the least a proxy can do),
//! `idle` (connections that rest) and `flood` (a hostile client, and good ones beside it). They are
//! never part of the product. All but `flood` are one thread each; `taskset` decides where their work
//! happens, and all say `ready PORT` or one line of JSON on standard output, which is what `bench/load`
//! and `test/floods.test.ts` read.

pub mod answer;
pub mod args;
pub mod attack;
pub mod channel;
pub mod chunk;
pub mod frame;
pub mod http2;
pub mod procfs;
pub mod sample;
pub mod sys;
