//! Step 7: where a request goes. Balancing, resting endpoints, and what a failure becomes.

mod announce;
mod attempt;
mod balance;

pub use announce::{announce, introduce, withdraw};
pub use attempt::{reply, Attempt, Choice, Failure};
pub use balance::{Balance, Turns};
