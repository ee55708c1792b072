//! A protected table: a virtual table over the one that only we reach.
//!
//! Rows are decided on, in batches, before any other expression of the statement sees them.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::vtab::{IndexConstraintOp, IndexFlags, IndexInfo};
use tamis_dialect::quoted;

use crate::chunks::Row;
use crate::connection::Shared;
use crate::error::Error;
use crate::gate::{Gate, read_row};
use crate::layout::{Column, Layout};
use crate::native::{Backend, Scan, Statement};
use crate::write;

/// Rows of the first batch: a statement with a LIMIT needs no more.
const FIRST_BATCH: usize = 16;
/// Rows of later ones: more is not faster for each.
const LARGEST_BATCH: usize = 256;
/// What SQLite is told of tables whose size is not known.
const MANY: f64 = 1e6;
/// The column after those of the table, which takes a row's vector.
pub(crate) const VECTOR: &str = "tamis_vector";

/// A protected table, as one connection has it open.
pub(crate) struct Protected {
    shared: Arc<Shared>,
    layout: Arc<Layout>,
}

impl Backend for Protected {
    const EPONYMOUS: bool = false;
    type Scan = Rows;

    fn connect(shared: &Arc<Shared>, schema: &str, table: &str) -> Result<(String, Self), Error> {
        let layout = match Layout::find(shared, schema, table) {
            Err(_) if shared.is_removing() => Layout::lost(schema, table),
            layout => layout?,
        };
        let column = |column: &Column| format!("{} {}", quoted(&column.name), declared(&column.declared));
        let mut columns: Vec<String> = layout.columns.iter().map(column).collect();
        if layout.vectors.is_some() {
            columns.push(format!("{VECTOR} HIDDEN"));
        }
        let declaration = format!("CREATE TABLE x({})", columns.join(", "));
        Ok((declaration, Self { shared: Arc::clone(shared), layout: Arc::new(layout) }))
    }

    /// Comparisons with `=` are handed to the table under this one, which may have an index for them. They compare values with values and so
    /// tell nobody anything; SQLite checks them again on what may be read.
    fn plan(&self, info: &mut IndexInfo) -> Result<bool, Error> {
        let mut chosen: Vec<(usize, i32)> = Vec::new();
        for (index, constraint) in info.constraints().enumerate() {
            let column = constraint.column();
            let comparable = usize::try_from(column).map_or(column == -1, |column| {
                self.layout
                    .columns
                    .get(column)
                    .is_some_and(|column| affinity(&column.declared) != Affinity::None)
            });
            let equals = constraint.operator() == IndexConstraintOp::SQLITE_INDEX_CONSTRAINT_EQ;
            // Another collation than the table's could make more equal than the table under this one finds.
            let binary = || info.collation(index).is_ok_and(|name| name.eq_ignore_ascii_case("BINARY"));
            if comparable && equals && constraint.is_usable() && binary() {
                chosen.push((index, column));
            }
        }
        let mut taken: Vec<i32> = Vec::new();
        for (argument, (index, column)) in (1..).zip(chosen) {
            info.constraint_usage(index).set_argv_index(argument);
            taken.push(column);
        }
        let by_row = taken.contains(&-1);
        let (cost, rows) = match (by_row, taken.is_empty()) {
            (true, _) => (10.0, 1),
            (false, false) => (MANY / 100.0, 100),
            (false, true) => (MANY * 10.0, 1_000_000),
        };
        if by_row {
            info.set_idx_flags(IndexFlags::SQLITE_INDEX_SCAN_UNIQUE);
        }
        info.set_estimated_cost(cost);
        info.set_estimated_rows(rows);
        let taken: Vec<String> = taken.iter().map(ToString::to_string).collect();
        info.set_idx_str(&format!("{:x}/{}", info.col_used(), taken.join(",")));
        Ok(true)
    }

    fn open(&self) -> Rows {
        Rows {
            shared: Arc::clone(&self.shared),
            layout: Arc::clone(&self.layout),
            gate: None,
            statement: None,
            page: VecDeque::new(),
            batch: FIRST_BATCH,
            ended: true,
        }
    }

    fn insert(&self, row: Option<i64>, values: Vec<Value>) -> Result<i64, Error> {
        self.shared.writing(&self.layout.schema, || write::insert(&self.shared, &self.layout, row, values))
    }

    fn update(&self, row: i64, to: i64, values: Vec<Option<Value>>) -> Result<(), Error> {
        self.shared
            .writing(&self.layout.schema, || write::update(&self.shared, &self.layout, row, to, values))
    }

    fn delete(&self, row: i64) -> Result<(), Error> {
        self.shared.writing(&self.layout.schema, || write::delete(&self.shared, &self.layout, row))
    }
}

/// How values of a column are converted before they are compared, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Affinity {
    None,
    Text,
    Number,
}

/// SQLite's rules, for what is declared here.
fn affinity(text: &str) -> Affinity {
    let text = declared(text).to_ascii_uppercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["INT"]) {
        Affinity::Number
    } else if has(&["CHAR", "CLOB", "TEXT"]) {
        Affinity::Text
    } else if text.trim().is_empty() || has(&["BLOB"]) {
        Affinity::None
    } else {
        Affinity::Number
    }
}

/// The declared type, if it is words and numbers. `HIDDEN` would mean something.
fn declared(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || " _(),".contains(c));
    let hidden = text.to_ascii_uppercase().contains("HIDDEN");
    if plain && !hidden { text.to_owned() } else { String::new() }
}

/// What stands for a text among the kinds of arguments.
const TEXT: char = 't';

/// The kinds of arguments, one letter each.
fn kinds(arguments: &[Value]) -> String {
    arguments.iter().map(|value| if matches!(value, Value::Text(_)) { TEXT } else { 'o' }).collect()
}

/// A scan of a protected table.
pub(crate) struct Rows {
    shared: Arc<Shared>,
    layout: Arc<Layout>,
    /// The same for all of the statement.
    gate: Option<Gate>,
    statement: Option<Prepared>,
    /// Rows that may be read; the first is where the cursor stands.
    page: VecDeque<Row>,
    batch: usize,
    /// The table under this one has no more.
    ended: bool,
}

struct Prepared {
    plan: String,
    statement: Statement,
    wanted: BTreeSet<usize>,
    condition: Vec<Value>,
}

impl Scan for Rows {
    fn begin(&mut self, plan: &str, arguments: Vec<Value>) -> Result<(), Error> {
        self.page.clear();
        self.ended = true;
        self.batch = FIRST_BATCH;
        // NULL equals nothing.
        if arguments.contains(&Value::Null) {
            return Ok(());
        }
        if self.gate.is_none() {
            self.gate = Some(Gate::to_read(&self.shared, &self.layout)?);
        }
        // A number is equal to a text in some comparisons and not in others: that is left to SQLite.
        let plan = format!("{plan}/{}", kinds(&arguments));
        if self.statement.as_ref().is_none_or(|prepared| prepared.plan != plan) {
            self.statement = self.prepare(plan)?;
        }
        let Some(prepared) = &mut self.statement else { return Ok(()) };
        let mut values = prepared.condition.clone();
        values.extend(arguments);
        prepared.statement.bind(&values)?;
        self.ended = false;
        self.fill()
    }

    fn advance(&mut self) -> Result<(), Error> {
        self.page.pop_front();
        self.fill()
    }

    fn ended(&self) -> bool {
        self.page.is_empty()
    }

    fn value(&self, column: usize) -> Value {
        self.page.front().and_then(|row| row.values.get(&column)).cloned().unwrap_or(Value::Null)
    }

    fn row(&self) -> i64 {
        self.page.front().map_or(0, |row| row.id)
    }
}

impl Rows {
    /// The statement for a plan; `None` if the policy allows nothing.
    fn prepare(&mut self, plan: String) -> Result<Option<Prepared>, Error> {
        let bug = || Error::Argument("a bug: a plan that is none".to_owned());
        let [used, equal, kinds] = plan.splitn(3, '/').collect::<Vec<_>>()[..] else { return Err(bug()) };
        let used = u64::from_str_radix(used, 16).map_err(|_| bug())?;
        let Some(gate) = &mut self.gate else { return Ok(None) };
        let Some(condition) = gate.condition()? else { return Ok(None) };
        // The last bit stands for all columns from the 64th on.
        let is_used = |column: &usize| used >> (*column).min(63) & 1 == 1;
        let mut wanted: BTreeSet<usize> = (0..self.layout.columns.len()).filter(is_used).collect();
        wanted.extend(&gate.read.columns);
        let term = |(column, kind): (&str, char)| {
            let column = column.parse::<i32>().map_err(|_| bug())?;
            let Ok(index) = usize::try_from(column) else { return Ok("tamis_rowid = ?".to_owned()) };
            let column = self.layout.columns.get(index).ok_or_else(bug)?;
            let compares = affinity(&column.declared) == Affinity::Number || kind == TEXT;
            Ok(if compares { format!("c{index} = ?") } else { "? IS NOT NULL".to_owned() })
        };
        let equal = equal.split(',').filter(|column| !column.is_empty());
        let terms: Result<Vec<String>, Error> = equal.zip(kinds.chars()).map(term).collect();
        let statement = gate.rows(&condition, &terms?, &wanted)?;
        Ok(Some(Prepared { plan, statement, wanted, condition: condition.values }))
    }

    /// Reads on until there is a row that may be read, or none is left, unless there is one already.
    fn fill(&mut self) -> Result<(), Error> {
        let result = self.read_on();
        if result.is_err() {
            // A session that failed answers nothing more, and no row of this batch was decided on.
            self.gate = None;
            self.statement = None;
            self.ended = true;
            self.page.clear();
        }
        result
    }

    fn read_on(&mut self) -> Result<(), Error> {
        let (Some(gate), Some(prepared)) = (&mut self.gate, &mut self.statement) else { return Ok(()) };
        // Rows that were decided on for somebody are for nobody else.
        gate.check_request()?;
        while self.page.is_empty() && !self.ended {
            let mut rows = Vec::new();
            while rows.len() < self.batch {
                if !prepared.statement.step()? {
                    self.ended = true;
                    prepared.statement.reset();
                    break;
                }
                rows.push(read_row(&prepared.statement, &prepared.wanted)?);
            }
            self.batch = (self.batch * 2).min(LARGEST_BATCH);
            self.page.extend(gate.allowed(rows)?);
        }
        Ok(())
    }
}
