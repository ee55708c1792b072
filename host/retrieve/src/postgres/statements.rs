//! What the database is asked.

use std::error::Error;

use ::postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use bytes::BytesMut;
use tamis_dialect::{Parameter, Place, PostgresAttributes, Sql, quoted};

use super::PostgresTable;

/// A statement with its values.
pub(super) struct Statement {
    pub(super) text: String,
    values: Vec<Bound>,
}

/// How the chunks that match a condition are ranked.
pub(super) struct Ranking {
    /// Columns of a chunk, under names of their own.
    columns: String,
    /// The table, and the condition.
    matching: String,
    distance: String,
    /// Those of the condition and, last, the vector.
    values: Vec<Bound>,
    condition: Sql,
    table: String,
}

impl Ranking {
    pub(super) fn new(table: &PostgresTable, condition: Sql, vector: &[f32]) -> Self {
        let fields = &table.language.fields;
        let place = |place: &Place, otherwise: &str| match place {
            Place::Field(name) => quoted(name),
            Place::Constant(value) => format!("'{}'", value.replace('\'', "''")),
            Place::Absent => otherwise.to_owned(),
        };
        let attributes = match &table.language.attributes {
            PostgresAttributes::Json(column) => quoted(column),
            PostgresAttributes::Columns => "'{}'::jsonb".to_owned(),
        };
        let mut values: Vec<Bound> = condition.parameters.iter().map(Bound::of).collect();
        values.push(Bound::Vector(Vector(vector.to_vec())));
        let name = joined(&table.name);
        Self {
            columns: format!(
                "{} AS chunk_type, {} AS chunk_id, {attributes} AS attributes, {} AS ancestors, {} AS chunk_text",
                place(&fields.entity_type, "'Chunk'"),
                place(&fields.id, "''"),
                place(&fields.ancestors, "'{}'::text[]"),
                table.text.as_deref().map_or_else(|| "NULL::text".to_owned(), quoted),
            ),
            matching: format!("FROM {name} WHERE {}", condition.text),
            distance: format!("{} <=> ${}::vector", quoted(&table.embedding), values.len()),
            values,
            condition,
            table: name,
        }
    }

    /// The nearest of all that match.
    pub(super) fn exact(&self, limit: Option<usize>) -> Statement {
        // What is added keeps an approximate index from serving the order.
        self.ordered(&format!("({}) + 0, chunk_id", self.distance), limit)
    }

    /// The nearest that the approximate index finds.
    pub(super) fn approximate(&self, limit: Option<usize>) -> Statement {
        self.ordered(&self.distance, limit)
    }

    fn ordered(&self, order: &str, limit: Option<usize>) -> Statement {
        let Self { columns, matching, distance, .. } = self;
        let mut values = self.values.clone();
        let limited = limit.map_or_else(String::new, |limit| limited(&mut values, limit));
        Statement {
            text: format!("SELECT {columns}, {distance} AS distance {matching} ORDER BY {order}{limited}"),
            values,
        }
    }

    /// The nearest of all that match, if these are at most so many. Each row says how many there are, or one more than that.
    pub(super) fn few(&self, most: u32, limit: usize) -> Statement {
        let Self { columns, matching, distance, .. } = self;
        let mut values = self.values.clone();
        let limited = limited(&mut values, limit);
        let most = u64::from(most) + 1;
        Statement {
            text: format!(
                "WITH candidates AS MATERIALIZED (SELECT {columns}, {distance} AS distance {matching} LIMIT {most})
                 SELECT *, (SELECT count(*) FROM candidates) AS matching
                 FROM candidates ORDER BY distance, chunk_id{limited}"
            ),
            values,
        }
    }

    /// How many chunks there are on some pages of the table, and how many of them match.
    pub(super) fn sample(&self, percent: f64) -> Statement {
        let mut values: Vec<Bound> = self.condition.parameters.iter().map(Bound::of).collect();
        values.push(Bound::Real(percent));
        let Self { condition, table, .. } = self;
        let text = format!(
            "SELECT count(*) FILTER (WHERE {}) FROM {table} TABLESAMPLE SYSTEM (${}::float8)",
            condition.text,
            values.len(),
        );
        Statement { text, values }
    }

    /// What makes a filter another.
    pub(super) fn condition(&self) -> &Sql {
        &self.condition
    }
}

fn limited(values: &mut Vec<Bound>, limit: usize) -> String {
    values.push(Bound::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    format!(" LIMIT ${}::bigint", values.len())
}

impl Statement {
    /// The same, to be read from a cursor.
    pub(super) fn cursor(self, name: &str) -> Self {
        Self { text: format!("DECLARE {name} NO SCROLL CURSOR FOR {}", self.text), ..self }
    }

    pub(super) fn types(&self) -> Vec<Type> {
        self.values.iter().map(Bound::sql_type).collect()
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(Bound::sql).collect()
    }
}

/// A value of the types that parameters are declared as.
#[derive(Clone, Debug)]
enum Bound {
    Text(String),
    Integer(i64),
    Real(f64),
    Vector(Vector),
}

impl Bound {
    fn of(parameter: &Parameter) -> Self {
        match parameter {
            Parameter::Text(text) => Self::Text(text.clone()),
            Parameter::Integer(number) => Self::Integer(*number),
            Parameter::Real(number) => Self::Real(*number),
        }
    }

    fn sql(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Text(text) => text,
            Self::Integer(number) => number,
            Self::Real(number) => number,
            Self::Vector(vector) => vector,
        }
    }

    fn sql_type(&self) -> Type {
        match self {
            Self::Text(_) => Type::TEXT,
            Self::Integer(_) => Type::INT8,
            Self::Real(_) => Type::FLOAT8,
            // Its number differs from database to database; the statement says which it is.
            Self::Vector(_) => Type::UNKNOWN,
        }
    }
}

/// A vector in pgvector's binary form: how many numbers, two bytes that mean nothing, the numbers.
#[derive(Clone, Debug)]
struct Vector(Vec<f32>);

impl ToSql for Vector {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&u16::try_from(self.0.len())?.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        self.0.iter().for_each(|number| out.extend_from_slice(&number.to_be_bytes()));
        Ok(IsNull::No)
    }

    fn accepts(of: &Type) -> bool {
        of.name() == "vector"
    }

    to_sql_checked!();
}

/// The text of a JSONB value, which the server makes only of what it sends.
pub(super) struct JsonText<'a>(pub(super) &'a str);

impl<'a> FromSql<'a> for JsonText<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        match raw.split_first() {
            // The version of the binary form, which is the text.
            Some((1, text)) => Ok(Self(std::str::from_utf8(text)?)),
            _ => Err("this server sends JSONB in a form that is not known".into()),
        }
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::JSONB
    }
}

/// A name as a query writes it.
pub(super) fn joined(name: &[String]) -> String {
    name.iter().map(|part| quoted(part)).collect::<Vec<_>>().join(".")
}
