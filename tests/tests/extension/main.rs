//! The PostgreSQL extension on a real server: nobody reads or writes a row that the policy does not allow, by whatever way.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure here is a failure of the test"
)]

mod besides;
mod crash;
mod input;
mod interrupts;
mod lifting;
mod plans;
mod policies;
mod replicas;
mod requests;
mod rights;
mod rows;
mod search;
mod swaps;
mod versions;
mod ways;
