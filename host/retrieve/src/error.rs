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
}
