//! The clock of a backend that starts no thread: a timer of the server's own, which runs while there is something to time.

use std::cell::Cell;
use std::ffi::c_int;

use pgrx::pg_sys;

/// How often a running policy looks at its deadline and for a cancelled statement.
const TICK_MS: c_int = 5;

// `utils/timeout.h`, which pgrx does not declare.
type TimeoutId = u32;
/// Beyond the server's own ids, in every version that there is: this asks for one that is free.
const USER_TIMEOUT: TimeoutId = 13;

unsafe extern "C-unwind" {
    fn RegisterTimeout(id: TimeoutId, handler: extern "C-unwind" fn()) -> TimeoutId;
    fn enable_timeout_every(id: TimeoutId, first: pg_sys::TimestampTz, every_ms: c_int);
    fn disable_timeout(id: TimeoutId, keep_indicator: bool);
    fn get_timeout_active(id: TimeoutId) -> bool;
}

thread_local! {
    static ID: Cell<Option<TimeoutId>> = const { Cell::new(None) };
    static USERS: Cell<usize> = const { Cell::new(0) };
}

/// Runs in the server's signal handler: nothing but an atomic addition.
extern "C-unwind" fn tick() {
    crate::backend::tick();
}

/// The clock runs while one of these lives.
#[derive(Debug)]
pub(crate) struct Ticking(());

impl Ticking {
    pub(crate) fn start() -> Self {
        USERS.set(USERS.get() + 1);
        let ticking = Self(());
        ticking.go_on();
        ticking
    }

    /// Makes the clock run again, if an error has stopped it: that of any statement stops all timers, and a cursor goes on after it.
    pub(crate) fn go_on(&self) {
        let id = ID.get().unwrap_or_else(|| {
            // SAFETY: the handler is a function of this library, which is never unloaded.
            let id = unsafe { RegisterTimeout(USER_TIMEOUT, tick) };
            ID.set(Some(id));
            id
        });
        // SAFETY: an id that the server gave.
        unsafe {
            if !get_timeout_active(id) {
                let first = pg_sys::GetCurrentTimestamp() + i64::from(TICK_MS) * 1000;
                enable_timeout_every(id, first, TICK_MS);
            }
        }
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        USERS.set(USERS.get().saturating_sub(1));
        if USERS.get() == 0
            && let Some(id) = ID.get()
        {
            // SAFETY: an id that the server gave.
            unsafe { disable_timeout(id, false) };
        }
    }
}
