//! What expressions evaluate to: Cedar's semantics.

use core::cell::Cell;

use bumpalo::Bump;
use tamis_contract::extension::{IpNetwork, datetime, decimal, duration};
use tamis_contract::value::{Field, Uid, Value, field, holds, place, record_of};

use crate::fault::Fault;
use crate::like;
use crate::program::{Binding, List, Node, Op, Program, Section, Source, damaged, width};
use crate::request::{Chunk, Request};

/// Milliseconds in a day.
const DAY: i64 = 86_400_000;

/// Evaluates expressions of a program for a request and, where they read it, a chunk.
///
/// An expression without a value is `None`, and [`Self::fault`] says why: a result that carried the reason would be copied from function
/// to function, which is a third of the code.
pub struct Evaluator<'a> {
    /// The program.
    pub program: Program<'a>,
    /// Who asks.
    pub request: &'a Request<'a>,
    /// The chunk; `None` while only what does not read it is evaluated.
    pub chunk: Option<&'a dyn Chunk<'a>>,
    /// Where new values go.
    pub arena: &'a Bump,
    /// Constants that take long to read, by their number, in ascending order.
    pub constants: &'a [(u32, Value<'a>)],
    fault: Cell<Fault<'a>>,
    /// What some attributes of the request came to, each in the place that its node's number leads to: most policies ask for the same
    /// few again and again.
    known: [Cell<Option<(u32, Value<'a>)>>; KNOWN],
}

/// Places for what attributes of the request came to.
const KNOWN: usize = 8;

impl<'a> Evaluator<'a> {
    /// Gets ready to evaluate what does not read a chunk.
    pub fn new(program: Program<'a>, request: &'a Request<'a>, arena: &'a Bump) -> Self {
        Self {
            program,
            request,
            chunk: None,
            arena,
            constants: &[],
            fault: Cell::new(Fault::Program),
            known: [const { Cell::new(None) }; KNOWN],
        }
    }

    /// Why the last expression has no value, if it has none.
    pub fn fault(&self) -> Fault<'a> {
        self.fault.get()
    }

    fn fail<T>(&self, fault: Fault<'a>) -> Option<T> {
        self.fault.set(fault);
        None
    }

    /// Says that a value is not what was wanted.
    #[inline(never)]
    fn mistyped(&self, wanted: &'static str) {
        self.fault.set(Fault::Type(wanted));
    }

    /// The value of a node; `None` as Cedar has it, and for a chunk's attribute that is unreadable. Recursion follows the nesting of
    /// expressions, which the compiler limits.
    pub fn value(&self, index: u32) -> Option<Value<'a>> {
        let node = self.program.node(index);
        let Node { op, a, b, c, .. } = node;
        Some(match op {
            Op::Constant => self.constant(a),
            Op::Principal => Value::Entity(&self.request.principal),
            Op::Action => Value::Entity(&self.request.action),
            Op::Context => self.request.context,
            Op::Resource => Value::entity(self.arena, self.chunk()?.uid()),
            Op::Column => {
                let value = self.chunk()?.column(a);
                return self
                    .present(value, || Fault::NoAttribute(self.program.text(self.program.column(a).name)));
            }
            Op::Attribute if node.binding == Binding::Request => {
                let place = self.known.get(index as usize % KNOWN);
                match place.and_then(Cell::get) {
                    Some((known, value)) if known == index => value,
                    _ => {
                        let value = self.attribute_of(&node)?;
                        if let Some(place) = place {
                            place.set(Some((index, value)));
                        }
                        value
                    }
                }
            }
            Op::Attribute => return self.attribute_of(&node),
            Op::GetTag => {
                let (name, value) = self.tag(&node)?;
                return self.present(value, || Fault::NoTag(name));
            }
            Op::If => return self.value(if self.boolean(a)? { b } else { c }),
            Op::Set => {
                let numbers = self.program.list(List { start: b, length: c });
                let elements = self.arena.alloc_slice_fill_copy(numbers.len(), Value::Bool(false));
                for (element, number) in elements.iter_mut().zip(numbers) {
                    *element = self.whole(number)?;
                }
                Value::set_of(elements)
            }
            Op::Record => {
                let mut numbers = self.program.list(List { start: b, length: c });
                let fields = self.arena.alloc_slice_fill_copy(numbers.len() / 2, ("", Value::Bool(false)));
                for field in fields.iter_mut() {
                    if let (Some(name), Some(value)) = (numbers.next(), numbers.next()) {
                        *field = (self.program.text(name), self.value(value)?);
                    }
                }
                Value::Record(record_of(fields))
            }
            Op::Ip | Op::Decimal | Op::Datetime | Op::Duration => {
                match extension(self.arena, op, self.text(a)?) {
                    Ok(value) => value,
                    Err(expected) => return self.fail(Fault::Text(expected)),
                }
            }
            Op::Add | Op::Subtract | Op::Multiply => Value::Long(self.chain(index)?),
            Op::Negate
            | Op::Offset
            | Op::DurationSince
            | Op::ToDate
            | Op::ToTime
            | Op::ToMilliseconds
            | Op::ToSeconds
            | Op::ToMinutes
            | Op::ToHours
            | Op::ToDays => return self.arithmetic(op, a, b),
            _ => Value::Bool(self.test(&node)?),
        })
    }

    /// The value of a node that must be a boolean.
    pub fn boolean(&self, index: u32) -> Option<bool> {
        if let Value::Bool(value) = self.value(index)? {
            return Some(value);
        }
        self.mistyped("a boolean");
        None
    }

    /// The outcome of a chain of sums, differences and products, which leans to the left.
    fn chain(&self, index: u32) -> Option<i64> {
        let (mut first, mut links) = (index, 0);
        while self.program.node(first).op.is_chained() {
            first = self.program.node(first).a;
            links += 1;
        }
        let chain = self.arena.alloc_slice_fill_copy(links, index);
        for link in 1..links {
            if let [.., before, place] = chain.get_mut(..=link).unwrap_or_default() {
                *place = self.program.node(*before).a;
            }
        }
        let mut total = self.number(first, Number::Long)?;
        for link in chain.iter().rev() {
            let Node { op, b, .. } = self.program.node(*link);
            let operand = self.number(b, Number::Long)?;
            let next = match op {
                Op::Add => total.checked_add(operand),
                Op::Subtract => total.checked_sub(operand),
                _ => total.checked_mul(operand),
            };
            let Some(next) = next else { return self.fail(Fault::Overflow) };
            total = next;
        }
        Some(total)
    }

    fn arithmetic(&self, op: Op, a: u32, b: u32) -> Option<Value<'a>> {
        let (first, second) = match op {
            Op::Offset => (Number::Datetime, Some(Number::Duration)),
            Op::DurationSince => (Number::Datetime, Some(Number::Datetime)),
            Op::ToDate | Op::ToTime => (Number::Datetime, None),
            Op::Negate => (Number::Long, None),
            _ => (Number::Duration, None),
        };
        let a = self.number(a, first)?;
        let b = match second {
            Some(second) => self.number(b, second)?,
            None => a,
        };
        let number = match op {
            Op::Offset => a.checked_add(b),
            Op::DurationSince => a.checked_sub(b),
            Op::Negate => 0_i64.checked_sub(a),
            Op::ToDate => a.checked_sub(a.rem_euclid(DAY)),
            Op::ToTime => Some(a.rem_euclid(DAY)),
            Op::ToSeconds => Some(a / 1_000),
            Op::ToMinutes => Some(a / 60_000),
            Op::ToHours => Some(a / 3_600_000),
            Op::ToDays => Some(a / DAY),
            _ => Some(a),
        };
        let Some(number) = number else { return self.fail(Fault::Overflow) };
        Some(match op {
            Op::Offset | Op::ToDate => Value::Datetime(number),
            Op::DurationSince | Op::ToTime => Value::Duration(number),
            _ => Value::Long(number),
        })
    }

    fn test(&self, node: &Node) -> Option<bool> {
        let Node { op, a, b, c, .. } = *node;
        Some(match op {
            Op::And => self.boolean(a)? && self.boolean(b)?,
            Op::Or => self.boolean(a)? || self.boolean(b)?,
            Op::Not => !self.boolean(a)?,
            Op::Equal => self.whole(a)? == self.whole(b)?,
            Op::Less | Op::LessOrEqual => {
                let (a, b) = match (self.value(a)?, self.value(b)?) {
                    (Value::Long(a), Value::Long(b))
                    | (Value::Datetime(a), Value::Datetime(b))
                    | (Value::Duration(a), Value::Duration(b)) => (a, b),
                    _ => return self.fail(Fault::Type("two longs, two datetimes or two durations")),
                };
                a < b || (a == b && op == Op::LessOrEqual)
            }
            Op::DecimalLess | Op::DecimalLessOrEqual => {
                let (a, b) = (self.number(a, Number::Decimal)?, self.number(b, Number::Decimal)?);
                a < b || (a == b && op == Op::DecimalLessOrEqual)
            }
            Op::IsEmpty => self.set(a)?.is_empty(),
            Op::Contains => holds(self.set(a)?, &self.whole(b)?),
            Op::ContainsAll => {
                let set = self.set(a)?;
                self.set(b)?.iter().all(|value| holds(set, value))
            }
            Op::ContainsAny => {
                let (a, b) = (self.set(a)?, self.set(b)?);
                let (few, many) = if a.len() < b.len() { (a, b) } else { (b, a) };
                few.iter().any(|value| holds(many, value))
            }
            Op::In => {
                let uid = self.entity(a)?;
                let chunk = self.chunk_called(node, uid)?;
                let groups = self.groups(b)?;
                groups.iter().any(|group| match (chunk, group) {
                    (Some(chunk), _) => *group == Value::Entity(uid) || holds(chunk.ancestors(), group),
                    (None, Value::Entity(group)) => self.request.is_in(uid, group),
                    _ => false,
                })
            }
            Op::IsBelow | Op::IsOneOf | Op::IsOfTypeOf => {
                let chunk = self.chunk()?;
                let groups = self.groups(a)?;
                match op {
                    Op::IsBelow => groups.iter().any(|group| holds(chunk.ancestors(), group)),
                    Op::IsOneOf => holds(groups, &Value::Entity(&chunk.uid())),
                    _ => groups.iter().any(|group| match group {
                        Value::Entity(group) => group.entity_type == chunk.entity_type(),
                        _ => false,
                    }),
                }
            }
            Op::Is => {
                let entity_type = match self.program.node(a).op {
                    // That of the chunk is known without its id.
                    Op::Resource => self.chunk()?.entity_type(),
                    _ => self.entity(a)?.entity_type,
                };
                entity_type == self.program.text(b)
            }
            Op::Has => self.attribute(node)?.is_some(),
            Op::HasColumn => self.chunk()?.column(a).is_some(),
            Op::HasTag => self.tag(node)?.1.is_some(),
            Op::Like => like::matches(self.text(a)?, self.program.list(List { start: b, length: c })),
            Op::IsIpv4 => self.ip(a)?.is_ipv4(),
            Op::IsIpv6 => !self.ip(a)?.is_ipv4(),
            Op::IsLoopback => self.ip(a)?.is_loopback(),
            Op::IsMulticast => self.ip(a)?.is_multicast(),
            Op::IsInRange => self.ip(a)?.is_in(self.ip(b)?),
            _ => damaged(),
        })
    }

    // ---- values of one type ----

    /// A value that must be there and readable.
    fn present(&self, value: Option<Value<'a>>, absent: impl FnOnce() -> Fault<'a>) -> Option<Value<'a>> {
        match value {
            Some(Value::IllTyped(reason)) => self.fail(Fault::IllTyped(reason)),
            Some(value) => Some(value),
            None => self.fail(absent()),
        }
    }

    /// A value that is to be looked at as a whole: nothing in it may be unreadable.
    pub(crate) fn whole(&self, index: u32) -> Option<Value<'a>> {
        let value = self.value(index)?;
        match value.ill_typed() {
            Some(reason) => self.fail(Fault::IllTyped(reason)),
            None => Some(value),
        }
    }

    fn constant(&self, index: u32) -> Value<'a> {
        let constants = self.constants;
        let at = place(constants.len(), &|at| constants.get(at).is_some_and(|(known, _)| *known < index));
        match constants.get(at) {
            Some((known, value)) if *known == index => *value,
            _ => self.program.constant(self.arena, index),
        }
    }

    fn number(&self, index: u32, wanted: Number) -> Option<i64> {
        let wanted = match (self.value(index)?, wanted) {
            (Value::Long(number), Number::Long)
            | (Value::Decimal(number), Number::Decimal)
            | (Value::Datetime(number), Number::Datetime)
            | (Value::Duration(number), Number::Duration) => return Some(number),
            (_, Number::Long) => "a long",
            (_, Number::Decimal) => "a decimal",
            (_, Number::Datetime) => "a datetime",
            (_, Number::Duration) => "a duration",
        };
        self.mistyped(wanted);
        None
    }

    fn ip(&self, index: u32) -> Option<&'a IpNetwork> {
        if let Value::Ip(value) = self.value(index)? {
            return Some(value);
        }
        self.mistyped("an ipaddr");
        None
    }

    pub(crate) fn set(&self, index: u32) -> Option<&'a [Value<'a>]> {
        if let Value::Set(value) = self.value(index)? {
            return Some(value);
        }
        self.mistyped("a set");
        None
    }

    fn text(&self, index: u32) -> Option<&'a str> {
        if let Value::Text(value) = self.value(index)? {
            return Some(value);
        }
        self.mistyped("a text");
        None
    }

    pub(crate) fn entity(&self, index: u32) -> Option<&'a Uid<'a>> {
        if let Value::Entity(value) = self.value(index)? {
            return Some(value);
        }
        self.mistyped("an entity");
        None
    }

    /// The entity at `index`, or the entities of the set there.
    pub(crate) fn groups(&self, index: u32) -> Option<&'a [Value<'a>]> {
        let groups = match self.value(index)? {
            Value::Set(groups) => groups,
            group => &*self.arena.alloc_slice_copy(&[group]),
        };
        if groups.iter().all(|group| matches!(group, Value::Entity(_))) {
            return Some(groups);
        }
        self.mistyped("an entity or a set of entities");
        None
    }

    // ---- entities and attributes ----

    fn chunk(&self) -> Option<&'a dyn Chunk<'a>> {
        if self.chunk.is_none() {
            self.fault.set(Fault::Program);
        }
        self.chunk
    }

    /// An attribute of the entity or record, which must be there.
    fn attribute_of(&self, node: &Node) -> Option<Value<'a>> {
        self.present(self.attribute(node)?, || Fault::NoAttribute(self.program.text(node.b)))
    }

    /// An attribute of the entity or record, if it is there.
    fn attribute(&self, node: &Node) -> Option<Option<Value<'a>>> {
        let name = self.program.text(node.b);
        let fields: &[Field<'a>] = match self.value(node.a)? {
            Value::Record(fields) => fields,
            Value::Entity(uid) => match self.chunk_called(node, uid)? {
                Some(chunk) => return Some(self.column_called(chunk, name)),
                None => self.request.entity(uid).map_or(&[], |entity| entity.attributes),
            },
            _ => {
                self.mistyped("an entity or a record");
                return None;
            }
        };
        Some(field(fields, name))
    }

    /// The chunk, if the entity that a node's first operand came to is the chunk. What the request says of it comes first, so that an
    /// entity is the same wherever it is met.
    fn chunk_called(&self, node: &Node, uid: &Uid<'_>) -> Option<Option<&'a dyn Chunk<'a>>> {
        if node.c == 0 || self.request.entity(uid).is_some() {
            return Some(None);
        }
        let chunk = self.chunk()?;
        Some(if chunk.uid() == *uid { Some(chunk) } else { None })
    }

    fn column_called(&self, chunk: &'a dyn Chunk<'a>, name: &str) -> Option<Value<'a>> {
        for index in 0..self.program.count(Section::Columns, width::COLUMN) {
            let info = self.program.column(index);
            if info.source == Source::Attribute && self.program.text(info.name) == name {
                return chunk.column(index);
            }
        }
        damaged()
    }

    /// The name of a tag, and the tag of the entity, if it is there.
    fn tag(&self, node: &Node) -> Option<(&'a str, Option<Value<'a>>)> {
        let tags: &[Field<'a>] = match self.program.node(node.a).op {
            Op::Resource => self.chunk()?.tags(),
            _ => {
                let uid = self.entity(node.a)?;
                match self.chunk_called(node, uid)? {
                    Some(chunk) => chunk.tags(),
                    None => self.request.entity(uid).map_or(&[], |entity| entity.tags),
                }
            }
        };
        let name = self.text(node.b)?;
        Some((name, field(tags, name)))
    }
}

/// Types of values that are a number.
#[derive(Clone, Copy)]
enum Number {
    Long,
    Decimal,
    Datetime,
    Duration,
}

/// The value that one of the four constructors of extension values makes of a text.
///
/// # Errors
/// What was expected of the text.
pub(crate) fn extension<'a>(arena: &'a Bump, constructor: Op, text: &str) -> Result<Value<'a>, &'static str> {
    match constructor {
        Op::Ip => IpNetwork::read(text).map(|ip| Value::Ip(arena.alloc(ip))),
        Op::Decimal => decimal::read(text).map(Value::Decimal),
        Op::Datetime => datetime::read(text).map(Value::Datetime),
        _ => duration::read(text).map(Value::Duration),
    }
}
