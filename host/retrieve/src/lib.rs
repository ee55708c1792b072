//! Index and search behind the three gates.
//!
//! ```text
//! index:   chunks ──admit──▶ store
//! search:  request ──rewrite──▶ filter ──▶ source: candidates, best first ──filter──▶ hits, until there are k
//! ```
//!
//! [`search()`] works over any [`VectorSource`]; [`Store`] is the embedded one, in a single SQLite file.

mod error;
mod index;
mod search;
mod source;
mod store;

pub use error::Error;
pub use index::{IndexReport, Rejected, index};
pub use search::{Found, Hit, Question, search};
pub use source::{By, Candidate, Candidates, Opened, VectorSource};
pub use store::{Store, Transaction};
