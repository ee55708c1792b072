//! The part of every compiled policy that is the same: it reads the [`program`] that the compiler wrote, and decides on chunks.
//!
//! There are two ways to a decision, and both [`evaluate`] expressions by the same rules. [`typed`] takes one chunk and says which
//! rules decided. [`batch`] takes columns of codes: a request is specialised once, every condition on one attribute is
//! evaluated once for each distinct value, and what is left for each chunk is a table look-up and a few bit operations. And [`rewrite`]
//! says before a search which chunks can be allowed at all.
//!
//! Compiled for WebAssembly this is a module without a program; the compiler appends one. Natively it is a library that the
//! compiler folds constants with and that tests compare with Cedar.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

pub mod batch;
pub mod coerce;
#[cfg(target_arch = "wasm32")]
mod component;
pub mod evaluate;
pub mod fault;
pub mod filter;
pub mod like;
pub mod narrow;
mod op;
pub mod program;
pub mod request;
pub mod residual;
pub mod rewrite;
pub mod typed;
