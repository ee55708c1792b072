#![doc = include_str!("../README.md")]

mod access;
mod chunks;
mod connection;
mod error;
mod functions;
mod gate;
mod layout;
mod listing;
mod narrow;
mod native;
mod policies;
mod protect;
mod rules;
mod search;
mod table;
mod vectors;
mod write;

use rusqlite::{Connection, Result};

use crate::connection::Shared;
use crate::native::Database;

/// Makes protected tables and the `tamis_…` functions part of a connection, for as long as it is open.
///
/// This sets the connection's authorizer; a program that sets another one afterwards has nothing allowed to it.
///
/// # Errors
/// If SQLite refuses a function or module, which it does only for lack of memory or in the middle of a call.
pub fn register(connection: &Connection) -> Result<()> {
    // A second time would leave tables that are open with what they had, and so with who asked before.
    if connection.prepare("SELECT tamis_lock()").is_ok() {
        return Ok(());
    }
    let shared = Shared::new(Database::of(connection));
    functions::register(connection, &shared)?;
    native::create_module::<table::Protected>(connection, rules::MODULE, &shared)?;
    native::create_module::<listing::Listing>(connection, "tamis_policies", &shared)?;
    native::create_module::<search::Search>(connection, "tamis_search", &shared)?;
    Ok(shared.guard()?)
}
