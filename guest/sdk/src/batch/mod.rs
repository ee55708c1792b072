//! The interface `batch`, derived from what a policy says to one chunk.
//!
//! The values of all dictionaries lie in the list of values of one chunk, where they are put once. A row of a frame then becomes
//! this chunk by setting indices; nothing is read or allocated for it, unless an attribute lies inside another.

mod read;
#[cfg(test)]
mod tests;
mod tree;
mod write;

use bumpalo::Bump;
use tamis_contract::frame::{self, Column, Form, FrameError, Reader};
use tamis_contract::value::Value as ReadValue;

use crate::bindings::tamis::policy::batch;
use crate::bindings::tamis::policy::gates::{Chunk, Decision, EntityUid, Field, Manifest, Request};
use crate::error::Error;
use tree::Tree;
pub(crate) use write::rewrite;

/// Bits of the code that answers for a chunk.
const ALLOW: u8 = 1;
const REDACT: u8 = 2;
const FAULT: u8 = 4;

/// The columns that a policy with this manifest wants: the attributes of its footprint, and all else that it could look at.
pub(crate) fn columns(manifest: &Manifest) -> Vec<batch::Column> {
    use batch::{Form, Source};
    let column = |source, form| batch::Column { source, form };
    let attributes =
        (0..).zip(&manifest.footprint).map(|(index, _)| column(Source::Attribute(index), Form::Codes));
    attributes
        .chain([
            column(Source::EntityType, Form::Codes),
            column(Source::Id, Form::Texts),
            column(Source::Ancestors, Form::Codes),
            column(Source::Tags, Form::Codes),
        ])
        .collect()
}

/// The answer for a chunk on which a policy said this.
pub(crate) fn code(decision: Result<&Decision, &Error>) -> u8 {
    let Ok(decision) = decision else { return FAULT };
    let redacts = decision.redact_text || !decision.redact.is_empty();
    let fault = if decision.errors.is_empty() { 0 } else { FAULT };
    match (decision.allow, redacts) {
        (false, _) => fault,
        (true, false) => ALLOW | fault,
        (true, true) => ALLOW | REDACT | fault,
    }
}

/// What an instance was told: requests, and the dictionaries of its columns.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The requests that were prepared, by their numbers.
    requests: Vec<Request>,
    /// How the columns after the attributes' are written, and before them theirs.
    forms: Vec<Form>,
    tree: Tree,
    /// For each attribute's column where the value of each of its codes is in the chunk's values.
    attributes: Vec<Vec<u32>>,
    entity_types: Vec<String>,
    ancestors: Vec<Vec<EntityUid>>,
    tags: Vec<Vec<Field>>,
    /// The row that is decided on.
    chunk: Chunk,
}

impl Batch {
    /// An instance of a policy with this manifest that was told nothing yet.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let count = manifest.footprint.len();
        let mut forms = vec![Form::Codes; count];
        forms.extend([Form::Codes, Form::Texts, Form::Codes, Form::Codes]);
        Self {
            requests: Vec::new(),
            forms,
            tree: Tree::of(manifest.footprint.iter().map(|entry| entry.attribute.path.as_slice())),
            attributes: vec![Vec::new(); count],
            entity_types: Vec::new(),
            ancestors: Vec::new(),
            tags: Vec::new(),
            chunk: Chunk {
                uid: EntityUid { entity_type: String::new(), id: String::new() },
                attributes: Vec::new(),
                tags: Vec::new(),
                ancestors: Vec::new(),
                values: Vec::new(),
            },
        }
    }

    /// Reads and keeps a request, and returns its number.
    ///
    /// # Errors
    /// If the bytes are not exactly a request.
    pub(crate) fn prepare(&mut self, bytes: &[u8]) -> Result<u32, FrameError> {
        let number = u32::try_from(self.requests.len()).map_err(|_| FrameError)?;
        self.requests.push(read::request(bytes)?);
        Ok(number)
    }

    /// The request that was prepared under this number.
    ///
    /// # Errors
    /// If none was.
    pub(crate) fn request(&self, prepared: u32) -> Result<&Request, FrameError> {
        self.requests.get(prepared as usize).ok_or(FrameError)
    }

    /// Decides on every row of a frame.
    ///
    /// # Errors
    /// If the request was not prepared, the bytes are not a frame, or a code is not in its dictionary.
    pub(crate) fn filter(
        &mut self,
        prepared: u32,
        bytes: &[u8],
        decide: impl Fn(&Request, &Chunk) -> u8,
    ) -> Result<Vec<u8>, FrameError> {
        let (rows, columns) = frame::read(bytes, &self.forms)?;
        let (attributes, rest) = columns.split_at_checked(self.attributes.len()).ok_or(FrameError)?;
        let [entity_types, ids, ancestors, tags] = rest else { return Err(FrameError) };
        let Self { requests, tree, chunk, .. } = self;
        let request = requests.get(prepared as usize).ok_or(FrameError)?;
        let values = &mut chunk.values;
        for (column, known) in attributes.iter().zip(&mut self.attributes) {
            learn(column, known, |value| Ok(read::push(values, &value)))?;
        }
        learn(entity_types, &mut self.entity_types, text)?;
        learn(ancestors, &mut self.ancestors, uids)?;
        learn(tags, &mut self.tags, |value| match value {
            ReadValue::Record(read) => Ok(read::fields(values, read)),
            _ => Err(FrameError),
        })?;
        let kept = chunk.values.len();
        let mut codes = Vec::with_capacity(rows);
        let mut indices = vec![None; attributes.len()];
        for row in 0..rows {
            for ((index, column), known) in indices.iter_mut().zip(attributes).zip(&self.attributes) {
                *index = entry(column, row, known.len())?.and_then(|entry| known.get(entry)).copied();
            }
            let entity_type = entry(entity_types, row, self.entity_types.len())?;
            let entity_type = entity_type.and_then(|entry| self.entity_types.get(entry)).ok_or(FrameError)?;
            chunk.uid.entity_type.clone_from(entity_type);
            chunk.uid.id.clear();
            chunk.uid.id.push_str(ids.text(row).ok_or(FrameError)?);
            let ancestors = slot(ancestors, row, &mut self.ancestors)?;
            let tags = slot(tags, row, &mut self.tags)?;
            // Lent to the chunk and taken back.
            std::mem::swap(&mut chunk.ancestors, ancestors);
            std::mem::swap(&mut chunk.tags, tags);
            tree.load(&indices, chunk);
            codes.push(decide(request, chunk));
            tree.unload(chunk);
            chunk.values.truncate(kept);
            std::mem::swap(&mut chunk.ancestors, ancestors);
            std::mem::swap(&mut chunk.tags, tags);
        }
        Ok(codes)
    }
}

/// Adds the new entries of a column to those that are known.
fn learn<T>(
    column: &Column<'_>,
    known: &mut Vec<T>,
    mut keep: impl FnMut(ReadValue<'_>) -> Result<T, FrameError>,
) -> Result<(), FrameError> {
    let Column::Codes { first, count, entries, .. } = column else { return Err(FrameError) };
    // A frame that is sent again, for another principal, brings nothing new.
    if *count == 0 || *first != known.len() {
        let told = first.checked_add(*count).ok_or(FrameError)?;
        return if told <= known.len() { Ok(()) } else { Err(FrameError) };
    }
    let arena = Bump::new();
    let mut entries: Reader<'_> = entries.clone();
    for _ in 0..*count {
        known.push(keep(entries.value(&arena)?)?);
    }
    if entries.is_empty() { Ok(()) } else { Err(FrameError) }
}

/// The position, among `known` entries, of what a row of a column of codes holds; `None` if it is absent.
fn entry(column: &Column<'_>, row: usize, known: usize) -> Result<Option<usize>, FrameError> {
    let Column::Codes { codes, .. } = column else { return Err(FrameError) };
    let code = u32::from_le_bytes(*codes.get(row).ok_or(FrameError)?) as usize;
    if code > known { Err(FrameError) } else { Ok(code.checked_sub(1)) }
}

/// What a row of a column of codes holds, which is never absent.
fn slot<'a, T>(column: &Column<'_>, row: usize, known: &'a mut [T]) -> Result<&'a mut T, FrameError> {
    let entry = entry(column, row, known.len())?;
    entry.and_then(|entry| known.get_mut(entry)).ok_or(FrameError)
}

fn text(value: ReadValue<'_>) -> Result<String, FrameError> {
    if let ReadValue::Text(text) = value { Ok(text.to_owned()) } else { Err(FrameError) }
}

fn uids(value: ReadValue<'_>) -> Result<Vec<EntityUid>, FrameError> {
    let ReadValue::Set(elements) = value else { return Err(FrameError) };
    let uid = |element: &ReadValue<'_>| match element {
        ReadValue::Entity(uid) => Ok(read::uid(**uid)),
        _ => Err(FrameError),
    };
    elements.iter().map(uid).collect()
}
