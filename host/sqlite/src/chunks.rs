//! Rows as chunks: what a policy reads of them, and what it withholds.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::Value;
use serde::Deserialize;
use serde_json::{Number, Value as Json, json};
use tamis_core::manifest::FootprintAttribute;
use tamis_core::{Attributes, Chunk, EntityUid, Manifest, Redaction, Type, input};
use tamis_runtime::{Fact, Policy};

use crate::error::Error;
use crate::layout::{Layout, Place};

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

/// Longer values are no metadata, and a policy has no room for them.
const MAX_VALUE: usize = 1 << 20;

/// A number that is ill-typed whatever is declared: no 64-bit number, and no decimal. It stands for what cannot be read.
pub(crate) const UNREADABLE: f64 = 1e300;

impl Layout {
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

    /// What a policy reads here. Fails if it needs what the table has not, or what nobody has named.
    pub(crate) fn read(&self, policy: &Policy) -> Result<Read, Error> {
        self.check_named(policy)?;
        let manifest = policy.manifest();
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

    /// Fails if the policy goes by something that is no attribute, and nothing says which column that is.
    fn check_named(&self, policy: &Policy) -> Result<(), Error> {
        let reads = policy.facts();
        let named = |option: &str| {
            format!(
                "and no column is named for it: `tamis_protect(table, policy, '{{\"{option}\": \"…\"}}')` does"
            )
        };
        let lack = if self.text.is_none() && redacts_text(policy.manifest()) {
            format!("redacts the text, {}", named("text"))
        } else if self.parents.is_none() && reads.contains(&Fact::Ancestors) {
            format!("reads the {} of a chunk, {}", Fact::Ancestors, named("parents"))
        } else if reads.contains(&Fact::Tags) {
            format!("reads the {} of a chunk, which no table has", Fact::Tags)
        } else {
            return Ok(());
        };
        Err(Error::table(&self.table, format!("the policy `{}` {lack}", self.policy)))
    }

    /// The chunk that a row is; `None` if it is none, which nobody may read.
    pub(crate) fn chunk(&self, read: &Read, row: &Row) -> Option<Chunk> {
        let value = |column: usize| row.values.get(&column).unwrap_or(&Value::Null);
        let id = match self.id.map(value) {
            None => row.id.to_string(),
            Some(Value::Integer(number)) => number.to_string(),
            Some(Value::Text(text)) if text.len() <= MAX_VALUE => text.clone(),
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
                    Value::Text(text) if text.len() > MAX_VALUE => return None,
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

    /// Whether it is known where all that the policy withholds is. An attribute without a column is not there; a text may be in any.
    pub(crate) fn can_withhold(&self, redaction: &Redaction) -> bool {
        self.text.is_some() || !redaction.text
    }

    /// Takes from a row what the policy withholds.
    pub(crate) fn redact(&self, row: &mut Row, mut chunk: Chunk, redaction: &Redaction) {
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

/// Whether a policy says that it redacts the text, as Cedar's do by `@redact("salary, text")`.
fn redacts_text(manifest: &Manifest) -> bool {
    let annotations = manifest.policies.iter().flat_map(|policy| &policy.annotations);
    let mut redacted =
        annotations.filter(|(name, _)| name == "redact").flat_map(|(_, names)| names.split(','));
    redacted.any(|name| name.trim() == "text")
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
        (Value::Text(text), _) if text.len() > MAX_VALUE => json!(UNREADABLE),
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
        Value::Text(text) if text.len() <= MAX_VALUE => {
            let parents: Vec<Parent> = input::parse(text).ok()?;
            Some(parents.into_iter().map(|parent| EntityUid::new(parent.entity_type, parent.id)).collect())
        }
        _ => None,
    }
}
