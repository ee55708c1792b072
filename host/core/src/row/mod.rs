//! What a gate sees of a chunk, wherever it comes from: a [`Chunk`], the columns of a table, JSON that nobody has parsed.

#[cfg(feature = "arrow")]
mod arrow;
mod extract;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value as Json;

use crate::chunk::{Attributes, Chunk, DEFAULT_TYPE};
use crate::entity::EntityUid;
use crate::input::{self, InputError};
use crate::manifest::FootprintAttribute;
use crate::metadata;
use crate::types::Type;
use crate::value::Value;

#[cfg(feature = "arrow")]
pub use arrow::{ArrowRow, ArrowRows};
pub use extract::{Extractor, JsonRow};

static NO_TAGS: LazyLock<Attributes> = LazyLock::new(Attributes::new);
static NO_ANCESTORS: BTreeSet<EntityUid> = BTreeSet::new();

/// The value of one attribute, as its source has it. It means what the same value in JSON means.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    /// Missing, or null.
    Absent,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// A text.
    Text(&'a str),
    /// A list of texts.
    Texts(&'a [&'a str]),
    /// JSON.
    Json(&'a Json),
    /// The text of JSON.
    Unparsed(&'a str),
}

impl Cell<'_> {
    /// As JSON; null if it is absent.
    ///
    /// # Errors
    /// If it is unparsed, and no JSON.
    pub fn to_json(self) -> Result<Json, InputError> {
        Ok(match self {
            Self::Absent => Json::Null,
            Self::Bool(value) => value.into(),
            Self::Long(number) => number.into(),
            Self::Text(text) => text.into(),
            Self::Texts(texts) => Json::from(texts),
            Self::Json(json) => json.clone(),
            Self::Unparsed(text) => input::parse_json(text)?,
        })
    }

    /// The value, read as `declared`: see [`metadata::read`]. Whole numbers, which most of what is compared is, come out at once.
    ///
    /// # Errors
    /// If it is unparsed, and no JSON.
    #[inline]
    pub fn read(self, declared: Option<&Type>) -> Result<Option<Value>, InputError> {
        Ok(match (self, declared) {
            (Self::Absent, _) => None,
            (Self::Long(number), Some(Type::Long)) => Some(Value::Long(number)),
            (Self::Json(Json::Number(number)), Some(Type::Long)) if let Some(number) = number.as_i64() => {
                Some(Value::Long(number))
            }
            (Self::Json(json), _) => metadata::read(json, declared),
            (Self::Unparsed(text), Some(Type::Long)) if let Some(number) = plain_long(text) => {
                Some(Value::Long(number))
            }
            _ => metadata::read(&self.to_json()?, declared),
        })
    }
}

/// A whole number in the one way in which most are written.
fn plain_long(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.starts_with(|first| matches!(first, '1'..='9')) || text == "0" {
        text.parse().ok()
    } else {
        None
    }
}

/// A chunk, as its source has it.
pub trait Row {
    /// Its id.
    fn id(&self) -> &str;

    /// The attribute at `path`, which is at `position` in the policy's footprint.
    fn attribute(&self, position: usize, path: &[String]) -> Cell<'_>;

    /// Its entity type.
    fn entity_type(&self) -> &str {
        DEFAULT_TYPE
    }

    /// Metadata whose names are data.
    fn tags(&self) -> &Attributes {
        &NO_TAGS
    }

    /// Every folder or collection that it is in, directly or not.
    fn ancestors(&self) -> &BTreeSet<EntityUid> {
        &NO_ANCESTORS
    }

    /// A chunk of what a policy with this footprint reads.
    ///
    /// # Errors
    /// If an attribute is unparsed, and no JSON.
    fn to_chunk(&self, footprint: &[FootprintAttribute]) -> Result<Chunk, InputError> {
        let mut chunk = Chunk::new(self.id());
        self.entity_type().clone_into(&mut chunk.uid.entity_type);
        chunk.tags = self.tags().clone();
        chunk.ancestors = self.ancestors().clone();
        for (position, entry) in footprint.iter().enumerate() {
            let path = &entry.attribute.path;
            let json = self.attribute(position, path).to_json()?;
            if !json.is_null() {
                chunk.store(path, json);
            }
        }
        Ok(chunk)
    }
}

impl Row for Chunk {
    fn id(&self) -> &str {
        &self.uid.id
    }

    fn attribute(&self, _: usize, path: &[String]) -> Cell<'_> {
        self.stored(path).map_or(Cell::Absent, Cell::Json)
    }

    fn entity_type(&self) -> &str {
        &self.uid.entity_type
    }

    fn tags(&self) -> &Attributes {
        &self.tags
    }

    fn ancestors(&self) -> &BTreeSet<EntityUid> {
        &self.ancestors
    }
}

impl<R: Row> Row for &R {
    fn id(&self) -> &str {
        R::id(self)
    }

    fn attribute(&self, position: usize, path: &[String]) -> Cell<'_> {
        R::attribute(self, position, path)
    }

    fn entity_type(&self) -> &str {
        R::entity_type(self)
    }

    fn tags(&self) -> &Attributes {
        R::tags(self)
    }

    fn ancestors(&self) -> &BTreeSet<EntityUid> {
        R::ancestors(self)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_reads_alike_in_every_form() {
        let types = ["Long", "String", "Bool", "decimal", "Set<Long>", "datetime"];
        let types: Vec<Type> = types.iter().map(|text| text.parse().unwrap()).collect();
        let read = |cell: Cell<'_>, declared: Option<&Type>| cell.read(declared).unwrap();
        for declared in types.iter().map(Some).chain([None]) {
            for number in [0, 1, -1, 10, i64::MIN, i64::MAX] {
                let expected = metadata::read(&json!(number), declared);
                let text = number.to_string();
                for cell in [Cell::Long(number), Cell::Json(&json!(number)), Cell::Unparsed(&text)] {
                    assert_eq!(read(cell, declared), expected, "{cell:?} as {declared:?}");
                }
            }
            for text in ["", "1", "2026-01-31", "é\"\\"] {
                let json = json!(text);
                let expected = metadata::read(&json, declared);
                for cell in [Cell::Text(text), Cell::Json(&json), Cell::Unparsed(&json.to_string())] {
                    assert_eq!(read(cell, declared), expected, "{cell:?} as {declared:?}");
                }
            }
            for text in ["-0", "1.0", "1e2", "9223372036854775808", "true", "[1,1]", "null", " 7 "] {
                let json = serde_json::from_str(text).unwrap();
                let expected = metadata::read(&json, declared);
                for cell in [Cell::Json(&json), Cell::Unparsed(text)] {
                    assert_eq!(read(cell, declared), expected, "{cell:?} as {declared:?}");
                }
            }
            assert_eq!(read(Cell::Bool(true), declared), metadata::read(&json!(true), declared));
            assert_eq!(read(Cell::Absent, declared), None);
            for text in ["", "+1", "01", "1x", "-", "--1", "1 2", r#"{"a":1,"a":1}"#] {
                assert!(Cell::Unparsed(text).read(declared).is_err(), "{text} as {declared:?}");
            }
        }
    }

    #[test]
    fn attributes_are_stored_at_their_paths() {
        let path = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
        let mut chunk = Chunk::new("c");
        for (at, number) in [("a", 1), ("b.c", 2), ("b.d.e", 3), ("a", 4)] {
            chunk.store(&path(at), json!(number));
        }
        chunk.store(&[], json!(5));
        assert_eq!(Json::from(chunk.attributes.clone()), json!({"a": 4, "b": {"c": 2, "d": {"e": 3}}}));
        chunk.store(&path("a.f"), json!(6));
        assert_eq!(chunk.stored(&path("a.f")), Some(&json!(6)));
    }

    /// A row that has no more than it must.
    struct Bare;

    impl Row for Bare {
        fn id(&self) -> &str {
            "b"
        }

        fn attribute(&self, _: usize, _: &[String]) -> Cell<'_> {
            Cell::Texts(&["x", "y"])
        }
    }

    #[test]
    fn a_row_becomes_the_chunk_that_it_is() {
        let path = vec!["a".to_owned()];
        let attribute = crate::filter::Attribute { path: path.clone(), declared: None };
        let footprint = [FootprintAttribute { attribute, optional: false }];
        let mut bare = Chunk::new("b");
        bare.store(&path, json!(["x", "y"]));
        assert_eq!(Bare.to_chunk(&footprint), Ok(bare.clone()));
        assert_eq!((&&Bare).to_chunk(&footprint), Ok(bare));

        let mut chunk = Chunk::new("c");
        chunk.uid.entity_type = "Note".to_owned();
        chunk.tags = json!({"t": 1}).as_object().unwrap().clone();
        chunk.ancestors = [EntityUid::new("Folder", "f")].into();
        chunk.store(&path, json!(1));
        assert_eq!(chunk.to_chunk(&footprint), Ok(chunk.clone()));
        assert_eq!((&&chunk).to_chunk(&footprint), Ok(chunk.clone()));
    }
}
