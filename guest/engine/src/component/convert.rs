//! From the contract's flattened records to the engine's values.

use alloc::vec::Vec;

use bumpalo::Bump;
use tamis_contract::extension::IpNetwork;
use tamis_contract::value::{Field, Uid, Value, record_of};

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
            attributes: fields(values, entity.attributes, arena),
            tags: fields(values, entity.tags, arena),
            ancestors: uids(entity.ancestors, arena),
        });
    }
    RawRequest {
        principal: raw.principal as usize,
        subject: raw.subject as usize,
        actors: raw.actors.items().iter().map(|actor| *actor as usize).collect(),
        action: uid(&raw.action),
        context: fields(values, raw.context, arena),
        entities,
    }
}

/// The chunk that the host made.
pub(super) fn chunk<'a>(program: Program<'a>, raw: &abi::Chunk<'a>, arena: &'a Bump) -> Chunk<'a> {
    let values = values(raw.values, arena);
    Chunk {
        program,
        uid: uid(&raw.uid),
        attributes: fields(values, raw.attributes, arena),
        tags: fields(values, raw.tags, arena),
        ancestors: uids(raw.ancestors, arena),
        arena,
    }
}

fn uid<'a>(raw: &abi::Uid<'a>) -> Uid<'a> {
    Uid { entity_type: raw.entity_type.text(), id: raw.id.text() }
}

fn uids<'a>(raw: List<'a, abi::Uid<'a>>, arena: &'a Bump) -> &'a [Value<'a>] {
    let uids = slots(arena, raw.items().len());
    for (value, raw) in uids.iter_mut().zip(raw.items()) {
        *value = Value::entity(arena, uid(raw));
    }
    if let Value::Set(uids) = Value::set_of(uids) { uids } else { &[] }
}

fn fields<'a>(values: &[Value<'a>], raw: List<'a, abi::Field<'a>>, arena: &'a Bump) -> &'a [Field<'a>] {
    let fields = arena.alloc_slice_fill_copy(raw.items().len(), ("", Value::Bool(false)));
    for (field, raw) in fields.iter_mut().zip(raw.items()) {
        *field = (raw.name.text(), at(values, raw.value));
    }
    record_of(fields)
}

fn slots<'a>(arena: &'a Bump, count: usize) -> &'a mut [Value<'a>] {
    arena.alloc_slice_fill_copy(count, Value::Bool(false))
}

/// A value by its index. One that is not there, which no host sends, is unreadable.
fn at<'a>(values: &[Value<'a>], index: u32) -> Value<'a> {
    values.get(index as usize).copied().unwrap_or(Value::IllTyped("it is not there"))
}

/// All values of an arena; children come first.
fn values<'a>(raw: List<'a, abi::Value<'a>>, arena: &'a Bump) -> &'a [Value<'a>] {
    let values = slots(arena, raw.items().len());
    for (index, value) in raw.items().iter().enumerate() {
        let Some((before, [place, ..])) = values.split_at_mut_checked(index) else { break };
        *place = match value {
            abi::Value::Boolean(value) => Value::Bool(*value),
            abi::Value::Long(value) => Value::Long(*value),
            abi::Value::Text(text) => Value::Text(text.text()),
            abi::Value::Entity(raw) => Value::entity(arena, uid(raw)),
            abi::Value::Decimal(value) => Value::Decimal(*value),
            abi::Value::Datetime(value) => Value::Datetime(*value),
            abi::Value::Duration(value) => Value::Duration(*value),
            abi::Value::Ip(raw) => network(raw, arena),
            abi::Value::Set(raw) => {
                let elements = slots(arena, raw.items().len());
                for (element, index) in elements.iter_mut().zip(raw.items()) {
                    *element = at(before, *index);
                }
                Value::set_of(elements)
            }
            abi::Value::Record(raw) => Value::Record(fields(before, *raw, arena)),
            abi::Value::IllTyped(reason) => Value::IllTyped(reason.text()),
        };
    }
    values
}

fn network<'a>(raw: &abi::IpNetwork<'a>, arena: &'a Bump) -> Value<'a> {
    match IpNetwork::from_octets(raw.address.items(), raw.prefix) {
        Some(network) => Value::Ip(arena.alloc(network)),
        None => Value::IllTyped("it is not an address"),
    }
}
