//! Writing chunks.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde_json::{Value as Json, json};
use tamis_core::chunk::check_vector;
use tamis_core::{Attributes, Chunk};
use tamis_dialect::ancestor_key;

use super::{schema, terms};
use crate::error::Error;

/// sqlite-vec takes no longer vectors.
const MAX_DIMENSIONS: usize = 8192;

/// Chunks being written; without [`Transaction::commit`] nothing of it stays.
pub struct Transaction<'a> {
    inner: rusqlite::Transaction<'a>,
    path: &'a str,
    dimensions: Option<usize>,
}

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transaction").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'a> Transaction<'a> {
    pub(super) fn begin(connection: &'a mut Connection, path: &'a str) -> Result<Self, Error> {
        let failed = Error::sqlite(path);
        let inner = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&failed)?;
        let dimensions = schema::dimensions(&inner).map_err(&failed)?;
        Ok(Self { inner, path, dimensions })
    }

    /// How many numbers a vector has here; `None` before the first one is stored.
    pub fn dimensions(&self) -> Option<usize> {
        self.dimensions
    }

    /// The stored chunk with this id.
    ///
    /// # Errors
    /// If the database fails, or the stored chunk cannot be read.
    pub fn get(&self, id: &str) -> Result<Option<Chunk>, Error> {
        super::get(&self.inner, self.path, id)
    }

    /// Why `chunk` cannot be stored here, in words; `None` if it can.
    pub fn unfit(&self, chunk: &Chunk) -> Option<String> {
        if has_null_name(&chunk.attributes) || has_null_name(&chunk.tags) {
            return Some("the name of an attribute holds the character U+0000".to_owned());
        }
        let vector = chunk.vector.as_ref()?;
        if let Err(message) = check_vector(vector) {
            return Some(format!("its vector cannot be stored: {message}"));
        }
        if vector.len() > MAX_DIMENSIONS {
            return Some(format!(
                "its vector has {} numbers; at most {MAX_DIMENSIONS} can be stored",
                vector.len()
            ));
        }
        if to_blob(vector).is_none() {
            return Some("its vector is zero, which has no direction to compare".to_owned());
        }
        match self.dimensions {
            Some(dimensions) if dimensions != vector.len() => {
                Some(format!("its vector has {} numbers; this database has {dimensions}", vector.len()))
            }
            _ => None,
        }
    }

    /// Stores a chunk in place of the one with the same id, if any.
    ///
    /// # Errors
    /// If the database fails, or the chunk is [unfit](Transaction::unfit); then nothing has changed.
    pub fn put(&mut self, chunk: &Chunk) -> Result<(), Error> {
        if let Some(reason) = self.unfit(chunk) {
            let message = format!("the chunk `{}` cannot be stored: {reason}", chunk.uid.id);
            return Err(Error::Store { path: self.path.to_owned(), message });
        }
        let replaced = self.remove(&chunk.uid.id)?;
        let ancestors: Vec<String> = chunk.ancestors.iter().map(ancestor_key).collect();
        let inserted = self
            .inner
            .prepare_cached(
                "INSERT INTO chunks (rowid, chunk_type, chunk_id, attributes, tags, ancestors, text)
                 VALUES (?, ?, ?, jsonb(?), ?, ?, ?)",
            )
            .and_then(|mut insert| {
                insert.insert(params![
                    replaced,
                    chunk.uid.entity_type,
                    chunk.uid.id,
                    Json::Object(chunk.attributes.clone()).to_string(),
                    Json::Object(chunk.tags.clone()).to_string(),
                    json!(ancestors).to_string(),
                    chunk.text,
                ])
            });
        let row = inserted.map_err(Error::sqlite(self.path))?;
        terms::add(&self.inner, row, chunk).map_err(Error::sqlite(self.path))?;
        if let Some(text) = &chunk.text {
            self.execute("INSERT INTO words (rowid, text) VALUES (?, ?)", params![row, text])?;
        }
        if let Some(vector) = &chunk.vector {
            self.put_vector(row, vector)?;
        }
        Ok(())
    }

    /// Makes everything stay.
    ///
    /// # Errors
    /// If the database fails; then nothing stays.
    pub fn commit(self) -> Result<(), Error> {
        self.inner.commit().map_err(Error::sqlite(self.path))
    }

    fn put_vector(&mut self, row: i64, vector: &[f32]) -> Result<(), Error> {
        if self.dimensions.is_none() {
            schema::create_vectors(&self.inner, vector.len()).map_err(Error::sqlite(self.path))?;
            self.dimensions = Some(vector.len());
        }
        let blob = to_blob(vector);
        self.execute("INSERT INTO embeddings (row, embedding) VALUES (?, ?)", params![row, blob])?;
        self.execute("INSERT INTO vectors (rowid, embedding) VALUES (?, ?)", params![row, blob])
    }

    /// Removes the chunk with this id, if there is one. Gives its row, which is for what replaces it: rows have no gaps.
    fn remove(&mut self, id: &str) -> Result<Option<i64>, Error> {
        let sql = "SELECT rowid FROM chunks WHERE chunk_id = ?";
        let row = self.inner.query_row(sql, params![id], |row| row.get(0)).optional();
        let row: Option<i64> = row.map_err(Error::sqlite(self.path))?;
        let Some(row) = row else {
            return Ok(None);
        };
        // One that cannot be read can be replaced all the same.
        let chunk = self.get(id).ok().flatten();
        terms::remove(&self.inner, row, chunk.as_ref()).map_err(Error::sqlite(self.path))?;
        self.execute("DELETE FROM chunks WHERE rowid = ?", params![row])?;
        self.execute("DELETE FROM words WHERE rowid = ?", params![row])?;
        if self.dimensions.is_some() {
            self.execute("DELETE FROM embeddings WHERE row = ?", params![row])?;
            self.execute("DELETE FROM vectors WHERE rowid = ?", params![row])?;
        }
        Ok(Some(row))
    }

    fn execute(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<(), Error> {
        let done = self.inner.prepare_cached(sql).and_then(|mut statement| statement.execute(parameters));
        done.map(|_| ()).map_err(Error::sqlite(self.path))
    }
}

/// A vector as sqlite-vec takes it: 32-bit floats in the machine's byte order, here of length 1. `None` if it is zero.
///
/// sqlite-vec adds up squares in 32 bits. Those of very small numbers vanish there, which makes a chunk nearer to
/// everything than anything else; those of very large ones overflow, which fails every search that meets the chunk.
pub(super) fn to_blob(vector: &[f32]) -> Option<Vec<u8>> {
    let length = vector.iter().map(|number| f64::from(*number).powi(2)).sum::<f64>().sqrt();
    let unit = |number: &f32| ((f64::from(*number) / length) as f32).to_ne_bytes();
    (length > 0.0).then(|| vector.iter().flat_map(unit).collect())
}

/// Whether the name of a member, at any depth, holds U+0000. SQLite's JSON paths take such a name for the part before it,
/// so that a filter could miss the chunk.
fn has_null_name(object: &Attributes) -> bool {
    fn inside(json: &Json) -> bool {
        match json {
            Json::Array(elements) => elements.iter().any(inside),
            Json::Object(object) => has_null_name(object),
            _ => false,
        }
    }
    object.iter().any(|(name, json)| name.contains('\0') || inside(json))
}
