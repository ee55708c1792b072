//! Loads Tamis policies into wasmtime, calls them within limits, and swaps them while they serve.
//!
//! The way from bytes to a decision:
//!
//! ```text
//! bytes ──Policy::load──▶ Policy ──session(request)──▶ Session ──filter(chunks)───▶ decisions
//!                           ▲                             ├──────explain(chunks)──▶ decisions with reasons
//!                           │                             ├──────verdict(row)──────▶ allow, redact or deny
//!                           │                             └──────rewrite(query)───▶ filter
//!              PolicyHandle swaps it atomically
//! ```
//!
//! A chunk can be anything that implements [`tamis_core::Row`]: a row of a table, or JSON text of which an
//! [`Extractor`](tamis_core::Extractor) finds what the policy reads. A policy that decides on batches is asked once about chunks that
//! are alike in all that it reads, for as long as the session lasts.
//!
//! Whatever fails returns an [`Error`] and no decision at all, so that a caller cannot mistake a failure for an
//! allowance. This is the only crate that names wasmtime.

mod batch;
mod cache;
mod coded;
mod contract;
mod engine;
mod error;
mod frame;
mod functions;
mod handle;
mod instance;
mod limits;
mod outline;
mod policy;
mod rewrites;
mod session;
mod structure;
mod watch;

pub use batch::Verdict;
pub use cache::Cache;
pub use coded::Coded;
pub use engine::{InProcess, Runtime, RuntimeConfig};
pub use error::Error;
pub use handle::{Answer, Generation, PolicyHandle, SelfTest};
pub use limits::Limits;
pub use outline::Outline;
pub use policy::{Digest, Fact, Import, Policy};
pub use session::{Admission, Session};
pub use watch::Watch;
