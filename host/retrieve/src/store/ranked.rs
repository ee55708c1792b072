//! Rows with how far they are from what was asked.

use std::cmp::Ordering;

use rusqlite::{Row, ToSql, params_from_iter};

use super::View;
use crate::error::Error;

/// A row and how far it is from what was asked. The greatest is the best.
#[derive(Clone, Copy)]
pub(super) struct Ranked {
    pub(super) row: i64,
    pub(super) distance: f64,
}

impl Ranked {
    /// What a query for rows and their distances finds.
    pub(super) fn all<P: ToSql>(
        view: &View<'_>,
        sql: &str,
        parameters: impl IntoIterator<Item = P>,
    ) -> Result<Vec<Self>, Error> {
        let read = |row: &Row<'_>| Ok(Self { row: row.get(0)?, distance: row.get(1)? });
        let found = view.snapshot.prepare_cached(sql).and_then(|mut query| {
            query.query_map(params_from_iter(parameters), read)?.collect::<Result<Vec<_>, _>>()
        });
        let found = view.sqlite(found)?;
        tracing::debug!(ranked = found.len(), "rows were ranked");
        Ok(found)
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        other.distance.total_cmp(&self.distance).then(other.row.cmp(&self.row))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Ranked {}
