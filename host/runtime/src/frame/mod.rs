//! Chunks as frames: columns of codes, as `wit/FRAME.md` defines them. Nothing here knows WebAssembly.

mod column;
mod dictionary;
mod key;
mod layout;
mod rows;
#[cfg(test)]
mod tests;
mod value;
mod values;

use tamis_contract::frame::Writer;
use tamis_core::{InputError, Row};

use column::{Cells, Size};
pub(crate) use layout::{Column, columns};
use rows::Rows;
#[cfg(test)]
pub(crate) use tests::example as documented;
pub(crate) use value::RequestBytes;

/// Chunks in one frame at most. A call costs as much as coding some ten chunks, so more in one frame save nothing; with 4096 the
/// chunks outgrow the processor's cache between coding and deciding, and each took a tenth longer. The deadline is checked about
/// once in a millisecond.
const MAX_ROWS: usize = 1024;

/// A frame ends after the chunk with which its new entries take up more than this, so that what is in a policy's memory twice
/// while it reads a frame stays small.
const MAX_NEWS: usize = 256 << 10;

/// Writes chunks as frames for one instance of a policy, which remembers the dictionaries as this does. Chunks that the policy
/// cannot tell apart are one row, which is written once.
#[derive(Debug)]
pub(crate) struct Coder {
    columns: Vec<Cells>,
    rows: Rows,
    /// How much of the policy's memory the dictionaries may take up.
    room: usize,
    size: Size,
    frame: Writer,
    /// The cells of one row.
    row: Vec<u8>,
    numbers: Vec<u32>,
}

/// Some chunks, coded.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    /// For each chunk the number of its row. Of rows with higher numbers than those here nothing is known any more.
    pub(crate) numbers: &'a [u32],
    /// The number of the first row in the frame.
    pub(crate) first: usize,
    /// How many rows the frame has; with none, there is no frame.
    pub(crate) rows: usize,
    /// The rows that are new.
    pub(crate) frame: &'a [u8],
}

impl Coder {
    /// A coder whose dictionaries are empty, and may take up about so many bytes of the policy's memory.
    pub(crate) fn new(columns: &[Column], room: usize) -> Self {
        let columns: Vec<Cells> = columns.iter().map(Cells::new).collect();
        Self {
            rows: Rows::new(columns.iter().map(Cells::width).sum()),
            columns,
            room,
            size: Size::default(),
            frame: Writer::default(),
            row: Vec::new(),
            numbers: Vec::new(),
        }
    }

    /// Whether the dictionaries take up all their room. A coder goes on then; it is time to begin anew.
    pub(crate) fn is_full(&self) -> bool {
        self.size.kept > self.room
    }

    /// The number of a chunk's row, if it was in a frame.
    ///
    /// # Errors
    /// If an attribute is unparsed, and no JSON.
    pub(crate) fn known<R: Row>(&mut self, chunk: &R) -> Result<Option<u32>, InputError> {
        self.read(chunk)?;
        Ok(self.rows.known(&self.row))
    }

    /// Codes the first of `chunks`, and writes a frame of the rows that are new. Of some chunks it takes at least one.
    ///
    /// # Errors
    /// If an attribute is unparsed, and no JSON.
    pub(crate) fn code<R: Row>(&mut self, chunks: &[R]) -> Result<Part<'_>, InputError> {
        let (before, limit) = (self.size.kept, MAX_NEWS.min(self.room));
        self.size.passing = 0;
        self.numbers.clear();
        self.rows.make_room();
        let first = self.rows.len();
        for chunk in chunks.iter().take(MAX_ROWS) {
            self.read(chunk)?;
            let (number, is_new) = self.rows.number(&self.row);
            self.numbers.push(number);
            if is_new {
                let mut cells = self.row.as_slice();
                self.columns.iter_mut().for_each(|column| column.push(&mut cells));
            }
            if self.size.kept - before + self.size.passing > limit {
                break;
            }
        }
        self.frame.bytes.clear();
        let rows = self.rows.len() - first;
        if rows > 0 {
            self.frame.size(rows);
            self.columns.iter_mut().for_each(|column| column.finish(&mut self.frame));
        }
        Ok(Part { numbers: &self.numbers, first, rows, frame: &self.frame.bytes })
    }

    /// Reads the cells of a chunk.
    fn read<R: Row>(&mut self, chunk: &R) -> Result<(), InputError> {
        self.row.clear();
        self.columns.iter_mut().try_for_each(|column| column.read(chunk, &mut self.row, &mut self.size))
    }
}
