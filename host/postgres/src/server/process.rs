//! The backend: whether it is interrupted, where its files are, when its transactions end.

use std::cell::Cell;
use std::ffi::{CStr, c_void};
use std::path::PathBuf;

use pgrx::pg_guard;
use pgrx::pg_sys;

/// Whether someone wants the statement or the backend to end. Only looks, so it may be called with a policy's frames on the stack.
pub(crate) fn is_cancelled() -> bool {
    // SAFETY: flags that signal handlers set; reading them is what the server does everywhere.
    unsafe { pg_sys::QueryCancelPending != 0 || pg_sys::ProcDiePending != 0 }
}

/// Ends the statement, with the server's own error, if someone wants that. Never called with a policy's frames on the stack.
pub(crate) fn check_interrupts() {
    pgrx::check_for_interrupts!();
}

/// A setting of this extension's that there is not is an error from now on.
pub(crate) fn no_other_settings() {
    // SAFETY: a C string.
    unsafe { pg_sys::MarkGUCPrefixReserved(c"tamis".as_ptr()) }
}

/// A folder for files of this extension in the server's data.
pub(crate) fn folder() -> PathBuf {
    // SAFETY: set once when the server starts; a C string.
    let data = unsafe { CStr::from_ptr(pg_sys::DataDir) };
    PathBuf::from(data.to_string_lossy().into_owned()).join("tamis")
}

/// Whether this is a parallel worker, or has some that work: what is said here they do not know.
pub(crate) fn is_parallel() -> bool {
    // SAFETY: looks at a variable of the backend.
    unsafe { pg_sys::IsInParallelMode() }
}

/// Whether rows are being read to be kept for others, such as for a materialised view.
pub(crate) fn is_restricted() -> bool {
    // SAFETY: looks at a variable of the backend.
    unsafe { pg_sys::InSecurityRestrictedOperation() }
}

/// What tells statements of the client's apart: when one began, from its planning to its last row.
pub(crate) fn statement() -> i64 {
    // SAFETY: a variable of the backend; a portal that is active is there.
    match unsafe { pg_sys::ActivePortal.as_ref() } {
        Some(portal) => portal.creation_time,
        // It is being planned.
        None => moment(),
    }
}

/// When the client last wanted something: to plan a statement, to run it, or to have more of its rows.
pub(crate) fn moment() -> i64 {
    // SAFETY: looks at a variable of the backend.
    unsafe { pg_sys::GetCurrentStatementStartTimestamp() }
}

/// Whether what was planned at a moment was planned by the statement that runs, or is what the running cursor was opened with.
pub(crate) fn is_of_this_statement(planned: i64) -> bool {
    planned == statement() || planned == moment()
}

/// The time, in seconds since 1970.
pub(crate) fn now() -> i64 {
    /// Seconds from 1970 to 2000, where the server begins to count.
    const EPOCH: i64 = 946_684_800;
    // SAFETY: asks the system for the time.
    unsafe { pg_sys::GetCurrentTimestamp() }.div_euclid(1_000_000) + EPOCH
}

/// Whether who asks is a superuser.
pub(crate) fn is_superuser() -> bool {
    // SAFETY: looks at the role of the backend.
    unsafe { pg_sys::superuser() }
}

/// Warns, as `SET LOCAL` does, if the transaction ends with this statement.
pub(crate) fn warn_unless_in_transaction(what: &'static CStr) {
    // SAFETY: a C string that outlives the call.
    unsafe { pg_sys::WarnNoTransactionBlock(true, what.as_ptr()) }
}

thread_local! {
    static AT_END: Cell<Option<fn()>> = const { Cell::new(None) };
    static AT_UNDONE: Cell<Option<fn()>> = const { Cell::new(None) };
}

/// Calls `end` whenever a part of a transaction of this backend has been undone. It must not fail.
pub(crate) fn at_undone_parts(end: fn()) {
    if AT_UNDONE.replace(Some(end)).is_none() {
        // SAFETY: the callback is a function of this library, which is never unloaded.
        unsafe { pg_sys::RegisterSubXactCallback(Some(part), std::ptr::null_mut()) }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn part(
    event: pg_sys::SubXactEvent::Type,
    _own: pg_sys::SubTransactionId,
    _parent: pg_sys::SubTransactionId,
    _argument: *mut c_void,
) {
    if event == pg_sys::SubXactEvent::SUBXACT_EVENT_ABORT_SUB {
        AT_UNDONE.get().unwrap_or(|| {})();
    }
}

/// Calls `end` whenever a transaction of this backend has ended. It must not fail.
pub(crate) fn at_end_of_transactions(end: fn()) {
    if AT_END.replace(Some(end)).is_none() {
        // SAFETY: the callback is a function of this library, which is never unloaded.
        unsafe { pg_sys::RegisterXactCallback(Some(transaction), std::ptr::null_mut()) }
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn transaction(event: pg_sys::XactEvent::Type, _argument: *mut c_void) {
    use pg_sys::XactEvent::{
        XACT_EVENT_ABORT, XACT_EVENT_COMMIT, XACT_EVENT_PARALLEL_ABORT, XACT_EVENT_PARALLEL_COMMIT,
        XACT_EVENT_PREPARE,
    };
    let ends = [
        XACT_EVENT_ABORT,
        XACT_EVENT_COMMIT,
        XACT_EVENT_PARALLEL_ABORT,
        XACT_EVENT_PARALLEL_COMMIT,
        XACT_EVENT_PREPARE,
    ];
    if ends.contains(&event) {
        AT_END.get().unwrap_or(|| {})();
    }
}

/// Runs `work`, which may start threads, with all signals blocked, so that none is handled by another thread than the server's.
pub(crate) fn without_signals<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the set that the system gave.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
        }
    }
    // SAFETY: both sets are whole before they are read.
    let _restore = unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        Restore(before)
    };
    work()
}
