//! The only unsafe code of this crate: reading back machine code that this host wrote.

#![allow(unsafe_code)]

use wasmtime::Engine;
use wasmtime::component::Component;

/// Refuses to open a symbolic link.
pub(super) const NO_FOLLOW: i32 = libc::O_NOFOLLOW;

/// Makes a component of code that [`super::Cache`] stored.
pub(super) fn deserialize(engine: &Engine, code: &[u8]) -> Result<Component, String> {
    // SAFETY: wasmtime asks that the bytes come from `Component::serialize`. They do: the only caller has compared
    // their SHA-256 with the one that `Cache::put` wrote beside them, in a file and a folder that no other user can write.
    unsafe { Component::deserialize(engine, code) }.map_err(|error| error.to_string())
}

/// The user that this process acts as.
pub(super) fn user_id() -> u32 {
    // SAFETY: `geteuid` has no preconditions and cannot fail.
    unsafe { libc::geteuid() }
}
