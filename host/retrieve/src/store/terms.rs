//! An index of what chunks hold, so that a search need not test them all: the table `terms` has a row for each text, whole number and
//! boolean that an attribute is, or an array holds, and for each ancestor.
//!
//! A term is a hash of the value and of where it is. Two may collide, so what is found by terms is always tested too: a term that is shared
//! costs time, and only one that is missing would cost hits.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};
use serde_json::{Value as Json, json};
use tamis_core::{Attributes, Chunk};
use tamis_dialect::{Cover, Field, ancestor_key};

/// Parts of a conjunction that are looked up. Each is cheap, but they may be many.
const MAX_PARTS: usize = 16;
/// Rows that are looked up at first.
const FIRST_LIMIT: usize = 64;

/// The terms of a chunk.
pub(super) fn of_chunk(chunk: &Chunk) -> BTreeSet<i32> {
    let mut found = BTreeSet::new();
    of_object(Hash::ATTRIBUTES, &chunk.attributes, &mut found);
    found.extend(chunk.ancestors.iter().filter_map(|uid| Hash::ANCESTORS.term(&ancestor_key(uid).into())));
    found
}

fn of_object(place: Hash, object: &Attributes, found: &mut BTreeSet<i32>) {
    for (name, json) in object {
        let place = place.name(name);
        match json {
            Json::Object(inner) => of_object(place, inner, found),
            Json::Array(elements) => found.extend(elements.iter().filter_map(|element| place.term(element))),
            single => found.extend(place.term(single)),
        }
    }
}

/// FNV-1a over a place and a value. It is part of the layout of the file: what changes it changes the version of that.
#[derive(Clone, Copy)]
struct Hash(u64);

impl Hash {
    const ATTRIBUTES: Self = Self(0xcbf2_9ce4_8422_2325);
    const ANCESTORS: Self = Self(!0xcbf2_9ce4_8422_2325);
    const PRIME: u64 = 0x0100_0000_01b3;

    fn bytes(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(Self::PRIME)))
    }

    /// A member of this name. No name holds U+0000.
    fn name(self, name: &str) -> Self {
        self.bytes(name.as_bytes()).bytes(&[0])
    }

    /// The term of a value in this place, for values that have one.
    fn term(self, value: &Json) -> Option<i32> {
        let whole = match value {
            Json::String(text) => self.bytes(b"t").bytes(text.as_bytes()),
            Json::Number(number) => self.bytes(b"i").bytes(&number.as_i64()?.to_le_bytes()),
            Json::Bool(value) => self.bytes(&[b'b', u8::from(*value)]),
            Json::Null | Json::Array(_) | Json::Object(_) => return None,
        };
        // Four bytes halve the table. Of ten million terms one in five hundred then has a stray row.
        let mixed = (whole.0 ^ (whole.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Some(((mixed >> 32) as u32).cast_signed())
    }
}

/// Adds the terms of a chunk in this row.
pub(super) fn add(connection: &Connection, row: i64, chunk: &Chunk) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT INTO terms (term, row) VALUES (?, ?)")?;
    for term in of_chunk(chunk) {
        insert.execute(params![term, row])?;
    }
    Ok(())
}

/// Removes those of a row, which has held this chunk; without one whatever it has, which takes a look at all terms.
pub(super) fn remove(connection: &Connection, row: i64, chunk: Option<&Chunk>) -> rusqlite::Result<()> {
    let Some(chunk) = chunk else {
        connection.execute("DELETE FROM terms WHERE row = ?", [row])?;
        return Ok(());
    };
    let mut delete = connection.prepare_cached("DELETE FROM terms WHERE term = ? AND row = ?")?;
    for term in of_chunk(chunk) {
        delete.execute(params![term, row])?;
    }
    Ok(())
}

/// Rows among which all are that a filter with this cover matches, in order, found by looking at few more than that; `None` if they would
/// be more than `most`.
pub(super) fn rows(
    connection: &Connection,
    cover: &Cover,
    most: usize,
) -> rusqlite::Result<Option<Vec<i64>>> {
    // Of the parts of a conjunction one may hold for nearly all rows, another for few: more is looked up only if it must be.
    let mut limit = most.min(FIRST_LIMIT);
    loop {
        let found = rows_within(connection, cover, limit)?;
        if found.is_some() || limit == most {
            return Ok(found);
        }
        limit = if limit > most / FIRST_LIMIT { most } else { limit * 8 };
    }
}

fn rows_within(connection: &Connection, cover: &Cover, limit: usize) -> rusqlite::Result<Option<Vec<i64>>> {
    match cover {
        // What is not there takes as long to look up as what is.
        Cover::OneOf(_, values) if values.len() > limit => Ok(None),
        Cover::OneOf(field, values) => match Place::of(field) {
            Some(Place::Terms(hash)) => {
                let terms: Vec<i32> = values.iter().filter_map(|value| hash.term(value)).collect();
                let sql = "SELECT row FROM terms WHERE term IN (SELECT value FROM json_each(?)) LIMIT ?";
                look_up(connection, sql, &json!(terms), limit)
            }
            Some(Place::Ids) => {
                let sql =
                    "SELECT rowid FROM chunks WHERE chunk_id IN (SELECT value FROM json_each(?)) LIMIT ?";
                look_up(connection, sql, &json!(values), limit)
            }
            None => Ok(None),
        },
        Cover::Every(parts) => {
            let mut common: Option<Vec<i64>> = None;
            for part in parts.iter().take(MAX_PARTS) {
                let Some(mut found) = rows_within(connection, part, limit)? else { continue };
                if let Some(common) = common {
                    found.retain(|row| common.binary_search(row).is_ok());
                }
                common = Some(found);
            }
            Ok(common)
        }
        Cover::Any(parts) => {
            let mut all = Vec::new();
            for part in parts {
                match rows_within(connection, part, limit)? {
                    Some(found) if all.len() + found.len() <= limit => all.extend(found),
                    _ => return Ok(None),
                }
            }
            Ok(Some(in_order(all)))
        }
    }
}

/// Where the values of a field are looked up.
enum Place {
    Terms(Hash),
    Ids,
}

impl Place {
    fn of(field: &Field) -> Option<Self> {
        match field {
            Field::Attribute(path) => {
                Some(Self::Terms(path.iter().fold(Hash::ATTRIBUTES, |place, name| place.name(name))))
            }
            Field::Column(name) if name == "ancestors" => Some(Self::Terms(Hash::ANCESTORS)),
            Field::Column(name) if name == "chunk_id" => Some(Self::Ids),
            Field::Column(_) => None,
        }
    }
}

fn look_up(
    connection: &Connection,
    sql: &str,
    values: &Json,
    limit: usize,
) -> rusqlite::Result<Option<Vec<i64>>> {
    let mut query = connection.prepare_cached(sql)?;
    let one_more = i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX);
    let found = query.query_map(params![values.to_string(), one_more], |row| row.get(0))?;
    let found: Vec<i64> = found.collect::<Result<_, _>>()?;
    Ok((found.len() <= limit).then(|| in_order(found)))
}

fn in_order(mut rows: Vec<i64>) -> Vec<i64> {
    rows.sort_unstable();
    rows.dedup();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is in files that exist.
    #[test]
    fn terms_stay_as_they_are() {
        let at = |path: &[&str]| path.iter().fold(Hash::ATTRIBUTES, |place, name| place.name(name));
        for (place, value, term) in [
            (at(&["tenant"]), json!("acme"), Some(-865_550_245)),
            (at(&["owner", "team"]), json!("acme"), Some(-2_072_158_841)),
            (at(&["level"]), json!(1), Some(-71_040_541)),
            (at(&["level"]), json!(i64::MIN), Some(1_680_482_796)),
            (at(&["level"]), json!("1"), Some(-348_829_530)),
            (at(&["public"]), json!(true), Some(371_074_552)),
            (at(&["public"]), json!(false), Some(396_265_500)),
            (at(&[""]), json!(""), Some(1_894_695_126)),
            (Hash::ANCESTORS, json!(r#"["Folder","f"]"#), Some(-1_648_138_102)),
            (at(&["level"]), json!(1.0), None),
            (at(&["level"]), json!(u64::MAX), None),
            (at(&["level"]), json!(null), None),
            (at(&["level"]), json!([1]), None),
        ] {
            assert_eq!(place.term(&value), term, "{value}");
        }
    }

    #[test]
    fn a_chunk_has_a_term_for_each_value_once() {
        let chunk = |text: &str| Chunk::from_json(text).unwrap_or_else(|error| panic!("{error}"));
        for (text, count) in [
            (r#"{"id":"1"}"#, 0),
            (r#"{"id":"1","attributes":{"a":"x","b":1,"c":true,"d":null,"e":1.5}}"#, 3),
            (r#"{"id":"1","attributes":{"a":["x","x","y",1,null,["z"],{"b":"c"}],"b":[]}}"#, 3),
            (r#"{"id":"1","attributes":{"a":{"b":{"c":"x"},"d":"x"}}}"#, 2),
            (
                r#"{"id":"1","attributes":{"a":["x"]},"parents":[{"type":"Folder","id":"f"},{"type":"Folder","id":"g"}]}"#,
                3,
            ),
        ] {
            assert_eq!(of_chunk(&chunk(text)).len(), count, "{text}");
        }
    }
}
