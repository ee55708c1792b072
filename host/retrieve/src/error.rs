//! Why an index or search could not be done. Nothing was handed out.

use tamis_core::InputError;

/// Why an index or search could not be done. Nothing was handed out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The policy failed, which denies.
    #[error(transparent)]
    Policy(#[from] tamis_runtime::Error),
    /// What is searched for makes no sense, such as a vector of another size.
    #[error("{0}")]
    Question(String),
    /// The database is not what it should be.
    #[error("{path}: {message}")]
    Store {
        /// The file.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// The database engine reported an error.
    #[error("{path}: {source}")]
    Sqlite {
        /// The file.
        path: String,
        /// The engine's error.
        source: rusqlite::Error,
    },
    /// PostgreSQL, or the connection to it, reported an error.
    #[cfg(feature = "postgres")]
    #[error("table {table}: {}", database_text(.source))]
    Postgres {
        /// The table.
        table: String,
        /// The error.
        source: ::postgres::Error,
    },
    /// A stored chunk cannot be read.
    #[error("{path}: the stored chunk `{id}` cannot be read: {source}")]
    Chunk {
        /// The file.
        path: String,
        /// Which one.
        id: String,
        /// Why not.
        source: InputError,
    },
}

impl Error {
    /// Names the file in an error of the database engine.
    pub(crate) fn sqlite(path: &str) -> impl Fn(rusqlite::Error) -> Self {
        move |source| Self::Sqlite { path: path.to_owned(), source }
    }

    /// Names the table in an error of PostgreSQL.
    #[cfg(feature = "postgres")]
    pub(crate) fn postgres(table: &[String]) -> impl Fn(::postgres::Error) -> Self + use<> {
        let table = table.join(".");
        move |source| Self::Postgres { table: table.clone(), source }
    }
}

/// What the server says, which the error of the connection does not.
#[cfg(feature = "postgres")]
fn database_text(error: &::postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}
