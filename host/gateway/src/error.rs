//! Why a gateway cannot begin.

/// Why a gateway cannot begin. The text is for the operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration is not what it should be.
    #[error("{place}: {message}")]
    Config {
        /// The file, with the line and mostly the column.
        place: String,
        /// What is wrong there.
        message: String,
    },
    /// A file that the configuration names, or the configuration itself, cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A secret, or the keys of tokens, are missing or too weak.
    #[error("{0}")]
    Secret(String),
    /// The URL of the database is none.
    #[error("{0}")]
    Upstream(String),
    /// The policy does not load, or cannot be followed.
    #[error("{path}: {source}")]
    Policy {
        /// Its file.
        path: String,
        /// Why not.
        source: tamis_runtime::Error,
    },
}
