//! The gateway in front of Qdrant's engine: each endpoint as several users, and each way around that came to mind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure here is a failure of the test"
)]

mod apart;
mod around;
mod client;
mod exact;
mod failure;
mod limits;
mod official;
mod oracles;
mod people;
mod reads;
mod setup;
mod swap;
mod tokens;
mod wire;
mod writes;
