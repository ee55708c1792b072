//! The cells of one column while a frame is written.

use std::collections::BTreeSet;

use tamis_contract::frame::{Writer, state, tag};
use tamis_core::filter::Attribute;
use tamis_core::{Attributes, Cell, EntityUid, InputError, Row, Type, Value, metadata};

use super::dictionary::Dictionary;
use super::key::{FieldsKey, StoredFields};
use super::layout::Column;
use super::value;
use super::values::Values;

/// The bytes of a code.
const CODE: usize = 4;
/// The bytes of a state and a number.
const LONG: usize = 9;

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
        /// One for each row.
        codes: Vec<u8>,
    },
    /// Numbers of an attribute.
    Longs {
        /// Its position in the footprint.
        position: usize,
        /// What it is.
        attribute: Attribute,
        /// One for each row.
        states: Vec<u8>,
        /// One for each row.
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
    Attribute(usize, Attribute, Values),
    EntityType(Dictionary<String>),
    Ancestors(Dictionary<BTreeSet<EntityUid>>),
    Tags(Dictionary<FieldsKey>),
}

impl Cells {
    /// No cells, and an empty dictionary.
    pub(super) fn new(column: &Column) -> Self {
        let codes = |coded| Self::Codes { coded, codes: Vec::new() };
        match column {
            Column::Codes(position, attribute) => {
                codes(Coded::Attribute(*position, attribute.clone(), Values::default()))
            }
            Column::EntityType => codes(Coded::EntityType(Dictionary::default())),
            Column::Ancestors => codes(Coded::Ancestors(Dictionary::default())),
            Column::Tags => codes(Coded::Tags(Dictionary::default())),
            Column::Longs(position, attribute) => Self::Longs {
                position: *position,
                attribute: attribute.clone(),
                states: Vec::new(),
                numbers: Vec::new(),
            },
            Column::Id => Self::Ids { ends: Vec::new(), texts: Vec::new() },
        }
    }

    /// How many bytes each cell has, if all have as many.
    pub(super) fn width(&self) -> Option<usize> {
        match self {
            Self::Codes { .. } => Some(CODE),
            Self::Longs { .. } => Some(LONG),
            Self::Ids { .. } => None,
        }
    }

    /// Reads the cell of a chunk.
    ///
    /// # Errors
    /// If it is unparsed, and no JSON.
    pub(super) fn read<R: Row>(
        &mut self,
        chunk: &R,
        row: &mut Vec<u8>,
        size: &mut Size,
    ) -> Result<(), InputError> {
        match self {
            Self::Codes { coded, .. } => {
                row.extend_from_slice(&coded.code(chunk, &mut size.kept)?.to_le_bytes());
            }
            Self::Longs { position, attribute, .. } => {
                let cell = chunk.attribute(*position, &attribute.path);
                let (state, number) = long(cell, attribute.declared.as_ref())?;
                row.push(state);
                row.extend_from_slice(&number.to_le_bytes());
            }
            Self::Ids { .. } => {
                let id = chunk.id().as_bytes();
                size.passing += id.len();
                row.extend_from_slice(&id.len().to_le_bytes());
                row.extend_from_slice(id);
            }
        }
        Ok(())
    }

    /// Adds the cell that begins a row, and leaves those behind it.
    pub(super) fn push(&mut self, row: &mut &[u8]) {
        let mut take = |size: usize| row.split_off(..size).unwrap_or_default();
        match self {
            Self::Codes { codes, .. } => codes.extend_from_slice(take(CODE)),
            Self::Longs { states, numbers, .. } => {
                let [state, number @ ..] = take(LONG) else { return };
                states.push(*state);
                numbers.extend_from_slice(number);
            }
            Self::Ids { ends, texts } => {
                let size = take(size_of::<usize>()).as_array().copied().map_or(0, usize::from_le_bytes);
                texts.extend_from_slice(take(size));
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
    fn code<R: Row>(&mut self, chunk: &R, size: &mut usize) -> Result<u32, InputError> {
        Ok(match self {
            Self::Attribute(position, attribute, values) => {
                let cell = chunk.attribute(*position, &attribute.path);
                return values.code(cell, attribute.declared.as_ref(), size);
            }
            Self::EntityType(dictionary) => {
                let entity_type = chunk.entity_type();
                dictionary.code(entity_type, size, |news| {
                    news.tagged_text(tag::TEXT, entity_type);
                    (entity_type.to_owned(), entity_type.len())
                })
            }
            Self::Ancestors(dictionary) => {
                let ancestors = chunk.ancestors();
                dictionary.code(ancestors, size, |news| {
                    value::uids(news, ancestors);
                    (ancestors.clone(), 0)
                })
            }
            Self::Tags(dictionary) => {
                let tags = chunk.tags();
                dictionary.code(&StoredFields(tags), size, |news| enter_tags(tags, news))
            }
        })
    }

    fn tell(&mut self, frame: &mut Writer) {
        match self {
            Self::Attribute(_, _, values) => values.tell(frame),
            Self::EntityType(dictionary) => dictionary.tell(frame),
            Self::Ancestors(dictionary) => dictionary.tell(frame),
            Self::Tags(dictionary) => dictionary.tell(frame),
        }
    }
}

#[cold]
fn enter_tags(tags: &Attributes, news: &mut Writer) -> (FieldsKey, usize) {
    value::value(news, &Value::Record(metadata::read_record(tags)));
    let key = FieldsKey(tags.clone());
    let size = key.size();
    (key, size)
}

/// The state and the number of an attribute that is declared as a kind of number.
fn long(cell: Cell<'_>, declared: Option<&Type>) -> Result<(u8, i64), InputError> {
    Ok(match cell.read(declared)? {
        None => (state::ABSENT, 0),
        Some(
            Value::Long(number) | Value::Decimal(number) | Value::Datetime(number) | Value::Duration(number),
        ) => (state::PRESENT, number),
        Some(_) => (state::ILL_TYPED, 0),
    })
}
