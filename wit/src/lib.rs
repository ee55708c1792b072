//! What policies and hosts must agree on besides the WIT files beside this crate: [`value`]s and the [`frame`]s that carry them
//! in batches, the [`rewrite`]s that come back, and the text forms of the [`extension`] values.
//!
//! Nothing here needs the standard library, so that policies can be small.

#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod extension;
pub mod frame;
pub mod rewrite;
pub mod value;

/// The version of the contract in `policy.wit`, as manifests give it.
pub const VERSION: &str = "0.1.0";
/// The custom section of a component in which its compiler leaves the manifest, as JSON.
pub const MANIFEST_SECTION: &str = "tamis:manifest";

/// Attributes in a footprint at most, each of which is read from every chunk. Real policies have fewer than a hundred.
pub const MAX_FOOTPRINT: usize = 1000;
