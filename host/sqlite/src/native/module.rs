//! Virtual tables, behind safe traits.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rusqlite::types::{Value, ValueRef};
use rusqlite::vtab::{
    Context, CreateVTab, Filters, IndexInfo, Inserts, Module, UpdateVTab, Updates, VTab, VTabConfig,
    VTabConnection, VTabCursor, VTabKind, sqlite3_vtab, sqlite3_vtab_cursor,
};
use rusqlite::{Connection, Result};

use crate::connection::Shared;
use crate::error::Error;

/// What a virtual table does.
pub(crate) trait Backend: Sized + Send + 'static {
    /// Whether it exists without `CREATE VIRTUAL TABLE`.
    const EPONYMOUS: bool;
    /// Its cursors.
    type Scan: Scan;

    /// The table with this name in this schema, and the `CREATE TABLE` statement that says what columns it has.
    fn connect(shared: &Arc<Shared>, schema: &str, table: &str) -> Result<(String, Self), Error>;
    /// Plans a scan.
    fn plan(&self, info: &mut IndexInfo) -> Result<bool, Error>;
    /// Begins a scan.
    fn open(&self) -> Self::Scan;
    /// Inserts a row; the values of all columns. Returns its rowid.
    fn insert(&self, _row: Option<i64>, _values: Vec<Value>) -> Result<i64, Error> {
        read_only()
    }
    /// Changes a row: a new rowid, and for each column a value if it is another.
    fn update(&self, _row: i64, _to: i64, _values: Vec<Option<Value>>) -> Result<(), Error> {
        read_only()
    }
    /// Deletes a row.
    fn delete(&self, _row: i64) -> Result<(), Error> {
        read_only()
    }
}

fn read_only<T>() -> Result<T, Error> {
    Err(Error::Argument("the table is read only".to_owned()))
}

/// A cursor over a virtual table.
pub(crate) trait Scan: Send + 'static {
    /// Goes to the first row of what [`Backend::plan`] planned.
    fn begin(&mut self, plan: &str, arguments: Vec<Value>) -> Result<(), Error>;
    /// Goes to the next row.
    fn advance(&mut self) -> Result<(), Error>;
    /// Whether there is no row any more.
    fn ended(&self) -> bool;
    /// A value of the row.
    fn value(&self, column: usize) -> Value;
    /// The row's rowid.
    fn row(&self) -> i64;
}

/// Makes a module known under a name.
pub(crate) fn create_module<B: Backend>(
    connection: &Connection,
    name: &str,
    shared: &Arc<Shared>,
) -> Result<()> {
    let aux = Some(Arc::clone(shared));
    if B::EPONYMOUS {
        connection.create_module::<Table<B>, _>(name, const { &Module::eponymous_only_module() }, aux)
    } else {
        connection.create_module::<Table<B>, _>(name, const { &Module::update_module() }, aux)
    }
}

#[repr(C)]
struct Table<B> {
    base: sqlite3_vtab,
    backend: B,
}

/// A panic must not pass through SQLite; it fails the statement.
fn guarded<T>(call: impl FnOnce() -> Result<T, Error>) -> Result<T> {
    let failed = || Error::Argument("a bug: the extension panicked".to_owned());
    Ok(catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(failed()))?)
}

fn owned(value: ValueRef<'_>) -> Result<Value, Error> {
    Value::try_from(value).map_err(|_| Error::Argument("a text is not UTF-8".to_owned()))
}

// SAFETY: the struct is `repr(C)`, and begins with SQLite's.
unsafe impl<'vtab, B: Backend> VTab<'vtab> for Table<B> {
    type Aux = Arc<Shared>;
    type Cursor = Cursor<B::Scan>;

    fn connect(
        db: &mut VTabConnection,
        aux: Option<&Self::Aux>,
        _module: &[u8],
        schema: &[u8],
        table: &[u8],
        _arguments: &[&[u8]],
    ) -> Result<(Cow<'static, CStr>, Self)> {
        // It decides by itself what may be read, whatever view or trigger asks.
        db.config(VTabConfig::Innocuous)?;
        let (declaration, backend) = guarded(|| {
            let shared = aux.ok_or(Error::Authorizer)?;
            B::connect(shared, &String::from_utf8_lossy(schema), &String::from_utf8_lossy(table))
        })?;
        let declaration = CString::new(declaration)?;
        Ok((Cow::Owned(declaration), Self { base: sqlite3_vtab::default(), backend }))
    }

    fn best_index(&self, info: &mut IndexInfo) -> Result<bool> {
        guarded(|| self.backend.plan(info))
    }

    fn open(&'vtab mut self) -> Result<Self::Cursor> {
        Ok(Cursor { base: sqlite3_vtab_cursor::default(), scan: self.backend.open() })
    }
}

impl<B: Backend> CreateVTab<'_> for Table<B> {
    const KIND: VTabKind = VTabKind::Default;
}

impl<B: Backend> UpdateVTab<'_> for Table<B> {
    fn delete(&mut self, row: ValueRef<'_>) -> Result<()> {
        let row = row.as_i64().map_err(|error| Error::Argument(error.to_string()))?;
        guarded(|| self.backend.delete(row))
    }

    fn insert(&mut self, values: &Inserts<'_>) -> Result<i64> {
        guarded(|| {
            let row = row_number(values.get::<Value>(1))?;
            let all = (2..values.len()).map(|index| values.get::<Value>(index).map_err(unreadable));
            self.backend.insert(row, all.collect::<Result<_, Error>>()?)
        })
    }

    fn update(&mut self, values: &Updates<'_>) -> Result<()> {
        guarded(|| {
            let missing = || Error::Argument("a row has no rowid".to_owned());
            let from = row_number(values.get::<Value>(0))?.ok_or_else(missing)?;
            let to = row_number(values.get::<Value>(1))?.ok_or_else(missing)?;
            let changed = |index| {
                if values.no_change(index) {
                    return Ok(None);
                }
                values.get::<Value>(index).map(Some).map_err(unreadable)
            };
            let all = (2..values.len()).map(changed);
            self.backend.update(from, to, all.collect::<Result<_, Error>>()?)
        })
    }
}

fn unreadable(error: rusqlite::Error) -> Error {
    Error::Argument(format!("a value cannot be read: {error}"))
}

fn row_number(value: Result<Value>) -> Result<Option<i64>, Error> {
    match value.map_err(unreadable)? {
        Value::Null => Ok(None),
        Value::Integer(number) => Ok(Some(number)),
        _ => Err(Error::Argument("a rowid is not a whole number".to_owned())),
    }
}

#[repr(C)]
struct Cursor<S> {
    base: sqlite3_vtab_cursor,
    scan: S,
}

// SAFETY: the struct is `repr(C)`, and begins with SQLite's.
unsafe impl<S: Scan> VTabCursor for Cursor<S> {
    fn filter(&mut self, _number: c_int, plan: Option<&str>, arguments: &Filters<'_>) -> Result<()> {
        guarded(|| {
            let arguments = arguments.iter().map(owned).collect::<Result<_, Error>>()?;
            self.scan.begin(plan.unwrap_or_default(), arguments)
        })
    }

    fn next(&mut self) -> Result<()> {
        guarded(|| self.scan.advance())
    }

    fn eof(&self) -> bool {
        self.scan.ended()
    }

    fn column(&self, context: &mut Context, column: c_int) -> Result<()> {
        // What an UPDATE does not change is not read: it may be withheld from whoever updates.
        if context.no_change() {
            return Ok(());
        }
        let column = usize::try_from(column).unwrap_or(usize::MAX);
        context.set_result(self.scan.value(column))
    }

    fn rowid(&self) -> Result<i64> {
        Ok(self.scan.row())
    }
}
