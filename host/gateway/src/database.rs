//! What the gateway wants of a database's interface: one implementation for each kind of database.

use std::sync::Arc;
use std::time::Instant;

use hyper::Method;
use tamis_core::Request;
use tamis_runtime::Generation;

use crate::answer::{Answer, Refusal};

/// A request that came in, after it is known whose it is.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a Method,
    /// The segments of the path, of plain characters.
    pub(crate) path: Vec<&'a str>,
    /// The query string, of plain characters.
    pub(crate) query: Vec<(&'a str, &'a str)>,
    pub(crate) body: &'a [u8],
    /// Who asks.
    pub(crate) request: Request,
    /// What answers all of it.
    pub(crate) generation: Arc<Generation>,
    /// When it must be answered.
    pub(crate) until: Instant,
}

/// A database's interface, of which nothing is served that does not go through the gates. It is called outside of the tasks of the runtime
/// and may block.
pub(crate) trait Database: Send + Sync {
    /// Answers a call.
    fn serve(&self, call: &Call<'_>) -> Result<Answer, Refusal>;

    /// Whether the database answers.
    fn ready(&self, until: Instant) -> Result<(), Refusal>;
}
