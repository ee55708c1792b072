//! Rows of this extension's own tables, by their keys, as they are now: not as a statement's or a transaction's snapshot has them.
//! Read below SQL, so that who asks needs no right to the table, and inside of any statement.

use std::ffi::{CStr, CString};

use pgrx::pg_sys::{self, Datum};
use pgrx::{FromDatum, IntoDatum};

/// The schema of everything here, and the name of the extension.
const SCHEMA: &CStr = c"tamis";

/// A value of a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key<'a> {
    Text(&'a str),
    Long(i64),
}

/// A row that was found.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    tuple: pg_sys::HeapTuple,
    description: pg_sys::TupleDesc,
    _scan: &'a Scan,
}

impl Row<'_> {
    /// The value of a column, by its number from 1. `None` is NULL.
    ///
    /// # Safety
    /// The column must be of this type.
    unsafe fn get<T: FromDatum>(self, column: i32) -> Option<T> {
        let mut null = false;
        // SAFETY: the tuple is of this description and lives as long as the scan.
        unsafe {
            let datum = pg_sys::heap_getattr(self.tuple, column, self.description, &mut null);
            T::from_datum(datum, null)
        }
    }

    /// A column of type text.
    pub(crate) fn text(self, column: i32) -> Option<String> {
        // SAFETY: as the tables are defined.
        unsafe { self.get(column) }
    }

    /// A column of type bigint.
    pub(crate) fn long(self, column: i32) -> Option<i64> {
        // SAFETY: as the tables are defined.
        unsafe { self.get(column) }
    }

    /// A column of type bytea.
    pub(crate) fn bytes(self, column: i32) -> Option<Vec<u8>> {
        // SAFETY: as the tables are defined.
        unsafe { self.get(column) }
    }
}

struct Scan {
    table: pg_sys::Relation,
    scan: pg_sys::SysScanDesc,
}

impl Drop for Scan {
    fn drop(&mut self) {
        // After an error the server itself ends what is open.
        // SAFETY: both are open.
        unsafe {
            if !std::thread::panicking() {
                pg_sys::systable_endscan(self.scan);
                pg_sys::table_close(self.table, pg_sys::AccessShareLock as i32);
            }
        }
    }
}

/// Reads one row of `table`, which has the columns of its index `index` first, by the values of these. `None` if there is no such
/// row, or no such table.
pub(crate) fn find<T>(
    table: &CStr,
    index: &CStr,
    keys: &[Key<'_>],
    read: impl FnOnce(Row<'_>) -> T,
) -> Option<T> {
    // SAFETY: names are C strings; keys are of the types of the columns, by the callers in this library and the SQL beside it; what
    // is opened is closed.
    unsafe {
        let schema = pg_sys::get_namespace_oid(SCHEMA.as_ptr(), true);
        let table = pg_sys::get_relname_relid(table.as_ptr(), schema);
        let index = pg_sys::get_relname_relid(index.as_ptr(), schema);
        if [schema, table, index].contains(&pg_sys::InvalidOid) {
            return None;
        }
        let mut wanted: Vec<pg_sys::ScanKeyData> = Vec::new();
        for (column, key) in (1..).zip(keys) {
            let (function, datum) = match key {
                Key::Text(text) => (pg_sys::F_TEXTEQ, text.into_datum()),
                Key::Long(number) => (pg_sys::F_INT8EQ, number.into_datum()),
            };
            wanted.push(scan_key(column, function, datum?));
        }
        let table = pg_sys::table_open(table, pg_sys::AccessShareLock as i32);
        let scan = pg_sys::systable_beginscan(
            table,
            index,
            true,
            // The newest that is committed, and what this transaction has done itself.
            std::ptr::null_mut(),
            wanted.len() as i32,
            wanted.as_mut_ptr(),
        );
        let scan = Scan { table, scan };
        let tuple = pg_sys::systable_getnext(scan.scan);
        let description = (*table).rd_att;
        (!tuple.is_null()).then(|| read(Row { tuple, description, _scan: &scan }))
    }
}

/// The version of this extension's SQL in the database.
pub(crate) fn extension_version() -> Option<String> {
    /// The columns of `pg_extension`.
    const NAME: i16 = 2;
    const VERSION: i32 = 6;
    // SAFETY: a table and an index of the system's; what is opened is closed.
    unsafe {
        let name = pg_sys::Datum::from(SCHEMA.as_ptr());
        let mut wanted = scan_key(NAME, pg_sys::F_NAMEEQ, name);
        let table = pg_sys::table_open(pg_sys::ExtensionRelationId, pg_sys::AccessShareLock as i32);
        let scan = pg_sys::systable_beginscan(
            table,
            pg_sys::ExtensionNameIndexId.into(),
            true,
            std::ptr::null_mut(),
            1,
            &raw mut wanted,
        );
        let scan = Scan { table, scan };
        let tuple = pg_sys::systable_getnext(scan.scan);
        let description = (*table).rd_att;
        (!tuple.is_null()).then(|| Row { tuple, description, _scan: &scan }.text(VERSION)).flatten()
    }
}

/// # Safety
/// The function compares values of the column's type.
unsafe fn scan_key(column: i16, function: u32, value: Datum) -> pg_sys::ScanKeyData {
    let mut key = pg_sys::ScanKeyData::default();
    // SAFETY: as the caller says.
    unsafe {
        pg_sys::ScanKeyEntryInitialize(
            &mut key,
            0,
            column,
            pg_sys::BTEqualStrategyNumber as u16,
            pg_sys::InvalidOid,
            pg_sys::C_COLLATION_OID,
            pg_sys::Oid::from(function),
            value,
        );
    }
    key
}

/// A text as a query writes it.
pub(crate) fn literal(text: &str) -> Option<String> {
    let text = CString::new(text).ok()?;
    // SAFETY: C strings.
    let quoted = unsafe { CStr::from_ptr(pg_sys::quote_literal_cstr(text.as_ptr())) };
    quoted.to_str().ok().map(str::to_owned)
}
