//! Frames: batches of chunks as columns of codes, as `FRAME.md` defines them.
//!
//! [`read`] is for policies, [`Writer`] for hosts.

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use bumpalo::Bump;

use crate::extension::IpNetwork;
use crate::value::{Field, Uid, Value, record_of};

/// Values inside values nest at most this deep, as JSON does in hosts.
const MAX_DEPTH: usize = 130;

/// The first byte of every value.
pub mod tag {
    /// False; nothing follows.
    pub const FALSE: u8 = 0;
    /// True; nothing follows.
    pub const TRUE: u8 = 1;
    /// A whole number: 8 bytes.
    pub const LONG: u8 = 2;
    /// A text.
    pub const TEXT: u8 = 3;
    /// An entity: its type and its id, two texts.
    pub const ENTITY: u8 = 4;
    /// A decimal in ten-thousandths: 8 bytes.
    pub const DECIMAL: u8 = 5;
    /// A point in time in milliseconds since 1970: 8 bytes.
    pub const DATETIME: u8 = 6;
    /// A span of time in milliseconds: 8 bytes.
    pub const DURATION: u8 = 7;
    /// An IPv4 network: 4 bytes and the prefix length.
    pub const IPV4: u8 = 8;
    /// An IPv6 network: 16 bytes and the prefix length.
    pub const IPV6: u8 = 9;
    /// A set: the number of elements, then the elements.
    pub const SET: u8 = 10;
    /// A record: the number of fields, then for each its name, a text, and its value.
    pub const RECORD: u8 = 11;
    /// Something unreadable: a text that says why.
    pub const ILL_TYPED: u8 = 12;
}

/// What a cell of a column of longs holds.
pub mod state {
    /// Nothing: the attribute is absent.
    pub const ABSENT: u8 = 0;
    /// The number beside it.
    pub const PRESENT: u8 = 1;
    /// Something unreadable.
    pub const ILL_TYPED: u8 = 2;
}

/// The code of a cell whose attribute is absent. Code n is entry n - 1 of the column's dictionary.
pub const ABSENT: u32 = 0;

/// How the cells of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// New entries of the column's dictionary, then one code for each row.
    Codes,
    /// One state and one number for each row.
    Longs,
    /// One text for each row.
    Texts,
}

/// Bytes that are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameError;

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the bytes are not a frame")
    }
}

impl core::error::Error for FrameError {}

/// One column of a frame.
#[derive(Debug)]
pub enum Column<'a> {
    /// Codes into a dictionary that grows from frame to frame.
    Codes {
        /// How many entries earlier frames held.
        first: usize,
        /// How many entries follow those.
        count: usize,
        /// Where those begin.
        entries: Reader<'a>,
        /// One for each row, little-endian.
        codes: &'a [[u8; 4]],
    },
    /// Numbers.
    Longs {
        /// One for each row: see [`state`].
        states: &'a [u8],
        /// One for each row, little-endian.
        numbers: &'a [[u8; 8]],
    },
    /// Texts.
    Texts {
        /// Where the text of each row ends in `bytes`, little-endian.
        ends: &'a [[u8; 4]],
        /// All texts, one after the other.
        bytes: &'a [u8],
    },
}

impl<'a> Column<'a> {
    /// The text of a row of a column of texts.
    pub fn text(&self, row: usize) -> Option<&'a str> {
        let Self::Texts { ends, bytes } = self else { return None };
        let end = u32::from_le_bytes(*ends.get(row)?) as usize;
        let start = match row.checked_sub(1) {
            Some(before) => u32::from_le_bytes(*ends.get(before)?) as usize,
            None => 0,
        };
        core::str::from_utf8(bytes.get(start..end)?).ok()
    }
}

/// Reads a frame with columns of these `forms`: the number of rows, and the columns.
///
/// # Errors
/// If the bytes are not exactly such a frame.
pub fn read<'a>(bytes: &'a [u8], forms: &[Form]) -> Result<(usize, Vec<Column<'a>>), FrameError> {
    let mut reader = Reader::new(bytes);
    let rows = reader.size()?;
    let mut columns = Vec::with_capacity(forms.len());
    for form in forms {
        columns.push(reader.column(*form, rows)?);
    }
    if reader.rest.is_empty() { Ok((rows, columns)) } else { Err(FrameError) }
}

/// Reads numbers, texts and values from the front of bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the front of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Skips these bytes, if they are next.
    pub fn skip(&mut self, bytes: &[u8]) -> bool {
        let rest = self.rest.strip_prefix(bytes);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// How many bytes are left.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// So many bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn take(&mut self, size: usize) -> Result<&'a [u8], FrameError> {
        let (taken, rest) = self.rest.split_at_checked(size).ok_or(FrameError)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(FrameError)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// So many arrays of bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn arrays<const N: usize>(&mut self, count: usize) -> Result<&'a [[u8; N]], FrameError> {
        let bytes = self.take(count.checked_mul(N).ok_or(FrameError)?)?;
        Ok(bytes.as_chunks().0)
    }

    /// One byte.
    ///
    /// # Errors
    /// If nothing is left.
    pub fn byte(&mut self) -> Result<u8, FrameError> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A number of four bytes that counts something.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn size(&mut self) -> Result<usize, FrameError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    /// A signed number of eight bytes.
    ///
    /// # Errors
    /// If fewer are left.
    pub fn number(&mut self) -> Result<i64, FrameError> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A text: its size, then its bytes.
    ///
    /// # Errors
    /// If fewer bytes are left, or they are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, FrameError> {
        let size = self.size()?;
        core::str::from_utf8(self.take(size)?).map_err(|_| FrameError)
    }

    /// The type and the id of an entity.
    ///
    /// # Errors
    /// If the bytes are not both.
    pub fn uid(&mut self) -> Result<Uid<'a>, FrameError> {
        Ok(Uid { entity_type: self.text()?, id: self.text()? })
    }

    /// Several such: a set of entities.
    ///
    /// # Errors
    /// If the bytes are not that.
    pub fn uids(&mut self, arena: &'a Bump) -> Result<&'a [Value<'a>], FrameError> {
        let uids = self.slots(arena)?;
        for uid in uids.iter_mut() {
            *uid = Value::entity(arena, self.uid()?);
        }
        match Value::set_of(uids) {
            Value::Set(uids) => Ok(uids),
            _ => Err(FrameError),
        }
    }

    /// Room for the values that follow their number.
    fn slots(&mut self, arena: &'a Bump) -> Result<&'a mut [Value<'a>], FrameError> {
        let count = self.count()?;
        Ok(arena.alloc_slice_fill_copy(count, Value::Bool(false)))
    }

    /// How many items follow. Each takes a byte or more, so there is never room for more of them than of bytes.
    fn count(&mut self) -> Result<usize, FrameError> {
        let count = self.size()?;
        if count > self.rest.len() { Err(FrameError) } else { Ok(count) }
    }

    /// The same bytes in an arena, which may outlive these.
    pub fn copied<'b>(&self, arena: &'b Bump) -> Reader<'b> {
        Reader::new(arena.alloc_slice_copy(self.rest))
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A value. Its texts stay where they are; the rest goes into the arena.
    ///
    /// # Errors
    /// If the bytes are not one.
    pub fn value(&mut self, arena: &'a Bump) -> Result<Value<'a>, FrameError> {
        self.nested(arena, 0)
    }

    /// Named values.
    ///
    /// # Errors
    /// If the bytes are not that.
    pub fn fields(&mut self, arena: &'a Bump) -> Result<&'a [Field<'a>], FrameError> {
        self.nested_fields(arena, 0)
    }

    fn nested_fields(&mut self, arena: &'a Bump, depth: usize) -> Result<&'a [Field<'a>], FrameError> {
        let count = self.count()?;
        let fields = arena.alloc_slice_fill_copy(count, ("", Value::Bool(false)));
        for field in fields.iter_mut() {
            *field = (self.text()?, self.nested(arena, depth + 1)?);
        }
        Ok(record_of(fields))
    }

    fn nested(&mut self, arena: &'a Bump, depth: usize) -> Result<Value<'a>, FrameError> {
        if depth > MAX_DEPTH {
            return Err(FrameError);
        }
        Ok(match self.byte()? {
            tag::FALSE => Value::Bool(false),
            tag::TRUE => Value::Bool(true),
            tag::LONG => Value::Long(self.number()?),
            tag::TEXT => Value::Text(self.text()?),
            tag::ENTITY => Value::entity(arena, self.uid()?),
            tag::DECIMAL => Value::Decimal(self.number()?),
            tag::DATETIME => Value::Datetime(self.number()?),
            tag::DURATION => Value::Duration(self.number()?),
            tag::IPV4 => self.network(arena, 4)?,
            tag::IPV6 => self.network(arena, 16)?,
            tag::SET => {
                let elements = self.slots(arena)?;
                for element in elements.iter_mut() {
                    *element = self.nested(arena, depth + 1)?;
                }
                Value::set_of(elements)
            }
            tag::RECORD => Value::Record(self.nested_fields(arena, depth)?),
            tag::ILL_TYPED => Value::IllTyped(self.text()?),
            _ => return Err(FrameError),
        })
    }

    fn network(&mut self, arena: &'a Bump, size: usize) -> Result<Value<'a>, FrameError> {
        let address = self.take(size)?;
        let network = IpNetwork::from_octets(address, self.byte()?).ok_or(FrameError)?;
        Ok(Value::Ip(arena.alloc(network)))
    }

    fn column(&mut self, form: Form, rows: usize) -> Result<Column<'a>, FrameError> {
        Ok(match form {
            Form::Codes => {
                let first = self.size()?;
                let count = self.size()?;
                let size = self.size()?;
                let entries = Reader::new(self.take(size)?);
                Column::Codes { first, count, entries, codes: self.arrays(rows)? }
            }
            Form::Longs => Column::Longs { states: self.take(rows)?, numbers: self.arrays(rows)? },
            Form::Texts => {
                let ends: &[[u8; 4]] = self.arrays(rows)?;
                let size = ends.last().map_or(0, |end| u32::from_le_bytes(*end) as usize);
                Column::Texts { ends, bytes: self.take(size)? }
            }
        })
    }
}

/// Writes numbers, texts and values at the end of bytes.
///
/// Sizes are written in four bytes; a host that has more than 2³² of anything must split its batch.
#[derive(Clone, Debug, Default)]
pub struct Writer {
    /// What was written.
    pub bytes: Vec<u8>,
}

impl Writer {
    /// A number of four bytes. One that does not fit is written as the largest, which no reader takes for a size.
    #[inline]
    pub fn size(&mut self, size: usize) {
        self.bytes.extend_from_slice(&u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes());
    }

    /// A text.
    pub fn text(&mut self, text: &str) {
        self.size(text.len());
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// A number after its tag.
    pub fn number(&mut self, tag: u8, number: i64) {
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    /// A boolean.
    pub fn boolean(&mut self, value: bool) {
        self.bytes.push(if value { tag::TRUE } else { tag::FALSE });
    }

    /// A text after its tag: [`tag::TEXT`] or [`tag::ILL_TYPED`].
    pub fn tagged_text(&mut self, tag: u8, text: &str) {
        self.bytes.push(tag);
        self.text(text);
    }

    /// An entity.
    pub fn entity(&mut self, entity_type: &str, id: &str) {
        self.bytes.push(tag::ENTITY);
        self.uid(entity_type, id);
    }

    /// An IP network.
    pub fn network(&mut self, network: &IpNetwork) {
        match network.address() {
            IpAddr::V4(address) => {
                self.bytes.push(tag::IPV4);
                self.bytes.extend_from_slice(&address.octets());
            }
            IpAddr::V6(address) => {
                self.bytes.push(tag::IPV6);
                self.bytes.extend_from_slice(&address.octets());
            }
        }
        self.bytes.push(network.prefix());
    }

    /// The head of a set or record, after its tag: the elements or fields must follow.
    #[inline]
    pub fn head(&mut self, tag: u8, count: usize) {
        self.bytes.push(tag);
        self.size(count);
    }

    /// An entity's type and id.
    pub fn uid(&mut self, entity_type: &str, id: &str) {
        self.text(entity_type);
        self.text(id);
    }

    /// A value.
    pub fn value(&mut self, value: &Value<'_>) {
        match value {
            Value::Bool(value) => self.boolean(*value),
            Value::Long(number) => self.number(tag::LONG, *number),
            Value::Text(text) => self.tagged_text(tag::TEXT, text),
            Value::Entity(uid) => self.entity(uid.entity_type, uid.id),
            Value::Decimal(number) => self.number(tag::DECIMAL, *number),
            Value::Datetime(number) => self.number(tag::DATETIME, *number),
            Value::Duration(number) => self.number(tag::DURATION, *number),
            Value::Ip(network) => self.network(network),
            Value::Set(elements) => {
                self.head(tag::SET, elements.len());
                elements.iter().for_each(|element| self.value(element));
            }
            Value::Record(fields) => {
                self.head(tag::RECORD, fields.len());
                for (name, value) in fields.iter() {
                    self.text(name);
                    self.value(value);
                }
            }
            Value::IllTyped(reason) => self.tagged_text(tag::ILL_TYPED, reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use super::*;

    #[test]
    fn values_read_back_as_written() {
        let arena = Bump::new();
        let ip = |text: &str| Value::Ip(arena.alloc(text.parse().unwrap()));
        for value in [
            Value::Bool(false),
            Value::Bool(true),
            Value::Long(i64::MIN),
            Value::Text("é\0"),
            Value::entity(&arena, Uid { entity_type: "A::B", id: "" }),
            Value::Decimal(-1),
            Value::Datetime(i64::MAX),
            Value::Duration(0),
            ip("10.0.0.0/8"),
            ip("fe80::1"),
            Value::set(&arena, vec![Value::Long(1), Value::set(&arena, vec![])]),
            Value::record(&arena, vec![("a", Value::Long(1)), ("", Value::IllTyped("x"))]),
            Value::IllTyped("why"),
        ] {
            let mut writer = Writer::default();
            writer.value(&value);
            let mut reader = Reader::new(arena.alloc_slice_copy(&writer.bytes));
            assert_eq!(reader.value(&arena), Ok(value));
            assert!(reader.is_empty());
        }
    }

    /// One column of each form, three rows.
    fn frame() -> Vec<u8> {
        let mut writer = Writer::default();
        writer.size(3);
        writer.size(5);
        writer.size(2);
        let mut entries = Writer::default();
        entries.value(&Value::Text("a"));
        entries.value(&Value::Long(7));
        writer.size(entries.bytes.len());
        writer.bytes.extend_from_slice(&entries.bytes);
        [6, 0, 7].into_iter().for_each(|code| writer.size(code));
        writer.bytes.extend_from_slice(&[state::PRESENT, state::ABSENT, state::ILL_TYPED]);
        [-1_i64, 0, 0].into_iter().for_each(|n| writer.bytes.extend_from_slice(&n.to_le_bytes()));
        [1, 1, 3].into_iter().for_each(|end| writer.size(end));
        writer.bytes.extend_from_slice("xyz".as_bytes());
        writer.bytes
    }

    const FORMS: [Form; 3] = [Form::Codes, Form::Longs, Form::Texts];

    #[test]
    fn a_frame_reads_back_as_written() {
        let bytes = frame();
        let (rows, columns) = read(&bytes, &FORMS).unwrap();
        assert_eq!(rows, 3);
        let [Column::Codes { first, count, entries, codes }, Column::Longs { states, numbers }, texts] =
            &columns[..]
        else {
            panic!("{columns:?}");
        };
        assert_eq!((*first, *count), (5, 2));
        let arena = Bump::new();
        let mut entries = entries.clone();
        assert_eq!(entries.value(&arena), Ok(Value::Text("a")));
        assert_eq!(entries.value(&arena), Ok(Value::Long(7)));
        assert!(entries.is_empty());
        assert_eq!(codes.iter().map(|code| u32::from_le_bytes(*code)).collect::<Vec<_>>(), [6, 0, 7]);
        assert_eq!(states, &[1, 0, 2]);
        assert_eq!(i64::from_le_bytes(numbers[0]), -1);
        assert_eq!([0, 1, 2, 3].map(|row| texts.text(row)), [Some("x"), Some(""), Some("yz"), None]);
    }

    #[test]
    fn what_is_not_exactly_a_frame_is_refused() {
        let bytes = frame();
        for end in 0..bytes.len() {
            assert!(read(&bytes[..end], &FORMS).is_err(), "cut at {end}");
        }
        let longer = [&bytes[..], &[0]].concat();
        assert!(read(&longer, &FORMS).is_err());
        assert!(read(&bytes, &FORMS[..2]).is_err());
    }

    #[test]
    fn uids_read_in_ascending_order_whatever_order_they_are_written_in() {
        let mut writer = Writer::default();
        writer.size(3);
        for (entity_type, id) in [("B", "a"), ("A", "b"), ("A", "a")] {
            writer.uid(entity_type, id);
        }
        let mut reader = Reader::new(&writer.bytes);
        let arena = Bump::new();
        let expected = [("A", "a"), ("A", "b"), ("B", "a")];
        let expected = expected.map(|(entity_type, id)| Value::entity(&arena, Uid { entity_type, id }));
        assert_eq!(reader.uids(&arena).unwrap(), expected);
        assert!(reader.is_empty());
        assert!(Reader::new(&writer.bytes[..writer.bytes.len() - 1]).uids(&arena).is_err());
    }

    #[test]
    fn fields_read_back_as_written() {
        let arena = Bump::new();
        let mut writer = Writer::default();
        writer.size(2);
        writer.text("b");
        writer.value(&Value::Long(1));
        writer.text("a");
        writer.value(&Value::Text("x"));
        let mut reader = Reader::new(&writer.bytes);
        let copy = reader.copied(&arena);
        for reader in [&mut reader, &mut copy.clone()] {
            assert!(!reader.is_empty());
            let fields = reader.fields(&arena).unwrap();
            assert_eq!(fields, [("a", Value::Text("x")), ("b", Value::Long(1))]);
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn nesting_is_limited() {
        let set: &[u8] = &[tag::SET, 1, 0, 0, 0];
        let record: &[u8] = &[tag::RECORD, 1, 0, 0, 0, 0, 0, 0, 0];
        let nested = |head: &[u8], levels: usize| [&head.repeat(levels)[..], &[tag::TRUE]].concat();
        let arena = Bump::new();
        for head in [set, record] {
            let read = |levels: usize| {
                let bytes: &[u8] = arena.alloc_slice_copy(&nested(head, levels));
                Reader::new(bytes).value(&arena).is_ok()
            };
            assert!(read(MAX_DEPTH));
            assert!(!read(MAX_DEPTH + 1));
            assert!(!read(100_000));
        }
    }
}
