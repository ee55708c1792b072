//! From the contract's flattened records to the engine's values.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use bumpalo::Bump;
use tamis_contract::extension::IpNetwork;
use tamis_contract::value::{Field, Uid, Value, record_fields};

use super::bindings::exports::tamis::policy::gates;
use crate::program::Program;
use crate::request::{Entity, RawRequest};
use crate::typed::Chunk;

/// The request that the host made.
pub(super) fn request<'a>(raw: &'a gates::Request, arena: &'a Bump) -> RawRequest<'a> {
    let values = values(&raw.values, arena);
    let mut entities = Vec::new();
    for entity in &raw.entities {
        entities.push(Entity {
            uid: uid(&entity.uid),
            attributes: fields(&values, &entity.attributes, arena),
            tags: fields(&values, &entity.tags, arena),
            ancestors: uids(&entity.ancestors),
        });
    }
    RawRequest {
        principal: raw.principal as usize,
        subject: raw.subject as usize,
        actors: raw.actors.iter().map(|actor| *actor as usize).collect(),
        action: uid(&raw.action),
        context: fields(&values, &raw.context, arena),
        entities,
    }
}

/// The chunk that the host made.
pub(super) fn chunk<'a>(program: Program<'a>, raw: &'a gates::Chunk, arena: &'a Bump) -> Chunk<'a> {
    let values = values(&raw.values, arena);
    Chunk {
        program,
        uid: uid(&raw.uid),
        attributes: fields(&values, &raw.attributes, arena),
        tags: fields(&values, &raw.tags, arena),
        ancestors: uids(&raw.ancestors),
        arena,
    }
}

fn uid(raw: &gates::EntityUid) -> Uid<'_> {
    Uid { entity_type: &raw.entity_type, id: &raw.id }
}

fn uids(raw: &[gates::EntityUid]) -> Vec<Uid<'_>> {
    raw.iter().map(uid).collect()
}

fn fields<'a>(values: &[Value<'a>], raw: &'a [gates::Field], arena: &'a Bump) -> &'a [Field<'a>] {
    let mut fields = Vec::new();
    for field in raw {
        let name: &String = &field.name;
        fields.push((name.as_str(), at(values, field.value)));
    }
    record_fields(arena, fields)
}

/// A value by its index. One that is not there, which no host sends, is unreadable.
fn at<'a>(values: &[Value<'a>], index: u32) -> Value<'a> {
    values.get(index as usize).copied().unwrap_or(Value::IllTyped("it is not there"))
}

/// All values of an arena; children come first.
fn values<'a>(raw: &'a [gates::Value], arena: &'a Bump) -> Vec<Value<'a>> {
    let mut values = Vec::new();
    for value in raw {
        let value = match value {
            gates::Value::Boolean(value) => Value::Bool(*value),
            gates::Value::Long(value) => Value::Long(*value),
            gates::Value::Text(text) => Value::Text(text),
            gates::Value::Entity(raw) => Value::entity(arena, uid(raw)),
            gates::Value::Decimal(value) => Value::Decimal(*value),
            gates::Value::Datetime(value) => Value::Datetime(*value),
            gates::Value::Duration(value) => Value::Duration(*value),
            gates::Value::Ip(raw) => network(raw, arena),
            gates::Value::Set(elements) => {
                Value::set(arena, elements.iter().map(|element| at(&values, *element)).collect())
            }
            gates::Value::Record(raw) => Value::Record(fields(&values, raw, arena)),
            gates::Value::IllTyped(reason) => Value::IllTyped(reason),
        };
        values.push(value);
    }
    values
}

fn network<'a>(raw: &gates::IpNetwork, arena: &'a Bump) -> Value<'a> {
    let address = if let Ok(octets) = <[u8; 4]>::try_from(&*raw.address) {
        Some(IpAddr::from(octets))
    } else {
        <[u8; 16]>::try_from(&*raw.address).ok().map(IpAddr::from)
    };
    match address.and_then(|address| IpNetwork::new(address, raw.prefix).ok()) {
        Some(network) => Value::Ip(arena.alloc(network)),
        None => Value::IllTyped("it is not an address"),
    }
}
