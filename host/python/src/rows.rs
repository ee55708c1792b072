//! Chunks out of Python as rows that need the interpreter no more. All texts of a batch lie in one, so that reading a chunk allocates nothing.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use serde_json::Value as Json;
use tamis_core::chunk::DEFAULT_TYPE;
use tamis_core::{Attributes, Cell, EntityUid, Row};

static NO_TAGS: LazyLock<Attributes> = LazyLock::new(Attributes::new);

/// Bytes of text that a policy reads of a chunk, mostly.
const USUAL_TEXT: usize = 32;

/// What a policy reads of some chunks.
pub(crate) struct Rows {
    texts: String,
    /// The elements of all lists.
    elements: Vec<Range<usize>>,
    /// The attributes of all chunks.
    values: Vec<Value>,
    heads: Vec<Head>,
}

/// A value out of Python. Ranges are of [`Rows::texts`], or of [`Rows::elements`].
pub(crate) enum Value {
    Absent,
    Bool(bool),
    Long(i64),
    Text(Range<usize>),
    Texts(Range<usize>),
    Json(Box<Json>),
}

/// What there is of a chunk besides its attributes, as far as the policy reads it.
#[derive(Default)]
pub(crate) struct Head {
    pub(crate) id: Range<usize>,
    pub(crate) entity_type: Option<Range<usize>>,
    pub(crate) tags: Option<Box<Attributes>>,
    pub(crate) ancestors: BTreeSet<EntityUid>,
}

/// One of [`Rows`].
#[derive(Clone, Copy)]
pub(crate) struct PythonRow<'a> {
    rows: &'a Rows,
    head: &'a Head,
    values: &'a [Value],
    /// Those of [`Rows::elements`].
    elements: &'a [&'a str],
}

/// How much [`Rows`] had before a chunk was read.
pub(crate) struct Mark {
    texts: usize,
    elements: usize,
    values: usize,
}

impl Rows {
    /// No chunks yet, and room for so many of so many attributes.
    pub(crate) fn with_room(chunks: usize, width: usize) -> Self {
        Self {
            texts: String::with_capacity(chunks * USUAL_TEXT),
            elements: Vec::with_capacity(chunks),
            values: Vec::with_capacity(chunks * width),
            heads: Vec::with_capacity(chunks),
        }
    }

    /// Where a chunk begins that is about to be read.
    pub(crate) fn mark(&self) -> Mark {
        Mark { texts: self.texts.len(), elements: self.elements.len(), values: self.values.len() }
    }

    /// How many bytes of text were read since then.
    pub(crate) fn since(&self, mark: &Mark) -> usize {
        self.texts.len() - mark.texts
    }

    /// Forgets what was read of a chunk.
    pub(crate) fn forget(&mut self, mark: &Mark) {
        self.texts.truncate(mark.texts);
        self.elements.truncate(mark.elements);
        self.values.truncate(mark.values);
    }

    /// Keeps a text.
    pub(crate) fn text(&mut self, text: &str) -> Range<usize> {
        let start = self.texts.len();
        self.texts.push_str(text);
        start..self.texts.len()
    }

    /// Keeps an element of the list that is being read.
    pub(crate) fn element(&mut self, text: &str) {
        let range = self.text(text);
        self.elements.push(range);
    }

    /// How many elements there are: those of a list lie between two of these numbers.
    pub(crate) fn elements(&self) -> usize {
        self.elements.len()
    }

    /// Keeps the next attribute of the chunk that is being read.
    pub(crate) fn value(&mut self, value: Value) {
        self.values.push(value);
    }

    /// The chunk was read.
    pub(crate) fn end(&mut self, head: Head) {
        self.heads.push(head);
    }

    /// The elements of all lists, for [`Rows::rows`].
    pub(crate) fn lists(&self) -> Vec<&str> {
        self.elements.iter().map(|range| self.at(range)).collect()
    }

    /// One for each chunk, of so many attributes.
    pub(crate) fn rows<'a>(&'a self, width: usize, lists: &'a [&'a str]) -> Vec<PythonRow<'a>> {
        let row = |(number, head)| {
            let start = number * width;
            let values = self.values.get(start..start + width).unwrap_or_default();
            PythonRow { rows: self, head, values, elements: lists }
        };
        self.heads.iter().enumerate().map(row).collect()
    }

    fn at(&self, range: &Range<usize>) -> &str {
        self.texts.get(range.clone()).unwrap_or_default()
    }
}

impl Row for PythonRow<'_> {
    fn id(&self) -> &str {
        self.rows.at(&self.head.id)
    }

    fn attribute(&self, position: usize, _: &[String]) -> Cell<'_> {
        match self.values.get(position) {
            None | Some(Value::Absent) => Cell::Absent,
            Some(Value::Bool(value)) => Cell::Bool(*value),
            Some(Value::Long(number)) => Cell::Long(*number),
            Some(Value::Text(range)) => Cell::Text(self.rows.at(range)),
            Some(Value::Texts(range)) => Cell::Texts(self.elements.get(range.clone()).unwrap_or_default()),
            Some(Value::Json(json)) => Cell::Json(json),
        }
    }

    fn entity_type(&self) -> &str {
        self.head.entity_type.as_ref().map_or(DEFAULT_TYPE, |range| self.rows.at(range))
    }

    fn tags(&self) -> &Attributes {
        self.head.tags.as_deref().unwrap_or(&NO_TAGS)
    }

    fn ancestors(&self) -> &BTreeSet<EntityUid> {
        &self.head.ancestors
    }
}
