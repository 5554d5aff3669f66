//! Single operations of `algo`, each beside the best crate known for it.
//!
//! ```text
//! cargo bench -p bench-micro --features micro                     # all of it, with criterion
//! cargo bench -p bench-micro --features micro --bench ratios      # the table of ratios, 1 minute
//! cargo bench -p bench-micro --features micro --bench ratios -- --json [NAME]
//! ```
//!
//! `ratios` is what is published: medians of interleaved rounds, ours / theirs. The criterion
//! benches look at the same operations one by one, to find out why.
#![forbid(unsafe_code)]

#[cfg(feature = "micro")]
pub mod balance;
#[cfg(feature = "micro")]
pub mod hashing;
#[cfg(feature = "micro")]
pub mod limits;
pub mod ratio;
