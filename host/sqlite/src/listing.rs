//! `tamis_policies`: which policies are stored, and what was wrong with the last one that was not.

use std::sync::Arc;

use rusqlite::types::Value;
use rusqlite::vtab::IndexInfo;

use crate::connection::Shared;
use crate::error::Error;
use crate::native::{Backend, Scan};
use crate::policies;

/// The table of policies.
pub(crate) struct Listing(Arc<Shared>);

/// A scan of it.
pub(crate) struct Listed {
    shared: Arc<Shared>,
    rows: Vec<Vec<Value>>,
    at: usize,
}

impl Backend for Listing {
    const EPONYMOUS: bool = true;
    type Scan = Listed;

    fn connect(shared: &Arc<Shared>, _schema: &str, _table: &str) -> Result<(String, Self), Error> {
        let declaration =
            "CREATE TABLE x(name TEXT, digest TEXT, generation INTEGER, footprint TEXT, error TEXT)";
        Ok((declaration.to_owned(), Self(Arc::clone(shared))))
    }

    fn plan(&self, _: &mut IndexInfo) -> Result<bool, Error> {
        Ok(true)
    }

    fn open(&self) -> Listed {
        Listed { shared: Arc::clone(&self.0), rows: Vec::new(), at: 0 }
    }
}

impl Scan for Listed {
    fn begin(&mut self, _: &str, _: Vec<Value>) -> Result<(), Error> {
        self.rows = policies::list(&self.shared)?;
        self.at = 0;
        Ok(())
    }

    fn advance(&mut self) -> Result<(), Error> {
        self.at += 1;
        Ok(())
    }

    fn ended(&self) -> bool {
        self.at >= self.rows.len()
    }

    fn value(&self, column: usize) -> Value {
        self.rows.get(self.at).and_then(|row| row.get(column)).cloned().unwrap_or(Value::Null)
    }

    fn row(&self) -> i64 {
        i64::try_from(self.at + 1).unwrap_or(0)
    }
}
