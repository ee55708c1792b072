//! Chunks that are coded once and decided on for many requests.

use std::sync::Arc;

use tamis_core::{InputError, Row};

use crate::frame::{Coder, Column, Part};
use crate::policy::Digest;

/// Chunks in the form in which one policy reads them. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Coded(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    digest: Digest,
    /// Each for an instance of its own: more values do not fit in one.
    parts: Vec<Vec<Frame>>,
    chunks: usize,
}

/// Some of the chunks.
#[derive(Debug)]
pub(crate) struct Frame {
    /// For each chunk the number of its row, counted through the part.
    pub(crate) numbers: Vec<u32>,
    /// The number of the first row in the frame.
    pub(crate) first: usize,
    /// How many rows are new: with none, there is no frame.
    pub(crate) rows: usize,
    /// The frame of those.
    pub(crate) bytes: Vec<u8>,
}

impl Coded {
    pub(crate) fn new(
        digest: Digest,
        columns: &[Column],
        room: usize,
        chunks: &[impl Row],
    ) -> Result<Self, InputError> {
        let (mut parts, mut rest) = (Vec::new(), chunks);
        while !rest.is_empty() {
            let (mut coder, mut frames) = (Coder::new(columns, room), Vec::new());
            while !rest.is_empty() && !coder.is_full() {
                let Part { numbers, first, rows, frame } = coder.code(rest)?;
                rest = rest.get(numbers.len()..).unwrap_or_default();
                frames.push(Frame { numbers: numbers.to_vec(), first, rows, bytes: frame.to_vec() });
            }
            parts.push(frames);
        }
        Ok(Self(Arc::new(Inner { digest, parts, chunks: chunks.len() })))
    }

    /// How many chunks these are.
    pub fn len(&self) -> usize {
        self.0.chunks
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.chunks == 0
    }

    /// The digest of the policy that they were coded for.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    pub(crate) fn parts(&self) -> usize {
        self.0.parts.len()
    }

    pub(crate) fn frames(&self, part: usize) -> &[Frame] {
        self.0.parts.get(part).map_or(&[], Vec::as_slice)
    }

    /// Whether both are the same chunks, coded at the same time.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
