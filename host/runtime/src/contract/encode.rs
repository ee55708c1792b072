//! From core types to the contract's flattened records.

use std::collections::{BTreeMap, BTreeSet};

use tamis_core::entity::Entity;
use tamis_core::manifest::FootprintAttribute;
use tamis_core::metadata;
use tamis_core::value::Record;
use tamis_core::{Chunk, EntityUid, Query, Request, Value};

use super::gates;
use crate::error::Error;

/// The request once for every principal: the subject, then each actor.
pub(crate) fn requests(request: &Request) -> Result<Vec<gates::Request>, Error> {
    let mut arena = Arena::default();
    let mut entities = Vec::new();
    let mut positions: BTreeMap<&EntityUid, u32> = BTreeMap::new();
    for (entity, ancestors) in request.entities().iter() {
        positions.insert(&entity.uid, position(entities.len())?);
        entities.push(entity_record(entity, ancestors, &mut arena)?);
    }
    let find = |uid: &EntityUid| {
        let known = positions.get(uid).copied();
        known.ok_or_else(|| Error::Host(format!("`{uid}` is not among the request's entities")))
    };
    let subject = find(request.subject())?;
    let actors: Vec<u32> = request.actors().iter().map(find).collect::<Result<_, _>>()?;
    let context = arena.fields(request.context())?;
    let for_principal = |principal: u32| gates::Request {
        principal,
        subject,
        actors: actors.clone(),
        action: entity_uid(request.action()),
        context: context.clone(),
        entities: entities.clone(),
        values: arena.values.clone(),
    };
    Ok(std::iter::once(subject).chain(actors.iter().copied()).map(for_principal).collect())
}

/// What is about to be searched.
pub(crate) fn query(query: &Query) -> gates::Query {
    gates::Query { collection: query.collection.clone(), k: query.k }
}

/// The chunk, reduced to the attributes in `footprint`.
pub(crate) fn chunk(chunk: &Chunk, footprint: &[FootprintAttribute]) -> Result<gates::Chunk, Error> {
    let mut arena = Arena::default();
    let mut attributes = Record::new();
    for entry in footprint {
        let attribute = &entry.attribute;
        if let Some(value) = chunk.read(&attribute.path, attribute.declared.as_ref()) {
            insert(&mut attributes, &attribute.path, value);
        }
    }
    let tags = metadata::read_record(&chunk.tags);
    Ok(gates::Chunk {
        uid: entity_uid(&chunk.uid),
        attributes: arena.fields(&attributes)?,
        tags: arena.fields(&tags)?,
        ancestors: chunk.ancestors.iter().map(entity_uid).collect(),
        values: arena.values,
    })
}

/// Puts `value` at `path`. No path of a footprint leads through another one's value, which loading a policy checks.
fn insert(record: &mut Record, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => {
            record.insert(name.clone(), value);
        }
        [name, rest @ ..] => {
            let inner = record.entry(name.clone()).or_insert_with(|| Value::Record(Record::new()));
            if let Value::Record(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

fn entity_record(
    entity: &Entity,
    ancestors: &BTreeSet<EntityUid>,
    arena: &mut Arena,
) -> Result<gates::Entity, Error> {
    Ok(gates::Entity {
        uid: entity_uid(&entity.uid),
        attributes: arena.fields(&entity.attributes)?,
        tags: arena.fields(&entity.tags)?,
        ancestors: ancestors.iter().map(entity_uid).collect(),
    })
}

fn entity_uid(uid: &EntityUid) -> gates::EntityUid {
    gates::EntityUid { entity_type: uid.entity_type.clone(), id: uid.id.clone() }
}

fn position(length: usize) -> Result<u32, Error> {
    u32::try_from(length)
        .map_err(|_| Error::Host("a request or chunk holds more than 2^32 values".to_owned()))
}

/// Values in one list, children before parents.
#[derive(Default)]
struct Arena {
    values: Vec<gates::Value>,
}

impl Arena {
    fn fields(&mut self, record: &Record) -> Result<Vec<gates::Field>, Error> {
        let field = |(name, value): (&String, &Value)| {
            Ok(gates::Field { name: name.clone(), value: self.push(value)? })
        };
        record.iter().map(field).collect()
    }

    fn push(&mut self, value: &Value) -> Result<u32, Error> {
        let flat = match value {
            Value::Bool(value) => gates::Value::Boolean(*value),
            Value::Long(value) => gates::Value::Long(*value),
            Value::String(text) => gates::Value::Text(text.clone()),
            Value::Entity(uid) => gates::Value::Entity(entity_uid(uid)),
            Value::Decimal(value) => gates::Value::Decimal(*value),
            Value::Datetime(value) => gates::Value::Datetime(*value),
            Value::Duration(value) => gates::Value::Duration(*value),
            Value::Ip(network) => {
                let address = match network.address() {
                    std::net::IpAddr::V4(address) => address.octets().to_vec(),
                    std::net::IpAddr::V6(address) => address.octets().to_vec(),
                };
                gates::Value::Ip(gates::IpNetwork { address, prefix: network.prefix() })
            }
            Value::Set(elements) => gates::Value::Set(
                elements.iter().map(|element| self.push(element)).collect::<Result<_, _>>()?,
            ),
            Value::Record(fields) => gates::Value::Record(self.fields(fields)?),
            Value::IllTyped(reason) => gates::Value::IllTyped(reason.clone()),
        };
        let index = position(self.values.len())?;
        self.values.push(flat);
        Ok(index)
    }
}
