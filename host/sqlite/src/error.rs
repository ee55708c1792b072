//! What can go wrong, as SQL errors. Every one of them denies.

use rusqlite::ffi;
use tamis_core::InputError;

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nobody said who asks.
    #[error(
        "no request is set; `SELECT tamis_request(json)` says who asks, and until then nothing is allowed"
    )]
    NoRequest,
    /// The request was changed or ended under a statement that was not done.
    #[error("the request was changed while this statement ran; run it again")]
    RequestChanged,
    /// Something for administrators, on a connection that serves requests.
    #[error("`{0}` is refused on a connection that serves requests; open another one for it")]
    Locked(&'static str),
    /// A request or its end without the ticket that belongs to it.
    #[error(
        "this connection serves a request; only the ticket that `tamis_request` returned last can change that"
    )]
    Ticket,
    /// A request that cannot be read.
    #[error("the request: {0}")]
    Request(InputError),
    /// A policy that is not there.
    #[error("there is no policy `{0}` in this database; `SELECT tamis_load(name, policy)` stores one")]
    NoPolicy(String),
    /// A policy that does not load or answer.
    #[error("policy `{name}`: {source}")]
    Policy {
        /// The name that it is stored under.
        name: String,
        /// What is wrong.
        source: tamis_runtime::Error,
    },
    /// Policy text that does not compile.
    #[error("policy `{name}` does not compile: {message}")]
    Source {
        /// The name that it was to be stored under.
        name: String,
        /// Every problem.
        message: String,
    },
    /// A protected table, or one that cannot be.
    #[error("table `{table}`: {message}")]
    Table {
        /// The name of the table.
        table: String,
        /// What is wrong.
        message: String,
    },
    /// A row that the policy does not let this request write.
    #[error(
        "table `{table}`: the policy `{policy}` does not let this request write the row with rowid {row}{reason}"
    )]
    Denied {
        /// The name of the table.
        table: String,
        /// The name of the policy.
        policy: String,
        /// The row.
        row: i64,
        /// Why, if that says nothing of what the request may not read.
        reason: String,
    },
    /// An argument that is not as it should be.
    #[error("{0}")]
    Argument(String),
    /// Another authorizer took the place of ours.
    #[error(
        "another authorizer replaced the one that keeps protected tables apart; nothing is allowed on this connection"
    )]
    Authorizer,
    /// SQLite failed.
    #[error("{message}")]
    Sqlite {
        /// SQLite's extended code.
        code: i32,
        /// SQLite's message.
        message: String,
    },
}

impl Error {
    pub(crate) fn table(table: &str, message: impl Into<String>) -> Self {
        Self::Table { table: table.to_owned(), message: message.into() }
    }

    fn code(&self) -> i32 {
        match self {
            Self::NoRequest | Self::Locked(_) | Self::Ticket | Self::Denied { .. } | Self::Authorizer => {
                ffi::SQLITE_AUTH
            }
            Self::Sqlite { code, .. } => *code,
            _ => ffi::SQLITE_ERROR,
        }
    }
}

impl From<Error> for rusqlite::Error {
    fn from(error: Error) -> Self {
        let message = match &error {
            Error::Sqlite { message, .. } => message.clone(),
            other => format!("tamis: {other}"),
        };
        // SQLite takes a text for what stands before U+0000.
        rusqlite::Error::SqliteFailure(ffi::Error::new(error.code()), Some(message.replace('\0', "\u{fffd}")))
    }
}
