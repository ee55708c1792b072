//! What the functions, tables and the authorizer of one connection share.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::types::Value;

use crate::access::Access;
use crate::error::Error;
use crate::native::{Asked, Database, Statement, install};
use crate::rules;

/// One connection.
pub(crate) struct Shared {
    number: usize,
    database: Database,
    /// How many of our own statements are being prepared or stepped: within them everything is reached.
    trusted: AtomicUsize,
    /// The schema of the protected table that is being written to.
    writing: Mutex<Option<String>>,
    /// Protected tables are being removed, whatever became of them.
    removing: AtomicBool,
    /// How often the authorizer was asked, which shows that it is ours.
    asked: AtomicU64,
    access: Mutex<Access>,
}

/// While this lives, the authorizer allows everything.
pub(crate) struct Trust<'a>(&'a Shared);

impl Drop for Trust<'_> {
    fn drop(&mut self) {
        self.0.trusted.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    pub(crate) fn new(database: Database) -> Arc<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(1);
        Arc::new(Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            database,
            trusted: AtomicUsize::new(0),
            writing: Mutex::new(None),
            removing: AtomicBool::new(false),
            asked: AtomicU64::new(0),
            access: Mutex::new(Access::default()),
        })
    }

    /// A number that no other connection of this process has.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// What tells this database from others: its file, or for one in memory its connection.
    pub(crate) fn file(&self) -> String {
        let path = self.database.path();
        if path.is_empty() { format!("memory {}", self.number) } else { path }
    }

    pub(crate) fn database(&self) -> Database {
        self.database
    }

    /// Who asks on this connection.
    pub(crate) fn access(&self) -> MutexGuard<'_, Access> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails if somebody else asks than at this change of the request.
    pub(crate) fn still(&self, epoch: u64) -> Result<(), Error> {
        if self.access().is_at(epoch) { Ok(()) } else { Err(Error::RequestChanged) }
    }

    pub(crate) fn trust(&self) -> Trust<'_> {
        self.trusted.fetch_add(1, Ordering::Relaxed);
        Trust(self)
    }

    /// Runs `write`, whose statements write to a protected table of this schema.
    pub(crate) fn writing<T>(&self, schema: &str, write: impl FnOnce() -> T) -> T {
        let set = |schema| {
            let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *writing, schema)
        };
        let before = set(Some(schema.to_owned()));
        let result = write();
        set(before);
        result
    }

    /// The schema of the protected table that is being written to.
    pub(crate) fn written(&self) -> Option<String> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs `remove`, which can drop a protected table that lost what it stands for.
    pub(crate) fn removing<T>(&self, remove: impl FnOnce() -> T) -> T {
        self.removing.store(true, Ordering::Relaxed);
        let result = remove();
        self.removing.store(false, Ordering::Relaxed);
        result
    }

    /// Whether protected tables are being removed.
    pub(crate) fn is_removing(&self) -> bool {
        self.removing.load(Ordering::Relaxed)
    }

    /// Whether a statement of ours is under way.
    fn is_trusted(&self) -> bool {
        self.trusted.load(Ordering::Relaxed) > 0
    }

    /// Puts our authorizer in place, and has every statement prepared again under it.
    pub(crate) fn guard(self: &Arc<Self>) -> Result<(), Error> {
        install(self.database, self)
    }

    /// Whether a statement may do something.
    pub(crate) fn authorize(&self, asked: Asked<'_>) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.is_trusted() || rules::allows(asked, self.access().is_locked())
    }

    /// Fails if this is something for administrators and the connection serves requests.
    pub(crate) fn administer(&self, what: &'static str) -> Result<(), Error> {
        if self.access().is_locked() { Err(Error::Locked(what)) } else { Ok(()) }
    }

    /// A statement of ours, which reaches everything; at its first row if it has one.
    pub(crate) fn query(self: &Arc<Self>, sql: &str, values: &[Value]) -> Result<Option<Statement>, Error> {
        let before = self.asked.load(Ordering::Relaxed);
        let mut statement = Statement::prepare(self, sql)?;
        if self.asked.load(Ordering::Relaxed) == before {
            return Err(Error::Authorizer);
        }
        statement.bind(values)?;
        Ok(statement.step()?.then_some(statement))
    }

    /// Runs a statement of ours to its end.
    pub(crate) fn execute(self: &Arc<Self>, sql: &str, values: &[Value]) -> Result<(), Error> {
        if let Some(mut statement) = self.query(sql, values)? {
            while statement.step()? {}
        }
        Ok(())
    }

    /// Runs `work`, and takes back what it did to the database if it fails.
    pub(crate) fn atomically<T>(
        self: &Arc<Self>,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.execute("SAVEPOINT tamis", &[])?;
        let result = work();
        if result.is_err() {
            self.execute("ROLLBACK TO tamis", &[])?;
        }
        self.execute("RELEASE tamis", &[])?;
        result
    }
}

/// A text as a parameter.
pub(crate) fn text(text: impl Into<String>) -> Value {
    Value::Text(text.into())
}
