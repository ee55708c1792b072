//! From the contract's flattened records to the engine's values.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::extension::IpNetwork;
use tamis_contract::value::{Field, Uid, Value, record_fields};

use super::abi::{self, List};
use crate::program::Program;
use crate::request::{Entity, RawRequest};
use crate::typed::Chunk;

/// The request that the host made.
pub(super) fn request<'a>(raw: &abi::Request<'a>, arena: &'a Bump) -> RawRequest<'a> {
    let values = values(raw.values, arena);
    let mut entities = Vec::new();
    for entity in raw.entities.items() {
        entities.push(Entity {
            uid: uid(&entity.uid),
            attributes: fields(&values, entity.attributes, arena),
            tags: fields(&values, entity.tags, arena),
            ancestors: uids(entity.ancestors),
        });
    }
    RawRequest {
        principal: raw.principal as usize,
        subject: raw.subject as usize,
        actors: raw.actors.items().iter().map(|actor| *actor as usize).collect(),
        action: uid(&raw.action),
        context: fields(&values, raw.context, arena),
        entities,
    }
}

/// The chunk that the host made.
pub(super) fn chunk<'a>(program: Program<'a>, raw: &abi::Chunk<'a>, arena: &'a Bump) -> Chunk<'a> {
    let values = values(raw.values, arena);
    Chunk {
        program,
        uid: uid(&raw.uid),
        attributes: fields(&values, raw.attributes, arena),
        tags: fields(&values, raw.tags, arena),
        ancestors: uids(raw.ancestors),
        arena,
    }
}

fn uid<'a>(raw: &abi::Uid<'a>) -> Uid<'a> {
    Uid { entity_type: raw.entity_type.text(), id: raw.id.text() }
}

fn uids<'a>(raw: List<'a, abi::Uid<'a>>) -> Vec<Uid<'a>> {
    raw.items().iter().map(uid).collect()
}

fn fields<'a>(values: &[Value<'a>], raw: List<'a, abi::Field<'a>>, arena: &'a Bump) -> &'a [Field<'a>] {
    let mut fields = Vec::new();
    for field in raw.items() {
        fields.push((field.name.text(), at(values, field.value)));
    }
    record_fields(arena, fields)
}

/// A value by its index. One that is not there, which no host sends, is unreadable.
fn at<'a>(values: &[Value<'a>], index: u32) -> Value<'a> {
    values.get(index as usize).copied().unwrap_or(Value::IllTyped("it is not there"))
}

/// All values of an arena; children come first.
fn values<'a>(raw: List<'a, abi::Value<'a>>, arena: &'a Bump) -> Vec<Value<'a>> {
    let mut values = Vec::new();
    for value in raw.items() {
        let value = match value {
            abi::Value::Boolean(value) => Value::Bool(*value),
            abi::Value::Long(value) => Value::Long(*value),
            abi::Value::Text(text) => Value::Text(text.text()),
            abi::Value::Entity(raw) => Value::entity(arena, uid(raw)),
            abi::Value::Decimal(value) => Value::Decimal(*value),
            abi::Value::Datetime(value) => Value::Datetime(*value),
            abi::Value::Duration(value) => Value::Duration(*value),
            abi::Value::Ip(raw) => network(raw, arena),
            abi::Value::Set(elements) => {
                Value::set(arena, elements.items().iter().map(|element| at(&values, *element)).collect())
            }
            abi::Value::Record(raw) => Value::Record(fields(&values, *raw, arena)),
            abi::Value::IllTyped(reason) => Value::IllTyped(reason.text()),
        };
        values.push(value);
    }
    values
}

fn network<'a>(raw: &abi::IpNetwork<'a>, arena: &'a Bump) -> Value<'a> {
    match IpNetwork::from_octets(raw.address.items(), raw.prefix) {
        Some(network) => Value::Ip(arena.alloc(network)),
        None => Value::IllTyped("it is not an address"),
    }
}
