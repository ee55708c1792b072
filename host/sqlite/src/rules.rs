//! What statements may do on a connection that has the extension, apart from our own.
//!
//! | | always | on a connection that serves requests |
//! |---|---|---|
//! | tables under protected tables, and our own | no | no |
//! | raw pages, writing the schema, loading libraries | no | no |
//! | functions that read and write files | yes | no |
//! | attaching files, new tables, views and triggers, altering | yes | no |
//! | pragmas | all but `writable_schema` | those that only tell something about the schema, and a few harmless ones |
//!
//! What outlives a request on its connection (temporary tables, views, triggers) would be there for the next one. A table of one's own
//! could refer to a protected one by a foreign key, which follows what becomes of rows that are not to be read.

use rusqlite::ffi;

use crate::native::Asked;

/// What the names of tables begin with that only our own statements reach.
pub(crate) const INTERNAL: &str = "tamis_internal_";
/// As [`INTERNAL`]: the table that a protected table stands for.
pub(crate) const BASE: &str = "tamis_protected_";
/// No table begins like our functions: it would take the place of `tamis_search` for everyone.
const OURS: &str = "tamis_";
/// The module of protected tables.
pub(crate) const MODULE: &str = "tamis";

/// Tables that show what is stored in others, page by page or in samples, and what writes to others go by.
const REVEALING: [&str; 12] = [
    "dbstat",
    // As table-valued functions of the shell: any file.
    "fsdir",
    "zipfile",
    "sqlite_dbdata",
    "sqlite_dbpage",
    "sqlite_dbptr",
    "sqlite_sequence",
    "sqlite_stat1",
    // These two are of older versions.
    "sqlite_stat2",
    "sqlite_stat3",
    "sqlite_stat4",
    "sqlite_stmt",
];
/// Functions that load code, or take an address.
const DANGEROUS: [&str; 2] = ["load_extension", "fts3_tokenizer"];
/// Functions of SQLite's shell, and of programs that took them over, that reach files: the database is one.
const FILES: [&str; 3] = ["edit", "readfile", "writefile"];
/// Pragmas that tell about the schema, or change nothing that outlives the request and matters to others.
const HARMLESS: [&str; 27] = [
    "application_id",
    "busy_timeout",
    "cache_size",
    "collation_list",
    "compile_options",
    "data_version",
    "database_list",
    "encoding",
    "foreign_key_list",
    "foreign_keys",
    "freelist_count",
    "function_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "journal_mode",
    "module_list",
    "page_count",
    "page_size",
    "pragma_list",
    "query_only",
    "schema_version",
    "synchronous",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
];
/// Of those, what takes the name of something and is no setting.
const ASKS: [&str; 6] =
    ["foreign_key_list", "index_info", "index_list", "index_xinfo", "table_info", "table_xinfo"];

/// Whether only our own statements may reach the table.
pub(crate) fn is_internal(name: &str) -> bool {
    has_prefix(name, INTERNAL) || has_prefix(name, BASE)
}

fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Whether a statement that is not ours may do this.
pub(crate) fn allows(asked: Asked<'_>, locked: bool) -> bool {
    let (first, second) = (asked.first.unwrap_or_default(), asked.second.unwrap_or_default());
    match asked.action {
        ffi::SQLITE_SELECT | ffi::SQLITE_RECURSIVE | ffi::SQLITE_TRANSACTION | ffi::SQLITE_SAVEPOINT => true,
        ffi::SQLITE_READ | ffi::SQLITE_INSERT | ffi::SQLITE_UPDATE | ffi::SQLITE_DELETE => {
            let revealing = is_one_of(&REVEALING, first);
            !is_internal(first) && !(revealing && (locked || first.eq_ignore_ascii_case("sqlite_dbpage")))
        }
        ffi::SQLITE_FUNCTION => !(is_one_of(&DANGEROUS, second) || locked && is_one_of(&FILES, second)),
        ffi::SQLITE_PRAGMA => pragma(first, asked.second, locked),
        ffi::SQLITE_CREATE_TABLE => !locked && !has_prefix(first, OURS),
        ffi::SQLITE_DROP_TABLE => !is_internal(first),
        ffi::SQLITE_CREATE_INDEX | ffi::SQLITE_DROP_INDEX => !is_internal(first) && !is_internal(second),
        // Asked of an index, and of every new one.
        ffi::SQLITE_REINDEX => true,
        ffi::SQLITE_CREATE_VTABLE | ffi::SQLITE_DROP_VTABLE => {
            !locked && !is_internal(first) && !second.eq_ignore_ascii_case(MODULE)
        }
        // Views, triggers, whatever is temporary, altering, attaching, and what there may be one day.
        _ => !locked && !is_internal(first) && !is_internal(second),
    }
}

fn pragma(name: &str, value: Option<&str>, locked: bool) -> bool {
    let off = |value: &str| is_one_of(&["0", "off", "no", "false"], value);
    if is_one_of(&["writable_schema"], name) {
        return value.is_none_or(off);
    }
    // Of the harmless ones, what may be set: keys that are heeded hurt nobody, and those that are not would be the next request's as well.
    let may_be = |value: &str| match name.to_ascii_lowercase().as_str() {
        "busy_timeout" => true,
        "foreign_keys" => is_one_of(&["1", "on", "yes", "true"], value),
        _ => is_one_of(&ASKS, name),
    };
    !locked || is_one_of(&HARMLESS, name) && value.is_none_or(may_be)
}
