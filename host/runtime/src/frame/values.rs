//! Codes for the values of one attribute, whatever form they come in.

use hashbrown::HashMap;
use serde_json::Value as Json;
use tamis_contract::frame::{ABSENT, Writer};
use tamis_core::{Cell, InputError, Type, metadata};

use super::dictionary::{Dictionary, ENTRY};
use super::key::{Key, Stored};
use super::value;

/// A dictionary of values.
#[derive(Debug, Default)]
pub(super) struct Values {
    dictionary: Dictionary<Key>,
    /// The codes of texts of JSON. Most values are written alike every time, and then are not parsed again.
    unparsed: HashMap<Box<str>, u32>,
}

impl Values {
    /// The code of a value. `size` grows by what it takes up in the policy.
    ///
    /// # Errors
    /// If it is unparsed, and no JSON.
    pub(super) fn code(
        &mut self,
        cell: Cell<'_>,
        declared: Option<&Type>,
        size: &mut usize,
    ) -> Result<u32, InputError> {
        let stored = match cell {
            Cell::Absent | Cell::Json(Json::Null) => return Ok(ABSENT),
            Cell::Json(json) => Stored::Json(json),
            Cell::Text(text) => Stored::Text(text),
            Cell::Texts(texts) => Stored::Texts(texts),
            Cell::Long(number) => Stored::Long(number),
            Cell::Bool(value) => Stored::Bool(value),
            Cell::Unparsed(text) => {
                if let Some(code) = self.unparsed.get(text) {
                    return Ok(*code);
                }
                let json = cell.to_json()?;
                let code = self.code(Cell::Json(&json), declared, size)?;
                // Many ways to write one value must not fill the memory either.
                *size += text.len() + ENTRY;
                self.unparsed.insert(text.into(), code);
                return Ok(code);
            }
        };
        Ok(self.dictionary.code(&stored, size, |news| enter(stored, declared, news)))
    }

    /// Writes the values that are new since the last time.
    pub(super) fn tell(&mut self, frame: &mut Writer) {
        self.dictionary.tell(frame);
    }
}

#[cold]
fn enter(stored: Stored<'_>, declared: Option<&Type>, news: &mut Writer) -> (Key, usize) {
    let key = Key(stored.to_json());
    if let Some(read) = metadata::read(&key.0, declared) {
        value::value(news, &read);
    }
    let size = key.size();
    (key, size)
}
