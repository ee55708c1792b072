//! A table in PostgreSQL with pgvector as a source.
//!
//! No strategy is best for every filter. Along an approximate index a search is fast if much of the table matches; where little does, or
//! only what is far away, the index finds the wrong chunks or none. To rank all that matches is right always, and fast if that is
//! little. So the source learns of each filter, from a sample of the table, whether many chunks match it:
//!
//! - few: one statement counts them, up to a limit, and ranks them exactly;
//! - many: pgvector's iterative scan goes along the index, and if that ends before there are enough, all that matches is ranked.
//!
//! A page is read in one consistent view, and one statement; the pages behind the first are read in one view together.

mod connection;
mod pages;
mod statements;

use std::cell::RefCell;

use ::postgres::Client;
use tamis_core::{Filter, Redaction};
use tamis_dialect::{Dialect, Postgres as Language, PostgresAttributes, Translation};

use self::connection::Connection;
use self::pages::Pages;
use self::statements::{Ranking, joined};
use crate::error::Error;
use crate::source::{By, Opened, VectorSource};

/// Where chunks are in a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresTable {
    /// The table, as a query names it: `chunks`, or `rag.chunks`.
    pub name: Vec<String>,
    /// The column of embeddings, of pgvector's type `vector`.
    pub embedding: String,
    /// The column of texts, if there is one.
    pub text: Option<String>,
    /// Where attributes, type, id and ancestors are.
    pub language: Language,
    /// Up to so many chunks that match a filter are ranked exactly, at some 2 µs for each; beyond that the search goes along the
    /// approximate index.
    pub exact_up_to: u32,
}

impl Default for PostgresTable {
    fn default() -> Self {
        Self {
            name: vec!["chunks".to_owned()],
            embedding: "embedding".to_owned(),
            text: Some("text".to_owned()),
            language: Language::default(),
            exact_up_to: 2_000,
        }
    }
}

/// A table to search, over a connection of its own.
pub struct PostgresSource {
    connection: RefCell<Connection>,
    table: PostgresTable,
}

impl std::fmt::Debug for PostgresSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresSource").field("table", &self.table).finish_non_exhaustive()
    }
}

impl PostgresSource {
    /// A table to search. The connection's settings become this source's own.
    ///
    /// # Errors
    /// If the database cannot be asked, or there is no such table.
    pub fn new(client: Client, table: PostgresTable) -> Result<Self, Error> {
        if !matches!(table.language.attributes, PostgresAttributes::Json(_)) {
            return Err(Error::Question(
                "the chunks of a search come from a column of JSON attributes".to_owned(),
            ));
        }
        let connection =
            Connection::new(client, &joined(&table.name)).map_err(Error::postgres(&table.name))?;
        Ok(Self { connection: RefCell::new(connection), table })
    }
}

impl VectorSource for PostgresSource {
    fn open<'a>(&'a self, by: By<'a>, filter: &Filter) -> Result<Opened<'a>, Error> {
        let vector = by.vector_only()?;
        let Translation { native, widened } = self.table.language.translate(filter);
        let connection = self
            .connection
            .try_borrow_mut()
            .map_err(|_| Error::Question("this connection is in the middle of another search".to_owned()))?;
        let pages = Pages::new(&self.table, connection, Ranking::new(&self.table, native, vector));
        Ok(Opened { candidates: Box::new(pages), widened })
    }

    fn withheld(&self, redaction: &Redaction) -> Redaction {
        self.table.language.fields.withheld(redaction)
    }
}
