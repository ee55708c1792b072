//! What the columns of a protected table are to a policy.

use serde::Deserialize;
use tamis_core::chunk::DEFAULT_TYPE;
use tamis_core::{InputError, input};
use tamis_runtime::{Fact, Policy};

use crate::server::value::Kind;

/// What the arguments of `tamis.allowed` are, in order. As JSON:
/// `{"type": "Chunk", "columns": ["id", "ancestors", "attributes", ["tenant"], ["owner", "team"]], "absent": [["embargo"]]}`, where an
/// array is the path of the attribute that the argument is, and `attributes` an object of all that have no argument of their own and
/// are not absent from all rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) entity_type: String,
    pub(crate) columns: Vec<Column>,
    pub(crate) absent: Vec<Vec<String>>,
}

/// What one column is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Id,
    Ancestors,
    Attributes,
    Attribute(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLayout {
    #[serde(rename = "type")]
    entity_type: Option<String>,
    columns: Vec<RawColumn>,
    #[serde(default)]
    absent: Vec<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawColumn {
    Named(Named),
    Path(Vec<String>),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Named {
    Id,
    Ancestors,
    Attributes,
}

impl Layout {
    pub(crate) fn from_json(text: &str) -> Result<Self, InputError> {
        let raw: RawLayout = input::parse(text)?;
        let column = |raw| match raw {
            RawColumn::Named(Named::Id) => Ok(Column::Id),
            RawColumn::Named(Named::Ancestors) => Ok(Column::Ancestors),
            RawColumn::Named(Named::Attributes) => Ok(Column::Attributes),
            RawColumn::Path(path) if path.is_empty() => Err(InputError::new("columns", "has an empty path")),
            RawColumn::Path(path) => Ok(Column::Attribute(path)),
        };
        Ok(Self {
            entity_type: raw.entity_type.unwrap_or_else(|| DEFAULT_TYPE.to_owned()),
            columns: raw.columns.into_iter().map(column).collect::<Result<_, _>>()?,
            absent: raw.absent,
        })
    }

    /// Whether an argument of this kind can be this.
    pub(crate) fn takes(column: &Column, kind: Kind) -> bool {
        match (column, kind) {
            (Column::Id, kind) => kind.has_one_text(),
            (Column::Ancestors, kind) => kind == Kind::of(pgrx::pg_sys::TEXTARRAYOID),
            (Column::Attributes, kind) => kind == Kind::Jsonb,
            (Column::Attribute(_), kind) => !matches!(kind, Kind::Other(_)),
        }
    }

    /// An attribute that is read and of which it is not said where it is.
    pub(crate) fn lacks<'a>(&self, footprint: &'a [Vec<String>]) -> Option<&'a Vec<String>> {
        let has = |path: &Vec<String>| {
            let is = |column: &Column| match column {
                Column::Attributes => true,
                Column::Attribute(own) => path.starts_with(own),
                Column::Id | Column::Ancestors => false,
            };
            self.absent.contains(path) || self.columns.iter().any(is)
        };
        footprint.iter().find(|path| !has(path))
    }

    /// What else of a row this policy reads, and of which it is not said where it is: without it, what the policy forbids by it would
    /// be allowed.
    pub(crate) fn lacks_fact(&self, policy: &Policy) -> Option<Fact> {
        let has = |fact: &Fact| match fact {
            Fact::Id => self.columns.contains(&Column::Id),
            Fact::Ancestors => self.columns.contains(&Column::Ancestors),
            // No row has them.
            Fact::Tags => false,
        };
        policy.facts().into_iter().find(|fact| !has(fact))
    }

    /// An attribute that is read as a whole, and of which a part is in a column of its own.
    pub(crate) fn divides<'a>(&self, footprint: &'a [Vec<String>]) -> Option<&'a Vec<String>> {
        let is_part = |column: &Column, path: &Vec<String>| match column {
            Column::Attribute(own) => own.len() > path.len() && own.starts_with(path),
            _ => false,
        };
        footprint.iter().find(|path| self.columns.iter().any(|column| is_part(column, path)))
    }

    /// The paths that are read inside the object of all attributes, as these are what a policy reads.
    pub(crate) fn members(&self, footprint: &[Vec<String>]) -> Vec<Vec<String>> {
        let has_column = |path: &Vec<String>| {
            self.columns
                .iter()
                .any(|column| matches!(column, Column::Attribute(own) if path.starts_with(own)))
        };
        footprint.iter().filter(|path| !has_column(path) && !self.absent.contains(path)).cloned().collect()
    }
}
