//! What rows of one place look like to one policy: worked out once for a request.

use pgrx::pg_sys::errcodes::PgSqlErrorCode;
use tamis_runtime::Policy;

use crate::error::Failure;
use crate::gate::Place;
use crate::layout::{Column, Layout};
use crate::row::Reader;
use crate::server::value::{Kind, Value};

/// What rows look like.
pub(crate) struct Shape {
    layout: Layout,
    kinds: Vec<Kind>,
    /// What of the attributes the policy reads, if they are in one column.
    members: Vec<Vec<String>>,
    pub(crate) reader: Reader,
    /// Whether to remember decisions by what is stored: where that is looked up sooner than read.
    pub(crate) remembers: bool,
}

impl Shape {
    /// # Errors
    /// If such rows are not what the policy can be asked about.
    pub(crate) fn new(place: &Place, policy: &Policy) -> Result<Self, Failure> {
        let layout =
            Layout::from_json(&place.layout).map_err(|error| wrong(format!("The layout: {error}")))?;
        let kinds = place.kinds.clone();
        if kinds.len() != layout.columns.len() {
            let (columns, values) = (layout.columns.len(), kinds.len());
            return Err(wrong(format!("There are {columns} columns, and values of {values}.")));
        }
        let mut columns = layout.columns.iter().zip(&kinds);
        if let Some((column, kind)) = columns.find(|(column, kind)| !Layout::takes(column, **kind)) {
            return Err(wrong(format!("{column:?} cannot be of the type {kind:?}.")));
        }
        let footprint: Vec<Vec<String>> =
            policy.manifest().footprint.iter().map(|entry| entry.attribute.path.clone()).collect();
        if let Some(path) = layout.lacks(&footprint) {
            let message =
                format!("policy \"{}\" reads an attribute that its table is not known to have", place.policy);
            return Err(Failure::new(PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN, message)
                .detail(format!("It is `{}`. No row was let through.", path.join(".")))
                .hint("Protect the table again with tamis.protect."));
        }
        if let Some(fact) = layout.lacks_fact(policy) {
            let message =
                format!("policy \"{}\" reads what its table is not known to have: {fact}", place.policy);
            return Err(Failure::new(PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN, message)
                .detail("No row was let through.")
                .hint("Protect the table again with tamis.protect, and say where that is."));
        }
        if let Some(path) = layout.divides(&footprint) {
            let path = path.join(".");
            return Err(wrong(format!("All of `{path}` is read, and a part of it has a column of its own.")));
        }
        let reads_ids = policy.reads_ids();
        Ok(Self {
            reader: Reader::new(&layout, &footprint, reads_ids),
            members: layout.members(&footprint),
            // If each row is its own case, none comes again.
            remembers: !reads_ids && kinds.iter().any(|kind| matches!(kind, Kind::Array(_) | Kind::Jsonb)),
            layout,
            kinds,
        })
    }

    /// What a column holds.
    pub(crate) fn kind(&self, column: usize) -> Kind {
        self.kinds.get(column).copied().unwrap_or(Kind::Text)
    }

    /// Adds bytes that tell a row from all that the policy decides on otherwise.
    pub(crate) fn tell_apart<'r>(&self, values: impl Fn(usize) -> Value<'r>, key: &mut Vec<u8>) {
        for (number, column) in self.layout.columns.iter().enumerate() {
            match column {
                Column::Id => {}
                Column::Attributes => values(number).tell_members_apart(&self.members, key),
                Column::Ancestors | Column::Attribute(_) => values(number).tell_apart(key),
            }
        }
    }
}

/// A call that `tamis.protect` has not written.
pub(crate) fn wrong(detail: impl ToString) -> Failure {
    Failure::new(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        "not a row that a policy can be asked about",
    )
    .detail(detail)
    .hint("tamis.protect writes these calls.")
}
