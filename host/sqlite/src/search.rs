//! `tamis_search(table, vector, k)`: the nearest rows of a protected table that may be read, `k` of them if there are so many.
//!
//! The policy's filter goes to sqlite-vec as `rowid IN (SELECT …)`, which it applies before it ranks; every row that it finds is decided
//! on; and more are asked for until there are `k`, or none is left.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::vtab::{IndexConstraintOp, IndexInfo};

use crate::chunks::Row;
use crate::connection::Shared;
use crate::error::Error;
use crate::gate::{Gate, inner, read_row};
use crate::layout::Layout;
use crate::narrow::Condition;
use crate::native::{Backend, Scan, Statement};
use crate::vectors::Vectors;

/// sqlite-vec refuses to rank more at once.
const MAX_NEAREST: usize = 4096;
/// More hits than this are refused: nobody reads them, and a model cannot.
const MAX_K: usize = 10_000;
/// The filter may be wide: at least so many candidates are asked for at first.
const FIRST_PAGE: usize = 32;
/// Rows that are decided on at once.
const BATCH: usize = 256;
/// The hidden columns, which are the function's arguments.
const ARGUMENTS: [i32; 3] = [2, 3, 4];

/// The table-valued function.
pub(crate) struct Search(Arc<Shared>);

/// What one call of it found.
pub(crate) struct Hits {
    shared: Arc<Shared>,
    hits: Vec<(i64, Value)>,
    at: usize,
    /// The change that set the request for which they were found.
    epoch: u64,
}

impl Backend for Search {
    const EPONYMOUS: bool = true;
    type Scan = Hits;

    fn connect(shared: &Arc<Shared>, _: &str, _: &str) -> Result<(String, Self), Error> {
        let declaration =
            r#"CREATE TABLE x(id INTEGER, distance REAL, "table" HIDDEN, vector HIDDEN, k HIDDEN)"#;
        Ok((declaration.to_owned(), Self(Arc::clone(shared))))
    }

    fn plan(&self, info: &mut IndexInfo) -> Result<bool, Error> {
        let mut places = [None; ARGUMENTS.len()];
        for (index, constraint) in info.constraints().enumerate() {
            let argument = ARGUMENTS.iter().position(|column| *column == constraint.column());
            let Some(place) = argument.and_then(|argument| places.get_mut(argument)) else { continue };
            if constraint.operator() == IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ
                && constraint.is_usable()
            {
                *place = Some(index);
            }
        }
        for (argument, place) in (1..).zip(places) {
            // Without all three arguments there is no such plan; SQLite looks for another order of the tables.
            let Some(index) = place else { return Ok(false) };
            let mut usage = info.constraint_usage(index);
            usage.set_argv_index(argument);
            usage.set_omit(true);
        }
        info.set_estimated_cost(1000.0);
        info.set_estimated_rows(10);
        Ok(true)
    }

    fn open(&self) -> Hits {
        Hits { shared: Arc::clone(&self.0), hits: Vec::new(), at: 0, epoch: 0 }
    }
}

impl Scan for Hits {
    fn begin(&mut self, _: &str, arguments: Vec<Value>) -> Result<(), Error> {
        self.at = 0;
        self.hits.clear();
        let [Value::Text(table), vector, Value::Integer(k)] = arguments.as_slice() else {
            let message =
                "`tamis_search` wants the name of a protected table, a vector, and a number of rows";
            return Err(Error::Argument(message.to_owned()));
        };
        let k = usize::try_from(*k).ok().filter(|k| (1..=MAX_K).contains(k));
        let k = k.ok_or_else(|| Error::Argument(format!("k must be from 1 to {MAX_K}")))?;
        (self.hits, self.epoch) = search(&self.shared, table, vector, k)?;
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Error> {
        self.at += 1;
        self.shared.still(self.epoch)
    }

    fn ended(&self) -> bool {
        self.at >= self.hits.len()
    }

    fn value(&self, column: usize) -> Value {
        match (column, self.hits.get(self.at)) {
            (0, Some((id, _))) => Value::Integer(*id),
            (1, Some((_, distance))) => distance.clone(),
            _ => Value::Null,
        }
    }

    fn row(&self) -> i64 {
        i64::try_from(self.at + 1).unwrap_or(0)
    }
}

/// The hits, and the change that set the request for which they were found.
fn search(
    shared: &Arc<Shared>,
    table: &str,
    vector: &Value,
    k: usize,
) -> Result<(Vec<(i64, Value)>, u64), Error> {
    let layout = Arc::new(Layout::find(shared, "main", table)?);
    let mut gate = Gate::to_read(shared, &layout)?;
    let Some(vectors) = Vectors::of(shared, &layout)? else {
        return Err(Error::table(&layout.table, "it was protected without vectors"));
    };
    let vector = vectors.read(&layout, vector)?;
    let epoch = gate.epoch;
    let Some(condition) = gate.condition()? else { return Ok((Vec::new(), epoch)) };
    let ranking = Ranking { shared, layout: &layout, vectors: &vectors, vector, condition };
    let rows = Condition { sql: "tamis_rowid = ?".to_owned(), values: Vec::new() };
    let wanted = gate.read.columns.clone();
    let mut rows = gate.rows(&rows, &[], &wanted)?;
    let (mut hits, mut seen) = (Vec::new(), HashSet::new());
    let mut reach = k.saturating_mul(2).max(FIRST_PAGE);
    loop {
        let limit = (reach <= MAX_NEAREST).then_some(reach);
        let ranked = ranking.nearest(limit)?;
        let last = limit.is_none_or(|limit| ranked.len() < limit);
        let new: Vec<(i64, Value)> = ranked.into_iter().filter(|(id, _)| seen.insert(*id)).collect();
        for batch in new.chunks(BATCH) {
            let allowed = allowed(&mut gate, &mut rows, &wanted, batch)?;
            hits.extend(batch.iter().filter(|(id, _)| allowed.contains(id)).cloned());
            if hits.len() >= k {
                hits.truncate(k);
                return Ok((hits, epoch));
            }
        }
        if last {
            return Ok((hits, epoch));
        }
        reach = reach.saturating_mul(4);
    }
}

/// Which of the rows may be read.
fn allowed(
    gate: &mut Gate,
    rows: &mut Statement,
    wanted: &std::collections::BTreeSet<usize>,
    batch: &[(i64, Value)],
) -> Result<HashSet<i64>, Error> {
    let mut stored: Vec<Row> = Vec::new();
    for (id, _) in batch {
        rows.bind(&[Value::Integer(*id)])?;
        // A vector may have outlived its row.
        if rows.step()? {
            stored.push(read_row(rows, wanted)?);
        }
        rows.reset();
    }
    Ok(gate.allowed(stored)?.into_iter().map(|row| row.id).collect())
}

/// Rows by nearness, under a condition.
struct Ranking<'a> {
    shared: &'a Arc<Shared>,
    layout: &'a Layout,
    vectors: &'a Vectors,
    vector: Value,
    condition: Condition,
}

impl Ranking<'_> {
    /// So many of the nearest by the index of sqlite-vec, or all by computing every distance.
    fn nearest(&self, limit: Option<usize>) -> Result<Vec<(i64, Value)>, Error> {
        let Vectors { table, column, distance, .. } = self.vectors;
        let condition = if self.condition.sql == "1" {
            String::new()
        } else {
            format!(
                " AND rowid IN (SELECT tamis_rowid FROM ({}) WHERE {})",
                inner(self.layout),
                self.condition.sql
            )
        };
        let mut values = vec![self.vector.clone()];
        let sql = match limit {
            Some(limit) => {
                values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
                format!(
                    "SELECT rowid, distance FROM {table} WHERE {column} MATCH ? AND k = ?{condition} ORDER BY distance"
                )
            }
            None => format!(
                "SELECT rowid, {distance}({column}, ?) AS distance FROM {table} WHERE true{condition} ORDER BY distance, rowid"
            ),
        };
        values.extend(self.condition.values.iter().cloned());
        let mut next = self.shared.query(&sql, &values)?;
        let mut ranked = Vec::new();
        while let Some(mut row) = next {
            if let Value::Integer(id) = row.value(0)? {
                ranked.push((id, row.value(1)?));
            }
            next = row.step()?.then_some(row);
        }
        Ok(ranked)
    }
}
