//! From filters to the filter languages of databases: one file for each, one trait for all.
//!
//! A dialect never narrows. What it cannot say exactly it leaves out on the wide side, reports, and leaves to the
//! filter gate.

mod sqlite;
mod widen;

pub use sqlite::{Parameter, Sql, Sqlite, ancestor_key};

use tamis_core::Filter;

/// One database's filter language.
pub trait Dialect {
    /// What a filter becomes: text with parameters, a JSON tree.
    type Native;

    /// The name that the command line knows it by.
    fn name(&self) -> &'static str;

    /// Translates a filter. The result selects every chunk that the filter matches.
    fn translate(&self, filter: &Filter) -> Translation<Self::Native>;
}

/// A filter in a database's own language.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation<N> {
    /// The translation.
    pub native: N,
    /// What was left out, in words. If this is empty, the translation selects exactly what the filter matches.
    pub widened: Vec<String>,
}

impl<N> Translation<N> {
    /// Whether the translation selects exactly what the filter matches.
    pub fn is_exact(&self) -> bool {
        self.widened.is_empty()
    }
}
