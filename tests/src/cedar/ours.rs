//! What is compared with Cedar.

use super::case::Case;
use super::oracle::{self, Verdict};

/// The verdicts of our own compiler.
///
/// Until the compiler is there, Cedar stands in for it: whoever has the compiler replaces the body of this function and
/// nothing else. It must read the whole case, as `tamis eval` would, and answer the requests in order. A policy set that
/// cannot be compiled is an `Err`, which counts as a difference wherever Cedar decides.
///
/// # Errors
///
/// Says what could not be read or compiled.
pub fn decide(case: &Case) -> Result<Vec<Verdict>, String> {
    oracle::decide(case)
}
