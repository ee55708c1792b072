//! The only unsafe code of this crate: making sqlite-vec part of every connection.

#![allow(unsafe_code)]

use std::ffi::{c_char, c_int};
use std::sync::OnceLock;

/// The signature that SQLite gives to an extension's entry point.
type EntryPoint = unsafe extern "C" fn(
    *mut rusqlite::ffi::sqlite3,
    *mut *mut c_char,
    *const rusqlite::ffi::sqlite3_api_routines,
) -> c_int;

/// Registers sqlite-vec with SQLite, once for the process.
///
/// # Errors
/// If SQLite refuses, which it does only for lack of memory.
pub(super) fn register() -> Result<(), String> {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        // SAFETY: `sqlite3_vec_init` is an extension entry point of exactly this signature; the crate that links it
        // declares it without arguments. SQLite calls it with a valid connection whenever one is opened.
        unsafe {
            let entry =
                std::mem::transmute::<*const (), EntryPoint>(sqlite_vec::sqlite3_vec_init as *const ());
            rusqlite::ffi::sqlite3_auto_extension(Some(entry))
        }
    });
    if code == rusqlite::ffi::SQLITE_OK {
        Ok(())
    } else {
        Err(format!("sqlite-vec cannot be registered: code {code}"))
    }
}
