//! The embedded store: chunks, vectors and words in one SQLite file.
//!
//! | table | holds |
//! |---|---|
//! | `chunks` | id, metadata as JSONB, which filters read without parsing it, ancestors, text |
//! | `vectors` | sqlite-vec: an embedding per chunk, cosine distance |
//! | `embeddings` | the same, for what is ranked row by row |
//! | `words` | FTS5 over the texts, with the Porter stemmer |
//! | `terms` | what chunks hold, to find those that a filter can match |
//!
//! What the policy's filter can match is looked up in `terms`, or the filter is tested over `chunks`; either reaches sqlite-vec and FTS5 before they
//! rank, or, where the filter matches much, what they rank best is tested until there is enough ([`reach`], [`nearest`], [`candidates`]). So k is never
//! starved by a selective filter.

mod candidates;
mod nearest;
mod ranked;
mod reach;
mod schema;
mod terms;
mod vec;
mod write;

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, ffi, params, params_from_iter};
use serde_json::{Value as Json, json};
use tamis_core::{Chunk, EntityUid, Filter, InputError};
use tamis_dialect::{Cover, Parameter, Sqlite, Translation};

use crate::error::Error;
use crate::source::{By, Opened, VectorSource, read_ancestors};
pub use write::Transaction;

/// How long to wait for another process that writes.
const BUSY: Duration = Duration::from_secs(5);
/// How long to wait before trying again where SQLite does not wait by itself.
const AGAIN: Duration = Duration::from_millis(10);
/// How much of the file a connection keeps in memory, at most. SQLite's own 2 MB hold the vectors of a few thousand chunks, and a search looks at
/// many.
const CACHE_KIB: i64 = 64 * 1024;

/// The columns that [`read_chunk`] reads.
const CHUNK_COLUMNS: &str = "chunk_type, chunk_id, json(attributes), tags, ancestors, text";

/// A database of chunks in one file. One thread at a time uses it; others open it again.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: String,
}

impl Store {
    /// Opens a database, and makes it if there is none.
    ///
    /// # Errors
    /// If the file is not a database of this kind and version, or cannot be opened.
    pub fn create(path: &Path) -> Result<Self, Error> {
        Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)
    }

    /// Opens a database that exists, to search it.
    ///
    /// # Errors
    /// As [`Store::create`], and if there is none, or the file is empty.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if !path.exists() {
            let message = "there is no such database; `tamis index` makes one".to_owned();
            return Err(Error::Store { path: path.display().to_string(), message });
        }
        Self::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    fn connect(path: &Path, flags: OpenFlags) -> Result<Self, Error> {
        let name = path.display().to_string();
        vec::register().map_err(|message| Error::Store { path: name.clone(), message })?;
        // To SQLite an empty name, `:memory:` and `file:…` are no files; an absolute path is always one.
        let file = std::path::absolute(path)
            .map_err(|error| Error::Store { path: name.clone(), message: error.to_string() })?;
        let make = flags.contains(OpenFlags::SQLITE_OPEN_CREATE);
        let unusable = |message: &str| Error::Store { path: name.clone(), message: message.to_owned() };
        if file.is_dir() {
            return Err(unusable("this is a folder; a database is a file"));
        }
        if file.parent().is_some_and(|folder| !folder.exists()) {
            return Err(unusable("there is no such folder"));
        }
        let connection = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(Error::sqlite(&name))?;
        connection.busy_timeout(BUSY).map_err(Error::sqlite(&name))?;
        prepare(&connection, make).map_err(|problem| match problem {
            schema::Problem::Sqlite(error) if is_in_closed_folder(&error) => unusable(
                "its folder cannot be written to, which searches need too: readers share memory through a file beside the database",
            ),
            problem => problem.at(&name),
        })?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB).map_err(Error::sqlite(&name))?;
        Ok(Self { connection, path: name })
    }

    /// How many chunks are stored.
    ///
    /// # Errors
    /// If the database fails.
    pub fn len(&self) -> Result<usize, Error> {
        let count = self.connection.query_row("SELECT count(*) FROM chunks", [], |row| row.get(0));
        let count: i64 = count.map_err(Error::sqlite(&self.path))?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Whether nothing is stored.
    ///
    /// # Errors
    /// If the database fails.
    pub fn is_empty(&self) -> Result<bool, Error> {
        self.len().map(|length| length == 0)
    }

    /// The chunk with this id.
    ///
    /// # Errors
    /// If the database fails, or the stored chunk cannot be read.
    pub fn get(&self, id: &str) -> Result<Option<Chunk>, Error> {
        get(&self.connection, &self.path, id)
    }

    /// Begins to write.
    ///
    /// # Errors
    /// If another process holds the database for longer than five seconds.
    pub fn begin(&mut self) -> Result<Transaction<'_>, Error> {
        Transaction::begin(&mut self.connection, &self.path)
    }
}

/// As [`schema::prepare`], once nobody else is at it. SQLite does not wait where a connection that reads is to write, as two of these would
/// wait for each other: so `PRAGMA journal_mode` fails at once while another process lays out the same file.
fn prepare(connection: &Connection, make: bool) -> Result<(), schema::Problem> {
    let begun = Instant::now();
    loop {
        match schema::prepare(connection, make) {
            Err(schema::Problem::Sqlite(error))
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && begun.elapsed() < BUSY =>
            {
                std::thread::sleep(AGAIN);
            }
            done => return done,
        }
    }
}

/// Whether SQLite could not make its files beside the database.
fn is_in_closed_folder(error: &rusqlite::Error) -> bool {
    let codes = [ffi::SQLITE_READONLY_DIRECTORY, ffi::SQLITE_READONLY_CANTINIT];
    matches!(error, rusqlite::Error::SqliteFailure(error, _) if codes.contains(&error.extended_code))
}

impl VectorSource for Store {
    fn open<'a>(&'a self, by: By<'a>, filter: &Filter) -> Result<Opened<'a>, Error> {
        let (Translation { native, widened }, cover) = Sqlite::default().translate_with_cover(filter);
        let snapshot = self.connection.unchecked_transaction().map_err(Error::sqlite(&self.path))?;
        let parameters = native.parameters.into_iter().map(|parameter| match parameter {
            Parameter::Text(text) => SqlValue::Text(text),
            Parameter::Integer(number) => SqlValue::Integer(number),
            Parameter::Real(number) => SqlValue::Real(number),
        });
        let condition = Condition { sql: native.text, parameters: parameters.collect(), cover };
        let count = "SELECT coalesce(max(rowid), 0) FROM chunks";
        let rows = snapshot.query_row(count, [], |row| row.get(0)).map_err(Error::sqlite(&self.path))?;
        let condition = (*filter != Filter::Always).then_some(condition);
        let view = View { snapshot, path: &self.path, rows, condition };
        Ok(Opened { candidates: candidates::open(view, by)?, widened })
    }
}

/// One consistent view of the data, with the filter of a search.
struct View<'a> {
    snapshot: rusqlite::Transaction<'a>,
    path: &'a str,
    /// How many rows there are. They are numbered from 1 without gaps: a chunk goes only when another takes its place.
    rows: i64,
    /// `None` if everything matches.
    condition: Option<Condition>,
}

/// A filter as SQL, with its values ready to bind.
struct Condition {
    sql: String,
    parameters: Vec<SqlValue>,
    cover: Option<Cover>,
}

impl View<'_> {
    fn sqlite<T>(&self, result: rusqlite::Result<T>) -> Result<T, Error> {
        result.map_err(Error::sqlite(self.path))
    }

    /// Those of `rows` that the filter matches, or of all rows, in order.
    fn matching(&self, rows: Option<&[i64]>) -> Result<Vec<i64>, Error> {
        let (sql, parameters) = match &self.condition {
            Some(condition) => (condition.sql.as_str(), condition.parameters.as_slice()),
            None => ("1", [].as_slice()),
        };
        let among = if rows.is_some() { "rowid IN (SELECT value FROM json_each(?)) AND " } else { "" };
        let list = rows.map(|rows| SqlValue::Text(json!(rows).to_string()));
        let sql = format!("SELECT rowid FROM chunks WHERE {among}({sql})");
        let found = self.snapshot.prepare_cached(&sql).and_then(|mut query| {
            let found = query.query_map(params_from_iter(list.iter().chain(parameters)), |row| row.get(0))?;
            found.collect::<Result<Vec<i64>, _>>()
        });
        let mut found = self.sqlite(found)?;
        found.sort_unstable();
        Ok(found)
    }
}

/// The chunk with this id.
fn get(connection: &Connection, path: &str, id: &str) -> Result<Option<Chunk>, Error> {
    let sql = format!("SELECT {CHUNK_COLUMNS} FROM chunks WHERE chunk_id = ?");
    let found = connection
        .prepare_cached(&sql)
        .and_then(|mut query| query.query_row(params![id], |row| Ok(read_chunk(row, path))).optional());
    found.map_err(Error::sqlite(path))?.transpose()
}

/// Reads a chunk from a row of [`CHUNK_COLUMNS`].
fn read_chunk(row: &Row<'_>, path: &str) -> Result<Chunk, Error> {
    let unreadable = |id: &str, source| Error::Chunk { path: path.to_owned(), id: id.to_owned(), source };
    let column = |index: usize| -> Result<String, Error> {
        row.get(index).map_err(|error| unreadable("?", InputError::new("", error)))
    };
    let id = column(1)?;
    let object = |index: usize, name: &str| match tamis_core::input::parse_json(&column(index)?) {
        Ok(Json::Object(object)) => Ok(object),
        Ok(_) => Err(unreadable(&id, InputError::new(name, "is not an object"))),
        Err(error) => Err(unreadable(&id, error.within(name))),
    };
    let ancestors: Vec<String> =
        tamis_core::input::parse(&column(4)?).map_err(|error| unreadable(&id, error.within("ancestors")))?;
    Ok(Chunk {
        uid: EntityUid::new(column(0)?, id.clone()),
        attributes: object(2, "attributes")?,
        tags: object(3, "tags")?,
        ancestors: read_ancestors(&ancestors).map_err(|error| unreadable(&id, error))?,
        text: row.get(5).map_err(|error| unreadable(&id, InputError::new("text", error)))?,
        vector: None,
    })
}
