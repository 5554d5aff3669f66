//! The engine as a table of events to steps and effects: no I/O, and time is a number.

mod asks;
mod bodies;
mod bounds;
mod choose;
mod hedge;
mod kit;
mod order;
mod tell;
