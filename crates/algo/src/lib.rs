//! Numbers only: the arithmetic of limiting, hashing and balancing.
//!
//! Pure: time is a `u64` of nanoseconds that the caller passes in, randomness is a `u64` that the
//! caller passes in. Nothing here reads a clock, does I/O or allocates after its constructor, and
//! every decision is total: it answers for all arguments and never panics.
//!
//! | module | answers |
//! |---|---|
//! | [`gcra`] | is this request within its rate? |
//! | [`table`] | the same for many keys, over all threads of a process, in bounded memory |
//! | [`maglev`] | which node owns this key? |
//! | [`p2c`] | which of two random nodes is less busy? |
//! | [`round_robin`] | whose turn is it? |
//! | [`hash`] | stable, keyed and mixing hashes |
//! | [`rng`] | a small fast generator, seeded by its caller |
#![forbid(unsafe_code)]

pub mod gcra;
pub mod hash;
pub mod maglev;
pub mod p2c;
pub mod rng;
pub mod round_robin;
pub mod table;

pub use gcra::{BadRate, Decision, Gcra};
pub use hash::{hash_key, mix64, stable_hash};
pub use maglev::{BadMaglev, Maglev};
pub use rng::Rng;
pub use round_robin::{BadWeights, RoundRobin, SmoothRoundRobin};
pub use table::{BadCapacity, GcraTable};
