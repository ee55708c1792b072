//! Tamis policies inside PostgreSQL: a table's rows are sieved where they lie, whoever asks and however.
//!
//! ```text
//!                        row-level security (made by `tamis.protect`)
//!                                        │
//! row ──columns──▶ tamis.allowed() ──▶ `gate`: one policy, one request ──▶ true or false
//!                        │                  ▲              ▲
//!                  `shape`, `row`       `serving`      `request`
//! ```
//!
//! What is stored (policies, protections, keys) is in tables that `tamis--0.1.0.sql` makes; loading and protecting is SQL in that
//! file. This library decides, validates, compiles and narrows. `server` is all that touches the server; nothing here decides about
//! access but the policy.

mod backend;
mod error;
mod functions;
mod gate;
mod layout;
mod narrow;
mod planned;
mod request;
mod row;
mod server;
mod serving;
mod shape;
mod token;

pgrx::pg_module_magic!();
