//! One statement's use of a policy over a protected table: who asks, and what they may read or write.

use std::collections::BTreeSet;
use std::sync::Arc;

use tamis_core::admit::footprint_faults;
use tamis_core::{Chunk, Query, request};
use tamis_dialect::quoted;
use tamis_runtime::{Admission, Session};

use crate::chunks::{Read, Row};
use crate::connection::Shared;
use crate::error::Error;
use crate::layout::{Layout, Place};
use crate::narrow::{Condition, narrow};
use crate::native::Statement;
use crate::policies::{self, Stored};

/// A policy and a request, from the beginning of a statement to its end.
pub(crate) struct Gate {
    shared: Arc<Shared>,
    layout: Arc<Layout>,
    stored: Stored,
    pub(crate) read: Read,
    session: Session,
    /// The change that set the request.
    pub(crate) epoch: u64,
}

impl Gate {
    /// Prepares the request that is set, to read.
    pub(crate) fn to_read(shared: &Arc<Shared>, layout: &Arc<Layout>) -> Result<Self, Error> {
        Self::new(shared, layout, request::RETRIEVE)
    }

    /// Prepares the request that is set, to write.
    pub(crate) fn to_write(shared: &Arc<Shared>, layout: &Arc<Layout>) -> Result<Self, Error> {
        Self::new(shared, layout, request::INDEX)
    }

    fn new(shared: &Arc<Shared>, layout: &Arc<Layout>, action: &str) -> Result<Self, Error> {
        let (request, epoch) = shared.access().request()?;
        let stored = policies::find(shared, &layout.schema, &layout.policy)?;
        let read = layout.read(&stored.policy)?;
        let request = Arc::unwrap_or_clone(request).with_action(action);
        let session = stored.policy.session(&request);
        Ok(Self { shared: Arc::clone(shared), layout: Arc::clone(layout), stored, read, session, epoch })
    }

    /// Fails if somebody else asks by now.
    pub(crate) fn check_request(&self) -> Result<(), Error> {
        self.shared.still(self.epoch)
    }

    /// What every row that may be read satisfies; `None` if there can be none.
    pub(crate) fn condition(&mut self) -> Result<Option<Condition>, Error> {
        let query = Query { collection: self.layout.table.clone(), k: u32::MAX };
        let rewrite = self.session.rewrite(&query).map_err(|error| self.stored.failed(error))?;
        let footprint = &self.stored.policy.manifest().footprint;
        Ok(narrow(&rewrite.filter, footprint, &self.layout, &self.read))
    }

    /// Those of `rows` that may be read, in order, without what is withheld.
    pub(crate) fn allowed(&mut self, rows: Vec<Row>) -> Result<Vec<Row>, Error> {
        self.check_request()?;
        // What the admit gate would not have let in is nobody's: a rule that fails on it could be the one that forbids.
        let footprint = &self.stored.policy.manifest().footprint;
        let chunk = |row: Row| {
            let chunk = self.layout.chunk(&self.read, &row)?;
            footprint_faults(&chunk, footprint).is_empty().then_some((row, chunk))
        };
        let (rows, chunks): (Vec<Row>, Vec<Chunk>) = rows.into_iter().filter_map(chunk).unzip();
        let decisions = self.session.filter(&chunks).map_err(|error| self.stored.failed(error))?;
        let mut allowed = Vec::new();
        for ((mut row, chunk), decision) in rows.into_iter().zip(chunks).zip(decisions) {
            if decision.allow && self.layout.can_withhold(&decision.redaction) {
                self.layout.redact(&mut row, chunk, &decision.redaction);
                allowed.push(row);
            }
        }
        Ok(allowed)
    }

    /// Fails unless the row may be written as it is, and says what is wrong with it if that is `told`.
    pub(crate) fn admit(&mut self, row: &Row, told: bool) -> Result<(), Error> {
        self.check_request()?;
        let denied = |reason: String| Error::Denied {
            table: self.layout.table.clone(),
            policy: self.layout.policy.clone(),
            row: row.id,
            reason,
        };
        let Some(chunk) = self.layout.chunk(&self.read, row) else {
            let reason = if told { ": its id, attributes or parents are not of the right kind" } else { "" };
            return Err(denied(reason.to_owned()));
        };
        let admissions =
            self.session.admit(std::slice::from_ref(&chunk)).map_err(|error| self.stored.failed(error))?;
        match admissions.as_slice() {
            [Admission::Admitted] => Ok(()),
            [Admission::Unreadable(faults)] if told => Err(denied(format!(": {}", faults.join(", ")))),
            _ => Err(denied(String::new())),
        }
    }

    /// Goes through the stored rows that satisfy `condition` and the further terms, of the columns `wanted`, which come after the rowid.
    pub(crate) fn rows(
        &self,
        condition: &Condition,
        terms: &[String],
        wanted: &BTreeSet<usize>,
    ) -> Result<Statement, Error> {
        let columns: String = wanted.iter().map(|column| format!(", c{column}")).collect();
        let terms: String = terms.iter().map(|term| format!(" AND {term}")).collect();
        let inner = inner(&self.layout);
        let sql = format!("SELECT tamis_rowid{columns} FROM ({inner}) WHERE {}{terms}", condition.sql);
        Statement::prepare(&self.shared, &sql)
    }
}

/// The table under a protected one, with short names for its columns, and with what the dialect calls attributes and id.
pub(crate) fn inner(layout: &Layout) -> String {
    let column =
        |index: usize| layout.columns.get(index).map(|column| quoted(&column.name)).unwrap_or_default();
    let rowid = layout.rowid;
    let all: String =
        (0..layout.columns.len()).map(|index| format!(", {} AS c{index}", column(index))).collect();
    let id = layout.id.map_or_else(|| rowid.to_owned(), column);
    let attributes = match layout.attributes {
        Place::Json(index) => format!(", {} AS attributes", column(index)),
        Place::Columns(_) => String::new(),
    };
    format!(
        "SELECT {rowid} AS tamis_rowid, CAST({id} AS TEXT) AS chunk_id{attributes}{all} FROM {}",
        layout.base()
    )
}

/// The row that a statement of [`Gate::rows`] stands on.
pub(crate) fn read_row(statement: &Statement, wanted: &BTreeSet<usize>) -> Result<Row, Error> {
    let rusqlite::types::Value::Integer(id) = statement.value(0)? else {
        return Err(Error::Argument("a stored row has no rowid".to_owned()));
    };
    let values = (1..).zip(wanted).map(|(position, column)| Ok((*column, statement.value(position)?)));
    Ok(Row { id, values: values.collect::<Result<_, Error>>()? })
}
