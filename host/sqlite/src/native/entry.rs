//! The entry point of the loadable extension.

use std::ffi::{CStr, c_char, c_int};
use std::mem::{MaybeUninit, offset_of};

use rusqlite::{Connection, Result, ffi};

/// 3.40 is what long-lived distributions ship.
const OLDEST: c_int = 3_040_000;
/// What the functions that rusqlite looks for come with. It refuses an older SQLite, for the sake of those that we do not use.
const NEWEST: c_int = ffi::SQLITE_VERSION_NUMBER;

/// What SQLite calls when it loads `tamis.so`.
///
/// # Safety
/// Only SQLite may call this.
#[unsafe(no_mangle)]
pub(super) unsafe extern "C" fn sqlite3_tamis_init(
    database: *mut ffi::sqlite3,
    message: *mut *mut c_char,
    routines: *mut ffi::sqlite3_api_routines,
) -> c_int {
    // SAFETY: SQLite passes its own table of functions, which lives as long as the process.
    let Some(version) = (unsafe { routines.as_ref() }).and_then(|routines| routines.libversion_number) else {
        return ffi::SQLITE_ERROR;
    };
    // SAFETY: it takes no arguments.
    let version = unsafe { version() };
    let mut known;
    let routines = if version >= NEWEST {
        routines
    } else if version < OLDEST {
        // SAFETY: both pointers are SQLite's.
        unsafe { explain(message, routines) };
        return ffi::SQLITE_ERROR;
    } else {
        // SAFETY: 3.40 has all functions before `is_interrupted`, which came with 3.41; the rest stays empty, and using it would panic.
        known = unsafe {
            let mut known = MaybeUninit::<ffi::sqlite3_api_routines>::zeroed();
            let length = offset_of!(ffi::sqlite3_api_routines, is_interrupted);
            std::ptr::copy_nonoverlapping(routines.cast::<u8>(), known.as_mut_ptr().cast::<u8>(), length);
            known.assume_init()
        };
        known.libversion_number = Some(newest);
        &raw mut known
    };
    // SAFETY: the arguments are SQLite's own, and `register` does nothing but register.
    unsafe { Connection::extension_init2(database, message, routines, |connection| register(&connection)) }
}

/// Says what is wrong before rusqlite knows any function of SQLite.
unsafe fn explain(message: *mut *mut c_char, routines: *mut ffi::sqlite3_api_routines) {
    const TEXT: &CStr = c"tamis: this extension needs SQLite 3.40 or newer";
    let text = TEXT.to_bytes_with_nul();
    // SAFETY: the pointers are SQLite's or null; the copy is as long as what is allocated.
    unsafe {
        let Some(malloc) = routines.as_ref().and_then(|routines| routines.malloc) else { return };
        let Ok(length) = c_int::try_from(text.len()) else { return };
        let copy = malloc(length).cast::<u8>();
        if !copy.is_null() && !message.is_null() {
            std::ptr::copy_nonoverlapping(text.as_ptr(), copy, text.len());
            *message = copy.cast();
        }
    }
}

/// The library stays, as its clock thread and compiled policies do.
fn register(connection: &Connection) -> Result<bool> {
    crate::register(connection)?;
    Ok(true)
}

unsafe extern "C" fn newest() -> c_int {
    NEWEST
}
