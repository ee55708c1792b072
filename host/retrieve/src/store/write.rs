//! Writing chunks.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde_json::{Value as Json, json};
use tamis_core::Chunk;
use tamis_dialect::ancestor_key;

use super::{CHUNK_COLUMNS, read_chunk, schema};
use crate::error::Error;

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
        let failed = |source| Error::Sqlite { path: path.to_owned(), source };
        let inner = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        let dimensions = schema::dimensions(&inner).map_err(failed)?;
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
        let sql = format!("SELECT {CHUNK_COLUMNS} FROM chunks WHERE chunk_id = ?");
        let row = self.sqlite(
            self.inner
                .prepare_cached(&sql)
                .and_then(|mut query| query.query_row(params![id], |row| Ok(read_chunk(row))).optional()),
        )?;
        row.transpose()
    }

    /// Stores a chunk in place of the one with the same id, if any.
    ///
    /// # Errors
    /// If the database fails, or the vector is not as long as the others.
    pub fn put(&mut self, chunk: &Chunk) -> Result<(), Error> {
        self.remove(&chunk.uid.id)?;
        let ancestors: Vec<String> = chunk.ancestors.iter().map(ancestor_key).collect();
        let inserted = self
            .inner
            .prepare_cached(
                "INSERT INTO chunks (chunk_type, chunk_id, attributes, tags, ancestors, text)
                 VALUES (?, ?, ?, ?, ?, ?)",
            )
            .and_then(|mut insert| {
                insert.insert(params![
                    chunk.uid.entity_type,
                    chunk.uid.id,
                    Json::Object(chunk.attributes.clone()).to_string(),
                    Json::Object(chunk.tags.clone()).to_string(),
                    json!(ancestors).to_string(),
                    chunk.text,
                ])
            });
        let row = self.sqlite(inserted)?;
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
        let path = self.path;
        self.inner.commit().map_err(|source| Error::Sqlite { path: path.to_owned(), source })
    }

    fn put_vector(&mut self, row: i64, vector: &[f32]) -> Result<(), Error> {
        match self.dimensions {
            None => {
                self.sqlite(schema::create_vectors(&self.inner, vector.len()))?;
                self.dimensions = Some(vector.len());
            }
            Some(dimensions) if dimensions != vector.len() => {
                let message = format!("a vector has {} numbers; this database has {dimensions}", vector.len());
                return Err(Error::Store { path: self.path.to_owned(), message });
            }
            Some(_) => {}
        }
        self.execute("INSERT INTO vectors (rowid, embedding) VALUES (?, ?)", params![row, to_blob(vector)])
    }

    fn remove(&mut self, id: &str) -> Result<(), Error> {
        let sql = "SELECT rowid FROM chunks WHERE chunk_id = ?";
        let row: Option<i64> = self.sqlite(self.inner.query_row(sql, params![id], |row| row.get(0)).optional())?;
        let Some(row) = row else {
            return Ok(());
        };
        self.execute("DELETE FROM chunks WHERE rowid = ?", params![row])?;
        self.execute("DELETE FROM words WHERE rowid = ?", params![row])?;
        if self.dimensions.is_some() {
            self.execute("DELETE FROM vectors WHERE rowid = ?", params![row])?;
        }
        Ok(())
    }

    fn execute(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<(), Error> {
        let done = self.inner.prepare_cached(sql).and_then(|mut statement| statement.execute(parameters));
        self.sqlite(done).map(|_| ())
    }

    fn sqlite<T>(&self, result: rusqlite::Result<T>) -> Result<T, Error> {
        result.map_err(|source| Error::Sqlite { path: self.path.to_owned(), source })
    }
}

/// A vector as sqlite-vec takes it: 32-bit floats in the machine's byte order.
pub(super) fn to_blob(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|number| number.to_ne_bytes()).collect()
}
