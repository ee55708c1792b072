//! Chunks as frames: columns of codes, as `wit/FRAME.md` defines them. Nothing here knows WebAssembly.

mod column;
mod dictionary;
mod key;
mod layout;
#[cfg(test)]
mod tests;
mod value;

use std::borrow::Borrow;

use tamis_contract::frame::Writer;
use tamis_core::Chunk;

use column::{Cells, Size};
pub(crate) use layout::{Column, columns};
pub(crate) use value::RequestBytes;

/// Chunks in one frame at most. A call costs as much as coding some ten chunks, so more in one frame save nothing; with 4096 the
/// chunks outgrow the processor's cache between coding and deciding, and each took a tenth longer. The deadline is checked about
/// once in a millisecond.
const MAX_ROWS: usize = 1024;

/// A frame ends after the chunk with which its new entries take up more than this, so that what is in a policy's memory twice
/// while it reads a frame stays small.
const MAX_NEWS: usize = 256 << 10;

/// Writes chunks as frames for one instance of a policy, which remembers the dictionaries as this does.
#[derive(Debug)]
pub(crate) struct Coder {
    columns: Vec<Cells>,
    /// How much of the policy's memory the dictionaries may take up.
    room: usize,
    size: Size,
    frame: Writer,
}

impl Coder {
    /// A coder whose dictionaries are empty, and may take up about so many bytes of the policy's memory.
    pub(crate) fn new(columns: &[Column], room: usize) -> Self {
        Self {
            columns: columns.iter().map(Cells::new).collect(),
            room,
            size: Size::default(),
            frame: Writer::default(),
        }
    }

    /// Whether the dictionaries take up all their room. A coder goes on then; it is time to begin anew.
    pub(crate) fn is_full(&self) -> bool {
        self.size.kept > self.room
    }

    /// Writes a frame of the first of `chunks`: how many, and the frame. Of some chunks it takes at least one.
    pub(crate) fn frame<C: Borrow<Chunk>>(&mut self, chunks: &[C]) -> (usize, &[u8]) {
        let (before, limit) = (self.size.kept, MAX_NEWS.min(self.room));
        self.size.passing = 0;
        let mut rows = 0;
        for chunk in chunks.iter().take(MAX_ROWS) {
            for column in &mut self.columns {
                column.push(chunk.borrow(), &mut self.size);
            }
            rows += 1;
            if self.size.kept - before + self.size.passing > limit {
                break;
            }
        }
        self.frame.bytes.clear();
        self.frame.size(rows);
        for column in &mut self.columns {
            column.finish(&mut self.frame);
        }
        (rows, &self.frame.bytes)
    }
}
