//! The layout of the file, and how to tell it from any other.

use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Error;

/// `Tams` in ASCII: marks a SQLite file as ours.
const APPLICATION_ID: i64 = 0x5461_6d73;
/// Changes whenever the layout does.
const VERSION: i64 = 3;

/// What is wrong with a file.
pub(super) enum Problem {
    Sqlite(rusqlite::Error),
    Foreign(String),
}

impl From<rusqlite::Error> for Problem {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Problem {
    pub(super) fn at(self, path: &str) -> Error {
        let path = path.to_owned();
        match self {
            Self::Sqlite(source) => Error::Sqlite { path, source },
            Self::Foreign(message) => Error::Store { path, message },
        }
    }
}

/// Checks that a file is ours, or lays it out if it is empty and may be made one.
pub(super) fn prepare(connection: &Connection, make: bool) -> Result<(), Problem> {
    let number =
        |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
    let application = number("application_id")?;
    if tables == 0 && application == 0 {
        let empty = || Problem::Foreign("the file is empty; `tamis index` makes a database of it".to_owned());
        return if make { create(connection) } else { Err(empty()) };
    }
    if application != APPLICATION_ID {
        return Err(Problem::Foreign("this is a SQLite database, but not one that tamis made".to_owned()));
    }
    let version = number("user_version")?;
    if version != VERSION {
        let message = format!("its layout has version {version}; this program reads version {VERSION}");
        return Err(Problem::Foreign(message));
    }
    Ok(())
}

fn create(connection: &Connection) -> Result<(), Problem> {
    // Readers go on while one writes. A file system that cannot do this keeps the default, which is also correct.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         CREATE TABLE IF NOT EXISTS chunks (
             rowid INTEGER PRIMARY KEY,
             chunk_type TEXT NOT NULL,
             chunk_id TEXT NOT NULL UNIQUE,
             attributes BLOB NOT NULL CHECK (json_type(attributes) = 'object'),
             tags TEXT NOT NULL CHECK (json_type(tags) = 'object'),
             ancestors TEXT NOT NULL CHECK (json_type(ancestors) = 'array'),
             text TEXT
         ) STRICT;
         CREATE TABLE IF NOT EXISTS terms (
             term INTEGER NOT NULL, row INTEGER NOT NULL, PRIMARY KEY (term, row)
         ) STRICT, WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS embeddings (row INTEGER PRIMARY KEY, embedding BLOB NOT NULL) STRICT;
         CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT;
         CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(text, content = '', contentless_delete = 1,
             tokenize = 'porter unicode61');
         PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {VERSION};
         COMMIT"
    ))?;
    Ok(())
}

/// How many numbers a vector has here; `None` before the first one is stored.
pub(super) fn dimensions(connection: &Connection) -> rusqlite::Result<Option<usize>> {
    let sql = "SELECT value FROM settings WHERE name = 'dimensions'";
    let stored: Option<i64> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    Ok(stored.and_then(|value| usize::try_from(value).ok()))
}

/// Makes the table of vectors for vectors of this size.
pub(super) fn create_vectors(connection: &Connection, dimensions: usize) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "CREATE VIRTUAL TABLE vectors USING vec0(embedding float[{dimensions}] distance_metric=cosine)"
    ))?;
    let value = i64::try_from(dimensions).unwrap_or(i64::MAX);
    connection.execute("INSERT INTO settings VALUES ('dimensions', ?)", params![value])?;
    Ok(())
}
