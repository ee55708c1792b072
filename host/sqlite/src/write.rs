//! Writing to a protected table: the row must be admitted as it is stored, and so must the one that it replaces.
//!
//! The decision falls in triggers on the table under the protected one, so that SQLite undoes all of a statement that is refused, and so
//! that no program without this extension writes there.

use std::sync::Arc;

use rusqlite::types::Value;
use tamis_dialect::quoted;

use crate::connection::Shared;
use crate::error::Error;
use crate::gate::{Gate, read_row};
use crate::layout::Layout;
use crate::narrow::Condition;
use crate::rules::BASE;
use crate::vectors::Vectors;

/// The names and conditions of the triggers, and what each asks.
const TRIGGERS: [(&str, &str, &str); 4] = [
    ("insert", "AFTER INSERT", "NEW"),
    ("before_update", "BEFORE UPDATE", "OLD"),
    ("update", "AFTER UPDATE", "NEW"),
    ("delete", "BEFORE DELETE", "OLD"),
];

fn trigger(table: &str, name: &str) -> String {
    quoted(&format!("{BASE}{table}_{name}"))
}

/// Has every write to the table under `table` decided on.
pub(crate) fn install(shared: &Arc<Shared>, layout: &Layout) -> Result<(), Error> {
    let literal = layout.table.replace('\'', "''");
    for (name, when, row) in TRIGGERS {
        // RAISE has SQLite keep what is needed to undo the statement.
        let sql = format!(
            "CREATE TRIGGER main.{} {when} ON {} BEGIN
                SELECT CASE WHEN tamis_internal_admit('{literal}', {row}.{}, '{when}') IS NOT 1
                    THEN RAISE(ABORT, 'tamis: denied') END;
            END",
            trigger(&layout.table, name),
            quoted(&format!("{BASE}{}", layout.table)),
            layout.rowid,
        );
        shared.execute(&sql, &[])?;
    }
    Ok(())
}

/// Takes the triggers away.
pub(crate) fn remove(shared: &Arc<Shared>, table: &str) -> Result<(), Error> {
    for (name, ..) in TRIGGERS {
        shared.execute(&format!("DROP TRIGGER IF EXISTS main.{}", trigger(table, name)), &[])?;
    }
    Ok(())
}

/// `tamis_internal_admit(table, rowid, when)`: 1 if the request may write the row as it is stored now, or else an error.
pub(crate) fn admit(shared: &Arc<Shared>, table: &str, row: i64, when: &str) -> Result<i64, Error> {
    // By itself it would tell which rows there are.
    let Some(schema) = shared.written() else {
        return Err(Error::Argument("`tamis_internal_admit` is for triggers of protected tables".to_owned()));
    };
    let layout = Arc::new(Layout::find(shared, &schema, table)?);
    let mut gate = Gate::to_write(shared, &layout)?;
    let everything = Condition { sql: "tamis_rowid = ?".to_owned(), values: Vec::new() };
    let wanted = gate.read.columns.clone();
    let mut statement = gate.rows(&everything, &[], &wanted)?;
    statement.bind(&[Value::Integer(row)])?;
    if !statement.step()? {
        return Err(Error::table(table, "a row vanished while it was written"));
    }
    let stored = read_row(&statement, &wanted)?;
    gate.admit(&stored, when == "AFTER INSERT")?;
    Ok(1)
}

/// Inserts a row and, if the table has vectors, its vector.
pub(crate) fn insert(
    shared: &Arc<Shared>,
    layout: &Layout,
    row: Option<i64>,
    values: Vec<Value>,
) -> Result<i64, Error> {
    // Nothing is even tried for nobody.
    shared.access().request()?;
    let mut values = values.into_iter();
    let mut columns = Vec::new();
    let mut given = Vec::new();
    for (column, value) in layout.columns.iter().zip(values.by_ref()) {
        if column.generated {
            check_generated(layout, &column.name, &value)?;
        } else if !(value == Value::Null && column.has_default) {
            columns.push(quoted(&column.name));
            given.push(value);
        }
    }
    let vector = vector(shared, layout, values.next())?;
    // The rowid may be one of the columns as well; then both are the same.
    if let Some(row) = row {
        columns.push(layout.rowid.to_owned());
        given.push(Value::Integer(row));
    }
    let base = layout.base();
    let sql = if columns.is_empty() {
        format!("INSERT INTO {base} DEFAULT VALUES")
    } else {
        let marks = vec!["?"; columns.len()].join(", ");
        format!("INSERT INTO {base} ({}) VALUES ({marks})", columns.join(", "))
    };
    shared.execute(&sql, &given)?;
    let row = shared.database().last_insert_rowid();
    // The row goes again if its vector cannot be stored: SQLite undoes single statements, not what a virtual table does in two.
    if let Err(error) = store_vector(shared, layout, row, vector) {
        shared.execute(&format!("DELETE FROM {base} WHERE {} = ?", layout.rowid), &[Value::Integer(row)])?;
        return Err(error);
    }
    Ok(row)
}

/// Stores the vector of a new row, if there is one. Another with its rowid can only be left over.
fn store_vector(
    shared: &Arc<Shared>,
    layout: &Layout,
    row: i64,
    vector: Option<(Vectors, Value)>,
) -> Result<(), Error> {
    if let Some(vectors) = Vectors::of(shared, layout)? {
        vectors.remove(shared, row)?;
    }
    vector.map_or(Ok(()), |(vectors, vector)| vectors.insert(shared, row, vector))
}

/// Changes those columns of a row for which there is a value.
pub(crate) fn update(
    shared: &Arc<Shared>,
    layout: &Layout,
    row: i64,
    to: i64,
    values: Vec<Option<Value>>,
) -> Result<(), Error> {
    shared.access().request()?;
    let mut values = values.into_iter();
    let mut changes = Vec::new();
    let mut given = Vec::new();
    for (column, value) in layout.columns.iter().zip(values.by_ref()) {
        let Some(value) = value else { continue };
        if column.generated {
            check_generated(layout, &column.name, &value)?;
        } else {
            changes.push(format!("{} = ?", quoted(&column.name)));
            given.push(value);
        }
    }
    let vector = vector(shared, layout, values.next().flatten())?;
    if to != row {
        if layout.vectors.is_some() {
            return Err(Error::table(&layout.table, "the rowid of a row with a vector stays as it is"));
        }
        changes.push(format!("{} = ?", layout.rowid));
        given.push(Value::Integer(to));
    }
    if changes.is_empty() {
        // It is decided on all the same.
        changes.push(format!("{0} = {0}", layout.rowid));
    }
    given.push(Value::Integer(row));
    let sql = format!("UPDATE {} SET {} WHERE {} = ?", layout.base(), changes.join(", "), layout.rowid);
    shared.execute(&sql, &given)?;
    match vector {
        Some((vectors, vector)) => {
            vectors.remove(shared, row)?;
            vectors.insert(shared, row, vector)
        }
        None => Ok(()),
    }
}

/// Deletes a row, and its vector.
pub(crate) fn delete(shared: &Arc<Shared>, layout: &Layout, row: i64) -> Result<(), Error> {
    shared.access().request()?;
    let sql = format!("DELETE FROM {} WHERE {} = ?", layout.base(), layout.rowid);
    shared.execute(&sql, &[Value::Integer(row)])?;
    Vectors::of(shared, layout)?.map_or(Ok(()), |vectors| vectors.remove(shared, row))
}

/// The vector that is given for a row, read, and where it goes.
fn vector(
    shared: &Arc<Shared>,
    layout: &Layout,
    value: Option<Value>,
) -> Result<Option<(Vectors, Value)>, Error> {
    match (Vectors::of(shared, layout)?, value) {
        (Some(vectors), Some(value)) if value != Value::Null => {
            let vector = vectors.read(layout, &value)?;
            Ok(Some((vectors, vector)))
        }
        _ => Ok(None),
    }
}

fn check_generated(layout: &Layout, name: &str, value: &Value) -> Result<(), Error> {
    if *value == Value::Null {
        return Ok(());
    }
    Err(Error::table(&layout.table, format!("`{name}` is computed and cannot be written")))
}
