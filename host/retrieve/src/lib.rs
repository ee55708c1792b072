//! Index and search behind the three gates.
//!
//! ```text
//! index:   chunks ──admit──▶ store
//! search:  request ──rewrite──▶ filter ──▶ source: candidates, best first ──filter──▶ hits, until there are k
//! ```
//!
//! [`search()`] works over any [`VectorSource`]; [`Store`] is the embedded one, in a single SQLite file. With the feature `postgres`
//! there is one for a table in PostgreSQL with pgvector, with `qdrant` one for a collection in Qdrant.

mod error;
mod index;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "qdrant")]
mod qdrant;
mod search;
mod source;
mod store;

#[cfg(feature = "postgres")]
pub use self::postgres::{PostgresSource, PostgresTable};
#[cfg(feature = "qdrant")]
pub use self::qdrant::{QdrantCollection, QdrantRanking, QdrantSource};
pub use error::Error;
pub use index::{IndexReport, Rejected, index};
pub use search::{Found, Hit, Question, search, search_with};
pub use source::{By, Candidate, Candidates, Opened, VectorSource};
pub use store::{Store, Transaction};
