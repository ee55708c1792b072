//! From filters to the filter languages of databases: one file for each, one trait for all.
//!
//! A dialect never narrows. What it cannot say exactly it leaves out on the wide side, reports, and leaves to the
//! filter gate. What types mean is settled before a dialect sees a test (`planner`): it translates tests of single fields.

mod atoms;
mod chroma;
mod cover;
mod duckdb;
mod elasticsearch;
mod explain;
mod fields;
mod lancedb;
mod milvus;
mod negation;
mod opensearch;
mod pinecone;
mod plan;
mod planner;
mod postgres;
mod qdrant;
mod sql;
mod sqlite;
mod weaviate;

pub use chroma::Chroma;
pub use cover::Cover;
pub use duckdb::DuckDb;
pub use elasticsearch::Elasticsearch;
pub use explain::explain;
pub use fields::{Fields, Place};
pub use lancedb::LanceDb;
pub use milvus::{Expression, Milvus};
pub use opensearch::OpenSearch;
pub use pinecone::Pinecone;
pub use plan::Field;
pub use postgres::{Attributes as PostgresAttributes, Postgres};
pub use qdrant::Qdrant;
pub use sql::{Parameter, Sql, quoted};
pub use sqlite::Sqlite;
pub use weaviate::Weaviate;

use serde::Serialize;
use serde_json::{Value as Json, json};
use tamis_core::{EntityUid, Filter};

/// One database's filter language.
pub trait Dialect {
    /// What a filter becomes: text with parameters, a JSON tree.
    type Native: Serialize;

    /// The name that the command line knows it by.
    fn name(&self) -> &'static str;

    /// Translates a filter. The result selects every chunk that the filter matches.
    fn translate(&self, filter: &Filter) -> Translation<Self::Native>;
}

/// Any dialect, for who only passes on what a filter becomes.
pub trait Emit: Send + Sync {
    /// As [`Dialect::translate`], in JSON.
    fn emit(&self, filter: &Filter) -> Translation<Json>;
}

impl<D: Dialect + Send + Sync> Emit for D {
    fn emit(&self, filter: &Filter) -> Translation<Json> {
        let Translation { native, widened } = self.translate(filter);
        // Nothing here has keys that are not texts, so this cannot fail; `null` is no filter in any dialect.
        Translation { native: serde_json::to_value(native).unwrap_or_default(), widened }
    }
}

/// A filter in a database's own language.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation<N> {
    /// The translation.
    pub native: N,
    /// What was left out, in words. If this is empty, the translation selects exactly what the filter matches.
    pub widened: Vec<String>,
}

impl<N> Translation<N> {
    /// Whether the translation selects exactly what the filter matches.
    pub fn is_exact(&self) -> bool {
        self.widened.is_empty()
    }
}

/// The names of all dialects, as the command line knows them.
pub const NAMES: &[&str] = &[
    "chroma",
    "duckdb",
    "elasticsearch",
    "lancedb",
    "milvus",
    "opensearch",
    "pinecone",
    "postgres",
    "postgres-columns",
    "qdrant",
    "sqlite",
    "weaviate",
];

/// The dialect with this name, for a collection with these fields; `None` if there is none.
pub fn dialect(name: &str, fields: Fields) -> Option<Box<dyn Emit>> {
    Some(match name {
        "chroma" => Box::new(Chroma { fields }),
        "duckdb" => Box::new(DuckDb { fields }),
        "elasticsearch" => Box::new(Elasticsearch { fields }),
        "lancedb" => Box::new(LanceDb { fields }),
        "milvus" => Box::new(Milvus { fields, ..Milvus::default() }),
        "opensearch" => Box::new(OpenSearch { fields }),
        "pinecone" => Box::new(Pinecone { fields }),
        "postgres" => Box::new(Postgres { fields, ..Postgres::default() }),
        "postgres-columns" => Box::new(Postgres { fields, attributes: PostgresAttributes::Columns }),
        "qdrant" => Box::new(Qdrant { fields }),
        "sqlite" => Box::new(Sqlite { fields, ..Sqlite::default() }),
        "weaviate" => Box::new(Weaviate { fields }),
        _ => return None,
    })
}

/// Whether a name is letters, digits and underscores, and no digit first: what every SQL takes without quotes.
fn is_identifier(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|other| other.is_ascii_alphanumeric() || other == '_')
}

/// How an ancestor is written in the field of ancestors: `["Folder","x"]`. Unlike `Folder::"x"` it reads in one way only.
pub fn ancestor_key(uid: &EntityUid) -> String {
    json!([uid.entity_type, uid.id]).to_string()
}
