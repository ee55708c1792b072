//! The distinct rows that chunks were coded as. A policy sees nothing else of a chunk, so it is asked about each of them once.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// So many rows are remembered, of so many bytes; when there are more, all are forgotten.
const MAX_KNOWN: usize = 1 << 16;
const MAX_BYTES: usize = 4 << 20;

/// Numbers of rows, counted from 0.
#[derive(Debug)]
pub(super) struct Rows {
    /// How many bytes a row has; without, no two rows are taken to be equal.
    width: Option<usize>,
    /// The rows, one after the other.
    bytes: Vec<u8>,
    numbers: HashTable<u32>,
    hasher: DefaultHashBuilder,
    count: usize,
}

impl Rows {
    /// No rows yet, and how many bytes each will have. Without that number, all rows differ.
    pub(super) fn new(width: Option<usize>) -> Self {
        let (bytes, numbers, hasher) = (Vec::new(), HashTable::new(), DefaultHashBuilder::default());
        Self { width, bytes, numbers, hasher, count: 0 }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Forgets all rows if there are many, or if none will ever come again.
    pub(super) fn make_room(&mut self) {
        if self.width.is_none() || self.count >= MAX_KNOWN || self.bytes.len() >= MAX_BYTES {
            self.bytes.clear();
            self.numbers.clear();
            self.count = 0;
        }
    }

    /// The number of a row that there was before.
    pub(super) fn known(&self, row: &[u8]) -> Option<u32> {
        let width = self.width?;
        let hash = self.hasher.hash_one(row);
        self.numbers.find(hash, |number| at(&self.bytes, width, *number) == row).copied()
    }

    /// The number of a row, and whether it is new.
    pub(super) fn number(&mut self, row: &[u8]) -> (u32, bool) {
        // A frame has few rows beyond `MAX_KNOWN`, so all numbers fit.
        let next = u32::try_from(self.count).unwrap_or(u32::MAX);
        if let Some(width) = self.width {
            let Self { bytes, numbers, hasher, .. } = self;
            let hash = hasher.hash_one(row);
            if let Some(number) = numbers.find(hash, |number| at(bytes, width, *number) == row) {
                return (*number, false);
            }
            bytes.extend_from_slice(row);
            numbers.insert_unique(hash, next, |number| hasher.hash_one(at(bytes, width, *number)));
        }
        self.count += 1;
        (next, true)
    }
}

fn at(bytes: &[u8], width: usize, number: u32) -> &[u8] {
    let start = number as usize * width;
    bytes.get(start..start + width).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_have_one_number() {
        let mut rows = Rows::new(Some(2));
        assert_eq!(rows.number(b"ab"), (0, true));
        assert_eq!(rows.number(b"ac"), (1, true));
        assert_eq!(rows.number(b"ab"), (0, false));
        assert_eq!(rows.number(b"bb"), (2, true));
        assert_eq!([b"ac", b"bb", b"xx"].map(|row| rows.known(row)), [Some(1), Some(2), None]);
        assert_eq!(rows.len(), 3);
        for number in 0..MAX_KNOWN {
            let row = u16::try_from(number).unwrap().to_be_bytes();
            let known = rows.known(&row);
            assert_eq!(known.is_some(), !rows.number(&row).1);
        }
        assert_eq!(rows.len(), MAX_KNOWN);
        rows.make_room();
        assert_eq!((rows.len(), rows.known(b"ab")), (0, None));
        assert_eq!(rows.number(b"ab"), (0, true));
    }

    #[test]
    fn wide_rows_are_forgotten_sooner() {
        let mut rows = Rows::new(Some(MAX_BYTES / 2));
        let row = |byte| vec![byte; MAX_BYTES / 2];
        assert_eq!(rows.number(&row(1)), (0, true));
        rows.make_room();
        assert_eq!(rows.number(&row(2)), (1, true));
        rows.make_room();
        assert_eq!((rows.len(), rows.known(&row(2))), (0, None));
    }

    #[test]
    fn rows_of_no_bytes_are_equal() {
        let mut rows = Rows::new(Some(0));
        assert_eq!([rows.number(b""), rows.number(b"")], [(0, true), (0, false)]);
    }

    #[test]
    fn rows_of_any_size_are_all_new() {
        let mut rows = Rows::new(None);
        assert_eq!([rows.number(b"a"), rows.number(b"a")], [(0, true), (1, true)]);
        assert_eq!(rows.known(b"a"), None);
        rows.make_room();
        assert_eq!(rows.len(), 0);
    }
}
