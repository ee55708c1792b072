//! Chunks: what a vector database stores and a search returns.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::decision::Redaction;
use crate::entity::EntityUid;
use crate::input::{self, InputError, Object, RawUid};
use crate::metadata;
use crate::types::Type;
use crate::value::Value;

/// Metadata as it is stored: JSON, read only when a policy or a filter asks for it.
pub type Attributes = Map<String, Json>;

/// The entity type of a chunk that does not say otherwise.
pub const DEFAULT_TYPE: &str = "Chunk";

/// A chunk may have at most this many numbers in its vector. The largest embeddings in use have 16 384; SQLite's
/// vector tables take 8 192.
const MAX_DIMENSIONS: usize = 65_536;

/// The unit of retrieval.
#[derive(Clone, Debug, PartialEq)]
pub struct Chunk {
    /// Its identity; the id alone is unique within a collection.
    pub uid: EntityUid,
    /// Metadata.
    pub attributes: Attributes,
    /// Metadata whose names are data.
    pub tags: Attributes,
    /// Every folder or collection that it is in, directly or not.
    pub ancestors: BTreeSet<EntityUid>,
    /// What is handed out.
    pub text: Option<String>,
    /// Its embedding; every number is finite.
    pub vector: Option<Vec<f32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChunk {
    #[serde(rename = "type")]
    entity_type: Option<String>,
    id: String,
    #[serde(default)]
    attributes: Attributes,
    #[serde(default)]
    tags: Attributes,
    #[serde(default)]
    parents: Vec<Object<RawUid>>,
    text: Option<String>,
    vector: Option<Vec<f32>>,
}

impl Chunk {
    /// A chunk without metadata.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            uid: EntityUid::new(DEFAULT_TYPE, id),
            attributes: Attributes::new(),
            tags: Attributes::new(),
            ancestors: BTreeSet::new(),
            text: None,
            vector: None,
        }
    }

    /// Reads `{"id", "type", "attributes", "tags", "parents", "text", "vector"}`; all but the id may be absent.
    /// `parents` lists **every** folder that the chunk is in.
    ///
    /// # Errors
    /// For JSON that is not of this shape, an object with a key twice, or a vector that is empty, too long or holds a
    /// number outside the range of `f32`.
    pub fn from_json(text: &str) -> Result<Self, InputError> {
        let Object(raw): Object<RawChunk> = input::parse(text)?;
        if let Some(vector) = &raw.vector {
            check_vector(vector).map_err(|message| InputError::new("vector", message))?;
        }
        Ok(Self {
            uid: EntityUid::new(raw.entity_type.unwrap_or_else(|| DEFAULT_TYPE.to_owned()), raw.id),
            attributes: raw.attributes,
            tags: raw.tags,
            ancestors: raw.parents.into_iter().map(|Object(uid)| uid.into()).collect(),
            text: raw.text,
            vector: raw.vector,
        })
    }

    /// Reads the attribute at `path` as `declared`. `None` if it is absent: null, or below something that is not an
    /// object.
    pub fn read(&self, path: &[String], declared: Option<&Type>) -> Option<Value> {
        metadata::read(self.stored(path)?, declared)
    }

    /// What is stored at `path`, unread. `None` if nothing is there, or something that is not an object lies above it.
    pub fn stored(&self, path: &[String]) -> Option<&Json> {
        let (first, rest) = path.split_first()?;
        let mut json = self.attributes.get(first)?;
        for name in rest {
            json = json.as_object()?.get(name)?;
        }
        Some(json)
    }

    /// Stores an attribute at `path`; what is above it becomes an object.
    pub fn store(&mut self, path: &[String], json: Json) {
        store(&mut self.attributes, path, json);
    }

    /// Removes what a decision withholds from an allowed chunk.
    pub fn redact(&mut self, redaction: &Redaction) {
        for path in &redaction.attributes {
            remove(&mut self.attributes, path);
        }
        if redaction.text {
            self.text = None;
        }
    }
}

fn store(object: &mut Attributes, path: &[String], json: Json) {
    match path {
        [] => {}
        [name] => {
            object.insert(name.clone(), json);
        }
        [name, rest @ ..] => {
            let inner = object.entry(name.clone()).or_insert(Json::Null);
            if !inner.is_object() {
                *inner = Json::Object(Attributes::new());
            }
            if let Some(inner) = inner.as_object_mut() {
                store(inner, rest, json);
            }
        }
    }
}

fn remove(object: &mut Attributes, path: &[String]) {
    match path {
        [] => {}
        [name] => {
            object.remove(name);
        }
        [name, rest @ ..] => match object.get_mut(name) {
            Some(Json::Object(inner)) => remove(inner, rest),
            // The path may lie inside any element, or in JSON that nobody has parsed, so all of it goes.
            Some(Json::Array(_) | Json::String(_)) => {
                object.remove(name);
            }
            _ => {}
        },
    }
}

/// Whether `vector` can be stored and searched with.
///
/// # Errors
/// With the reason, for people.
pub fn check_vector(vector: &[f32]) -> Result<(), String> {
    if vector.is_empty() {
        return Err("it is empty".to_owned());
    }
    if vector.len() > MAX_DIMENSIONS {
        return Err(format!("it has {} numbers; at most {MAX_DIMENSIONS} are allowed", vector.len()));
    }
    match vector.iter().position(|number| !number.is_finite()) {
        Some(index) => Err(format!("number {index} is not finite")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn path(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_chunk_reads_from_json() {
        let chunk = Chunk::from_json(
            r#"{"id":"c","attributes":{"a":{"b":1}},"parents":[{"type":"Folder","id":"f"}],"text":"t","vector":[1,0.5]}"#,
        )
        .unwrap();
        assert_eq!(chunk.uid, EntityUid::new("Chunk", "c"));
        assert_eq!(chunk.read(&path(&["a", "b"]), None), Some(Value::Long(1)));
        assert_eq!(chunk.read(&path(&["a", "b", "c"]), None), None);
        assert_eq!(chunk.read(&path(&["x"]), None), None);
        assert_eq!(chunk.read(&[], None), None);
        assert!(chunk.ancestors.contains(&EntityUid::new("Folder", "f")));
        assert_eq!(chunk.vector, Some(vec![1.0, 0.5]));
    }

    #[test]
    fn bad_chunks_name_the_place() {
        for (text, message) in [
            ("[]", "invalid type: sequence, expected a JSON object"),
            ("{}", "missing field `id`"),
            (r#"{"id":1}"#, "id: invalid type: integer `1`, expected a string"),
            (r#"{"id":"a","attribute":{}}"#, "attribute: unknown field `attribute`"),
            (r#"{"id":"a","attributes":[]}"#, "attributes: invalid type: sequence, expected a map"),
            (r#"{"id":"a","parents":[{"type":"F"}]}"#, "parents[0]: missing field `id`"),
            (r#"{"id":"a","vector":[]}"#, "vector: it is empty"),
            (r#"{"id":"a","vector":[1e300]}"#, "vector: number 0 is not finite"),
            (r#"{"id":"a","vector":["1"]}"#, "vector[0]: invalid type: string"),
            (r#"{"id":"a","attributes":{"x":1,"x":2}}"#, "the key `x` occurs twice"),
        ] {
            let error = Chunk::from_json(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn a_vector_has_a_largest_size() {
        assert_eq!(check_vector(&vec![0.5; MAX_DIMENSIONS]), Ok(()));
        let error = check_vector(&vec![0.5; MAX_DIMENSIONS + 1]).unwrap_err();
        assert_eq!(error, "it has 65537 numbers; at most 65536 are allowed");
    }

    #[test]
    fn redaction_removes_attributes_and_text() {
        let mut chunk = Chunk::new("c");
        chunk.attributes = json!({"a": {"b": 1, "c": 2}, "d": 3, "e": [{"f": 1}], "g": "{\"h\":1}"})
            .as_object()
            .unwrap()
            .clone();
        chunk.text = Some("secret".into());
        let attributes = [
            path(&["a", "b"]),
            path(&["d"]),
            path(&["x", "y"]),
            path(&["d", "z"]),
            path(&["e", "f"]),
            path(&["g", "h"]),
            vec![],
        ]
        .into();
        chunk.redact(&Redaction { attributes, text: false });
        assert_eq!(Json::Object(chunk.attributes.clone()), json!({"a": {"c": 2}}));
        assert!(chunk.text.is_some());
        chunk.redact(&Redaction { text: true, ..Redaction::default() });
        assert!(chunk.text.is_none());
    }
}
