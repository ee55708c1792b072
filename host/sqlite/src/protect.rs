//! Putting a table behind a policy, and out again.

use std::sync::Arc;

use rusqlite::types::Value;
use tamis_dialect::quoted;
use tamis_runtime::Policy;

use crate::connection::{Shared, text};
use crate::error::Error;
use crate::layout::{Layout, Place};
use crate::policies::{self, has_table};
use crate::rules::{self, BASE, MODULE};
use crate::{vectors, write};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS main.tamis_internal_tables (
    name TEXT PRIMARY KEY COLLATE NOCASE, policy TEXT NOT NULL, options TEXT NOT NULL)";

/// `tamis_protect(table, policy [, options])`: from now on the table's name stands for what the policy lets a request read and write.
pub(crate) fn protect(shared: &Arc<Shared>, table: &str, policy: &str, options: &str) -> Result<(), Error> {
    shared.administer("tamis_protect")?;
    let failed = |message: &str| Error::table(table, message);
    let sql = "SELECT type, name, sql FROM main.sqlite_master WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE";
    let row = shared.query(sql, &[text(table)])?.ok_or_else(|| failed("there is no such table"))?;
    let (kind, name, sql) = (row.value(0)?, row.value(1)?, row.value(2)?);
    drop(row);
    let (Value::Text(kind), Value::Text(table), Value::Text(sql)) = (kind, name, sql) else {
        return Err(failed("there is no such table"));
    };
    let table = table.as_str();
    if rules::is_internal(table) {
        return Err(failed("it belongs to the protection itself"));
    }
    if is_protected(shared, table)? {
        return Err(failed("it is protected already; `tamis_unprotect` comes first"));
    }
    if kind != "table" || sql.trim_start().to_ascii_uppercase().starts_with("CREATE VIRTUAL") {
        return Err(failed("only ordinary tables can be protected, no views or virtual tables"));
    }
    if shared
        .query("SELECT 1 FROM pragma_table_list(?) WHERE schema = 'main' AND wr", &[text(table)])?
        .is_some()
    {
        return Err(failed("a table WITHOUT ROWID cannot be protected"));
    }
    // Everything is checked before anything changes.
    let layout = Layout::of(shared, "main", table, table, policy, options)?;
    layout.read(&policies::find(shared, "main", policy)?.policy)?;
    check_rows(shared, &layout)?;
    shared.atomically(|| {
        shared.execute(CREATE, &[])?;
        let sql = "INSERT INTO main.tamis_internal_tables VALUES (?, ?, ?)";
        shared.execute(sql, &[text(table), text(policy), text(options)])?;
        rename(shared, table, &format!("{BASE}{table}"))?;
        vectors::protect(shared, &layout)?;
        write::install(shared, &layout)?;
        shared.execute(&format!("CREATE VIRTUAL TABLE main.{} USING {MODULE}", quoted(table)), &[])
    })
}

/// `tamis_unprotect(table)`: the table is an ordinary one again. Of one that lost what it stands for nothing is left.
pub(crate) fn unprotect(shared: &Arc<Shared>, table: &str) -> Result<(), Error> {
    shared.administer("tamis_unprotect")?;
    if !is_protected(shared, table)? {
        return Err(Error::table(table, "is not protected"));
    }
    let layout = Layout::find(shared, "main", table);
    let table = layout.as_ref().map_or(table, |layout| layout.table.as_str());
    shared.atomically(|| {
        write::remove(shared, table)?;
        shared.removing(|| shared.execute(&format!("DROP TABLE main.{}", quoted(table)), &[]))?;
        if has_table(shared, "main", &format!("{BASE}{table}"))? {
            rename(shared, &format!("{BASE}{table}"), table)?;
        }
        if let Ok(layout) = &layout {
            vectors::unprotect(shared, layout)?;
        }
        shared.execute("DELETE FROM main.tamis_internal_tables WHERE name = ?", &[text(table)])
    })
}

/// Renames a table. Views and triggers that name it go on naming it: they are to see what the policy lets them.
fn rename(shared: &Arc<Shared>, from: &str, to: &str) -> Result<(), Error> {
    let legacy = |on: bool| shared.execute(&format!("PRAGMA legacy_alter_table = {on}"), &[]);
    let was = shared.query("PRAGMA legacy_alter_table", &[])?.map(|row| row.value(0)).transpose()?;
    legacy(true)?;
    let renamed = shared.execute(&format!("ALTER TABLE main.{} RENAME TO {}", quoted(from), quoted(to)), &[]);
    legacy(was == Some(Value::Integer(1)))?;
    renamed
}

/// Rows that are no chunks would fail every statement later, and nobody would know why.
fn check_rows(shared: &Arc<Shared>, layout: &Layout) -> Result<(), Error> {
    let Place::Json(index) = layout.attributes else { return Ok(()) };
    let Some(column) = layout.columns.get(index) else { return Ok(()) };
    let (name, rowid) = (quoted(&column.name), layout.rowid);
    let sql = format!(
        "SELECT {rowid} FROM main.{} WHERE {name} IS NOT NULL AND CASE
            WHEN typeof({name}) <> 'text' THEN 1 WHEN NOT json_valid({name}) THEN 1 ELSE json_type({name}) <> 'object' END",
        quoted(&layout.table)
    );
    match shared.query(&sql, &[])?.map(|row| row.value(0)).transpose()? {
        None => Ok(()),
        Some(row) => {
            let row = if let Value::Integer(row) = row { row } else { 0 };
            let message =
                format!("`{}` of the row with rowid {row} is not a JSON object as text", column.name);
            Err(Error::table(&layout.table, message))
        }
    }
}

fn is_protected(shared: &Arc<Shared>, table: &str) -> Result<bool, Error> {
    if !has_table(shared, "main", "tamis_internal_tables")? {
        return Ok(false);
    }
    Ok(shared.query("SELECT 1 FROM main.tamis_internal_tables WHERE name = ?", &[text(table)])?.is_some())
}

fn all_protected_by(shared: &Arc<Shared>, policy: &str) -> Result<Vec<String>, Error> {
    let mut tables = Vec::new();
    if has_table(shared, "main", "tamis_internal_tables")? {
        let mut next =
            shared.query("SELECT name FROM main.tamis_internal_tables WHERE policy = ?", &[text(policy)])?;
        while let Some(mut row) = next {
            if let Value::Text(name) = row.value(0)? {
                tables.push(name);
            }
            next = row.step()?.then_some(row);
        }
    }
    Ok(tables)
}

/// A table that the policy protects.
pub(crate) fn protected_by(shared: &Arc<Shared>, policy: &str) -> Result<Option<String>, Error> {
    Ok(all_protected_by(shared, policy)?.into_iter().next())
}

/// Fails if a table that the policy protects has not what a new version of it reads.
pub(crate) fn check_policy(shared: &Arc<Shared>, name: &str, policy: &Policy) -> Result<(), Error> {
    for table in all_protected_by(shared, name)? {
        Layout::find(shared, "main", &table)?.read(policy)?;
    }
    Ok(())
}
