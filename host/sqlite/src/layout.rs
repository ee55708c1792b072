//! A protected table: its columns, and where it keeps what a policy reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::types::Value;
use serde::Deserialize;
use tamis_core::{chunk, input};
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
    pub(crate) parents: Option<usize>,
}

/// Where the attributes are.
pub(crate) enum Place {
    /// In a JSON object.
    Json(usize),
    /// In columns, of which some have other names.
    Columns(BTreeMap<String, usize>),
}

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

    /// A table of which nothing is known, to be dropped.
    pub(crate) fn lost(schema: &str, table: &str) -> Self {
        let unknown =
            Column { name: "lost".to_owned(), declared: String::new(), has_default: false, generated: false };
        Self {
            schema: schema.to_owned(),
            table: table.to_owned(),
            policy: String::new(),
            columns: vec![unknown],
            rowid: "rowid",
            vectors: None,
            attributes: Place::Columns(BTreeMap::new()),
            id: None,
            entity_type: String::new(),
            text: None,
            parents: None,
        }
    }

    /// The table under this one, as SQL.
    pub(crate) fn base(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(&format!("{BASE}{}", self.table)))
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
