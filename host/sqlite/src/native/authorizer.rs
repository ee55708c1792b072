//! The authorizer: SQLite asks it about everything that a statement does, while it is prepared.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use rusqlite::ffi;

use super::Database;
use crate::connection::Shared;
use crate::error::Error;

/// What SQLite asks about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The action, by SQLite's number.
    pub(crate) action: c_int,
    /// What it is done to; which of two texts is what differs by action.
    pub(crate) first: Option<&'a str>,
    /// More about it.
    pub(crate) second: Option<&'a str>,
}

/// The connections by number. SQLite is given the number: a pointer could outlive what it points to.
static CONNECTIONS: RwLock<Option<HashMap<usize, Weak<Shared>>>> = RwLock::new(None);

/// Makes `shared` decide what statements on its connection may do. Statements that were prepared before are prepared again.
pub(crate) fn install(database: Database, shared: &Arc<Shared>) -> Result<(), Error> {
    let number = shared.number();
    {
        let mut connections = CONNECTIONS.write().unwrap_or_else(PoisonError::into_inner);
        let connections = connections.get_or_insert_default();
        connections.retain(|_, known| known.strong_count() > 0);
        connections.insert(number, Arc::downgrade(shared));
    }
    // SAFETY: the connection is open; the callback takes the last argument for a number only.
    let code = unsafe {
        ffi::sqlite3_set_authorizer(
            database.handle(),
            Some(authorize),
            std::ptr::without_provenance_mut(number),
        )
    };
    if code == ffi::SQLITE_OK { Ok(()) } else { Err(Error::Authorizer) }
}

unsafe extern "C" fn authorize(
    number: *mut c_void,
    action: c_int,
    first: *const c_char,
    second: *const c_char,
    _schema: *const c_char,
    _accessor: *const c_char,
) -> c_int {
    // SAFETY: SQLite passes null or texts that live as long as the call.
    let text =
        |text: *const c_char| (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy());
    let allowed = catch_unwind(AssertUnwindSafe(|| {
        let (first, second) = (text(first), text(second));
        let known = CONNECTIONS.read().unwrap_or_else(PoisonError::into_inner);
        let shared = known.as_ref()?.get(&number.addr())?.upgrade()?;
        drop(known);
        Some(shared.authorize(Asked { action, first: first.as_deref(), second: second.as_deref() }))
    }));
    // A connection that is not known, or a panic: nothing is allowed.
    if allowed.is_ok_and(|allowed| allowed == Some(true)) { ffi::SQLITE_OK } else { ffi::SQLITE_DENY }
}
