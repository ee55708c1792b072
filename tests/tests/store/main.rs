//! Index and search through the gates, over the embedded store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure here is a failure of the test"
)]

mod concurrency;
mod corpus;
mod files;
mod index;
mod recall;
mod search;
mod text;
mod ways;
