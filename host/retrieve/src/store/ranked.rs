//! Rows with how far they are from what was asked.

use std::cmp::Ordering;

use rusqlite::Row;

/// A row and how far it is from what was asked. The greatest is the best.
#[derive(Clone, Copy)]
pub(super) struct Ranked {
    pub(super) row: i64,
    pub(super) distance: f64,
}

impl Ranked {
    /// Out of a query for the row and its distance.
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self { row: row.get(0)?, distance: row.get(1)? })
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
