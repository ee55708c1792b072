//! The only unsafe code of this crate: what rusqlite has no safe form for.
//!
//! Everything here is called by SQLite, or within a call from it, and so while the connection is open and, if several threads share it,
//! while this thread holds its mutex.

#![allow(unsafe_code)]

mod authorizer;
#[cfg(feature = "loadable")]
mod entry;
mod module;
mod statement;

pub(crate) use authorizer::{Asked, install};
pub(crate) use module::{Backend, Scan, create_module};
pub(crate) use statement::{Database, Statement};
