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
//! | [`limit`] | and by another algorithm: [`bucket`], [`fixed_window`], [`sliding_window`], [`sliding_log`]? |
//! | [`limit_table`] | the same for many keys, and several limits at once |
//! | [`lease`] | is this request within a rate that several nodes share through a store? |
//! | [`lease_table`] | the same for many keys |
//! | [`lease_store`] | and what does the store do for it? |
//! | [`quota`] | does this key hold as many as it may? |
//! | [`fair_queue`] | whose turn is it among those that wait? |
//! | [`service_time`] | how long will this one wait? |
//! | [`gradient`] | how many at a time does this upstream bear? |
//! | [`maglev`] | which node owns this key? |
//! | [`ring`] | the same as ketama's clients answer it |
//! | [`rendezvous`] | the same without a table, exactly by weight |
//! | [`jump`](mod@jump) | the same for numbered buckets, without any memory |
//! | [`bounded`] | and if that node has its share already? |
//! | [`p2c`] | which of two random nodes is less busy? |
//! | [`round_robin`] | whose turn is it? |
//! | [`hash`] | stable, keyed and mixing hashes |
//! | [`rng`] | a small fast generator, seeded by its caller |
#![forbid(unsafe_code)]

pub mod bounded;
pub mod bucket;
pub mod fair_queue;
pub mod fixed_window;
pub mod gcra;
pub mod gradient;
pub mod hash;
pub mod jump;
pub mod lease;
mod lease_state;
pub mod lease_store;
pub mod lease_table;
pub mod limit;
pub mod limit_table;
pub mod maglev;
pub mod p2c;
pub mod quota;
pub mod rendezvous;
pub mod ring;
pub mod rng;
pub mod round_robin;
pub mod service_time;
pub mod sliding_log;
pub mod sliding_window;
pub mod table;

pub use bounded::{BadBound, Bounded};
pub use bucket::Bucket;
pub use fair_queue::{FairQueue, Place, Pushed};
pub use fixed_window::FixedWindow;
pub use gcra::{BadRate, Decision, Gcra};
pub use gradient::{Gradient, Settings as GradientSettings};
pub use hash::{hash_key, mix64, stable_hash};
pub use jump::jump;
pub use lease::{Fallback, Lease, LeaseAsk};
pub use lease_state::LeaseDecision;
pub use lease_store::store_gcra;
pub use lease_table::{HeldLease, LeaseTable};
pub use limit::{Answer, Limit, Said};
pub use limit_table::{Held, LimitTable};
pub use maglev::{BadMaglev, Maglev};
pub use quota::{Claim, QuotaTable};
pub use rendezvous::{BadRendezvous, Rendezvous};
pub use ring::{BadRing, KetamaRing};
pub use rng::Rng;
pub use round_robin::{BadWeights, RoundRobin, SmoothRoundRobin};
pub use service_time::{Expected, ServiceTime};
pub use sliding_log::SlidingLog;
pub use sliding_window::SlidingWindow;
pub use table::{BadCapacity, GcraTable};
