//! Plans that the server keeps.
//!
//! One that was narrowed is right only for its request and policy, and nothing tells a transaction that goes on of a policy that was
//! replaced. So such a plan starts once: as soon as a statement starts, all are to be made anew. `tamis.decided` refuses what this has
//! missed, such as a change that was bound twice and run once.

use std::cell::Cell;
use std::ffi::c_int;

use pgrx::pg_sys;

unsafe extern "C-unwind" {
    // As pgrx declares them, but for its guard.
    fn standard_ExecutorStart(query: *mut pg_sys::QueryDesc, flags: c_int);
    fn CallSyscacheCallbacks(cache: c_int, hash: u32);
}

thread_local! {
    /// What the plan cache knows `tamis.decided` by, if it may have kept plans for a request, or for the lack of one.
    static KEPT: Cell<Option<u32>> = const { Cell::new(None) };
    /// What others have to say when a statement starts.
    static NEXT: Cell<pg_sys::ExecutorStart_hook_type> = const { Cell::new(None) };
}

/// There is another request, or none: has the plans made anew that were made for one. Others stay.
pub(crate) fn forget() {
    make_anew();
    KEPT.set(None);
}

fn make_anew() {
    if let Some(hash) = KEPT.get() {
        // SAFETY: marks the plans that were recorded to depend on the function; reads and writes nothing else.
        unsafe { CallSyscacheCallbacks(pg_sys::SysCacheIdentifier::PROCOID as c_int, hash) }
    }
}

/// From now on plans that were made for a request start once.
pub(crate) fn watch() {
    // SAFETY: a backend has one thread, and the function is never unloaded.
    unsafe {
        NEXT.set(pg_sys::ExecutorStart_hook);
        pg_sys::ExecutorStart_hook = Some(start);
    }
}

// Not guarded: an error of the server's, or of another library's, goes on as it came. Nothing here is left undone by it.
unsafe extern "C-unwind" fn start(query: *mut pg_sys::QueryDesc, flags: c_int) {
    // What is being planned meanwhile is not kept yet, so this goes on as long as the request.
    make_anew();
    // SAFETY: as the server calls this.
    unsafe {
        match NEXT.get() {
            Some(next) => next(query, flags),
            None => standard_ExecutorStart(query, flags),
        }
    }
}

/// Has the plans for a table made anew, in every backend, when the transaction commits.
pub(crate) fn replan(relation: pg_sys::Oid) {
    // SAFETY: looks the table up, and says no more than that it is to be looked up again.
    unsafe { pg_sys::CacheInvalidateRelcacheByRelid(relation) }
}

/// Records that the plan that is being made is made anew when plans are that have this function in them.
///
/// # Safety
/// The planner's state or null.
pub(super) unsafe fn depend(root: *mut pg_sys::PlannerInfo, decided: pg_sys::Oid) {
    // SAFETY: as the caller says; a function that there is.
    unsafe {
        let hash = pg_sys::GetSysCacheHashValue(
            pg_sys::SysCacheIdentifier::PROCOID as c_int,
            decided.into(),
            0.into(),
            0.into(),
            0.into(),
        );
        KEPT.set(Some(hash));
        if root.is_null() || (*root).glob.is_null() {
            return;
        }
        pg_sys::record_plan_function_dependency(root, decided);
        // Where that is missed, when transactions have ended since.
        (*(*root).glob).transientPlan = true;
    }
}
