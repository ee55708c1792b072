//! The vectors of a protected table: a sqlite-vec table, which only we reach.

use std::sync::Arc;

use rusqlite::types::Value;
use tamis_core::{chunk::check_vector, input};
use tamis_dialect::quoted;

use crate::connection::{Shared, text};
use crate::error::Error;
use crate::layout::Layout;
use crate::rules::{self, BASE};

/// A sqlite-vec table with one column of 32-bit floats.
pub(crate) struct Vectors {
    /// Its name, as SQL.
    pub(crate) table: String,
    /// The column of vectors, as SQL.
    pub(crate) column: String,
    /// The function of two vectors that it ranks by.
    pub(crate) distance: &'static str,
    dimensions: usize,
    /// `USING vec0(…)`.
    definition: String,
}

impl Vectors {
    /// The vectors of a protected table, if it has any.
    pub(crate) fn of(shared: &Arc<Shared>, layout: &Layout) -> Result<Option<Self>, Error> {
        let Some(name) = &layout.vectors else { return Ok(None) };
        Self::find(shared, layout, &format!("{BASE}{name}")).map(Some)
    }

    fn find(shared: &Arc<Shared>, layout: &Layout, name: &str) -> Result<Self, Error> {
        let failed =
            |message: &str| Error::table(&layout.table, format!("the table of vectors `{name}` {message}"));
        let schema = quoted(&layout.schema);
        let sql = format!(
            "SELECT sql FROM {schema}.sqlite_master WHERE type = 'table' AND name = ? COLLATE NOCASE"
        );
        let Some(Value::Text(sql)) =
            shared.query(&sql, &[text(name)])?.map(|row| row.value(0)).transpose()?
        else {
            return Err(failed("does not exist"));
        };
        let unknown = || failed("is no table of sqlite-vec with one column of `float[…]`");
        let lower = sql.to_ascii_lowercase();
        let start = lower.find(" using vec0").ok_or_else(unknown)? + 1;
        let definition = sql.get(start..).ok_or_else(unknown)?;
        let (_, columns) = definition.split_once('(').ok_or_else(unknown)?;
        let columns =
            columns.trim_end().trim_end_matches(';').trim_end().strip_suffix(')').ok_or_else(unknown)?;
        let mut vectors = None;
        for column in columns.split(',').map(str::trim) {
            let lower = column.to_ascii_lowercase();
            if lower.contains("primary key") {
                continue;
            }
            let (name, rest) = lower.split_once(" float[").ok_or_else(unknown)?;
            let (dimensions, rest) = rest.split_once(']').ok_or_else(unknown)?;
            let dimensions: usize = dimensions.trim().parse().map_err(|_| unknown())?;
            let distance = match rest.split_once('=').map(|(_, metric)| metric.trim()) {
                None if rest.trim().is_empty() => "vec_distance_l2",
                Some("l2") => "vec_distance_l2",
                Some("cosine") => "vec_distance_cosine",
                Some("l1") => "vec_distance_l1",
                _ => return Err(unknown()),
            };
            if vectors.replace((quoted(name.trim().trim_matches('"')), dimensions, distance)).is_some() {
                return Err(unknown());
            }
        }
        let (column, dimensions, distance) = vectors.ok_or_else(unknown)?;
        let table = format!("{schema}.{}", quoted(name));
        Ok(Self { table, column, distance, dimensions, definition: definition.to_owned() })
    }

    /// Copies all vectors into a table of another name, and drops this one.
    fn move_to(&self, shared: &Arc<Shared>, name: &str) -> Result<(), Error> {
        let Self { table, column, definition, .. } = self;
        let target = format!("main.{}", quoted(name));
        shared.execute(&format!("CREATE VIRTUAL TABLE {target} {definition}"), &[])?;
        shared.execute(
            &format!("INSERT INTO {target} (rowid, {column}) SELECT rowid, {column} FROM {table}"),
            &[],
        )?;
        shared.execute(&format!("DROP TABLE {table}"), &[])
    }

    /// A vector, as sqlite-vec stores it, from one or from a JSON array.
    pub(crate) fn read(&self, layout: &Layout, value: &Value) -> Result<Value, Error> {
        let failed = |message: String| Error::table(&layout.table, format!("the vector: {message}"));
        let vector: Vec<f32> = match value {
            Value::Blob(bytes) if bytes.len() % 4 == 0 => bytes
                .chunks_exact(4)
                .filter_map(|number| number.try_into().ok().map(f32::from_ne_bytes))
                .collect(),
            Value::Text(text) => input::parse(text).map_err(|error| failed(error.to_string()))?,
            _ => return Err(failed("is neither a BLOB of 32-bit floats nor a JSON array".to_owned())),
        };
        check_vector(&vector).map_err(failed)?;
        if vector.len() != self.dimensions {
            return Err(failed(format!(
                "it has {} numbers; the table has {}",
                vector.len(),
                self.dimensions
            )));
        }
        if vector.iter().all(|number| *number == 0.0) && self.distance == "vec_distance_cosine" {
            return Err(failed("it is zero, which has no direction to compare".to_owned()));
        }
        Ok(Value::Blob(vector.iter().flat_map(|number| number.to_ne_bytes()).collect()))
    }

    /// Stores the vector of a row.
    pub(crate) fn insert(&self, shared: &Arc<Shared>, row: i64, vector: Value) -> Result<(), Error> {
        let sql = format!("INSERT INTO {} (rowid, {}) VALUES (?, ?)", self.table, self.column);
        shared.execute(&sql, &[Value::Integer(row), vector])
    }

    /// Removes the vector of a row, if there is one.
    pub(crate) fn remove(&self, shared: &Arc<Shared>, row: i64) -> Result<(), Error> {
        shared.execute(&format!("DELETE FROM {} WHERE rowid = ?", self.table), &[Value::Integer(row)])
    }
}

/// Puts the table of vectors out of reach, together with the table.
pub(crate) fn protect(shared: &Arc<Shared>, layout: &Layout) -> Result<(), Error> {
    let Some(name) = &layout.vectors else { return Ok(()) };
    if rules::is_internal(name) {
        return Err(Error::table(name, "it belongs to the protection itself"));
    }
    Vectors::find(shared, layout, name)?.move_to(shared, &format!("{BASE}{name}"))
}

/// Puts it back.
pub(crate) fn unprotect(shared: &Arc<Shared>, layout: &Layout) -> Result<(), Error> {
    match (&layout.vectors, Vectors::of(shared, layout)?) {
        (Some(name), Some(vectors)) => vectors.move_to(shared, name),
        _ => Ok(()),
    }
}
