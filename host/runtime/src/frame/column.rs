//! The cells of one column while a frame is written.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};
use tamis_contract::frame::{ABSENT, Writer, state};
use tamis_core::filter::Attribute;
use tamis_core::{Chunk, EntityUid, Type, Value, metadata};

use super::dictionary::Dictionary;
use super::key::{FieldsKey, Key, Stored, StoredFields};
use super::layout::Column;
use super::value;

/// What a policy that is sent cells needs in its memory, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    /// For values that it remembers.
    pub(super) kept: usize,
    /// For texts that it forgets after the frame.
    pub(super) passing: usize,
}

/// Where the cells of a column come from, and those that are not yet in a frame.
#[derive(Debug)]
pub(super) enum Cells {
    /// Codes.
    Codes {
        /// Where they come from.
        coded: Coded,
        /// One for each chunk.
        codes: Vec<u8>,
    },
    /// Numbers of an attribute.
    Longs {
        /// Where they come from.
        attribute: Attribute,
        /// One for each chunk.
        states: Vec<u8>,
        /// One for each chunk.
        numbers: Vec<u8>,
    },
    /// Ids.
    Ids {
        /// Where each ends.
        ends: Vec<u8>,
        /// All of them, one after the other.
        texts: Vec<u8>,
    },
}

/// Something of a chunk that is coded.
#[derive(Debug)]
pub(super) enum Coded {
    Attribute(Attribute, Dictionary<Key>),
    EntityType(Dictionary<String>),
    Ancestors(Dictionary<BTreeSet<EntityUid>>),
    Tags(Dictionary<FieldsKey>),
}

impl Cells {
    /// No cells, and an empty dictionary.
    pub(super) fn new(column: &Column) -> Self {
        let codes = |coded| Self::Codes { coded, codes: Vec::new() };
        match column {
            Column::Codes(attribute) => codes(Coded::Attribute(attribute.clone(), Dictionary::default())),
            Column::EntityType => codes(Coded::EntityType(Dictionary::default())),
            Column::Ancestors => codes(Coded::Ancestors(Dictionary::default())),
            Column::Tags => codes(Coded::Tags(Dictionary::default())),
            Column::Longs(attribute) => {
                Self::Longs { attribute: attribute.clone(), states: Vec::new(), numbers: Vec::new() }
            }
            Column::Id => Self::Ids { ends: Vec::new(), texts: Vec::new() },
        }
    }

    /// Adds the cell of a chunk.
    pub(super) fn push(&mut self, chunk: &Chunk, size: &mut Size) {
        match self {
            Self::Codes { coded, codes } => {
                codes.extend_from_slice(&coded.code(chunk, &mut size.kept).to_le_bytes());
            }
            Self::Longs { attribute, states, numbers } => {
                let (state, number) = long(chunk, attribute);
                states.push(state);
                numbers.extend_from_slice(&number.to_le_bytes());
            }
            Self::Ids { ends, texts } => {
                texts.extend_from_slice(chunk.uid.id.as_bytes());
                size.passing += chunk.uid.id.len();
                // More than fits is no frame: the policy refuses it.
                ends.extend_from_slice(&u32::try_from(texts.len()).unwrap_or(u32::MAX).to_le_bytes());
            }
        }
    }

    /// Writes the cells, and begins anew.
    pub(super) fn finish(&mut self, frame: &mut Writer) {
        match self {
            Self::Codes { coded, codes } => {
                coded.tell(frame);
                frame.bytes.append(codes);
            }
            Self::Longs { states, numbers, .. } => {
                frame.bytes.append(states);
                frame.bytes.append(numbers);
            }
            Self::Ids { ends, texts } => {
                frame.bytes.append(ends);
                frame.bytes.append(texts);
            }
        }
    }
}

impl Coded {
    fn code(&mut self, chunk: &Chunk, size: &mut usize) -> u32 {
        match self {
            Self::Attribute(attribute, dictionary) => match chunk.stored(&attribute.path) {
                None | Some(Json::Null) => ABSENT,
                Some(json) => dictionary
                    .code(&Stored(json), size, |news| enter(json, attribute.declared.as_ref(), news)),
            },
            Self::EntityType(dictionary) => {
                let entity_type = &chunk.uid.entity_type;
                dictionary.code(entity_type, size, |news| {
                    value::value(news, &Value::String(entity_type.clone()));
                    entity_type.clone()
                })
            }
            Self::Ancestors(dictionary) => dictionary.code(&chunk.ancestors, size, |news| {
                value::uids(news, &chunk.ancestors);
                chunk.ancestors.clone()
            }),
            Self::Tags(dictionary) => {
                dictionary.code(&StoredFields(&chunk.tags), size, |news| enter_tags(&chunk.tags, news))
            }
        }
    }

    fn tell(&mut self, frame: &mut Writer) {
        match self {
            Self::Attribute(_, dictionary) => dictionary.tell(frame),
            Self::EntityType(dictionary) => dictionary.tell(frame),
            Self::Ancestors(dictionary) => dictionary.tell(frame),
            Self::Tags(dictionary) => dictionary.tell(frame),
        }
    }
}

#[cold]
fn enter(json: &Json, declared: Option<&Type>, news: &mut Writer) -> Key {
    if let Some(read) = metadata::read(json, declared) {
        value::value(news, &read);
    }
    Key(json.clone())
}

#[cold]
fn enter_tags(tags: &Map<String, Json>, news: &mut Writer) -> FieldsKey {
    value::value(news, &Value::Record(metadata::read_record(tags)));
    FieldsKey(tags.clone())
}

/// The state and the number of an attribute that is declared as a kind of number.
fn long(chunk: &Chunk, attribute: &Attribute) -> (u8, i64) {
    match chunk.read(&attribute.path, attribute.declared.as_ref()) {
        None => (state::ABSENT, 0),
        Some(
            Value::Long(number) | Value::Decimal(number) | Value::Datetime(number) | Value::Duration(number),
        ) => (state::PRESENT, number),
        Some(_) => (state::ILL_TYPED, 0),
    }
}
