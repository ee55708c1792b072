//! Tamis inside SQLite: from rusqlite, and as a loadable extension from Python and from SQLite's own shell.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure here is a failure of the test"
)]

mod attacks;
mod differential;
mod functions;
mod loadable;
mod named;
mod protected;
mod search;

use rusqlite::types::Value;
use rusqlite::{Connection, Params};
use serde_json::json;
use tempfile::TempDir;

const SCHEMA: &str = r#"
    entity User { tenant: String, clearance: Long };
    entity Chunk { tenant: String, level: Long, tags?: Set<String>, salary?: Long };
    action retrieve appliesTo { principal: User, resource: Chunk };
    action index appliesTo { principal: User, resource: Chunk };
"#;
const POLICY: &str = r#"
    @id("tenant") forbid(principal, action, resource) unless { resource.tenant == principal.tenant };
    @id("clearance") @redact("salary")
    permit(principal, action == Action::"retrieve", resource) when { resource.level <= principal.clearance };
    @id("managers")
    permit(principal, action == Action::"retrieve", resource) when { principal.clearance >= 3 };
    @id("index") permit(principal, action == Action::"index", resource) when { principal.clearance >= 2 };
"#;
/// As [`POLICY`], and nobody reads anything.
const NOBODY: &str = r#"@id("nobody") forbid(principal, action, resource);"#;
const EVERYBODY: &str = r#"@id("everybody") permit(principal, action, resource);"#;

const TABLE: &str = "
    CREATE TABLE docs (id INTEGER PRIMARY KEY, tenant TEXT, level INTEGER, salary INTEGER, body TEXT, half AS (salary / 2));
    INSERT INTO docs (id, tenant, level, salary, body) VALUES
        (1, 'acme', 0, 100, 'acme public'), (2, 'acme', 2, 200, 'acme secret'),
        (3, 'globex', 0, 300, 'globex public'), (4, 'globex', 2, 400, 'globex secret'),
        (5, NULL, 0, 500, 'no tenant'), (6, 'acme', 'zero', 600, 'no level'), (7, 'acme', 3, 700, 'acme top');
";

/// A connection to a database in memory.
fn memory() -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    tamis_sqlite::register(&connection).unwrap();
    connection
}

/// A connection to a file of this folder.
fn file(folder: &TempDir) -> Connection {
    let connection = Connection::open(folder.path().join("db.sqlite")).unwrap();
    tamis_sqlite::register(&connection).unwrap();
    connection
}

/// A database in memory with a protected table.
fn protected() -> Connection {
    let connection = memory();
    connection.execute_batch(TABLE).unwrap();
    load(&connection, "rag", POLICY);
    protect(&connection, "docs", "rag", "{}");
    connection
}

fn load(connection: &Connection, name: &str, policy: &str) -> i64 {
    let sql = "SELECT tamis_load(?, ?, ?)";
    connection.query_row(sql, [name, policy, SCHEMA], |row| row.get(0)).unwrap()
}

fn protect(connection: &Connection, table: &str, policy: &str, options: &str) {
    connection.query_row("SELECT tamis_protect(?, ?, ?)", [table, policy, options], |_| Ok(())).unwrap();
}

/// The JSON of a user.
fn user(id: &str, tenant: &str, clearance: i64) -> String {
    json!({
        "subject": {"type": "User", "id": id, "properties": {"tenant": tenant, "clearance": clearance}},
        "action": {"name": "retrieve"},
    })
    .to_string()
}

/// Sets the first request of a connection.
fn ask_as(connection: &Connection, request: &str) -> String {
    connection.query_row("SELECT tamis_request(?)", [request], |row| row.get(0)).unwrap()
}

/// Sets another request.
fn go_on_as(connection: &Connection, request: &str, ticket: &str) -> String {
    connection.query_row("SELECT tamis_request(?, ?)", [request, ticket], |row| row.get(0)).unwrap()
}

/// The first column of all rows.
fn column(connection: &Connection, sql: &str) -> Vec<Value> {
    try_column(connection, sql, []).unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn try_column(connection: &Connection, sql: &str, parameters: impl Params) -> rusqlite::Result<Vec<Value>> {
    let mut statement = connection.prepare(sql)?;
    statement.query_map(parameters, |row| row.get(0))?.collect()
}

fn integers(values: &[i64]) -> Vec<Value> {
    values.iter().copied().map(Value::Integer).collect()
}

/// Expects the statement to fail with this in its message.
#[track_caller]
fn refused(connection: &Connection, sql: &str, message: &str) {
    match try_column(connection, sql, []) {
        Ok(rows) => panic!("{sql}: not refused, but {rows:?}"),
        Err(error) => assert!(error.to_string().contains(message), "{sql}: {error}"),
    }
}
