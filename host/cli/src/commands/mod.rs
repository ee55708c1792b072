//! One file for each command.

pub(crate) mod bench;
pub(crate) mod build;
pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod demo;
pub(crate) mod eval;
pub(crate) mod filter;
pub(crate) mod index;
pub(crate) mod inspect;
pub(crate) mod matching;
pub(crate) mod rewrite;
pub(crate) mod search;
pub(crate) mod test;
