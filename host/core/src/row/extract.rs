//! Finding what a policy reads in the JSON text of metadata, without parsing the rest.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use jiter::{Jiter, JiterError, LinePosition, Peek};
use smallvec::{SmallVec, smallvec};

use super::{Cell, Row};
use crate::chunk::{Attributes, DEFAULT_TYPE};
use crate::entity::EntityUid;
use crate::input::InputError;
use crate::manifest::FootprintAttribute;

/// Finds the attributes of a footprint in the JSON text of metadata. The rest is checked to be JSON, and skipped.
#[derive(Clone, Debug)]
pub struct Extractor {
    wanted: Object,
    attributes: usize,
}

/// What is wanted of an object: no name twice.
#[derive(Clone, Debug, Default)]
struct Object(Vec<(String, Wanted)>);

#[derive(Clone, Debug)]
enum Wanted {
    /// The field is the attribute at this position in the footprint.
    Attribute(usize),
    /// Attributes inside the field.
    Inside(Object),
}

/// A chunk whose metadata is JSON text, of which a policy is shown what it reads.
#[derive(Clone, Debug)]
pub struct JsonRow<'a> {
    /// Its id.
    pub id: Cow<'a, str>,
    /// Its entity type.
    pub entity_type: Cow<'a, str>,
    /// Metadata whose names are data.
    pub tags: Attributes,
    /// Every folder or collection that it is in, directly or not.
    pub ancestors: BTreeSet<EntityUid>,
    cells: Cells<'a>,
}

/// The text of each attribute of a footprint, which seldom has more than eight.
type Cells<'a> = SmallVec<[Option<&'a str>; 8]>;

impl Extractor {
    /// An extractor of the attributes in a policy's footprint.
    pub fn new(footprint: &[FootprintAttribute]) -> Self {
        let mut wanted = Object::default();
        for (position, entry) in footprint.iter().enumerate() {
            wanted.add(&entry.attribute.path, position);
        }
        Self { wanted, attributes: footprint.len() }
    }

    /// Finds the attributes of the chunk `id` in `metadata`, an object. What is not wanted may be there twice.
    ///
    /// # Errors
    /// For text that is not JSON, or no object; if something that is wanted is there twice.
    pub fn read<'a>(
        &self,
        id: impl Into<Cow<'a, str>>,
        metadata: &'a str,
    ) -> Result<JsonRow<'a>, InputError> {
        let mut scan = Scan {
            text: metadata,
            json: Jiter::new(metadata.as_bytes()),
            cells: smallvec![None; self.attributes],
        };
        scan.object(&self.wanted)?;
        scan.json.finish().map_err(|error| scan.error(&error))?;
        Ok(JsonRow {
            id: id.into(),
            entity_type: DEFAULT_TYPE.into(),
            tags: Attributes::new(),
            ancestors: BTreeSet::new(),
            cells: scan.cells,
        })
    }
}

impl Object {
    fn add(&mut self, path: &[String], position: usize) {
        let Some((name, rest)) = path.split_first() else { return };
        if rest.is_empty() {
            return self.0.push((name.clone(), Wanted::Attribute(position)));
        }
        let inside = self.0.iter_mut().find_map(|(known, wanted)| match wanted {
            Wanted::Inside(object) if known == name => Some(object),
            _ => None,
        });
        match inside {
            Some(object) => object.add(rest, position),
            None => {
                let mut object = Self::default();
                object.add(rest, position);
                self.0.push((name.clone(), Wanted::Inside(object)));
            }
        }
    }
}

impl Row for JsonRow<'_> {
    fn id(&self) -> &str {
        &self.id
    }

    fn attribute(&self, position: usize, _: &[String]) -> Cell<'_> {
        self.cells.get(position).copied().flatten().map_or(Cell::Absent, Cell::Unparsed)
    }

    fn entity_type(&self) -> &str {
        &self.entity_type
    }

    fn tags(&self) -> &Attributes {
        &self.tags
    }

    fn ancestors(&self) -> &BTreeSet<EntityUid> {
        &self.ancestors
    }
}

/// Text that is being read, and what was found.
struct Scan<'a> {
    text: &'a str,
    json: Jiter<'a>,
    cells: Cells<'a>,
}

impl<'a> Scan<'a> {
    /// Reads an object.
    fn object(&mut self, wanted: &Object) -> Result<(), InputError> {
        // Which of the names were there, so that none is taken for another that comes later.
        let mut found: SmallVec<[bool; 16]> = smallvec![false; wanted.0.len()];
        let mut name = self.json.next_object();
        loop {
            let position = match name {
                Ok(Some(name)) => wanted.0.iter().position(|(wanted, _)| wanted == name),
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.error(&error)),
            };
            match position.and_then(|position| Some((wanted.0.get(position)?, found.get_mut(position)?))) {
                None => self.skip()?,
                Some(((name, _), true)) => {
                    return Err(self.error_here(&format_args!("the key `{name}` occurs twice")));
                }
                Some(((_, wanted), found)) => {
                    *found = true;
                    self.value(wanted)?;
                }
            }
            name = self.json.next_key();
        }
    }

    /// Reads something that is wanted.
    fn value(&mut self, wanted: &Wanted) -> Result<(), InputError> {
        match wanted {
            Wanted::Attribute(position) => {
                let start = self.json.current_index();
                self.skip()?;
                let value = self.text.get(start..self.json.current_index()).unwrap_or_default().trim();
                if let Some(cell) = self.cells.get_mut(*position) {
                    *cell = Some(value).filter(|value| *value != "null");
                }
                Ok(())
            }
            Wanted::Inside(object) => match self.json.peek() {
                Ok(Peek::Object) => self.object(object),
                // Nothing is inside of anything else.
                Ok(_) => self.skip(),
                Err(error) => Err(self.error(&error)),
            },
        }
    }

    fn skip(&mut self) -> Result<(), InputError> {
        self.json.next_skip().map_err(|error| self.error(&error))
    }

    fn error(&self, error: &JiterError) -> InputError {
        error_at(self.json.error_position(error.index), &error.error_type)
    }

    fn error_here(&self, message: &dyn fmt::Display) -> InputError {
        error_at(self.json.current_position(), message)
    }
}

fn error_at(LinePosition { line, column }: LinePosition, message: &dyn fmt::Display) -> InputError {
    InputError::new(format!("line {line} column {column}"), message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::chunk::Chunk;
    use crate::filter::Attribute;

    fn footprint() -> Vec<FootprintAttribute> {
        let paths: [&[&str]; 7] =
            [&["a"], &["b", "c"], &["b", "d", "e"], &["x.y"], &["\"é"], &["b", "d", "f"], &["y", "c"]];
        let entry = |path: &[&str]| {
            let path = path.iter().map(ToString::to_string).collect();
            FootprintAttribute { attribute: Attribute { path, declared: None }, optional: true }
        };
        paths.map(entry).into()
    }

    /// What is found, as JSON.
    fn found(text: &str) -> Result<Vec<Json>, InputError> {
        let footprint = footprint();
        let row = Extractor::new(&footprint).read("id", text)?;
        assert_eq!((row.id(), row.entity_type()), ("id", DEFAULT_TYPE));
        let cells = footprint.iter().enumerate().map(|(at, entry)| row.attribute(at, &entry.attribute.path));
        cells.map(Cell::to_json).collect()
    }

    #[test]
    fn what_is_found_is_what_a_parsed_chunk_has() {
        for text in [
            "{}",
            " { } ",
            r#"{"a":1,"b":{"c":"x","d":{"e":[1,{"a":2}],"f":{}},"z":0},"x.y":1.5,"\u0022\u00e9":true,"z":[{"a":1}]}"#,
            r#"{ "a" : null , "b" : { "c" : null } }"#,
            r#"{"y":{"c":1},"b":{"c":2}}"#,
            r#"{"b":{"c":2,"d":1}}"#,
            r#"{"b":1}"#,
            r#"{"b":[{"c":1}]}"#,
            r#"{"b":"c"}"#,
            r#"{"b":null,"A":1}"#,
            r#"{"b":{"d":7,"c":-0}}"#,
            r#"{"x":{"y":1},"a":"\ud83d\ude00","z":"\"}"}"#,
            "{\"a\":\n\t[ 1 ,\r 2 ]\n}",
            r#"{"z":1,"z":2}"#,
        ] {
            let attributes = serde_json::from_str(text).unwrap();
            let chunk = Chunk { attributes, ..Chunk::new("id") };
            let stored = |entry: &FootprintAttribute| chunk.stored(&entry.attribute.path).cloned();
            let expected: Vec<Json> =
                footprint().iter().map(|entry| stored(entry).unwrap_or_default()).collect();
            assert_eq!(found(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_or_has_something_twice_is_an_error() {
        for (text, place) in [
            ("", "line 1 column 0"),
            ("[]", "line 1 column 1"),
            ("1", "line 1 column 1"),
            ("null", "line 1 column 1"),
            (r#""a""#, "line 1 column 1"),
            ("{", "line 1 column 1"),
            (r#"{"a":1"#, "line 1 column 6"),
            (r#"{"a":1}}"#, "line 1 column 8"),
            (r#"{"a":1} x"#, "line 1 column 9"),
            (r#"{"a":1,}"#, "line 1 column 8"),
            (r#"{"a":tru}"#, "line 1 column 9"),
            (r#"{"z":[1,]}"#, "line 1 column 9"),
            (r#"{"z":NaN}"#, "line 1 column 6"),
            (r#"{"z":01}"#, "line 1 column 7"),
            ("{\n\"a\":1,\n\"a\":2}", "line 3 column 5"),
            (r#"{"a":1,"\u0061":null}"#, "line 1 column 17"),
            (r#"{"b":{"c":1,"c":1}}"#, "line 1 column 17"),
            (r#"{"b":{},"b":{}}"#, "line 1 column 13"),
            (r#"{"b":1,"b":{"c":1}}"#, "line 1 column 12"),
        ] {
            assert_eq!(found(text).map_err(|error| error.place), Err(place.to_owned()), "{text}");
        }
        assert_eq!(
            found(r#"{"a":"\ud800"}"#).map(|_| ()).map_err(|_| ()),
            Err(()),
            "unreadable, once it is asked for"
        );
    }

    #[test]
    fn a_chunk_of_what_was_found_has_nothing_else() {
        let footprint = footprint();
        let mut row =
            Extractor::new(&footprint).read("id", r#"{"a":[1],"b":{"c":2,"d":{"f":null}},"z":3}"#).unwrap();
        row.entity_type = "Page".into();
        row.ancestors.insert(EntityUid::new("Folder", "f"));
        row.tags.insert("t".to_owned(), json!(1));
        let chunk = row.to_chunk(&footprint).unwrap();
        let mut expected = Chunk::new("id");
        expected.uid.entity_type = "Page".to_owned();
        expected.attributes = json!({"a": [1], "b": {"c": 2}}).as_object().unwrap().clone();
        expected.ancestors = row.ancestors.clone();
        expected.tags = row.tags.clone();
        assert_eq!(chunk, expected);
    }
}
