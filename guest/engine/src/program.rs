//! The compiled form of a policy set: what the compiler writes and the engine reads in place.
//!
//! A program is one block of little-endian numbers of four bytes, with texts and values behind them. It starts with [`MAGIC`] and the
//! offset and size of each section; see [`Section`]. Nothing is unpacked before it is used, so that an instance of a policy set with
//! ten thousand rules starts as fast as one with ten.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::frame::{Form, Reader, tag};
use tamis_contract::value::{Uid, Value};

use crate::fault::Fault;

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
    /// Which rules to look at: see [`Key`].
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
}

/// How many sections there are.
pub const SECTIONS: usize = 12;

macro_rules! codes {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $code:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant = $code,)* }

        impl $name {
            /// The variant with this code.
            pub fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    /// What a node does with its operands `a`, `b` and `c`.
    Op {
        /// The constant `a`.
        Constant = 0,
        /// The principal's uid.
        Principal = 1,
        /// The action's uid.
        Action = 2,
        /// The chunk's uid.
        Resource = 3,
        /// The context, a record.
        Context = 4,
        /// Node `a`, then, if it is true, node `b`.
        And = 5,
        /// Node `a`, then, if it is false, node `b`.
        Or = 6,
        /// If node `a` then node `b` else node `c`.
        If = 7,
        /// Node `a` is false.
        Not = 8,
        /// Minus node `a`.
        Negate = 9,
        /// The set `a` has no elements.
        IsEmpty = 10,
        /// Nodes `a` and `b` are the same value.
        Equal = 11,
        /// Node `a` is less than node `b`.
        Less = 12,
        /// Node `a` is less than node `b` or equal to it.
        LessOrEqual = 13,
        /// Node `a` plus node `b`.
        Add = 14,
        /// Node `a` minus node `b`.
        Subtract = 15,
        /// Node `a` times node `b`.
        Multiply = 16,
        /// Entity `a` is entity `b` or below it, or so for one entity of the set `b`. If `c` is 1, `a` may be the chunk.
        In = 17,
        /// The set `a` holds the value `b`.
        Contains = 18,
        /// The set `a` holds all of the set `b`.
        ContainsAll = 19,
        /// The set `a` holds something of the set `b`.
        ContainsAny = 20,
        /// The tag `b` of entity `a`. If `c` is 1, `a` may be the chunk.
        GetTag = 21,
        /// Entity `a` has the tag `b`. If `c` is 1, `a` may be the chunk.
        HasTag = 22,
        /// The attribute with the name, text `b`, of the entity or record `a`. If `c` is 1, `a` may be the chunk.
        Attribute = 23,
        /// Entity or record `a` has the attribute with the name, text `b`. If `c` is 1, `a` may be the chunk.
        Has = 24,
        /// The chunk's attribute in column `a`.
        Column = 25,
        /// The chunk has the attribute in column `a`.
        HasColumn = 26,
        /// Entity `a` is of the type with the name, text `b`.
        Is = 27,
        /// Text `a` matches the pattern, the list from `b` with length `c`.
        Like = 28,
        /// The set of the nodes in the list from `b` with length `c`.
        Set = 29,
        /// The record of pairs of a text and a node in the list from `b` with length `c`.
        Record = 30,
        /// The text `a` as an IP network.
        Ip = 31,
        /// The text `a` as a decimal.
        Decimal = 32,
        /// The text `a` as a datetime.
        Datetime = 33,
        /// The text `a` as a duration.
        Duration = 34,
        /// IP network `a` is IPv4.
        IsIpv4 = 35,
        /// IP network `a` is IPv6.
        IsIpv6 = 36,
        /// IP network `a` is a loopback network.
        IsLoopback = 37,
        /// IP network `a` is a multicast network.
        IsMulticast = 38,
        /// IP network `a` lies in IP network `b`.
        IsInRange = 39,
        /// Decimal `a` is less than decimal `b`.
        DecimalLess = 40,
        /// Decimal `a` is less than decimal `b` or equal to it.
        DecimalLessOrEqual = 41,
        /// Datetime `a` moved by duration `b`.
        Offset = 42,
        /// The duration from datetime `b` to datetime `a`.
        DurationSince = 43,
        /// Midnight of datetime `a`.
        ToDate = 44,
        /// The time of day of datetime `a`, a duration.
        ToTime = 45,
        /// Duration `a` in milliseconds, a number.
        ToMilliseconds = 46,
        /// Duration `a` in whole seconds.
        ToSeconds = 47,
        /// Duration `a` in whole minutes.
        ToMinutes = 48,
        /// Duration `a` in whole hours.
        ToHours = 49,
        /// Duration `a` in whole days.
        ToDays = 50,
        /// The chunk is below entity `a`, or below one entity of the set `a`.
        IsBelow = 51,
        /// The chunk has the type of entity `a`, or of one entity of the set `a`.
        IsOfTypeOf = 52,
        /// The chunk is entity `a`, or one of the set `a`.
        IsOneOf = 53,
    }
}

impl Op {
    /// How many of `a`, `b` and `c` are nodes.
    pub fn operands(self) -> usize {
        match self {
            Self::Constant
            | Self::Principal
            | Self::Action
            | Self::Resource
            | Self::Context
            | Self::Column
            | Self::HasColumn
            | Self::Set
            | Self::Record => 0,
            Self::Not
            | Self::Negate
            | Self::IsEmpty
            | Self::Attribute
            | Self::Has
            | Self::Is
            | Self::Like
            | Self::Ip
            | Self::Decimal
            | Self::Datetime
            | Self::Duration
            | Self::IsIpv4
            | Self::IsIpv6
            | Self::IsLoopback
            | Self::IsMulticast
            | Self::ToDate
            | Self::ToTime
            | Self::ToMilliseconds
            | Self::ToSeconds
            | Self::ToMinutes
            | Self::ToHours
            | Self::ToDays
            | Self::IsBelow
            | Self::IsOfTypeOf
            | Self::IsOneOf => 1,
            Self::If => 3,
            _ => 2,
        }
    }
}

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
    /// Source, form, name, attribute of the footprint, whether a schema converts it.
    pub const COLUMN: usize = 5;
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
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    sections: [&'a [u8]; SECTIONS],
}

impl<'a> Program<'a> {
    /// The program in `bytes`.
    ///
    /// # Errors
    /// If its head is not that of a program.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Fault<'a>> {
        let word = |index: usize| number(bytes, index).ok_or(Fault::Program);
        if word(0)? != MAGIC {
            return Err(Fault::Program);
        }
        let mut sections = [&bytes[..0]; SECTIONS];
        for (index, section) in sections.iter_mut().enumerate() {
            let offset = word(1 + 2 * index)? as usize;
            let size = word(2 + 2 * index)? as usize;
            let end = offset.checked_add(size).ok_or(Fault::Program)?;
            *section = bytes.get(offset..end).ok_or(Fault::Program)?;
        }
        Ok(Self { sections })
    }

    /// The bytes of a section.
    pub fn section(&self, section: Section) -> &'a [u8] {
        self.sections.get(section as usize).copied().unwrap_or_default()
    }

    /// How many records of `width` numbers a section has.
    pub fn count(&self, section: Section, width: usize) -> u32 {
        u32::try_from(self.section(section).len() / 4 / width.max(1)).unwrap_or(u32::MAX)
    }

    /// Record `index` of a section with records of `N` numbers.
    pub fn record<const N: usize>(&self, section: Section, index: u32) -> Result<[u32; N], Fault<'a>> {
        let start = (index as usize).checked_mul(N * 4).ok_or(Fault::Program)?;
        let bytes = self.section(section).get(start..).ok_or(Fault::Program)?;
        let mut record = [0; N];
        let (words, _) = bytes.as_chunks::<4>();
        if words.len() < N {
            return Err(Fault::Program);
        }
        for (number, bytes) in record.iter_mut().zip(words) {
            *number = u32::from_le_bytes(*bytes);
        }
        Ok(record)
    }

    fn slice(&self, section: Section, index: u32) -> Result<&'a [u8], Fault<'a>> {
        let [offset, size] = self.record(section, index)?;
        let end = (offset as usize).checked_add(size as usize).ok_or(Fault::Program)?;
        self.section(Section::Bytes).get(offset as usize..end).ok_or(Fault::Program)
    }

    /// Text `index`.
    pub fn text(&self, index: u32) -> Result<&'a str, Fault<'a>> {
        core::str::from_utf8(self.slice(Section::Texts, index)?).map_err(|_| Fault::Program)
    }

    /// Constant `index`.
    pub fn constant(&self, arena: &'a Bump, index: u32) -> Result<Value<'a>, Fault<'a>> {
        Reader::new(self.slice(Section::Constants, index)?).value(arena).map_err(|_| Fault::Program)
    }

    /// How many elements constant `index` has; none unless it is a set.
    pub fn set_size(&self, index: u32) -> Result<u32, Fault<'a>> {
        match self.slice(Section::Constants, index)? {
            [tag::SET, a, b, c, d, ..] => Ok(u32::from_le_bytes([*a, *b, *c, *d])),
            _ => Ok(0),
        }
    }

    /// The numbers of a list.
    pub fn list(&self, list: List) -> impl Iterator<Item = u32> + Clone + use<'a> {
        let start = (list.start as usize).saturating_mul(4);
        let end = start.saturating_add((list.length as usize).saturating_mul(4));
        let bytes = self.section(Section::Lists).get(start..end).unwrap_or_default();
        bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
    }

    /// Node `index`.
    pub fn node(&self, index: u32) -> Result<Node, Fault<'a>> {
        let [head, a, b, c] = self.record(Section::Nodes, index)?;
        let [op, _, low, high] = head.to_le_bytes();
        let op = Op::from_code(op).ok_or(Fault::Program)?;
        Ok(Node { op, binding: Binding::from_code(u16::from_le_bytes([low, high])), a, b, c })
    }

    /// Rule `index`.
    pub fn rule(&self, index: u32) -> Result<Rule, Fault<'a>> {
        let [id, flags, condition, start, length] = self.record(Section::Rules, index)?;
        Ok(Rule { id, flags, condition, redactions: List { start, length } })
    }

    /// Column `index`.
    pub fn column(&self, index: u32) -> Result<ColumnInfo, Fault<'a>> {
        let [source, form, name, attribute, converted] = self.record(Section::Columns, index)?;
        let source = u8::try_from(source).ok().and_then(Source::from_code).ok_or(Fault::Program)?;
        let form = u8::try_from(form).ok().and_then(ColumnForm::from_code).ok_or(Fault::Program)?;
        Ok(ColumnInfo { source, form, name, attribute, converted: converted != 0 })
    }

    /// All columns.
    pub fn columns(&self) -> Result<Vec<ColumnInfo>, Fault<'a>> {
        (0..self.count(Section::Columns, width::COLUMN)).map(|index| self.column(index)).collect()
    }

    /// The entity whose type and id are these texts.
    pub fn uid(&self, entity_type: u32, id: u32) -> Result<Uid<'a>, Fault<'a>> {
        Ok(Uid { entity_type: self.text(entity_type)?, id: self.text(id)? })
    }

    /// Adds the groups that the schema puts an action into.
    pub fn action_groups(&self, action: &Uid<'_>, groups: &mut Vec<Uid<'a>>) -> Result<(), Fault<'a>> {
        for index in 0..self.count(Section::Actions, width::ACTION) {
            let [entity_type, id, start, length] = self.record(Section::Actions, index)?;
            if self.uid(entity_type, id)? == *action {
                let mut numbers = self.list(List { start, length });
                while let (Some(entity_type), Some(id)) = (numbers.next(), numbers.next()) {
                    groups.push(self.uid(entity_type, id)?);
                }
            }
        }
        Ok(())
    }

    /// Adds the rules that a key of this kind and entity leads to.
    pub fn rules_of(&self, kind: KeyKind, uid: &Uid<'_>, rules: &mut Vec<u32>) -> Result<(), Fault<'a>> {
        let wanted = (u32::from(kind as u8), *uid);
        let (mut low, mut high) = (0, self.count(Section::Keys, width::KEY));
        while low < high {
            let middle = low + (high - low) / 2;
            let [kind, entity_type, id, start, length] = self.record(Section::Keys, middle)?;
            let key = (kind, self.uid(entity_type, id)?);
            if key < wanted {
                low = middle + 1;
            } else if key > wanted {
                high = middle;
            } else {
                rules.extend(self.list(List { start, length }));
                break;
            }
        }
        Ok(())
    }
}

fn number(bytes: &[u8], index: usize) -> Option<u32> {
    bytes.as_chunks::<4>().0.get(index).map(|bytes| u32::from_le_bytes(*bytes))
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
