//! What expressions evaluate to: Cedar's semantics.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::extension::{IpNetwork, datetime, decimal, duration};
use tamis_contract::value::{Field, Uid, Value, field, holds};

use crate::fault::Fault;
use crate::like;
use crate::program::{List, Node, Op, Program, Section, Source, width};
use crate::request::{Chunk, Request};

/// Milliseconds in a day.
const DAY: i64 = 86_400_000;

/// Evaluates expressions of a program for a request and, where they read it, a chunk.
#[derive(Clone, Copy)]
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
}

impl<'a> Evaluator<'a> {
    /// The value of a node. Recursion follows the nesting of expressions, which the compiler limits.
    ///
    /// # Errors
    /// As Cedar has it, and for a chunk's attribute that is unreadable.
    pub fn value(&self, index: u32) -> Result<Value<'a>, Fault<'a>> {
        let node = self.program.node(index)?;
        let number = match node.op {
            Op::Constant => return self.constant(node.a),
            Op::Principal => return Ok(Value::Entity(&self.request.principal)),
            Op::Action => return Ok(Value::Entity(&self.request.action)),
            Op::Context => return Ok(self.request.context),
            Op::Resource => return Ok(Value::entity(self.arena, self.chunk()?.uid()?)),
            Op::Column => {
                let value = self.chunk()?.column(node.a)?;
                return present(value, || {
                    Ok(Fault::NoAttribute(self.program.text(self.program.column(node.a)?.name)?))
                });
            }
            Op::Attribute => {
                return present(self.attribute(&node)?, || {
                    Ok(Fault::NoAttribute(self.program.text(node.b)?))
                });
            }
            Op::GetTag => {
                let (name, value) = self.tag(&node)?;
                return present(value, || Ok(Fault::NoTag(name)));
            }
            Op::If => return self.value(if self.boolean(node.a)? { node.b } else { node.c }),
            Op::Set => {
                let mut elements = Vec::new();
                for element in self.program.list(List { start: node.b, length: node.c }) {
                    elements.push(self.whole(element)?);
                }
                return Ok(Value::set(self.arena, elements));
            }
            Op::Record => {
                let mut fields = Vec::new();
                let mut numbers = self.program.list(List { start: node.b, length: node.c });
                while let (Some(name), Some(value)) = (numbers.next(), numbers.next()) {
                    fields.push((self.program.text(name)?, self.value(value)?));
                }
                return Ok(Value::record(self.arena, fields));
            }
            Op::Ip | Op::Decimal | Op::Datetime | Op::Duration => return self.extension(&node),
            Op::Negate => self.long(node.a)?.checked_neg(),
            Op::Add => self.long(node.a)?.checked_add(self.long(node.b)?),
            Op::Subtract => self.long(node.a)?.checked_sub(self.long(node.b)?),
            Op::Multiply => self.long(node.a)?.checked_mul(self.long(node.b)?),
            Op::Offset => self.datetime(node.a)?.checked_add(self.duration(node.b)?),
            Op::DurationSince => self.datetime(node.a)?.checked_sub(self.datetime(node.b)?),
            Op::ToDate => {
                let time = self.datetime(node.a)?;
                time.checked_sub(time.rem_euclid(DAY))
            }
            Op::ToTime => Some(self.datetime(node.a)?.rem_euclid(DAY)),
            Op::ToMilliseconds => Some(self.duration(node.a)?),
            Op::ToSeconds => Some(self.duration(node.a)? / 1_000),
            Op::ToMinutes => Some(self.duration(node.a)? / 60_000),
            Op::ToHours => Some(self.duration(node.a)? / 3_600_000),
            Op::ToDays => Some(self.duration(node.a)? / DAY),
            _ => return self.test(&node).map(Value::Bool),
        };
        let number = number.ok_or(Fault::Overflow)?;
        Ok(match node.op {
            Op::Offset | Op::ToDate => Value::Datetime(number),
            Op::DurationSince | Op::ToTime => Value::Duration(number),
            _ => Value::Long(number),
        })
    }

    /// The value of a node that must be a boolean.
    ///
    /// # Errors
    /// As [`Self::value`], and if it is not.
    pub fn boolean(&self, index: u32) -> Result<bool, Fault<'a>> {
        match self.value(index)? {
            Value::Bool(value) => Ok(value),
            _ => Err(Fault::Type("a boolean")),
        }
    }

    fn test(&self, node: &Node) -> Result<bool, Fault<'a>> {
        let (a, b) = (node.a, node.b);
        Ok(match node.op {
            Op::And => self.boolean(a)? && self.boolean(b)?,
            Op::Or => self.boolean(a)? || self.boolean(b)?,
            Op::Not => !self.boolean(a)?,
            Op::Equal => self.whole(a)? == self.whole(b)?,
            Op::Less | Op::LessOrEqual => {
                let (a, b) = match (self.value(a)?, self.value(b)?) {
                    (Value::Long(a), Value::Long(b))
                    | (Value::Datetime(a), Value::Datetime(b))
                    | (Value::Duration(a), Value::Duration(b)) => (a, b),
                    _ => return Err(Fault::Type("two longs, two datetimes or two durations")),
                };
                a < b || (a == b && node.op == Op::LessOrEqual)
            }
            Op::DecimalLess => self.decimal(a)? < self.decimal(b)?,
            Op::DecimalLessOrEqual => self.decimal(a)? <= self.decimal(b)?,
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
                return self.any_group(b, &|group| match chunk {
                    Some(chunk) => Ok(group == uid || chunk.is_below(group)?),
                    None => Ok(self.request.is_in(uid, group)),
                });
            }
            Op::IsBelow => {
                let chunk = self.chunk()?;
                return self.any_group(a, &|group| chunk.is_below(group));
            }
            Op::IsOfTypeOf => {
                let entity_type = self.chunk()?.entity_type()?;
                return self.any_group(a, &|group| Ok(group.entity_type == entity_type));
            }
            Op::IsOneOf => {
                let uid = self.chunk()?.uid()?;
                return self.any_group(a, &|group| Ok(*group == uid));
            }
            Op::Is => {
                let entity_type = match self.program.node(a)?.op {
                    // That of the chunk is known without its id.
                    Op::Resource => self.chunk()?.entity_type()?,
                    _ => self.entity(a)?.entity_type,
                };
                entity_type == self.program.text(b)?
            }
            Op::Has => self.attribute(node)?.is_some(),
            Op::HasColumn => self.chunk()?.column(a)?.is_some(),
            Op::HasTag => self.tag(node)?.1.is_some(),
            Op::Like => like::matches(self.text(a)?, self.program.list(List { start: b, length: node.c })),
            Op::IsIpv4 => self.ip(a)?.is_ipv4(),
            Op::IsIpv6 => !self.ip(a)?.is_ipv4(),
            Op::IsLoopback => self.ip(a)?.is_loopback(),
            Op::IsMulticast => self.ip(a)?.is_multicast(),
            Op::IsInRange => self.ip(a)?.is_in(self.ip(b)?),
            _ => return Err(Fault::Program),
        })
    }

    // ---- values of one type ----

    /// A value that is to be looked at as a whole: nothing in it may be unreadable.
    fn whole(&self, index: u32) -> Result<Value<'a>, Fault<'a>> {
        let value = self.value(index)?;
        match value.ill_typed() {
            Some(reason) => Err(Fault::IllTyped(reason)),
            None => Ok(value),
        }
    }

    fn constant(&self, index: u32) -> Result<Value<'a>, Fault<'a>> {
        let at = self.constants.partition_point(|(known, _)| *known < index);
        match self.constants.get(at) {
            Some((known, value)) if *known == index => Ok(*value),
            _ => self.program.constant(self.arena, index),
        }
    }

    fn long(&self, index: u32) -> Result<i64, Fault<'a>> {
        if let Value::Long(value) = self.value(index)? { Ok(value) } else { Err(Fault::Type("a long")) }
    }

    fn decimal(&self, index: u32) -> Result<i64, Fault<'a>> {
        if let Value::Decimal(value) = self.value(index)? { Ok(value) } else { Err(Fault::Type("a decimal")) }
    }

    fn datetime(&self, index: u32) -> Result<i64, Fault<'a>> {
        if let Value::Datetime(value) = self.value(index)? {
            Ok(value)
        } else {
            Err(Fault::Type("a datetime"))
        }
    }

    fn duration(&self, index: u32) -> Result<i64, Fault<'a>> {
        if let Value::Duration(value) = self.value(index)? {
            Ok(value)
        } else {
            Err(Fault::Type("a duration"))
        }
    }

    fn ip(&self, index: u32) -> Result<&'a IpNetwork, Fault<'a>> {
        if let Value::Ip(value) = self.value(index)? { Ok(value) } else { Err(Fault::Type("an ipaddr")) }
    }

    fn set(&self, index: u32) -> Result<&'a [Value<'a>], Fault<'a>> {
        if let Value::Set(value) = self.value(index)? { Ok(value) } else { Err(Fault::Type("a set")) }
    }

    fn text(&self, index: u32) -> Result<&'a str, Fault<'a>> {
        if let Value::Text(value) = self.value(index)? { Ok(value) } else { Err(Fault::Type("a text")) }
    }

    fn entity(&self, index: u32) -> Result<&'a Uid<'a>, Fault<'a>> {
        if let Value::Entity(value) = self.value(index)? { Ok(value) } else { Err(Fault::Type("an entity")) }
    }

    fn extension(&self, node: &Node) -> Result<Value<'a>, Fault<'a>> {
        let text = self.text(node.a)?;
        let value = match node.op {
            Op::Ip => IpNetwork::read(text).map(|ip| Value::Ip(self.arena.alloc(ip))),
            Op::Decimal => decimal::read(text).map(Value::Decimal),
            Op::Datetime => datetime::read(text).map(Value::Datetime),
            _ => duration::read(text).map(Value::Duration),
        };
        value.map_err(Fault::Text)
    }

    // ---- entities and attributes ----

    fn chunk(&self) -> Result<&'a dyn Chunk<'a>, Fault<'a>> {
        self.chunk.ok_or(Fault::Program)
    }

    /// An attribute of the entity or record, if it is there.
    fn attribute(&self, node: &Node) -> Result<Option<Value<'a>>, Fault<'a>> {
        let name = self.program.text(node.b)?;
        let fields: &[Field<'a>] = match self.value(node.a)? {
            Value::Record(fields) => fields,
            Value::Entity(uid) => match self.chunk_called(node, uid)? {
                Some(chunk) => return self.column_called(chunk, name),
                None => self.request.entity(uid).map_or(&[], |entity| entity.attributes),
            },
            _ => return Err(Fault::Type("an entity or a record")),
        };
        Ok(field(fields, name))
    }

    /// The chunk, if the entity that a node's first operand came to is the chunk. What the request says of it comes first, so that an
    /// entity is the same wherever it is met.
    fn chunk_called(&self, node: &Node, uid: &Uid<'_>) -> Result<Option<&'a dyn Chunk<'a>>, Fault<'a>> {
        if node.c == 0 || self.request.entity(uid).is_some() {
            return Ok(None);
        }
        let chunk = self.chunk()?;
        Ok(if chunk.uid()? == *uid { Some(chunk) } else { None })
    }

    fn column_called(&self, chunk: &'a dyn Chunk<'a>, name: &str) -> Result<Option<Value<'a>>, Fault<'a>> {
        for index in 0..self.program.count(Section::Columns, width::COLUMN) {
            let info = self.program.column(index)?;
            if info.source == Source::Attribute && self.program.text(info.name)? == name {
                return chunk.column(index);
            }
        }
        Err(Fault::Program)
    }

    /// The name of a tag, and the tag of the entity, if it is there.
    fn tag(&self, node: &Node) -> Result<(&'a str, Option<Value<'a>>), Fault<'a>> {
        let tags: &[Field<'a>] = match self.program.node(node.a)?.op {
            Op::Resource => self.chunk()?.tags()?,
            _ => {
                let uid = self.entity(node.a)?;
                match self.chunk_called(node, uid)? {
                    Some(chunk) => chunk.tags()?,
                    None => self.request.entity(uid).map_or(&[], |entity| entity.tags),
                }
            }
        };
        let name = self.text(node.b)?;
        Ok((name, field(tags, name)))
    }

    /// Whether `test` holds for the entity at `index`, or for one of the set of entities there.
    fn any_group(
        &self,
        index: u32,
        test: &dyn Fn(&Uid<'a>) -> Result<bool, Fault<'a>>,
    ) -> Result<bool, Fault<'a>> {
        let groups = match self.value(index)? {
            Value::Set(groups) => groups,
            group => &*self.arena.alloc([group]),
        };
        let mut found = false;
        for group in groups {
            let Value::Entity(group) = group else {
                return Err(Fault::Type("an entity or a set of entities"));
            };
            found = found || test(group)?;
        }
        Ok(found)
    }
}

/// A value that must be there and readable.
fn present<'a>(
    value: Option<Value<'a>>,
    absent: impl FnOnce() -> Result<Fault<'a>, Fault<'a>>,
) -> Result<Value<'a>, Fault<'a>> {
    match value {
        Some(Value::IllTyped(reason)) => Err(Fault::IllTyped(reason)),
        Some(value) => Ok(value),
        None => Err(absent()?),
    }
}
