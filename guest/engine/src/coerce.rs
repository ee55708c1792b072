//! From values as JSON can write them to the types that a schema gives them.
//!
//! Hosts read the attributes of entities and the context by Cedar's JSON conventions, without a schema. Where the schema says
//! entity, decimal, datetime, duration or ipaddr, a text is one of those, and a record of `type` and `id` is an entity. What does
//! not fit stays as it is: policies that were validated against the schema then meet a type error and are left out.

use bumpalo::Bump;
use tamis_contract::value::{Field, Uid, Value};

use crate::evaluate;
use crate::program::{List, Op, Program, Section};
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
    pub(crate) fn entity(&self, entity: &mut Entity<'a>) {
        let (attributes, tags) = self.shape(entity.uid.entity_type, None);
        entity.attributes = self.fields(entity.attributes, Declared::Record(attributes));
        entity.tags = self.fields(entity.tags, Declared::All(tags));
    }

    /// Converts the tags of a chunk of type `entity_type`.
    pub(crate) fn tags(&self, entity_type: &str, tags: &'a [Field<'a>]) -> &'a [Field<'a>] {
        self.fields(tags, Declared::All(self.shape(entity_type, None).1))
    }

    /// Converts the context of an action.
    pub(crate) fn context(&self, action: &Uid<'_>, context: &'a [Field<'a>]) -> &'a [Field<'a>] {
        self.fields(context, Declared::Record(self.shape(action.entity_type, Some(action.id)).0))
    }

    /// Converts the attribute `name` of a chunk of type `entity_type`.
    pub(crate) fn attribute(&self, entity_type: &str, name: &str, value: Value<'a>) -> Value<'a> {
        self.value(value, self.member(self.shape(entity_type, None).0, name))
    }

    /// The types of an entity type's attributes and tags, or of an action's context; [`NONE`] where there is none.
    fn shape(&self, entity_type: &str, id: Option<&str>) -> (u32, u32) {
        for index in 0..self.program.count(Section::Shapes, SHAPE_WIDTH) {
            let [shape_type, shape_id, attributes, tags] = self.program.record(Section::Shapes, index);
            let known = if shape_id == NONE { None } else { Some(self.program.text(shape_id)) };
            if known == id && self.program.text(shape_type) == entity_type {
                return (attributes, tags);
            }
        }
        (NONE, NONE)
    }

    /// The type of a field of the record type at `record`; [`NONE`] if there is none.
    fn member(&self, record: u32, name: &str) -> u32 {
        if record != NONE {
            let [_, start, length]: [u32; TYPE_WIDTH] = self.program.record(Section::Types, record);
            let mut numbers = self.program.list(List { start, length });
            while let (Some(text), Some(declared)) = (numbers.next(), numbers.next()) {
                if self.program.text(text) == name {
                    return declared;
                }
            }
        }
        NONE
    }

    fn fields(&self, fields: &'a [Field<'a>], declared: Declared) -> &'a [Field<'a>] {
        let (Declared::Record(declared_type) | Declared::All(declared_type)) = declared;
        if declared_type == NONE {
            return fields;
        }
        let converted = self.arena.alloc_slice_copy(fields);
        for (name, value) in converted.iter_mut() {
            *value = self.value(
                *value,
                match declared {
                    Declared::Record(record) => self.member(record, name),
                    Declared::All(declared) => declared,
                },
            );
        }
        converted
    }

    /// Converts a value to the type at `index`.
    fn value(&self, value: Value<'a>, index: u32) -> Value<'a> {
        if index == NONE {
            return value;
        }
        let [type_kind, a, _]: [u32; TYPE_WIDTH] = self.program.record(Section::Types, index);
        match (type_kind, value) {
            (kind::ENTITY, Value::Text(id)) => {
                Value::entity(self.arena, Uid { entity_type: self.program.text(a), id })
            }
            // A record of exactly `type` and `id` stands for an entity; its fields are in the order of their names.
            (kind::ENTITY, Value::Record([("id", Value::Text(id)), ("type", Value::Text(entity_type))])) => {
                Value::entity(self.arena, Uid { entity_type, id })
            }
            (kind::DECIMAL, Value::Text(text)) => self.read(Op::Decimal, text, value),
            (kind::DATETIME, Value::Text(text)) => self.read(Op::Datetime, text, value),
            (kind::DURATION, Value::Text(text)) => self.read(Op::Duration, text, value),
            (kind::IP, Value::Text(text)) => self.read(Op::Ip, text, value),
            (kind::SET, Value::Set(elements)) => {
                let converted = self.arena.alloc_slice_copy(elements);
                for element in converted.iter_mut() {
                    *element = self.value(*element, a);
                }
                Value::set_of(converted)
            }
            (kind::RECORD, Value::Record(fields)) => {
                Value::Record(self.fields(fields, Declared::Record(index)))
            }
            _ => value,
        }
    }

    fn read(&self, op: Op, text: &str, otherwise: Value<'a>) -> Value<'a> {
        evaluate::extension(self.arena, op, text).unwrap_or(otherwise)
    }
}

/// What the fields of a record are to be converted to.
#[derive(Clone, Copy)]
enum Declared {
    /// The types of the record type at this index, by name.
    Record(u32),
    /// All the type at this index.
    All(u32),
}
