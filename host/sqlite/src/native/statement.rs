//! Statements of our own on the connection that calls us.
//!
//! A `rusqlite::Statement` borrows its connection, which a cursor of a virtual table cannot do: it is owned by the connection.

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use rusqlite::ffi;
use rusqlite::types::Value;

use crate::error::Error;

/// A connection that outlives whatever holds this: SQLite drops functions, modules and tables before it closes.
#[derive(Clone, Copy)]
pub(crate) struct Database(*mut ffi::sqlite3);

// SAFETY: used only within calls from SQLite, which lets one thread at a time into a connection.
unsafe impl Send for Database {}
// SAFETY: as above.
unsafe impl Sync for Database {}

impl Database {
    /// The connection, to be used only within calls from it.
    pub(crate) fn of(connection: &rusqlite::Connection) -> Self {
        // SAFETY: the handle is only kept; what is done with it is safe as said above.
        Self(unsafe { connection.handle() })
    }

    pub(super) fn handle(self) -> *mut ffi::sqlite3 {
        self.0
    }

    /// Prepares the one statement in `sql`.
    pub(super) fn prepare(self, sql: &str) -> Result<Raw, Error> {
        let length =
            c_int::try_from(sql.len()).map_err(|_| Error::Argument("a statement is too long".to_owned()))?;
        let mut statement = ptr::null_mut();
        // SAFETY: the connection is open, and the text is as long as is said.
        let code = unsafe {
            ffi::sqlite3_prepare_v2(
                self.0,
                sql.as_ptr().cast::<c_char>(),
                length,
                &raw mut statement,
                ptr::null_mut(),
            )
        };
        if code != ffi::SQLITE_OK || statement.is_null() {
            return Err(self.error(code));
        }
        Ok(Raw { statement, database: self })
    }

    /// The row that was inserted last.
    pub(crate) fn last_insert_rowid(self) -> i64 {
        // SAFETY: the connection is open.
        unsafe { ffi::sqlite3_last_insert_rowid(self.0) }
    }

    /// The path of the schema's file; empty for one in memory.
    pub(crate) fn path(self) -> String {
        // SAFETY: the connection is open; the name lives as long as it.
        unsafe {
            let name = ffi::sqlite3_db_filename(self.0, c"main".as_ptr());
            if name.is_null() { String::new() } else { CStr::from_ptr(name).to_string_lossy().into_owned() }
        }
    }

    fn error(self, code: c_int) -> Error {
        // SAFETY: the connection is open; the message is copied before anything else is called.
        let message = unsafe { CStr::from_ptr(ffi::sqlite3_errmsg(self.0)) }.to_string_lossy().into_owned();
        Error::Sqlite { code, message }
    }
}

/// A prepared statement. It trusts whoever steps it: see [`crate::connection::Shared::prepare`].
pub(super) struct Raw {
    statement: *mut ffi::sqlite3_stmt,
    database: Database,
}

// SAFETY: as for `Database`.
unsafe impl Send for Raw {}

impl Raw {
    fn bind(&mut self, values: &[Value]) -> Result<(), Error> {
        for (position, value) in (1..).zip(values) {
            let statement = self.statement;
            // SAFETY: the statement is not finalized; SQLite copies what it is given and checks the position.
            let code = unsafe {
                match value {
                    Value::Null => ffi::sqlite3_bind_null(statement, position),
                    Value::Integer(number) => ffi::sqlite3_bind_int64(statement, position, *number),
                    Value::Real(number) => ffi::sqlite3_bind_double(statement, position, *number),
                    Value::Text(text) => ffi::sqlite3_bind_text64(
                        statement,
                        position,
                        text.as_ptr().cast::<c_char>(),
                        text.len() as u64,
                        ffi::SQLITE_TRANSIENT(),
                        ffi::SQLITE_UTF8 as u8,
                    ),
                    Value::Blob(bytes) => ffi::sqlite3_bind_blob64(
                        statement,
                        position,
                        bytes.as_ptr().cast(),
                        bytes.len() as u64,
                        ffi::SQLITE_TRANSIENT(),
                    ),
                }
            };
            if code != ffi::SQLITE_OK {
                return Err(self.database.error(code));
            }
        }
        Ok(())
    }

    fn step(&mut self) -> Result<bool, Error> {
        // SAFETY: the statement is not finalized.
        match unsafe { ffi::sqlite3_step(self.statement) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => Err(self.database.error(code)),
        }
    }

    fn reset(&mut self) {
        // SAFETY: the statement is not finalized. The code only repeats what the last step returned.
        unsafe {
            ffi::sqlite3_reset(self.statement);
            ffi::sqlite3_clear_bindings(self.statement);
        }
    }

    fn value(&self, column: usize) -> Result<Value, Error> {
        let Ok(column) = c_int::try_from(column) else { return Ok(Value::Null) };
        let statement = self.statement;
        // SAFETY: the statement stands on a row; of a column that it has not SQLite makes NULL. Bytes are copied at once, and their number
        // is asked for after the pointer, as SQLite wants it.
        unsafe {
            let bytes = |start: *const u8| -> Vec<u8> {
                let length = ffi::sqlite3_column_bytes(statement, column);
                match usize::try_from(length) {
                    Ok(length) if length > 0 && !start.is_null() => {
                        std::slice::from_raw_parts(start, length).to_vec()
                    }
                    _ => Vec::new(),
                }
            };
            Ok(match ffi::sqlite3_column_type(statement, column) {
                ffi::SQLITE_INTEGER => Value::Integer(ffi::sqlite3_column_int64(statement, column)),
                ffi::SQLITE_FLOAT => Value::Real(ffi::sqlite3_column_double(statement, column)),
                // What is no UTF-8 is no text to a policy either.
                ffi::SQLITE_TEXT => String::from_utf8(bytes(ffi::sqlite3_column_text(statement, column)))
                    .map_or_else(|error| Value::Blob(error.into_bytes()), Value::Text),
                ffi::SQLITE_BLOB => Value::Blob(bytes(ffi::sqlite3_column_blob(statement, column).cast())),
                _ => Value::Null,
            })
        }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // SAFETY: the statement is finalized once, here.
        unsafe { ffi::sqlite3_finalize(self.statement) };
    }
}

/// A statement of ours, which reaches what other statements on this connection do not.
pub(crate) struct Statement {
    raw: Raw,
    shared: std::sync::Arc<crate::connection::Shared>,
}

impl Statement {
    /// Prepares `sql` on the connection of `shared`.
    pub(crate) fn prepare(
        shared: &std::sync::Arc<crate::connection::Shared>,
        sql: &str,
    ) -> Result<Self, Error> {
        let trusted = shared.trust();
        let raw = shared.database().prepare(sql)?;
        drop(trusted);
        Ok(Self { raw, shared: std::sync::Arc::clone(shared) })
    }

    /// Begins anew with these parameters.
    pub(crate) fn bind(&mut self, values: &[Value]) -> Result<(), Error> {
        self.raw.reset();
        self.raw.bind(values)
    }

    /// Goes to the next row; `false` if there is none. When the schema has changed SQLite prepares the statement again within.
    pub(crate) fn step(&mut self) -> Result<bool, Error> {
        let _trusted = self.shared.trust();
        self.raw.step()
    }

    /// A value of the row that the statement stands on.
    pub(crate) fn value(&self, column: usize) -> Result<Value, Error> {
        self.raw.value(column)
    }

    /// Lets go of what the statement holds until it begins anew.
    pub(crate) fn reset(&mut self) {
        self.raw.reset();
    }
}
