//! A gateway in front of a vector database: clients speak to it as to the database, and get what their user may read.
//!
//! ```text
//! client ──token──▶ identity ──request──▶ rewrite ──filter──▶ database ──points──▶ filter gate ──▶ client
//!        ──points to store──────────────▶ admit ─────────────▶ database
//! ```
//!
//! Every request is read, and one of the gateway's own is made of what was understood; nothing is passed on that was not. The policy
//! decides on every point that goes out, over its whole payload. Whatever fails hands out nothing.

mod answer;
mod config;
mod database;
mod error;
mod gateway;
mod identity;
mod keys;
mod members;
mod metrics;
mod patient;
mod policy;
mod qdrant;
mod route;
mod server;
mod upstream;

pub use config::{AgentConfig, Collection, Config, Kind, Limits, PolicyConfig, TokenConfig, UpstreamConfig};
pub use error::Error;
pub use gateway::Gateway;
pub use server::serve;
