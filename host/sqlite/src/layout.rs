//! Where a protected table keeps what a policy reads: columns to chunks, and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::types::Value;
use serde::Deserialize;
use serde_json::{Number, Value as Json, json};
use tamis_core::manifest::FootprintAttribute;
use tamis_core::{Attributes, Chunk, EntityUid, Manifest, Type, chunk, input};
use tamis_dialect::quoted;

use crate::connection::{Shared, text};
use crate::error::Error;
use crate::rules::BASE;

/// What `tamis_protect` is told about a table, as JSON. Without any of it attributes are the columns of the same name.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Options {
    /// A column that holds all attributes as a JSON object, or the columns of attributes of other names.
    attributes: Places,
    /// The column of the chunk's id; else it is the rowid.
    id: Option<String>,
    /// The entity type of the chunks.
    #[serde(rename = "type")]
    entity_type: Option<String>,
    /// The column of the text, which is withheld where a policy redacts the text.
    text: Option<String>,
    /// A column that lists the folders that the chunk is in: `[{"type":"Folder","id":"x"}]`.
    parents: Option<String>,
    /// The sqlite-vec table of the vectors, by rowid.
    pub(crate) vectors: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Places {
    Json(String),
    Columns(BTreeMap<String, String>),
}

impl Default for Places {
    fn default() -> Self {
        Self::Columns(BTreeMap::new())
    }
}

/// A column of the table.
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) declared: String,
    pub(crate) has_default: bool,
    pub(crate) generated: bool,
}

/// A protected table.
pub(crate) struct Layout {
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) policy: String,
    pub(crate) columns: Vec<Column>,
    /// A name of the rowid that no column has.
    pub(crate) rowid: &'static str,
    pub(crate) vectors: Option<String>,
    pub(crate) attributes: Place,
    pub(crate) id: Option<usize>,
    pub(crate) entity_type: String,
    pub(crate) text: Option<usize>,
    parents: Option<usize>,
}

/// Where the attributes are.
pub(crate) enum Place {
    /// In a JSON object.
    Json(usize),
    /// In columns, of which some have other names.
    Columns(BTreeMap<String, usize>),
}

/// How a column is read as an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Plain,
    Boolean,
    Json,
}

/// What one policy reads of the table.
pub(crate) struct Read {
    /// Names of attributes and their columns, if they are columns.
    attributes: Vec<(String, usize, Reading)>,
    /// All columns that are needed to decide.
    pub(crate) columns: BTreeSet<usize>,
}

/// A stored row, as far as it was asked for.
pub(crate) struct Row {
    pub(crate) id: i64,
    pub(crate) values: BTreeMap<usize, Value>,
}

/// A number that is ill-typed whatever is declared: no 64-bit number, and no decimal. It stands for what cannot be read.
pub(crate) const UNREADABLE: f64 = 1e300;

impl Layout {
    /// The protected table with this name.
    pub(crate) fn find(shared: &Arc<Shared>, schema: &str, table: &str) -> Result<Self, Error> {
        let missing = || Error::table(table, "is not protected");
        if !crate::policies::has_table(shared, schema, "tamis_internal_tables")? {
            return Err(missing());
        }
        let sql = format!(
            "SELECT name, policy, options FROM {}.tamis_internal_tables WHERE name = ? COLLATE NOCASE",
            quoted(schema)
        );
        let row = shared.query(&sql, &[text(table)])?.ok_or_else(missing)?;
        match (row.value(0)?, row.value(1)?, row.value(2)?) {
            (Value::Text(table), Value::Text(policy), Value::Text(options)) => {
                let base = format!("{BASE}{table}");
                Self::of(shared, schema, &table, &base, &policy, &options)
            }
            _ => Err(missing()),
        }
    }

    /// A table under its own name, or the one under it.
    pub(crate) fn of(
        shared: &Arc<Shared>,
        schema: &str,
        table: &str,
        base: &str,
        policy: &str,
        options: &str,
    ) -> Result<Self, Error> {
        let failed = |message: String| Error::table(table, message);
        let options: Options =
            input::parse(options).map_err(|error| failed(format!("the options: {error}")))?;
        let columns = columns(shared, schema, base)?;
        if columns.is_empty() {
            return Err(failed(format!("the table `{base}` under it is gone")));
        }
        let position = |name: &str| {
            let found = columns.iter().position(|column| column.name.eq_ignore_ascii_case(name));
            found.ok_or_else(|| failed(format!("it has no column `{name}`")))
        };
        let optional = |name: &Option<String>| name.as_deref().map(position).transpose();
        let attributes = match &options.attributes {
            Places::Json(name) => Place::Json(position(name)?),
            Places::Columns(names) => {
                let placed = names.iter().map(|(attribute, name)| Ok((attribute.clone(), position(name)?)));
                Place::Columns(placed.collect::<Result<_, Error>>()?)
            }
        };
        let free = |name: &&str| !columns.iter().any(|column| column.name.eq_ignore_ascii_case(name));
        let rowid = ["rowid", "_rowid_", "oid"].into_iter().find(free);
        Ok(Self {
            rowid: rowid.ok_or_else(|| failed("its columns take all names of the rowid".to_owned()))?,
            id: optional(&options.id)?,
            text: optional(&options.text)?,
            parents: optional(&options.parents)?,
            entity_type: options.entity_type.unwrap_or_else(|| chunk::DEFAULT_TYPE.to_owned()),
            vectors: options.vectors,
            schema: schema.to_owned(),
            table: table.to_owned(),
            policy: policy.to_owned(),
            attributes,
            columns,
        })
    }

    /// The table under this one, as SQL.
    pub(crate) fn base(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&format!("{BASE}{}", self.table)))
    }

    /// The column of an attribute, by the first name of its path.
    fn column_of(&self, name: &str) -> Option<usize> {
        match &self.attributes {
            Place::Json(column) => Some(*column),
            Place::Columns(places) => places
                .get(name)
                .copied()
                .or_else(|| self.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name))),
        }
    }

    /// The column of an attribute that is one by itself, and holds a plain value.
    pub(crate) fn plain_column(&self, read: &Read, name: &str) -> Option<(usize, bool)> {
        let found = read.attributes.iter().find(|(attribute, ..)| attribute == name)?;
        match found.2 {
            Reading::Plain => Some((found.1, false)),
            Reading::Boolean => Some((found.1, true)),
            Reading::Json => None,
        }
    }

    /// What a policy reads here. Fails if it needs what the table has not.
    pub(crate) fn read(&self, manifest: &Manifest) -> Result<Read, Error> {
        let mut read = Read { attributes: Vec::new(), columns: BTreeSet::new() };
        read.columns.extend([self.id, self.parents].into_iter().flatten());
        if let Place::Json(column) = self.attributes {
            read.columns.insert(column);
            return Ok(read);
        }
        let mut missing = Vec::new();
        for entry in &manifest.footprint {
            let Some(name) = entry.attribute.path.first() else { continue };
            let Some(index) = self.column_of(name) else {
                if !entry.optional {
                    missing.push(format!("`{name}`"));
                }
                continue;
            };
            let declared = self.columns.get(index).map(|column| column.declared.as_str()).unwrap_or_default();
            let reading = reading(declared, entry);
            read.columns.insert(index);
            match read.attributes.iter_mut().find(|(known, ..)| known == name) {
                // Whatever one part of the policy reads as a structure is one.
                Some((.., known)) if reading == Reading::Json => *known = reading,
                Some(_) => {}
                None => read.attributes.push((name.clone(), index, reading)),
            }
        }
        if missing.is_empty() {
            return Ok(read);
        }
        missing.dedup();
        let message =
            format!("the policy `{}` reads {}, of which it has no column", self.policy, missing.join(", "));
        Err(Error::table(&self.table, message))
    }

    /// The chunk that a row is; `None` if it is none, which nobody may read.
    pub(crate) fn chunk(&self, read: &Read, row: &Row) -> Option<Chunk> {
        let value = |column: usize| row.values.get(&column).unwrap_or(&Value::Null);
        let id = match self.id.map(value) {
            None => row.id.to_string(),
            Some(Value::Integer(number)) => number.to_string(),
            Some(Value::Text(text)) => text.clone(),
            Some(_) => return None,
        };
        let mut chunk = Chunk::new("");
        chunk.uid = EntityUid::new(&self.entity_type, id);
        if let Some(column) = self.parents {
            chunk.ancestors = parents(value(column))?;
        }
        match self.attributes {
            Place::Json(column) => {
                chunk.attributes = match value(column) {
                    Value::Null => Attributes::new(),
                    Value::Text(text) => match input::parse_json(text) {
                        Ok(Json::Object(object)) => object,
                        _ => return None,
                    },
                    _ => return None,
                }
            }
            Place::Columns(_) => {
                for (name, column, reading) in &read.attributes {
                    if let Some(json) = attribute(value(*column), *reading) {
                        chunk.attributes.insert(name.clone(), json);
                    }
                }
            }
        }
        Some(chunk)
    }

    /// Takes from a row what the policy withholds.
    pub(crate) fn redact(&self, row: &mut Row, mut chunk: Chunk, redaction: &tamis_core::Redaction) {
        let mut withhold = |column: usize, instead: Value| {
            if let Some(value) = row.values.get_mut(&column) {
                *value = instead;
            }
        };
        chunk.redact(redaction);
        if redaction.text
            && let Some(column) = self.text
        {
            withhold(column, Value::Null);
        }
        for path in &redaction.attributes {
            let Some((name, column)) = path.first().and_then(|name| Some((name, self.column_of(name)?)))
            else {
                continue;
            };
            let left = match self.attributes {
                Place::Json(_) => Some(json!(chunk.attributes)),
                Place::Columns(_) if path.len() > 1 => chunk.attributes.get(name).cloned(),
                Place::Columns(_) => None,
            };
            withhold(column, left.map_or(Value::Null, |json| Value::Text(json.to_string())));
        }
        if redaction.text || !redaction.attributes.is_empty() {
            // They may be computed from what is withheld.
            let generated = self.columns.iter().enumerate().filter(|(_, column)| column.generated);
            generated.for_each(|(index, _)| withhold(index, Value::Null));
        }
    }
}

fn columns(shared: &Arc<Shared>, schema: &str, base: &str) -> Result<Vec<Column>, Error> {
    let sql = "SELECT name, type, dflt_value IS NOT NULL, hidden FROM pragma_table_xinfo(?, ?) ORDER BY cid";
    let mut next = shared.query(sql, &[text(base), text(schema)])?;
    let mut columns = Vec::new();
    while let Some(mut row) = next {
        let string = |value| if let Value::Text(text) = value { text } else { String::new() };
        columns.push(Column {
            name: string(row.value(0)?),
            declared: string(row.value(1)?),
            has_default: row.value(2)? != Value::Integer(0),
            generated: row.value(3)? != Value::Integer(0),
        });
        next = row.step()?.then_some(row);
    }
    Ok(columns)
}

fn reading(declared: &str, entry: &FootprintAttribute) -> Reading {
    let declared = declared.to_ascii_uppercase();
    let structured = matches!(entry.attribute.declared, Some(Type::Set(_) | Type::Record(_)));
    if structured || entry.attribute.path.len() > 1 || declared.contains("JSON") {
        Reading::Json
    } else if declared.contains("BOOL") || entry.attribute.declared == Some(Type::Bool) {
        Reading::Boolean
    } else {
        Reading::Plain
    }
}

/// A stored value as metadata; `None` if there is none.
fn attribute(value: &Value, reading: Reading) -> Option<Json> {
    Some(match (value, reading) {
        (Value::Null, _) => return None,
        (Value::Integer(0), Reading::Boolean) => json!(false),
        (Value::Integer(1), Reading::Boolean) => json!(true),
        (Value::Integer(number), _) => json!(number),
        (Value::Real(number), _) => Number::from_f64(*number).map_or_else(|| json!(UNREADABLE), Json::Number),
        (Value::Text(text), Reading::Json) => match input::parse_json(text) {
            Ok(json) => json,
            Err(_) => json!(UNREADABLE),
        },
        (Value::Text(text), _) => json!(text),
        (Value::Blob(_), _) => json!(UNREADABLE),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parent {
    #[serde(rename = "type")]
    entity_type: String,
    id: String,
}

fn parents(value: &Value) -> Option<BTreeSet<EntityUid>> {
    match value {
        Value::Null => Some(BTreeSet::new()),
        Value::Text(text) => {
            let parents: Vec<Parent> = input::parse(text).ok()?;
            Some(parents.into_iter().map(|parent| EntityUid::new(parent.entity_type, parent.id)).collect())
        }
        _ => None,
    }
}
