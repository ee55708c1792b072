//! A table in PostgreSQL with pgvector as a source.
//!
//! A search is one read-only transaction, so it sees one state of the table. It first goes along the table's approximate index, if there
//! is one, with pgvector's iterative scan switched on: without, the index hands out a few dozen rows of which a selective filter
//! leaves none. When the index has no more, the rest is ranked exactly: everything that the filter matches, less what was found.

use std::cell::{RefCell, RefMut};
use std::collections::HashSet;

use ::postgres::types::{ToSql, Type as SqlType};
use ::postgres::{Client, Row};
use serde_json::Value as Json;
use tamis_core::chunk::check_vector;
use tamis_core::{Chunk, EntityUid, Filter, InputError};
use tamis_dialect::{
    Dialect, Parameter, Place, Postgres as Language, PostgresAttributes, Sql, Translation, quoted,
};

use crate::error::Error;
use crate::source::{By, Candidate, Candidates, Opened, VectorSource};

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
}

impl Default for PostgresTable {
    fn default() -> Self {
        Self {
            name: vec!["chunks".to_owned()],
            embedding: "embedding".to_owned(),
            text: Some("text".to_owned()),
            language: Language::default(),
        }
    }
}

/// A table to search, over a connection of its own.
pub struct PostgresSource {
    client: RefCell<Client>,
    table: PostgresTable,
    /// Whether the embeddings have an approximate index.
    approximate: bool,
}

impl std::fmt::Debug for PostgresSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresSource").field("table", &self.table).finish_non_exhaustive()
    }
}

impl PostgresSource {
    /// A table to search.
    ///
    /// # Errors
    /// If the database cannot be asked, or there is no such table.
    pub fn new(mut client: Client, table: PostgresTable) -> Result<Self, Error> {
        if !matches!(table.language.attributes, PostgresAttributes::Json(_)) {
            return Err(Error::Question(
                "the chunks of a search come from a column of JSON attributes".to_owned(),
            ));
        }
        let name = joined(&table.name);
        let asked = client.query_one(
            "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am a ON a.oid = c.relam
             WHERE i.indrelid = $1::text::regclass AND a.amname IN ('hnsw', 'ivfflat')",
            &[&name],
        );
        let indexes: i64 = asked.and_then(|row| row.try_get(0)).map_err(Error::postgres(&table.name))?;
        Ok(Self { client: RefCell::new(client), table, approximate: indexes > 0 })
    }

    fn failed(&self) -> impl Fn(::postgres::Error) -> Error + use<> {
        Error::postgres(&self.table.name)
    }
}

impl VectorSource for PostgresSource {
    fn open<'a>(&'a self, by: By<'a>, filter: &Filter) -> Result<Opened<'a>, Error> {
        let By::Vector(vector) = by else {
            return Err(Error::Question("this source ranks by a vector only".to_owned()));
        };
        check_vector(vector).map_err(|message| Error::Question(format!("the vector: {message}")))?;
        let Translation { native, widened } = self.table.language.translate(filter);
        let mut client = self
            .client
            .try_borrow_mut()
            .map_err(|_| Error::Question("this connection is in the middle of another search".to_owned()))?;
        let begun = client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
        begun.map_err(self.failed())?;
        // From here on dropping it ends the transaction.
        let mut pages = Pages {
            source: self,
            client,
            select: Select::new(&self.table, native, vector),
            seen: HashSet::new(),
            exact: false,
        };
        pages.begin()?;
        Ok(Opened { candidates: Box::new(pages), widened })
    }
}

/// The query, and what it is asked with.
struct Select {
    /// Columns and distance of all rows that the filter matches.
    text: String,
    parameters: Vec<Parameter>,
    vector: String,
}

impl Select {
    fn new(table: &PostgresTable, condition: Sql, vector: &[f32]) -> Self {
        let fields = &table.language.fields;
        let place = |place: &Place, otherwise: &str| match place {
            Place::Field(name) => quoted(name),
            Place::Constant(value) => format!("'{}'", value.replace('\'', "''")),
            Place::Absent => otherwise.to_owned(),
        };
        let attributes = match &table.language.attributes {
            PostgresAttributes::Json(column) => quoted(column),
            PostgresAttributes::Columns => "'{}'".to_owned(),
        };
        // The vector comes last: the numbers of the others stand in the condition.
        let distance =
            format!("{} <=> ${}::text::vector", quoted(&table.embedding), condition.parameters.len() + 1);
        let text = format!(
            "SELECT {} AS chunk_type, {} AS chunk_id, {attributes}::text AS attributes, {} AS ancestors, {} AS chunk_text,
                    {distance} AS distance
             FROM {} WHERE {}",
            place(&fields.entity_type, "'Chunk'"),
            place(&fields.id, "''"),
            place(&fields.ancestors, "'{}'::text[]"),
            table.text.as_deref().map_or_else(|| "NULL::text".to_owned(), quoted),
            joined(&table.name),
            condition.text,
        );
        Self { text, parameters: condition.parameters, vector: Json::from(vector.to_vec()).to_string() }
    }
}

/// A search that goes on.
struct Pages<'a> {
    source: &'a PostgresSource,
    client: RefMut<'a, Client>,
    select: Select,
    seen: HashSet<String>,
    /// Whether the rest is ranked exactly.
    exact: bool,
}

impl Pages<'_> {
    /// Opens the first cursor: along the approximate index where there is one that goes on until it is told to stop.
    fn begin(&mut self) -> Result<(), Error> {
        if !self.source.approximate || !self.scans_on()? {
            return self.declare(true);
        }
        self.declare(false)
    }

    /// Switches the iterative scan on, and says whether it is: an older pgvector takes any name for a setting.
    fn scans_on(&mut self) -> Result<bool, Error> {
        let failed = self.source.failed();
        self.client
            .batch_execute("SET LOCAL hnsw.iterative_scan = strict_order; SET LOCAL ivfflat.iterative_scan = relaxed_order")
            .map_err(&failed)?;
        let row = self.client.query_one(
            "SELECT current_setting('hnsw.iterative_scan'), extversion FROM pg_extension WHERE extname = 'vector'",
            &[],
        );
        let row = row.map_err(&failed)?;
        let (setting, version): (String, String) =
            (row.try_get(0).map_err(&failed)?, row.try_get(1).map_err(&failed)?);
        let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok()).unwrap_or(0);
        let mut parts = version.split('.');
        let since = (number(parts.next()), number(parts.next())) >= (0, 8);
        Ok(setting == "strict_order" && since)
    }

    fn declare(&mut self, exact: bool) -> Result<(), Error> {
        let failed = self.source.failed();
        let inner = &self.select.text;
        let query = if exact {
            format!(
                "WITH candidates AS MATERIALIZED ({inner}) SELECT * FROM candidates ORDER BY distance, chunk_id"
            )
        } else {
            format!("{inner} ORDER BY distance")
        };
        let texts = self
            .select
            .parameters
            .iter()
            .map(bound)
            .chain([(Bound::Text(self.select.vector.clone()), SqlType::TEXT)]);
        let (values, types): (Vec<Bound>, Vec<SqlType>) = texts.unzip();
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(Bound::sql).collect();
        let statement = format!("DECLARE tamis NO SCROLL CURSOR FOR {query}");
        let statement = self.client.prepare_typed(&statement, &types).map_err(&failed)?;
        self.client.execute(&statement, &values).map_err(&failed)?;
        self.exact = exact;
        Ok(())
    }
}

impl Candidates for Pages<'_> {
    fn next_page(&mut self, wanted: usize) -> Result<Vec<Candidate>, Error> {
        let failed = self.source.failed();
        let mut page = Vec::new();
        while page.len() < wanted {
            let rows = self
                .client
                .query(&format!("FETCH {} FROM tamis", wanted - page.len()), &[])
                .map_err(&failed)?;
            if rows.is_empty() {
                if self.exact {
                    break;
                }
                self.client.batch_execute("CLOSE tamis").map_err(&failed)?;
                self.declare(true)?;
                continue;
            }
            for row in rows {
                let candidate = self.candidate(&row)?;
                if self.seen.insert(candidate.chunk.uid.id.clone()) {
                    page.push(candidate);
                }
            }
        }
        Ok(page)
    }
}

impl Pages<'_> {
    fn candidate(&self, row: &Row) -> Result<Candidate, Error> {
        let failed = self.source.failed();
        let id: String = row.try_get("chunk_id").map_err(&failed)?;
        let unreadable = |source: InputError| Error::Chunk {
            path: joined(&self.source.table.name),
            id: id.clone(),
            source,
        };
        let attributes: String = row.try_get("attributes").map_err(&failed)?;
        let attributes = match tamis_core::input::parse_json(&attributes).map_err(unreadable)? {
            Json::Object(object) => object,
            _ => return Err(unreadable(InputError::new("attributes", "is not an object"))),
        };
        let ancestors: Vec<String> = row.try_get("ancestors").map_err(&failed)?;
        let ancestors = ancestors.iter().map(|key| {
            let (entity_type, id): (String, String) = tamis_core::input::parse(key)?;
            Ok(EntityUid { entity_type, id })
        });
        let chunk = Chunk {
            uid: EntityUid::new(row.try_get::<_, String>("chunk_type").map_err(&failed)?, id.clone()),
            attributes,
            ancestors: ancestors.collect::<Result<_, InputError>>().map_err(unreadable)?,
            text: row.try_get("chunk_text").map_err(&failed)?,
            ..Chunk::new(id.clone())
        };
        Ok(Candidate { chunk, distance: row.try_get("distance").map_err(&failed)? })
    }
}

impl Drop for Pages<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.client.batch_execute("ROLLBACK") {
            tracing::warn!(%error, "the transaction of a search could not be ended");
        }
    }
}

/// A value of the types that parameters are declared as.
enum Bound {
    Text(String),
    Integer(i64),
    Real(f64),
}

impl Bound {
    fn sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Text(text) => text,
            Self::Integer(number) => number,
            Self::Real(number) => number,
        }
    }
}

fn bound(parameter: &Parameter) -> (Bound, SqlType) {
    match parameter {
        Parameter::Text(text) => (Bound::Text(text.clone()), SqlType::TEXT),
        Parameter::Integer(number) => (Bound::Integer(*number), SqlType::INT8),
        Parameter::Real(number) => (Bound::Real(*number), SqlType::FLOAT8),
    }
}

fn joined(name: &[String]) -> String {
    name.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(".")
}
