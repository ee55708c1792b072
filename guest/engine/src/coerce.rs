//! From values as JSON can write them to the types that a schema gives them.
//!
//! Hosts read the attributes of entities and the context by Cedar's JSON conventions, without a schema. Where the schema says
//! entity, decimal, datetime, duration or ipaddr, a text is one of those, and a record of `type` and `id` is an entity. What does
//! not fit stays as it is: policies that were validated against the schema then meet a type error and are left out.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::extension::{IpNetwork, datetime, decimal, duration};
use tamis_contract::value::{Field, Uid, Value, field};

use crate::fault::Fault;
use crate::program::{List, Program, Section};
use crate::request::Entity;

/// Numbers in a type: its kind, then two operands.
pub const TYPE_WIDTH: usize = 3;
/// Numbers in a shape: entity type (a text), id of an action or [`NONE`] (a text), type of attributes or context, type of tags or [`NONE`].
pub const SHAPE_WIDTH: usize = 4;
/// No text, no type.
pub const NONE: u32 = u32::MAX;

/// Kinds of types.
pub mod kind {
    /// Left as it is.
    pub const ANY: u32 = 0;
    /// An entity of the type with the name, text `a`.
    pub const ENTITY: u32 = 1;
    /// A decimal.
    pub const DECIMAL: u32 = 2;
    /// A datetime.
    pub const DATETIME: u32 = 3;
    /// A duration.
    pub const DURATION: u32 = 4;
    /// An IP network.
    pub const IP: u32 = 5;
    /// A set of elements of type `a`.
    pub const SET: u32 = 6;
    /// A record: pairs of a text and a type in the list from `a` with length `b`. Other fields are left as they are.
    pub const RECORD: u32 = 7;
}

/// Converts values by a program's types.
#[derive(Clone, Copy)]
pub(crate) struct Coerce<'a> {
    /// The program with the types.
    pub(crate) program: Program<'a>,
    /// Where converted values go.
    pub(crate) arena: &'a Bump,
}

impl<'a> Coerce<'a> {
    /// Converts an entity's attributes and tags.
    pub(crate) fn entity(&self, entity: &mut Entity<'a>) -> Result<(), Fault<'a>> {
        let Some((attributes, tags)) = self.shape(entity.uid.entity_type, None)? else {
            return Ok(());
        };
        entity.attributes = self.fields(entity.attributes, attributes)?;
        entity.tags = self.all(entity.tags, tags)?;
        Ok(())
    }

    /// Converts the tags of a chunk of type `entity_type`.
    pub(crate) fn tags(
        &self,
        entity_type: &str,
        tags: &'a [Field<'a>],
    ) -> Result<&'a [Field<'a>], Fault<'a>> {
        match self.shape(entity_type, None)? {
            Some((_, declared)) => self.all(tags, declared),
            None => Ok(tags),
        }
    }

    /// Converts all of `fields` to the type at `declared`, if there is one.
    fn all(&self, fields: &'a [Field<'a>], declared: u32) -> Result<&'a [Field<'a>], Fault<'a>> {
        if declared == NONE {
            return Ok(fields);
        }
        let mut converted = Vec::new();
        for (name, value) in fields {
            converted.push((*name, self.value(*value, declared)?));
        }
        Ok(self.arena.alloc_slice_copy(&converted))
    }

    /// Converts the context of an action.
    pub(crate) fn context(
        &self,
        action: &Uid<'_>,
        context: &'a [Field<'a>],
    ) -> Result<&'a [Field<'a>], Fault<'a>> {
        match self.shape(action.entity_type, Some(action.id))? {
            Some((context_type, _)) => self.fields(context, context_type),
            None => Ok(context),
        }
    }

    /// Converts the attribute `name` of a chunk of type `entity_type`.
    pub(crate) fn attribute(
        &self,
        entity_type: &str,
        name: &str,
        value: Value<'a>,
    ) -> Result<Value<'a>, Fault<'a>> {
        let Some((attributes, _)) = self.shape(entity_type, None)? else {
            return Ok(value);
        };
        match self.member(attributes, name)? {
            Some(declared) => self.value(value, declared),
            None => Ok(value),
        }
    }

    /// The types of an entity type's attributes and tags, or of an action's context.
    fn shape(&self, entity_type: &str, id: Option<&str>) -> Result<Option<(u32, u32)>, Fault<'a>> {
        for index in 0..self.program.count(Section::Shapes, SHAPE_WIDTH) {
            let [shape_type, shape_id, attributes, tags] = self.program.record(Section::Shapes, index)?;
            let known = if shape_id == NONE { None } else { Some(self.program.text(shape_id)?) };
            if known == id && self.program.text(shape_type)? == entity_type {
                return Ok(Some((attributes, tags)));
            }
        }
        Ok(None)
    }

    /// The type of a field of the record type at `record`.
    fn member(&self, record: u32, name: &str) -> Result<Option<u32>, Fault<'a>> {
        let [_, start, length] = self.program.record::<TYPE_WIDTH>(Section::Types, record)?;
        let mut numbers = self.program.list(List { start, length });
        while let (Some(text), Some(declared)) = (numbers.next(), numbers.next()) {
            if self.program.text(text)? == name {
                return Ok(Some(declared));
            }
        }
        Ok(None)
    }

    fn fields(&self, fields: &'a [Field<'a>], record: u32) -> Result<&'a [Field<'a>], Fault<'a>> {
        let mut converted = Vec::new();
        for (name, value) in fields {
            let value = match self.member(record, name)? {
                Some(declared) => self.value(*value, declared)?,
                None => *value,
            };
            converted.push((*name, value));
        }
        Ok(self.arena.alloc_slice_copy(&converted))
    }

    /// Converts a value to the type at `index`.
    fn value(&self, value: Value<'a>, index: u32) -> Result<Value<'a>, Fault<'a>> {
        let [type_kind, a, _] = self.program.record::<TYPE_WIDTH>(Section::Types, index)?;
        let converted = match (type_kind, value) {
            (kind::ENTITY, Value::Text(id)) => {
                Some(Value::entity(self.arena, Uid { entity_type: self.program.text(a)?, id }))
            }
            (kind::ENTITY, Value::Record(fields)) => self.entity_of(fields),
            (kind::DECIMAL, Value::Text(text)) => decimal::read(text).ok().map(Value::Decimal),
            (kind::DATETIME, Value::Text(text)) => datetime::read(text).ok().map(Value::Datetime),
            (kind::DURATION, Value::Text(text)) => duration::read(text).ok().map(Value::Duration),
            (kind::IP, Value::Text(text)) => IpNetwork::read(text).ok().map(|ip| Value::Ip(self.arena.alloc(ip))),
            (kind::SET, Value::Set(elements)) => {
                let mut converted = Vec::new();
                for element in elements {
                    converted.push(self.value(*element, a)?);
                }
                Some(Value::set(self.arena, converted))
            }
            (kind::RECORD, Value::Record(fields)) => Some(Value::Record(self.fields(fields, index)?)),
            _ => None,
        };
        Ok(converted.unwrap_or(value))
    }

    /// The entity that a record of exactly `type` and `id` stands for.
    fn entity_of(&self, fields: &[Field<'a>]) -> Option<Value<'a>> {
        match (fields.len(), field(fields, "type"), field(fields, "id")) {
            (2, Some(Value::Text(entity_type)), Some(Value::Text(id))) => {
                Some(Value::entity(self.arena, Uid { entity_type, id }))
            }
            _ => None,
        }
    }
}
