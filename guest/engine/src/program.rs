//! The compiled form of a policy set: what the compiler writes and the engine reads in place.
//!
//! A program is one block of little-endian numbers of four bytes, with texts and values behind them. It starts with [`MAGIC`] and the
//! offset and size of each section; see [`Section`]. Nothing is unpacked before it is used, so that an instance of a policy set with
//! ten thousand rules starts as fast as one with ten.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::frame::{Form, Reader, tag};
use tamis_contract::value::{Uid, Value, place};

use crate::fault::Fault;
pub use crate::op::Op;
use crate::op::codes;

/// The first number of a program: its form, with a version.
pub const MAGIC: u32 = u32::from_le_bytes(*b"TPR1");

/// The parts of a program, in the order in which the head lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// Texts and encoded values.
    Bytes,
    /// Texts: offset and size in `Bytes`.
    Texts,
    /// Constant values: offset and size in `Bytes`.
    Constants,
    /// Numbers that other sections point into, each list with start and length.
    Lists,
    /// Expressions: see [`Node`].
    Nodes,
    /// Rules: see [`Rule`].
    Rules,
    /// Which rules to look at: see [`KeyKind`].
    Keys,
    /// Actions of the schema with their groups: type and id, two texts, then start and length of a list of such pairs.
    Actions,
    /// What chunks are asked for: see [`ColumnInfo`].
    Columns,
    /// Types that values are to be converted to: see [`crate::coerce`].
    Types,
    /// Which of those an entity type or an action's context has: see [`crate::coerce`].
    Shapes,
    /// What `describe` answers.
    Manifest,
    /// Which nodes read a field of a record that an attribute is declared as: see [`Program::path`].
    Paths,
}

/// How many sections there are.
pub const SECTIONS: usize = 13;

/// What a node reads, so that what does not change from chunk to chunk is evaluated once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Binding {
    /// Nothing of the chunk.
    Request,
    /// One column and no more of the chunk.
    Column(u16),
    /// More than that.
    Chunk,
}

impl Binding {
    const REQUEST: u16 = 0;
    const CHUNK: u16 = 1;
    const FIRST: u16 = 2;

    /// What is read by a node that reads both.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Request, binding) | (binding, Self::Request) => binding,
            (a, b) if a == b => a,
            _ => Self::Chunk,
        }
    }

    fn code(self) -> u16 {
        match self {
            Self::Request => Self::REQUEST,
            Self::Chunk => Self::CHUNK,
            Self::Column(column) => column.saturating_add(Self::FIRST),
        }
    }

    fn from_code(code: u16) -> Self {
        match code {
            Self::REQUEST => Self::Request,
            Self::CHUNK => Self::Chunk,
            code => Self::Column(code - Self::FIRST),
        }
    }
}

/// One expression. Its operands are nodes before it, or texts, constants, columns and lists, as [`Op`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node {
    /// What it does.
    pub op: Op,
    /// What it reads.
    pub binding: Binding,
    /// First operand.
    pub a: u32,
    /// Second operand.
    pub b: u32,
    /// Third operand.
    pub c: u32,
}

/// Numbers in a node, rule, key, action and column.
pub mod width {
    /// Operation and binding, then three operands.
    pub const NODE: usize = 4;
    /// Id, flags, condition, then start and length of the list of redactions.
    pub const RULE: usize = 5;
    /// Kind, type, id, then start and length of the list of rules.
    pub const KEY: usize = 5;
    /// Type, id, then start and length of the list of groups.
    pub const ACTION: usize = 4;
    /// Source, form, name, attribute of the footprint, whether a schema converts it, declared type.
    pub const COLUMN: usize = 6;
    /// Node, the first node with the same path, declared type.
    pub const PATH: usize = 3;
}

impl Node {
    /// The four numbers of a node.
    pub fn encode(&self) -> [u32; width::NODE] {
        [u32::from(self.op as u8) | u32::from(self.binding.code()) << 16, self.a, self.b, self.c]
    }
}

/// Bits of a rule's flags.
pub mod flag {
    /// It forbids; without, it permits.
    pub const FORBID: u32 = 1;
    /// What it permits is redacted.
    pub const REDACTS: u32 = 2;
    /// The chunk's text is redacted too.
    pub const REDACTS_TEXT: u32 = 4;
}

/// One rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its id, a text.
    pub id: u32,
    /// See [`flag`].
    pub flags: u32,
    /// Its condition, a node: scope and clauses.
    pub condition: u32,
    /// A list of paths to redact, each with its length in front of the texts.
    pub redactions: List,
}

/// A part of the section of lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Where it starts.
    pub start: u32,
    /// How many numbers it has.
    pub length: u32,
}

codes! {
    /// What a rule's scope demands, so that rules that cannot apply are never looked at. Keys are sorted by kind, then type,
    /// then id; each has a list of rules in ascending order.
    KeyKind {
        /// Nothing: the rules are always looked at. Type and id are empty.
        Always = 0,
        /// The principal is this entity or below it.
        Principal = 1,
        /// The action is this entity or below it.
        Action = 2,
    }
}

codes! {
    /// What a column holds.
    Source {
        /// An attribute, by its name.
        Attribute = 0,
        /// The chunk's entity type, a text.
        EntityType = 1,
        /// The chunk's id, a text.
        Id = 2,
        /// The chunk's ancestors, a set of entities.
        Ancestors = 3,
        /// The chunk's tags, a record.
        Tags = 4,
    }
}

/// What chunks are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Where it comes from.
    pub source: Source,
    /// How a frame holds it.
    pub form: ColumnForm,
    /// The name of an attribute, a text.
    pub name: u32,
    /// Which attribute of the manifest's footprint it is.
    pub attribute: u32,
    /// Whether its type depends on the chunk's: see [`crate::coerce`].
    pub converted: bool,
    /// The type that the manifest declares, a text; empty if it declares none.
    pub declared: u32,
}

codes! {
    /// How a frame holds a column, and what its numbers are.
    ColumnForm {
        /// Codes of values of any type.
        Codes = 0,
        /// Longs.
        Longs = 1,
        /// Decimals in ten-thousandths.
        Decimals = 2,
        /// Datetimes in milliseconds.
        Datetimes = 3,
        /// Durations in milliseconds.
        Durations = 4,
        /// Texts.
        Texts = 5,
    }
}

impl ColumnForm {
    /// How a frame holds it.
    pub fn form(self) -> Form {
        match self {
            Self::Codes => Form::Codes,
            Self::Texts => Form::Texts,
            Self::Longs | Self::Decimals | Self::Datetimes | Self::Durations => Form::Longs,
        }
    }

    /// The value that a number of this column is.
    pub fn value<'a>(self, number: i64) -> Value<'a> {
        match self {
            Self::Decimals => Value::Decimal(number),
            Self::Datetimes => Value::Datetime(number),
            Self::Durations => Value::Duration(number),
            Self::Codes | Self::Texts | Self::Longs => Value::Long(number),
        }
    }

    /// The number of a value of this column's type.
    pub fn number(self, value: &Value<'_>) -> Option<i64> {
        match (self, value) {
            (Self::Longs, Value::Long(number))
            | (Self::Decimals, Value::Decimal(number))
            | (Self::Datetimes, Value::Datetime(number))
            | (Self::Durations, Value::Duration(number)) => Some(*number),
            _ => None,
        }
    }
}

/// A program, read in place.
///
/// It was checked when it was linked, and nobody else writes there: what is not where it should be ends the call, for the host a trap.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    bytes: &'a [u8],
    /// What is read most: nodes, where texts are, and these.
    nodes: &'a [[u8; 4 * width::NODE]],
    texts: &'a [[u8; 8]],
    content: &'a [u8],
}

impl<'a> Program<'a> {
    /// The program in `bytes`.
    ///
    /// # Errors
    /// If they do not begin as a program does.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Fault<'a>> {
        if !bytes.starts_with(&MAGIC.to_le_bytes()) {
            return Err(Fault::Program);
        }
        let unread = Self { bytes, nodes: &[], texts: &[], content: &[] };
        let [nodes, texts, content] =
            [Section::Nodes, Section::Texts, Section::Bytes].map(|part| unread.section(part));
        Ok(Self { bytes, nodes: nodes.as_chunks().0, texts: texts.as_chunks().0, content })
    }

    /// The bytes of a section.
    #[inline(never)]
    pub fn section(&self, section: Section) -> &'a [u8] {
        range(self.bytes, words(self.bytes, 1 + 2 * section as usize))
    }

    /// How many records of `width` numbers a section has.
    pub fn count(&self, section: Section, width: usize) -> u32 {
        (self.section(section).len() / 4 / width.max(1)) as u32
    }

    /// Record `index` of a section with records of `N` numbers.
    pub fn record<const N: usize>(&self, section: Section, index: u32) -> [u32; N] {
        words(self.section(section), (index as usize).saturating_mul(N))
    }

    fn slice(&self, section: Section, index: u32) -> &'a [u8] {
        range(self.content, self.record(section, index))
    }

    /// Text `index`.
    #[inline(never)]
    pub fn text(&self, index: u32) -> &'a str {
        let Some(place) = self.texts.get(index as usize) else { damaged() };
        core::str::from_utf8(range(self.content, numbers(place))).unwrap_or_else(|_| damaged())
    }

    /// Constant `index`.
    pub fn constant(&self, arena: &'a Bump, index: u32) -> Value<'a> {
        Reader::new(self.slice(Section::Constants, index)).value(arena).unwrap_or_else(|_| damaged())
    }

    /// How many elements constant `index` has; none unless it is a set.
    pub fn set_size(&self, index: u32) -> u32 {
        match self.slice(Section::Constants, index) {
            [tag::SET, a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]),
            _ => 0,
        }
    }

    /// The numbers of a list.
    pub fn list(&self, list: List) -> Numbers<'a> {
        let place = [list.start.saturating_mul(4), list.length.saturating_mul(4)];
        Numbers { left: range(self.section(Section::Lists), place).as_chunks().0 }
    }

    /// Node `index`.
    #[inline(never)]
    pub fn node(&self, index: u32) -> Node {
        let Some(node) = self.nodes.get(index as usize) else { damaged() };
        let [head, a, b, c] = numbers(node);
        let op = Op::from_code(head as u8).unwrap_or_else(|| damaged());
        Node { op, binding: Binding::from_code((head >> 16) as u16), a, b, c }
    }

    /// Rule `index`.
    pub fn rule(&self, index: u32) -> Rule {
        let [id, flags, condition, start, length] = self.record(Section::Rules, index);
        Rule { id, flags, condition, redactions: List { start, length } }
    }

    /// Column `index`.
    #[inline(never)]
    pub fn column(&self, index: u32) -> ColumnInfo {
        let [source, form, name, attribute, converted, declared] = self.record(Section::Columns, index);
        match (Source::from_code(source as u8), ColumnForm::from_code(form as u8)) {
            (Some(source), Some(form)) => {
                ColumnInfo { source, form, name, attribute, converted: converted != 0, declared }
            }
            _ => damaged(),
        }
    }

    /// All columns.
    pub fn columns(&self) -> Vec<ColumnInfo> {
        let mut columns = Vec::new();
        for index in 0..self.count(Section::Columns, width::COLUMN) {
            columns.push(self.column(index));
        }
        columns
    }

    /// Of a node that reads a field of a record which an attribute of the chunk is declared as, or asks whether it is there: the first
    /// node with the same path, and the declared type of the field, a text that is empty where there is none.
    pub fn path(&self, node: u32) -> Option<(u32, u32)> {
        let path = |index: u32| -> [u32; width::PATH] { self.record(Section::Paths, index) };
        let count = self.count(Section::Paths, width::PATH);
        let at = place(count as usize, &|index| path(index as u32)[0] < node) as u32;
        if at < count
            && let [found, first, declared] = path(at)
            && found == node
        {
            return Some((first, declared));
        }
        None
    }

    /// The entity whose type and id are these texts.
    #[inline(never)]
    pub fn uid(&self, entity_type: u32, id: u32) -> Uid<'a> {
        Uid { entity_type: self.text(entity_type), id: self.text(id) }
    }

    /// The groups that the schema puts an action into: pairs of texts, type and id.
    pub fn action_groups(&self, action: &Uid<'_>) -> Numbers<'a> {
        for index in 0..self.count(Section::Actions, width::ACTION) {
            let [entity_type, id, start, length] = self.record(Section::Actions, index);
            if self.uid(entity_type, id) == *action {
                return self.list(List { start, length });
            }
        }
        Numbers { left: &[] }
    }

    /// Marks the rules that a key of this kind and entity leads to.
    #[inline(never)]
    pub fn mark_rules(&self, kind: KeyKind, uid: &Uid<'_>, marks: &mut [u8]) {
        let wanted = u32::from(kind as u8);
        let order = |index: u32| {
            let [kind, entity_type, id, ..]: [u32; width::KEY] = self.record(Section::Keys, index);
            kind.cmp(&wanted).then_with(|| self.uid(entity_type, id).cmp(uid))
        };
        let count = self.count(Section::Keys, width::KEY);
        let at = place(count as usize, &|index| order(index as u32).is_lt()) as u32;
        if at < count && order(at).is_eq() {
            let [_, _, _, start, length]: [u32; width::KEY] = self.record(Section::Keys, at);
            for rule in self.list(List { start, length }) {
                if let Some(mark) = marks.get_mut(rule as usize) {
                    *mark = 1;
                }
            }
        }
    }
}

/// The numbers of a list of a program.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    left: &'a [[u8; 4]],
}

impl ExactSizeIterator for Numbers<'_> {}

impl Iterator for Numbers<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (number, left) = self.left.split_first()?;
        self.left = left;
        Some(u32::from_le_bytes(*number))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left.len(), Some(self.left.len()))
    }
}

/// The numbers from number `start` of some bytes.
#[inline]
fn words<const N: usize>(bytes: &[u8], start: usize) -> [u32; N] {
    match bytes.as_chunks().0.get(start..).and_then(|words| words.first_chunk()) {
        Some(words) => words.map(u32::from_le_bytes),
        None => damaged(),
    }
}

/// The numbers that some bytes are.
#[inline]
fn numbers<const B: usize, const N: usize>(bytes: &[u8; B]) -> [u32; N] {
    words(bytes, 0)
}

/// The bytes at an offset and with a size.
fn range(bytes: &[u8], [offset, size]: [u32; 2]) -> &[u8] {
    let start = offset as usize;
    bytes.get(start..start.saturating_add(size as usize)).unwrap_or_else(|| damaged())
}

/// Ends the call over something that cannot be: bytes of a program that the compiler did not write, or of a frame that is none.
///
/// In a policy the host takes it for a trap, and denies. Going on, without a rule that forbids perhaps, would not be safe.
#[cold]
#[inline(never)]
#[allow(clippy::panic, reason = "the compiler and the tests run what they just made")]
pub(crate) fn damaged() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    panic!("the program or the frame is damaged");
}

/// Puts sections together to a program.
pub fn assemble(sections: [&[u8]; SECTIONS]) -> Vec<u8> {
    let head = 4 * (1 + 2 * SECTIONS);
    let mut bytes = MAGIC.to_le_bytes().to_vec();
    let mut offset = head;
    for section in sections {
        for number in [offset, section.len()] {
            bytes.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
        }
        offset += section.len().next_multiple_of(4);
    }
    for section in sections {
        bytes.extend_from_slice(section);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}
